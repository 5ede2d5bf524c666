"""One open shard as the feed sees it: mapped, encoded, or made again in memory."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from materialize.loader.object_gathering import packed
from materialize.shards.block_cache import DecodedBlocks
from materialize.shards.memory import read_ahead
from materialize.shards.reader import ShardReader
from pipelines.objects import Objects


class StoredShard(Protocol):
    """Rows of one shard."""

    @property
    def address(self) -> int:
        """Where its pixels lie row after row in memory; 0 if they do not."""

    @property
    def is_checked(self) -> bool:
        """Whether no row needs `check` any more."""

    def check(self, rows: NDArray[np.int64]) -> None:
        """Compares what these rows lie in with the manifest.

        Raises:
            ShardDamagedError: it is something else.
        """

    def read(self, rows: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Writes rows (m,) into (m, H, W, C)."""

    @property
    def objects(self) -> Objects | None:
        """Of all rows, checked and packed; None where images show none.

        Raises:
            ShardDamagedError: the bytes are not those of the manifest.
        """

    def close(self) -> None:
        """Let go of the file."""


class MappedShard:
    """A raw shard: its pixels are the file's own pages.

    Args:
        reader: of the shard.
        is_trusted: whether its bytes need no check.
    """

    def __init__(self, reader: ShardReader, *, is_trusted: bool) -> None:
        """Take the address of the pixels; nothing is read."""
        self.reader = reader
        self._images = reader.unchecked_images
        self._is_trusted = is_trusted
        self.address = int(self._images.ctypes.data)

    @property
    def is_checked(self) -> bool:
        """Whether every leaf was hashed, or need not be."""
        return self._is_trusted or self.reader.is_verified

    def check(self, rows: NDArray[np.int64]) -> None:
        """Hashes the leaves these rows lie in, once each."""
        if not self._is_trusted:
            self.reader.check_scattered_rows(rows)

    def read(self, rows: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Writes rows (m,) into (m, H, W, C)."""
        np.take(self._images, rows, axis=0, out=out, mode="clip")

    @property
    def objects(self) -> Objects | None:
        """Of all rows; see `ShardReader.objects`."""
        return self.reader.objects

    def read_ahead(self) -> None:
        """Brings the pixels into memory."""
        read_ahead(self._images)

    def close(self) -> None:
        """Unmap, unless somebody still looks."""
        self.reader.close()


class EncodedShard:
    """An encoded shard: whole blocks are decoded, and kept as long as there is room.

    Args:
        reader: of the shard.
        blocks: what keeps decoded blocks.
        key: which shard this is among those whose blocks are kept there.
    """

    address = 0

    def __init__(self, reader: ShardReader, blocks: DecodedBlocks, key: int) -> None:
        """Read where the blocks are, which is all that libhdf5 is asked for."""
        self.reader = reader
        self._block_reader = reader.blocks
        self._blocks, self._key = blocks, key

    @property
    def is_checked(self) -> bool:
        """True: `read` checks each block before it is decoded."""
        return True

    def check(self, rows: NDArray[np.int64]) -> None:
        """Nothing beyond what `read` does."""

    def read(self, rows: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Writes rows (m,) into (m, H, W, C)."""
        numbers, within = np.divmod(rows, self._block_reader.rows_per_block)
        for number in np.unique(numbers).tolist():
            here = np.flatnonzero(numbers == number)
            images = self._blocks.get((self._key, number), self._block_reader)
            out[here] = images[within[here]]

    @property
    def objects(self) -> Objects | None:
        """Of all rows; see `ShardReader.objects`."""
        return self.reader.objects

    def close(self) -> None:
        """Unmap; decoded blocks stay until others need the room."""
        self.reader.close()


class RemadeShard:
    """A shard whose file cannot be read, made again in memory.

    Args:
        images: (n, H, W, C) what it should hold.
        objects: of the n images; None where they show none.
    """

    is_checked = True

    def __init__(self, images: NDArray[Any], objects: Objects | None = None) -> None:
        """Keep the images."""
        self.objects = None if objects is None else packed(objects)
        self._images = np.ascontiguousarray(images)
        self.address = int(self._images.ctypes.data)

    def check(self, rows: NDArray[np.int64]) -> None:
        """Nothing: the images were compared with the manifest when they were made."""

    def read(self, rows: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Writes rows (m,) into (m, H, W, C)."""
        np.take(self._images, rows, axis=0, out=out, mode="clip")

    def close(self) -> None:
        """Nothing is open."""
