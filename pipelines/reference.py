"""The kernels' arithmetic in plain NumPy: slower, readable, and equal byte for byte.

This is the definition of what a program does. A test holds the compiled kernels against it for
every border, interpolation, channel count and tone.
"""

# ruff: noqa: PLR0913  (compiled functions take their facts one by one)

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.compiled import Int
from pipelines.kernels import BORDERS, WEIGHT_BITS

_ONE = 1 << 32
_FULL = 1 << WEIGHT_BITS

Array = NDArray[Any]


def fold(coordinate: Array, size: int, border: int) -> Array:
    """32.32 coordinates brought into [0, size - 1] by a border mode, as SciPy folds them."""
    whole, last = size << 32, (size - 1) << 32
    if BORDERS[border] == "reflect":
        inside = coordinate % (2 * whole)
        coordinate = np.where(inside >= whole, 2 * whole - _ONE - inside, inside)
    elif BORDERS[border] == "wrap" and last > 0:
        below = coordinate + last * (-coordinate // last + 1)
        above = coordinate - last * (coordinate // last)
        folded = np.where(coordinate > last, above, coordinate)
        coordinate = np.where(coordinate < 0, below, folded)
    return np.clip(coordinate, 0, last)


def source_coordinates(line: Array, rows: int, columns: int) -> tuple[Array, Array]:
    """Where each output pixel is read, in 32.32: x and y."""
    j, i = np.mgrid[:rows, :columns].astype(np.int64)
    return line[2] + line[1] * j + line[0] * i, line[5] + line[4] * j + line[3] * i


def find_outside(x: Array, y: Array, height: int, width: int, border: int, margin: int) -> Array:
    """Which coordinates show a constant border."""
    if BORDERS[border] != "constant":
        return np.zeros(x.shape, dtype=bool)
    last_x, last_y = ((width - 1) << 32) + margin, ((height - 1) << 32) + margin
    return (x < -margin) | (x > last_x) | (y < -margin) | (y > last_y)


def warp_uint8(source: Array, starts: Array, heights: Array, widths: Array, matrix: Array,
               tones: Array, fills: Array, raw_fill: Array, tables: Array, border: Int,
               margin: Int, half: Int, mask: Int, clips: bool, out: Array) -> None:  # fmt: skip
    """`pipelines.kernels.warp_uint8`, one image at a time."""
    _, rows, columns, channels = out.shape
    for k in range(len(out)):
        height, width = int(heights[k]), int(widths[k])
        x, y = source_coordinates(matrix[k], rows, columns)
        outside = find_outside(x, y, height, width, border, int(margin))
        u, v = fold(x, width, border) + half, fold(y, height, border) + half
        column, row = u >> 32, v >> 32
        fx, fy = ((c >> (32 - WEIGHT_BITS)) & int(mask) for c in (u, v))
        both = (fx * fy + _FULL // 2) >> WEIGHT_BITS
        size = height * width * channels
        image = source[starts[k] : starts[k] + size].reshape(height, width, channels)
        # Weights of neighbours beyond the last row or column are 0.
        right, below = np.minimum(column + 1, width - 1), np.minimum(row + 1, height - 1)
        sums = sum(
            image[r, c].astype(np.int64) * w[:, :, None]
            for r, c, w in (
                (row, column, _FULL - fx - fy + both), (row, right, fx - both),
                (below, column, fy - both), (below, right, both),
            )
        )  # fmt: skip
        gain, bias, low, high, range_bias = tones[k]
        levels = np.clip(np.float32(sums) * gain + bias, low, high).astype(np.uint8)
        if clips:
            levels[outside] = fills[k]
            seen = sums[~outside].reshape(-1)
            seen = np.concatenate([seen, raw_fill]) if outside.any() else seen
            ends = np.array([seen.min(), seen.max()], dtype=np.float32) * gain + range_bias
            levels = np.clip(levels, *np.clip(ends, low, high).astype(np.uint8))
        if tables.shape[1]:
            table = np.broadcast_to(tables[k], (channels, 256))
            levels = np.stack([table[c][levels[:, :, c]] for c in range(channels)], axis=-1)
        if not clips:
            levels[outside] = fills[k]
        out[k] = levels


def warp_float32(source: Array, starts: Array, heights: Array, widths: Array, matrix: Array,
                 tones: Array, fills: Array, raw_fill: Array, border: Int, margin: Int, half: Int,
                 mask: Int, clips: bool, out: Array) -> None:  # fmt: skip
    """`pipelines.kernels.warp_float32`, one image at a time."""
    _, rows, columns, channels = out.shape
    for k in range(len(out)):
        height, width = int(heights[k]), int(widths[k])
        x, y = source_coordinates(matrix[k], rows, columns)
        outside = find_outside(x, y, height, width, border, int(margin))
        u, v = fold(x, width, border) + half, fold(y, height, border) + half
        column, row = u >> 32, v >> 32
        fx, fy = (
            (((c & int(mask)) >> 8).astype(np.float32) * np.float32(2.0**-24))[:, :, None]
            for c in (u, v)
        )
        size = height * width * channels
        image = source[starts[k] : starts[k] + size].reshape(height, width, channels)
        right, below = np.minimum(column + 1, width - 1), np.minimum(row + 1, height - 1)
        top = image[row, column] + fx * (image[row, right] - image[row, column])
        bottom = image[below, column] + fx * (image[below, right] - image[below, column])
        values = top + fy * (bottom - top)
        gain, bias, low, high, range_bias = tones[k]
        toned = np.clip(values * gain + bias, low, high)
        toned[outside] = fills[k]
        if clips:
            seen = values[~outside].reshape(-1)
            seen = np.concatenate([seen, raw_fill]) if outside.any() else seen
            ends = np.array([seen.min(), seen.max()]) * gain + range_bias
            toned = np.clip(toned, *np.clip(ends, low, high))
        out[k] = toned


def halve(image: Array, columns: bool, rows: bool) -> Array:
    """`pipelines.kernels.halve`."""
    wide = np.repeat(image.astype(np.int32), 1 if columns else 2, axis=1)
    doubled = np.repeat(wide, 1 if rows else 2, axis=0)
    odd = [(0, size % 2) for size in doubled.shape[:2]]
    whole = np.pad(doubled, [*odd, (0, 0)], mode="edge")
    total = whole[::2, ::2] + whole[::2, 1::2] + whole[1::2, ::2] + whole[1::2, 1::2]
    return ((total + 2) >> 2).astype(np.uint8)
