"""Assembles shards in memory: structure first, then pixels rendered in place, then the digests.

    writer = ShardWriter()
    with writer.shard(spec, sample_ids=ids, labels=labels, draws=draws, class_names=names) as shard:
        for start, stop in batches:
            render(..., out=shard.rows(start, stop))
        image = shard.finish()
        write_file(path, image.data)
        entry = image.entry()

For the raw codec `rows` are the final bytes of the file; for the others they are a staging array,
encoded by `finish`. What a lossy codec encodes is decoded again at once: the digest of what readers
will get belongs to the shard. The SHA-256 of the whole file is computed by a second thread from
`finish` on: by the time the file is written and synced it is there, so on a disk that makes one
wait it is free.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from materialize.canonical import sha256_hex
from materialize.shards.buffer import ShardBuffer
from materialize.shards.codecs import find_codec
from materialize.shards.columns import (
    Column,
    ObjectCounts,
    columns_of,
    field_column,
    fields_digest,
)
from materialize.shards.container import Placement, write_container
from materialize.shards.digests import (
    PixelDigests,
    block_digests,
    content_sha256,
    leaf_digests,
    leaf_ranges,
)
from materialize.shards.layout import (
    ShardEntry,
    ShardSpec,
    rows_digest,
)
from pipelines.objects import Objects


@dataclass(frozen=True, slots=True)
class ShardImage:
    """The bytes of a finished shard and what the manifest will say about them."""

    spec: ShardSpec
    data: memoryview
    """The file, read-only; valid inside the ``with`` of its shard."""
    placement: Placement
    leaves: tuple[str, ...]
    content_sha256: str
    decoded_sha256: str | msgspec.UnsetType
    """Unset for lossless codecs."""
    objects: ObjectCounts | msgspec.UnsetType
    """Unset where there are none."""
    pending_sha256: Future[str]
    """The digest of the whole file, on its way; read `file_sha256` instead."""

    @property
    def num_bytes(self) -> int:
        """Size of the file."""
        return len(self.data)

    @property
    def file_sha256(self) -> str:
        """SHA-256 of the file; waits for the thread that computes it."""
        return self.pending_sha256.result()

    def entry(self) -> ShardEntry:
        """The shard's line in the manifest; waits for `file_sha256`."""
        return ShardEntry(
            file=self.spec.file_name(),
            spec=self.spec,
            num_bytes=self.num_bytes,
            file_sha256=self.file_sha256,
            content_sha256=self.content_sha256,
            images_offset=self.placement.offset,
            images_stored_bytes=self.placement.stored_bytes,
            leaves=self.leaves,
            decoded_sha256=self.decoded_sha256,
            objects=self.objects,
        )


