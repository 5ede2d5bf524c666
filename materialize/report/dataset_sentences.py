"""A dataset in sentences: what it is, what it takes, what it costs, and how to make it again."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import fields
from decimal import Decimal
from typing import Any

from materialize.accounting.invoices import Invoice
from materialize.accounting.money import shown_money, times
from materialize.report.cells import byte_text, counted, listed, three_digits
from materialize.report.dataset_facts import DatasetFacts, storage_cost
from materialize.whereabouts import SOURCE_FILE
from pipelines.serialization import to_toml
from pipelines.transform import Transform

_READ_JOB = 100_000
"""A note of a source is short; a longer file is none."""


def summary_line(facts: DatasetFacts) -> str:
    """What it is, what it takes, what a month costs and what a copy costs, on one line."""
    return " ".join((what_it_is(facts), what_it_takes(facts), what_it_costs(facts))).strip()


def what_it_is(facts: DatasetFacts) -> str:
    """Images, classes and copies."""
    manifest = facts.dataset.manifest
    total, training = sum(facts.images_by_split.values()), facts.images_by_split.get("train", 0)
    classes = len(manifest.class_names)
    of = f" of {classes:,} class{'' if classes == 1 else 'es'}" if classes else ""
    return f"{facts.name} has {counted(total, 'image')}{of}, {_stored(facts, training)}."


def what_it_takes(facts: DatasetFacts) -> str:
    """Bytes on disk beside those of the source."""
    account = facts.account
    ratio = three_digits(account.amplification)
    return (
        f"It takes {byte_text(account.stored_bytes)} on disk, {ratio} times the "
        f"{byte_text(account.source_bytes)} of its source."
    )


def what_it_costs(facts: DatasetFacts) -> str:
    """A month, and a copy, at the first service that has a price for storing."""
    found = lead_invoice(facts)
    if found is None:
        return "No price of storing it is known, so its cost is unpriced."
    month = found.cost_of("storage")
    said = f"A month at {found.title} costs {shown_money(month, found.currency)}"
    copy = copy_bytes(facts)
    if copy:
        share = copy_cost(facts, found)
        said += (
            f", of which one copy of every training image ({byte_text(copy)}) is "
            f"{shown_money(share, found.currency)}"
        )
    return f"{said}."


def lead_invoice(facts: DatasetFacts) -> Invoice | None:
    """A month at the first service whose storage has a price."""
    found = (service.storage for service in facts.month.services)
    return next((each for each in found if storage_cost(each) is not None), None)


def copy_bytes(facts: DatasetFacts) -> int:
    """Stored bytes of one copy of every training image, on average; 0 where none is stored."""
    return round(facts.account.bytes_per_copy)


def copy_cost(facts: DatasetFacts, found: Invoice) -> Decimal:
    """What a month of that costs: its share of the bytes."""
    share = Decimal(copy_bytes(facts)) / max(facts.month.stored_bytes, 1)
    return times(found.cost_of("storage"), share)


def steps(facts: DatasetFacts) -> list[tuple[str, str, str]]:
    """Key, meaning and options of each step, in order."""
    pipeline = facts.dataset.pipeline
    keys = iter(pipeline.step_keys)
    moving = set(map(id, pipeline.moving_steps))
    return [
        (next(keys) if id(step) in moving else step.name, step.summary, _options(step))
        for step in pipeline.steps
    ]


def outside(facts: DatasetFacts) -> str:
    """What stands where an image has no pixels, and between them."""
    pipeline = facts.dataset.pipeline
    fill = f" {listed([f'{level:g}' for level in pipeline.fill])}" if (
        pipeline.border == "constant") else ""  # fmt: skip
    return f"Outside the image: {pipeline.border}{fill}. Between pixels: {pipeline.interpolation}."


def verify_commands(facts: DatasetFacts) -> list[tuple[str, str]]:
    """What proves which property, as it would be typed."""
    place = shlex.quote(str(facts.dataset.directory))
    first = facts.populations[0]
    training = first.split_rows("train")
    found = [
        ("Every byte of every shard, against the manifest", f"materialize verify {place}"),
        ("Every kind of byte, counted again", f"materialize storage {place}"),
    ]
    if training and facts.dataset.manifest.copies:
        sample = first.ids[training.start].tobytes().hex()
        found.append(
            ("One copy, made again from its source and compared",
             f"materialize explain {place} --sample {sample} --copy 0")
        )  # fmt: skip
    return found


def why_no_build_command(facts: DatasetFacts) -> str:
    """Why no one command builds this dataset again; empty where one does."""
    if facts.plan.removed:
        number = len(facts.plan.removed)
        return (
            f"{counted(number, 'image')} {'was' if number == 1 else 'were'} removed, so no build "
            "from the source gives these shards again."
        )
    if len(facts.plan.populations) > 1:
        return (
            f"Its images came in {len(facts.plan.populations)} generations, so no single build "
            "gives these shards again: build from the first source, then extend by the others in "
            "their order."
        )
    return ""


def build_command(facts: DatasetFacts) -> str:
    """The command that builds a dataset of equal digests from the same source.

    There is none where `why_no_build_command` says why.
    """
    recipe = facts.plan.recipe
    given = [
        ("source", next((v for k, v in source_note(facts) if k in ("path", "name")), "SOURCE")),
        ("pipeline", "pipeline.toml"),
        ("copies", recipe.copies), ("seed", recipe.seed), ("codec", recipe.codec),
        ("storage", recipe.storage), ("parameters", recipe.parameters),
        ("shard-mb", _exact(recipe.shard_bytes / 2**20)),
    ]  # fmt: skip
    words = [f"--{name} {shlex.quote(str(value))}" for name, value in given]
    if recipe.originals:
        words.append("--originals")
    if recipe.balance is not None:
        is_table = not isinstance(recipe.balance, str | int)
        words.append(f"--balance {'balance.toml' if is_table else recipe.balance}")
    if recipe.balance_cap is not None:
        words.append(f"--balance-cap {recipe.balance_cap}")
    if recipe.value_range:
        words.append("--value-range " + ",".join(map(_exact, recipe.value_range)))
    words += [f"--exclude {shlex.quote(each)}" for each in facts.plan.excluded]
    return " \\\n  ".join(["materialize build", *words, "--output AGAIN"])


def pipeline_file(facts: DatasetFacts) -> str:
    """The pipeline as the file that it is loaded from."""
    return to_toml(facts.dataset.pipeline)


def _options(step: Transform) -> str:
    """All of them, also those that stand in no file because they are the default."""
    options = ((f.name, getattr(step, f.name)) for f in fields(step) if f.name != "id")
    said = [f"{name.replace('_', ' ')} {_plain(value)}" for name, value in options]
    return ", ".join(said) or "nothing to choose"


def _exact(number: float) -> str:
    """The shortest text that reads back as the same number: a rounded one is another digest."""
    return repr(float(number)).removesuffix(".0")


def _plain(value: object) -> str:
    if isinstance(value, tuple | list):
        return " to ".join(map(_plain, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def source_note(facts: DatasetFacts) -> Iterator[tuple[str, Any]]:
    """Where the source was last seen, and how it was read."""
    path = facts.dataset.directory / SOURCE_FILE
    try:
        noted = json.loads(path.read_bytes()[:_READ_JOB])
    except (OSError, ValueError):
        return
    yield from noted.items()


def _stored(facts: DatasetFacts, training: int) -> str:
    mode, manifest = facts.plan.recipe.storage, facts.dataset.manifest
    of = f"of each of {counted(training, 'training image')}"
    copies = f"{manifest.copies:,} augmented cop{'y' if manifest.copies == 1 else 'ies'}"
    if mode == "prefix":
        return f"stored untouched; {copies} {of} are made when they are read"
    if mode == "recipe":
        return f"none of them stored: {copies} {of} are made from the source when they are read"
    also = " and the untouched images" if facts.plan.recipe.originals else ""
    return f"with {copies} {of}{also} stored"
