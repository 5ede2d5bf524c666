"""What shards take beside their encoded pixels: exact, because the writer itself is asked.

A shard's structure is written for real, around pixels that are not there or blocks that hold
nothing; what is left after them and the columns is structure. Of raw shards nothing else is
unknown.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from materialize.estimation.census import SplitLayout
from materialize.shards.buffer import ShardBuffer
from materialize.shards.codecs import find_codec
from materialize.shards.columns import bytes_of_objects, columns_of
from materialize.shards.container import write_container
from materialize.shards.layout import ShardSpec, rows_digest
from pipelines.objects import Objects

_BLOCK_BYTES = 2**14
"""HDF5 puts what is smaller than 2 KiB together, and aligns nothing that is larger."""


def columns_bytes(layout: SplitLayout) -> int:
    """Labels, ids and draws of all shards of a layout, without objects."""
    return sum(group.count * _columns(group.spec) for group in layout.groups())


def pixel_bytes(layout: SplitLayout) -> int:
    """Decoded pixels of all shards of a layout."""
    return layout.num_rows * layout.num_copies * layout.template.row_bytes


def container_bytes(
    layout: SplitLayout, codec: str, class_names: Sequence[str], objects_per_image: float = 0.0
) -> int:
    """Structure of all shards of a layout, in a codec.

    Exactness: to the byte for raw shards and pictures; what chunks of other sizes than these leave
    unused between them, at most a few hundred bytes of a shard, may differ.
    """
    names = tuple(class_names)
    return sum(
        group.count
        * _structure(
            replace(group.spec, codec=codec), names, round(group.spec.num_rows * objects_per_image)
        )
        for group in layout.groups()
    )


def _columns(spec: ShardSpec) -> int:
    return sum(column.num_bytes for column in spec.columns().values())


@lru_cache(maxsize=256)
def _structure(spec: ShardSpec, class_names: tuple[str, ...], num_objects: int) -> int:
    """Bytes of a shard that are neither pixels nor columns nor objects."""
    columns = {name: np.zeros(c.shape, c.dtype) for name, c in spec.columns().items()}
    objects_bytes = 0
    if spec.objects is not None:  # as many as there will be, but without polygons
        one = _one_object(len(spec.objects.keypoint_names))
        objects = one.take(np.zeros(num_objects, np.int64))
        ends = np.full(spec.num_rows + 1, num_objects)
        ends[:-1] = 0
        objects = replace(objects, offsets=ends)
        columns |= columns_of(objects)
        objects_bytes = int(bytes_of_objects(objects).sum())
    digest = rows_digest(columns["sample_ids"], columns["labels"], class_names)
    written = replace(spec, rows_digest=digest)
    buffer = ShardBuffer()
    placement = write_container(buffer, written, columns, class_names, _blocks(spec))
    return buffer.size - placement.stored_bytes - _columns(spec) - objects_bytes


def _blocks(spec: ShardSpec) -> list[bytes] | None:
    """As many blocks as the shard has, of about the size that decides where HDF5 puts them."""
    codec = find_codec(spec.codec)
    if codec.is_raw:
        return None
    half = codec.block_column(spec.images, 0).num_bytes // 2
    size = 1 if codec.is_picture else max(min(half, _BLOCK_BYTES), 1)
    return [bytes(size)] * codec.num_blocks(spec.images)


def _one_object(num_keypoints: int) -> Objects:
    """One image with one object."""
    numbers = np.zeros(1, np.int32)
    return Objects(
        np.array([0, 1]), numbers, numbers, np.zeros(1, np.uint8), np.zeros((1, 4), np.float32),
        np.zeros((1, num_keypoints, 3), np.float32), np.zeros(2, np.int64), np.zeros(1, np.int64),
        np.zeros((0, 2), np.float32),
    )  # fmt: skip
