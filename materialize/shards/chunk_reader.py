"""Reads single chunks of an encoded shard from any number of threads at once.

libhdf5 has one lock for the whole process, and holds it while a filter decodes. So it is asked only
where the chunks are, once; their bytes are taken from the mapping and decoded here.
"""

from typing import Any

from numpy.typing import NDArray

from materialize.errors import ShardUntrustedError
from materialize.shards.codecs import find_codec
from materialize.shards.layout import Column
from materialize.shards.reader import ShardReader


class ChunkReader:
    """The chunks of one encoded shard; thread-safe, and usable after ``reader`` was closed.

    Args:
        reader: of the shard; its whole file is checked now if it was not yet.

    Raises:
        TypeError: the shard is raw: its pixels are mapped, not decoded.
        ShardDamagedError: the bytes are not those of the manifest; names the rows.
        ShardUntrustedError: the file's structure is not that of its spec.
    """

    def __init__(self, reader: ShardReader) -> None:
        """Ask libhdf5 where the chunks are; nothing later does."""
        self._regions = reader.chunk_regions()
        self._reader = reader
        self._codec = find_codec(reader.spec.codec)
        self._chunk = Column(reader.spec.images.dtype, self._codec.chunk_shape(reader.spec))

    @property
    def num_chunks(self) -> int:
        """How many there are."""
        return len(self._regions)

    @property
    def rows_per_chunk(self) -> int:
        """Rows of every chunk but the last, which may have fewer."""
        return self._chunk.shape[0]

    @property
    def chunk_bytes(self) -> int:
        """What a decoded chunk occupies, the last one included."""
        return self._chunk.num_bytes

    def rows(self, chunk: int) -> range:
        """The rows of the shard in a chunk.

        Raises:
            IndexError: there is no such chunk.
        """
        if not 0 <= chunk < self.num_chunks:
            raise IndexError(f"chunk {chunk} is not within [0, {self.num_chunks})")
        start = chunk * self.rows_per_chunk
        return range(start, min(start + self.rows_per_chunk, self._reader.spec.num_rows))

    def decode(self, chunk: int) -> NDArray[Any]:
        """The pixels of one chunk, without the interpreter lock for most of the time.

        Args:
            chunk: its number; rows [chunk · ``rows_per_chunk``, …) of the shard.

        Returns:
            (rows, H, W, C) of the shard's dtype, C-contiguous, read-only.

        Raises:
            IndexError: there is no such chunk.
            ShardDamagedError: its bytes are not those of the manifest; names its rows.
            ShardUntrustedError: they are, and do not decode.
        """
        rows, region = self.rows(chunk), self._regions[chunk]
        encoded = self._reader.checked_bytes(region, rows)
        try:
            values = self._codec.decode(encoded, self.chunk_bytes, self._chunk.dtype.itemsize)
        except ValueError as error:
            # They may have changed since they were compared.
            self._reader.checked_bytes(region, rows, again=True)
            raise ShardUntrustedError(
                f"{self._reader.path} has the digest of its manifest and rows {rows.start} to "
                f"{rows.stop - 1} do not decode ({error}): neither was written by `materialize`; "
                f"find out where they came from",
                {"file": str(self._reader.path), "rows": (rows.start, rows.stop)},
            ) from error
        images: NDArray[Any] = values.view(self._chunk.dtype).reshape(self._chunk.shape)
        images.flags.writeable = False
        return images[: len(rows)]
