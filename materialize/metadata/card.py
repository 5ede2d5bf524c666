"""A dataset card: what a dataset is, for whoever finds it, in Markdown.

Everything in it comes from the dataset's own files and from what people said of it; nothing is
measured when it is written, so the same dataset and words give the same card. The block in front is
the one that dataset hubs read.
"""

import json
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from materialize.atomic import make_directory, write_file
from materialize.console import size
from materialize.errors import ConfigError
from materialize.metadata.about import About
from materialize.metadata.facts import DatasetFacts, gather_facts
from materialize.shards.codecs import find_codec
from pipelines.serialization import to_toml

CARD_FILE = "README.md"

_MARK = "<!-- dataset card by materialize, of manifest "
_CLASSES_SHOWN = 30
_HUB_SIZES = (10**3, 10**4, 10**5, 10**6, 10**7, 10**8, 10**9, 10**10, 10**11, 10**12)
_SIZE_NAMES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")


def write_card(
    dataset: str | Path,
    about: About | None = None,
    *,
    output: str | Path | None = None,
    pinned: str | None = None,
) -> Path:
    """Writes the card of a dataset.

    Args:
        dataset: the directory that `materialize.build` wrote.
        about: what only people know.
        output: the file; ``README.md`` in the dataset by default.
        pinned: digest of the manifest instead of the newest.

    Returns:
        The file; one that is no card of ours is never replaced.

    Raises:
        ConfigError: something else has that name.
        ManifestMissingError: there is no complete dataset.
        StorageError: the file system refused.
    """
    directory = Path(dataset)
    facts = gather_facts(directory, pinned=pinned)
    path = directory / CARD_FILE if output is None else Path(output)
    if path.exists() and _MARK not in path.read_text("utf-8", errors="replace"):
        raise ConfigError(
            f"{path}: expected no file, or a card that an earlier call wrote, found another file; "
            "name the card with --output",
            {"path": str(path), "found": "another file"},
        )
    make_directory(path.parent)
    write_file(path, render_card(facts, about or About()).encode("utf-8", "replace"))
    return path


def render_card(facts: DatasetFacts, about: About) -> str:
    """The card as text."""
    sections = (
        _introduction(facts, about),
        _images(facts),
        _storage(facts),
        _pipeline(facts),
        _loading(facts),
        _verifying(facts),
        _provenance(facts),
        _rights(about),
        _limits(facts),
    )
    return _front_matter(facts, about) + "\n\n".join(filter(None, sections)) + "\n"


def _front_matter(facts: DatasetFacts, about: About) -> str:
    """The YAML in front; JSON's strings and lists are YAML's."""
    values: dict[str, Any] = {
        "pretty_name": about.name or facts.name,
        "license": _hub_licence(about.licence),
        "task_categories": list(about.tasks),
        "size_categories": [_hub_size(facts.num_stored or facts.num_images)],
        "tags": ["image", "augmented", "materialize"],
    }
    lines = (
        f"{name}: {json.dumps(value, ensure_ascii=False)}"
        for name, value in values.items()
        if value
    )
    return "---\n" + "\n".join(lines) + "\n---\n"


def _hub_licence(licence: str) -> str:
    """Hubs write SPDX identifiers in lower case, and call what they do not know other."""
    if not licence:
        return ""
    return licence.lower() if "/" not in licence and " " not in licence else "other"


def _hub_size(count: int) -> str:
    """Such as ``10K<n<100K``."""
    if count < _HUB_SIZES[0]:
        return f"n<{_SIZE_NAMES[0]}"
    names = zip(_HUB_SIZES[1:], _SIZE_NAMES, _SIZE_NAMES[1:], strict=False)
    return next((f"{low}<n<{high}" for end, low, high in names if count < end), "n>1T")


def _introduction(facts: DatasetFacts, about: About) -> str:
    said = [about.description] if about.description else []
    return "\n\n".join(
        (
            f"{_MARK}{facts.manifest.digest()} -->",
            f"# {about.name or facts.name}",
            *said,
            facts.summary(),
        )
    )


