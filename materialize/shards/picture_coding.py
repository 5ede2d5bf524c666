"""Blocks of images as pictures: PNG, lossless WebP and JPEG.

A block is a few images stacked vertically as one picture, so that small ones share a header and
what the encoder has learnt; a large image is a picture of its own, and so is every JPEG, whose
blocks of 8×8 pixels would cross from one image into the next.

Pictures of unknown origin are decoded too. Before Pillow sees one, its bytes are walked: it is of
the size, the number of channels and the kind that this module writes, made of the parts that it
writes and of nothing else. So there is nothing left of a format's richness to be exploited or to
be read differently by two programs: no palette, alpha, text, profile, EXIF rotation, animation,
progressive scans or second picture, and no size that was not expected.

Measured with Pillow 13.0 (zlib-ng 2.3, libwebp 1.6, libjpeg-turbo 3.2), whose bytes did not differ
between this processor and emulated ones (Nehalem, Haswell, EPYC), at any level that was tried:

PNG     level 4 is within 1.5 % of the best ratio at all sizes and 1.2 to 1.6 times as fast as 6.
        Pillow always chooses a filter for each line, by the least sum of differences.
WebP    method 2: 1 to 2 % smaller than method 1 for a fifth of its speed; method 4 gives 3 % more
        for four fifths.
JPEG    4:4:4. With colour at half resolution fidelity ends at 39 to 42 dB whatever the quality, and
        at equal PSNR the files are not smaller (32×32×3: 36.0 dB at 3.2 : 1 against 36.2 dB at
        3.3 : 1; 224×224×3: 36.0 dB at 8.8 : 1 against 35.9 dB at 8.9 : 1). It also leaves decoders
        no choice of how to enlarge colour. Small images get Huffman tables of their own (3.3 : 1
        against 2.5 : 1 at 32×32×3, 3 % at 224×224×3); for larger ones Pillow gives the encoder a
        buffer that noise overruns.
"""

import io
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from materialize.shards.columns import Column
from materialize.shards.encoding import EncodeBlock

BLOCK_BYTES = 1 << 15
"""Decoded, at most, of several images in one picture: 10 images of 32×32×3, 41 of 28×28×1. The
ratio is within 1 % (PNG) and 2 % (WebP) of that of blocks four times as large, and a single image
out of a shuffled order costs 0.3 ms."""

MAX_SIDE = 16383
"""Of a picture, in pixels: WebP's own limit, kept for all."""

MAX_PIXELS = 1 << 26
"""Of a picture; below what Pillow takes for a decompression bomb."""

JPEG_DECODER = "libjpeg, islow DCT, 4:4:4"
"""What the decoded digest of a lossy shard was computed with."""

