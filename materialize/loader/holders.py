"""Which rows have a copy, and how many of them lie before a place: a few bits for each row.

Where classes are balanced, the shard of a copy holds some rows of its run. Rows that have a copy
have all before it, so there are only as many kinds of shards as there are numbers of copies; for
each of these one bit a row, and the number of bits set before every 64th.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materialize.loader.starting import is_started
from pipelines.compiled import Array, Int, compiled

_WORD = 64
_ONE, _TWO, _FOUR, _LAST_BYTE = (np.uint64(bits) for bits in (1, 2, 4, 56))
_PAIRS, _QUADS, _BYTES, _ONES = (
    np.uint64(0x0101010101010101 * byte) for byte in (0x55, 0x33, 0x0F, 0x01)
)


@dataclass(frozen=True, slots=True, eq=False)
class Holders:
    """Rows by their number of copies: three sixteenths of a byte for each row and number."""

    numbers: NDArray[np.int64]
    """(levels,) the numbers of copies there are, ascending."""
    bits: NDArray[np.uint64]
    """(levels, words) whether a row has at least so many."""
    before: NDArray[np.int64]
    """(levels, words) rows that do, before each word."""

    @classmethod
    def of(cls, num_copies: NDArray[np.int64]) -> "Holders":
        """Of (n,) numbers of copies."""
        numbers = np.unique(num_copies)
        words = len(num_copies) // _WORD + 1
        bits = np.zeros((len(numbers), words), np.uint64)
        for level, number in enumerate(numbers.tolist()):
            packed = np.packbits(num_copies >= number, bitorder="little")
            bits[level].view(np.uint8)[: len(packed)] = packed
        counts = np.bitwise_count(bits).astype(np.int64)
        return cls(numbers, bits, np.cumsum(counts, axis=1) - counts)

    def between(
        self, first: NDArray[np.int64], places: NDArray[np.int64], copies: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """(m,) how many rows in [first, place) have a copy.

        Args:
            first: (m,) rows, in [0, n).
            places: (m,) rows from there on, which have it; in [0, n).
            copies: (m,) copy numbers; all have -1, the untouched image.

        Raises:
            IndexError: a place does not have its copy.
        """
        if not is_started():
            counts, all_have_it = self.counted_in_numpy(first, places, copies)
        else:
            counts = np.empty(len(places), np.int64)
            all_have_it = _count(
                self.numbers, self.bits, self.before, first, places, copies, counts
            )
        if not all_have_it:
            raise IndexError("expected copies that these rows have, got others")
        return counts

    def counted_in_numpy(
        self, first: NDArray[np.int64], places: NDArray[np.int64], copies: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], bool]:
        """What the compiled loop counts, for the first rows of a process; and if all have it."""
        levels = np.searchsorted(self.numbers, copies, side="right")
        is_known = levels < len(self.numbers)
        levels = np.where(is_known, levels, 0)
        word, bit = np.divmod(places, _WORD)
        has_it = (self.bits[levels, word] >> bit.astype(np.uint64)) & np.uint64(1)
        counts = self._below(levels, places) - self._below(levels, first)
        return counts, bool((is_known & (has_it > 0)).all())

    def _below(self, levels: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        word, bit = np.divmod(rows, _WORD)
        below = (np.uint64(1) << bit.astype(np.uint64)) - np.uint64(1)
        inside = np.bitwise_count(self.bits[levels, word] & below)
        return self.before[levels, word] + inside


@compiled
def _count(
    numbers: Array, bits: Array, before: Array, first: Array, places: Array, copies: Array,
    counts: Array,
) -> bool:  # fmt: skip
    """Counts what `Holders.between` says; False as soon as a place does not have its copy.

    Args:
        numbers: (levels,) of the holders, as the next two.
        bits: (levels, words)
        before: (levels, words)
        first: (m,)
        places: (m,)
        copies: (m,)
        counts: (m,) written.
    """
    for index in range(len(places)):
        level, high = 0, len(numbers)
        while level < high:
            middle = (level + high) >> 1
            if numbers[middle] > copies[index]:
                high = middle
            else:
                level = middle + 1
        if level == len(numbers):
            return False
        place, start = places[index], first[index]
        if not (bits[level, place >> 6] >> np.uint64(place & 63)) & _ONE:
            return False
        counts[index] = _below(bits, before, level, place) - _below(bits, before, level, start)
    return True


@compiled
def _below(bits: Array, before: Array, level: Int, row: Int) -> Int:
    """How many rows before this one are of a level: bits are summed in pairs, fours and eights."""
    word = bits[level, row >> 6] & ((_ONE << np.uint64(row & 63)) - _ONE)
    word -= (word >> _ONE) & _PAIRS
    word = (word & _QUADS) + ((word >> _TWO) & _QUADS)
    word = (word + (word >> _FOUR)) & _BYTES
    return before[level, row >> 6] + np.int64((word * _ONES) >> _LAST_BYTE)
