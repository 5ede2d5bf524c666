"""Adds copies and images to a complete dataset; no byte that exists changes.

What is new is decided once, stored as a plan and a population, and then built like any other plan:
an extension that was interrupted goes on from these, whatever the source has become since.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from materialize import planning
from materialize.builder import load_populations, noted, plan_tasks, scanned
from materialize.errors import ConfigError, PlanConflictError, SourceError
from materialize.feasibility import check_code, check_feasible, copy_shape
from materialize.manifest import Manifest, load_latest
from materialize.numbering import numbered_on
from materialize.placement import check_told, names_splits, placed
from materialize.plans import Plan, begun_plan, claim, next_plan, read_plan
from materialize.population import Population, balanced
from materialize.production import (
    BuildOptions,
    BuildReport,
    Production,
    check_room,
    lay_out,
    left_to_write,
    store_population,
)
from materialize.progress import Progress
from materialize.sources import Source
from materialize.sources.base import SPLITS, first_few
from materialize.whereabouts import find_source, note_source


def extend_dataset(
    output: str | Path,
    *,
    copies: int | None = None,
    source: object | None = None,
    options: BuildOptions = BuildOptions(),
    progress: Progress | None = None,
) -> BuildReport:
    """Adds copies, images or both to a complete dataset; no byte that exists changes.

    New images are those whose content no earlier generation has, or has less often; they become a
    generation of their own. Images that are gone, relabelled or moved to another split since stay
    in the dataset as they were.

    New images of a source that names no splits are cut by the division of ``options.scan``, which a
    dataset does not remember: where it has validation or test images, one must be given again. An
    image whose content or group the dataset has already goes where these are.

    Args:
        output: the dataset.
        copies: how many copies there shall be, not fewer than there are; as many by default.
        source: where to look for images; where it was last seen by default.
        options: how to go about it.
        progress: called as images are scanned and written.

    Raises:
        BuildIncompleteError: time ran out; the same call goes on.
        SourceError: images that the new copies are made of are gone from the source, or a new one
            belongs to two splits.
        ConfigError: new images are to be cut and nobody says how, or have splits of their own.
        PlanConflictError: another extension was begun and not finished.
        MaterializeError: whatever else prevents it; the dataset stays as it was.
    """
    started, directory = time.monotonic(), Path(output)
    manifest = load_latest(directory)
    previous = read_plan(directory, manifest.number)
    old = load_populations(directory, previous)
    opened = find_source(directory, source)
    found = scanned(
        opened, _same_scan(options, previous, old, opened), previous.class_names, progress,
        known_targets=old[-1].schema,
    )  # fmt: skip
    found, num_skipped = numbered_on(found, old, previous.removed)
    has_splits, division = names_splits(found, old), options.scan.division
    if division is not None or not has_splits:
        found = placed(found, old, options.scan)
    plan = begun_plan(directory, manifest.number + 1)
    if plan is None:
        plan, added = _decided(manifest, previous, copies, old, found, options.scan.exclude)
        if plan is None:
            spent = time.monotonic() - started
            return BuildReport(directory, manifest, old, 0, spent, {}, _skipped(num_skipped))
        if added is not None:
            check_told(directory, added, has_splits=has_splits, division=division)
        populations = old if added is None else (*old, added)
    else:
        _check_wish(directory, previous, plan, copies)
        added, populations = None, load_populations(directory, plan)
    work, standing = left_to_write(plan_tasks(plan, populations), manifest.shards)
    needed = {task.generation for task in work}
    if plan.load_pipeline().is_mixing and needed:
        needed = set(range(1, max(needed) + 1))  # partners are of all generations before
    populations = _relocated(populations, found, needed)
    check_room(directory, work)
    check_code(plan.load_pipeline())
    lay_out(directory)
    if added is not None:
        store_population(directory, plan.populations[-1], added)
    claim(directory, plan)
    if _has_all(found, populations):
        note_source(directory, opened)
    job = Production(
        directory, opened, plan.load_pipeline(), plan, populations, work, standing,
        (*_skipped(num_skipped), *_drift(found, old), *noted(opened)),
    )  # fmt: skip
    return job.run(options, started, progress)


def _same_scan(
    options: BuildOptions, previous: Plan, old: Sequence[Population], source: Source
) -> BuildOptions:
    """The options with what the dataset was scanned with: its colour, and what was excluded.

    Nothing is divided: that would move images which have a split.
    """
    excluded = set(options.scan.exclude)
    if previous.excluded:
        here = {source.record(index).locator for index in range(len(source))}
        excluded |= here.intersection(previous.excluded)
    color = "grey" if old[0].channels == 1 else "rgb"
    scan_options = replace(
        options.scan, color=color, exclude=tuple(sorted(excluded)), division=None
    )
    return replace(options, scan=scan_options)


def _check_wish(directory: Path, previous: Plan, plan: Plan, copies: int | None) -> None:
    grown = replace(previous.recipe, copies=plan.recipe.copies)
    if plan.recipe != grown or plan.removed != previous.removed:
        raise PlanConflictError(
            f"{directory}: expected the plan of an extension in {plan.file_name}, found that of a "
            "`materialize transcode` or `remove` that was begun and not finished. Run that command "
            f"again to go on with it, or delete {plan.file_name} there to give it up",
            {"path": str(directory), "found": plan.file_name},
        )
    if copies not in (None, plan.recipe.copies):
        raise PlanConflictError(
            f"{directory}: expected the {plan.recipe.copies} copies of the extension that was "
            f"begun and not finished, got {copies}. Ask for these to go on with it, or "
            f"delete {plan.file_name} there to give it up",
            {"path": str(directory), "expected": plan.recipe.copies, "found": copies},
        )


def _decided(
    manifest: Manifest,
    previous: Plan,
    copies: int | None,
    old: Sequence[Population],
    found: Population,
    exclude: Sequence[str],
) -> tuple[Plan | None, Population | None]:
    """The plan of this extension and its new images; no plan where there is nothing to add."""
    wanted = previous.recipe.copies if copies is None else copies
    if wanted < previous.recipe.copies:
        raise ConfigError(
            f"copies: expected at least the {previous.recipe.copies} that there are, got {wanted}; "
            "copies are only ever added",
            {"name": "copies", "expected": previous.recipe.copies, "found": wanted},
        )
    added = _unknown(found, old)
    if added is not None:  # among itself: who came before keeps the draws that there are
        added = balanced(added, previous.recipe.balance, previous.recipe.balance_cap)
    if added is None and wanted == previous.recipe.copies:
        return None, None
    if added is not None and previous.recipe.folds is not None:
        raise ConfigError(
            f"the source: expected no new images, found {len(added)}: this dataset mixes images "
            "within the folds of those it was built with; exclude them to add copies alone, or "
            "build another dataset",
            {"name": "folds", "expected": 0, "found": len(added)},
        )
    plan = next_plan(previous, manifest, wanted, added, exclude)
    if added is not None:
        _check_alike(plan, added, old[0])
    return plan, added


def _check_alike(plan: Plan, added: Population, first: Population) -> None:
    """New images must be storable beside the old ones."""
    pipeline = plan.load_pipeline()
    if added.dtype != first.dtype:
        raise ConfigError(
            f"the source: expected {first.dtype} images as the dataset has them, got "
            f"{added.dtype}; convert them, or build another dataset",
            {"name": "dtype", "expected": first.dtype, "found": added.dtype},
        )
    if not len(added.split_rows("train")):
        return
    check_feasible(pipeline, plan.recipe, added)
    expected, found = copy_shape(pipeline, first), copy_shape(pipeline, added)
    if expected != found:
        raise ConfigError(
            f"the new images: expected copies of {expected} as the dataset has them, got {found}; "
            "bring them to the size of the others, or build another dataset",
            {"name": "size", "expected": expected, "found": found},
        )


def _unknown(found: Population, old: Sequence[Population]) -> Population | None:
    """The rows that no earlier generation has, or None."""
    known = np.concatenate([_as_items(population.ids) for population in old])
    new = np.flatnonzero(~np.isin(_as_items(found.ids), known))
    return planning.take_rows(found, new, found.quarantined) if len(new) else None


def _relocated(
    populations: Sequence[Population], found: Population, needed: set[int]
) -> tuple[Population, ...]:
    """The populations with their rows' places in the source as it is now, by content.

    Raises:
        SourceError: rows of a generation that has work are not there.
    """
    places = dict(zip(map(bytes, found.content_keys()), found.source_index.tolist(), strict=True))
    moved = []
    for generation, population in enumerate(populations, start=1):
        index = np.array(
            [places.get(bytes(key), -1) for key in population.content_keys()], dtype=np.int64
        )
        lost = np.flatnonzero(index < 0)
        if generation in needed and len(lost):
            names = [population.locators[row] for row in lost[:3].tolist()]
            raise SourceError(
                f"the source: expected all {len(population)} images that new copies are made of, "
                f"{len(lost)} are gone or changed: {first_few(names)}; bring them back, or name a "
                "source that has them with --source. Nothing was changed",
                {"missing": len(lost), "first": names},
            )
        moved.append(replace(population, source_index=np.where(index < 0, 0, index)))
    return tuple(moved)


def _has_all(found: Population, populations: Sequence[Population]) -> bool:
    """True if the source is good for every image of the dataset."""
    here = found.content_keys()
    return all(np.isin(population.content_keys(), here).all() for population in populations)


@dataclass(frozen=True, slots=True)
class _Standing:
    """What the dataset says of an image."""

    label: str
    split: str


def _drift(found: Population, old: Sequence[Population]) -> tuple[str, ...]:
    """A warning for images that were relabelled or moved to another split since."""
    known = {
        population.ids[row].tobytes(): _Standing(
            population.label_name(row), SPLITS[population.splits[row]]
        )
        for population in old
        for row in range(len(population))
    }
    changed = [
        f"{found.locators[row]} ({before.split}/{before.label})"
        for row in range(len(found))
        if (before := known.get(found.ids[row].tobytes()))
        and before != _Standing(found.label_name(row), SPLITS[found.splits[row]])
    ]
    if not changed:
        return ()
    warning = (
        f"{len(changed)} images were relabelled or moved to another split since; the dataset "
        f"keeps them as they were: {first_few(changed)}"
    )
    return (warning,)


def _skipped(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    return (f"{count} images were left out: they were removed from this dataset",)


def _as_items(ids: NDArray[np.uint8]) -> NDArray[np.void]:
    items: NDArray[np.void] = np.ascontiguousarray(ids).view("V16")[:, 0]
    return items
