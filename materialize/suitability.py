"""Whether a pipeline suits some images, said before anything is written.

The images are scanned as a build scans them; then come their own faults (bad files, contradictory
labels, images in two splits or folds, near duplicates), the pipeline's (`pipelines.diagnosis`), and
whether the result has one size and fits the disk. Nothing is raised that can be listed, so that one
run shows everything.
"""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from materialize import planning
from materialize.errors import ConfigError, QuarantineLimitError, SizeMismatchError
from materialize.feasibility import check_feasible, copy_shape
from materialize.population import Population, balanced, check_quarantine, fold_numbers
from materialize.population.identity import equal_rows
from materialize.population.likeness import Likeness
from materialize.population.partition import Partition, partition_of
from materialize.population.target_counts import TargetCounts
from materialize.production import BuildOptions
from materialize.recipe import Recipe
from materialize.rehearsal import rehearsed
from materialize.sources.base import SPLITS, Source, first_few
from pipelines import Pipeline
from pipelines.diagnosis import Finding, diagnose
from pipelines.user_code import user_code_of

Severity = Literal["error", "warning", "question"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "question")

_NAMED = 5
"""How many images a finding names."""
_NO_RECIPE = Recipe(copies=1, value_range=(0, 1))
"""Where nobody said what would be built: nothing here stands in the way of a build."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much a build would write."""

    image_shape: tuple[int, int, int]
    """(H, W, C) of every copy."""
    num_images: int
    """Rows of all shards."""
    num_shards: int
    num_bytes: int
    """At most: pixels uncompressed, and what stands beside them."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was looked at and what was found."""

    population: Population
    findings: tuple[Finding, ...]
    """Errors first."""
    extent: Extent | None
    """None without a recipe, or where the images would not end with one size."""
    splits: Partition
    """How the images are shared out, and what was proven of it."""
    folds: Partition | None = None
    """The same of the training images, where folds were asked for and can be made."""
    likenesses: tuple[Likeness, ...] | None = None
    """Near duplicates; None if nobody looked for them."""
    targets: TargetCounts | None = None
    """What there is besides classes; None where there is nothing."""

    @property
    def has_errors(self) -> bool:
        """Whether a build should not be begun."""
        return any(finding.severity == "error" for finding in self.findings)

    def count(self, severity: Severity) -> int:
        """The number of findings of one severity."""
        return sum(finding.severity == severity for finding in self.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intention:
    """What would be done with the images."""

    pipeline: Pipeline | None = None
    """None looks at the images alone."""
    recipe: Recipe | None = None
    """None says nothing about the size of the result."""
    output: Path | None = None
    """Where there must be room."""
    allow_label_conflicts: bool = False
    """Equal images under different labels are a warning, not an error."""
    folds: int | None = None
    """Into how many folds the training images would be dealt."""
    fold_seed: int = 0


def check_suitability(
    population: Population,
    intention: Intention,
    options: BuildOptions,
    *,
    likenesses: Sequence[Likeness] | None = None,
    targets: TargetCounts | None = None,
    source: Source | None = None,
) -> CheckReport:
    """Looks for what is wrong.

    Args:
        population: the images, scanned with ``allow_split_leaks`` so that leaks can be listed.
        intention: what would be done with them.
        options: how many images may be bad, and whether leaks are accepted after all.
        likenesses: the near duplicates; None if nobody looked for them.
        targets: what there is besides classes.
        source: of the images; with it, code of the user's that the pipeline calls is tried on some.
    """
    splits = partition_of(population, np.arange(len(population)), population.splits, SPLITS)
    findings = [
        *_image_findings(population, options),
        *_split_findings(population, splits, options),
        *_label_findings(population, intention.allow_label_conflicts),
        *_target_findings(targets),
    ]
    numbers, folds = None, None
    if intention.folds is not None:
        try:
            numbers, folds = _folded(population, intention.folds, intention.fold_seed)
            findings += _gap_findings(folds, "folds", folds.names)
        except ConfigError as error:
            findings.append(_finding("error", "folds", error))
    if likenesses:
        findings.append(_likeness_finding(population, likenesses, numbers))
    extent = None
    if intention.pipeline is not None and len(population):
        findings += _pipeline_findings(population, intention.pipeline)
        if source is not None:
            findings += _code_findings(source, intention.pipeline, intention.recipe, population)
        extent, more = _refusals(population, intention.pipeline, intention.recipe, findings)
        findings += more
    elif len(population):
        findings += _size_findings(population)
    if extent is not None and intention.output is not None:
        findings += _room_findings(extent, intention.output)
    ranked = sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))
    alike = None if likenesses is None else tuple(likenesses)
    return CheckReport(population, tuple(ranked), extent, splits, folds, alike, targets)


