"""Projective maps between an image and four drawn corners, by + − × ÷ alone.

Heckbert, "Fundamentals of texture mapping and image warping" (1989), section 2.2.3: the map from
the unit square to four corners in closed form, and its adjugate for the way back. Here coordinates
run along the pixels' edges: an image reaches from 0 to its width, pixel centres lie at halves.
"""

import numpy as np
from numpy.typing import NDArray

from pipelines.compiled import Array, compiled
from pipelines.coordinates import WEIGHT_BITS
from pipelines.resampling import Coordinates

Maps = NDArray[np.float64]
"""(n, 9) float64 a b c d e f g h i: x' = (a x + b y + c) / w, y' = (d x + e y + f) / w with
w = g x + h y + i."""

_FARTHEST = 2.0**15
"""Coordinates further outside, in pixels, are cut off: borders look alike from there."""


def square_to_corners(corners: NDArray[np.float64]) -> Maps:
    """The maps from the unit square to n convex quadrilaterals.

    Args:
        corners: (n, 4, 2) x and y of what the square's corners become, in the order top left, top
            right, bottom right, bottom left.
    """
    (x0, x1, x2, x3), (y0, y1, y2, y3) = np.moveaxis(corners, (2, 1), (0, 1))
    ux, uy, vx, vy = x1 - x2, y1 - y2, x3 - x2, y3 - y2
    sx, sy = (x0 - x1) + (x2 - x3), (y0 - y1) + (y2 - y3)
    whole = ux * vy - vx * uy
    g, h = (sx * vy - vx * sy) / whole, (ux * sy - sx * uy) / whole
    a, b, d, e = x1 - x0 + g * x1, x3 - x0 + h * x3, y1 - y0 + g * y1, y3 - y0 + h * y3
    return np.stack([a, b, x0, d, e, y0, g, h, np.ones_like(g)], axis=1)


def inverted(maps: Maps) -> Maps:
    """The way back: the adjugates."""
    a, b, c, d, e, f, g, h, i = maps.T
    rows = (
        (e * i - f * h, c * h - b * i, b * f - c * e),
        (f * g - d * i, a * i - c * g, c * d - a * f),
        (d * h - e * g, b * g - a * h, a * e - b * d),
    )
    return np.stack([entry for row in rows for entry in row], axis=1)


def project(maps: Maps, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m, 2) points through (m, 9) maps, one each."""
    a, b, c, d, e, f, g, h, i = maps.T
    x, y = points.T
    w = g * x + h * y + i
    return np.stack([(a * x + b * y + c) / w, (d * x + e * y + f) / w], axis=1)


def projected(corners: NDArray[np.float64], height: int, width: int, *, plain: bool) -> Coordinates:
    """Where each pixel of n images is read, whose corners come to lie at given places.

    Args:
        corners: (n, 4, 2) see `square_to_corners`.
        height: of all images.
        width: likewise.
        plain: True for the NumPy twin; the coordinates are equal.
    """
    maps = inverted(square_to_corners(corners))
    if plain:
        return _locate_reference(maps, height, width)
    out = np.empty((len(maps), 2, height, width), np.int32)
    _locate(maps, out)
    return out


@compiled
def _locate(maps: Array, out: Array) -> None:
    """`_locate_reference`, compiled."""
    count, _, height, width = out.shape
    unit = float(1 << WEIGHT_BITS)
    for k in range(count):
        a, b, c, d, e, f, g, h, i = maps[k]
        for row in range(height):
            y = row + 0.5
            for column in range(width):
                x = column + 0.5
                w = (g * x + h * y) + i
                u = ((a * x + b * y) + c) / w * width - 0.5
                v = ((d * x + e * y) + f) / w * height - 0.5
                u, v = min(max(u, -_FARTHEST), _FARTHEST), min(max(v, -_FARTHEST), _FARTHEST)
                out[k, 0, row, column] = np.int32(np.rint(u * unit))
                out[k, 1, row, column] = np.int32(np.rint(v * unit))


def _locate_reference(maps: Maps, height: int, width: int) -> Coordinates:
    """`projected`, from maps to the unit square on, in plain NumPy: the definition."""
    a, b, c, d, e, f, g, h, i = maps.T[:, :, None, None]
    y, x = np.mgrid[:height, :width] + 0.5
    w = (g * x + h * y) + i
    u = ((a * x + b * y) + c) / w * width - 0.5
    v = ((d * x + e * y) + f) / w * height - 0.5
    both = np.clip(np.stack([u, v], axis=1), -_FARTHEST, _FARTHEST)
    where: Coordinates = np.rint(both * float(1 << WEIGHT_BITS)).astype(np.int32)
    return where
