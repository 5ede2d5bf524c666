"""The compiled inner loop: one pass over a batch that moves, tones and quantises every pixel.

For each output row the source coordinates are stepped in 32.32 fixed point, folded into the image
by the border mode, and reduced to one byte offset and four 14-bit weights per pixel
(`pipelines.coordinates`); a second loop then blends the four neighbours of each pixel in integers
and applies the tone in single precision (`pipelines.blending`). `pipelines.reference` is the same
arithmetic in plain NumPy; the two must agree byte for byte.

Inside the loop memory is handed down by address: numba counts references for every array argument
of every call, and at two nanoseconds a pixel that shows.
"""

# ruff: noqa: PLR0913  (compiled functions take their facts one by one)

import numpy as np

from pipelines.blending import MIN_SCRATCH, SLACK_BYTES, TAIL, blend, clip, fill_outside, look_up
from pipelines.compiled import Array, Int, compiled
from pipelines.coordinates import (
    BORDERS,
    CONSTANT,
    ONE,
    REFLECT,
    WEIGHT_BITS,
    WRAP,
    find_spans,
    fold_far,
    place_rows,
)
from pipelines.vectors import address_of, prefetch

__all__ = ["BORDERS", "SLACK_BYTES", "WEIGHT_BITS", "halve", "warp_float32", "warp_uint8"]

PREFETCH_BYTES = 256 * 1024
"""How far ahead source lines are asked for: 200 rows of a large photograph, and less than the
second-level cache. Measured: 128 KiB costs 640-pixel images 8 %, no asking at all 100 %; asking for
the lines of the output costs more than it brings."""

_LINE_BYTES = 64
"""A cache line."""

_PIXELS_AT_ONCE = 1024
"""Rows are placed and blended in groups of about this many pixels: their offsets and weights stay
in the first-level cache, and a small image is one group."""


