"""Polygons cut at the sides of their images.

Sutherland and Hodgman, "Reentrant polygon clipping" (1974): a ring is cut at one side after the
other. What is left of a ring is one ring: where a concave ring leaves the image and comes back, its
parts stay joined by edges along the side, which enclose no area.
"""

import numpy as np
from numpy.typing import NDArray

from pipelines.compiled import Array, Int, compiled
from pipelines.points import Offsets, Points

_MOST = 6
"""A side makes a ring of n corners at most one of 1.5 · n, four sides one of 5.07 · n."""


def clip_rings(
    points: Points, offsets: Offsets, limits: NDArray[np.float64], *, plain: bool
) -> tuple[Points, Offsets]:
    """Cuts rings at the sides of their images.

    Args:
        points: (p, 2) the corners of all rings, not modified.
        offsets: (r + 1,) the corners of ring k are [offsets[k], offsets[k + 1]).
        limits: (r, 2) width and height of the image that each ring lies in.
        plain: True for the Python twin; the bytes are equal.

    Returns:
        Corners and offsets of as many rings. A ring that is cut and has no extent along x or along
        y has no corners left; one that lies inside stays as it is.
    """
    each = np.repeat(limits, np.diff(offsets), axis=0)
    if ((points >= 0) & (points <= each)).all():
        return points, offsets
    if plain:
        return _clip_reference(points, offsets, limits)
    longest = int(np.diff(offsets).max(initial=0))
    room = np.empty((2, _MOST * longest + 1, 2), np.float64)
    out, ends = np.empty((_MOST * len(points), 2), np.float64), np.zeros_like(offsets)
    _clip(points, offsets, limits, room, out, ends)
    return out[: ends[-1]].copy(), ends


@compiled
def _clip(
    points: Array, offsets: Array, limits: Array, room: Array, out: Array, ends: Array
) -> None:
    """`_clip_reference`, compiled."""
    for ring in range(len(offsets) - 1):
        count = offsets[ring + 1] - offsets[ring]
        here, there = room[0], room[1]
        is_inside = True
        for i in range(count):
            x, y = points[offsets[ring] + i, 0], points[offsets[ring] + i, 1]
            here[i, 0], here[i, 1] = x, y
            is_inside = is_inside and 0 <= x <= limits[ring, 0] and 0 <= y <= limits[ring, 1]
        if not is_inside:
            for axis in range(2):
                count = _cut(here, count, axis, 0.0, 1.0, there)
                count = _cut(there, count, axis, limits[ring, axis], -1.0, here)
            if not _has_extent(here, count):
                count = 0
        first = ends[ring]
        for i in range(count):
            out[first + i, 0], out[first + i, 1] = here[i, 0], here[i, 1]
        ends[ring + 1] = first + count


@compiled
def _cut(ring: Array, count: Int, axis: Int, bound: float, sign: float, out: Array) -> Int:
    """Writes what of a ring lies on one side of a line, and says how many corners it has."""
    length = 0
    other = 1 - axis
    for i in range(count):
        before = i - 1 if i > 0 else count - 1
        was_in = (ring[before, axis] - bound) * sign >= 0
        is_in = (ring[i, axis] - bound) * sign >= 0
        if was_in != is_in:
            share = (bound - ring[before, axis]) / (ring[i, axis] - ring[before, axis])
            along = ring[before, other] + share * (ring[i, other] - ring[before, other])
            out[length, axis], out[length, other] = bound, along
            length += 1
        if is_in:
            out[length, 0], out[length, 1] = ring[i, 0], ring[i, 1]
            length += 1
    return length


@compiled
def _has_extent(ring: Array, count: Int) -> bool:
    """Whether corners differ along both axes."""
    wide = tall = False
    for i in range(1, count):
        wide = wide or ring[i, 0] != ring[0, 0]
        tall = tall or ring[i, 1] != ring[0, 1]
    return wide and tall


def _clip_reference(
    points: Points, offsets: Offsets, limits: NDArray[np.float64]
) -> tuple[Points, Offsets]:
    """`clip_rings` in plain Python: the definition."""
    rings = []
    for number, (width, height) in enumerate(limits.tolist()):
        ring = points[offsets[number] : offsets[number + 1]].tolist()
        if not all(0 <= x <= width and 0 <= y <= height for x, y in ring):
            for axis, bound, sign in ((0, 0.0, 1), (0, width, -1), (1, 0.0, 1), (1, height, -1)):
                ring = _cut_reference(ring, axis, bound, sign)
            if any(len({corner[axis] for corner in ring}) < 2 for axis in range(2)):
                ring = []
        rings.append(np.array(ring, np.float64).reshape(-1, 2))
    ends = np.cumsum([0, *(len(ring) for ring in rings)])
    return np.concatenate([np.zeros((0, 2)), *rings]), ends.astype(np.int64)


def _cut_reference(
    ring: list[list[float]], axis: int, bound: float, sign: int
) -> list[list[float]]:
    """What of a ring lies on one side of a line."""
    left: list[list[float]] = []
    for number, corner in enumerate(ring):
        before = ring[number - 1]
        was_in, is_in = ((end[axis] - bound) * sign >= 0 for end in (before, corner))
        if was_in != is_in:
            share = (bound - before[axis]) / (corner[axis] - before[axis])
            crossing = [0.0, 0.0]
            crossing[axis] = bound
            crossing[1 - axis] = before[1 - axis] + share * (corner[1 - axis] - before[1 - axis])
            left.append(crossing)
        if is_in:
            left.append(corner)
    return left
