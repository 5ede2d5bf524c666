"""What an encoded chunk claims about its lengths, checked before a filter believes it.

The filters of HDF5 trust the lengths inside a chunk: one that claims to decode to less than a
chunk, or holds a block that claims to be longer than it is, makes libhdf5 read behind a buffer and
crash the process. (Flipping single bytes of a shard, digests recomputed, found it.) Each function
here says whether the lengths are exactly those our writer produces; what then still fails to decode
is a plain error.
"""

import zlib
from collections.abc import Callable

SoundChunk = Callable[[memoryview, int, int], bool]
"""(chunk, decoded bytes expected, bytes per value) → whether a filter may have it."""

_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"

_BITSHUFFLE_MULTIPLE = 8
"""Values that do not fill a group of eight are appended as they are."""


def sound_deflate(chunk: memoryview, num_bytes: int, itemsize: int) -> bool:
    """Whether a zlib stream decodes to this length: only decoding tells, so this is slow."""
    del itemsize
    decoder = zlib.decompressobj()
    try:
        decoded = decoder.decompress(chunk, num_bytes + 1)
    except zlib.error:
        return False
    return len(decoded) == num_bytes and decoder.eof


def sound_zstd(chunk: memoryview, num_bytes: int, itemsize: int) -> bool:
    """Whether a Zstandard frame declares this length.

    Source: RFC 8878, section 3.1.1.1 (frame header).
    """
    del itemsize
    if len(chunk) < 5 or chunk[:4] != _ZSTD_MAGIC:
        return False
    descriptor = chunk[4]
    is_single_segment = bool(descriptor & 0x20)
    size_bytes = (int(is_single_segment), 2, 4, 8)[descriptor >> 6]
    start = 5 + (not is_single_segment) + (0, 1, 2, 4)[descriptor & 3]
    content_size = chunk[start : start + size_bytes]
    declared = int.from_bytes(content_size, "little") + 256 * (size_bytes == 2)
    return len(content_size) == size_bytes > 0 and declared == num_bytes


def sound_bitshuffle(block_values: int) -> SoundChunk:
    """Whether the header and the chain of blocks of a bitshuffle chunk fit its length exactly.

    Layout: decoded bytes (8, big-endian), block bytes (4), then for each block its encoded bytes
    (4) and the block, then what does not fill a group of eight values.
    """

    def is_sound(chunk: memoryview, num_bytes: int, itemsize: int) -> bool:
        header = num_bytes.to_bytes(8, "big") + (block_values * itemsize).to_bytes(4, "big")
        if chunk[:12] != header:
            return False
        values = num_bytes // itemsize
        num_blocks, rest = divmod(values, block_values)
        num_blocks += rest >= _BITSHUFFLE_MULTIPLE
        position = 12
        for _ in range(num_blocks):
            position += 4 + int.from_bytes(chunk[position : position + 4], "big")
        return position + rest % _BITSHUFFLE_MULTIPLE * itemsize == len(chunk)

    return is_sound


def never_sound(chunk: memoryview, num_bytes: int, itemsize: int) -> bool:
    """For codecs without chunks."""
    del chunk, num_bytes, itemsize
    return False
