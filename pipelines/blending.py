"""Compiled: four neighbours and their weights become one level each, in integers.

The tone is applied in single precision as ``sum · gain + bias`` clamped, with the 2**-14 of the
weights in the gain and the rounding in the bias; the sum itself is exact.
"""

import numpy as np

from pipelines.compiled import Array, Int, compiled
from pipelines.vectors import address_of, blend_groups_3, blend_groups_4, load_pair

SLACK_BYTES = 16
"""How far past the last row below an image the blending loops may read (with weight 0)."""

TAIL = 8
"""The last pixels of a run, at most 5, are blended beside it, padded to this many."""

_LANES = 16
"""How many smallest and as many largest sums the vector loops keep."""

MIN_SCRATCH = 64
"""Room for the lanes and for `TAIL` pixels, in 32-bit words."""


@compiled
def blend(
    source: Array, start: Int, shape: Int, offsets: Array, upper: Array, lower: Array, count: Int,
    tone: Int, scratch: Array, out: Array, to: Int, extremes: Array,
) -> None:  # fmt: skip
    """Blends ``count`` placed pixels into ``out`` from index ``to`` on.

    Args:
        source: (bytes,) uint8.
        start: where the image begins in it.
        shape: the image's height, width and channels.
        offsets: (count + `TAIL`,) int32: where each pixel's upper left neighbour is, in the image.
            The last `TAIL` entries of this and the next two arrays are overwritten.
        upper: the same shape: 16-bit weights of that neighbour (low half) and the one right of it.
        lower: the same shape: weights of the two neighbours in the row below.
        count: at least 1.
        tone: gain, bias, lowest and highest value.
        scratch: (at least max(2 · count, `MIN_SCRATCH`),) int32, overwritten.
        out: (bytes,) uint8.
        to: index into it.
        extremes: (2,) int32: the smallest and largest sum so far, updated.
    """
    if shape[2] >= 3:
        _blend_3_or_4(source, start, shape, offsets, upper, lower, count, tone, scratch, out, to,
                      extremes)  # fmt: skip
    elif shape[2] == 1:
        _blend_1(source, start, shape, offsets, upper, lower, count, tone, scratch, out, to,
                 extremes)  # fmt: skip
    else:
        _blend_any(source, start, shape, offsets, upper, lower, count, tone, out, to, extremes)


@compiled
def _quantised(total: Int, tone: Int) -> Int:
    """One weighted sum with its tone, as a level."""
    gain, bias, low, high = tone
    value = np.float32(total) * gain + bias
    value = low if value < low else value
    value = high if value > high else value
    return np.uint8(np.int32(value))


@compiled
def _blend_1(
    source: Array, start: Int, shape: Int, offsets: Array, upper: Array, lower: Array, count: Int,
    tone: Int, scratch: Array, out: Array, to: Int, extremes: Array,
) -> None:  # fmt: skip
    """`blend` for one channel: gathers both rows' pairs, then blends them as vectors."""
    address, stride = address_of(source) + start, shape[1]
    for i in range(count):
        here = address + offsets[i]
        scratch[i] = load_pair(here)
        scratch[count + i] = load_pair(here + stride)
    smallest, largest = extremes[0], extremes[1]
    byte, word = np.int32(0xFF), np.int32(0xFFFF)
    for i in range(count):
        above, under = scratch[i], scratch[count + i]
        total = np.int32(
            (above & byte) * (upper[i] & word)
            + (above >> np.int32(8)) * (upper[i] >> np.int32(16))
            + (under & byte) * (lower[i] & word)
            + (under >> np.int32(8)) * (lower[i] >> np.int32(16))
        )
        smallest, largest = min(smallest, total), max(largest, total)
        out[np.uint64(to + i)] = _quantised(total, tone)
    extremes[0], extremes[1] = smallest, largest


@compiled
def _blend_any(
    source: Array, start: Int, shape: Int, offsets: Array, upper: Array, lower: Array, count: Int,
    tone: Int, out: Array, to: Int, extremes: Array,
) -> None:  # fmt: skip
    """`blend` for any number of channels, one value at a time."""
    channels, stride = shape[2], shape[1] * shape[2]
    smallest, largest = extremes[0], extremes[1]
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
            out[to + i * channels + channel] = _quantised(total, tone)
    extremes[0], extremes[1] = smallest, largest


@compiled
def _blend_3_or_4(
    source: Array, start: Int, shape: Int, offsets: Array, upper: Array, lower: Array, count: Int,
    tone: Int, scratch: Array, out: Array, to: Int, extremes: Array,
) -> None:  # fmt: skip
    """`blend` in groups of four pixels.

    A group of 3-channel pixels writes 4 bytes too many, so the last 2 to 5 pixels are blended into
    scratch memory and copied from there.
    """
    channels = shape[2]
    for i in range(count, count + TAIL):
        offsets[i], upper[i], lower[i] = offsets[count - 1], upper[count - 1], lower[count - 1]
    groups = max((count - 2) // 4, 0)
    done = 4 * groups
    address = address_of(source) + start
    at_offsets, at_upper, at_lower = address_of(offsets), address_of(upper), address_of(lower)
    lanes, aside = address_of(scratch), address_of(scratch) + 4 * 2 * _LANES
    _blend_groups(address, at_offsets, at_upper, at_lower, groups, shape, tone,
                  address_of(out) + to, lanes)  # fmt: skip
    _collect(scratch, extremes)
    skip = 4 * done
    _blend_groups(address, at_offsets + skip, at_upper + skip, at_lower + skip, TAIL // 4, shape,
                  tone, aside, lanes)  # fmt: skip
    _collect(scratch, extremes)
    rest, first = scratch.view(np.uint8)[4 * 2 * _LANES :], to + done * channels
    for i in range((count - done) * channels):
        out[first + i] = rest[i]


@compiled
def _blend_groups(
    address: Int, offsets: Int, upper: Int, lower: Int, groups: Int, shape: Int, tone: Int,
    to: Int, lanes: Int,
) -> None:  # fmt: skip
    """`blend_groups_3` or `_4`, whichever the image has; takes addresses only, so that it counts
    no references."""
    gain, bias, low, high = tone
    stride = shape[1] * shape[2]
    if shape[2] == 3:
        blend_groups_3(address, offsets, upper, lower, groups, stride, gain, bias, low, high, to,
                       lanes)  # fmt: skip
    else:
        blend_groups_4(address, offsets, upper, lower, groups, stride, gain, bias, low, high, to,
                       lanes)  # fmt: skip


@compiled
def _collect(lanes: Array, extremes: Array) -> None:
    """Brings the vector loops' smallest and largest sums together."""
    for lane in range(_LANES):
        extremes[0] = min(extremes[0], lanes[lane])
        extremes[1] = max(extremes[1], lanes[_LANES + lane])


@compiled
def finish(flat: Array, low: Int, high: Int, table: Array) -> None:
    """Clips levels to [low, high], then looks them up; either may be idle."""
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


@compiled
def fill_outside(flat: Array, to: Int, columns: Int, spans: Array, fill: Array) -> bool:
    """Writes the fill beside each row's span; True if there was any room beside them."""
    channels, filled = fill.shape[0], False
    for r in range(spans.shape[0]):
        begin, stop = spans[r, 0], spans[r, 1]
        row = to + r * columns * channels
        for i in range(begin * channels):
            flat[row + i] = fill[i % channels]
        for i in range(stop * channels, columns * channels):
            flat[row + i] = fill[i % channels]
        filled = filled or stop - begin < columns
    return filled
