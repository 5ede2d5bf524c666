"""Where the images of a balanced epoch are drawn from: of each class as many as it shows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materialize import planning
from materialize.estimation.balanced import BALANCED
from materialize.estimation.pools import Drawn, Pool, ScannedPool
from materialize.population import balanced
from materialize.recipe import Recipe


@dataclass(frozen=True, slots=True, eq=False)
class BalancedPool:
    """A pool that also gives the images of a balanced epoch, a copy of each after the other."""

    pool: Pool
    num_images: int
    """Of an epoch."""
    shown: NDArray[np.int64] | None
    """(num_images,) their rows of the split; None shows classes as they come."""

    @classmethod
    def of(cls, pool: Pool, draws: NDArray[np.int64], recipe: Recipe) -> "BalancedPool":
        """The pool of a recipe.

        Args:
            pool: where images can be drawn from.
            draws: (classes,) shown in an epoch.
            recipe: its balance.
        """
        if not isinstance(pool, ScannedPool):
            return cls(pool, int(draws.sum()), None)
        population = pool.population
        if population.rates is None:
            population = balanced(population, recipe.balance, recipe.balance_cap)
        here = np.array(population.split_rows("train"))
        counts = planning.num_copies(population, here, 1)
        shown = [np.flatnonzero(counts > copy) for copy in range(int(counts.max(initial=0)))]
        rows = np.concatenate([np.empty(0, np.int64), *shown])
        return cls(pool, len(rows), rows)

    @property
    def is_ordered(self) -> bool:
        """As the pool's splits are."""
        return self.pool.is_ordered

    def num_rows(self, split: str) -> int:
        """How many positions a split has, or the epoch."""
        return self.num_images if split == BALANCED else self.pool.num_rows(split)

    def take(self, split: str, start: int, stop: int) -> Drawn:
        """The images at positions [start, stop).

        Raises:
            RecordReadError: a record could not be read.
        """
        if split != BALANCED:
            return self.pool.take(split, start, stop)
        if self.shown is None or not isinstance(self.pool, ScannedPool):
            there = self.pool.num_rows("train")
            first = min(start * there // max(self.num_images, 1), max(there - (stop - start), 0))
            return self.pool.take("train", first, min(first + stop - start, there))
        population = self.pool.population
        rows = population.split_rows("train").start + self.shown[start:stop]
        return Drawn(self.pool.source, planning.take_rows(population, rows))
