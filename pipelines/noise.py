"""A step that adds noise: every value of an image by its own address."""

# ruff: noqa: ARG002  (the signatures are those of `Transform`)

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.compiled import Array, compiled
from pipelines.fields import (
    NORMAL_BITS,
    key_parameters,
    keys_of,
    noise_of_images,
    normal_quantiles,
)
from pipelines.levels import num_colours
from pipelines.randomness import Words, uniform
from pipelines.transform import (
    Canvas,
    Parameters,
    WholeImage,
    as_interval,
    register,
    require,
)

_GAIN_BITS = 8
_SHIFT = NORMAL_BITS + _GAIN_BITS
_VALUES_AT_ONCE = 1 << 20
"""Images are taken in parts, so that their noise stays in the cache."""


@register
@dataclass(frozen=True, kw_only=True)
class GaussianNoise(WholeImage):
    """Adds normal noise of mean 0 to every value, of a standard deviation drawn for each image.

    ``GaussNoise`` of Albumentations, with deviations in levels where it has fractions of 255. Two
    things differ: values come from 65,536 quantiles, so that none lies beyond 4.32 standard
    deviations (0.002 % of a normal distribution do); and the standard deviation is rounded to 1/256
    of a level. Both round the sum, so that of the same noise the results are within one level. A
    fourth channel, alpha, is left as it is.
    """

    name = "gaussian_noise"
    summary = "add normal noise to every value"
    num_words = 3

    std: tuple[float, float]
    """[low, high] within [0, 255]: the standard deviation in levels."""
    per_channel: bool = True
    """False for one value for all channels of a pixel: grey noise."""

    def check(self) -> None:
        """Checks the standard deviation."""
        interval = as_interval(self.std, None)
        good = interval is not None and interval[0] >= 0 and interval[1] <= 255
        require(good, self, "std", "[low, high] within [0, 255]", self.std)
        object.__setattr__(self, "std", interval)
        good = isinstance(self.per_channel, bool)
        require(good, self, "per_channel", "true or false", self.per_channel)

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``std`` in [low, high), and the key of the noise: ``key_0``, ``key_1``."""
        return {"std": uniform(words[:, 0], *self.std)} | key_parameters(words[:, 1:])

    def run(self, images: NDArray[Any], parameters: Parameters, *, plain: bool) -> None:
        """Adds the noise."""
        count, height, width, _ = images.shape
        depth = num_colours(images) if self.per_channel else 1
        gains = np.floor(parameters["std"] * (1 << _GAIN_BITS) + 0.5).astype(np.int32)
        keys, size = keys_of(parameters), height * width * depth
        at_once = max(1, _VALUES_AT_ONCE // size)
        for first in range(0, count, at_once):
            part = slice(first, first + at_once)
            drawn = noise_of_images(keys[part], 2 * size, plain=plain)
            fractions = np.ascontiguousarray(drawn).view("<u2").reshape(-1, height, width, depth)
            add = _add_reference if plain else _add
            add(images[part], fractions, normal_quantiles(), gains[part], num_colours(images))


@compiled
def _add(images: Array, fractions: Array, quantiles: Array, gains: Array, colours: int) -> None:
    """`_add_reference`, compiled."""
    count, height, width, _ = images.shape
    depth = fractions.shape[3]
    half = np.int32(1 << (_SHIFT - 1))
    for k in range(count):
        gain = gains[k]
        for y in range(height):
            for x in range(width):
                for channel in range(colours):
                    place = channel if depth > 1 else 0
                    normal = np.int32(quantiles[fractions[k, y, x, place]])
                    change = (normal * gain + half) >> np.int32(_SHIFT)
                    level = np.int32(images[k, y, x, channel]) + change
                    images[k, y, x, channel] = min(max(level, 0), 255)


def _add_reference(
    images: NDArray[np.uint8],
    fractions: NDArray[np.uint16],
    quantiles: NDArray[np.int16],
    gains: NDArray[np.int32],
    colours: int,
) -> None:
    """Adds ``gain`` times a quantile to every level, rounded half up, in integers.

    Args:
        images: (n, H, W, C), written.
        fractions: (n, H, W, D) which quantiles; D is 1 for all channels, or ``colours``.
        quantiles: (65536,) in units of 2**-12.
        gains: (n,) in units of 2**-8 levels, at most 2**16.
        colours: how many channels change.
    """
    normal = quantiles[fractions].astype(np.int32)
    half = 1 << (_SHIFT - 1)
    change = (normal * gains[:, None, None, None] + half) >> _SHIFT
    levels = images[..., :colours].astype(np.int32) + change
    images[..., :colours] = np.clip(levels, 0, 255)
