"""The inner loop of reading: rows of many mapped shards into one batch.

One `np.take` would do for one file; over a hundred shards a Python loop costs four times as much as
the copying. So every row has an address, and the loop over addresses is compiled.
"""

from pipelines.compiled import Array, Int, compiled
from pipelines.vectors import copy_bytes


@compiled
def gather(sources: Array, row_bytes: Int, out: Int) -> None:
    """Copies rows from anywhere to consecutive places.

    Fetching rows ahead of their copying, or copying in pieces, made nothing faster.

    Args:
        sources: (m,) int64 address of each row, 0 to leave its place as it is. Each must be that of
            ``row_bytes`` readable bytes: whoever calls vouches for it.
        row_bytes: of one row.
        out: address of room for m rows.
    """
    for index in range(len(sources)):
        if sources[index] != 0:
            copy_bytes(out + index * row_bytes, sources[index], row_bytes)
