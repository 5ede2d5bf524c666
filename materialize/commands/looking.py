"""check, preview and transforms: what can be seen before anything is built."""

import inspect
import json
from dataclasses import MISSING, asdict, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from materialize.commands.options import JSON, SectionedCommand, job_of, job_options
from materialize.config import Job
from materialize.exit_codes import ExitCode

if TYPE_CHECKING:
    from materialize.population import Population
    from materialize.population.partition import Partition
    from materialize.sources import Source
    from materialize.suitability import CheckReport
    from pipelines.transform import Transform

_QUARANTINE_SHOWN = 20
_CLASSES_SHOWN = 20
_PAIRS = ("tuple[float, float]", "tuple[int, int]")
_COLORS = {"error": "red", "warning": "yellow", "question": "cyan"}


@click.command(
    cls=SectionedCommand,
    examples=(
        "materialize check --source photos --pipeline photos224",
        "materialize check --job job.toml",
        "materialize check --source photos --split 0.8/0.1/0.1 --folds 5",
    ),
)
@job_options("Images", "Which images", "Augmentation", "Output", "Work")
@click.option("--near-duplicates/--no-near-duplicates", "searched", default=None,
              help="Look for pictures that are there twice, encoded again, resized or slightly "
              "cropped; unless given, where that takes seconds.")  # fmt: skip
@JSON
def check(as_json: bool, searched: bool | None, **given: Any) -> int:
    """Say what is wrong with a pipeline for these images, before anything is written.

    Errors mean that a build should not be begun (exit code 1), warnings that something is probably
    not what you want, questions that only you know the answer.
    """
    from materialize.assembly import intention_of, options_of
    from materialize.population.likeness import is_quickly_searched, near_duplicates
    from materialize.population.target_counts import count_targets
    from materialize.suitability import check_suitability

    job = job_of(given)
    intention, options = intention_of(job), options_of(job)
    source, population = _scanned(job)
    crew, alike = options.crew, None
    if searched or (searched is None and is_quickly_searched(population)):
        alike = near_duplicates(source, population, workers=crew.workers, backend=crew.backend)
    targets = count_targets(source, population)
    report = check_suitability(
        population, intention, options, likenesses=alike, targets=targets, source=source
    )
    if as_json:
        from materialize.commands.output import print_json

        print_json(_check_facts(report))
    else:
        _print_check(report)
    return ExitCode.FAILED if report.has_errors else ExitCode.DONE


def _check_facts(report: "CheckReport") -> dict[str, Any]:
    population = report.population
    return {
        "num_images": len(population),
        "class_names": population.class_names,
        "channels": population.channels,
        "dtype": population.dtype,
        "conversions": population.conversion_counts(),
        "quarantined": [asdict(item) for item in population.quarantined],
        "splits": _partition_facts(report.splits),
        "folds": None if report.folds is None else _partition_facts(report.folds),
        "near_duplicates": _likeness_facts(report),
        "targets": None if report.targets is None else asdict(report.targets),
        "findings": [asdict(finding) for finding in report.findings],
        "extent": report.extent,
        "has_errors": report.has_errors,
    }


def _partition_facts(partition: "Partition") -> dict[str, Any]:
    return asdict(partition) | {"totals": partition.totals, "is_whole": partition.is_whole}


def _likeness_facts(report: "CheckReport") -> list[dict[str, Any]] | None:
    """Near duplicates by name; None if nobody looked for them."""
    if report.likenesses is None:
        return None
    locators = report.population.locators
    return [
        asdict(pair) | {"first": locators[pair.first], "second": locators[pair.second]}
        for pair in report.likenesses
    ]


