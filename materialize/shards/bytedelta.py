"""Blosc2 chunks of bytes shuffled, differenced and compressed with Zstandard, as HDF5 stores them.

The bytes of a pixel's channels are put apart, each replaced by its difference to the one before:
what is left of a photograph is small and compresses well, faster than any picture format does.

The chunks are read by the HDF5 filter 32026 of `hdf5plugin`. They are not written by it: it has no
bytedelta, chooses its parts by the size of this machine's caches, and with BLOSC_NTHREADS=2 in the
environment twelve of twelve outputs differed. Here parts have one size, one thread and no
environment, and a chunk is one contiguous frame with exactly one layout:

    frame header (97) · chunk header (32) · where each part starts (4 each) · parts · index (40) ·
    trailer (35)

A part is its length (4) and a Zstandard frame; one that did not become smaller stands as it is.

Source: C-Blosc2, README_CFRAME_FORMAT.rst and README_CHUNK_FORMAT.rst; a test compares with it.
"""

import struct
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from materialize.shards.columns import Column
from materialize.shards.parts import Parts, decode_frame
from pipelines.compiled import Array, Int, compiled

PART_BYTES = 1 << 15
"""Of the 32, 64, 128 and 256 KiB tried, the best ratio on photographs, and the others no worse."""

LEVEL = 1
"""Of Zstandard and, for it, of Blosc2; level 3 costs four fifths of the speed for under 1 %."""

MAX_CHUNK_BYTES = 2**31 - 1
"""What the signed lengths of the format hold."""

_MAX_STRIDE = 255
_SHUFFLE, _BYTEDELTA = 1, 35
_ZSTD = 5
_FLAGS = 0x95
"""Extended header, parts in one stream each, Zstandard."""

_FRAME_HEAD = ">2B8sBiBQB4sBqBqBiBiBiBhBhBBB16sBBHBHBH"
_FRAME_HEAD_BYTES = struct.calcsize(_FRAME_HEAD)
_CHUNK_HEAD_BYTES = 32

_FRAME_END = bytes.fromhex(
    "0501070808000000080000002800000000000000000100000000000000000000" + "00" * 8  # one offset: 0
    + "940193cd0006de0000dc0000ce00000023d800" + "00" * 16  # no metalayers, no fingerprint
)  # fmt: skip