_PNG_LEVEL = 4
_WEBP_METHOD = 2
_WEBP_EFFORT = 20
_OWN_TABLES_BYTES = 1 << 14
"""Images of at most this size have Huffman tables of their own: a quarter of Pillow's buffer."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_COLOUR_TYPE = {1: 0, 3: 2}
_PNG_END = b"\0\0\0\0IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
_PNG_LEAST_PART = 1 << 12
"""Bytes of an image data part but the last; Pillow writes parts of 2^16 and more."""
_MODE = {1: "L", 3: "RGB"}

_CANNOT_DECODE = (
    OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, RuntimeError,
    OverflowError, struct.error, zlib.error,
)  # fmt: skip
"""What Pillow was seen to raise on broken pictures."""

_Size = tuple[int, int]
"""(height, width)"""


def picture_problem(dtype: np.dtype[Any], image_shape: tuple[int, int, int]) -> str | None:
    """Why such images cannot be stored as pictures; None if they can.

    Args:
        dtype: of the images.
        image_shape: (H, W, C).
    """
    height, width, channels = image_shape
    if dtype != np.uint8 or channels not in _MODE:
        return f"it holds uint8 images of 1 or 3 channels, and these are {dtype} of {channels}"
    if max(height, width) > MAX_SIDE or height * width > MAX_PIXELS:
        return (
            f"it holds images of sides up to {MAX_SIDE} and {MAX_PIXELS:,} pixels, and these are "
            f"{height}×{width}"
        )
    return None


def picture_rows(image_shape: tuple[int, int, int]) -> int:
    """How many images of (H, W, C) are stacked in one picture."""
    height, width, channels = image_shape
    return max(1, min(BLOCK_BYTES // (height * width * channels), MAX_SIDE // height))


def encode_png(images: NDArray[Any]) -> bytes:
    """One PNG of some images.

    Args:
        images: (n, H, W, C) uint8, C 1 or 3.

    Raises:
        ValueError: they are something else.

    Exactness: lossless; the bytes are a function of the images and of Pillow's build.
    """
    return _saved(_stacked(images), "PNG", {"compress_level": _PNG_LEVEL})


def encode_webp(images: NDArray[Any]) -> bytes:
    """One lossless WebP of some images; arguments, errors and exactness as of `encode_png`."""
    options = {"lossless": True, "method": _WEBP_METHOD, "quality": _WEBP_EFFORT}
    return _saved(_stacked(images), "WEBP", options)


def encode_jpeg(quality: int) -> EncodeBlock:
    """The encoder of JPEGs of a quality.

    Args:
        quality: 1 to 100, libjpeg's.

    Returns:
        An encoder; arguments and errors as of `encode_png`, exactness but for the loss too.
    """

    def encode(images: NDArray[Any]) -> bytes:
        picture = _stacked(images)
        options = {
            "quality": quality, "subsampling": 0, "optimize": images.nbytes <= _OWN_TABLES_BYTES
        }  # fmt: skip
        return _saved(picture, "JPEG", options)

    return encode


def decode_png(block: memoryview, column: Column) -> NDArray[Any]:
    """The images of one PNG of ours.

    Args:
        block: the file and nothing else.
        column: what it must decode to: (n, H, W, C) uint8.

    Returns:
        An array of that dtype and shape.

    Raises:
        ValueError: it is not such a file, or one with parts that `encode_png` does not write.
    """
    return _decoded(block, column, "PNG", _check_png)


def decode_webp(block: memoryview, column: Column) -> NDArray[Any]:
    """The images of one WebP of ours; arguments, result and errors as of `decode_png`."""
    return _decoded(block, column, "WEBP", _check_webp)


def decode_jpeg(block: memoryview, column: Column) -> NDArray[Any]:
    """The images of one JPEG of ours; arguments, result and errors as of `decode_png`."""
    return _decoded(block, column, "JPEG", _check_jpeg)


def _stacked(images: NDArray[Any]) -> NDArray[np.uint8]:
    """(n·H, W) or (n·H, W, 3): the images as one picture."""
    count, height, width, channels = images.shape
    problem = picture_problem(images.dtype, (count * height, width, channels))
    if problem:
        raise ValueError(f"expected what a picture holds: {problem}")
    rows = np.ascontiguousarray(images).reshape(count * height, width, channels)
    return rows[:, :, 0] if channels == 1 else rows


def _saved(picture: NDArray[np.uint8], kind: str, options: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **options)
    return file.getvalue()


def _decoded(
    block: memoryview, column: Column, kind: str, check: Callable[[bytes, _Size, int], None]
) -> NDArray[Any]:
    """Walks the file, decodes it, and gives it the expected shape."""
    count, height, width, channels = column.shape
    size = (count * height, width)
    content = bytes(block)
    check(content, size, channels)
    try:
        with Image.open(io.BytesIO(content), formats=(kind,)) as picture:
            _require("format", kind, picture.format)
            _require("size", size, (picture.height, picture.width))
            pixels = np.asarray(picture)
    except _CANNOT_DECODE as error:
        raise ValueError(f"{kind}: {error}") from error
    if channels == 1 and pixels.ndim == 3:  # WebP has no grey
        if (pixels != pixels[:, :, :1]).any():
            raise ValueError("expected a grey picture, got a coloured one")
        pixels = pixels[:, :, :1]
    _require("values", (*size, channels), (*pixels.shape, 1)[:3])
    _require("dtype", column.dtype, pixels.dtype)
    return np.ascontiguousarray(pixels).reshape(column.shape)


def _check_png(content: bytes, size: _Size, channels: int) -> None:
    """Signature, one header of exactly this size, image data, end."""
    header = b"IHDR" + struct.pack(
        ">2I5B", size[1], size[0], 8, _PNG_COLOUR_TYPE[channels], 0, 0, 0
    )
    head = _PNG_SIGNATURE + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    _require("header", head, content[: len(head)])
    position, kinds = len(head), [b"IHDR"]
    most = 3 + len(content) // _PNG_LEAST_PART
    while position < len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        kinds.append(content[position + 4 : position + 8])
        position += 12 + length
        if len(kinds) > most:
            raise ValueError(f"expected at most {most} parts, got more")
    _require("end", len(content), position)
    _require("last part", _PNG_END, content[-len(_PNG_END) :])
    _require("other parts", {b"IDAT"}, set(kinds[1:-1]))


def _check_webp(content: bytes, size: _Size, channels: int) -> None:
    """One lossless picture of exactly this size, without alpha, padded to an even length."""
    del channels  # always three
    length = int.from_bytes(content[16:20], "little")
    _require("end", len(content), 20 + length + length % 2)
    head = struct.pack("<4sI8sIB", b"RIFF", len(content) - 8, b"WEBPVP8L", length, 0x2F)
    _require("header", head, content[: len(head)])
    measures = (size[1] - 1) | (size[0] - 1) << 14
    _require("measures", measures, int.from_bytes(content[21:25], "little"))


def _check_jpeg(content: bytes, size: _Size, channels: int) -> None:
    """One baseline picture of exactly this size, colour at full resolution, and one scan."""
    _require("start", _JPEG_START, content[: len(_JPEG_START)])
    position = 2
    kinds: list[int] = []
    while not kinds or kinds[-1] != 0xDA:
        marker, kind, length = struct.unpack_from(
            ">2BH", content.ljust(position + 4, b"\0"), position
        )
        _require("marker", 0xFF, marker)
        if kind not in _JPEG_SEGMENTS:
            raise ValueError(f"expected no segment {kind:02x}, got one")
        if kind == 0xC0:
            _require(
                "frame", _jpeg_frame(size, channels), content[position + 4 : position + 2 + length]
            )
        kinds.append(kind)
        if len(kinds) > _JPEG_MOST_SEGMENTS:
            raise ValueError(f"expected at most {_JPEG_MOST_SEGMENTS} segments, got more")
        position += 2 + length
    scan = _jpeg_scan(channels)
    _require("scan", scan, content[position - len(scan) : position])
    _require("number of first segments", 1, kinds.count(0xE0))
    _require("number of frames", 1, kinds.count(0xC0))
    # In the scan, 0xFF is followed by 0 in data and by something else in a marker.
    marker_at = _JPEG_MARKER.search(content, position)
    end = marker_at.start() if marker_at else -1
    if end == position:
        raise ValueError("expected a scan of some bytes, got an empty one")
    _require("end", (len(content) - 2, b"\xff\xd9"), (end, content[-2:]))


_JPEG_START = b"\xff\xd8\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0"
"""Start of image, JFIF 1.01 without density and thumbnail."""
_JPEG_SEGMENTS = (0xE0, 0xDB, 0xC0, 0xC4, 0xDA)
"""JFIF, quantization tables, baseline frame, Huffman tables, scan."""
_JPEG_MOST_SEGMENTS = 9
"""JFIF, two quantization tables, frame, four Huffman tables, scan."""
_JPEG_MARKER = re.compile(rb"\xff[^\0]")


def _jpeg_scan(channels: int) -> bytes:
    """The scan header of a picture: all channels in one scan, each with its tables."""
    tables = b"".join(bytes([number + 1, 0x11 * min(number, 1)]) for number in range(channels))
    return struct.pack(">2BHB", 0xFF, 0xDA, 6 + len(tables), channels) + tables + b"\0\x3f\0"


def _jpeg_frame(size: _Size, channels: int) -> bytes:
    """The baseline frame header of a picture; colour has tables of its own."""
    components = b"".join(bytes([number + 1, 0x11, min(number, 1)]) for number in range(channels))
    return struct.pack(">B2HB", 8, *size, channels) + components


def _require(what: str, expected: object, found: object) -> None:
    if expected != found:
        raise ValueError(f"expected the {what} {expected!r}, got {found!r}")
