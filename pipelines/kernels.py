"""The compiled inner loop: one pass over a batch that moves, tones and quantises every pixel.

For each output row the source coordinates are stepped in 32.32 fixed point, folded into the image by
the border mode, and reduced to one byte offset and four 14-bit weights per pixel; a second loop then
blends the four neighbours of each pixel in integers and applies the tone in single precision.
`pipelines.reference` is the same arithmetic in plain NumPy; the two must agree byte for byte.

The blending loops of 3- and 4-channel images are written in LLVM's own vector types, because no
compiler finds them in scalar code: a pixel and its right neighbour are one 8-byte load, shuffled so
that multiply-and-add works on neighbours. LLVM lowers these types to whatever the processor has, and
they hold integers and IEEE single precision without contraction, so every processor gives the same
bytes.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

WEIGHT_BITS = 14
BORDERS = ("nearest", "constant", "reflect", "wrap")
"""The border modes; a mode's number is its place here. They mean what they mean in SciPy."""
_NEAREST, _CONSTANT, _REFLECT, _WRAP = range(4)

SLACK_BYTES = 16
"""How far past the last row below an image the blending loops may read (with weight 0)."""

_PREFETCH_BYTES = 128 * 1024
"""How far ahead source lines are asked for: far enough for memory's latency, well inside L2."""

_PIXELS_AT_ONCE = 1024
"""Rows are placed and blended in groups of about this many pixels: their offsets and weights stay
in the first-level cache, and a small image is one group."""

_TAIL = 8
"""The last pixels of such a group, at most 5, are blended in a buffer padded to this many."""

_ONE = np.int64(1 << 32)
_FULL = np.int32(1 << WEIGHT_BITS)
_HALF = np.int32(1 << (WEIGHT_BITS - 1))

_I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_V32I8, _V32I16, _V32I32 = (ir.VectorType(t, 32) for t in (_I8, _I16, _I32))
_V16I8, _V16I32, _V16F32 = (ir.VectorType(t, 16) for t in (_I8, _I32, ir.FloatType()))
_V4I32 = ir.VectorType(_I32, 4)


