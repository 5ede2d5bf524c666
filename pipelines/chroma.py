"""Colour arithmetic on whole levels: saturation, hue and jitter, compiled and in NumPy.

Source of the blends: Pillow's ``ImageEnhance`` (`pipelines.levels.blended`). The hue is turned
without leaving the levels: with M, m and c = M − m a pixel's largest and smallest level and their
difference, hue counts sectors of 60° from red, and its position times c is a whole number (0, 2c or
4c plus a difference of two levels). Adding c times the turn gives the new position exactly; its
whole sectors say which channel is M and which m, the rest how far the third is between them.
"""

import numpy as np
from numpy.typing import NDArray

from pipelines.compiled import Array, Int, compiled
from pipelines.levels import (
    Factors,
    blended,
    blended_reference,
    grey_of,
    grey_reference,
)

SECTOR = 1 << 16
"""Units of one sector of the colour circle, 60°."""
_PLACES = np.array([[0, 2, 1], [1, 2, 0], [1, 0, 2], [2, 0, 1], [2, 1, 0], [0, 1, 2]])
"""(6, 3) by sector: the channels of the largest, the smallest and the middle level."""


def saturate(images: Array, factors: Factors, *, plain: bool) -> None:
    """Blends with grey.

    Args:
        images: (n, H, W, C) uint8, written where C is 3 or 4.
        factors: (n,) 0 for grey, 1 for the image.
        plain: True for the NumPy twin.
    """
    if images.shape[3] >= 3:
        flat = images.reshape(len(images), -1, images.shape[3])
        run = _saturate_reference if plain else _saturate
        for image, factor in zip(flat, factors, strict=True):
            run(image, factor)


def turn_hue(images: Array, turns: NDArray[np.int64], *, plain: bool) -> None:
    """Turns the colour circle.

    Args:
        images: (n, H, W, C) uint8, written where C is 3 or 4.
        turns: (n,) in [0, 6 · SECTOR).
        plain: True for the NumPy twin.
    """
    if images.shape[3] >= 3:
        flat = images.reshape(len(images), -1, images.shape[3])
        run = _turn_reference if plain else _turn
        for image, turn in zip(flat, turns, strict=True):
            run(image, turn)


def jitter(
    images: Array,
    factors: NDArray[np.float32],
    turns: NDArray[np.int64],
    orders: NDArray[np.int64],
    *,
    plain: bool,
) -> None:
    """Brightness, contrast, saturation and hue, in each image's own order.

    Args:
        images: (n, H, W, C) uint8, written.
        factors: (n, 3) of brightness, contrast and saturation.
        turns: (n,) of the hue, in [0, 6 · SECTOR).
        orders: (n, 4) which comes first, second …: 0 brightness, 1 contrast, 2 saturation, 3 hue.
        plain: True for the NumPy twin.
    """
    flat = images.reshape(len(images), -1, images.shape[3])
    (_jitter_reference if plain else _jitter)(flat, factors, turns, orders)


@compiled
def _saturate(image: Array, factor: float) -> None:
    """`_saturate_reference`, compiled."""
    for i in range(image.shape[0]):
        red, green, blue = np.int32(image[i, 0]), np.int32(image[i, 1]), np.int32(image[i, 2])
        grey = grey_of(red, green, blue)
        image[i, 0] = blended(grey, red, factor)
        image[i, 1] = blended(grey, green, factor)
        image[i, 2] = blended(grey, blue, factor)


def _saturate_reference(image: NDArray[np.uint8], factor: np.float32) -> None:
    """Blends (pixels, C) with their grey."""
    grey = grey_reference(image)[:, None]
    image[:, :3] = blended_reference(grey, image[:, :3].astype(np.int32), factor)


