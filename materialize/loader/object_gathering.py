"""Objects of a batch from the shards it lies in: what `gathering` is for pixels.

Taking a few rows of each of a hundred shards, column by column, costs a hundred times what copying
them does. So each column of each shard has an address, as pixels have, and an image's objects, the
rings of these and their corners, which all follow one another, are copied by a compiled loop.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.compiled import Array, compiled
from pipelines.objects import Objects
from pipelines.vectors import address_of, copy_bytes

_OFFSET, _NUMBER, _FLAG, _COORDINATE = (np.dtype(name) for name in ("i8", "i4", "u1", "f4"))
_COLUMNS = {
    "offsets": _OFFSET, "ring_offsets": _OFFSET, "point_offsets": _OFFSET, "labels": _NUMBER,
    "numbers": _NUMBER, "flags": _FLAG, "boxes": _COORDINATE, "keypoints": _COORDINATE,
    "points": _COORDINATE,
}  # fmt: skip
"""The columns of `Objects`, in the order of their addresses."""
NUM_COLUMNS = len(_COLUMNS)
_OBJECTS, _RINGS, _POINTS = range(3)
_PER_OBJECT = slice(3, 8)


def packed(objects: Objects) -> Objects:
    """The same objects, each column in one piece of memory and of its dtype: `addresses_of` asks.

    Args:
        objects: of some images; columns that are in one piece already are not copied.
    """
    return Objects(**{
        name: np.ascontiguousarray(getattr(objects, name), dtype)
        for name, dtype in _COLUMNS.items()
    })  # fmt: skip


def addresses_of(objects: Objects) -> NDArray[np.int64]:
    """(9,) where the columns of packed objects begin."""
    return np.array([getattr(objects, name).ctypes.data for name in _COLUMNS], np.int64)


def gather_objects(
    shards: NDArray[np.int64], rows: NDArray[np.int64], num_keypoints: int
) -> Objects:
    """The objects of some rows of some shards.

    Args:
        shards: (m, 9) `addresses_of` the objects of each row's shard. Whoever calls vouches for
            them: they are checked, have so many keypoints, and stay where they are.
        rows: (m,) within the shards.
        num_keypoints: of each object.
    """
    ends = np.zeros((len(rows) + 1, 3), np.int64)
    _count(shards, rows, ends)
    num_objects, num_rings, num_points = ends[-1].tolist()
    result = Objects(
        np.ascontiguousarray(ends[:, _OBJECTS]), np.empty(num_objects, np.int32),
        np.empty(num_objects, np.int32), np.empty(num_objects, np.uint8),
        np.empty((num_objects, 4), np.float32),
        np.empty((num_objects, num_keypoints, 3), np.float32), np.zeros(num_objects + 1, np.int64),
        np.zeros(num_rings + 1, np.int64), np.empty((num_points, 2), np.float32),
    )  # fmt: skip
    of_objects = list(_COLUMNS)[_PER_OBJECT]
    sizes = [_row_bytes(getattr(result, name)) for name in of_objects]
    _copy(
        shards, rows, ends, result.ring_offsets, result.point_offsets, addresses_of(result),
        np.array(sizes, np.int64),
    )  # fmt: skip
    return result


def gather_objects_in_numpy(
    shards: Mapping[int, Objects], keys: NDArray[np.int64], rows: NDArray[np.int64]
) -> Objects:
    """What the compiled loop gives, for the first rows of a process.

    Args:
        shards: the objects of each shard, by its key.
        keys: (m,) the shard of each row, at least one.
        rows: (m,) within the shards.
    """
    order = np.argsort(keys, kind="stable")
    cuts = np.flatnonzero(np.diff(keys[order])) + 1
    parts = [shards[int(keys[here[0]])].take(rows[here]) for here in np.split(order, cuts)]
    return Objects.joined(parts).take(np.argsort(order))


def _row_bytes(column: NDArray[Any]) -> int:
    return int(np.prod(column.shape[1:])) * column.itemsize


@compiled
def _count(shards: Array, rows: Array, ends: Array) -> None:
    """(m, 9) addresses and (m,) rows → how many objects, rings and points lie up to each of them.

    Args:
        shards: (m, 9)
        rows: (m,)
        ends: (m + 1, 3), whose first row is zero; the others are written.
    """
    pair = np.empty(2, np.int64)  # a stretch: the offsets where it begins and ends
    place = address_of(pair)
    for index in range(len(rows)):
        copy_bytes(place, shards[index, 0] + 8 * rows[index], 16)
        ends[index + 1, _OBJECTS] = ends[index, _OBJECTS] + pair[1] - pair[0]
        for level in (_RINGS, _POINTS):
            first, last = pair[0], pair[1]
            copy_bytes(place, shards[index, level] + 8 * first, 8)
            copy_bytes(place + 8, shards[index, level] + 8 * last, 8)
            ends[index + 1, level] = ends[index, level] + pair[1] - pair[0]


@compiled
def _copy(
    shards: Array, rows: Array, ends: Array, ring_offsets: Array, point_offsets: Array,
    out: Array, sizes: Array,
) -> None:  # fmt: skip
    """Writes the columns of objects that were counted.

    Args:
        shards: (m, 9)
        rows: (m,)
        ends: (m + 1, 3) of `_count`.
        ring_offsets: (objects + 1,), the first zero; the others are written, as the next one's.
        point_offsets: (rings + 1,)
        out: (9,) addresses of the columns to write, these two among them.
        sizes: (5,) bytes that an object has in the columns of one row for each object.
    """
    pair = np.empty(2, np.int64)
    place = address_of(pair)
    for index in range(len(rows)):
        copy_bytes(place, shards[index, 0] + 8 * rows[index], 8)
        first, to = pair[0], ends[index, _OBJECTS]
        count = ends[index + 1, _OBJECTS] - to
        for column in range(len(sizes)):
            size = sizes[column]
            source = shards[index, 3 + column] + first * size
            copy_bytes(out[3 + column] + to * size, source, count * size)
        for level in (_RINGS, _POINTS):
            offsets = ring_offsets if level == _RINGS else point_offsets
            copy_bytes(place, shards[index, level] + 8 * first, 8)
            source = shards[index, level] + 8 * (first + 1)
            copy_bytes(out[level] + 8 * (to + 1), source, 8 * count)
            first, from_here = pair[0], ends[index, level] - pair[0]
            for inner in range(to + 1, to + 1 + count):
                offsets[inner] += from_here
            to, count = ends[index, level], ends[index + 1, level] - ends[index, level]
        copy_bytes(out[8] + 8 * to, shards[index, 8] + 8 * first, 8 * count)
