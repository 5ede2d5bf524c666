"""Small filters on whole levels, compiled and in NumPy: Pillow's smoothing and a Gaussian."""

import numpy as np
from numpy.typing import NDArray

from pipelines.compiled import Array, Int, compiled
from pipelines.exponential import exponential
from pipelines.levels import Factors, blended, blended_reference, num_colours

MAX_SIGMA = 16.0
"""Beyond, the reach of the weights would pass most images, and a reduced image would do."""
_ONE = 1 << 14
"""The sum of all weights."""
_REACH = 4.0
"""Standard deviations to either side that have a weight; SciPy's default."""
_BETWEEN = 8
"""Bits that are dropped after the columns: 8 + 6 bits of a level remain."""


def sharpen(images: Array, factors: Factors, *, plain: bool) -> None:
    """Blends with the smoothed image.

    Args:
        images: (n, H, W, C) uint8, written; alpha and the outermost pixels stay.
        factors: (n,) 0 for the smoothed image, 1 for the image.
        plain: True for the NumPy twin.
    """
    _, height, width, _ = images.shape
    if min(height, width) < 3:
        return  # nothing but outermost pixels
    run = _sharpen_reference if plain else _sharpen
    for image, factor in zip(images, factors, strict=True):
        before = image.copy()
        run(before, factor, image)
        image[:, :, num_colours(images) :] = before[:, :, num_colours(images) :]


def gaussian_weights(sigmas: NDArray[np.float64]) -> NDArray[np.int32]:
    """(n, reach + 1) int32: one side of the weights, from the middle outward, in units of 2**-14.

    The middle one takes up what rounding leaves, so that each filter sums to 1 exactly.

    Args:
        sigmas: (n,) in [0, MAX_SIGMA] pixels.
    """
    reaches = np.floor(_REACH * sigmas + 0.5)
    distance = np.arange(int(reaches.max(initial=0.0)) + 1, dtype=np.float64)
    # Below, all weights but the middle one are under half a unit.
    wide = np.maximum(sigmas, 0.05)[:, None]
    inside = distance <= reaches[:, None]
    exponents = np.where(inside, -(distance * distance) / (2.0 * wide * wide), 0.0)
    values = np.where(inside, exponential(exponents), 0.0)
    total = values[:, 0].copy()
    for column in range(1, len(distance)):  # one by one: the order of NumPy's sums is its own
        total += 2.0 * values[:, column]
    weights = np.floor(values / total[:, None] * _ONE + 0.5).astype(np.int32)
    weights[:, 0] = _ONE - 2 * weights[:, 1:].sum(axis=1)
    return weights


def blur(images: Array, weights: NDArray[np.int32], *, plain: bool) -> None:
    """Filters columns and rows with symmetric weights; what is outside is mirrored.

    The mirror shows the outermost pixel twice (d c b a | a b c d | d c b a).

    Args:
        images: (n, H, W, C) uint8, written.
        weights: (n, reach + 1) from the middle outward, summing to 2**14 with both sides.
        plain: True for the NumPy twin.
    """
    for image, own in zip(images, weights, strict=True):
        reach = int(np.flatnonzero(own)[-1])
        if reach == 0:
            continue
        rows, columns = _mirrored(image.shape[0], reach), _mirrored(image.shape[1], reach)
        (_blur_reference if plain else _blur)(image, own[: reach + 1], rows, columns)


def _mirrored(side: int, reach: int) -> NDArray[np.int64]:
    """(side + 2 · reach,) which row or column stands at each place of a mirrored image."""
    place = np.arange(-reach, side + reach) % (2 * side)
    return np.minimum(place, 2 * side - 1 - place)


