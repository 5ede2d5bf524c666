"""Points and boxes moved by matrices, in double precision: + − × ÷ alone, so the same everywhere.

Coordinates are those of `pipelines.objects`: along the pixels' edges, an image reaches from 0 to
its width.
"""

# ruff: noqa: PLR0913  (compiled functions take their facts one by one)

import numpy as np
from numpy.typing import NDArray

from pipelines.compiled import Array, compiled

Points = NDArray[np.float64]
"""(p, 2) float64 x and y."""
Maps = NDArray[np.float64]
"""(n, 6) float64 a b c d e f, source to output: x' = a x + b y + c, y' = d x + e y + f."""
Offsets = NDArray[np.int64]
"""(n + 1,) int64: the points, or objects, of image i are [offsets[i], offsets[i + 1])."""

_FIXED = 4294967296.0


def forward_maps(matrix: NDArray[np.int64]) -> tuple[Maps, NDArray[np.bool_]]:
    """Where points go in images that are read through matrices.

    Args:
        matrix: (n, 6) 32.32 fixed point between pixel indices, output to source.

    Returns:
        The inverse maps along the pixels' edges, and (n,) which of them mirror. An image that is
        flattened to a line has no inverse: everything in it goes to (−1, −1), out of the image.
    """
    xx, xy, xt, yx, yy, yt = matrix.T / _FIXED
    left, top = (xt + 0.5) - (xx + xy) * 0.5, (yt + 0.5) - (yx + yy) * 0.5
    area = xx * yy - xy * yx
    flat = area == 0
    whole = np.where(flat, 1.0, area)
    maps = np.empty(matrix.shape, np.float64)
    maps[:, 0], maps[:, 1] = yy / whole, -xy / whole
    maps[:, 3], maps[:, 4] = -yx / whole, xx / whole
    maps[:, 2] = -(maps[:, 0] * left + maps[:, 1] * top)
    maps[:, 5] = -(maps[:, 3] * left + maps[:, 4] * top)
    maps[flat] = (0.0, 0.0, -1.0, 0.0, 0.0, -1.0)
    return maps, area < 0


def map_points(points: Points, ends: Offsets, maps: Maps, *, plain: bool) -> Points:
    """Points of n images through the maps of these images.

    Args:
        points: (p, 2) not modified.
        ends: (n + 1,) which of them lie in which image.
        maps: (n, 6)
        plain: True for the NumPy twin; the bytes are equal.
    """
    if plain:
        a, b, c, d, e, f = np.repeat(maps, np.diff(ends), axis=0).T
        x, y = points.T
        return np.stack([(a * x + b * y) + c, (d * x + e * y) + f], axis=1)
    moved = np.empty_like(points)
    _map_points(points, ends, maps, moved)
    return moved


@compiled
def _map_points(points: Array, ends: Array, maps: Array, moved: Array) -> None:
    """`map_points`, compiled."""
    for k in range(maps.shape[0]):
        a, b, c, d, e, f = maps[k]
        for i in range(ends[k], ends[k + 1]):
            x, y = points[i, 0], points[i, 1]
            moved[i, 0] = (a * x + b * y) + c
            moved[i, 1] = (d * x + e * y) + f


