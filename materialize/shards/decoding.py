"""Decodes HDF5 chunks without libhdf5, whose one lock would let only one thread decode at a time.

These are the inverses of the HDF5 filters in `materialize.shards.codecs`. All of them run without
the interpreter lock. The filters trust the lengths inside a chunk: one that claims to decode to
less than a chunk, or holds a part that claims to be longer than it is, makes libhdf5 read behind a
buffer and crash the process (flipping single bytes of a shard, digests recomputed, found it). So
libhdf5 decodes nothing here, and these believe no length: what does not decode to exactly the
expected values is a `ValueError`, a block of unknown origin may be tried, and no more memory is
taken than the decoded block needs.
"""

import zlib
from collections.abc import Callable
from typing import Any

import lz4.block
import numpy as np
import zstandard
from numpy.typing import NDArray

from materialize.shards.columns import Column
from materialize.shards.parts import Parts, decode_frame
from pipelines.compiled import Array, compiled

DecodeBlock = Callable[[memoryview, Column], NDArray[Any]]
"""(block, what it must decode to) → an array of that dtype and shape."""

_HEADER_BYTES = 12
_GROUP = 8
"""Values whose bits are transposed together; what does not fill a group is stored as it is."""

_WORD = np.uint64
_SHIFT_1, _SHIFT_2, _SHIFT_4 = _WORD(7), _WORD(14), _WORD(28)
_KEEP_1, _MOVE_1 = _WORD(0xAA55AA55AA55AA55), _WORD(0x00AA00AA00AA00AA)
_KEEP_2, _MOVE_2 = _WORD(0xCCCC3333CCCC3333), _WORD(0x0000CCCC0000CCCC)
_KEEP_4, _MOVE_4 = _WORD(0xF0F0F0F00F0F0F0F), _WORD(0x00000000F0F0F0F0)


def decode_raw(block: memoryview, column: Column) -> NDArray[Any]:
    """Values that stand as they are; arguments, result and errors as of `decode_deflate`."""
    if len(block) != column.num_bytes:
        raise ValueError(f"expected {column.num_bytes} bytes, got {len(block)}")
    return column.shaped(np.frombuffer(block, np.uint8))