class ShardWriter:
    """Writes one shard after the other into the same memory; not for concurrent use.

    Args:
        buffer: memory to write into; a new one if None.
    """

    def __init__(self, buffer: ShardBuffer | None = None) -> None:
        """A writer with no shard open."""
        self._buffer = ShardBuffer() if buffer is None else buffer
        self._staging: NDArray[np.uint8] = np.zeros(0, np.uint8)
        self._busy = False

    @contextlib.contextmanager
    def shard(
        self,
        spec: ShardSpec,
        *,
        sample_ids: NDArray[np.uint8],
        labels: NDArray[np.int32],
        class_names: Sequence[str] = (),
        objects: Objects | None = None,
        **beside: NDArray[Any] | None,
    ) -> Iterator["OpenShard"]:
        """Begin a shard; leaving the ``with`` block without `OpenShard.finish` discards it.

        Args:
            spec: what to write.
            sample_ids: (n, 16) uint8.
            labels: (n,) int32; −1 for no label.
            class_names: in label order.
            objects: of the n images, if the spec has any.
            beside: the other columns of the spec, such as ``draws`` (n, words) uint32; None for
                those that it has not.

        Raises:
            ValueError: an array contradicts the spec.
            ConfigError: the spec's codec is unknown.
            RuntimeError: another shard of this writer is open.
        """
        given: dict[str, NDArray[Any]] = {"sample_ids": sample_ids, "labels": labels}
        given |= {name: column for name, column in beside.items() if column is not None}
        columns = _checked_columns(spec, given, spec.columns())
        counts: ObjectCounts | msgspec.UnsetType = msgspec.UNSET
        if (objects is None) != (spec.objects is None):
            raise ValueError(f"{spec.file_name()}: its objects are missing, or it has none")
        if objects is not None and spec.objects is not None:
            objects.check(spec.objects)
            counts = ObjectCounts.of(objects)
            expected = counts.columns(spec.num_rows, spec.objects)
            columns |= _checked_columns(spec, columns_of(objects), expected)
        _check_rows_digest(spec, rows_digest(sample_ids, labels, class_names))
        if spec.fields is not None:
            named = {f.name: columns[field_column(f.name)] for f in spec.fields.fields}
            _check_fields_digest(spec, fields_digest(named), spec.fields.digest)
        if self._busy:
            raise RuntimeError("a shard of this writer is open; leave its `with` block first")
        self._busy = True
        shard = OpenShard(spec, columns, counts, tuple(class_names), self._buffer)
        try:
            shard.begin(self._stage)
            yield shard
        finally:
            shard.close()
            self._busy = False

    def _stage(self, column: Column) -> NDArray[Any]:
        """An array for pixels that are still to be encoded; its memory is kept between shards."""
        if self._staging.size < column.num_bytes:
            self._staging = np.zeros(column.num_bytes, np.uint8)
        return column.shaped(self._staging[: column.num_bytes])


