"""Decodes a chunk without libhdf5, whose one lock would let only one thread decode at a time.

These are the inverses of the HDF5 filters in `materialize.shards.codecs`. All of them run without
the interpreter lock. Unlike the filters they believe no length inside a chunk: what does not decode
to exactly the expected bytes is a `ValueError`, so a chunk of unknown origin may be tried, and no
more memory is taken than the decoded chunk needs.
"""

import zlib
from collections.abc import Callable

import numpy as np
import zstandard
from numpy.typing import NDArray

from pipelines.compiled import Array, compiled

DecodeChunk = Callable[[memoryview, int, int], NDArray[np.uint8]]
"""(chunk, decoded bytes expected, bytes per value) → (decoded bytes,) uint8."""

_HEADER_BYTES = 12
_LENGTH_BYTES = 4
_GROUP = 8
"""Values whose bits are transposed together; what does not fill a group is stored as it is."""

_WORD = np.uint64
_SHIFT_1, _SHIFT_2, _SHIFT_4 = _WORD(7), _WORD(14), _WORD(28)
_KEEP_1, _MOVE_1 = _WORD(0xAA55AA55AA55AA55), _WORD(0x00AA00AA00AA00AA)
_KEEP_2, _MOVE_2 = _WORD(0xCCCC3333CCCC3333), _WORD(0x0000CCCC0000CCCC)
_KEEP_4, _MOVE_4 = _WORD(0xF0F0F0F00F0F0F0F), _WORD(0x00000000F0F0F0F0)


def decode_deflate(chunk: memoryview, num_bytes: int, itemsize: int) -> NDArray[np.uint8]:
    """The values of a zlib stream.

    Args:
        chunk: the stream and nothing else.
        num_bytes: how many bytes it must decode to.
        itemsize: of a value; without meaning here.

    Returns:
        (num_bytes,) uint8, read-only.

    Raises:
        ValueError: it is not a stream of that length.
    """
    del itemsize
    decoder = zlib.decompressobj()
    try:
        decoded = decoder.decompress(chunk, num_bytes + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(decoded) != num_bytes or not decoder.eof or decoder.unused_data:
        raise ValueError(f"expected a whole zlib stream of {num_bytes} bytes, got another")
    return np.frombuffer(decoded, np.uint8)


def decode_zstd(chunk: memoryview, num_bytes: int, itemsize: int) -> NDArray[np.uint8]:
    """The values of a Zstandard frame; arguments, result and errors as of `decode_deflate`."""
    del itemsize
    return _decode_frame(zstandard.ZstdDecompressor(), chunk, num_bytes)


def decode_bitshuffle(block_values: int) -> DecodeChunk:
    """The decoder of chunks whose blocks are bit-transposed and then Zstandard frames.

    Layout of a chunk: see `materialize.shards.chunks.sound_bitshuffle`. A decoded block of n values
    of b bytes is (8b, n/8) bytes: row 8j + k holds bit k of byte j of every value, eight values in
    a byte, the first in the lowest bit.

    Args:
        block_values: values in each block but the last, a multiple of 8.

    Returns:
        A decoder; arguments, result (here writable) and errors as of `decode_deflate`.

    Source: Masui et al., "A compression scheme for radio data in high performance computing",
    Astronomy and Computing 12 (2015), section 3; the bitshuffle library, ``bshuf_untrans_bit_elem``
    and its HDF5 filter.
    """

    def decode(chunk: memoryview, num_bytes: int, itemsize: int) -> NDArray[np.uint8]:
        header = num_bytes.to_bytes(8, "big") + (block_values * itemsize).to_bytes(4, "big")
        if chunk[:_HEADER_BYTES] != header:
            raise ValueError(f"expected the header {header.hex()}, got another")
        decoder = zstandard.ZstdDecompressor()
        values = np.empty(num_bytes, np.uint8)
        tail_bytes = num_bytes // itemsize % _GROUP * itemsize
        position = _HEADER_BYTES
        for start in range(0, num_bytes - tail_bytes, block_values * itemsize):
            block = values[start : min(start + block_values * itemsize, num_bytes - tail_bytes)]
            length = int.from_bytes(chunk[position : position + _LENGTH_BYTES], "big")
            position += _LENGTH_BYTES
            frame = chunk[position : position + length]
            position += length
            _restore_bits(_decode_frame(decoder, frame, block.size), itemsize, block)
        if position + tail_bytes != len(chunk):
            raise ValueError(f"expected {position + tail_bytes} bytes, got {len(chunk)}")
        values[num_bytes - tail_bytes :] = np.frombuffer(chunk[position:], np.uint8)
        return values

    return decode


def cannot_decode(chunk: memoryview, num_bytes: int, itemsize: int) -> NDArray[np.uint8]:
    """For codecs without chunks."""
    del chunk, num_bytes, itemsize
    raise ValueError("expected a codec with chunks, got one without")


def _decode_frame(
    decoder: zstandard.ZstdDecompressor, frame: memoryview, num_bytes: int
) -> NDArray[np.uint8]:
    """One whole frame; ``decoder`` belongs to one thread, as its library demands."""
    try:
        # Compared first: this length is what the decoder would allocate.
        if zstandard.frame_content_size(frame) != num_bytes:
            raise ValueError(f"expected a frame of {num_bytes} bytes, got another")
        decoded = decoder.decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ValueError(str(error)) from error
    if len(decoded) != num_bytes:
        raise ValueError(f"expected a frame of {num_bytes} bytes, got {len(decoded)}")
    return np.frombuffer(decoded, np.uint8)


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
