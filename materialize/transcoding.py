"""Another codec or another storage mode for a dataset that stands.

It becomes the next manifest of the dataset: the shards that were there stay, for whoever reads the
one before, until `materialize gc` takes them. Pixels come from the standing shards wherever these
give them back exactly (lossless shards of the same copy, stored originals for copies), and are
rendered from the source where they do not. A shard that is made of one shard must end with its
content digest, or nothing is published.

Killed anywhere, the same call goes on: the plan is claimed before the first shard, like a build's.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from materialize.audit.standing import StandingDataset
from materialize.builder import plan_tasks
from materialize.errors import ConfigError
from materialize.feasibility import check_feasible
from materialize.manifest import Manifest
from materialize.planning import Task
from materialize.plans import Plan, check_claimable, claim, read_plan, successor
from materialize.production import (
    BuildOptions,
    Production,
    check_room,
    lay_out,
    left_to_write,
)
from materialize.progress import Progress
from materialize.recipe import Recipe
from materialize.restocking import Supply, supply, traced_source, with_stock
from materialize.shards.layout import ShardEntry
from materialize.whereabouts import note_source


@dataclass(frozen=True, slots=True)
class TranscodeReport:
    """What a dataset was and what it is."""

    directory: Path
    before: Manifest
    manifest: Manifest
    num_written: int
    """Shards written by this call."""
    is_from_source: bool
    """Whether images were read from the source."""
    seconds: float

    @property
    def superseded_bytes(self) -> int:
        """Of shards that only earlier manifests name, until `materialize gc`."""
        return superseded_bytes(self.before, self.manifest)


def superseded_bytes(before: Manifest, manifest: Manifest) -> int:
    """The bytes of shards that one manifest names and the other does not."""
    there = {entry.file for entry in manifest.shards}
    return sum(entry.num_bytes for entry in before.shards if entry.file not in there)


def check_whole(options: BuildOptions) -> None:
    """Refuses to work in parts.

    Raises:
        ConfigError: the options name one.
    """
    if options.part is not None:
        raise ConfigError(
            f"part: expected to work in one piece, got part {options.part[0]} of "
            f"{options.part[1]}; leave it out",
            {"name": "part", "found": options.part},
        )


def transcode_dataset(
    directory: str | Path,
    *,
    codec: str | None = None,
    storage: str | None = None,
    source: object | None = None,
    options: BuildOptions = BuildOptions(),
    progress: Progress | None = None,
) -> TranscodeReport:
    """Gives a complete dataset another codec, another storage mode, or both.

    Args:
        directory: the dataset.
        codec: of all its shards; as it is by default.
        storage: ``pixels``, ``prefix`` or ``recipe``; as it is by default.
        source: where to look for images that are not stored; where they were last seen by default.
        options: how to go about it; there are no parts.
        progress: called as images are written.

    Raises:
        ConfigError: there is nothing to change, or an option is outside its set.
        SourceError: it takes the source, and that is not there or lacks images.
        BuildIncompleteError: time ran out; the same call goes on.
        PlanConflictError: something else was begun and not finished.
        MaterializeError: whatever else prevents it; the dataset stays as it was.
    """
    started, place = time.monotonic(), Path(directory)
    check_whole(options)
    dataset = StandingDataset.open(place)
    previous = read_plan(place, dataset.manifest.number)
    plan = _planned(dataset, previous, codec, storage)
    check_claimable(place, plan)
    tasks, kept = left_to_write(plan_tasks(plan, dataset.populations), dataset.manifest.shards)
    supplied = _supplied(dataset, tasks, plan.recipe, source, options)
    check_room(place, supplied.tasks)
    lay_out(place)
    claim(place, plan)
    if plan.recipe.storage == "recipe" and supplied.source is not None:
        note_source(place, supplied.source)
    job = Production(
        place, supplied.source, dataset.pipeline, plan, supplied.populations, supplied.tasks, kept
    )
    report = job.run(options, started, progress)
    manifest = dataset.manifest if report.manifest is None else report.manifest
    return TranscodeReport(
        place, dataset.manifest, manifest, report.num_built, supplied.source is not None,
        report.seconds,
    )  # fmt: skip


def _planned(
    dataset: StandingDataset,
    previous: Plan,
    codec: str | None,
    storage: str | None,
) -> Plan:
    """The plan of the dataset as it is asked for.

    Raises:
        ConfigError: it is so already, or cannot be.
    """
    before = previous.recipe
    recipe = replace(before, codec=codec or before.codec, storage=storage or before.storage)
    if recipe == before:
        raise ConfigError(
            f"{dataset.directory}: expected another codec or storage mode, got what it has: "
            f"{before.storage} in {before.codec}; name one with --codec or --storage. Nothing was "
            "changed",
            {"name": "codec", "expected": "another", "found": (before.codec, before.storage)},
        )
    for population in dataset.populations:
        if population.split_rows("train"):
            check_feasible(dataset.pipeline, recipe, population)
    populations = previous.populations
    if recipe.storage != before.storage:
        # Runs are cut for what is stored of an image: all are cut anew.
        populations = tuple(replace(entry, cuts={}) for entry in populations)
    return replace(successor(previous, dataset.manifest), recipe=recipe, populations=populations)


def _supplied(
    dataset: StandingDataset,
    tasks: list[Task],
    recipe: Recipe,
    source: object | None,
    options: BuildOptions,
) -> Supply:
    """The tasks with their pixels; a recipe needs none, but sources that are there."""
    populations, crew = dataset.populations, options.crew
    if recipe.storage == "recipe":
        rows = {g: np.arange(len(p)) for g, p in enumerate(populations, start=1)}
        opened, placed = traced_source(
            dataset, populations, rows, source=source, crew=crew,
            why="a recipe holds no image, so it is worth what its source is",
        )  # fmt: skip
        return Supply((), opened, placed)
    standing: dict[tuple[int, str], list[tuple[range, ShardEntry]]] = {}
    for entry in dataset.manifest.shards:
        key = (entry.spec.generation, entry.spec.split)
        held = dataset.rows_of(entry.spec)
        span = range(int(held[0]), int(held[-1]) + 1)
        standing.setdefault(key, []).append((span, entry))
    stocked = []
    for task in tasks:
        first, stop = task.first_row, task.first_row + task.num_rows
        beside = standing.get((task.generation, task.specs[0].split), [])
        there = [e for rows, e in beside if rows.start < stop and rows.stop > first]
        stocked.append(with_stock(task, there, dataset.manifest.shards))
    entries = dataset.manifest.populations
    return supply(dataset, populations, entries, stocked, source=source, crew=crew)
