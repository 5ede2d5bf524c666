"""The inner loop of reading: rows of many mapped shards into one batch.

One `np.take` would do for one file; over a hundred shards a Python loop costs four times as much as
the copying. So every row has an address, and the loop over addresses is compiled.
"""

import ctypes

import numpy as np
from numpy.typing import NDArray

from materialize.loader.starting import is_started
from pipelines.compiled import Array, Int, compiled
from pipelines.vectors import copy_bytes


def gather(sources: NDArray[np.int64], row_bytes: int, out: int) -> None:
    """Copies rows from anywhere to consecutive places.

    Fetching rows ahead of their copying, or copying in pieces, made nothing faster.

    Args:
        sources: (m,) int64 address of each row, 0 to leave its place as it is. Each must be that of
            ``row_bytes`` readable bytes: whoever calls vouches for it.
        row_bytes: of one row.
        out: address of room for m rows.
    """
    (_gather if is_started() else gather_one_by_one)(sources, row_bytes, out)


def gather_one_by_one(sources: NDArray[np.int64], row_bytes: int, out: int) -> None:
    """What the compiled loop does, for the first rows of a process."""
    for index, source in enumerate(sources.tolist()):
        if source:
            ctypes.memmove(out + index * row_bytes, source, row_bytes)


@compiled
def _gather(sources: Array, row_bytes: Int, out: Int) -> None:
    """(m,) addresses → m rows from ``out`` on."""
    for index in range(len(sources)):
        if sources[index] != 0:
            copy_bytes(out + index * row_bytes, sources[index], row_bytes)
