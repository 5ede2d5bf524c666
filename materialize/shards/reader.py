"""Reads one shard, checking every byte against the manifest before it means anything.

The file is mapped. Opening compares its length. The leaves that hold structure are checked before
libhdf5 parses them; pixels never pass through libhdf5 at all. Those of a raw shard are an array
over the mapping, and each leaf is checked when its rows are first asked for. Encoded shards are
checked whole when libhdf5 is asked where their blocks are, and these are decoded from the mapping,
none before its rows are asked for.

A `Stamp` taken after a full check lets a later reader of the unchanged file skip the hashing.
"""

import json
from collections.abc import Iterable
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from materialize.canonical import sha256_hex
from materialize.errors import ShardDamagedError
from materialize.shards import layout
from materialize.shards.block_reader import BlockReader
from materialize.shards.codecs import find_codec
from materialize.shards.columns import OBJECT_COLUMNS, columns_of, field_column, objects_in
from materialize.shards.digests import LEAF_BYTES, PixelDigests, content_sha256, leaf_ranges
from materialize.shards.layout import ShardEntry, ShardSpec
from materialize.shards.mapping import Stamp, damaged, map_file
from materialize.shards.untrusted import (
    check_objects,
    check_soft_labels,
    hdf5_errors,
    open_untrusted,
)
from pipelines.objects import Objects


