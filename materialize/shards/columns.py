"""The datasets of a shard as types and shapes, those of objects among them."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.canonical import canonical_json
from pipelines.objects import ObjectKinds, Objects

OFFSET_DTYPE = np.dtype("<i8")
COORDINATE_DTYPE = np.dtype("<f4")

OBJECT_COLUMNS = {
    "object_offsets": "offsets",
    "object_labels": "labels",
    "object_numbers": "numbers",
    "object_flags": "flags",
    "boxes": "boxes",
    "keypoints": "keypoints",
    "ring_offsets": "ring_offsets",
    "point_offsets": "point_offsets",
    "points": "points",
}
"""Dataset → field of `Objects`, in the order they are written."""


@dataclass(frozen=True, slots=True)
class Column:
    """One dataset: ``shape`` has the rows first."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def num_bytes(self) -> int:
        """Bytes of the decoded values."""
        return self.dtype.itemsize * math.prod(self.shape)

    def shaped(self, values: NDArray[np.uint8]) -> NDArray[Any]:
        """The column's array over its bytes, without a copy.

        Args:
            values: (num_bytes,), contiguous.
        """
        array: NDArray[Any] = values.view(self.dtype).reshape(self.shape)
        return array


@dataclass(frozen=True, slots=True)
class ObjectCounts:
    """How long the columns of objects are, which no spec can say."""

    num_objects: int
    num_rings: int
    num_points: int

    @classmethod
    def of(cls, objects: Objects) -> "ObjectCounts":
        """Those of some images."""
        return cls(objects.num_objects, len(objects.point_offsets) - 1, len(objects.points))

    def columns(self, num_rows: int, kinds: ObjectKinds) -> dict[str, Column]:
        """The datasets of the objects of some images, in the order they are written."""
        count, number = self.num_objects, np.dtype("<i4")
        return {
            "object_offsets": Column(OFFSET_DTYPE, (num_rows + 1,)),
            "object_labels": Column(number, (count,)),
            "object_numbers": Column(number, (count,)),
            "object_flags": Column(np.dtype("|u1"), (count,)),
            "boxes": Column(COORDINATE_DTYPE, (count, 4)),
            "keypoints": Column(COORDINATE_DTYPE, (count, len(kinds.keypoint_names), 3)),
            "ring_offsets": Column(OFFSET_DTYPE, (count + 1,)),
            "point_offsets": Column(OFFSET_DTYPE, (self.num_rings + 1,)),
            "points": Column(COORDINATE_DTYPE, (self.num_points, 2)),
        }


CLOSING_BYTES = 3 * OFFSET_DTYPE.itemsize
"""The last entry of each offsets column of objects, which belongs to no image."""


def bytes_of_objects(objects: Objects) -> NDArray[np.int64]:
    """(n,) what the objects of each image take in the columns, but for `CLOSING_BYTES`."""
    keypoint_bytes = 3 * objects.keypoints.shape[1] * COORDINATE_DTYPE.itemsize
    # label, number, flags, box and where its polygons begin
    per_object = 4 + 4 + 1 + 4 * COORDINATE_DTYPE.itemsize + keypoint_bytes + OFFSET_DTYPE.itemsize
    first_rings = objects.ring_offsets[objects.offsets]
    rings, points = np.diff(first_rings), np.diff(objects.point_offsets[first_rings])
    offset, corner = OFFSET_DTYPE.itemsize, 2 * COORDINATE_DTYPE.itemsize
    counts = np.diff(objects.offsets)
    sizes: NDArray[np.int64] = offset + counts * per_object + rings * offset + points * corner
    return sizes


def offsets_column(num_pictures: int) -> Column:
    """`image_offsets` of a shard of pictures."""
    return Column(OFFSET_DTYPE, (num_pictures + 1,))


def columns_of(objects: Objects) -> dict[str, NDArray[Any]]:
    """The arrays of objects by dataset name."""
    return {name: getattr(objects, field) for name, field in OBJECT_COLUMNS.items()}


def objects_in(columns: dict[str, NDArray[Any]]) -> Objects:
    """The objects in the arrays of a shard, not checked.

    Args:
        columns: by dataset name, those of objects among them.
    """
    return Objects(**{field: columns[name] for name, field in OBJECT_COLUMNS.items()})


def field_column(name: str) -> str:
    """The dataset of a field."""
    return f"field_{name}"


def fields_digest(columns: Mapping[str, NDArray[Any]]) -> str:
    """What identifies the fields of a shard's rows, as 64 hex digits.

    Args:
        columns: (n, …) by the name of the field, in its order, little-endian.
    """
    hasher = hashlib.sha256(b"materialize-fields-1\0")
    hasher.update(canonical_json({name: list(values.shape) for name, values in columns.items()}))
    for values in columns.values():
        hasher.update(np.ascontiguousarray(values).data)
    return hasher.hexdigest()