@compiled
def _sharpen(before: Array, factor: float, after: Array) -> None:
    """`_sharpen_reference`, compiled."""
    height, width, channels = after.shape
    rows = before.reshape(height, width * channels)
    written = after.reshape(height, width * channels)
    sums = np.empty(width * channels, np.int32)
    # Slices, for an index that cannot be negative is what lets LLVM use vectors.
    left, middle, right = sums, sums[channels:], sums[2 * channels :]
    for y in range(1, height - 1):
        above, here, below = rows[y - 1], rows[y], rows[y + 1]
        for i in range(len(sums)):
            sums[i] = np.int32(above[i]) + np.int32(here[i]) + np.int32(below[i])
        inner, out = here[channels:], written[y, channels:]
        for i in range(len(right)):
            level = np.int32(inner[i])
            total = left[i] + middle[i] + right[i] + np.int32(4) * level
            out[i] = blended(np.int32((2 * total + 13) // np.uint32(26)), level, factor)


def _sharpen_reference(before: Array, factor: np.float32, after: Array) -> None:
    """Sharpens or smoothes what is not outermost of (H, W, C), alpha too.

    The smooth level is a thirteenth of a sum of whole levels, rounded: Pillow's single precision
    comes to the same, for no such sum lies near a tie.
    """
    height, width, _ = after.shape
    wide = before.astype(np.int32)
    level = wide[1:-1, 1:-1]
    total = 4 * level
    for y in range(3):
        for x in range(3):
            total = total + wide[y : height - 2 + y, x : width - 2 + x]
    after[1:-1, 1:-1] = blended_reference((2 * total + 13) // 26, level, factor)


@compiled
def _blur(image: Array, weights: Array, rows: Array, columns: Array) -> None:
    """`_blur_reference`, compiled: one row at a time, all its columns side by side."""
    height, width, channels = image.shape
    reach = len(weights) - 1
    before = image.copy().reshape(height, width * channels)
    line = np.empty(width * channels, np.int32)
    wide = np.empty((width + 2 * reach) * channels, np.int32)
    half_between, half_last = np.int32(1 << (_BETWEEN - 1)), np.int32(1 << (27 - _BETWEEN))
    for y in range(height):
        _weigh(before, rows, y, weights, line)
        for x in range(width + 2 * reach):
            for channel in range(channels):
                value = line[columns[x] * channels + channel]
                wide[x * channels + channel] = (value + half_between) >> np.int32(_BETWEEN)
        out = image[y].reshape(width * channels)
        middle = wide[reach * channels :]
        for i in range(len(line)):
            line[i] = middle[i] * weights[0] + half_last
        for distance in range(1, reach + 1):
            # Slices, for an index that cannot be negative is what lets LLVM use vectors.
            left = wide[(reach - distance) * channels :]
            right = wide[(reach + distance) * channels :]
            weight = weights[distance]
            for i in range(len(line)):
                line[i] += (left[i] + right[i]) * weight
        for i in range(len(line)):
            out[i] = line[i] >> np.int32(28 - _BETWEEN)


@compiled
def _weigh(before: Array, rows: Array, y: Int, weights: Array, line: Array) -> None:
    """The weighted sum of the rows about one row, unrounded."""
    reach = len(weights) - 1
    middle = before[rows[reach + y]]
    for i in range(len(line)):
        line[i] = np.int32(middle[i]) * weights[0]
    for distance in range(1, reach + 1):
        above, below = before[rows[reach + y - distance]], before[rows[reach + y + distance]]
        weight = weights[distance]
        for i in range(len(line)):
            line[i] += (np.int32(above[i]) + np.int32(below[i])) * weight


def _blur_reference(
    image: Array, weights: NDArray[np.int32], rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> None:
    """Blurs (H, W, C): columns to 14 bits, then rows to 8, each rounded half up."""
    height, width, _ = image.shape
    sides = np.concatenate([weights[:0:-1], weights])
    tall, total = image[rows].astype(np.int32), np.zeros(image.shape, np.int32)
    for shift, weight in enumerate(sides):
        total += tall[shift : shift + height] * weight
    wide = ((total + (1 << (_BETWEEN - 1))) >> _BETWEEN)[:, columns]
    total = np.full(image.shape, 1 << (27 - _BETWEEN), np.int32)
    for shift, weight in enumerate(sides):
        total += wide[:, shift : shift + width] * weight
    image[...] = total >> (28 - _BETWEEN)
