"""Which rows have a copy, and how many of them lie before a place: a few bits for each row.

Where classes are balanced, the shard of a copy holds some rows of its run. Rows that have a copy
have all before it, so there are only as many kinds of shards as there are numbers of copies; for
each of these one bit a row, and the number of bits set before every 64th.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_WORD = 64


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
            first: (m,) rows.
            places: (m,) rows from there on, which have it.
            copies: (m,) copy numbers; all have -1, the untouched image.

        Raises:
            IndexError: a place does not have its copy.
        """
        levels = np.searchsorted(self.numbers, copies, side="right")
        is_known = levels < len(self.numbers)
        levels = np.where(is_known, levels, 0)
        word, bit = np.divmod(places, _WORD)
        has_it = (self.bits[levels, word] >> bit.astype(np.uint64)) & np.uint64(1)
        if not (is_known & (has_it > 0)).all():
            raise IndexError("expected copies that these rows have, got others")
        return self._below(levels, places) - self._below(levels, first)

    def _below(self, levels: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
        word, bit = np.divmod(rows, _WORD)
        below = (np.uint64(1) << bit.astype(np.uint64)) - np.uint64(1)
        inside = np.bitwise_count(self.bits[levels, word] & below)
        return self.before[levels, word] + inside