def warp_uint8(
    source: Array, starts: Array, heights: Array, widths: Array, matrix: Array, tones: Array,
    fills: Array, raw_fill: Array, tables: Array, border: Int, margin: Int, half: Int, mask: Int,
    clips: bool, out: Array,
) -> None:  # fmt: skip
    """Runs n programs: out[k] is image k of ``source`` moved, toned and quantised.

    Args:
        source: (bytes,) uint8: images of possibly different sizes, each C-contiguous (H, W, C).
            From every image's start, (H + 1) · W · C + `SLACK_BYTES` bytes must be readable.
        starts: (n,) int64: where each image begins in ``source``.
        heights: (n,) int64.
        widths: (n,) int64.
        matrix: (n, 6) int64: xx xy xt yx yy yt in 32.32, output pixel to source pixel.
        tones: (n, 5) float32: gain per weighted sum, bias with its rounding, lowest and highest
            value, and the bias without the shift (for the image's own range).
        fills: (n, C) uint8: what lies outside under a constant border, final; where ``clips`` is
            True it is still to be clipped and looked up like everything else.
        raw_fill: (C,) int32: the same before the tone, times 2**14, for the image's own range.
        tables: (n, T, 256) uint8, T = 0 (no table), 1 (all channels) or C.
        border: index into `BORDERS`.
        margin: how far outside the image a coordinate still counts as inside, in 32.32.
        half: rounding added to coordinates: 2**17, or 2**31 for nearest interpolation.
        mask: 2**14 - 1, or 0 for nearest interpolation.
        clips: True to clip to the moved image's own extremes.
        out: (n, H', W', C) uint8, written.
    """
    _, rows, columns, _ = out.shape
    at_once = min(max(_PIXELS_AT_ONCE // columns, 1), rows)
    room = at_once * columns + TAIL
    # Allocated out here because compiled code frees an array after its last mention, whoever still
    # holds its address.
    places, spans = np.empty((3, room), np.int32), np.empty((at_once, 2), np.int32)
    scratch, extremes = np.empty(max(2 * room, MIN_SCRATCH), np.int32), np.empty(2, np.int32)
    _warp_uint8(
        source, starts, heights, widths, matrix, tones, fills, raw_fill, tables, border, margin,
        half, mask, clips, at_once, places, spans, scratch, extremes, out,
    )  # fmt: skip


@compiled
def _warp_uint8(
    source: Array, starts: Array, heights: Array, widths: Array, matrix: Array, tones: Array,
    fills: Array, raw_fill: Array, tables: Array, border: Int, margin: Int, half: Int, mask: Int,
    clips: bool, at_once: Int, places: Array, spans: Array, scratch: Array, extremes: Array,
    out: Array,
) -> None:  # fmt: skip
    """`warp_uint8`, working on ``at_once`` rows at a time in the memory that it is given."""
    count, rows, columns, channels = out.shape
    at_places, room = address_of(places), places.shape[1]
    at_spans, at_scratch = address_of(spans), address_of(scratch)
    at_extremes, at_source = address_of(extremes), address_of(source)
    row_length, num_tables = columns * channels, tables.shape[1]
    for k in range(count):
        shape = (heights[k], widths[k], channels)
        line = (matrix[k, 0], matrix[k, 1], matrix[k, 2], matrix[k, 3], matrix[k, 4], matrix[k, 5])
        tone = (tones[k, 0], tones[k, 1], tones[k, 2], tones[k, 3])
        fill, table = address_of(fills) + k * channels, address_of(tables) + k * num_tables * 256
        image = address_of(out) + k * rows * row_length
        extremes[0], extremes[1] = 2**31 - 1, -(2**31)
        filled = False
        for first in range(0, rows, at_once):
            todo = min(at_once, rows - first)
            to, length = image + first * row_length, todo * row_length
            ahead = starts[k] + first * shape[1] * channels + PREFETCH_BYTES
            ask_for(at_source, ahead, min(ahead + length, source.shape[0]))
            some = find_spans(line, first, todo, columns, shape, border, margin, at_spans)
            if some >= 0:
                # Pixels that will be filled borrow a visible pixel's place, so that they neither
                # read elsewhere nor count among the image's extremes.
                place_rows(line, first, at_spans, todo, some, columns, shape, border, half, mask,
                           at_places, room)  # fmt: skip
                blend(at_source + starts[k], shape, at_places, room, todo * columns, tone,
                      at_scratch, to, at_extremes)  # fmt: skip
            if not clips:
                look_up(to, length, table, num_tables)
            if border == CONSTANT:
                filled |= fill_outside(to, columns, at_spans, todo, fill, channels)
        if clips:
            smallest, largest = extremes[0], extremes[1]
            if filled:
                smallest, largest = min(smallest, raw_fill.min()), max(largest, raw_fill.max())
            low, high = _own_level(smallest, tones[k]), _own_level(largest, tones[k])
            clip(image, rows * row_length, low, high)
            look_up(image, rows * row_length, table, num_tables)


@compiled
def ask_for(origin: Int, begin: Int, end: Int) -> None:
    """Asks for the cache lines from ``begin`` to ``end``, to be read some rows later."""
    for at in range(begin, end, _LINE_BYTES):
        prefetch(origin + at)


@compiled
def _own_level(total: Int, tone: Array) -> Int:
    """The level of a weighted sum without the shift that clips to the image's own range."""
    return np.int32(min(max(np.float32(total) * tone[0] + tone[4], tone[2]), tone[3]))


@compiled
def warp_float32(
    source: Array, starts: Array, heights: Array, widths: Array, matrix: Array, tones: Array,
    fills: Array, raw_fill: Array, border: Int, margin: Int, half: Int, mask: Int, clips: bool,
    out: Array,
) -> None:  # fmt: skip
    """`warp_uint8` for float32 images: the same coordinates, values in single precision.

    Args:
        source: (values,) float32, images as in `warp_uint8`; nothing is read past an image.
        starts: (n,) int64.
        heights: (n,) int64.
        widths: (n,) int64.
        matrix: (n, 6) int64.
        tones: (n, 5) float32: gain, bias, lowest, highest, bias without the shift, in values.
        fills: (n, C) float32: what lies outside under a constant border, tone applied.
        raw_fill: (C,) float32: the same before the tone.
        border: index into `BORDERS`.
        margin: as in `warp_uint8`.
        half: 0, or 2**31 for nearest interpolation.
        mask: 2**32 - 1, or 0 for nearest interpolation.
        clips: True to clip to the moved image's own extremes.
        out: (n, H', W', C) float32, written.
    """
    count, rows, columns, channels = out.shape
    for k in range(count):
        shape, line = (heights[k], widths[k], channels), matrix[k]
        last_x, last_y = (np.int64(shape[1]) << 32) - ONE, (np.int64(shape[0]) << 32) - ONE
        gain, bias, low, high = tones[k, 0], tones[k, 1], tones[k, 2], tones[k, 3]
        smallest, largest = np.float32(np.inf), np.float32(-np.inf)
        for j in range(rows):
            for i in range(columns):
                x = line[2] + line[1] * j + line[0] * i
                y = line[5] + line[4] * j + line[3] * i
                inside = -margin <= x <= last_x + margin and -margin <= y <= last_y + margin
                if border == CONSTANT and not inside:
                    for channel in range(channels):
                        out[k, j, i, channel] = fills[k, channel]
                        smallest = min(smallest, raw_fill[channel])
                        largest = max(largest, raw_fill[channel])
                    continue
                if border in (REFLECT, WRAP):
                    x, y = fold_far(x, last_x + ONE, border), fold_far(y, last_y + ONE, border)
                for channel in range(channels):
                    value = _sample(source, starts[k] + channel, shape, x, y, half, mask)
                    smallest, largest = min(smallest, value), max(largest, value)
                    out[k, j, i, channel] = min(max(value * gain + bias, low), high)
        if clips:
            _clip_to_own_range(out[k].reshape(-1), smallest, largest, tones[k])


@compiled
def _clip_to_own_range(values: Array, smallest: Int, largest: Int, tone: Array) -> None:
    """Clips toned values to what the image's extremes become without the shift."""
    least = min(max(smallest * tone[0] + tone[4], tone[2]), tone[3])
    most = min(max(largest * tone[0] + tone[4], tone[2]), tone[3])
    for i in range(values.shape[0]):
        values[i] = min(max(values[i], least), most)


@compiled
def _sample(source: Array, start: Int, shape: Int, x: Int, y: Int, half: Int, mask: Int) -> Int:
    """One value between its four neighbours; coordinates are clamped into the image."""
    height, width, channels = shape
    u = np.uint64(min(max(x, 0), (np.int64(width) << 32) - ONE) + half)
    v = np.uint64(min(max(y, 0), (np.int64(height) << 32) - ONE) + half)
    fx = np.float32((u & mask) >> np.uint64(8)) * np.float32(2.0**-24)
    fy = np.float32((v & mask) >> np.uint64(8)) * np.float32(2.0**-24)
    column, row = np.int64(u >> np.uint64(32)), np.int64(v >> np.uint64(32))
    right = channels if column + 1 < width else 0
    below = width * channels if row + 1 < height else 0
    at = start + (row * width + column) * channels
    top = source[at] + fx * (source[at + right] - source[at])
    under = at + below
    bottom = source[under] + fx * (source[under + right] - source[under])
    return top + fy * (bottom - top)


@compiled
def halve(image: Array, columns: bool, rows: bool) -> Array:
    """Half as many columns, rows or both: the mean of each two or four pixels, rounded half up.

    Nothing of the image is lost: an odd last column or row is averaged with itself. Both axes at
    once are rounded once, which lightens by 1/8 of a level on average; one axis after the other
    would by 1/2.

    Args:
        image: (H, W, C) uint8.
        columns: True for (W + 1) // 2 columns.
        rows: True for (H + 1) // 2 rows.
    """
    height, width, channels = image.shape
    down, across = (2 if rows else 1), (2 if columns else 1)
    num_rows, num_columns = (height + down - 1) // down, (width + across - 1) // across
    out = np.empty((num_rows, num_columns, channels), np.uint8)
    for j in range(num_rows):
        top = down * j
        bottom = min(top + down - 1, height - 1)
        for i in range(num_columns):
            left = across * i
            right = min(left + across - 1, width - 1)
            # An axis that stays counts its pixel twice, which divides out.
            for channel in range(channels):
                total = (
                    np.int32(image[top, left, channel])
                    + np.int32(image[top, right, channel])
                    + np.int32(image[bottom, left, channel])
                    + np.int32(image[bottom, right, channel])
                )
                out[j, i, channel] = (total + 2) >> 2
    return out