class ShardReader:
    """One shard, opened; a context manager that unmaps it.

    Arrays returned for raw shards look into the mapping and keep it alive, also after `close`.

    Args:
        path: of the shard.
        entry: its line in the manifest.
        verified: the `stamp` of a reader that checked the whole file before; if the file still has
            it, nothing is hashed again.

    Raises:
        ShardMissingError: there is no file.
        ShardDamagedError: its length is not the manifest's (truncated, for one).
    """

    def __init__(self, path: Path, entry: ShardEntry, *, verified: Stamp | None = None) -> None:
        """Map the file and compare its length; no byte is read."""
        self.path = path
        self.entry = entry
        self._bytes, self.stamp = map_file(path, entry)
        start = entry.images_offset
        self._pixels = (
            range(0) if start is None else range(start, start + entry.images_stored_bytes)
        )
        self._leaves = leaf_ranges(entry.num_bytes, self._pixels)
        if len(entry.leaves) != len(self._leaves):
            raise self._damage(range(entry.num_bytes), len(self._leaves), len(entry.leaves))
        self._checked = np.full(len(self._leaves), verified == self.stamp)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the HDF5 view; the mapping goes when no array looks into it any more."""
        file = self.__dict__.pop("_file", None)
        if file is not None:
            file.close()

    @property
    def spec(self) -> ShardSpec:
        """What the shard was written from."""
        return self.entry.spec

    @property
    def is_verified(self) -> bool:
        """Whether every byte was compared with the manifest, so that `stamp` may be kept."""
        return bool(self._checked.all())

    @property
    def sample_ids(self) -> NDArray[np.uint8]:
        """(n, 16) uint8."""
        return self.columns["sample_ids"]

    @property
    def labels(self) -> NDArray[np.int32]:
        """(n,) int32; −1 for no label."""
        return self.columns["labels"]

    @property
    def draws(self) -> NDArray[np.uint32] | None:
        """(n, words) uint32 in the order of ``spec.draw_words``; None if not kept."""
        return self.columns.get("draws")

    @property
    def parameters(self) -> NDArray[np.float64] | None:
        """(n, names) float64 in the order of ``spec.draw_words``; None if not kept."""
        return self.columns.get("parameters")

    @property
    def fields(self) -> dict[str, NDArray[Any]]:
        """(n, …) by the name of the field; empty where there are none."""
        fields = () if self.spec.fields is None else self.spec.fields.fields
        return {field.name: self.columns[field_column(field.name)] for field in fields}

    @cached_property
    def columns(self) -> dict[str, NDArray[Any]]:
        """Everything beside the pixels, by dataset name."""
        with hdf5_errors(str(self.path)):
            columns = {name: self._file[name][...] for name in self.spec.columns()}
        if self.spec.partners_digest:
            check_soft_labels(columns, len(self.class_names), str(self.path))
        objects = self.objects
        return columns if objects is None else columns | columns_of(objects)

    @cached_property
    def objects(self) -> Objects | None:
        """The objects of all rows, looking into the mapping; None where there are none.

        Raises:
            ShardUntrustedError: they contradict themselves, or the file's structure its spec.
        """
        kinds = self.spec.objects
        if kinds is None:
            return None
        with hdf5_errors(str(self.path)):
            starts = {name: self._file[name].id.get_offset() or 0 for name in OBJECT_COLUMNS}
        columns = self.entry.columns()
        objects = objects_in({
            name: columns[name].shaped(self._bytes[start : start + columns[name].num_bytes])
            for name, start in starts.items()
        })  # fmt: skip
        check_objects(objects, kinds, str(self.path))
        return objects

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """In label order, as they were when the shard was written."""
        with hdf5_errors(str(self.path)):
            return tuple(json.loads(self._file.attrs["class_names"]))

    @property
    def images(self) -> NDArray[Any]:
        """All rows; see `rows`."""
        return self.rows(0, self.spec.num_rows)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """The pixels of rows [start, stop).

        Returns:
            (stop − start, H, W, C): for a raw shard a read-only view of the mapping whose leaves
            were checked; for others a new array.

        Raises:
            ShardDamagedError: the bytes are not those of the manifest; names the rows.
            ShardUntrustedError: the file's structure is not that of its spec.
        """
        if not 0 <= start <= stop <= self.spec.num_rows:
            raise IndexError(f"rows {start} to {stop} are not within [0, {self.spec.num_rows})")
        if self._pixels:
            self.check_rows(start, stop)
            return self.unchecked_images[start:stop]
        return self.blocks.rows(start, stop)

    @property
    def blocks(self) -> BlockReader:
        """The blocks of an encoded shard; usable after `close`.

        Raises:
            TypeError: the shard is raw: its pixels are mapped, not decoded.
            ShardDamagedError: the bytes are not those of the manifest; names the rows.
            ShardUntrustedError: the file's structure is not that of its spec.
        """
        # Not kept: it would hold the reader, and with it the mapping, in a circle.
        return BlockReader(self.spec, self.path, self._regions, self.checked_bytes)

    @cached_property
    def _regions(self) -> tuple[range, ...]:
        """Which bytes of the file are each block, in row order: all that libhdf5 is asked for."""
        if self._pixels:
            raise TypeError(f"{self.entry.file} is raw: it has no blocks")
        is_picture = find_codec(self.spec.codec).is_picture
        with hdf5_errors(str(self.path)):
            images = self._file[layout.IMAGES]
            return self._picture_regions(images) if is_picture else _chunk_regions(images)

    @property
    def unchecked_images(self) -> NDArray[Any]:
        """(n, H, W, C), read-only, over the mapping of a raw shard; nothing is checked.

        For loops that gather rows themselves and call `check_rows` first.
        """
        if not self._pixels:
            raise TypeError(f"{self.entry.file} is {self.spec.codec}: its pixels cannot be mapped")
        column = self.spec.images
        mapped = self._bytes[self._pixels.start : self._pixels.stop]
        images: NDArray[Any] = mapped.view(column.dtype).reshape(column.shape)
        return images

    def check_rows(self, start: int, stop: int) -> None:
        """Compare the leaves that hold rows [start, stop) of a raw shard, once each.

        Raises:
            ShardDamagedError: a leaf is not the manifest's; names the rows in it.
        """
        first = self._pixels.start + start * self.spec.row_bytes
        last = self._pixels.start + stop * self.spec.row_bytes
        self._check_leaves(leaf.start < last and leaf.stop > first for leaf in self._leaves)

    def check_scattered_rows(self, rows: NDArray[np.int64]) -> None:
        """Compare the leaves that hold some rows of a raw shard, once each.

        With the last of them the leaves of the structure are compared too, so that a reader who saw
        every row ends with a verified shard.

        Args:
            rows: (m,) in [0, n), in any order.

        Raises:
            ShardDamagedError: a leaf is not the manifest's; names the rows in it.
        """
        first = rows * self.spec.row_bytes // LEAF_BYTES
        last = ((rows + 1) * self.spec.row_bytes - 1) // LEAF_BYTES
        numbers = first[:, None] + np.arange(int((last - first).max(initial=0)) + 1)
        # The grid of leaves starts anew where the pixels begin.
        before = -(-self._pixels.start // LEAF_BYTES)
        wanted = np.unique(numbers[numbers <= last[:, None]]) + before
        for index in wanted[~self._checked[wanted]].tolist():
            self._check_leaf(index)
        after = -(-len(self._pixels) // LEAF_BYTES) + before
        if self._checked[before:after].all() and not self.is_verified:
            self._check_leaves(True for _ in self._leaves)

    def checked_bytes(self, region: range, rows: range, *, again: bool = False) -> memoryview:
        """Bytes of an encoded shard's file whose leaves were compared, once each.

        Args:
            region: of the file.
            rows: what stands there, for messages.
            again: whether to compare leaves that were compared before.

        Returns:
            (len(region),) read-only, looking into the mapping.

        Raises:
            ShardDamagedError: a leaf is not the manifest's; names ``rows``.
        """
        for index in range(region.start // LEAF_BYTES, -(-region.stop // LEAF_BYTES)):
            if again or not self._checked[index]:
                self._check_leaf(index, rows)
        return self._bytes[region.start : region.stop].data

    def verify(self) -> None:
        """Compare the whole file with the manifest's SHA-256.

        Raises:
            ShardDamagedError: names the first damaged leaf and its rows.
        """
        found = sha256_hex(self._bytes.data)
        if found != self.entry.file_sha256:
            self._checked[:] = False
            self._check_leaves(True for _ in self._leaves)
            raise self._damage(range(self.entry.num_bytes), self.entry.file_sha256, found)
        self._checked[:] = True

    def verify_content(self) -> None:
        """Decode everything and compare with the manifest's digest of what is read.

        Raises:
            ShardDamagedError: the decoded values are not those that were encoded or, for a lossy
                codec, not those that its named decoder gives.
        """
        pixels = PixelDigests()
        if self._pixels:
            pixels.update(self.images.data)
        else:
            blocks = self.blocks
            for number in range(blocks.num_blocks):
                pixels.update(blocks.decode(number).data)
        found = content_sha256(self.spec, self.columns, pixels.finish())
        if found != self.entry.reading_sha256:
            raise self._damage(range(self.entry.num_bytes), self.entry.reading_sha256, found)

    @cached_property
    def _file(self) -> h5py.File:
        """The HDF5 view of the mapping, after what it will parse was checked."""
        self._check_leaves(leaf.start not in self._pixels for leaf in self._leaves)
        return open_untrusted(self._bytes, self.entry, str(self.path))

    def _picture_regions(self, images: h5py.Dataset) -> tuple[range, ...]:
        """Which bytes of the file are each picture, in row order.

        Raises:
            ValueError: the offsets do not cut all of `images` into pictures.
        """
        offsets = self._file[layout.IMAGE_OFFSETS][...]
        ends = (int(offsets[0]), int(offsets[-1]))
        if ends != (0, images.shape[0]) or (offsets[1:] <= offsets[:-1]).any():
            raise ValueError(
                f"expected {layout.IMAGE_OFFSETS} to rise from 0 to {images.shape[0]}, got others"
            )
        first = images.id.get_offset()
        return tuple(
            range(first + start, first + stop) for start, stop in pairwise(offsets.tolist())
        )

    def _check_leaves(self, wanted: Iterable[bool]) -> None:
        """Hash the wanted leaves that were not checked yet."""
        todo = np.fromiter(wanted, np.bool_, len(self._leaves)) & ~self._checked
        for index in np.flatnonzero(todo):
            self._check_leaf(int(index))

    def _check_leaf(self, index: int, rows: range | None = None) -> None:
        """Hash one leaf. Several threads may do so at once: each finds and notes the same."""
        leaf = self._leaves[index]
        found = sha256_hex(self._bytes[leaf.start : leaf.stop].data)
        if found != self.entry.leaves[index]:
            raise self._damage(leaf, self.entry.leaves[index], found, rows)
        self._checked[index] = True

    def _damage(
        self, where: range, expected: object, found: object, rows: range | None = None
    ) -> ShardDamagedError:
        """The error for bytes that are not the manifest's; ``rows`` if known better than here."""
        if rows is not None:
            part = f"a chunk's bytes {where.start} to {where.stop}"
            return damaged(self.path, part, rows, expected, found)
        rows = range(self.spec.num_rows)
        if where.start in self._pixels:
            row_bytes = self.spec.row_bytes
            first = (where.start - self._pixels.start) // row_bytes
            rows = range(first, -(-(where.stop - self._pixels.start) // row_bytes))
        part = "its pixels" if where.start in self._pixels else "its structure"
        return damaged(
            self.path, f"{part} at bytes {where.start} to {where.stop}", rows, expected, found
        )


def _chunk_regions(images: h5py.Dataset) -> tuple[range, ...]:
    """Which bytes of the file are each chunk, in row order; checked to be there and inside."""
    chunks: list[Any] = []
    images.id.chunk_iter(chunks.append)
    chunks.sort(key=lambda chunk: chunk.chunk_offset)
    return tuple(range(c.byte_offset, c.byte_offset + c.size) for c in chunks)
