"""Compiled: from output pixels to source coordinates, and from those to offsets and weights.

Coordinates are 32.32 fixed point, pixel centres at whole numbers. A matrix row is ``xx xy xt yx yy
yt``, so stepping along an output row adds ``xx`` and ``yx``, and a coordinate of a pixel does not
depend on how it was reached.
"""

# ruff: noqa: PLR0913  (compiled functions take their facts one by one)

import numpy as np

from pipelines.compiled import Int, compiled
from pipelines.vectors import load_int32, store_int32

WEIGHT_BITS = 14
"""Fractions of a pixel as the uint8 kernel weighs them; four weights sum to 2**14."""
BORDERS = ("nearest", "constant", "reflect", "wrap")
"""The border modes; a mode's number is its place here. They mean what they mean in SciPy."""
NEAREST, CONSTANT, REFLECT, WRAP = range(4)

ONE = np.int64(1 << 32)
"""One pixel in 32.32."""
_FULL = np.int32(1 << WEIGHT_BITS)
_HALF = np.int32(1 << (WEIGHT_BITS - 1))


@compiled
def fold_near(coordinate: Int, whole: Int, border: Int) -> Int:
    """`fold_far` for coordinates at most one image away: no division, so it runs as vectors."""
    if border == REFLECT:
        coordinate = -coordinate - ONE if coordinate < 0 else coordinate
        return 2 * whole - ONE - coordinate if coordinate >= whole else coordinate
    last = whole - ONE
    coordinate = coordinate + last if coordinate < 0 else coordinate
    return coordinate - last if coordinate > last else coordinate


