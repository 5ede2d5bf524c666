"""The three digests of a shard, for little more than the cost of one.

file      SHA-256 of all bytes, so that ``sha256sum`` alone can check an archive.
leaves    SHA-256 of every mebibyte, so that a mapped reader checks only what it touches and damage
          names its rows. The leaf grid starts anew where the pixels of a raw shard begin and end:
          the leaves of the pixels are then a function of the pixels alone.
content   SHA-256 over the decoded arrays: a canonical JSON header with shapes and dtypes, the
          SHA-256 of each column, and the SHA-256 of every mebibyte of the decoded pixels in row
          order. In a raw shard these last ones *are* the pixel leaves, so the content digest is
          free; for other codecs they are computed while encoding. It knows nothing of codec, chunks
          or HDF5: it tells whether two shards were made of the same data. A lossy shard has a
          second one, of the arrays as they are read.

SHA-256 runs at 2.1 GB/s on one core with SHA-NI (SHA-512 1.2, BLAKE2b 1.4, BLAKE2s 0.8): nothing
else in the standard library is faster, and a checksum such as CRC-32 (7 GB/s) is easily forged.
"""

import hashlib
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.canonical import Bytes, canonical_json, sha256
from materialize.shards.columns import Column
from materialize.shards.layout import ShardSpec

LEAF_BYTES = 1 << 20


def leaf_ranges(num_bytes: int, pixels: range) -> list[range]:
    """The byte ranges of the leaves of a file, in order; together they are the whole file.

    Args:
        num_bytes: size of the file.
        pixels: where the pixels of a raw shard are; empty for other codecs.
    """
    cuts = [0, pixels.start, pixels.stop, num_bytes] if pixels else [0, num_bytes]
    return [
        range(start, min(start + LEAF_BYTES, end))
        for begin, end in itertools.pairwise(cuts)
        for start in range(begin, end, LEAF_BYTES)
    ]


def block_digests(data: Bytes) -> list[bytes]:
    """SHA-256 of every mebibyte of contiguous bytes; the last block may be shorter."""
    view = memoryview(data).cast("B")
    return [sha256(view[i : i + LEAF_BYTES]) for i in range(0, len(view), LEAF_BYTES)]


class PixelDigests:
    """`block_digests` of pixels that come piece by piece."""

    def __init__(self) -> None:
        """Before the first byte."""
        self._done: list[bytes] = []
        self._hasher = hashlib.sha256()
        self._room = LEAF_BYTES

    def update(self, pixels: Bytes) -> None:
        """The next pixels, contiguous."""
        view = memoryview(pixels).cast("B")
        while len(view):
            part, view = view[: self._room], view[self._room :]
            self._hasher.update(part)
            self._room -= len(part)
            if not self._room:
                self._close_block()

    def finish(self) -> list[bytes]:
        """The digests of all blocks."""
        if self._room < LEAF_BYTES:
            self._close_block()
        return self._done

    def _close_block(self) -> None:
        self._done.append(self._hasher.digest())
        self._hasher, self._room = hashlib.sha256(), LEAF_BYTES


def leaf_digests(data: Bytes, leaves: Iterable[range]) -> list[bytes]:
    """SHA-256 of each leaf of a whole file."""
    view = memoryview(data).cast("B")
    return [sha256(view[leaf.start : leaf.stop]) for leaf in leaves]


def content_sha256(
    spec: ShardSpec, columns: Mapping[str, NDArray[Any]], pixel_blocks: Iterable[bytes]
) -> str:
    """The content digest, as 64 hex digits.

    Args:
        spec: gives names, shapes and dtypes.
        columns: the arrays of ``spec.column_names``, little-endian.
        pixel_blocks: `block_digests` of the decoded pixels.
    """
    there = {name: Column(columns[name].dtype, columns[name].shape) for name in spec.column_names}
    layout = {**there, "images": spec.images}
    header = {
        name: {"dtype": column.dtype.str, "shape": column.shape} for name, column in layout.items()
    }
    hasher = hashlib.sha256(b"materialize-content-1\0")
    hasher.update(sha256(canonical_json(header)))
    for name in spec.column_names:
        hasher.update(sha256(np.ascontiguousarray(columns[name]).data))
    for block in pixel_blocks:
        hasher.update(block)
    return hasher.hexdigest()