def _print_check(report: "CheckReport") -> None:
    from materialize.console import size

    click.echo(_described(report.population))
    if report.targets is not None:
        click.echo("\n".join(f"  {line}" for line in report.targets.lines()))
    if sum(map(bool, report.splits.totals)) > 1:
        _print_partition("splits", report.splits)
    if report.folds is not None:
        _print_partition("folds", report.folds)
    if report.likenesses is None and len(report.population):
        click.echo("\nNobody looked for near duplicates; --near-duplicates does.")
    for finding in report.findings:
        click.secho(f"\n{finding.severity}: ", fg=_COLORS[finding.severity], bold=True, nl=False)
        click.echo(f"{finding.where}: {finding.message}")
        if finding.advice:
            click.echo(f"    {finding.advice}")
    click.echo()
    extent = report.extent
    if extent is not None:
        shape = " × ".join(map(str, extent.image_shape))
        click.echo(
            f"A build would write {extent.num_images:,} images of {shape} in {extent.num_shards:,} "
            f"shards, at most {size(extent.num_bytes)}."
        )
    counts = [(report.count(s), s) for s in ("error", "warning", "question")]
    found = [f"{count} {severity}{'s' * (count > 1)}" for count, severity in counts if count]
    click.echo(", ".join(found) or "Nothing is wrong.")


def _print_partition(title: str, partition: "Partition") -> None:
    """Images by class and part, and what was proven."""
    header = ("", *partition.names)
    rows = [
        (name, *(f"{count:,}" for count in counts))
        for name, counts in zip(partition.class_names, partition.counts, strict=True)
    ]
    if len(rows) > _CLASSES_SHOWN:
        more = f"… {len(rows) - _CLASSES_SHOWN:,} more classes"
        rows = [*rows[:_CLASSES_SHOWN], (more, *("" for _ in partition.names))]
    if len(partition.counts) > 1:
        rows.append(("all", *(f"{count:,}" for count in partition.totals)))
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    click.echo()
    for name, *counts in (header, *rows):
        cells = (f"{cell:>{width}}" for cell, width in zip(counts, widths[1:], strict=True))
        click.echo("  ".join((f"{name:<{widths[0]}}", *cells)).rstrip())
    compared = f"{partition.num_contents:,} contents and {partition.num_groups:,} groups compared"
    torn = len(partition.torn_contents) + len(partition.torn_groups)
    verdict = "none is" if partition.is_whole else f"{torn:,} are"
    click.echo(f"{compared}: {verdict} in two {title}")


def _described(population: "Population") -> str:
    """A line about the images, one about each conversion, and the bad ones by name."""
    from materialize.sources.base import SPLITS

    splits = [f"{len(r):,} {s}" for s in SPLITS if (r := population.split_rows(s))]
    size = population.uniform_size()
    each = "of several sizes" if size is None else f"of {size[0]} × {size[1]}"
    color = "grey" if population.channels == 1 else "colour"
    classes = f", {len(population.class_names):,} classes" if population.class_names else ""
    lines = [f"{len(population):,} images ({', '.join(splits)}) {each}, {color}{classes}"]
    lines += [
        f"  {count:,} are converted: {conversion}"
        for conversion, count in population.conversion_counts().items()
    ]
    lines += [
        f"  left out: {item.locator}: {item.reason}: {item.detail}"
        for item in population.quarantined[:_QUARANTINE_SHOWN]
    ]
    if len(population.quarantined) > _QUARANTINE_SHOWN:
        lines.append(f"  … and {len(population.quarantined) - _QUARANTINE_SHOWN:,} more")
    return "\n".join(lines)


@click.command(
    cls=SectionedCommand,
    examples=(
        "materialize preview --source photos --pipeline photos224 --copies 4",
        "materialize preview --source photos --kind grid --output classes.png",
    ),
)
@job_options("Images", "Which images", "Augmentation", "Work")
@click.option("--kind", default="copies", show_default=True, metavar="KIND",
              help="copies: originals beside their copies; steps: each step alone, six draws; "
              "grid: labelled originals and class counts.")  # fmt: skip
@click.option("--output", "png", default="preview.png", show_default=True, type=click.Path(),
              metavar="FILE", help="Where to write the picture.")  # fmt: skip
@click.option("--num-images", type=int, metavar="N", help="How many originals.")
@click.option("--image", "images", multiple=True, metavar="PATH",
              help="An image to show, by its path in the source; repeatable.")  # fmt: skip