@compiled
def fold_far(coordinate: Int, whole: Int, border: Int) -> Int:
    """A 32.32 coordinate folded by ``reflect`` or ``wrap`` as SciPy defines them.

    ``whole`` is the image's size in 32.32. SciPy's ``wrap`` has the period size - 1. A reflected
    coordinate may end up to one pixel outside, where both neighbours are the edge: clamp it.
    """
    if border == REFLECT:
        coordinate %= 2 * whole
        return 2 * whole - ONE - coordinate if coordinate >= whole else coordinate
    last = whole - ONE
    if last == 0:
        return last
    if coordinate < 0:
        return coordinate + last * ((-coordinate) // last + 1)
    return coordinate - last * (coordinate // last) if coordinate > last else coordinate


@compiled
def is_near(start: Int, stop: Int, whole: Int) -> Int:
    """True if a run of coordinates, given by its ends, needs at most one fold (`fold_near`)."""
    reach = whole - ONE
    return -reach < min(start, stop) and max(start, stop) < 2 * reach


@compiled
def _place(u: Int, v: Int, shape: Int, half: Int, mask: Int) -> Int:
    """Byte offset and packed weights of one pixel, its coordinates clamped into the image."""
    u = min(max(u, 0), (shape[1] << 32) - ONE)
    v = min(max(v, 0), (shape[0] << 32) - ONE)
    u, v = np.uint64(u + half), np.uint64(v + half)
    column, row = np.int32(u >> np.uint64(32)), np.int32(v >> np.uint64(32))
    fx = np.int32((u >> np.uint64(32 - WEIGHT_BITS)) & mask)
    fy = np.int32((v >> np.uint64(32 - WEIGHT_BITS)) & mask)
    both = (fx * fy + _HALF) >> np.int32(WEIGHT_BITS)
    right, below = fx - both, fy - both
    offset = row * np.int32(shape[1] * shape[2]) + column * np.int32(shape[2])
    upper = (_FULL - fx - below) | (right << np.int32(16))
    return offset, upper, below | (both << np.int32(16))


@compiled
def _put(at: Int, places: Int, room: Int, place: Int) -> None:
    """Writes one pixel's offset and weights to the three runs of ``places``."""
    store_int32(places, at, place[0])
    store_int32(places, room + at, place[1])
    store_int32(places, 2 * room + at, place[2])


@compiled
def place_rows(
    line: Int, first: Int, spans: Int, num_rows: Int, some: Int, columns: Int, shape: Int,
    border: Int, half: Int, mask: Int, places: Int, room: Int,
) -> None:  # fmt: skip
    """Writes the offsets and weights of output rows.

    Args:
        line: the image's matrix in 32.32, six integers.
        first: the first output row.
        spans: address of (num_rows, 2) int32, see `find_spans`. Pixels outside a row's span take
            the place of its nearest end, rows with an empty span those of row ``some``.
        num_rows: how many rows.
        some: a row whose span is not empty, counted from ``first``.
        columns: pixels in an output row.
        shape: the source's height, width and channels.
        border: index into `BORDERS`.
        half: rounding added to coordinates.
        mask: keeps 14-bit fractions, or none.
        places: address of (3, room) int32, written: offsets, and two 16-bit weights each for the
            upper and the lower two neighbours.
        room: at least num_rows · columns.
    """
    for r in range(num_rows):
        row = r if load_int32(spans, 2 * r + 1) > load_int32(spans, 2 * r) else some
        span = (load_int32(spans, 2 * row), load_int32(spans, 2 * row + 1) - 1)
        _place_row(line, first + row, span, columns, shape, border, half, mask, places,
                   r * columns, room)  # fmt: skip


@compiled
def _place_row(
    line: Int, row: Int, span: Int, columns: Int, shape: Int, border: Int, half: Int, mask: Int,
    places: Int, to: Int, room: Int,
) -> None:  # fmt: skip
    """Writes one row of `place_rows` from place ``to`` on; ``span`` is its first and last pixel.

    There is one loop for each kind of border, so that none of them decides anything per pixel.
    """
    high, wide = shape[0] << 32, shape[1] << 32
    step_x, step_y = line[0], line[3]
    x, y = line[2] + line[1] * row, line[5] + line[4] * row
    if border == NEAREST:
        for i in range(columns):
            place = _place(x + step_x * i, y + step_y * i, shape, half, mask)
            _put(to + i, places, room, place)
    elif border == CONSTANT:
        for i in range(columns):
            seen = min(max(i, span[0]), span[1])
            place = _place(x + step_x * seen, y + step_y * seen, shape, half, mask)
            _put(to + i, places, room, place)
    elif is_near(x, x + step_x * columns, wide) and is_near(y, y + step_y * columns, high):
        for i in range(columns):
            u = fold_near(x + step_x * i, wide, border)
            v = fold_near(y + step_y * i, high, border)
            _put(to + i, places, room, _place(u, v, shape, half, mask))
    else:
        for i in range(columns):
            u = fold_far(x + step_x * i, wide, border)
            v = fold_far(y + step_y * i, high, border)
            _put(to + i, places, room, _place(u, v, shape, half, mask))


@compiled
def _stretch(start: Int, step: Int, inverse: Int, last: Int, margin: Int, columns: Int) -> Int:
    """The interval of i in [0, columns) with -margin <= start + step · i <= last + margin.

    ``inverse`` is 1 / step in floating point. It only guesses the ends; the comparisons that settle
    them are in integers.
    """
    low, high = -margin, last + margin
    if step == 0:
        return (0, columns) if low <= start <= high else (0, 0)
    near, far = (low, high) if step > 0 else (high, low)
    begin = np.int64(min(max((near - start) * inverse, 0.0), np.float64(columns)))
    stop = np.int64(min(max((far - start) * inverse + 1.0, 0.0), np.float64(columns)))
    while begin > 0 and low <= start + step * (begin - 1) <= high:
        begin -= 1
    while stop < columns and low <= start + step * stop <= high:
        stop += 1
    while begin < stop and not low <= start + step * begin <= high:
        begin += 1
    while begin < stop and not low <= start + step * (stop - 1) <= high:
        stop -= 1
    return begin, stop


@compiled
def find_spans(
    line: Int, first: Int, num_rows: Int, columns: Int, shape: Int, border: Int, margin: Int,
    spans: Int,
) -> Int:  # fmt: skip
    """Writes which pixels [begin, stop) of each output row from ``first`` on show the image.

    All of them, unless the border is constant and coordinates leave the image by more than
    ``margin``. ``spans`` is the address of (num_rows, 2) int32; for the rest see `place_rows`.

    Returns:
        The last row that shows anything, counted from ``first``; -1 if none does.
    """
    if border != CONSTANT:
        for r in range(num_rows):
            store_int32(spans, 2 * r, np.int32(0))
            store_int32(spans, 2 * r + 1, np.int32(columns))
        return num_rows - 1
    last_x, last_y = (shape[1] - 1) << 32, (shape[0] - 1) << 32
    inverse_x, inverse_y = 1.0 / np.float64(line[0]), 1.0 / np.float64(line[3])
    some = -1
    for r in range(num_rows):
        x = line[2] + line[1] * (first + r)
        y = line[5] + line[4] * (first + r)
        left, right = _stretch(x, line[0], inverse_x, last_x, margin, columns)
        top, bottom = _stretch(y, line[3], inverse_y, last_y, margin, columns)
        begin = max(left, top)
        stop = max(begin, min(right, bottom))
        store_int32(spans, 2 * r, np.int32(begin))
        store_int32(spans, 2 * r + 1, np.int32(stop))
        some = r if stop > begin else some
    return some