def outlines(boxes: NDArray[np.float32], per_side: int) -> Points:
    """Points along the sides of boxes, beginning at a corner, equally far apart.

    Args:
        boxes: (m, 4) left, top, right, bottom.
        per_side: 1 for the corners alone.

    Returns:
        (m · 4 · per_side, 2)
    """
    corners = boxes.astype(np.float64)[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    if per_side == 1:
        return corners.reshape(-1, 2)
    share = (np.arange(per_side) / per_side)[:, None]
    ahead = np.roll(corners, -1, axis=1) - corners
    return (corners[:, :, None] + ahead[:, :, None] * share).reshape(-1, 2)


def move_boxes(
    boxes: NDArray[np.float32], ends: Offsets, maps: Maps, widths: NDArray[np.int64],
    heights: NDArray[np.int64], min_visibility: float, *, plain: bool,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:  # fmt: skip
    """Boxes through one map for each image: `outlines`, `map_points` and `frame` in one.

    Args:
        boxes: (m, 4) not modified.
        ends: (n + 1,) which objects lie in which image.
        maps: (n, 6)
        widths: (n,) of the images afterwards.
        heights: (n,)
        min_visibility: see `pipelines.pipeline.Pipeline`.
        plain: True for the NumPy twins; the bytes are equal.

    Returns:
        (m, 4) boxes, and (m,) which of them are to be seen.
    """
    if plain:
        corners = map_points(outlines(boxes, 1), ends * 4, maps, plain=True)
        return frame(corners, ends, widths, heights, min_visibility, plain=True)
    moved, seen = np.empty_like(boxes), np.empty(len(boxes), np.bool_)
    _move_boxes(boxes, ends, maps, widths, heights, min_visibility, moved, seen)
    return moved, seen


@compiled
def _move_boxes(
    boxes: Array, ends: Array, maps: Array, widths: Array, heights: Array, min_visibility: float,
    moved: Array, seen: Array,
) -> None:  # fmt: skip
    """`move_boxes`, compiled: the corners of a box at a time."""
    for k in range(len(widths)):
        a, b, c, d, e, f = maps[k]
        width, height = np.float64(widths[k]), np.float64(heights[k])
        for i in range(ends[k], ends[k + 1]):
            x0, y0 = np.float64(boxes[i, 0]), np.float64(boxes[i, 1])
            x1, y1 = np.float64(boxes[i, 2]), np.float64(boxes[i, 3])
            left, right = _ends(a * x0, a * x1, b * y0, b * y1, c)
            top, bottom = _ends(d * x0, d * x1, e * y0, e * y1, f)
            moved[i, 0], moved[i, 2] = _within(left, width), _within(right, width)
            moved[i, 1], moved[i, 3] = _within(top, height), _within(bottom, height)
            whole = (right - left) * (bottom - top)
            seen[i] = _is_seen(
                moved[i, 0], moved[i, 1], moved[i, 2], moved[i, 3], whole * min_visibility
            )


@compiled
def _ends(x0: float, x1: float, y0: float, y1: float, shift: float) -> tuple[float, float]:
    """The least and the largest of four corners along one axis."""
    one, two = (x0 + y0) + shift, (x1 + y0) + shift
    three, four = (x1 + y1) + shift, (x0 + y1) + shift
    return min(min(one, two), min(three, four)), max(max(one, two), max(three, four))


@compiled
def _within(end: float, limit: float) -> np.float32:
    """A box' end cut at the image's side; what is added makes a negative zero positive."""
    return np.float32(min(max(end, 0.0), limit) + 0.0)


@compiled
def _is_seen(left: float, top: float, right: float, bottom: float, least: float) -> np.bool:
    """Whether what is left of a box has an area, and enough of it."""
    wide = np.float64(right) - np.float64(left)
    inside = wide * (np.float64(bottom) - np.float64(top))
    return inside > 0 and inside >= least


def frame(
    points: Points, ends: Offsets, widths: NDArray[np.int64], heights: NDArray[np.int64],
    min_visibility: float, *, plain: bool,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:  # fmt: skip
    """The boxes around moved outlines, cut at the sides of their images.

    Args:
        points: (m · k, 2) k of each of m objects.
        ends: (n + 1,) which objects lie in which image.
        widths: (n,) of the images.
        heights: (n,)
        min_visibility: see `pipelines.pipeline.Pipeline`.
        plain: True for the NumPy twin; the bytes are equal.

    Returns:
        (m, 4) boxes, and (m,) which of them are to be seen.
    """
    count = int(ends[-1])
    each = points.reshape(count, -1, 2)
    if plain:
        return _frame_reference(each, ends, widths, heights, min_visibility)
    boxes, seen = np.empty((count, 4), np.float32), np.empty(count, np.bool_)
    _frame(each, ends, widths, heights, min_visibility, boxes, seen)
    return boxes, seen


@compiled
def _frame(
    points: Array, ends: Array, widths: Array, heights: Array, min_visibility: float,
    boxes: Array, seen: Array,
) -> None:  # fmt: skip
    """`_frame_reference`, compiled."""
    for k in range(len(widths)):
        width, height = np.float64(widths[k]), np.float64(heights[k])
        for i in range(ends[k], ends[k + 1]):
            left, top = points[i, 0, 0], points[i, 0, 1]
            right, bottom = left, top
            for j in range(1, points.shape[1]):
                x, y = points[i, j, 0], points[i, j, 1]
                left, right = min(left, x), max(right, x)
                top, bottom = min(top, y), max(bottom, y)
            boxes[i, 0], boxes[i, 2] = _within(left, width), _within(right, width)
            boxes[i, 1], boxes[i, 3] = _within(top, height), _within(bottom, height)
            whole = (right - left) * (bottom - top)
            seen[i] = _is_seen(
                boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3], whole * min_visibility
            )


def _frame_reference(
    points: Points,
    ends: Offsets,
    widths: NDArray[np.int64],
    heights: NDArray[np.int64],
    min_visibility: float,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """`frame` of (m, k, 2) points in plain NumPy: the definition."""
    low, high = points.min(axis=1), points.max(axis=1)
    limits = np.repeat(np.stack([widths, heights], axis=1), np.diff(ends), axis=0)
    # What is added makes a negative zero positive, whichever of two zeros was taken.
    inner_low, inner_high = (
        (np.clip(end, 0.0, limits) + 0.0).astype(np.float32) for end in (low, high)
    )
    wide, tall = (inner_high.astype(np.float64) - inner_low).T
    whole = (high[:, 0] - low[:, 0]) * (high[:, 1] - low[:, 1])
    seen = (wide * tall > 0) & (wide * tall >= whole * min_visibility)
    return np.concatenate([inner_low, inner_high], axis=1), seen