def encode_bytedelta(images: NDArray[Any]) -> bytes:
    """One Blosc2 frame of some images.

    Args:
        images: (n, H, W, C) of one-byte or four-byte numbers, C-contiguous.

    Raises:
        ValueError: they are more than the format holds.

    Exactness: a function of the images and of Zstandard's version.
    """
    column = Column(images.dtype, images.shape)
    stride = _stride(column)
    encoder = zstandard.ZstdCompressor(level=LEVEL)
    values = images.reshape(-1).view(np.uint8)
    starts: list[int] = []
    parts: list[bytes] = []
    position = _CHUNK_HEAD_BYTES + 4 * _num_parts(column)
    for start in range(0, values.size, _part_bytes(column)):
        part = values[start : start + _part_bytes(column)]
        planes = np.empty((stride, part.size // stride), np.uint8)
        _difference(part, planes)
        encoded = encoder.compress(planes.data)
        stored = encoded if len(encoded) < part.size else planes.tobytes()
        starts.append(position)
        parts += (len(stored).to_bytes(4, "little"), stored)
        position += 4 + len(stored)
    heads = _heads(column, position)
    return b"".join([heads, struct.pack(f"<{len(starts)}i", *starts), *parts, _FRAME_END])


def decode_bytedelta(block: memoryview, column: Column) -> NDArray[Any]:
    """The images of one Blosc2 frame of ours.

    Args:
        block: the frame and nothing else.
        column: dtype and shape of what it must decode to.

    Returns:
        An array of that dtype and shape.

    Raises:
        ValueError: it is not such a frame, or one that `encode_bytedelta` would lay out otherwise.
    """
    chunk_bytes = len(block) - _FRAME_HEAD_BYTES - len(_FRAME_END)
    first = _CHUNK_HEAD_BYTES + 4 * _num_parts(column)
    if chunk_bytes < first or block[-len(_FRAME_END) :] != _FRAME_END:
        raise ValueError("expected a whole Blosc2 frame of one chunk, got another")
    heads = _heads(column, chunk_bytes)
    if block[: len(heads)] != heads:
        raise ValueError(f"expected a Blosc2 frame of {column.num_bytes} bytes, got another")
    chunk = block[_FRAME_HEAD_BYTES : _FRAME_HEAD_BYTES + chunk_bytes]
    starts = np.frombuffer(chunk[_CHUNK_HEAD_BYTES:first], "<i4").tolist()
    decoder = zstandard.ZstdDecompressor()
    values = np.empty(column.num_bytes, np.uint8)
    parts = Parts(chunk, first, byteorder="little")
    stride = _stride(column)
    for number, expected in enumerate(starts):
        if parts.position != expected:
            raise ValueError(f"expected part {number} at {parts.position}, got {expected}")
        part = values[number * _part_bytes(column) :][: _part_bytes(column)]
        stored = parts.take()
        if len(stored) == part.size:
            planes = np.frombuffer(stored, np.uint8)
        else:
            planes = decode_frame(decoder, stored, part.size)
        _accumulate(planes.reshape(stride, -1), part)
    parts.check_end()
    return column.shaped(values)


def _stride(column: Column) -> int:
    """Bytes between a byte and the one it is compared with: the same channel one pixel before."""
    pixel = column.dtype.itemsize * column.shape[-1]
    return pixel if pixel <= _MAX_STRIDE else column.dtype.itemsize


def _part_bytes(column: Column) -> int:
    """Decoded bytes of every part but the last: whole strides."""
    return min(column.num_bytes, PART_BYTES // _stride(column) * _stride(column))


def _num_parts(column: Column) -> int:
    return -(-column.num_bytes // _part_bytes(column))


def _heads(column: Column, chunk_bytes: int) -> bytes:
    """Everything before the starts of the parts."""
    if max(column.num_bytes, chunk_bytes) > MAX_CHUNK_BYTES:
        raise ValueError(f"expected at most {MAX_CHUNK_BYTES} bytes, got {column.num_bytes}")
    stride, part_bytes = _stride(column), _part_bytes(column)
    filters = struct.pack("8B6B2B", 0, 0, 0, 0, _SHUFFLE, _BYTEDELTA, _ZSTD, 0,
                          0, 0, 0, 0, 0, stride, 0, 0)  # fmt: skip
    frame_bytes = _FRAME_HEAD_BYTES + chunk_bytes + len(_FRAME_END)
    # Numbers between the values are the types of MessagePack.
    frame = struct.pack(
        _FRAME_HEAD, 0x9E, 0xA8, b"b2frame\0", 0xD2, _FRAME_HEAD_BYTES, 0xCF, frame_bytes,
        0xA4, bytes([0x12, 0, _ZSTD | LEVEL << 4, 1]), 0xD3, column.num_bytes, 0xD3, chunk_bytes,
        0xD2, stride, 0xD2, part_bytes, 0xD2, column.num_bytes, 0xD1, 1, 0xD1, 1,
        0xC2, 0xD8, 6, filters, 0x93, 0xCD, 7, 0xDE, 0, 0xDC, 0,
    )  # fmt: skip
    chunk = struct.pack(
        "<4B3i16s", 5, 1, _FLAGS, stride, column.num_bytes, part_bytes, chunk_bytes, filters
    )
    return frame + chunk


@compiled
def _difference(values: Array, planes: Array) -> None:
    """Each byte minus the one a stride before it, modulo 256, the places in a stride put apart.

    Args:
        values: (stride · n,) uint8.
        planes: (stride, n) uint8, written.
    """
    stride: Int = planes.shape[0]
    for place in range(stride):
        before = np.uint8(0)
        for index in range(planes.shape[1]):
            value = values[index * stride + place]
            planes[place, index] = value - before
            before = value


@compiled
def _accumulate(planes: Array, values: Array) -> None:
    """The inverse of `_difference`.

    Args:
        planes: (stride, n) uint8.
        values: (stride · n,) uint8, written.
    """
    stride: Int = planes.shape[0]
    for place in range(stride):
        value = np.uint8(0)
        for index in range(planes.shape[1]):
            value = np.uint8(value + planes[place, index])
            values[index * stride + place] = value