def preview(
    kind: str, png: str, num_images: int | None, images: tuple[str, ...], **given: Any
) -> None:
    """Draw originals beside their copies into a PNG.

    The copies are those that a build with the same seed stores, with the parameters that make them.
    """
    from materialize.assembly import folds_of, has_pipeline, pipeline_of
    from materialize.atomic import write_file
    from materialize.pictures.gallery import GalleryOptions, draw_gallery
    from materialize.pictures.sheet import png_bytes

    if Path(png).suffix.lower() != ".png":
        raise click.UsageError(f"--output: expected a .png, got {png}")
    job = job_of(given)
    options = GalleryOptions(
        kind=kind, seed=job.seed, num_images=num_images, images=images,
        folds=folds_of(job),
    )  # fmt: skip
    if job.copies is not None:
        options = replace(options, copies=job.copies)
    pipeline = pipeline_of(job) if has_pipeline(job) else None
    source, population = _scanned(job)
    picture = draw_gallery(source, population, pipeline, options)
    write_file(Path(png), png_bytes(picture))
    click.echo(f"{png}: {picture.width} × {picture.height} pixels")


def _scanned(job: Job) -> "tuple[Source, Population]":
    """The job's source and what a scan finds; leaks between splits are seen, not raised."""
    from materialize.assembly import crew_of, scan_options_of, source_of
    from materialize.console import progress_shown
    from materialize.population import scan
    from materialize.progress import stage

    source, crew = source_of(job), crew_of(job)
    options = replace(scan_options_of(job), allow_split_leaks=True)
    with progress_shown() as progress:
        population = scan(
            source, options, n_jobs=crew.workers, backend=crew.backend,
            progress=stage(progress, "scan"),
        )  # fmt: skip
    return source, population


@click.command(
    cls=SectionedCommand,
    examples=(
        "materialize transforms",
        "materialize transforms zoom",
        "materialize transforms cifar10 > my-pipeline.toml",
    ),
)
@click.argument("name", required=False)
@JSON
def transforms(name: str | None, as_json: bool) -> None:
    """List the transforms and the presets, or show one of them."""
    from materialize.commands.output import print_json, table
    from pipelines import REGISTRY, load, preset_names

    presets = {preset: load(preset) for preset in preset_names()}
    if name is not None:
        click.echo(_shown(name), nl=False)
    elif as_json:
        print_json({
            "transforms": {key: _transform_facts(kind) for key, kind in REGISTRY.items()},
            "presets": {key: list(pipeline.step_keys) for key, pipeline in presets.items()},
        })  # fmt: skip
    else:
        listed = ((key, _arguments(kind), kind.summary) for key, kind in REGISTRY.items())
        table("Transforms", listed, are_numbers=False)
        steps = {key: ", ".join(step.name for step in p.steps) for key, p in presets.items()}
        table("Presets", ((key, names, "") for key, names in steps.items()), are_numbers=False)


def _shown(name: str) -> str:
    """A transform's description, or a preset's file."""
    from materialize.errors import ConfigError
    from pipelines import REGISTRY, preset_names

    if name in REGISTRY:
        kind = REGISTRY[name]
        return f"{inspect.cleandoc(kind.__doc__ or kind.summary)}\n\n{_arguments(kind)}\n"
    if name in preset_names():
        file = resources.files("pipelines") / "presets" / f"{name}.toml"
        return file.read_text("utf-8")
    raise ConfigError(
        f"there is no transform or preset {name!r}; `materialize transforms` lists them",
        {"found": name},
    )


def _arguments(kind: "type[Transform]") -> str:
    """A transform's options with their defaults, as its file has them."""
    from pipelines.transform import file_options

    pairs = {f.name for f in file_options(kind) if str(f.type) in _PAIRS}
    facts = _transform_facts(kind)["options"]
    required = {name: f"{name} = [low, high]" if name in pairs else name for name in facts}
    return ", ".join(
        required[name] if value is None else f"{name} = {_in_toml(value)}"
        for name, value in facts.items()
    )


def _in_toml(value: object) -> str:
    """A default as TOML writes it; JSON is the same for what defaults are."""
    rounded = round(value, 4) if isinstance(value, float) else value
    return json.dumps(rounded, ensure_ascii=False)


def _transform_facts(kind: "type[Transform]") -> dict[str, Any]:
    from pipelines.transform import file_options

    options = {
        f.name: None if f.default is MISSING else f.default
        for f in file_options(kind)
        if f.name != "id"
    }
    return {"summary": kind.summary, "options": options}