def _image_findings(population: Population, options: BuildOptions) -> Iterator[Finding]:
    """Bad files."""
    bad = population.quarantined
    named = first_few((f"{item.locator} ({item.reason})" for item in bad), shown=_NAMED)
    try:
        check_quarantine(population, options.max_bad)
    except QuarantineLimitError as error:
        yield _finding("error", "images", error)
    else:
        if bad:
            message = f"{len(bad)} files are bad and would be left out: {named}"
            yield Finding("warning", "images", message, "repair them, or leave it so")


def _target_findings(targets: TargetCounts | None) -> Iterator[Finding]:
    """What annotations say that could not be taken as it is."""
    for note in () if targets is None else targets.notes:
        advice = "correct the annotations, or leave it so"
        yield Finding("warning", "targets", str(note), advice)


def _split_findings(
    population: Population, splits: Partition, options: BuildOptions
) -> Iterator[Finding]:
    """Images and groups in several splits, nothing to augment, classes that nobody tests."""
    leaks = splits.torn_contents
    if leaks:
        severity: Severity = "warning" if options.scan.allow_split_leaks else "error"
        message = f"{len(leaks)} images are in several splits: {first_few(leaks, shown=_NAMED)}"
        advice = "exclude all but one of each, or accept it with --allow-split-leaks"
        yield Finding(severity, "splits", message, advice)
    torn = splits.torn_groups
    if torn:
        message = f"{len(torn)} groups are in several splits: {first_few(torn, shown=_NAMED)}"
        advice = "give all images of a group one split, unless its images have nothing in common"
        yield Finding("warning", "splits", message, advice)
    if options.scan.division is not None:
        wanted = zip(SPLITS, options.scan.division.weights, strict=True)
        yield from _gap_findings(splits, "splits", [split for split, weight in wanted if weight])
    if len(population) and not population.split_rows("train"):
        message = "no image is in the training split, and only that is augmented"
        yield Finding("error", "splits", message, "name the split that is to be trained on train")


def _label_findings(population: Population, allow_conflicts: bool) -> Iterator[Finding]:
    """Contradictory labels, duplicates, classes that cannot be learnt."""
    conflicts = population.label_conflicts
    if conflicts:
        listed = (f"{' = '.join(c.locators)} ({' and '.join(c.labels)})" for c in conflicts)
        named = first_few(listed, shown=_NAMED)
        message = f"{len(conflicts)} images are there under different labels: {named}"
        advice = "exclude the wrong ones, or accept it with --allow-label-conflicts"
        yield Finding("warning" if allow_conflicts else "error", "labels", message, advice)
    repeated = sum(len(rows) - 1 for rows in equal_rows(population.digests))
    if repeated:
        message = f"{repeated} images are exact duplicates of others"
        advice = "each gets its own draws, so it counts twice in training; exclude it unless wanted"
        yield Finding("warning", "images", message, advice)
    training = population.split_rows("train")
    labels = population.labels[training.start : training.stop]
    if population.class_names and training and labels[0] >= 0:
        counts = np.bincount(labels, minlength=len(population.class_names))
        absent = [n for n, c in zip(population.class_names, counts, strict=True) if not c]
        if absent:
            named = first_few(absent, shown=_NAMED)
            message = f"{_classes_have(len(absent))} no training image: {named}"
            yield Finding("warning", "labels", message, "add images, or remove the classes")


def _size_findings(population: Population) -> Iterator[Finding]:
    """Images of several sizes, where no pipeline says what becomes of them."""
    if population.uniform_size() is not None:
        return
    pairs = np.stack([population.heights, population.widths], axis=1)
    sizes, first, counts = np.unique(pairs, axis=0, return_index=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_NAMED]
    named = ", ".join(
        f"{counts[i]} of {sizes[i][0]}×{sizes[i][1]} ({population.locators[first[i]]})"
        for i in order.tolist()
    )
    message = f"the images have {len(sizes)} sizes: {named}{' …' if len(sizes) > _NAMED else ''}"
    advice = "begin the pipeline with a resize step or a crop: stored images have one size"
    yield Finding("warning", "sizes", message, advice)


def _pipeline_findings(population: Population, pipeline: Pipeline) -> list[Finding]:
    sizes = np.unique(np.stack([population.heights, population.widths], axis=1), axis=0)
    return diagnose(
        pipeline,
        sizes=[(int(height), int(width)) for height, width in sizes],
        class_names=population.class_names,
        channels=population.channels,
        dtype=population.dtype,
    )


def _code_findings(
    source: Source, pipeline: Pipeline, recipe: Recipe | None, population: Population
) -> Iterator[Finding]:
    """Code of the user's that no worker could import, or that does not repeat itself."""
    for step in user_code_of(pipeline.steps):
        if step.foreign_objection:
            message = f"{step.title} cannot be imported by workers or later sessions"
            yield Finding("error", step.title, message, step.foreign_objection)
    if population.split_rows("train"):
        used = recipe or Recipe(copies=1)
        for where, message, advice in rehearsed(source, pipeline, used, population):
            yield Finding("error", where, message, advice)