class OpenShard:
    """A shard being filled; made by `ShardWriter.shard`."""

    _pixels: NDArray[Any]

    def __init__(
        self,
        spec: ShardSpec,
        columns: Mapping[str, NDArray[Any]],
        counts: ObjectCounts | msgspec.UnsetType,
        class_names: tuple[str, ...],
        buffer: ShardBuffer,
    ) -> None:
        """A shard whose pixels have no place yet."""
        self.spec = spec
        self._columns, self._counts = columns, counts
        self._class_names = class_names
        self._buffer = buffer
        self._rendered = np.zeros(spec.num_rows, np.bool_)
        self._hashing: ThreadPoolExecutor | None = None
        self._is_encoded = False
        self._codec = find_codec(spec.codec)
        self._decoded = PixelDigests()

    def begin(self, stage: Callable[[Column], NDArray[Any]]) -> None:
        """Give the pixels their place: inside the file image, or staged until they are encoded."""
        column = self.spec.images
        if self._codec.is_raw:
            self._placement = self._write_container(None)
            region = self._placement.region
            self._pixels = column.shaped(self._buffer.array(region))
        else:
            self._pixels = stage(column)

    @property
    def images(self) -> NDArray[Any]:
        """All rows at once; see `rows`."""
        return self.rows(0, self.spec.num_rows)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Where the pixels of rows [start, stop) belong: a writable view to be filled completely.

        Args:
            start: first row.
            stop: one past the last row, at most ``spec.num_rows``.

        Returns:
            (stop − start, H, W, C), C-contiguous, holding whatever was in that memory before.
        """
        if not 0 <= start <= stop <= self.spec.num_rows:
            raise IndexError(f"rows {start} to {stop} are not within [0, {self.spec.num_rows})")
        self._rendered[start:stop] = True
        return self._pixels[start:stop]

    def encode(self) -> None:
        """Encode what is to be encoded; `finish` does so where this was not called.

        Raises:
            RuntimeError: some rows were never asked for, so their pixels would be arbitrary.
        """
        missing = np.flatnonzero(~self._rendered)
        if missing.size:
            raise RuntimeError(
                f"{self.spec.file_name()}: {missing.size} of {self.spec.num_rows} rows were not "
                f"rendered, the first is row {missing[0]}"
            )
        if not self._codec.is_raw and not self._is_encoded:
            self._placement = self._write_container(self._encoded_blocks())
        self._is_encoded = True

    def finish(self) -> ShardImage:
        """Encode what is to be encoded and compute the digests.

        Raises:
            RuntimeError: some rows were never asked for; or the shard is finished already.
        """
        if self._hashing is not None:
            raise RuntimeError(f"{self.spec.file_name()} is finished already")
        self.encode()
        data = self._buffer.view()
        self._hashing = ThreadPoolExecutor(1, "shard-sha256")
        pending = self._hashing.submit(sha256_hex, data)
        leaves, content = self._digests(data)
        decoded: str | msgspec.UnsetType = msgspec.UNSET
        if self._codec.is_lossy:
            decoded = content_sha256(self.spec, self._columns, self._decoded.finish())
        hexadecimal = tuple(leaf.hex() for leaf in leaves)
        return ShardImage(
            self.spec, data, self._placement, hexadecimal, content, decoded, self._counts, pending
        )

    def close(self) -> None:
        """Wait until nothing reads the buffer any more: the next shard overwrites it."""
        if self._hashing is not None:
            self._hashing.shutdown(wait=True)

    def _write_container(self, blocks: Iterable[bytes] | None) -> Placement:
        return write_container(self._buffer, self.spec, self._columns, self._class_names, blocks)

    def _encoded_blocks(self) -> Iterator[bytes]:
        """The pixels, encoded block by block; noted as they decode where that differs."""
        images = self.spec.images
        rows = self._codec.rows_per_block(images)
        for number in range(self._codec.num_blocks(images)):
            column = self._codec.block_column(images, number)
            block = self._codec.encode(_filled(self._pixels[number * rows :][:rows], column))
            if self._codec.is_lossy:
                self._decoded.update(self._codec.decode(memoryview(block), column).data)
            yield block

    def _digests(self, data: memoryview) -> tuple[list[bytes], str]:
        """The leaf digests and the content digest."""
        region = self._placement.region
        ranges = leaf_ranges(len(data), region)
        leaves = leaf_digests(data, ranges)
        if self._codec.is_raw:
            blocks = [d for leaf, d in zip(ranges, leaves, strict=True) if leaf.start in region]
        else:
            blocks = block_digests(self._pixels.data)
        return leaves, content_sha256(self.spec, self._columns, blocks)


def _checked_columns(
    spec: ShardSpec, given: Mapping[str, NDArray[Any]], expected: Mapping[str, Column]
) -> dict[str, NDArray[Any]]:
    """The arrays, C-contiguous and in order, if they are exactly the expected ones."""
    if given.keys() != expected.keys():
        raise ValueError(
            f"{spec.file_name()} has the columns {sorted(expected)}, got {sorted(given)}"
        )
    for name, column in expected.items():
        array = given[name]
        if array.shape != column.shape or array.dtype != column.dtype:
            raise ValueError(
                f"{spec.file_name()}: {name} must be {column.shape} {column.dtype}, got "
                f"{array.shape} {array.dtype}"
            )
    return {name: np.ascontiguousarray(given[name]) for name in expected}


def _check_rows_digest(spec: ShardSpec, found: str) -> None:
    if found != spec.rows_digest:
        raise ValueError(
            f"{spec.file_name()}: the ids, labels or class names are not those of the spec (their "
            f"digest is {found}, the spec has {spec.rows_digest})"
        )


def _check_fields_digest(spec: ShardSpec, found: str, expected: str) -> None:
    if found != expected:
        raise ValueError(
            f"{spec.file_name()}: the fields are not those of the spec (their digest is {found}, "
            f"the spec has {expected})"
        )


def _filled(rows: NDArray[Any], column: Column) -> NDArray[Any]:
    """The rows of a block, with zeros for those that are missing in the last one."""
    if len(rows) == column.shape[0]:
        return rows
    block = np.zeros(column.shape, column.dtype)
    block[: len(rows)] = rows
    return block
