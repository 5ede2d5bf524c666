"""Where the pixels of shards come from that a dataset gets in place of those it has.

From the standing shards wherever these give them back exactly: the same copy, or a copy rendered
from stored originals. Otherwise from the source, which is then looked at before anything is
written: what is gone from it is named, and nothing is changed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from materialize.audit.standing import StandingDataset
from materialize.audit.tracing import LostRecord, trace
from materialize.errors import SourceError
from materialize.executor import Crew
from materialize.feasibility import check_code
from materialize.manifest import PopulationEntry
from materialize.partners import pools_of, rows_needed
from materialize.planning import Task
from materialize.population.table import Population
from materialize.shards.layout import ShardEntry
from materialize.sources.base import Source, first_few
from materialize.stock import ORIGINAL, is_stock, stock_key
from materialize.whereabouts import find_source


@dataclass(frozen=True, slots=True, eq=False)
class Supply:
    """Tasks that know where their pixels come from."""

    tasks: tuple[Task, ...]
    source: Source | None
    """None where no task needs it."""
    populations: tuple[Population, ...]
    """By generation, with the places of needed rows in the source as it is now."""


def with_stock(
    task: Task, standing: Iterable[ShardEntry], everything: Iterable[ShardEntry]
) -> Task:
    """A task with those of the standing shards that its pixels can be taken from.

    Args:
        task: what to write.
        standing: shards that hold its rows, all of each copy.
        everything: all standing shards, where whom it is mixed with may be.
    """
    wanted = set(map(stock_key, task.specs))
    partners = {stock_key(spec): spec.partners_digest for spec in task.specs}
    usable = [
        entry
        for entry in standing
        if is_stock(entry)
        # Who lost a partner is another image.
        and entry.spec.partners_digest == partners.get(stock_key(entry.spec), "")
    ]
    missing = wanted - {stock_key(entry.spec) for entry in usable}
    wanted |= {(ORIGINAL, is_mask) for _, is_mask in missing}
    originals: tuple[ShardEntry, ...] = ()
    if any(partners[key] for key in missing):
        trained = [e for e in everything if (e.spec.kind, e.spec.split) == ("original", "train")]
        originals = tuple(trained) if all(map(is_stock, trained)) else ()
    stock = tuple(entry for entry in usable if stock_key(entry.spec) in wanted)
    return replace(task, stock=stock, partner_stock=originals)


def needs_source(task: Task) -> bool:
    """Whether some of a task's pixels are not in its stock."""
    held = {stock_key(entry.spec) for entry in task.stock}
    made = [spec for spec in task.specs if stock_key(spec) not in held]
    is_mixed = any(spec.partners_digest for spec in made) and not task.partner_stock
    return is_mixed or any((ORIGINAL, spec.is_mask) not in held for spec in made)


def renders(task: Task) -> bool:
    """Whether some of a task's copies are made anew."""
    held = {entry.spec.copy for entry in task.stock}
    return any(spec.copy != ORIGINAL and spec.copy not in held for spec in task.specs)


def supply(
    dataset: StandingDataset,
    populations: Sequence[Population],
    entries: Sequence[PopulationEntry],
    tasks: Sequence[Task],
    *,
    source: object | None,
    crew: Crew,
) -> Supply:
    """The tasks with their source opened and their records found in it, where any needs it.

    Args:
        dataset: as it stands.
        populations: by generation, those that the tasks are about.
        entries: what the plan says of these.
        tasks: with their stock.
        source: where to look; where it was last seen by default.
        crew: who hashes.

    Raises:
        SourceError: the source is needed, and is not there or lacks images.
        UserCodeError: copies are made anew by code that is not there, or that nobody allowed.
    """
    if any(map(renders, tasks)):
        check_code(dataset.pipeline)
    wanted = [task for task in tasks if needs_source(task)]
    if not wanted:
        return Supply(tuple(tasks), None, tuple(populations))
    pools = pools_of(dataset.pipeline, entries, populations)
    rows = rows_needed(pools, dataset.pipeline, dataset.manifest.seed, populations, wanted)
    opened, placed = traced_source(dataset, populations, rows, source=source, crew=crew)
    return Supply(tuple(tasks), opened, placed)


def traced_source(
    dataset: StandingDataset,
    populations: Sequence[Population],
    rows: Mapping[int, NDArray[np.int64]],
    *,
    source: object | None,
    crew: Crew,
    why: str | None = None,
) -> tuple[Source, tuple[Population, ...]]:
    """The source, and the populations with the places that some of their rows have in it now.

    Args:
        dataset: as it stands.
        populations: by generation.
        rows: by generation, the rows that must be there.
        source: where to look; where it was last seen by default.
        crew: who hashes.
        why: what the source is needed for, as the beginning of a sentence.

    Raises:
        SourceError: there is no source, or images are gone from it.
    """
    reason = why or _why(dataset)
    opened = _opened(dataset, source, reason)
    placed = list(populations)
    lost: list[LostRecord] = []
    for generation, wanted in rows.items():
        population = populations[generation - 1]
        found = trace(opened, population, wanted, crew)
        index = population.source_index.copy()
        index[wanted] = found.rows.source_index
        placed[generation - 1] = replace(population, source_index=index)
        lost += found.lost
    if lost:
        named = [record.locator for record in lost]
        raise SourceError(
            f"{dataset.directory}: {reason}; expected all of its images there, {len(lost)} are "
            f"gone or changed: {first_few(named)}; bring them back, or name a source that has them "
            "with --source. Nothing was changed",
            {"missing": len(lost), "first": named[:3]},
        )
    return opened, tuple(placed)


def _opened(dataset: StandingDataset, source: object | None, why: str) -> Source:
    try:
        return find_source(dataset.directory, source)
    except SourceError as error:
        raise SourceError(
            f"{dataset.directory}: {why}, and that cannot be opened: {error}; name one that has "
            "the images with --source. Nothing was changed",
            {"path": str(dataset.directory)},
        ) from error


def _why(dataset: StandingDataset) -> str:
    """Why a source is needed at all."""
    lossy = next((e for e in dataset.manifest.shards if not is_stock(e)), None)
    if lossy is not None:
        return f"{lossy.spec.codec} does not give back what was rendered, so this takes the source"
    return "this takes images that are not stored, so it takes the source"
