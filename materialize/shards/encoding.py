"""Encodes blocks of images as HDF5 chunks, through libhdf5's own filters or as they would.

What libhdf5 encodes is what plain h5py would write: the filter runs in a file that exists in memory
alone, and its chunk is taken out. So a block has the same bytes wherever it is encoded: into a
shard, or by a planner that has no shard.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import h5py
import lz4.block
import numpy as np
from h5py import h5d, h5f, h5p, h5s, h5t, h5z
from numpy.typing import NDArray

from materialize.shards.locking import LIBHDF5

EncodeBlock = Callable[[NDArray[Any]], bytes]
"""(n, H, W, C) images → one block."""

_NUMBERS = {"gzip": h5z.FILTER_DEFLATE}
"""Of the filters that h5py knows by name."""

_numbers = itertools.count()

_GROWTH_BYTES = 1 << 16
"""What the file in memory grows by."""


def encode_raw(images: NDArray[Any]) -> bytes:
    """The images' own bytes, in row order."""
    return images.tobytes()


def encode_by_filter(options: Mapping[str, Any]) -> EncodeBlock:
    """The encoder of chunks that a filter of libhdf5 makes.

    Args:
        options: what `h5py.Group.create_dataset` is told; one filter that nothing but these decides
            the bytes of.

    Returns:
        An encoder of (n, H, W, C) images; threads wait for each other, as libhdf5 has one lock.
    """
    name, given = options["compression"], options["compression_opts"]
    filter_number = _NUMBERS.get(name, name)
    parameters = given if isinstance(given, tuple) else (given,)

    def encode(images: NDArray[Any]) -> bytes:
        with LIBHDF5, h5py.File(_in_memory()) as file:
            creation = h5p.create(h5p.DATASET_CREATE)
            creation.set_chunk(images.shape)
            creation.set_filter(filter_number, h5z.FLAG_MANDATORY, parameters)
            creation.set_fill_time(h5d.FILL_TIME_NEVER)
            space = h5s.create_simple(images.shape)
            kind = h5t.py_create(images.dtype)
            dataset = h5d.create(file.id, b"images", kind, space, creation)
            dataset.write(h5s.ALL, h5s.ALL, np.ascontiguousarray(images))
            _, chunk = dataset.read_direct_chunk((0,) * images.ndim)
        return bytes(chunk)

    return encode


def _in_memory() -> h5f.FileID:
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fapl_core(_GROWTH_BYTES, False)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    # No chunk cache: a chunk is encoded when it is written.
    access.set_cache(0, 1, 0, 0.0)
    # Two files of one name at once, in two threads, would be one file to libhdf5.
    name = f"block-{next(_numbers)}".encode("ascii")
    return h5f.create(name, h5f.ACC_TRUNC, fapl=access)


def encode_lz4(part_bytes: int) -> EncodeBlock:
    """The encoder of chunks made of independent LZ4 parts; see `decoding.decode_lz4`.

    Args:
        part_bytes: of every part but the last.
    """

    def encode(images: NDArray[Any]) -> bytes:
        values = np.ascontiguousarray(images).reshape(-1).view(np.uint8).data
        num_bytes = len(values)
        head = num_bytes.to_bytes(8, "big") + min(part_bytes, num_bytes).to_bytes(4, "big")
        parts = [head]
        for start in range(0, num_bytes, part_bytes):
            part = values[start : start + part_bytes]
            encoded = lz4.block.compress(part, store_size=False)
            stored = encoded if len(encoded) < len(part) else bytes(part)
            parts += (len(stored).to_bytes(4, "big"), stored)
        return b"".join(parts)

    return encode
