"""Whom the training images of a dataset are mixed with, where a step of its pipeline mixes.

An image of generation g draws its partner from all training images of generations up to g, by id;
where the dataset was built with folds, from those of its own fold alone, so that no image that is
held out is mixed into one that is trained on. A removed image keeps its place in that list: who
draws it gets the next that is left (`Hole`). So what later generations and removals leave behind
has the partners it had, and every arm takes them from here.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ConfigError
from materialize.feasibility import prepared_canvas
from materialize.manifest import Hole, PopulationEntry
from materialize.planning import Task, held_rows, joined, take_rows
from materialize.population.division import fold_numbers
from materialize.population.identity import ID_BYTES, byte_order, rows_of
from materialize.population.table import Population
from materialize.shards.layout import LABEL_DTYPE, WEIGHT_DTYPE, ShardSpec
from pipelines import Pipeline
from pipelines.mixes import draw_mixes

NOBODY = -1
"""The partner of an image that is not mixed."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairing:
    """Whom n images are mixed with, in one copy."""

    population: Population
    """Some images, ascending by id."""
    rows: NDArray[np.int64]
    """(n,) the row there of each one's partner; `NOBODY` where it is not mixed."""
    weights: NDArray[np.float32]
    """(n,) the share of the image's own label; 1 where it is not mixed."""

    def take(self, rows: NDArray[np.int64]) -> "Pairing":
        """That of some of the images."""
        return Pairing(self.population, self.rows[rows], self.weights[rows])

    def without(self, is_lost: NDArray[np.bool_]) -> "Pairing":
        """As if nobody were mixed with some images of the population.

        Args:
            is_lost: (m,) of the population.
        """
        is_hit = (self.rows != NOBODY) & np.append(is_lost, False)[self.rows]
        return Pairing(self.population, np.where(is_hit, NOBODY, self.rows), self.weights)

    def columns(self, spec: ShardSpec, own: Population) -> dict[str, NDArray[Any]]:
        """What stands beside the pixels, by dataset name.

        Args:
            spec: of the shard.
            own: its rows.
        """
        is_mixed, partners = self.rows != NOBODY, self.population
        ids, labels = own.ids.copy(), own.labels.astype(LABEL_DTYPE)
        ids[is_mixed] = partners.ids[self.rows[is_mixed]]
        labels[is_mixed] = partners.labels[self.rows[is_mixed]]
        columns: dict[str, NDArray[Any]] = {
            "partner_ids": ids, "partner_labels": labels,
            "label_weights": self.weights.astype(WEIGHT_DTYPE),
        }  # fmt: skip
        return {name: column for name, column in columns.items() if name in spec.columns()}