def decode_deflate(block: memoryview, column: Column) -> NDArray[Any]:
    """The values of a zlib stream.

    Args:
        block: the stream and nothing else.
        column: dtype and shape of what it must decode to.

    Returns:
        An array of that dtype and shape, read-only.

    Raises:
        ValueError: it is not a stream of those values.
    """
    decoder = zlib.decompressobj()
    try:
        decoded = decoder.decompress(block, column.num_bytes + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(decoded) != column.num_bytes or not decoder.eof or decoder.unused_data:
        raise ValueError(f"expected a whole zlib stream of {column.num_bytes} bytes, got another")
    return column.shaped(np.frombuffer(decoded, np.uint8))


def decode_zstd(block: memoryview, column: Column) -> NDArray[Any]:
    """The values of a Zstandard frame; arguments, result and errors as of `decode_deflate`."""
    values = decode_frame(zstandard.ZstdDecompressor(), block, column.num_bytes)
    return column.shaped(values)


def decode_lz4(part_bytes: int) -> DecodeBlock:
    """The decoder of chunks made of independent LZ4 parts.

    Layout of a chunk: decoded bytes (8, big-endian), bytes of every decoded part but the last (4),
    then for each part its encoded bytes (4) and the part; a part that did not become smaller stands
    as it is.

    Args:
        part_bytes: of every part but the last.

    Returns:
        A decoder; arguments, result (here writable) and errors as of `decode_deflate`.

    Source: the HDF5 LZ4 filter (32004), ``H5Zlz4.c``; the LZ4 block format.
    """

    def decode(block: memoryview, column: Column) -> NDArray[Any]:
        num_bytes = column.num_bytes
        header = num_bytes.to_bytes(8, "big") + min(part_bytes, num_bytes).to_bytes(4, "big")
        if block[:_HEADER_BYTES] != header:
            raise ValueError(f"expected the header {header.hex()}, got another")
        values = np.empty(num_bytes, np.uint8)
        parts = Parts(block, _HEADER_BYTES)
        for start in range(0, num_bytes, part_bytes):
            part = values[start : start + part_bytes]
            encoded = parts.take()
            if len(encoded) == part.size:
                part[:] = np.frombuffer(encoded, np.uint8)
                continue
            try:
                decoded = lz4.block.decompress(encoded, uncompressed_size=part.size)
            except lz4.block.LZ4BlockError as error:
                raise ValueError(str(error)) from error
            if len(decoded) != part.size:
                raise ValueError(f"expected a part of {part.size} bytes, got {len(decoded)}")
            part[:] = np.frombuffer(decoded, np.uint8)
        parts.check_end()
        return column.shaped(values)

    return decode


def decode_bitshuffle(part_values: int) -> DecodeBlock:
    """The decoder of chunks whose parts are bit-transposed and then Zstandard frames.

    Layout of a chunk: decoded bytes (8, big-endian), bytes of a part (4), then for each part its
    encoded bytes (4) and the part, then what does not fill a group of eight values, as it is. A
    decoded part of n values of b bytes is (8b, n/8) bytes: row 8j + k holds bit k of byte j of
    every value, eight values in a byte, the first in the lowest bit.

    Args:
        part_values: values in each part but the last, a multiple of 8.

    Returns:
        A decoder; arguments, result (here writable) and errors as of `decode_deflate`.

    Source: Masui et al., "A compression scheme for radio data in high performance computing",
    Astronomy and Computing 12 (2015), section 3; the bitshuffle library, ``bshuf_untrans_bit_elem``
    and its HDF5 filter.
    """

    def decode(block: memoryview, column: Column) -> NDArray[Any]:
        num_bytes, itemsize = column.num_bytes, column.dtype.itemsize
        header = num_bytes.to_bytes(8, "big") + (part_values * itemsize).to_bytes(4, "big")
        if block[:_HEADER_BYTES] != header:
            raise ValueError(f"expected the header {header.hex()}, got another")
        decoder = zstandard.ZstdDecompressor()
        values = np.empty(num_bytes, np.uint8)
        tail_bytes = num_bytes // itemsize % _GROUP * itemsize
        parts = Parts(block, _HEADER_BYTES, tail_bytes)
        for start in range(0, num_bytes - tail_bytes, part_values * itemsize):
            part = values[start : min(start + part_values * itemsize, num_bytes - tail_bytes)]
            _restore_bits(decode_frame(decoder, parts.take(), part.size), itemsize, part)
        parts.check_end()
        values[num_bytes - tail_bytes :] = np.frombuffer(block[len(block) - tail_bytes :], np.uint8)
        return column.shaped(values)

    return decode


def _restore_bits(shuffled: NDArray[np.uint8], itemsize: int, values: NDArray[np.uint8]) -> None:
    """Transposes a block back.

    Args:
        shuffled: (n · itemsize,) uint8, n a multiple of 8.
        itemsize: 1 or 4.
        values: (n · itemsize,) uint8, written; begins at a multiple of 8 bytes in memory.
    """
    rows = shuffled.reshape(8 * itemsize, -1)
    if itemsize == 1:
        _transpose_bits(rows, values.view(np.uint64))
        return
    planes = np.empty((itemsize, values.size // itemsize), np.uint8)
    for index, plane in enumerate(planes):
        _transpose_bits(rows[8 * index : 8 * index + 8], plane.view(np.uint64))
    _interleave(planes, values.view(np.uint32))


@compiled
def _transpose_bits(rows: Array, values: Array) -> None:
    """Eight rows of bits become bytes, eight at a time in a 64-bit word.

    Args:
        rows: (8, m) uint8; bit i of byte g in row k is bit k of value 8g + i.
        values: (m,) uint64, written; eight values each, the first in the lowest byte.

    Source: Warren, "Hacker's Delight", 2nd edition, section 7-3 (transposing an 8×8 bit matrix).
    """
    for group in range(values.size):
        bits = _WORD(0)
        for row in range(8):
            bits |= _WORD(rows[row, group]) << _WORD(8 * row)
        bits = (bits & _KEEP_1) | ((bits & _MOVE_1) << _SHIFT_1) | ((bits >> _SHIFT_1) & _MOVE_1)
        bits = (bits & _KEEP_2) | ((bits & _MOVE_2) << _SHIFT_2) | ((bits >> _SHIFT_2) & _MOVE_2)
        bits = (bits & _KEEP_4) | ((bits & _MOVE_4) << _SHIFT_4) | ((bits >> _SHIFT_4) & _MOVE_4)
        values[group] = bits


@compiled
def _interleave(planes: Array, values: Array) -> None:
    """Four planes of bytes become 32-bit values.

    Args:
        planes: (4, n) uint8, the lowest byte of every value first.
        values: (n,) uint32, written.
    """
    for index in range(values.size):
        value = np.uint32(0)
        for plane in range(4):
            value |= np.uint32(planes[plane, index]) << np.uint32(8 * plane)
        values[index] = value
