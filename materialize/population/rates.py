"""How often an epoch shows the images of a class: a round-robin, as columns.

A cell is a class of one generation. It has c training images and shows N of them in every epoch, by
going round them: in the endless sequence t = 0, 1, 2 … of its draws, draw t is of the image of rank
t mod c, and it is that image's draw number ⌊t / c⌋. Epoch e shows t in [e·N, (e + 1)·N): N of them
whatever N and c are, and no two images of a cell differ by more than one draw. With N = c an epoch
shows every image once, and its draw number is the epoch's number.

Ranks and cells stay as they were when the images came: removing images moves nobody's draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NO_RANK = -1
"""Of an image that is in no training part."""


@dataclass(frozen=True, slots=True, eq=False)
class Rates:
    """The place of each image in its cell."""

    ranks: NDArray[np.int32]
    """(n,) place in its cell, by sample id, when the cell was made; `NO_RANK` outside training."""
    cells: NDArray[np.int32]
    """(n,) index into ``periods`` and ``draws``."""
    periods: NDArray[np.int64]
    """(cells,) c: how many images the cell was made with."""
    draws: NDArray[np.int64]
    """(cells,) N: how many of them an epoch shows."""

    def __len__(self) -> int:
        return len(self.ranks)

    def num_draws(self, epochs: int) -> NDArray[np.int64]:
        """(n,) how often so many epochs show each image: these are its draws 0, 1, 2 … ."""
        left = epochs * self.draws[self.cells] - self.ranks
        counts = -(-left // np.maximum(self.periods[self.cells], 1))
        return np.where(self.ranks == NO_RANK, 0, np.maximum(counts, 0))

    def taken(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> "Rates":
        """Those of some images; the cells stay whole."""
        return Rates(self.ranks[rows], self.cells[rows], self.periods, self.draws)

    @classmethod
    def joined(cls, parts: Sequence["Rates"]) -> "Rates":
        """Those of several generations, one after another; each has cells of its own."""
        offsets = np.cumsum([0, *(len(part.periods) for part in parts)])[:-1].tolist()
        pairs = zip(parts, offsets, strict=True)
        return cls(
            np.concatenate([part.ranks for part in parts]),
            np.concatenate([part.cells + np.int32(offset) for part, offset in pairs]),
            np.concatenate([part.periods for part in parts]),
            np.concatenate([part.draws for part in parts]),
        )

    def is_possible(self) -> bool:
        """Whether ranks are below their periods, ascend within cells, and every draw is one."""
        trained = np.flatnonzero(self.ranks != NO_RANK)
        ranks, cells = self.ranks[trained].astype(np.int64), self.cells[trained]
        if min(self.periods.min(initial=0), self.draws.min(initial=0)) < 0 or (ranks < 0).any():
            return False
        order = np.argsort(cells, kind="stable")
        ascends = (np.diff(ranks[order]) > 0) | (np.diff(cells[order]) > 0)
        return bool((ranks < self.periods[cells]).all() and ascends.all())