def _images(facts: DatasetFacts) -> str:
    splits = list(facts.images)
    totals = [sum(facts.images[split].values()) for split in splits]
    names = [
        name for name in facts.manifest.class_names if any(name in c for c in facts.images.values())
    ]
    rows = [
        [_cell(name), *(f"{facts.images[split].get(name, 0):,}" for split in splits)]
        for name in names[:_CLASSES_SHOWN]
    ]
    if len(names) > _CLASSES_SHOWN:
        rest = names[_CLASSES_SHOWN:]
        sums = (sum(facts.images[split].get(name, 0) for name in rest) for split in splits)
        rows.append([f"{len(rest):,} more classes", *(f"{number:,}" for number in sums)])
    rows.append(["all", *(f"{number:,}" for number in totals)])
    stored = [f"{facts.stored.get(split, 0):,}" for split in splits]
    rows.append(["stored, with copies", *stored])
    parts = ["## Images", _table(["class", *splits], rows)]
    fields = facts.standing.populations[-1].schema.fields
    if fields:
        named = [
            f"`{field.name}` ({field.kind}{': ' if field.names else ''}"
            f"{', '.join(map(_cell, _first_names(field.names)))})"
            for field in fields
        ]
        parts.append(f"Besides, every image has {'; '.join(named)}.")
    return "\n\n".join(parts)


def _first_names(names: tuple[str, ...]) -> list[str]:
    """The first of many names."""
    more = len(names) - _CLASSES_SHOWN
    return [*names[:_CLASSES_SHOWN], *([f"{more:,} more"] if more > 0 else [])]


def _storage(facts: DatasetFacts) -> str:
    manifest = facts.manifest
    codecs = sorted({entry.spec.codec for entry in manifest.shards})
    shapes = sorted({(entry.spec.image_shape, entry.spec.image_dtype) for entry in manifest.shards})
    source = sum(int(p.source_bytes.sum()) for p in facts.standing.populations)
    decoded = sum(entry.spec.images.num_bytes for entry in manifest.shards)
    modes = {
        "pixels": "the copies are stored",
        "prefix": "untouched images are stored, copies are made at reading",
        "recipe": "no image is stored, only how each is made",
    }
    rows = [
        ["storage", manifest.storage, modes.get(manifest.storage, "")],
        ["shards", f"{len(manifest.shards):,}", f"HDF5, codec {', '.join(codecs) or 'none'}"],
        ["bytes of shards", f"{manifest.totals.num_bytes:,}", size(manifest.totals.num_bytes)],
        ["pixels in them", f"{manifest.totals.images_stored_bytes:,}", f"{decoded:,} decoded"],
        ["source", f"{source:,}", "bytes of the accepted images"],
    ]
    if source and manifest.shards:
        share = manifest.totals.num_bytes / source
        rows.append(
            ["amplification", f"{share:.2f}", "bytes of shards for each byte of the source"]
        )
    each = "; ".join(f"{' × '.join(map(str, shape))} {dtype}" for shape, dtype in shapes)
    images = f"\n\nImages are {each} (height × width × channels)." if each else ""
    return "## Storage\n\n" + _table(["", "", ""], rows) + images


def _pipeline(facts: DatasetFacts) -> str:
    """Every step in words, then the file that makes the same pipeline."""
    pipeline = facts.standing.pipeline
    steps = [f"{n}. {step.name}: {step.summary}" for n, step in enumerate(pipeline.steps, start=1)]
    words = "\n".join(steps) or "No step: copies are the images themselves."
    return (
        "## Pipeline\n\n"
        f"Copy *e* of an image is a function of the pipeline, the seed {facts.manifest.seed}, the "
        "image's sample id and *e*; training images alone are augmented.\n\n"
        f"{words}\n\n```toml\n{to_toml(pipeline)}```"
    )


_LOADERS = {"pixels": "StreamingLoader", "prefix": "PrefixLoader"}
"""Storage mode → what reads it without the source."""


