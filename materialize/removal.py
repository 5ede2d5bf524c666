"""Takes samples out of a dataset: out of its population, its shards and whatever is derived.

It becomes the next manifest of the dataset. Only the shards of the runs concerned are written
again, from the pixels that stand; every other shard keeps its name and its bytes, because a run
keeps its number and its first row as they were when it was cut (`PopulationEntry.cuts`). The bytes
of all other samples are unchanged.

What is remembered of a removed sample is its id, in the plan: without it, an extension from a
source that still has the image would bring it back. An id is made of the image's SHA-256: whoever
has the image can tell that it was here, and nobody can make the image of it. Earlier manifests keep
no id and no locator; superseded shards and populations do, until `materialize gc`, and so do the
files of a catalogue. Of equal images only those that are named go; the report says which stay.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from materialize.audit.naming_samples import find_samples
from materialize.audit.standing import StandingDataset, by_run, run_key
from materialize.builder import plan_tasks
from materialize.errors import ConfigError
from materialize.inventory import outdated_catalogue
from materialize.manifest import Manifest, PopulationEntry, RunCut
from materialize.partners import holes_after
from materialize.planning import split_runs, take_rows
from materialize.plans import check_claimable, claim, population_entry, read_plan, successor
from materialize.population.table import Population
from materialize.production import (
    BuildOptions,
    Production,
    check_room,
    lay_out,
    left_to_write,
    store_population,
)
from materialize.progress import Progress
from materialize.recipe import Recipe
from materialize.restocking import supply, with_stock
from materialize.sources.base import SPLITS
from materialize.transcoding import check_whole, superseded_bytes


@dataclass(frozen=True, slots=True)
class RemovalReport:
    """What was taken out, and what that took."""

    directory: Path
    before: Manifest
    manifest: Manifest
    removed: tuple[str, ...]
    """Ids of the samples, in hex."""
    equals: tuple[str, ...]
    """Ids of samples that stay and are of the same content as one that went, in hex."""
    catalogue: tuple[str, ...]
    """Files of `materialize metadata` that still name the samples, until `materialize gc`."""
    num_written: int
    """Shards written again."""
    seconds: float

    @property
    def superseded_bytes(self) -> int:
        """Of shards that still hold the images, until `materialize gc`."""
        return superseded_bytes(self.before, self.manifest)


def remove_samples(
    directory: str | Path,
    samples: Sequence[str],
    *,
    source: object | None = None,
    options: BuildOptions = BuildOptions(),
    progress: Progress | None = None,
) -> RemovalReport:
    """Removes samples with all their copies from a complete dataset.

    Shards of the newest manifest no longer hold them; those of earlier manifests do until
    `materialize gc`.

    Args:
        directory: the dataset.
        samples: sample ids in hex or their beginnings, or where the sources are, as `explain` takes
            them.
        source: for shards of a lossy codec, where to look for the other images of their runs; where
            they were last seen by default.
        options: how to go about it; there are no parts.
        progress: called as images are written.

    Raises:
        ConfigError: a name means no sample or several, or no training image would be left.
        SourceError: shards are of a lossy codec, and the source is not there or lacks images.
        PlanConflictError: something else was begun and not finished.
        MaterializeError: whatever else prevents it; the dataset stays as it was.
    """
    started, place = time.monotonic(), Path(directory)
    check_whole(options)
    dataset = StandingDataset.open(place)
    previous = read_plan(place, dataset.manifest.number)
    gone = _rows_gone(dataset, samples, previous.removed)
    populations = tuple(map(_without, dataset.populations, gone))
    _check_left(place, populations, sum(map(len, gone)))
    removed = _ids(dataset.populations, gone)
    plan = replace(
        successor(previous, dataset.manifest),
        populations=tuple(_entries(dataset, previous.recipe, populations, gone)),
        removed=tuple(sorted({*previous.removed, *removed})),
    )
    check_claimable(place, plan)
    tasks, kept = left_to_write(plan_tasks(plan, populations), dataset.manifest.shards)
    runs = by_run(dataset.manifest.shards)
    everything = dataset.manifest.shards
    stocked = [with_stock(task, runs[run_key(task.specs[0])], everything) for task in tasks]
    supplied = supply(
        dataset, populations, plan.populations, stocked, source=source, crew=options.crew
    )
    check_room(place, supplied.tasks)
    lay_out(place)
    for entry, population in zip(plan.populations, populations, strict=True):
        store_population(place, entry, population)
    claim(place, plan)
    job = Production(
        place, supplied.source, dataset.pipeline, plan, supplied.populations, supplied.tasks, kept
    )
    report = job.run(options, started, progress)
    manifest = dataset.manifest if report.manifest is None else report.manifest
    return RemovalReport(
        place, dataset.manifest, manifest, removed, _equals(dataset.populations, gone),
        outdated_catalogue(place, manifest), report.num_built, report.seconds,
    )  # fmt: skip


def _rows_gone(
    dataset: StandingDataset, samples: Sequence[str], removed: Sequence[str]
) -> list[NDArray[np.int64]]:
    """By generation, the rows to take out, ascending."""
    if not samples:
        raise ConfigError(
            "sample: expected the names of samples to remove, got none; give --sample or "
            "--samples-file",
            {"name": "sample", "found": ()},
        )
    places = find_samples(dataset.populations, samples, removed)
    return [
        np.array([row for g, row in places if g == generation], np.int64)
        for generation in range(1, len(dataset.populations) + 1)
    ]


def _ids(populations: Sequence[Population], gone: Sequence[NDArray[np.int64]]) -> tuple[str, ...]:
    """The ids of these rows, in hex, ascending."""
    pairs = zip(populations, gone, strict=True)
    return tuple(sorted(bytes(i).hex() for population, rows in pairs for i in population.ids[rows]))


def _equals(
    populations: Sequence[Population], gone: Sequence[NDArray[np.int64]]
) -> tuple[str, ...]:
    """The ids of rows that stay and have the content of one of these, in hex, ascending."""
    pairs = list(zip(populations, gone, strict=True))
    contents = {
        digest.tobytes() for population, rows in pairs for digest in population.digests[rows]
    }
    return tuple(
        sorted(
            population.ids[row].tobytes().hex()
            for population, rows in pairs
            for row in np.delete(np.arange(len(population)), rows)
            if population.digests[row].tobytes() in contents
        )
    )


def _without(population: Population, gone: NDArray[np.int64]) -> Population:
    if not len(gone):
        return population
    kept = np.delete(np.arange(len(population)), gone)
    return take_rows(population, kept, population.quarantined)


def _check_left(place: Path, populations: Sequence[Population], num_gone: int) -> None:
    if not any(population.split_rows("train") for population in populations):
        raise ConfigError(
            f"{place}: expected some training images to stay, got all of them among the "
            f"{num_gone} to remove; delete the directory instead. Nothing was changed",
            {"name": "sample", "found": num_gone},
        )


def _entries(
    dataset: StandingDataset,
    recipe: Recipe,
    populations: Sequence[Population],
    gone: Sequence[NDArray[np.int64]],
) -> list[PopulationEntry]:
    """What the plan says of each generation; one that lost nothing is as it was."""
    entries = []
    for number, entry in enumerate(dataset.manifest.populations):
        rows = gone[number]
        if not len(rows):
            entries.append(entry)
            continue
        left = population_entry(entry.generation, populations[number])
        holes = holes_after(dataset.pipeline, entry, dataset.populations[number], rows)
        entries.append(replace(left, cuts=_cuts(dataset, recipe, entry, rows), holes=holes))
    return entries


def _cuts(
    dataset: StandingDataset, recipe: Recipe, entry: PopulationEntry, gone: NDArray[np.int64]
) -> dict[str, tuple[RunCut, ...]]:
    """By split that lost images now or before, its runs as they are left."""
    cuts = {}
    old = dataset.population_of(entry.generation)
    for split in SPLITS:
        rows = old.split_rows(split)
        runs = split_runs(dataset.pipeline, recipe, old, split, entry.cuts)
        is_concerned = split in entry.cuts or ((gone >= rows.start) & (gone < rows.stop)).any()
        if not runs or not is_concerned:
            continue
        left, start = [], 0
        for cut in runs:
            first = rows.start + cut.start
            here = (gone >= first) & (gone < first + cut.num_rows)
            num_left = cut.num_rows - int(here.sum())
            if num_left:
                left.append(RunCut(cut.run, cut.first_row, start, num_left))
            start += num_left
        cuts[split] = tuple(left)
    return cuts
