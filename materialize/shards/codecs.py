"""How pixels are encoded inside a shard: one record per codec, found by name.

A codec is one HDF5 filter, so its shards are read by plain h5py with `hdf5plugin` imported and
nothing of ours. To add one, append a record to `CODECS`; what it must be is lossless,
single-threaded and deaf to the environment, because a shard's bytes depend on its spec alone.
(That is why Blosc is not here: with BLOSC_NTHREADS=2 in the environment five of five outputs
differed.)

Measured on one core of an EPYC (Zen 5), decoded MB/s through h5py, 10,000 CIFAR images 32×32×3,
30,000 Fashion-MNIST images 28×28×1 and 240 flower photos 224×224×3:

                                 ratio                  encode              decode
                            32³  28¹  224³         32³  28¹  224³      32³  28¹  224³
    bitshuffle-zstd        1.16 1.57 1.54          665  477   599     1163  902   934
    zstd                   1.01 1.77 1.21          612  518   579     4021 1206  1313
    gzip (level 4)         1.08 1.76 1.35           45   67    57      218  316   284
    blosc zstd bitshuffle  1.15 1.55 1.50          276  403   515      678  688   706
    bitshuffle-lz4         1.09 1.25 1.35         1027  632   775     1687 1388  1530
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import hdf5plugin

from materialize.errors import ConfigError
from materialize.shards.chunks import (
    SoundChunk,
    never_sound,
    sound_bitshuffle,
    sound_deflate,
    sound_zstd,
)
from materialize.shards.decoding import (
    DecodeChunk,
    cannot_decode,
    decode_bitshuffle,
    decode_deflate,
    decode_zstd,
)
from materialize.shards.layout import ShardSpec

# Registered HDF5 filter numbers.
_DEFLATE = 1
_BITSHUFFLE = 32008
_ZSTD = 32015

_CHUNK_BYTES = 1 << 20
"""Large enough that a chunk's index entry and call cost nothing, small enough for the L2 cache."""

_BITSHUFFLE_BLOCK = 1 << 18
"""Elements per block. The default of 8 KiB costs 4 % of the ratio and half of the speed."""


@dataclass(frozen=True, slots=True)
class Codec:
    """One way to store pixels."""

    name: str
    filters: tuple[int, ...]
    """HDF5 filter numbers in writing order; exactly these are accepted on reading."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What `h5py.Group.create_dataset` is told."""
    is_sound: SoundChunk = never_sound
    """Whether a filter may be given a chunk of unknown origin."""
    decode: DecodeChunk = cannot_decode
    """What the filter does, without libhdf5."""

    @property
    def is_raw(self) -> bool:
        """Whether pixels are stored as they are, contiguous, to be mapped."""
        return not self.filters

    def filter_parameters(self, itemsize: int) -> tuple[int, ...]:
        """What the last filter's parameters end with in a file of ours."""
        given = self.options["compression_opts"]
        parameters = tuple(given) if isinstance(given, tuple) else (given,)
        return (itemsize, *parameters) if _BITSHUFFLE in self.filters else parameters

    def chunk_shape(self, spec: ShardSpec) -> tuple[int, int, int, int]:
        """(rows, H, W, C) of one chunk: whole images, about a mebibyte of them."""
        rows = min(spec.num_rows, max(1, _CHUNK_BYTES // spec.row_bytes))
        return (rows, *spec.image_shape)


CODECS = {
    codec.name: codec
    for codec in (
        Codec("raw", ()),
        # The best ratio times speed on photographs; the bits of equal weight stand together.
        Codec(
            "bitshuffle-zstd",
            (_BITSHUFFLE,),
            dict(hdf5plugin.Bitshuffle(nelems=_BITSHUFFLE_BLOCK, cname="zstd", clevel=1)),
            sound_bitshuffle(_BITSHUFFLE_BLOCK),
            decode_bitshuffle(_BITSHUFFLE_BLOCK),
        ),
        # Better where large parts of an image are one value: masks, drawings, digits.
        Codec("zstd", (_ZSTD,), dict(hdf5plugin.Zstd(clevel=1)), sound_zstd, decode_zstd),
        # Slow, but inside every HDF5 library there is.
        Codec(
            "gzip",
            (_DEFLATE,),
            {"compression": "gzip", "compression_opts": 4},
            sound_deflate,
            decode_deflate,
        ),
    )
}


def find_codec(name: str) -> Codec:
    """The codec of that name.

    Raises:
        ConfigError: there is none; the nearest name is in the message.
    """
    if name in CODECS:
        return CODECS[name]
    near = get_close_matches(name, CODECS, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(
        f"there is no codec {name!r}; {hint}known are {', '.join(CODECS)}",
        {"found": name, "expected": tuple(CODECS)},
    )
