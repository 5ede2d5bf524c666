"""Compiled: four neighbours and their weights become one level each, in integers.

The tone is applied in single precision as ``sum · gain + bias`` clamped, with the 2**-14 of the
weights in the gain and the rounding in the bias; the sum itself is exact.
"""

# ruff: noqa: PLR0913  (compiled functions take their facts one by one)

import numpy as np

from pipelines.compiled import Int, compiled
from pipelines.vectors import (
    blend_groups_3,
    blend_groups_4,
    load_byte,
    load_int32,
    load_pair,
    store_byte,
    store_int32,
)

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
    image: Int, shape: Int, places: Int, room: Int, count: Int, tone: Int, scratch: Int, to: Int,
    extremes: Int,
) -> None:  # fmt: skip
    """Blends ``count`` placed pixels; memory is handed over by address.

    Args:
        image: address of the image's first byte.
        shape: its height, width and channels.
        places: address of (3, room) int32: where each pixel's upper left neighbour is in the image;
            16-bit weights of that neighbour (low half) and the one right of it; the same for the
            two neighbours in the row below. `TAIL` entries after the last pixel are overwritten.
        room: at least count + `TAIL`.
        count: at least 1.
        tone: gain, bias, lowest and highest value.
        scratch: address of max(2 · count, `MIN_SCRATCH`) int32, overwritten.
        to: address of count · channels bytes, written.
        extremes: address of 2 int32: the smallest and largest sum so far, updated.
    """
    if shape[2] >= 3:
        _blend_3_or_4(image, shape, places, room, count, tone, scratch, to, extremes)
    elif shape[2] == 1:
        _blend_1(image, shape, places, room, count, tone, scratch, to, extremes)
    else:
        _blend_any(image, shape, places, room, count, tone, to, extremes)


@compiled
def _quantised(total: Int, tone: Int) -> Int:
    """One weighted sum with its tone, as a level."""
    gain, bias, low, high = tone
    value = np.float32(total) * gain + bias
    return np.int32(min(max(value, low), high))


@compiled
def _blend_1(
    image: Int, shape: Int, places: Int, room: Int, count: Int, tone: Int, scratch: Int, to: Int,
    extremes: Int,
) -> None:  # fmt: skip
    """`blend` for one channel: gathers both rows' pairs, then blends them as vectors."""
    for i in range(count):
        here = image + load_int32(places, i)
        store_int32(scratch, i, load_pair(here))
        store_int32(scratch, count + i, load_pair(here + shape[1]))
    smallest, largest = load_int32(extremes, 0), load_int32(extremes, 1)
    byte, word = np.int32(0xFF), np.int32(0xFFFF)
    for i in range(count):
        above, under = load_int32(scratch, i), load_int32(scratch, count + i)
        upper, lower = load_int32(places, room + i), load_int32(places, 2 * room + i)
        total = np.int32(
            (above & byte) * (upper & word)
            + (above >> np.int32(8)) * (upper >> np.int32(16))
            + (under & byte) * (lower & word)
            + (under >> np.int32(8)) * (lower >> np.int32(16))
        )
        smallest, largest = min(smallest, total), max(largest, total)
        store_byte(to, i, _quantised(total, tone))
    store_int32(extremes, 0, smallest)
    store_int32(extremes, 1, largest)


@compiled
def _blend_any(
    image: Int, shape: Int, places: Int, room: Int, count: Int, tone: Int, to: Int, extremes: Int
) -> None:
    """`blend` for any number of channels, one value at a time."""
    channels, stride = shape[2], shape[1] * shape[2]
    smallest, largest = load_int32(extremes, 0), load_int32(extremes, 1)
    word, shift = np.int32(0xFFFF), np.int32(16)
    for i in range(count):
        upper, lower = load_int32(places, room + i), load_int32(places, 2 * room + i)
        for channel in range(channels):
            at = load_int32(places, i) + channel
            total = np.int32(
                load_byte(image, at) * (upper & word)
                + load_byte(image, at + channels) * (upper >> shift)
                + load_byte(image, at + stride) * (lower & word)
                + load_byte(image, at + stride + channels) * (lower >> shift)
            )
            smallest, largest = min(smallest, total), max(largest, total)
            store_byte(to, i * channels + channel, _quantised(total, tone))
    store_int32(extremes, 0, smallest)
    store_int32(extremes, 1, largest)


