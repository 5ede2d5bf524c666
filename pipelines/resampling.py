"""Images read at given coordinates, for what no matrix can say, such as perspective.

Coordinates are whole multiples of 2**-14 pixels, pixel centres at whole pixels. Borders and weights
are those of the fused kernel, so an image that is read where its pixels are stays as it is.
"""

import numpy as np
from numpy.typing import NDArray

from pipelines.compiled import Array, Int, compiled
from pipelines.coordinates import BORDERS, CONSTANT, NEAREST, WEIGHT_BITS, fold_far
from pipelines.reference import fold

Coordinates = NDArray[np.int32]
"""(n, 2, H, W) int32: the source's x and y of every pixel, in units of 2**-14, within 2**30."""

_FULL = 1 << WEIGHT_BITS
_HALF = 1 << (WEIGHT_BITS - 1)
_FINER = 32 - WEIGHT_BITS
"""Bits between these coordinates and those that borders fold."""


def interpolate(
    source: Array, where: Coordinates, border: str, margin: int, fill: Array, out: Array,
    *, plain: bool,
) -> None:  # fmt: skip
    """Reads n images between their pixels, bilinearly with 14-bit weights.

    Args:
        source: (n, H, W, C) uint8, not modified.
        where: where to read.
        border: one of `BORDERS`.
        margin: how far outside the image a coordinate still counts as inside, in 2**-14 pixels.
        fill: (C,) what a constant border shows.
        out: (n, H', W', C) uint8, written.
        plain: True for the NumPy twin; the bytes are equal.
    """
    number = BORDERS.index(border)
    run = _interpolate_reference if plain else _interpolate
    run(source, where, number, margin, fill, out)


def pick(
    source: Array, where: Coordinates, border: str, margin: int, fill: Array, out: Array,
    *, plain: bool,
) -> None:  # fmt: skip
    """Reads the nearest pixels of n masks, halves upward; integers of any kind.

    For the arguments see `interpolate`.
    """
    number = BORDERS.index(border)
    run = _pick_reference if plain else _pick
    run(source, where, number, margin, fill, out)


@compiled
def _is_outside(x: Int, y: Int, height: Int, width: Int, margin: Int) -> Int:
    """Whether a coordinate lies further outside than the margin."""
    last_x = (np.int64(width - 1) << WEIGHT_BITS) + margin
    last_y = (np.int64(height - 1) << WEIGHT_BITS) + margin
    return x < -margin or x > last_x or y < -margin or y > last_y


@compiled
def _folded(at: Int, size: Int, border: Int) -> Int:
    """A coordinate brought into [0, size - 1] pixels by a border mode."""
    last = np.int64(size - 1) << WEIGHT_BITS
    if 0 <= at <= last:
        return at
    if border not in (NEAREST, CONSTANT):
        at = fold_far(at << _FINER, np.int64(size) << 32, border) >> _FINER
    return min(max(at, 0), last)


@compiled
def _interpolate(
    source: Array, where: Array, border: int, margin: int, fill: Array, out: Array
) -> None:
    """`_interpolate_reference`, compiled."""
    count, height, width, channels = source.shape
    _, rows, columns, _ = out.shape
    for k in range(count):
        for i in range(rows):
            for j in range(columns):
                x, y = np.int64(where[k, 0, i, j]), np.int64(where[k, 1, i, j])
                if border == CONSTANT and _is_outside(x, y, height, width, margin):
                    for channel in range(channels):
                        out[k, i, j, channel] = fill[channel]
                    continue
                x, y = _folded(x, width, border), _folded(y, height, border)
                left, above = x >> WEIGHT_BITS, y >> WEIGHT_BITS
                fx, fy = x & (_FULL - 1), y & (_FULL - 1)
                both = (fx * fy + _HALF) >> WEIGHT_BITS
                right, below = min(left + 1, width - 1), min(above + 1, height - 1)
                for channel in range(channels):
                    total = (
                        source[k, above, left, channel] * (_FULL - fx - fy + both)
                        + source[k, above, right, channel] * (fx - both)
                        + source[k, below, left, channel] * (fy - both)
                        + source[k, below, right, channel] * both
                    )
                    out[k, i, j, channel] = (total + _HALF) >> WEIGHT_BITS


@compiled
def _pick(source: Array, where: Array, border: int, margin: int, fill: Array, out: Array) -> None:
    """`_pick_reference`, compiled."""
    count, height, width, channels = source.shape
    _, rows, columns, _ = out.shape
    for k in range(count):
        for i in range(rows):
            for j in range(columns):
                x, y = np.int64(where[k, 0, i, j]), np.int64(where[k, 1, i, j])
                if border == CONSTANT and _is_outside(x, y, height, width, margin):
                    for channel in range(channels):
                        out[k, i, j, channel] = fill[channel]
                    continue
                column = (_folded(x, width, border) + _HALF) >> WEIGHT_BITS
                row = (_folded(y, height, border) + _HALF) >> WEIGHT_BITS
                for channel in range(channels):
                    out[k, i, j, channel] = source[k, row, column, channel]


def _inside(own: Array, shape: tuple[int, ...], border: int, margin: int) -> tuple[Array, ...]:
    """Folded x and y of one image's coordinates, and which of them show a constant border."""
    height, width = shape[:2]
    x, y = own.astype(np.int64)
    last_x, last_y = ((size - 1 << WEIGHT_BITS) + margin for size in (width, height))
    outside = (x < -margin) | (x > last_x) | (y < -margin) | (y > last_y)
    x, y = fold(x << _FINER, width, border), fold(y << _FINER, height, border)
    return x >> _FINER, y >> _FINER, outside & (border == CONSTANT)


def _interpolate_reference(
    source: Array, where: Array, border: int, margin: int, fill: Array, out: Array
) -> None:
    """`interpolate` in plain NumPy: the definition."""
    for image, own, result in zip(source, where, out, strict=True):
        x, y, outside = _inside(own, image.shape, border, margin)
        left, above = x >> WEIGHT_BITS, y >> WEIGHT_BITS
        fx, fy = x & (_FULL - 1), y & (_FULL - 1)
        both = (fx * fy + _HALF) >> WEIGHT_BITS
        # Weights of neighbours beyond the last row or column are 0.
        right = np.minimum(left + 1, image.shape[1] - 1)
        below = np.minimum(above + 1, image.shape[0] - 1)
        total = sum(
            image[row, column].astype(np.int64) * weight[:, :, None]
            for row, column, weight in (
                (above, left, _FULL - fx - fy + both), (above, right, fx - both),
                (below, left, fy - both), (below, right, both),
            )
        )  # fmt: skip
        result[...] = (total + _HALF) >> WEIGHT_BITS
        result[outside] = fill


def _pick_reference(
    source: Array, where: Array, border: int, margin: int, fill: Array, out: Array
) -> None:
    """`pick` in plain NumPy: the definition."""
    for mask, own, result in zip(source, where, out, strict=True):
        x, y, outside = _inside(own, mask.shape, border, margin)
        result[...] = mask[(y + _HALF) >> WEIGHT_BITS, (x + _HALF) >> WEIGHT_BITS]
        result[outside] = fill