def _loading(facts: DatasetFacts) -> str:
    """Lines of Python that run, in the folder that holds the dataset."""
    name = json.dumps(facts.name)
    pinned = f'pinned="{facts.manifest.digest()}"'
    loader = _LOADERS.get(facts.manifest.storage)
    if loader is None:
        code = (
            "from materialize import OpenDataset\n\n"
            f"dataset = OpenDataset.open({name}, {pinned})\n"
            "print(len(dataset.samples()), dataset.samples().class_names)\n"
        )
        remark = (
            "\n\nIt holds no image, only how each is made: `materialize transcode` and "
            "`materialize export` make them from the source."
        )
    else:
        remark = ""
        code = (
            f"from materialize import {loader}\n\n"
            f"with {loader}(\n    {name}, batch_size=32, seed=1,\n    {pinned},\n) as loader:\n"
            "    for batch in loader.epoch(0):  # epoch e shows copy e of each image\n"
            "        print(batch.images.shape, batch.labels[:5])\n"
            "        break\n"
        )
    return (
        "## How to load it\n\n"
        "In the folder that holds this one, with `materialize` installed:\n\n"
        f"```python\n{code}```{remark}"
    )


def _verifying(facts: DatasetFacts) -> str:
    command = f"materialize verify {shlex.quote(facts.name)}"
    return (
        "## How to verify it\n\n"
        f"The manifest's digest pins every byte: `{facts.manifest.digest()}`.\n\n"
        "```\n"
        f"{command}           # every byte against the manifest\n"
        f"{command} --deep    # every pixel made again from the source\n"
        "```"
    )


def _provenance(facts: DatasetFacts) -> str:
    manifest = facts.manifest
    rows = [["source", _cell(facts.source_name)]]
    rows += [
        [
            f"generation {entry.generation}",
            f"{sum(entry.counts.values()):,} images, `{entry.digest}`",
        ]
        for entry in manifest.populations
    ]
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in manifest.quarantine.items())
    converted: dict[str, int] = {}
    for population in facts.standing.populations:
        for code, count in population.conversion_counts().items():
            converted[code] = converted.get(code, 0) + count
    changed = ", ".join(f"{count:,} {code}" for code, count in sorted(converted.items()))
    rows += [
        ["left out", left_out or "none"],
        ["converted", changed or "none"],
        ["pipeline", f"`{manifest.pipeline_fingerprint}`"],
        ["seed", str(manifest.seed)],
        ["written by", ", ".join(f"materialize {v}" for v in facts.built_by) or "unknown"],
        ["manifest", f"{manifest.number}, `{manifest.digest()}`"],
    ]
    return "## Provenance\n\n" + _table(["", ""], rows)


def _rights(about: About) -> str:
    """Nothing where nobody said anything."""
    rows = []
    if about.licence:
        rows.append(["licence", about.licence_url])
    if about.creator:
        rows.append(["creator", ", ".join(about.creator)])
    if about.date:
        rows.append(["published", about.date])
    if about.url:
        rows.append(["page", about.url])
    text = "## Rights\n\n" + _table(["", ""], rows) if rows else ""
    if about.citation:
        text += f"{chr(10) * 2 if text else ''}## Citation\n\n```\n{about.citation.strip()}\n```"
    return text


def _limits(facts: DatasetFacts) -> str:
    return "## Limits\n\n" + "\n".join(f"- {line}" for line in _limit_lines(facts))


def _limit_lines(facts: DatasetFacts) -> Iterator[str]:
    manifest = facts.manifest
    yield (
        "Labels are those of the source. Nobody checked that every step leaves them true: a "
        "mirrored digit or a rotated letter may be another one."
    )
    if manifest.copies:
        yield (
            f"The {manifest.copies:,} copies of an image are not {manifest.copies:,} images: keep "
            "them together (by sample id) when you divide the dataset anew."
        )
    if any(population.rates is not None for population in facts.standing.populations):
        yield (
            "Classes are balanced by copies: a class with few images is shown as often as one with "
            "many, and behind it are still its few; `materialize storage` has the numbers."
        )
    if any(find_codec(entry.spec.codec).is_lossy for entry in manifest.shards):
        yield "Pixels went through a lossy codec: what is read is not what was rendered."
    if len(facts.images) == 1:
        yield "There is one split only: nothing is held out for validation or testing."
    if sum(manifest.quarantine.values()):
        yield (
            f"{sum(manifest.quarantine.values()):,} inputs were left out because of what their "
            "bytes are; `materialize storage` has the reasons."
        )
    yield "Near duplicates across splits were not searched for when this card was written."


def _table(header: list[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """A text that stays in its cell."""
    return " ".join(text.split()).replace("|", "\\|")