@compiled
def _blend_3_or_4(
    image: Int, shape: Int, places: Int, room: Int, count: Int, tone: Int, scratch: Int, to: Int,
    extremes: Int,
) -> None:  # fmt: skip
    """`blend` in groups of four pixels.

    A group of 3-channel pixels writes 4 bytes too many, so the last 2 to 5 pixels are blended into
    scratch memory and copied from there.
    """
    for run in range(3):
        for i in range(count, count + TAIL):
            store_int32(places, run * room + i, load_int32(places, run * room + count - 1))
    groups = max((count - 2) // 4, 0)
    done, aside = 4 * groups, scratch + 4 * 2 * _LANES
    _blend_groups(image, shape, places, room, groups, tone, to, scratch)
    _collect(scratch, extremes)
    _blend_groups(image, shape, places + 4 * done, room, TAIL // 4, tone, aside, scratch)
    _collect(scratch, extremes)
    for i in range((count - done) * shape[2]):
        store_byte(to, done * shape[2] + i, load_byte(aside, i))


@compiled
def _blend_groups(
    image: Int, shape: Int, places: Int, room: Int, groups: Int, tone: Int, to: Int, lanes: Int
) -> None:
    """`blend_groups_3` or `_4`, whichever the image has."""
    gain, bias, low, high = tone
    stride, upper, lower = shape[1] * shape[2], places + 4 * room, places + 8 * room
    if shape[2] == 3:
        blend_groups_3(image, places, upper, lower, groups, stride, gain, bias, low, high, to,
                       lanes)  # fmt: skip
    else:
        blend_groups_4(image, places, upper, lower, groups, stride, gain, bias, low, high, to,
                       lanes)  # fmt: skip


@compiled
def _collect(lanes: Int, extremes: Int) -> None:
    """Brings the vector loops' smallest and largest sums together."""
    smallest, largest = load_int32(extremes, 0), load_int32(extremes, 1)
    for lane in range(_LANES):
        smallest = min(smallest, load_int32(lanes, lane))
        largest = max(largest, load_int32(lanes, _LANES + lane))
    store_int32(extremes, 0, smallest)
    store_int32(extremes, 1, largest)


@compiled
def clip(flat: Int, length: Int, low: Int, high: Int) -> None:
    """Clips ``length`` levels from an address on to [low, high]."""
    for i in range(length):
        store_byte(flat, i, min(max(load_byte(flat, i), low), high))


@compiled
def look_up(flat: Int, length: Int, table: Int, num_tables: Int) -> None:
    """Replaces levels by a table's entries, or by those of one table for each channel.

    ``table`` is the address of (num_tables, 256) uint8; without tables nothing changes.
    """
    if num_tables == 1:
        for i in range(length):
            store_byte(flat, i, load_byte(table, load_byte(flat, i)))
    elif num_tables > 1:
        for i in range(0, length, num_tables):
            for channel in range(num_tables):
                level = load_byte(flat, i + channel)
                store_byte(flat, i + channel, load_byte(table, 256 * channel + level))


@compiled
def fill_outside(
    flat: Int, columns: Int, spans: Int, num_rows: Int, fill: Int, channels: Int
) -> bool:
    """Writes the fill beside each row's span; True if there was any room beside them."""
    filled = False
    for r in range(num_rows):
        begin, stop = load_int32(spans, 2 * r), load_int32(spans, 2 * r + 1)
        for i in range(columns - (stop - begin)):
            beside = i if i < begin else i + stop - begin
            for channel in range(channels):
                value = load_byte(fill, channel)
                store_byte(flat, (r * columns + beside) * channels + channel, value)
        filled = filled or stop - begin < columns
    return filled
