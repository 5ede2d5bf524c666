"""How pixels are encoded inside a shard: one record per codec, found by name.

A codec is raw, one HDF5 filter, or a picture format. Filtered shards are read by plain h5py with
`hdf5plugin` imported and nothing of ours; pictures by whatever reads PNG, WebP or JPEG. To add one,
append a record to `CODECS`; what it must be is single-threaded and deaf to the environment and to
the processor, because a shard's bytes depend on its spec alone.

Measured on one core of an EPYC (Zen 5); ratio, MB/s of decoded pixels, and shuffled batches of 128
in thousands of images/s, where decoded blocks have room and where only an eighth of them have
(`python -m tests.benchmarks coding`): 10,000 CIFAR images 32×32×3, 10,000 Fashion-MNIST images
28×28×1 and 100 photographs 224×224×3:

                          ratio             encode            decode         thousand images/s
                     32³  28¹  224³     32³  28¹ 224³     32³  28¹ 224³     32³       224³
    bitshuffle-zstd  1.16 1.56 1.25     580  432  659    2007 1311 1911    183  27    4.5 6.1
    zstd             1.01 1.76 1.10    1140  528  806   10115 1466 1791    231  45    4.3 6.2
    gzip (level 4)   1.08 1.75 1.20      52   67   50     299  332  284     72   6    1.4 1.6
    lz4              1.02 1.52 1.03    2498  952 2220    9453 3865 9680    243  53    6.0 9.8
    blosc2           1.31 1.78 1.49     687  564  637    1052  944 1062    154  19    3.6 4.3
    png              1.40 1.92 1.54      32   37   27     102  119  130     29   3    0.8 0.7
    webp             1.78 1.98 2.01      25   13   17     152   83  117     39   5    1.0 1.2
    jpeg-90          3.38 1.37 6.74      66   23  623      47   18  504     12   7    1.9 2.5

jpeg-90 leaves 36.0, 39.0 and 36.9 dB (PSNR). Tried and left out: blosc zstd bitshuffle (ratio 1.15,
1.55, 1.50 at a third to a half of bitshuffle-zstd's speed of encoding) and bitshuffle-lz4 (1.09,
1.25, 1.35).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from materialize.errors import ConfigError
from materialize.shards.bytedelta import LEVEL, decode_bytedelta, encode_bytedelta
from materialize.shards.columns import Column
from materialize.shards.decoding import (
    DecodeBlock,
    decode_bitshuffle,
    decode_deflate,
    decode_lz4,
    decode_raw,
    decode_zstd,
)
from materialize.shards.encoding import EncodeBlock, encode_by_filter, encode_lz4, encode_raw
from materialize.shards.picture_coding import (
    decode_jpeg,
    decode_png,
    decode_webp,
    encode_jpeg,
    encode_png,
    encode_webp,
    picture_problem,
    picture_rows,
)

# Registered HDF5 filter numbers.
_DEFLATE = 1
_LZ4 = 32004
_BITSHUFFLE = 32008
_ZSTD = 32015
_BLOSC2 = 32026

_CHUNK_BYTES = 1 << 20
"""Large enough that a chunk's index entry and call cost nothing, small enough for the L2 cache."""

_BITSHUFFLE_PART = 1 << 18
"""Values per part. The default of 8 KiB costs 4 % of the ratio and half of the speed."""

_LZ4_PART_BYTES = 1 << 20
"""One part for all chunks but those of very large images."""

_JPEG_NAME = re.compile(r"jpeg-([1-9][0-9]?|100)")


