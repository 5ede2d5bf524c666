"""Writes a shard's HDF5 structure into a `ShardBuffer`; the one place that drives libhdf5 to write.

The bytes are a function of the arguments and of nothing else: no times are stored, the format is
fixed to that of HDF5 1.8 (whose metadata carry checksums), datasets are created in one order and
chunks written in row order. With these settings HDF5 1.14.6 (h5py 3.14) and 2.0.0 (h5py 3.16)
wrote the same files; in the format of 1.10 they did not (another version of the layout message).
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5f, h5fd, h5p, h5s, h5t
from numpy.typing import NDArray

from materialize.canonical import canonical_json
from materialize.shards import layout
from materialize.shards.buffer import ShardBuffer
from materialize.shards.codecs import find_codec
from materialize.shards.columns import OFFSET_DTYPE
from materialize.shards.layout import ShardSpec
from materialize.shards.locking import LIBHDF5

_NO_TRACKING = {"track_times": False, "track_order": False}
"""Said aloud because h5py takes the default of the second from a setting of the process."""

PIXEL_ALIGNMENT = 4096
"""Pixels begin on a page, so that mapped rows share no page with the head."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the pixels are in the file."""

    offset: int | None
    """Of the first pixel; None if they are encoded in blocks."""
    stored_bytes: int

    @property
    def region(self) -> range:
        """The bytes of raw pixels; empty if they are encoded."""
        return (
            range(0) if self.offset is None else range(self.offset, self.offset + self.stored_bytes)
        )


def write_container(
    buffer: ShardBuffer,
    spec: ShardSpec,
    columns: Mapping[str, NDArray[Any]],
    class_names: Sequence[str],
    blocks: Iterable[bytes] | None,
) -> Placement:
    """Write the whole shard except, for the raw codec, the pixels.

    Args:
        buffer: is reset first.
        spec: of the shard.
        columns: the arrays of ``spec.column_names``.
        class_names: in label order.
        blocks: the encoded pixels, in row order; None for the raw codec, whose pixels go into the
            reserved region.

    Returns:
        Where the pixels are, or are to be put.
    """
    buffer.reset()
    with contextlib.ExitStack() as opened:
        with LIBHDF5:
            file = opened.enter_context(h5py.File(_create(buffer, spec)))
            _write_attributes(file, root_attributes(spec, class_names))
            for name in spec.column_names:
                dataset = file.create_dataset(name, data=columns[name], **_NO_TRACKING)
                if name in ("draws", "parameters"):
                    _write_attributes(dataset, columns_attributes(spec))
        if blocks is None:
            placement = Placement(_allocate_pixels(file, spec), spec.images.num_bytes)
            buffer.reserve(placement.region)
            return placement
        if find_codec(spec.codec).is_picture:
            return Placement(None, _write_pictures(file, list(blocks)))
        return Placement(None, _write_chunks(file, spec, blocks))


def root_attributes(spec: ShardSpec, class_names: Sequence[str]) -> dict[str, bytes | int]:
    """The attributes of the root group, in the order they are written."""
    return {
        "format": layout.FORMAT_NAME.encode("ascii"),
        "format_version": layout.FORMAT_VERSION,
        "spec": canonical_json(spec.to_json()),
        "kind": spec.kind.encode("ascii"),
        "split": spec.split.encode("ascii"),
        "copy": spec.copy,
        "class_names": canonical_json(list(class_names)),
        "recipe": spec.recipe.encode("ascii"),
    }


def columns_attributes(spec: ShardSpec) -> dict[str, bytes | int]:
    """The attributes of `draws` or `parameters`."""
    return {layout.COLUMNS_ATTRIBUTE: canonical_json(list(spec.draw_words))}


def _create(buffer: ShardBuffer, spec: ShardSpec) -> h5f.FileID:
    """A new HDF5 file inside the buffer."""
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fileobj_driver(h5fd.fileobj_driver, buffer)
    access.set_libver_bounds(h5f.LIBVER_V18, h5f.LIBVER_V18)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    # No chunk cache: each chunk is encoded and placed when it is written, in row order.
    access.set_cache(0, 1, 0, 0.0)
    if find_codec(spec.codec).is_raw:
        # Aligns what is at least as large as the pixels: in all but tiny shards, them alone.
        access.set_alignment(spec.images.num_bytes, PIXEL_ALIGNMENT)
    creation = h5p.create(h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    return h5f.create(b"shard", h5f.ACC_TRUNC, fcpl=creation, fapl=access)


def _write_attributes(
    target: h5py.Group | h5py.Dataset, attributes: Mapping[str, bytes | int]
) -> None:
    """Texts become fixed-length ASCII, numbers int32."""
    for name, value in attributes.items():
        if isinstance(value, bytes):
            # A text of length 0 does not exist in HDF5; the padding is not part of the value.
            target.attrs.create(name, np.bytes_(value), dtype=f"S{max(1, len(value))}")
        else:
            target.attrs.create(name, value, dtype="<i4")


def _allocate_pixels(file: h5py.File, spec: ShardSpec) -> int:
    """Give `images` its place without writing it; returns the offset."""
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_layout(h5d.CONTIGUOUS)
    creation.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5d.FILL_TIME_NEVER)
    creation.set_obj_track_times(False)
    column = spec.images
    dataset = h5d.create(
        file.id,
        layout.IMAGES.encode("ascii"),
        h5t.py_create(column.dtype),
        h5s.create_simple(column.shape),
        creation,
    )
    offset: int = dataset.get_offset()
    return offset


def _write_chunks(file: h5py.File, spec: ShardSpec, blocks: Iterable[bytes]) -> int:
    """Write the chunks of `images`, which a filter can decode; returns the bytes they take."""
    codec = find_codec(spec.codec)
    column = spec.images
    chunk = codec.block_column(column, 0).shape
    dataset = file.create_dataset(
        layout.IMAGES,
        shape=column.shape,
        dtype=column.dtype,
        chunks=chunk,
        **codec.options,
        **_NO_TRACKING,
    )
    for number, block in enumerate(blocks):  # encoded in between, while others may use libhdf5
        with LIBHDF5:
            dataset.id.write_direct_chunk((number * chunk[0], 0, 0, 0), block)
    stored: int = dataset.id.get_storage_size()
    return stored


def _write_pictures(file: h5py.File, blocks: Sequence[bytes]) -> int:
    """Write `image_offsets` and `images`; returns the bytes of the latter."""
    ends = np.cumsum([0, *map(len, blocks)], dtype=OFFSET_DTYPE)
    file.create_dataset(layout.IMAGE_OFFSETS, data=ends, **_NO_TRACKING)
    pictures = np.frombuffer(b"".join(blocks), np.uint8)
    file.create_dataset(layout.IMAGES, data=pictures, **_NO_TRACKING)
    return pictures.size