@dataclass(frozen=True, eq=False)
class PartnerPools:
    """The lists that partners are drawn from: one for each generation and fold."""

    population: Population
    """The training images of all generations, ascending by id."""
    rows_by_generation: tuple[NDArray[np.int64], ...]
    """By generation, the row here of each of its training images."""
    lists: NDArray[np.int64]
    """(n,) which list each image draws from."""
    starts: NDArray[np.int64]
    """(lists + 1,) where each begins among the places, and where the last ends."""
    places: NDArray[np.int64]
    """(places,) the row of who stands at each; in the place of a removed image, the next one."""

    @classmethod
    def of(
        cls, entries: Sequence[PopulationEntry], populations: Sequence[Population]
    ) -> "PartnerPools":
        """The pools of a dataset.

        Args:
            entries: what its manifest or plan says of each generation.
            populations: of these generations.
        """
        return cls._made([entry.holes for entry in entries], populations)

    @classmethod
    def of_one(cls, population: Population) -> "PartnerPools":
        """The pools of a dataset of one generation that nothing was removed from."""
        return cls._made([()], [population])

    @classmethod
    def _made(
        cls, holes: Sequence[Sequence[Hole]], populations: Sequence[Population]
    ) -> "PartnerPools":
        trained = [take_rows(p, np.array(p.split_rows("train"), np.int64)) for p in populations]
        order = byte_order(np.concatenate([population.ids for population in trained]))
        lengths = [len(population) for population in trained]
        rows = np.empty(len(order), np.int64)
        rows[order] = np.arange(len(order))
        generations = np.repeat(np.arange(len(trained)), lengths)[order]
        everyone = joined(trained)
        folds = np.zeros(len(order), np.int64)
        if everyone.folds is not None:
            folds = everyone.folds.astype(np.int64)
        keys = generations * (int(folds.max(initial=0)) + 1) + folds
        distinct, lists = np.unique(keys, return_inverse=True)
        places = [np.empty(0, np.int64)]
        for key in distinct.tolist():
            generation, fold = divmod(key, int(folds.max(initial=0)) + 1)
            present = np.flatnonzero((generations <= generation) & (folds == fold))
            gone = [h for some in holes[: generation + 1] for h in some if h.fold == fold]
            places.append(_with_holes(everyone.ids, present, gone))
        starts = np.cumsum([len(part) for part in places], dtype=np.int64)
        by_generation = tuple(np.split(rows, np.cumsum(lengths)[:-1]))
        return cls(everyone, by_generation, lists, starts, np.concatenate(places))

    def pair(
        self,
        pipeline: Pipeline,
        seed: int,
        rows: NDArray[np.int64],
        copies: NDArray[np.int64] | int,
    ) -> Pairing:
        """Whom some images are mixed with.

        Args:
            pipeline: with a step that mixes.
            seed: of the augmentation.
            rows: (m,) of `population`.
            copies: (m,) or one; untouched images (-1) are not mixed.
        """
        shown = np.broadcast_to(copies, len(rows))
        population = self.population
        canvas = prepared_canvas(pipeline, population, rows)
        ids, shown_as = population.ids[rows], np.maximum(shown, 0)
        mixes = draw_mixes(pipeline.placed, seed, ids, shown_as, canvas)
        if mixes is None:
            raise TypeError(f"{pipeline.name}: no step mixes")
        lists = self.lists[rows]
        first, sizes = self.starts[lists], np.diff(self.starts)[lists]
        partners = self.places[first + mixes.partner_rows(sizes)]
        is_mixed = mixes.is_mixed & (shown >= 0)
        weights = np.where(is_mixed, mixes.weight, np.float32(1)).astype(np.float32)
        return Pairing(population, np.where(is_mixed, partners, NOBODY), weights)

    def pairings(
        self,
        pipeline: Pipeline,
        seed: int,
        generation: int,
        rows: Mapping[int, NDArray[np.int64]],
    ) -> dict[int, Pairing]:
        """Whom the images of a run are mixed with, by copy, and no more of the others than that.

        Args:
            pipeline: with a step that mixes.
            seed: of the augmentation.
            generation: of the images.
            rows: by copy, rows of its population: training images.
        """
        found = {
            copy: self.pair(pipeline, seed, self.rows_at(generation, here), copy)
            for copy, here in rows.items()
        }
        drawn = [pairing.rows[pairing.rows != NOBODY] for pairing in found.values()]
        wanted = np.unique(np.concatenate([np.empty(0, np.int64), *drawn]))
        partners = take_rows(self.population, wanted)
        return {
            copy: Pairing(
                partners,
                np.where(p.rows == NOBODY, NOBODY, np.searchsorted(wanted, p.rows)), p.weights,
            )
            for copy, p in found.items()
        }  # fmt: skip

    def rows_at(self, generation: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows here of some rows of a generation's population, which are training images."""
        return self.rows_by_generation[generation - 1][rows]

    def by_generation(self, wanted: NDArray[np.bool_]) -> dict[int, NDArray[np.int64]]:
        """By generation, the rows of its population that are wanted of `population`."""
        return {
            generation: np.flatnonzero(wanted[rows])
            for generation, rows in enumerate(self.rows_by_generation, start=1)
        }

    def binding(
        self, pipeline: Pipeline, seed: int, generation: int
    ) -> Callable[[NDArray[np.int64], int], str]:
        """What binds the partners of shards of a generation: see `ShardSpec.partners_digest`.

        Returns:
            (rows of its population, copy) → 64 hex digits.
        """
        return partial(self._bound, pipeline, seed, generation)

    def _bound(
        self, pipeline: Pipeline, seed: int, generation: int, rows: NDArray[np.int64], copy: int
    ) -> str:
        here = self.rows_at(generation, rows)
        drawn = self.pair(pipeline, seed, here, copy).rows
        everyone, partners = self.population, np.where(drawn == NOBODY, here, drawn)
        hasher = hashlib.sha256(b"materialize-partners-1\0")
        for column in (everyone.ids, everyone.labels.astype(LABEL_DTYPE), everyone.digests):
            hasher.update(np.ascontiguousarray(column[partners]).data)
        return hasher.hexdigest()

    def sample_rows(self, sample_ids: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The rows here of the samples of a loader, if nobody else can be mixed into them.

        Args:
            sample_ids: (n, 16).

        Raises:
            ConfigError: one is no training image, or has partners that are not among the samples.
        """
        rows = rows_of(sample_ids, self.population.ids)
        is_there = np.zeros(len(self.population), bool)
        is_there[rows[rows >= 0]] = True
        outside = int((rows < 0).sum())
        for number in np.unique(self.lists[rows[rows >= 0]]).tolist():
            stand = self.places[self.starts[number] : self.starts[number + 1]]
            outside += int((~is_there[stand]).sum())
        if outside:
            raise ConfigError(
                f"samples: expected training images that are mixed with each other alone, found "
                f"{outside} images outside of them that would be mixed in; train on all of them, "
                "or build with the folds that you train on: --folds N --fold-seed S",
                {"name": "folds", "expected": 0, "found": outside},
            )
        return rows

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of who may be mixed with whom."""
        hasher = hashlib.sha256(b"materialize-pools-1\0")
        for column in (self.population.ids, self.population.digests, self.lists, self.starts,
                       self.places):  # fmt: skip
            hasher.update(np.ascontiguousarray(column).data)
        return hasher.hexdigest()


def _with_holes(
    ids: NDArray[np.uint8], present: NDArray[np.int64], holes: Sequence[Hole]
) -> NDArray[np.int64]:
    """The rows of a list of ids where some are gone: the next one stands in for each.

    Args:
        ids: (n, 16) ascending.
        present: (m,) the rows that are in the list, ascending; at least one.
        holes: who is gone.
    """
    if not holes:
        return present
    gone = np.frombuffer(bytes.fromhex("".join(h.sample_id for h in holes)), np.uint8)
    order = byte_order(np.concatenate([ids[present], gone.reshape(-1, ID_BYTES)]))
    there = np.flatnonzero(order < len(present))
    following = np.searchsorted(there, np.arange(len(order))) % len(there)
    return present[order[there[following]]]


def pools_of(
    pipeline: Pipeline, entries: Sequence[PopulationEntry], populations: Sequence[Population]
) -> PartnerPools | None:
    """The pools of a dataset; None where no step mixes.

    Args:
        pipeline: of the dataset.
        entries: what its manifest or plan says of each generation.
        populations: of these generations.
    """
    return PartnerPools.of(entries, populations) if pipeline.is_mixing else None


def with_folds(population: Population, folds: tuple[int, int] | None) -> Population:
    """A population that knows its folds, where images are to be mixed within them.

    Args:
        population: of one generation.
        folds: number and seed; None for none.

    Raises:
        ConfigError: there are more folds than images that can be told apart.
    """
    if folds is None:
        return population
    rows = population.split_rows("train")
    here = take_rows(population, np.array(rows, np.int64))
    numbers = np.full(len(population), -1, np.int8)
    numbers[rows.start : rows.stop] = fold_numbers(
        here.ids, here.labels, here.groups, here.digests, folds=folds[0], seed=folds[1]
    )
    return replace(population, folds=numbers)


def holes_after(
    pipeline: Pipeline, entry: PopulationEntry, population: Population, gone: NDArray[np.int64]
) -> tuple[Hole, ...]:
    """The holes of a generation that loses some rows.

    Args:
        pipeline: of the dataset; where nothing is mixed, nothing is remembered.
        entry: what the manifest says of the generation.
        population: it as it was.
        gone: the rows it loses.
    """
    if not pipeline.is_mixing:
        return ()
    training = population.split_rows("train")
    new = [
        Hole(
            population.ids[row].tobytes().hex(),
            0 if population.folds is None else int(population.folds[row]),
        )
        for row in gone.tolist()
        if row in training
    ]
    return tuple(sorted({*entry.holes, *new}))


def rows_needed(
    pools: PartnerPools | None,
    pipeline: Pipeline,
    seed: int,
    populations: Sequence[Population],
    tasks: Iterable[Task],
) -> dict[int, NDArray[np.int64]]:
    """By generation, the rows of its population that some tasks are made of, ascending.

    Args:
        pools: whom images are mixed with; None where no step mixes.
        pipeline: of the dataset.
        seed: of the augmentation.
        populations: by generation.
        tasks: their own rows, and those of everybody they are mixed with.
    """
    needed: dict[int, list[NDArray[np.int64]]] = {}
    is_partner = np.zeros(0 if pools is None else len(pools.population), bool)
    for task in tasks:
        population = populations[task.generation - 1]
        for spec in task.specs:
            rows = held_rows(population, task.first_row, spec, task.copies)
            needed.setdefault(task.generation, []).append(rows)
            if pools is not None and spec.partners_digest:
                drawn = pools.pair(pipeline, seed, pools.rows_at(task.generation, rows), spec.copy)
                is_partner[drawn.rows[drawn.rows != NOBODY]] = True
    if pools is not None:
        for generation, rows in pools.by_generation(is_partner).items():
            needed.setdefault(generation, []).append(rows)
    return {g: np.unique(np.concatenate(rows)) for g, rows in needed.items()}
