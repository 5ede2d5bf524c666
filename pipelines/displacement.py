"""Smoothed noise that says by how much each pixel moves, in integers."""

import numpy as np
from numpy.typing import NDArray

from pipelines.compiled import Array, Int, compiled
from pipelines.coordinates import WEIGHT_BITS
from pipelines.fields import noise_of_images
from pipelines.filtering import gaussian_weights
from pipelines.randomness import Words
from pipelines.resampling import Coordinates
from pipelines.transform import Values

_WEIGHT_ONE = 1 << 14
"""The sum of the weights of a Gaussian."""
_DROPPED = 6
"""Bits that are dropped after the columns, so that the sums along the rows fit into 32."""
_LARGEST = 255.0 * _WEIGHT_ONE * (_WEIGHT_ONE >> _DROPPED)
"""What the sums come to where all noise is 1."""


def displaced(
    keys: Words, alphas: Values, sigma_px: float, height: int, width: int, *, plain: bool
) -> Coordinates:
    """The coordinates of n images' pixels, each moved by smoothed noise.

    The noise of a pixel is (2 · byte − 255) / 255, first of all x, then of all y. It is smoothed
    with a Gaussian, mirrored at the sides with the outermost pixel shown twice, multiplied by alpha
    and rounded to 2**-14 pixels.

    Args:
        keys: (n, 2) uint32, of the noise.
        alphas: (n,) pixels per unit of smoothed noise.
        sigma_px: the Gaussian's standard deviation.
        height: of the images.
        width: of the images.
        plain: True for the NumPy twin; the coordinates are equal.
    """
    noise = noise_of_images(keys, 2 * height * width, plain=plain)
    noise = noise.reshape(len(keys), 2, height, width)
    weights = gaussian_weights(np.array([sigma_px]))[0]
    reach = int(np.flatnonzero(weights)[-1])
    rows, columns = (mirrored(side, reach) for side in (height, width))
    gains = alphas * ((1 << WEIGHT_BITS) / _LARGEST)
    if plain:
        return _displace_reference(noise, weights[: reach + 1], rows, columns, gains)
    out = np.empty(noise.shape, np.int32)
    _displace(noise, weights[: reach + 1], rows, columns, gains, out)
    return out


def mirrored(side: int, reach: int) -> NDArray[np.int64]:
    """(side + 2 · reach,) which row or column stands at each place of a mirrored image."""
    place = np.arange(-reach, side + reach) % (2 * side)
    return np.minimum(place, 2 * side - 1 - place)


@compiled
def _displace(
    noise: Array, weights: Array, rows: Array, columns: Array, gains: Array, out: Array
) -> None:
    """`_displace_reference`, compiled: one row at a time, all its columns side by side."""
    count, _, height, width = noise.shape
    reach = len(weights) - 1
    line = np.empty(width, np.int32)
    wide = np.empty(width + 2 * reach, np.int32)
    for k in range(count):
        for axis in range(2):
            field = noise[k, axis]
            for y in range(height):
                _weigh(field, rows, y, weights, line)
                for x in range(width + 2 * reach):
                    wide[x] = line[columns[x]]
                middle = wide[reach : reach + width]
                for x in range(width):
                    line[x] = middle[x] * weights[0]
                for distance in range(1, reach + 1):
                    left = wide[reach - distance : reach - distance + width]
                    right = wide[reach + distance : reach + distance + width]
                    weight = weights[distance]
                    for x in range(width):
                        line[x] += (left[x] + right[x]) * weight
                for x in range(width):
                    base = (x if axis == 0 else y) << WEIGHT_BITS
                    out[k, axis, y, x] = base + np.int32(np.rint(line[x] * gains[k]))


@compiled
def _weigh(field: Array, rows: Array, y: Int, weights: Array, line: Array) -> None:
    """The weighted sum of the rows about one row, centred, its last bits dropped."""
    reach = len(weights) - 1
    here = field[rows[reach + y]]
    for x in range(len(line)):
        line[x] = np.int32(here[x]) * weights[0]
    for distance in range(1, reach + 1):
        above, below = field[rows[reach + y - distance]], field[rows[reach + y + distance]]
        weight = weights[distance]
        for x in range(len(line)):
            line[x] += (np.int32(above[x]) + np.int32(below[x])) * weight
    centre = np.int32(255 * _WEIGHT_ONE - (1 << (_DROPPED - 1)))
    for x in range(len(line)):
        line[x] = (2 * line[x] - centre) >> np.int32(_DROPPED)


def _displace_reference(
    noise: NDArray[np.uint8],
    weights: NDArray[np.int32],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    gains: Values,
) -> Coordinates:
    """`displaced`, from bytes of noise on, in plain NumPy: the definition."""
    _, _, height, width = noise.shape
    sides = np.concatenate([weights[:0:-1], weights]).astype(np.int64)
    centred = 2 * noise.astype(np.int64) - 255
    tall = sum(
        centred[:, :, rows[i : i + height]] * weight for i, weight in enumerate(sides)
    )  # fmt: skip
    rounded = (tall + (1 << (_DROPPED - 1))) >> _DROPPED
    total = sum(rounded[..., columns[i : i + width]] * weight for i, weight in enumerate(sides))
    moved: Coordinates = np.rint(total * gains[:, None, None, None]).astype(np.int32)
    moved[:, 0] += np.arange(width, dtype=np.int32) << WEIGHT_BITS
    moved[:, 1] += (np.arange(height, dtype=np.int32) << WEIGHT_BITS)[:, None]
    return moved
