"""Whose turn it is: what an epoch shows of samples whose classes are balanced.

`materialize.population.rates` says which rank comes at which t. Where a rank has no sample here,
because its image was removed or a fold holds it out, the sample of the nearest rank before it that
is here stands in, so that an epoch shows N of the class all the same; before the first, the first
does. Every sample so has a stretch of ranks of its own, and what it shows in others' turns are
draws that it showed before, the newest first: never one that may not be stored.

    stretch   ranks [start, start + width) of a cell of c; the sample's own rank is start + own
    visits    of the stretch before t: ⌊t / c⌋ · width + min(max(t mod c − start, 0), width)

A round is what one epoch shows. Its items lie row by row, so that neighbours lie together on disk.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materialize.canonical import sha256_hex
from materialize.population.rates import Rates

_Rows = NDArray[np.int64] | slice
_ALL = slice(None)


@dataclass(frozen=True, slots=True, eq=False)
class Turns:
    """The stretches of some samples: five numbers for each."""

    starts: NDArray[np.int32]
    """(n,) first rank of each stretch."""
    widths: NDArray[np.int32]
    """(n,) how many ranks it has, at least 1."""
    owns: NDArray[np.int32]
    """(n,) place of the sample's own rank in it."""
    cells: NDArray[np.int32]
    """(n,) index into the next two."""
    periods: NDArray[np.int64]
    draws: NDArray[np.int64]
    """(cells,) c and N."""

    @classmethod
    def of(cls, rates: Rates, *, stand_in: bool) -> "Turns":
        """The turns of samples.

        Args:
            rates: theirs; training images all.
            stand_in: whether they take the turns of ranks that are not here.
        """
        ranks = rates.ranks
        starts, widths = ranks.copy(), np.ones_like(ranks)
        if stand_in:
            order = np.lexsort((ranks, rates.cells))
            cells = rates.cells[order]
            is_first = np.diff(cells, prepend=-1) > 0
            begins = np.where(is_first, 0, ranks[order]).astype(np.int32)
            ends = rates.periods[cells].astype(np.int32)
            ends[:-1] = np.where(is_first[1:], ends[:-1], begins[1:])
            starts[order], widths[order] = begins, ends - begins
        return cls(starts, widths, ranks - starts, rates.cells, rates.periods, rates.draws)

    def digest(self) -> str:
        """64 hex digits: of what decides the rounds beside the samples' ids."""
        columns = (self.starts, self.widths, self.owns, self.cells, self.periods, self.draws)
        return sha256_hex(b"".join(column.tobytes() for column in columns))

    def round(self, epoch: int) -> "Round":
        """What an epoch shows."""
        counts = self.visits(epoch + 1) - self.visits(epoch)
        return Round(self, epoch, np.cumsum(counts))

    def visits(self, epoch: int, rows: _Rows = _ALL) -> NDArray[np.int64]:
        """How often each sample's stretch comes before an epoch begins."""
        cells, widths = self.cells[rows], self.widths[rows].astype(np.int64)
        periods = np.maximum(self.periods[cells], 1)
        whole, rest = np.divmod(epoch * self.draws[cells], periods)
        return whole * widths + np.clip(rest - self.starts[rows], 0, widths)

    def copies(self, epoch: int) -> range:
        """From the first to the last draw that an epoch shows in own turns."""
        periods = np.maximum(self.periods, 1)
        first = epoch * self.draws // periods
        last = np.maximum((epoch + 1) * self.draws - 1, 0) // periods
        return range(int(first.min(initial=0)), int(last.max(initial=0)) + 1)


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """The items of one epoch."""

    turns: Turns
    epoch: int
    ends: NDArray[np.int64]
    """(n,) how many items there are up to each sample and its own."""

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def at(self, items: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(m,) rows and (m,) draws of some items in [0, len(self))."""
        turns = self.turns
        rows = np.searchsorted(self.ends, items, side="right")
        # Counted from the end of the row's items, which the next epoch begins with.
        visit = turns.visits(self.epoch + 1, rows) - (self.ends[rows] - items)
        widths, own = turns.widths[rows].astype(np.int64), turns.owns[rows]
        whole, place = np.divmod(visit, widths)
        newest = np.where(place >= own, whole, whole - 1)
        since = (place - own) % widths
        return rows, np.where(newest < 0, 0, (newest - since) % np.maximum(newest + 1, 1))