@dataclass(frozen=True, slots=True)
class Codec:
    """One way to store pixels, in blocks of rows.

    A block is an HDF5 chunk or a picture: what is encoded, and decoded, at once.
    """

    name: str
    encode: EncodeBlock
    """One block of (n, H, W, C) images; its bytes are a function of them."""
    decode: DecodeBlock
    """A block of whatever origin, without libhdf5, for any number of threads."""
    filter_number: int | None = None
    """The one HDF5 filter; exactly this one is accepted on reading."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What `h5py.Group.create_dataset` is told."""
    is_picture: bool = False
    """Whether blocks are pictures, in a dataset of bytes with offsets."""
    is_lossy: bool = False
    """Whether decoding gives other pixels than were encoded."""
    has_single_rows: bool = False
    """Whether every block is one row."""

    @property
    def is_raw(self) -> bool:
        """Whether pixels are stored as they are, contiguous, to be mapped."""
        return self.filter_number is None and not self.is_picture

    def problem(self, images: Column) -> str | None:
        """Why such images cannot be stored with this codec; None if they can.

        Args:
            images: their dtype and shape (…, H, W, C).
        """
        if not self.is_picture:
            return None
        height, width, channels = images.shape[-3:]
        return picture_problem(images.dtype, (height, width, channels))

    def rows_per_block(self, images: Column) -> int:
        """Rows of every block but the last.

        Args:
            images: dtype and shape (n, H, W, C) of all rows.
        """
        num_rows, height, width, channels = images.shape
        row_bytes = max(1, images.num_bytes // max(1, num_rows))
        if self.has_single_rows:
            return 1
        if self.is_picture:
            return max(1, min(num_rows, picture_rows((height, width, channels))))
        return max(1, min(num_rows, _CHUNK_BYTES // row_bytes))

    def num_blocks(self, images: Column) -> int:
        """How many blocks hold all rows."""
        return -(-images.shape[0] // self.rows_per_block(images))

    def block_column(self, images: Column, number: int) -> Column:
        """What a block decodes to.

        Args:
            images: dtype and shape (n, H, W, C) of all rows.
            number: of the block. The last picture has fewer rows where they do not fill it; the
                last chunk has all, the ones too many being zeros, as HDF5 has it.
        """
        rows = self.rows_per_block(images)
        if self.is_picture:
            rows = min(rows, images.shape[0] - number * rows)
        return Column(images.dtype, (rows, *images.shape[1:]))


def _filtered(
    name: str, number: int, options: Mapping[str, Any], decode: DecodeBlock,
    encode: EncodeBlock | None = None,
) -> Codec:  # fmt: skip
    return Codec(name, encode or encode_by_filter(options), decode, number, options)


def _jpeg(quality: int) -> Codec:
    """Each image its own picture: the blocks of 8×8 pixels of a stack would mix two images."""
    return Codec(
        f"jpeg-{quality}", encode_jpeg(quality), decode_jpeg, is_picture=True, is_lossy=True,
        has_single_rows=True,
    )  # fmt: skip


CODECS = {
    codec.name: codec
    for codec in (
        Codec("raw", encode_raw, decode_raw),
        # The best ratio times speed on photographs; the bits of equal weight stand together.
        _filtered(
            "bitshuffle-zstd",
            _BITSHUFFLE,
            dict(hdf5plugin.Bitshuffle(nelems=_BITSHUFFLE_PART, cname="zstd", clevel=1)),
            decode_bitshuffle(_BITSHUFFLE_PART),
        ),
        # Better where large parts of an image are one value: masks, drawings, digits.
        _filtered("zstd", _ZSTD, dict(hdf5plugin.Zstd(clevel=1)), decode_zstd),
        # Slow, but inside every HDF5 library there is.
        _filtered("gzip", _DEFLATE, {"compression": "gzip", "compression_opts": 4}, decode_deflate),
        _filtered(
            "lz4",
            _LZ4,
            dict(hdf5plugin.LZ4(nbytes=_LZ4_PART_BYTES)),
            decode_lz4(_LZ4_PART_BYTES),
            encode_lz4(_LZ4_PART_BYTES),
        ),
        # Differences between neighbouring pixels: small on photographs.
        _filtered(
            "blosc2",
            _BLOSC2,
            dict(hdf5plugin.Blosc2(cname="zstd", clevel=LEVEL, filters=hdf5plugin.Blosc2.SHUFFLE)),
            decode_bytedelta,
            encode_bytedelta,
        ),
        Codec("png", encode_png, decode_png, is_picture=True),
        Codec("webp", encode_webp, decode_webp, is_picture=True),
        _jpeg(90),
    )
}
"""One of each; `find_codec` knows every quality of JPEG."""


def find_codec(name: str) -> Codec:
    """The codec of that name: one of `CODECS`, or ``jpeg-1`` to ``jpeg-100``.

    Raises:
        ConfigError: there is none; the nearest name is in the message.
    """
    if name in CODECS:
        return CODECS[name]
    quality = _JPEG_NAME.fullmatch(name)
    if quality:
        return _jpeg(int(quality[1]))
    known = ", ".join(codec.name for codec in CODECS.values() if not codec.is_lossy)
    near = get_close_matches(name, CODECS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(
        f"there is no codec {name!r}; {hint}known are {known} and jpeg-Q with a quality Q in "
        "[1, 100]",
        {"name": "codec", "found": name, "expected": (*CODECS, "jpeg-1 … jpeg-100")},
    )


def mask_codec(name: str) -> str:
    """The codec of masks beside images of a codec: raw beside raw, else zstd.

    It is lossless, holds any number of channels, and is the best of those where large parts of an
    image are one value.
    """
    return name if find_codec(name).is_raw else "zstd"


def encode_block(codec: Codec, images: NDArray[Any]) -> bytes:
    """One block as it would stand in a shard, without a shard.

    Args:
        codec: how.
        images: (n, H, W, C) uint8 or float32; n at most ``codec.rows_per_block`` for the bytes a
            shard would have.

    Raises:
        ValueError: the codec cannot hold such images; see `Codec.problem`.
    """
    return codec.encode(np.ascontiguousarray(images))


def decode_block(codec: Codec, block: bytes | memoryview, images: Column) -> NDArray[Any]:
    """The images of a block of whatever origin.

    Args:
        codec: how it was encoded.
        block: its bytes and nothing else.
        images: dtype and shape (n, H, W, C) of what it must decode to.

    Raises:
        ValueError: it does not decode to exactly that.
    """
    return codec.decode(memoryview(block), images)


def as_read(codec: Codec, images: NDArray[Any]) -> NDArray[Any]:
    """What reading gives of stored images: themselves, or what a lossy codec makes of them.

    Args:
        codec: how they are stored.
        images: (n, H, W, C), any rows of a shard: those of a lossy codec are blocks of their own.
    """
    if not codec.is_lossy:
        return images
    read = np.empty_like(images)
    for row, image in enumerate(images):
        alone = image[None]
        column = Column(images.dtype, alone.shape)
        read[row] = decode_block(codec, encode_block(codec, alone), column)[0]
    return read
