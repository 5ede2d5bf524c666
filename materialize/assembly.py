"""From a job's plain values to the objects that a build takes."""

import csv
import os
import re
import tomllib
from dataclasses import replace
from pathlib import Path

from materialize.config import TABLE_SUFFIXES, Job, required
from materialize.errors import ConfigError
from materialize.executor import Crew
from materialize.population import DEFAULT_MAX_BAD, Balance, Division, ScanOptions
from materialize.production import BuildOptions
from materialize.recipe import Recipe, whole_number
from materialize.sources import Source, open_source
from materialize.suitability import Intention
from pipelines import Pipeline, from_dict, load
from pipelines.resizing import FITS, Resize

_SOURCE_OPTIONS = (
    "labels", "layout", "follow_links", "path_column", "label_column", "split_column",
    "group_column", "id_column", "path_suffix", "images_key", "labels_key", "class_names",
    "annotations", "masks", "mask_labels", "multi_label_column", "multi_label_columns", "separator",
    "label_columns", "value_columns", "weight_column",
)  # fmt: skip
_RESIZE = re.compile(r"(?P<height>\d+)[x×](?P<width>\d+)(?::(?P<fit>\w+))?")
_SHARD_MB = (2**-8, 2**11)
"""What `Recipe.shard_bytes` may be, in MiB."""
_MOST_AT_ONCE = 2**20
"""More images per call, or workers, is a slip of the finger."""
_PART = re.compile(r"(?P<number>\d+)/(?P<count>\d+)")


def source_of(job: Job) -> Source:
    """The job's source, opened.

    Raises:
        ConfigError: there is none, or an option does not apply to it.
        SourceError: it cannot be used.
    """
    return open_source(required(job, "source"), **_source_options(job))


def source_or_none(job: Job) -> Source | None:
    """As `source_of`; None where the job names none, for commands that remember their source.

    Raises:
        ConfigError: options of a source were given without one.
    """
    if job.source is not None:
        return source_of(job)
    options = _source_options(job)
    if options:
        raise ConfigError(
            f"{', '.join(options)}: expected with a source, found none; add --source",
            {"name": "source", "found": None},
        )
    return None


def _source_options(job: Job) -> dict[str, object]:
    chosen = {name: getattr(job, name) for name in _SOURCE_OPTIONS}
    return {name: value for name, value in chosen.items() if value is not None and value != ()}


def pipeline_of(job: Job) -> Pipeline:
    """The job's pipeline, with the resize in front where one is asked for.

    Raises:
        ConfigError: there is none, or it has a resize already.
        PipelineError: it is not a valid pipeline.
    """
    if job.inline_pipeline is not None:
        pipeline = from_dict(job.inline_pipeline, job.origin)
    else:
        named = required(job, "pipeline")
        pipeline = replace(load(named), name=Path(named).stem)
    return pipeline if job.resize is None else resized(pipeline, job.resize)


def has_pipeline(job: Job) -> bool:
    """Whether the job says what happens to the images."""
    return job.inline_pipeline is not None or job.pipeline is not None


def resized(pipeline: Pipeline, size: str) -> Pipeline:
    """A pipeline that first brings every image to a size such as ``96x128:cover``.

    Raises:
        ConfigError: the size cannot be read, or the pipeline begins with a resize.
    """
    match = _RESIZE.fullmatch(size)
    fit = (match and match["fit"]) or "stretch"
    if match is None or fit not in FITS:
        raise ConfigError(
            f"resize: expected HEIGHTxWIDTH or HEIGHTxWIDTH:{'|'.join(FITS)}, such as 96x128:cover,"
            f" got {size!r}",
            {"name": "resize", "expected": "HxW[:fit]", "found": size},
        )
    if pipeline.resize:
        raise ConfigError(
            f"resize: expected a pipeline without one of its own, found one to "
            f"{pipeline.resize.height}×{pipeline.resize.width} in {pipeline.name}; drop the option "
            "or that step",
            {"name": "resize", "found": size},
        )
    step = Resize(height=int(match["height"]), width=int(match["width"]), fit=fit)
    return replace(pipeline, steps=(step, *pipeline.steps))


def intention_of(job: Job) -> Intention:
    """What would be done with the images, so far as the job says."""
    return Intention(
        pipeline=pipeline_of(job) if has_pipeline(job) else None,
        recipe=None if job.copies is None and job.balance is None else recipe_of(job),
        output=Path(job.output) if job.output is not None else None,
        allow_label_conflicts=job.allow_label_conflicts,
        folds=folds[0] if (folds := folds_of(job)) else None,
        fold_seed=job.fold_seed,
    )


def recipe_of(job: Job) -> Recipe:
    """The options that decide bytes.

    Raises:
        ConfigError: copies are missing, or a value is outside its interval.
    """
    return Recipe(
        copies=required(job, "copies"),
        seed=job.seed,
        codec=job.codec,
        shard_bytes=_shard_bytes(job.shard_mb),
        storage=job.storage,
        originals=job.originals,
        parameters=job.parameters,
        value_range=_value_range(job),
        balance=_balance(job.balance),
        balance_cap=job.balance_cap,
        folds=folds_of(job),
    )


