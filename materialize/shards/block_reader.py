"""Reads single blocks of an encoded shard from any number of threads at once.

libhdf5 has one lock for the whole process, and holds it while a filter decodes. So it is asked only
where the blocks are, once; their bytes are taken from the mapping and decoded here.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ShardUntrustedError
from materialize.shards.codecs import find_codec
from materialize.shards.layout import ShardSpec


class CheckedBytes(Protocol):
    """What gives bytes of a shard's file; see `materialize.shards.reader.ShardReader`."""

    def __call__(self, region: range, rows: range, *, again: bool = False) -> memoryview:
        """Bytes compared with the manifest."""


class BlockReader:
    """The blocks of one encoded shard: HDF5 chunks or pictures; thread-safe.

    Args:
        spec: of the shard.
        path: of the shard, for messages.
        regions: which bytes of the file each block is, in row order.
        checked_bytes: gives them.
    """

    def __init__(
        self, spec: ShardSpec, path: Path, regions: Sequence[range], checked_bytes: CheckedBytes
    ) -> None:
        """Note where the blocks are; nothing is read."""
        self._spec, self._path, self._regions = spec, path, regions
        self._checked_bytes = checked_bytes
        self._codec = find_codec(spec.codec)
        self.rows_per_block = self._codec.rows_per_block(spec.images)
        """Rows of every block but the last, which may have fewer."""

    @property
    def num_blocks(self) -> int:
        """How many there are."""
        return len(self._regions)

    @property
    def block_bytes(self) -> int:
        """What a decoded block occupies at most."""
        return self._codec.block_column(self._spec.images, 0).num_bytes

    def block_rows(self, block: int) -> range:
        """The rows of the shard in a block.

        Raises:
            IndexError: there is no such block.
        """
        if not 0 <= block < self.num_blocks:
            raise IndexError(f"block {block} is not within [0, {self.num_blocks})")
        start = block * self.rows_per_block
        return range(start, min(start + self.rows_per_block, self._spec.num_rows))

    def region(self, block: int) -> range:
        """Which bytes of the file are a block."""
        return self._regions[block]

    def decode(self, block: int) -> NDArray[Any]:
        """The pixels of one block, without the interpreter lock for most of the time.

        Args:
            block: its number; rows [block · ``rows_per_block``, …) of the shard.

        Returns:
            (rows, H, W, C) of the shard's dtype, C-contiguous, read-only.

        Raises:
            IndexError: there is no such block.
            ShardDamagedError: its bytes are not those of the manifest; names its rows.
            ShardUntrustedError: they are, and do not decode.
        """
        rows, region = self.block_rows(block), self._regions[block]
        encoded = self._checked_bytes(region, rows)
        column = self._codec.block_column(self._spec.images, block)
        try:
            images = self._codec.decode(encoded, column)
        except ValueError as error:
            # They may have changed since they were compared.
            self._checked_bytes(region, rows, again=True)
            raise ShardUntrustedError(
                f"{self._path} has the digest of its manifest and rows {rows.start} to "
                f"{rows.stop - 1} do not decode ({error}): neither was written by `materialize`; "
                f"find out where they came from",
                {"file": str(self._path), "rows": (rows.start, rows.stop)},
            ) from error
        images.flags.writeable = False
        return images[: len(rows)]

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """The pixels of rows [start, stop); errors as of `decode`.

        Returns:
            (stop − start, H, W, C), a new array.
        """
        images = np.empty((stop - start, *self._spec.image_shape), self._spec.images.dtype)
        for block in range(start // self.rows_per_block, -(-stop // self.rows_per_block)):
            here = self.block_rows(block)
            first, last = max(start, here.start), min(stop, here.stop)
            images[first - start : last - start] = self.decode(block)[
                first - here.start : last - here.start
            ]
        return images