@intrinsic  # type: ignore[untyped-decorator]
def _address(_context: Any, array: Any) -> Any:
    """The address of an array's first element."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        view = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.ptrtoint(view.data, context.get_value_type(types.intp))

    return types.intp(array), generate


@intrinsic  # type: ignore[untyped-decorator]
def _load_pair(_context: Any, address: Any) -> Any:
    """Two neighbouring bytes as one number, the first in the low bits (LLVM is told little-endian)."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], _I16.as_pointer())
        return builder.zext(builder.load(pointer, align=1), _I32)

    return types.int32(types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def _prefetch(_context: Any, address: Any) -> Any:
    """Asks for a cache line that will be read soon; never faults."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        pointer = _I8.as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, _I32, _I32, _I32])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        read, second_level, is_data = (ir.Constant(_I32, value) for value in (0, 2, 1))
        builder.call(
            function, [builder.inttoptr(args[0], pointer), read, second_level, is_data]
        )
        return context.get_dummy_value()

    return types.void(types.intp), generate


def _splat(builder: Any, value: Any, vector: Any) -> Any:
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(_I32, 0))
    order = ir.Constant(ir.VectorType(_I32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, undefined, order)


def _emit_groups(channels: int, builder: Any, args: Any) -> None:
    """Emits the loop over groups of four 3- or 4-channel pixels (see `_blend_groups_3`)."""
    base, offsets, upper, lower, groups, stride, gain, bias, low, high, out, extremes = args
    paired = [
        8 * pixel + (min(c, channels - 1) + channels * right)
        for pixel in range(4) for c in range(4) for right in range(2)
    ]  # fmt: skip
    gains, biases, lows, highs = (_splat(builder, x, _V16F32) for x in (gain, bias, low, high))
    smallest = cgutils.alloca_once_value(builder, ir.Constant(_V16I32, [2**31 - 1] * 16))
    largest = cgutils.alloca_once_value(builder, ir.Constant(_V16I32, [-(2**31)] * 16))
    even, odd = (ir.Constant(_V16I32, list(range(first, 32, 2))) for first in (0, 1))

    def four_ints(array: Any, index: Any) -> Any:
        pointer = builder.inttoptr(array, _I32.as_pointer())
        vector = builder.bitcast(builder.gep(pointer, [index]), _V4I32.as_pointer())
        return builder.load(vector, align=4)

    def row_sum(row: Any, spots: Any, weights: Any) -> Any:
        """left · w + right · w' for each channel of four pixels, from four 8-byte loads."""
        pixels = ir.Constant(ir.VectorType(_I64, 4), ir.Undefined)
        for lane in range(4):
            spot = builder.extract_element(spots, ir.Constant(_I32, lane))
            address = builder.add(row, builder.sext(spot, row.type))
            loaded = builder.load(builder.inttoptr(address, _I64.as_pointer()), align=1)
            pixels = builder.insert_element(pixels, loaded, ir.Constant(_I32, lane))
        in_bytes = builder.bitcast(pixels, _V32I8)
        shuffled = builder.shuffle_vector(
            in_bytes, ir.Constant(_V32I8, ir.Undefined), ir.Constant(_V32I32, paired)
        )
        spread = builder.shuffle_vector(
            weights, ir.Constant(_V4I32, ir.Undefined),
            ir.Constant(_V16I32, [pixel for pixel in range(4) for _ in range(4)]),
        )  # fmt: skip
        product = builder.mul(
            builder.zext(shuffled, _V32I32), builder.sext(builder.bitcast(spread, _V32I16), _V32I32)
        )
        nothing = ir.Constant(_V32I32, ir.Undefined)
        return builder.add(
            builder.shuffle_vector(product, nothing, even),
            builder.shuffle_vector(product, nothing, odd),
        )

    with cgutils.for_range(builder, groups) as loop:
        first = builder.mul(loop.index, ir.Constant(loop.index.type, 4))
        spots = four_ints(offsets, first)
        total = builder.add(
            row_sum(base, spots, four_ints(upper, first)),
            row_sum(builder.add(base, stride), spots, four_ints(lower, first)),
        )
        for cell, comparison in ((smallest, "<"), (largest, ">")):
            seen = builder.load(cell)
            better = builder.icmp_signed(comparison, total, seen)
            builder.store(builder.select(better, total, seen), cell)
        value = builder.sitofp(total, _V16F32)
        value = builder.fadd(builder.fmul(value, gains), biases)
        value = builder.select(builder.fcmp_ordered("<", value, lows), lows, value)
        value = builder.select(builder.fcmp_ordered(">", value, highs), highs, value)
        level = builder.trunc(builder.fptosi(value, _V16I32), _V16I8)
        order = [4 * pixel + c for pixel in range(4) for c in range(channels)]
        order += [15] * (16 - len(order))
        level = builder.shuffle_vector(
            level, ir.Constant(_V16I8, ir.Undefined), ir.Constant(_V16I32, order)
        )
        place = builder.add(out, builder.mul(first, ir.Constant(first.type, channels)))
        builder.store(level, builder.inttoptr(place, _V16I8.as_pointer()), align=1)

    pointer = builder.inttoptr(extremes, _V16I32.as_pointer())
    builder.store(builder.load(smallest), pointer, align=4)
    after = builder.gep(pointer, [ir.Constant(_I32, 1)])
    builder.store(builder.load(largest), after, align=4)


_GROUPS = types.void(
    *[types.intp] * 6, *[types.float32] * 4, *[types.intp] * 2
)  # base offsets upper lower groups stride | gain bias low high | out extremes


@intrinsic  # type: ignore[untyped-decorator]
def _blend_groups_3(
    _c: Any, base: Any, offsets: Any, upper: Any, lower: Any, groups: Any, stride: Any, gain: Any,
    bias: Any, low: Any, high: Any, out: Any, extremes: Any,
) -> Any:  # fmt: skip
    """Blends groups of four 3-channel pixels; all arguments but the tone are addresses or lengths.

    ``offsets``, ``upper`` and ``lower`` are int32 arrays of 4 · ``groups``: where pixel i's upper
    left neighbour is, and two 16-bit weights each for the neighbours in its row and the row below.
    Writes 12 · groups + 4 bytes to ``out`` and 16 smallest and 16 largest sums to ``extremes``.
    """

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        _emit_groups(3, builder, args)
        return context.get_dummy_value()

    return _GROUPS, generate


@intrinsic  # type: ignore[untyped-decorator]
def _blend_groups_4(
    _c: Any, base: Any, offsets: Any, upper: Any, lower: Any, groups: Any, stride: Any, gain: Any,
    bias: Any, low: Any, high: Any, out: Any, extremes: Any,
) -> Any:  # fmt: skip
    """`_blend_groups_3` for 4 channels; writes 16 · groups bytes."""

    def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        _emit_groups(4, builder, args)
        return context.get_dummy_value()

    return _GROUPS, generate


_jit = numba.njit(nogil=True, cache=True, error_model="numpy", inline="never")


@_jit  # type: ignore[untyped-decorator]
def _fold_near(coordinate, whole, border):
    """`_fold_far` for coordinates at most one image away: no division, so it runs as vectors."""
    if border == _REFLECT:
        coordinate = -coordinate - _ONE if coordinate < 0 else coordinate
        return 2 * whole - _ONE - coordinate if coordinate >= whole else coordinate
    last = whole - _ONE
    coordinate = coordinate + last if coordinate < 0 else coordinate
    return coordinate - last if coordinate > last else coordinate


@_jit  # type: ignore[untyped-decorator]
def _fold_far(coordinate, whole, border):
    """A 32.32 coordinate folded by ``reflect`` or ``wrap`` as SciPy defines them.

    ``whole`` is the image's size in 32.32. SciPy's ``wrap`` has the period size - 1. A reflected
    coordinate may end up to one pixel outside, where both neighbours are the edge: clamp it.
    """
    if border == _REFLECT:
        coordinate %= 2 * whole
        return 2 * whole - _ONE - coordinate if coordinate >= whole else coordinate
    last = whole - _ONE
    if last == 0:
        return last
    if coordinate < 0:
        return coordinate + last * ((-coordinate) // last + 1)
    return coordinate - last * (coordinate // last) if coordinate > last else coordinate


@_jit  # type: ignore[untyped-decorator]
def _is_near(start, stop, whole):
    """True if a run of coordinates, given by its ends, needs at most one fold (`_fold_near`)."""
    reach = whole - _ONE
    return -reach < min(start, stop) and max(start, stop) < 2 * reach


@_jit  # type: ignore[untyped-decorator]
def _place(u, v, shape, half, mask):  # fmt: skip
    """Byte offset and packed weights of one pixel whose coordinates lie in the image."""
    u, v = np.uint64(u + half), np.uint64(v + half)
    column, row = np.int32(u >> np.uint64(32)), np.int32(v >> np.uint64(32))
    fx = np.int32((u >> np.uint64(32 - WEIGHT_BITS)) & mask)
    fy = np.int32((v >> np.uint64(32 - WEIGHT_BITS)) & mask)
    both = (fx * fy + _HALF) >> np.int32(WEIGHT_BITS)
    right, below = fx - both, fy - both
    offset = row * np.int32(shape[1] * shape[2]) + column * np.int32(shape[2])
    upper = (_FULL - fx - below) | (right << np.int32(16))
    return offset, upper, below | (both << np.int32(16))


@_jit  # type: ignore[untyped-decorator]
def _inside(line, row, columns, shape, margin):
    """The interval of a row's pixels whose source coordinates lie in the image (plus margin)."""
    last_x = ((np.int64(shape[1]) - 1) << 32) + margin
    last_y = ((np.int64(shape[0]) - 1) << 32) + margin
    x, y = line[2] + line[1] * row, line[5] + line[4] * row
    start, stop = 0, columns
    while start < stop:
        u, v = x + line[0] * start, y + line[3] * start
        if -margin <= u <= last_x and -margin <= v <= last_y:
            break
        start += 1
    while stop > start:
        u, v = x + line[0] * (stop - 1), y + line[3] * (stop - 1)
        if -margin <= u <= last_x and -margin <= v <= last_y:
            break
        stop -= 1
    return start, stop


@_jit  # type: ignore[untyped-decorator]
def _place_rows(line, first, spans, some, columns, shape, border, half, mask, offsets, upper, lower):
    """Writes the offsets and weights of output rows from ``first`` on, one row for each span.

    ``line`` is the image's matrix in 32.32; ``half`` and ``mask`` round to 14-bit fractions, or to
    whole pixels. Pixels outside a row's span take the place of its nearest end, rows with an empty
    span those of row ``some``.
    """
    high, wide = np.int64(shape[0]) << 32, np.int64(shape[1]) << 32
    step_x, step_y = line[0], line[3]
    for r in range(spans.shape[0]):
        row = r if spans[r, 1] > spans[r, 0] else some
        begin, end = spans[row, 0], spans[row, 1] - 1
        x = line[2] + line[1] * (first + row)
        y = line[5] + line[4] * (first + row)
        to = r * columns
        if border == _NEAREST:
            for i in range(columns):
                u = min(max(x + step_x * i, 0), wide - _ONE)
                v = min(max(y + step_y * i, 0), high - _ONE)
                at = np.uint64(to + i)
                offsets[at], upper[at], lower[at] = _place(u, v, shape, half, mask)
        elif border == _CONSTANT:
            for i in range(columns):
                seen = min(max(i, begin), end)
                u = min(max(x + step_x * seen, 0), wide - _ONE)
                v = min(max(y + step_y * seen, 0), high - _ONE)
                at = np.uint64(to + i)
                offsets[at], upper[at], lower[at] = _place(u, v, shape, half, mask)
        elif _is_near(x, x + step_x * columns, wide) and _is_near(y, y + step_y * columns, high):
            for i in range(columns):
                u = min(max(_fold_near(x + step_x * i, wide, border), 0), wide - _ONE)
                v = min(max(_fold_near(y + step_y * i, high, border), 0), high - _ONE)
                at = np.uint64(to + i)
                offsets[at], upper[at], lower[at] = _place(u, v, shape, half, mask)
        else:
            for i in range(columns):
                u = min(max(_fold_far(x + step_x * i, wide, border), 0), wide - _ONE)
                v = min(max(_fold_far(y + step_y * i, high, border), 0), high - _ONE)
                at = np.uint64(to + i)
                offsets[at], upper[at], lower[at] = _place(u, v, shape, half, mask)


@_jit  # type: ignore[untyped-decorator]
def _blend_1(address, offsets, upper, lower, count, stride, tone, above, under, out, to, extremes):
    """`_blend_groups` for one channel: gathers both rows' pairs, then blends them as vectors."""
    gain, bias, low, high = tone
    for i in range(count):
        here = address + offsets[i]
        above[i] = _load_pair(here)
        under[i] = _load_pair(here + stride)
    smallest, largest = np.int32(2**31 - 1), np.int32(-(2**31))
    byte, word, shift = np.int32(0xFF), np.int32(0xFFFF), np.int32(16)
    for i in range(count):
        total = np.int32(
            (above[i] & byte) * (upper[i] & word)
            + (above[i] >> np.int32(8)) * (upper[i] >> shift)
            + (under[i] & byte) * (lower[i] & word)
            + (under[i] >> np.int32(8)) * (lower[i] >> shift)
        )
        smallest, largest = min(smallest, total), max(largest, total)
        value = np.float32(total) * gain + bias
        value = low if value < low else value
        value = high if value > high else value
        out[np.uint64(to + i)] = np.uint8(np.int32(value))
    extremes[0], extremes[1] = min(extremes[0], smallest), max(extremes[1], largest)


@_jit  # type: ignore[untyped-decorator]
def _blend_any(source, start, offsets, upper, lower, count, shape, tone, out, to, extremes):
    """`_blend_groups` for any number of channels, one value at a time."""
    gain, bias, low, high = tone
    channels, stride = shape[2], shape[1] * shape[2]
    smallest, largest = np.int32(2**31 - 1), np.int32(-(2**31))
    word, shift = np.int32(0xFFFF), np.int32(16)
    for i in range(count):
        for channel in range(channels):
            at = start + offsets[i] + channel
            total = np.int32(
                np.int32(source[at]) * (upper[i] & word)
                + np.int32(source[at + channels]) * (upper[i] >> shift)
                + np.int32(source[at + stride]) * (lower[i] & word)
                + np.int32(source[at + stride + channels]) * (lower[i] >> shift)
            )
            smallest, largest = min(smallest, total), max(largest, total)
            value = np.float32(total) * gain + bias
            value = low if value < low else value
            value = high if value > high else value
            out[to + i * channels + channel] = np.uint8(np.int32(value))
    extremes[0], extremes[1] = min(extremes[0], smallest), max(extremes[1], largest)


@_jit  # type: ignore[untyped-decorator]
def _blend_groups(address, offsets, upper, lower, groups, shape, tone, to, lanes):
    """`_blend_groups_3` or `_4`, whichever the image has; takes addresses, so it counts no
    references."""
    gain, bias, low, high = tone
    stride = shape[1] * shape[2]
    if shape[2] == 3:
        _blend_groups_3(address, offsets, upper, lower, groups, stride, gain, bias, low, high, to,
                        lanes)  # fmt: skip
    else:
        _blend_groups_4(address, offsets, upper, lower, groups, stride, gain, bias, low, high, to,
                        lanes)  # fmt: skip


@_jit  # type: ignore[untyped-decorator]
def _finish(flat, low, high, table):
    """Clips one image to levels found in it, then looks its values up; either may be idle."""
    if low > 0 or high < 255:
        lowest, highest = np.uint8(low), np.uint8(high)
        for i in range(flat.shape[0]):
            value = flat[i]
            value = lowest if value < lowest else value
            flat[i] = highest if value > highest else value
    if table.shape[0] == 1:
        levels = table[0]
        for i in range(flat.shape[0]):
            flat[i] = levels[flat[i]]
    elif table.shape[0] > 1:
        for i in range(0, flat.shape[0], table.shape[0]):
            for channel in range(table.shape[0]):
                flat[i + channel] = table[channel, flat[i + channel]]


@_jit  # type: ignore[untyped-decorator]
def warp_uint8(source, starts, heights, widths, matrix, tones, fills, raw_fill, tables, border,
               margin, half, mask, clips, out):  # fmt: skip
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
    count, rows, columns, channels = out.shape
    at_once = min(max(_PIXELS_AT_ONCE // columns, 1), rows)
    room = at_once * columns + _TAIL
    offsets, upper = np.empty(room, np.int32), np.empty(room, np.int32)
    lower, above, under = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.int32)
    lanes, buffer = np.empty(32, np.int32), np.empty(4 * _TAIL + SLACK_BYTES, np.uint8)
    spans = np.empty((at_once, 2), np.int64)
    extremes = np.empty(2, np.int32)
    origin, end = _address(source), source.shape[0]
    at_offsets, at_upper, at_lower = _address(offsets), _address(upper), _address(lower)
    at_lanes, at_buffer = _address(lanes), _address(buffer)
    for k in range(count):
        shape = (heights[k], widths[k], channels)
        stride = shape[1] * channels
        tone = (tones[k, 0], tones[k, 1], tones[k, 2], tones[k, 3])
        flat, line = out[k].reshape(-1), matrix[k]
        at_flat = _address(flat)
        extremes[0], extremes[1] = 2**31 - 1, -(2**31)
        filled = False
        for first in range(0, rows, at_once):
            todo = min(at_once, rows - first)
            ahead = starts[k] + first * stride + _PREFETCH_BYTES
            for address in range(ahead, min(ahead + todo * stride, end), 64):
                _prefetch(origin + address)
            some = -1
            for r in range(todo):
                spans[r, 0], spans[r, 1] = 0, columns
                if border == _CONSTANT:
                    spans[r] = _inside(line, first + r, columns, shape, margin)
                if spans[r, 1] > spans[r, 0]:
                    some = r
            to = first * columns * channels
            if some >= 0:
                # Pixels that will be filled borrow a visible pixel's place, so that they neither
                # read elsewhere nor count among the image's extremes.
                _place_rows(line, first, spans[:todo], some, columns, shape, border, half, mask,
                            offsets, upper, lower)  # fmt: skip
                pixels = todo * columns
                if channels == 3 or channels == 4:
                    for i in range(pixels, pixels + _TAIL):
                        offsets[i], upper[i], lower[i] = offsets[pixels - 1], upper[pixels - 1], lower[pixels - 1]
                    groups = max((pixels - 2) // 4, 0)
                    done = 4 * groups
                    for part in range(2):
                        skip = 0 if part == 0 else 4 * done
                        _blend_groups(
                            origin + starts[k], at_offsets + skip, at_upper + skip,
                            at_lower + skip, groups if part == 0 else 2, shape, tone,
                            at_flat + to if part == 0 else at_buffer, at_lanes,
                        )  # fmt: skip
                        for lane in range(16):
                            extremes[0] = min(extremes[0], lanes[lane])
                            extremes[1] = max(extremes[1], lanes[16 + lane])
                    for i in range((pixels - done) * channels):
                        flat[to + done * channels + i] = buffer[i]
                elif channels == 1:
                    _blend_1(origin + starts[k], offsets, upper, lower, pixels, stride, tone, above,
                             under, flat, to, extremes)  # fmt: skip
                else:
                    _blend_any(source, starts[k], offsets, upper, lower, pixels, shape, tone, flat,
                               to, extremes)  # fmt: skip
            if not clips and tables.shape[1] > 0:
                _finish(flat[to : to + todo * columns * channels], 0, 255, tables[k])
            if border == _CONSTANT:
                for r in range(todo):
                    begin, stop = spans[r]
                    for outside in range(columns - (stop - begin)):
                        at = outside if outside < begin else outside + stop - begin
                        filled = True
                        for channel in range(channels):
                            flat[to + (r * columns + at) * channels + channel] = fills[k, channel]
        if clips:
            smallest, largest = extremes[0], extremes[1]
            if filled:
                smallest = min(smallest, raw_fill.min())
                largest = max(largest, raw_fill.max())
            least = np.int32(min(max(np.float32(smallest) * tone[0] + tones[k, 4], tone[2]), tone[3]))
            most = np.int32(min(max(np.float32(largest) * tone[0] + tones[k, 4], tone[2]), tone[3]))
            _finish(flat, least, most, tables[k])


@_jit  # type: ignore[untyped-decorator]
def warp_float32(source, starts, heights, widths, matrix, tones, fills, raw_fill, border, margin,
                 half, mask, clips, out):  # fmt: skip
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
        height, width, line = heights[k], widths[k], matrix[k]
        gain, bias, low, high = tones[k, 0], tones[k, 1], tones[k, 2], tones[k, 3]
        high_q, wide_q = np.int64(height) << 32, np.int64(width) << 32
        smallest, largest = np.float32(np.inf), np.float32(-np.inf)
        for j in range(rows):
            for i in range(columns):
                x = line[2] + line[1] * j + line[0] * i
                y = line[5] + line[4] * j + line[3] * i
                if border == _CONSTANT and not (
                    -margin <= x <= wide_q - _ONE + margin
                    and -margin <= y <= high_q - _ONE + margin
                ):
                    for channel in range(channels):
                        out[k, j, i, channel] = fills[k, channel]
                        smallest = min(smallest, raw_fill[channel])
                        largest = max(largest, raw_fill[channel])
                    continue
                if border == _REFLECT or border == _WRAP:
                    x, y = _fold_far(x, wide_q, border), _fold_far(y, high_q, border)
                u = np.uint64(min(max(x, 0), wide_q - _ONE) + half)
                v = np.uint64(min(max(y, 0), high_q - _ONE) + half)
                fx = np.float32((u & mask) >> np.uint64(8)) * np.float32(2.0**-24)
                fy = np.float32((v & mask) >> np.uint64(8)) * np.float32(2.0**-24)
                column, row = np.int64(u >> np.uint64(32)), np.int64(v >> np.uint64(32))
                right = channels if column + 1 < width else 0
                below = width * channels if row + 1 < height else 0
                here = starts[k] + (row * width + column) * channels
                for channel in range(channels):
                    at = here + channel
                    top = source[at] + fx * (source[at + right] - source[at])
                    under = at + below
                    bottom = source[under] + fx * (source[under + right] - source[under])
                    value = top + fy * (bottom - top)
                    smallest, largest = min(smallest, value), max(largest, value)
                    out[k, j, i, channel] = min(max(value * gain + bias, low), high)
        if clips:
            least, most = smallest * gain + tones[k, 4], largest * gain + tones[k, 4]
            flat = out[k].reshape(-1)
            for i in range(flat.shape[0]):
                flat[i] = min(max(flat[i], least), most)


@_jit  # type: ignore[untyped-decorator]
def halve(image):
    """Every 2×2 block's mean, rounded half up: (H, W, C) uint8 to (max(H//2, 1), max(W//2, 1), C).

    An odd last row or column is dropped, as long as another remains.
    """
    height, width, channels = image.shape
    out = np.empty((max(height // 2, 1), max(width // 2, 1), channels), np.uint8)
    down, right = min(1, height - 1), min(1, width - 1)
    for j in range(out.shape[0]):
        for i in range(out.shape[1]):
            for channel in range(channels):
                total = (
                    np.int32(image[2 * j, 2 * i, channel])
                    + np.int32(image[2 * j + down, 2 * i, channel])
                    + np.int32(image[2 * j, 2 * i + right, channel])
                    + np.int32(image[2 * j + down, 2 * i + right, channel])
                )
                out[j, i, channel] = (total + 2) >> 2
    return out