@compiled
def _turn(image: Array, turn: Int) -> None:
    """`_turn_reference`, compiled."""
    for i in range(image.shape[0]):
        red, green, blue = np.int64(image[i, 0]), np.int64(image[i, 1]), np.int64(image[i, 2])
        high, low = max(red, green, blue), min(red, green, blue)
        span = high - low
        if span == 0 or turn == 0:
            continue
        if red == high:
            place = green - blue
        elif green == high:
            place = 2 * span + blue - red
        else:
            place = 4 * span + red - green
        sector_units = span * SECTOR
        position = place * SECTOR + span * turn
        position += 6 * sector_units * (position < 0)
        position -= 6 * sector_units * (position >= 6 * sector_units)
        sector = 0
        while position >= sector_units:
            position -= sector_units
            sector += 1
        part = (position + SECTOR // 2) >> 16
        image[i, _PLACES[sector, 0]] = high
        image[i, _PLACES[sector, 1]] = low
        image[i, _PLACES[sector, 2]] = low + part if sector % 2 == 0 else high - part


def _turn_reference(image: NDArray[np.uint8], turn: int) -> None:
    """Turns the hue of (pixels, C) levels: integers, rounded once."""
    if turn == 0:
        return
    wide = image[:, :3].astype(np.int64)
    red, green, blue = wide.T
    high, low = wide.max(axis=1), wide.min(axis=1)
    span = high - low
    place = np.select(
        [red == high, green == high],
        [green - blue, 2 * span + blue - red],
        4 * span + red - green,
    )
    units = np.maximum(span, 1) * SECTOR
    sector, rest = np.divmod((place * SECTOR + span * turn) % (6 * units), units)
    part = (rest + SECTOR // 2) >> 16
    middle = np.where(sector % 2 == 0, low + part, high - part)
    turned = np.empty_like(wide)
    rows = np.arange(len(wide))
    for levels, places in zip((high, low, middle), _PLACES[sector].T, strict=True):
        turned[rows, places] = levels
    image[:, :3] = np.where(span[:, None] > 0, turned, wide)


@compiled
def _blend_all(image: Array, flat: Int, factor: float) -> None:
    """`_blend_all_reference`, compiled."""
    table = np.empty(256, np.uint8)
    for level in range(256):
        table[level] = blended(flat, np.int32(level), factor)
    colours = 3 if image.shape[1] == 4 else image.shape[1]
    for i in range(image.shape[0]):
        for channel in range(colours):
            image[i, channel] = table[image[i, channel]]


def _blend_all_reference(image: NDArray[np.uint8], flat: int, factor: np.float32) -> None:
    """Blends all of (pixels, C) but alpha with one level."""
    colours = image[:, : 3 if image.shape[1] == 4 else image.shape[1]]
    level = colours.astype(np.int32)
    colours[...] = blended_reference(np.full_like(level, flat), level, factor)


@compiled
def _mean_grey(image: Array) -> Int:
    """`_mean_grey_reference`, compiled."""
    total = 0
    for i in range(image.shape[0]):
        if image.shape[1] < 3:
            total += image[i, 0]
        else:
            total += grey_of(np.int32(image[i, 0]), np.int32(image[i, 1]), np.int32(image[i, 2]))
    return np.int32((2 * total + image.shape[0]) // (2 * image.shape[0]))


def _mean_grey_reference(image: NDArray[np.uint8]) -> int:
    """The mean grey of (pixels, C) levels, rounded half up."""
    total = int(grey_reference(image).sum(dtype=np.int64))
    return (2 * total + len(image)) // (2 * len(image))


@compiled
def _jitter(images: Array, factors: Array, turns: Array, orders: Array) -> None:
    """`_jitter_reference`, compiled."""
    for k in range(images.shape[0]):
        image = images[k]
        for change in orders[k]:
            if change == 3:
                if image.shape[1] >= 3:
                    _turn(image, turns[k])
            elif factors[k, change] != 1:
                if change == 0:
                    _blend_all(image, np.int32(0), factors[k, 0])
                elif change == 1:
                    _blend_all(image, _mean_grey(image), factors[k, 1])
                elif image.shape[1] >= 3:
                    _saturate(image, factors[k, 2])


def _jitter_reference(
    images: NDArray[np.uint8],
    factors: NDArray[np.float32],
    turns: NDArray[np.int64],
    orders: NDArray[np.int64],
) -> None:
    """Jitters (n, pixels, C) levels."""
    for image, own, turn, order in zip(images, factors, turns.tolist(), orders, strict=True):
        for change in order.tolist():
            if change == 0:
                _blend_all_reference(image, 0, own[0])
            elif change == 1:
                _blend_all_reference(image, _mean_grey_reference(image), own[1])
            elif image.shape[1] >= 3 and change == 2:
                _saturate_reference(image, own[2])
            elif image.shape[1] >= 3:
                _turn_reference(image, turn)
