"""Images of labels, moved by the matrices that move their pixels: each label from the nearest one.

Coordinates, borders and margins are those of `pipelines.kernels`, with whole pixels instead of
weights, so that a mask and an image agree about where everything lies.
"""

# ruff: noqa: PLR0913  (compiled functions take their facts one by one)

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.blending import fill_outside
from pipelines.compiled import Array, Int, compiled
from pipelines.coordinates import CONSTANT, NEAREST, find_spans, fold_far, fold_near, is_near
from pipelines.reference import find_outside, fold, source_coordinates
from pipelines.vectors import address_of, load_byte, load_int32, store_byte, store_int32

_HALF = np.int64(1 << 31)
"""Half a pixel in 32.32: halves round up, as they do in nearest interpolation of images."""


def pick_labels(
    source: Array, starts: Array, heights: Array, widths: Array, matrix: Array, border: int,
    margin: int, fill: int, out: Array, *, plain: bool,
) -> None:  # fmt: skip
    """Moves n masks: out[k] is mask k of ``source`` through matrix k.

    Args:
        source: (values,) uint8: masks of possibly different sizes, each C-contiguous (H, W, M).
        starts: (n,) int64: where each begins in ``source``.
        heights: (n,) int64.
        widths: (n,) int64.
        matrix: (n, 6) int64: xx xy xt yx yy yt in 32.32, output pixel to source pixel.
        border: index into `pipelines.coordinates.BORDERS`.
        margin: how far outside the mask a coordinate still counts as inside, in 32.32.
        fill: the label outside under a constant border, from 0 to 255.
        out: (n, H', W', M) uint8, C-contiguous, written.
        plain: True for the NumPy twin; the bytes are equal.
    """
    columns, channels = out.shape[2:]
    fills = np.full(channels, fill, np.uint8)
    if plain:
        _pick_reference(source, starts, heights, widths, matrix, border, margin, fills, out)
        return
    # Allocated out here because compiled code frees an array after its last mention, whoever still
    # holds its address.
    places, spans = np.empty(columns, np.int32), np.empty(2, np.int32)
    _pick(source, starts, heights, widths, matrix, border, np.int64(margin), fills, places, spans,
          out)  # fmt: skip


@compiled
def _pick(
    source: Array, starts: Array, heights: Array, widths: Array, matrix: Array, border: Int,
    margin: Int, fills: Array, places: Array, spans: Array, out: Array,
) -> None:  # fmt: skip
    """`pick_labels`, in the memory that it is given, one row at a time."""
    count, rows, columns, channels = out.shape
    at_places, at_spans = address_of(places), address_of(spans)
    at_source, at_fills = address_of(source), address_of(fills)
    for k in range(count):
        shape = (heights[k], widths[k], channels)
        line = (matrix[k, 0], matrix[k, 1], matrix[k, 2], matrix[k, 3], matrix[k, 4], matrix[k, 5])
        for row in range(rows):
            to = address_of(out) + (k * rows + row) * columns * channels
            find_spans(line, row, 1, columns, shape, border, margin, at_spans)
            _place_row(line, row, columns, shape, border, at_places)
            _copy_labels(at_source + starts[k], at_places, columns, channels, to)
            if border == CONSTANT:
                fill_outside(to, columns, at_spans, 1, at_fills, channels)


@compiled
def _place_row(line: Int, row: Int, columns: Int, shape: Int, border: Int, places: Int) -> None:
    """Writes the offsets of one output row, clamped into the mask.

    There is one loop for each kind of border, so that none of them decides anything per pixel.
    """
    high, wide = shape[0] << 32, shape[1] << 32
    step_x, step_y = line[0], line[3]
    x, y = line[2] + line[1] * row, line[5] + line[4] * row
    if border in (NEAREST, CONSTANT):
        for i in range(columns):
            store_int32(places, i, _offset(x + step_x * i, y + step_y * i, shape))
    elif is_near(x, x + step_x * columns, wide) and is_near(y, y + step_y * columns, high):
        for i in range(columns):
            u = fold_near(x + step_x * i, wide, border)
            v = fold_near(y + step_y * i, high, border)
            store_int32(places, i, _offset(u, v, shape))
    else:
        for i in range(columns):
            u = fold_far(x + step_x * i, wide, border)
            v = fold_far(y + step_y * i, high, border)
            store_int32(places, i, _offset(u, v, shape))


@compiled
def _offset(u: Int, v: Int, shape: Int) -> Int:
    """Byte offset of the nearest pixel; what is rounded first can be clamped as 32 bits."""
    column, row = np.int32((u + _HALF) >> 32), np.int32((v + _HALF) >> 32)
    column = min(max(column, np.int32(0)), np.int32(shape[1] - 1))
    row = min(max(row, np.int32(0)), np.int32(shape[0] - 1))
    return row * np.int32(shape[1] * shape[2]) + column * np.int32(shape[2])


@compiled
def _copy_labels(mask: Int, places: Int, count: Int, channels: Int, to: Int) -> None:
    """Writes the labels at some offsets."""
    if channels == 1:
        for i in range(count):
            store_byte(to, i, load_byte(mask, load_int32(places, i)))
        return
    for i in range(count):
        at = mask + load_int32(places, i)
        for channel in range(channels):
            store_byte(to, i * channels + channel, load_byte(at, channel))


def _pick_reference(
    source: NDArray[np.uint8], starts: Array, heights: Array, widths: Array, matrix: Array,
    border: int, margin: int, fills: NDArray[np.uint8], out: NDArray[Any],
) -> None:  # fmt: skip
    """`pick_labels` in plain NumPy: the definition."""
    _, rows, columns, channels = out.shape
    for k in range(len(out)):
        height, width = int(heights[k]), int(widths[k])
        x, y = source_coordinates(matrix[k], rows, columns)
        outside = find_outside(x, y, height, width, border, int(margin))
        column = (fold(x, width, border) + int(_HALF)) >> 32
        row = (fold(y, height, border) + int(_HALF)) >> 32
        size = height * width * channels
        mask = source[starts[k] : starts[k] + size].reshape(height, width, channels)
        out[k] = mask[row, column]
        out[k][outside] = fills