def _folded(population: Population, folds: int, seed: int) -> tuple[NDArray[np.int8], Partition]:
    """The fold of every training image, and what they come to.

    Raises:
        ConfigError: there are too few images for so many.
    """
    training = population.split_rows("train")
    here = slice(training.start, training.stop)
    rows = np.arange(training.start, training.stop)
    numbers = fold_numbers(
        population.ids[here], population.labels[here], population.groups.taken(rows),
        population.digests[here], folds=folds, seed=seed,
    )  # fmt: skip
    names = [f"fold {fold}" for fold in range(folds)]
    return numbers, partition_of(population, rows, numbers, names)


def _classes_have(count: int) -> str:
    return "1 class has" if count == 1 else f"{count} classes have"


def _gap_findings(partition: Partition, where: str, expected: Sequence[str]) -> Iterator[Finding]:
    """Classes of which some parts have no image."""
    gaps = []
    for label, counts in zip(partition.class_names, partition.counts, strict=True):
        pairs = zip(partition.names, counts, strict=True)
        missing = [name for name, count in pairs if name in expected and not count]
        if missing and any(counts):
            gaps.append(f"{label or 'all'} ({first_few(missing, shown=_NAMED)})")
    if gaps:
        message = f"{_classes_have(len(gaps))} no image in some of the {where}: "
        advice = "add images, divide the groups that are too large, or ask for fewer parts"
        yield Finding("warning", where, message + first_few(gaps, shown=_NAMED), advice)


def _likeness_finding(
    population: Population, likenesses: Sequence[Likeness], folds: NDArray[np.int8] | None
) -> Finding:
    """Near duplicates, those in different splits or folds first."""

    def place(row: int) -> str:
        split = SPLITS[population.splits[row]]
        # Training comes first: a training row's number is its place among the training rows.
        is_folded = folds is not None and split == "train"
        return f"{split}, fold {folds[row]}" if is_folded and folds is not None else split

    pairs = [(pair, place(pair.first), place(pair.second)) for pair in likenesses]
    leaks = sum(one != other for _, one, other in pairs)
    pairs.sort(key=lambda found: found[1] == found[2])
    named = first_few(
        (
            f"{population.locators[pair.first]} ({one}) ≈ "
            f"{population.locators[pair.second]} ({other})"
            for pair, one, other in pairs
        ),
        shown=_NAMED,
    )
    message = (
        f"{len(pairs)} pairs of images are nearly the same, {leaks} of them in different splits "
        f"or folds: {named}"
    )
    advice = "look at them; exclude one of each pair, or give both one group so they stay together"
    return Finding("warning", "images", message, advice)


def _refusals(
    population: Population, pipeline: Pipeline, recipe: Recipe | None, found: Sequence[Finding]
) -> tuple[Extent | None, list[Finding]]:
    """How much would be written, or why a build would refuse to.

    Args:
        population: at least one image.
        pipeline: what would happen to them.
        recipe: what would be built, if that is known.
        found: what is wrong already.
    """
    # Where the copies end with several sizes, the diagnosis has said so; it knows no originals.
    with contextlib.suppress(SizeMismatchError):
        shape = copy_shape(pipeline, population)
        try:
            return _extent(population, pipeline, recipe, shape), []
        except SizeMismatchError as error:
            return None, [_finding("error", "originals", error)]
        except ConfigError as error:
            # Most refusals have been looked for, and been found with others of their kind.
            if not any(finding.severity == "error" for finding in found):
                return None, [_finding("error", "pipeline", error)]
    return None, []


def _extent(
    population: Population, pipeline: Pipeline, recipe: Recipe | None, shape: tuple[int, int, int]
) -> Extent | None:
    """How much would be written.

    Raises:
        SizeMismatchError: the untouched images would have different sizes.
        ConfigError: a build would refuse.
    """
    if recipe is None:
        check_feasible(pipeline, _NO_RECIPE, population)
        return None
    population = balanced(population, recipe.balance, recipe.balance_cap)
    check_feasible(pipeline, recipe, population)
    work = list(planning.tasks(pipeline, recipe, population))
    specs = [spec for task in work for spec in task.specs]
    rows = sum(spec.num_rows for spec in specs)
    return Extent(shape, rows, len(specs), planning.estimated_bytes(work))


def _room_findings(extent: Extent, output: Path) -> Iterator[Finding]:
    place = output.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if extent.num_bytes > free:
        message = f"{output}: up to {extent.num_bytes:,} bytes would be written, {free:,} are free"
        advice = "free some space, or ask for fewer copies or another codec"
        yield Finding("error", "disk", message, advice)


def _finding(severity: Severity, where: str, error: Exception) -> Finding:
    """A refusal of the build's as a finding; our messages end with the advice."""
    message, _, advice = str(error).rpartition("; ")
    return Finding(severity, where, message or advice, advice if message else "")