def folds_of(job: Job) -> tuple[int, int] | None:
    """Number and seed of the job's folds, if there are any.

    Raises:
        ConfigError: a number is outside its interval, or there is a seed of no folds.
    """
    seed = whole_number("fold-seed", job.fold_seed, 0, 2**64 - 1)
    if job.folds is not None:
        return whole_number("folds", job.folds, 2, 127), seed
    if seed:
        raise ConfigError(
            f"fold-seed: expected with folds, got {seed} without; add folds, or leave it out",
            {"name": "fold-seed", "found": seed},
        )
    return None


def _shard_bytes(mebibytes: float) -> int:
    low, high = _SHARD_MB
    if not low <= mebibytes <= high:  # also NaN
        raise ConfigError(
            f"shard-mb: expected a number in [{low:.4g}, {high}], got {mebibytes:g}",
            {"name": "shard-mb", "expected": [low, high], "found": mebibytes},
        )
    return round(mebibytes * 2**20)


def _balance(given: str | int | dict[str, int] | None) -> Balance | None:
    """``max``, ``200``, or the numbers in a file."""
    if not isinstance(given, str) or given == "max":
        return given
    if given.endswith(TABLE_SUFFIXES):
        return class_numbers(Path(given))
    try:
        return int(given)
    except ValueError as error:
        raise ConfigError(
            "balance: expected max, a number, or a .toml or .csv file of class = number, got "
            f"{given!r}",
            {"name": "balance", "expected": "max|N|FILE", "found": given},
        ) from error


def class_numbers(path: Path) -> dict[str, int]:
    """A number for each class: a TOML table, or a CSV of class and number without a header.

    Raises:
        ConfigError: the file cannot be read, or is nothing of the kind.
    """
    numbers: dict[str, int] = {}
    problem = "two numbers for one class"
    try:
        text = path.read_text("utf-8")
        if path.suffix == ".toml":
            pairs = list(tomllib.loads(text).items())
        else:
            pairs = [_class_number(row) for row in csv.reader(text.splitlines()) if row]
        numbers = dict(pairs)
    except (OSError, UnicodeDecodeError, ValueError) as error:
        pairs, problem = [], str(error)
    if not pairs or len(numbers) < len(pairs) or not all(type(n) is int for n in numbers.values()):
        raise ConfigError(
            f"balance: expected {path} to give a whole number for each class, as class = 100 in "
            f".toml or class,100 in .csv, got: {problem if not pairs else numbers}",
            {"name": "balance", "path": str(path)},
        )
    return numbers


def _class_number(row: list[str]) -> tuple[str, int]:
    """A line of a CSV of classes."""
    if len(row) != 2 or not row[1].strip().isdecimal():
        raise ValueError(f"the line {','.join(row)!r}; a header has no place there")
    return row[0], int(row[1])


def _value_range(job: Job) -> tuple[float, float] | None:
    """``0,1`` as two numbers."""
    if job.value_range is None:
        return None
    try:
        black, white = map(float, job.value_range.split(","))
    except ValueError as error:
        raise ConfigError(
            f"value-range: expected BLACK,WHITE such as 0,1, got {job.value_range!r}",
            {"name": "value-range", "expected": "BLACK,WHITE", "found": job.value_range},
        ) from error
    return black, white


def scan_options_of(job: Job) -> ScanOptions:
    """What the scan is told.

    Raises:
        ConfigError: a value is outside its set.
    """
    return ScanOptions(
        exclude=job.exclude,
        color=job.color,
        trust_source=job.trust_source,
        allow_split_leaks=job.allow_split_leaks,
        division=None if job.split is None else Division.parse(job.split, job.split_seed),
    )


def max_bad_of(job: Job) -> float:
    """The accepted fraction of bad images.

    Raises:
        ConfigError: --strict and --max-bad contradict each other.
    """
    if job.strict and job.max_bad:
        raise ConfigError(
            f"strict: expected without max-bad, got max-bad {job.max_bad}: strict accepts no bad "
            "image; drop one of the two",
            {"name": "strict", "found": job.max_bad},
        )
    if job.strict:
        return 0.0
    return DEFAULT_MAX_BAD if job.max_bad is None else job.max_bad


def options_of(job: Job) -> BuildOptions:
    """How a build goes about its work.

    Raises:
        ConfigError: a value is outside its set or interval.
    """
    if job.batch_size is not None:
        whole_number("batch-size", job.batch_size, 1, _MOST_AT_ONCE)
    return BuildOptions(
        scan=scan_options_of(job),
        max_bad=max_bad_of(job),
        crew=crew_of(job),
        part=_part(job.part),
        max_seconds=job.max_seconds,
        batch_size=job.batch_size,
    )


def crew_of(job: Job) -> Crew:
    """The workers: as many as this process may use processors, unless the job says.

    Raises:
        ConfigError: fewer than one.
    """
    workers = available_processors() if job.workers is None else job.workers
    return Crew(whole_number("workers", workers, 1, _MOST_AT_ONCE), job.backend)


def available_processors() -> int:
    """How many processors this process may run on: containers and batch systems give fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _part(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = _PART.fullmatch(text)
    if match is None:
        raise ConfigError(
            f"part: expected i/n such as 3/16, got {text!r}",
            {"name": "part", "expected": "i/n", "found": text},
        )
    return int(match["number"]), int(match["count"])
