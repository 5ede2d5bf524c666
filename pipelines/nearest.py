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
from pipelines.coordinates import (
    CONSTANT,
    NEAREST,
    ONE,
    REFLECT,
    find_spans,
    fold_far,
    is_near,
)
from pipelines.kernels import PREFETCH_BYTES, ask_for
from pipelines.reference import find_outside, fold, source_coordinates
from pipelines.vectors import address_of, load_byte, load_int32, store_byte, store_int32

_HALF = np.int64(1 << 31)
"""Half a pixel in 32.32: halves round up, as they do in nearest interpolation of images."""
_PLACE_BYTES = 4
_PIXELS_AT_ONCE = 1024
"""Rows are placed and copied in groups of about this many pixels: their places stay in the
first-level cache, and a small mask is one group."""


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
    rows, columns, channels = out.shape[1:]
    fills = np.full(channels, fill, np.uint8)
    if plain:
        _pick_reference(source, starts, heights, widths, matrix, border, margin, fills, out)
        return
    # Allocated out here because compiled code frees an array after its last mention, whoever still
    # holds its address.
    at_once = min(max(_PIXELS_AT_ONCE // columns, 1), rows)
    places, spans = np.empty(at_once * columns, np.int32), np.empty((at_once, 2), np.int32)
    _pick(source, starts, heights, widths, matrix, border, np.int64(margin), fills, places, spans,
          out)  # fmt: skip


@compiled
def _pick(
    source: Array, starts: Array, heights: Array, widths: Array, matrix: Array, border: Int,
    margin: Int, fills: Array, places: Array, spans: Array, out: Array,
) -> None:  # fmt: skip
    """`pick_labels`, as many rows at a time as the memory that it is given has room for."""
    count, rows, columns, channels = out.shape
    at_places, at_spans = address_of(places), address_of(spans)
    at_source, at_fills = address_of(source), address_of(fills)
    at_once = places.shape[0] // columns
    for k in range(count):
        shape = (heights[k], widths[k], channels)
        line = (matrix[k, 0], matrix[k, 1], matrix[k, 2], matrix[k, 3], matrix[k, 4], matrix[k, 5])
        mask = address_of(out) + k * rows * columns * channels
        for first in range(0, rows, at_once):
            todo = min(at_once, rows - first)
            to = mask + first * columns * channels
            ahead = starts[k] + first * shape[1] * channels + PREFETCH_BYTES
            ask_for(at_source, ahead, min(ahead + todo * columns * channels, source.shape[0]))
            _place_rows(line, first, todo, columns, shape, border, at_places)
            _copy_labels(at_source + starts[k], at_places, todo * columns, channels, to)
            if border == CONSTANT:
                find_spans(line, first, todo, columns, shape, border, margin, at_spans)
                fill_outside(to, columns, at_spans, todo, at_fills, channels)


@compiled
def _place_rows(
    line: Int, first: Int, num_rows: Int, columns: Int, shape: Int, border: Int, places: Int
) -> None:
    """Writes which pixels output rows show, clamped into the mask.

    There is one loop for each kind of border, so that none of them decides anything per pixel.
    Coordinates are half a pixel too large from the start, so that their upper halves are rounded,
    and they are added up: in integers that is the same, and it is what vectors are best at.
    """
    high, wide = shape[0] << 32, shape[1] << 32
    step_x, step_y = line[0], line[3]
    is_plain = border in (NEAREST, CONSTANT)
    for row in range(first, first + num_rows):
        to = places + (row - first) * columns * _PLACE_BYTES
        x, y = line[2] + line[1] * row, line[5] + line[4] * row
        end_x, end_y = x + step_x * columns, y + step_y * columns
        u, v = x + _HALF, y + _HALF
        if is_plain or (_is_inside(x, end_x, wide) and _is_inside(y, end_y, high)):
            for i in range(columns):
                store_int32(to, i, _pixel_at(u, v, shape))
                u += step_x
                v += step_y
        elif border == REFLECT and is_near(x, end_x, wide) and is_near(y, end_y, high):
            for i in range(columns):
                store_int32(to, i, _pixel_at(_mirrored(u, wide), _mirrored(v, high), shape))
                u += step_x
                v += step_y
        else:
            for i in range(columns):
                folded_x = fold_far(u - _HALF, wide, border)
                folded_y = fold_far(v - _HALF, high, border)
                store_int32(to, i, _pixel_at(folded_x + _HALF, folded_y + _HALF, shape))
                u += step_x
                v += step_y


@compiled
def _is_inside(start: Int, stop: Int, whole: Int) -> Int:
    """True if a run of coordinates, given by its ends, needs no fold."""
    return min(start, stop) >= 0 and max(start, stop) <= whole - ONE


@compiled
def _mirrored(coordinate: Int, whole: Int) -> Int:
    """`pipelines.coordinates.fold_near` of ``reflect`` for coordinates half a pixel too large.

    Less than half a pixel outside the two differ, and clamped they give the same pixel.
    """
    coordinate = max(coordinate, -coordinate)
    return min(coordinate, 2 * whole - coordinate)


@compiled
def _pixel_at(u: Int, v: Int, shape: Int) -> Int:
    """Which pixel the upper halves of two coordinates name, clamped, counted row by row."""
    column, row = np.int32(u >> 32), np.int32(v >> 32)
    column = min(max(column, np.int32(0)), np.int32(shape[1] - 1))
    row = min(max(row, np.int32(0)), np.int32(shape[0] - 1))
    return row * np.int32(shape[1]) + column


@compiled
def _copy_labels(mask: Int, places: Int, count: Int, channels: Int, to: Int) -> None:
    """Writes the labels of some pixels."""
    if channels == 1:
        for i in range(count):
            store_byte(to, i, load_byte(mask, load_int32(places, i)))
        return
    for i in range(count):
        at = mask + np.int64(load_int32(places, i)) * channels
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
