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
from materialize.loader.starting import is_started
from materialize.population.rates import Rates
from pipelines.compiled import Array, Int, compiled

_MOST_IN_NUMPY = 2**14
"""Items that NumPy looks up in the time in which compiled code would not even have been loaded."""
_ROWS_AT_ONCE = 2**16
"""Counted in the processor's cache, and with no array as long as all rows but the result."""
_ROWS_PER_MARK = 8
"""As many as lie in one or two lines of the processor's cache; one byte more for each row."""


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
        before, after = self._cells_before(epoch), self._cells_before(epoch + 1)
        ends = np.empty(len(self.starts), np.int64)
        last = 0
        for first in range(0, len(ends), _ROWS_AT_ONCE):
            here = slice(first, first + _ROWS_AT_ONCE)
            counts = self.visits(after, here) - self.visits(before, here)
            np.cumsum(counts, out=ends[here])
            ends[here] += last
            last = int(ends[here][-1])
        return Round.of(self, after, ends)

    def _cells_before(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(cells,) whole times round before an epoch begins, and ranks of the next one."""
        whole, rest = np.divmod(epoch * self.draws, np.maximum(self.periods, 1))
        return whole, rest

    def visits(
        self, before: tuple[NDArray[np.int64], NDArray[np.int64]], rows: slice | NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """How often each sample's stretch comes before what `_cells_before` says."""
        cells, widths = self.cells[rows], self.widths[rows]
        visits: NDArray[np.int64] = before[0][cells] * widths
        visits += np.clip(before[1][cells] - self.starts[rows], 0, widths)
        return visits

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
    after: tuple[NDArray[np.int64], NDArray[np.int64]]
    """(cells,) whole times round up to the end of the epoch, and ranks of the next one."""
    ends: NDArray[np.int64]
    """(n,) how many items there are up to each sample and its own."""
    marks: NDArray[np.int64]
    """(marks,) the row of every 2**shift-th item, and the last row: where a search begins."""
    shift: int

    @classmethod
    def of(
        cls,
        turns: Turns,
        after: tuple[NDArray[np.int64], NDArray[np.int64]],
        ends: NDArray[np.int64],
    ) -> "Round":
        """A round with its marks; see the fields."""
        num_items = int(ends[-1]) if len(ends) else 0
        shift = max(num_items * _ROWS_PER_MARK // max(len(ends), 1), 1).bit_length()
        marks = np.searchsorted(ends, np.arange(0, num_items, 1 << shift), side="right")
        return cls(turns, after, ends, np.append(marks, len(ends) - 1), shift)

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def write(
        self,
        items: NDArray[np.int64],
        first: int,
        rows: NDArray[np.int64],
        draws: NDArray[np.int64],
    ) -> None:
        """Writes who stands at those of some items that are this round's, and leaves the others.

        Args:
            items: (m,)
            first: the number of this round's first item.
            rows: (m,) written.
            draws: (m,) written.
        """
        if not is_started() and len(items) <= _MOST_IN_NUMPY:
            self.write_in_numpy(items, first, rows, draws)
        else:
            turns, (whole, rest) = self.turns, self.after
            _look_up(
                items, first, self.ends, self.marks, self.shift, turns.starts, turns.widths,
                turns.owns, turns.cells, whole, rest, rows, draws,
            )  # fmt: skip

    def write_in_numpy(
        self,
        items: NDArray[np.int64],
        first: int,
        rows: NDArray[np.int64],
        draws: NDArray[np.int64],
    ) -> None:
        """What the compiled `write` does, for the first items of a process."""
        turns = self.turns
        here = (items >= first) & (items < first + len(self))
        within = items[here] - first
        row = np.searchsorted(self.ends, within, side="right")
        # Counted from the end of the row's items, which the next epoch begins with.
        visit = turns.visits(self.after, row) - (self.ends[row] - within)
        widths, own = turns.widths[row].astype(np.int64), turns.owns[row]
        whole, place = np.divmod(visit, widths)
        newest = np.where(place >= own, whole, whole - 1)
        since = (place - own) % widths
        rows[here] = row
        draws[here] = np.where(newest < 0, 0, (newest - since) % np.maximum(newest + 1, 1))


@compiled
def _look_up(  # noqa: PLR0913  # compiled code takes arrays, not objects
    items: Array, first: Int, ends: Array, marks: Array, shift: Int, starts: Array, widths: Array,
    owns: Array, cells: Array, whole: Array, rest: Array, rows: Array, draws: Array,
) -> None:  # fmt: skip
    """(m,) items → rows and draws of those in [first, first + ends[-1]); see `Round.write`.

    Two loops, because the first one's branches are hard to foretell, and behind a wrong guess
    nothing of the second one's would be fetched from memory ahead.

    Args:
        items: (m,)
        first: the number of the round's first item.
        ends: (n,) of the round.
        marks: of the round.
        shift: of the round.
        starts: (n,) of the turns, as the next three.
        widths: (n,)
        owns: (n,)
        cells: (n,)
        whole: (cells,) of the round, as the next one.
        rest: (cells,)
        rows: (m,) written.
        draws: (m,) written.
    """
    last = first + ends[-1] if len(ends) else first
    for index in range(len(items)):
        if not first <= items[index] < last:
            continue
        item = items[index] - first
        row, high = marks[item >> shift], marks[(item >> shift) + 1]
        while row < high:
            middle = (row + high) >> 1
            if ends[middle] > item:
                high = middle
            else:
                row = middle + 1
        rows[index] = row
    for index in range(len(items)):
        if not first <= items[index] < last:
            continue
        row = rows[index]
        cell, width, own = cells[row], np.int64(widths[row]), np.int64(owns[row])
        visit = whole[cell] * width + min(max(rest[cell] - starts[row], 0), width)
        visit -= ends[row] - (items[index] - first)
        newest, since = visit, 0
        if width > 1:  # most samples are in nobody's place
            newest = visit // width
            since = visit - newest * width - own
            if since < 0:
                newest, since = newest - 1, since + width
        if newest < since:  # older than the first draw: the newest come again
            since = since % (newest + 1) if newest >= 0 else newest
        draws[index] = newest - since
