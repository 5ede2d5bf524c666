"""Steps that mix a pixel with its neighbours: sharpness and Gaussian blur.

They act on finished images, after all moves before them. A fourth channel, alpha, stays as it is
under sharpness and is blurred like the others.
"""

# ruff: noqa: ARG002  (the signatures are those of `Transform`)

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.filtering import MAX_SIGMA, blur, gaussian_weights, sharpen
from pipelines.randomness import Words, uniform
from pipelines.transform import (
    Canvas,
    Parameters,
    WholeImage,
    as_interval,
    register,
    require,
)


@register
@dataclass(frozen=True, kw_only=True)
class Sharpness(WholeImage):
    """Blends with a smoothed image by a factor: 0 is smooth, 1 the image, 2 sharper.

    Pillow's ``ImageEnhance.Sharpness``, byte for byte, which torchvision's ``adjust_sharpness`` is
    on Pillow images, and within one level on tensors:
    the smooth pixel is the mean of 3 × 3 pixels of which the middle one counts five times; the
    outermost pixels stay.
    """

    name = "sharpness"
    summary = "smooth or sharpen by a factor from [low, high]"
    num_words = 1

    factor: tuple[float, float]
    """[low, high] within [0, 16]."""

    def check(self) -> None:
        """Checks the factor."""
        interval = as_interval(self.factor, None)
        good = interval is not None and interval[0] >= 0 and interval[1] <= 16
        require(good, self, "factor", "[low, high] within [0, 16]", self.factor)
        object.__setattr__(self, "factor", interval)

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``factor`` in [low, high)."""
        return {"factor": uniform(words[:, 0], *self.factor)}

    def run(self, images: NDArray[Any], parameters: Parameters, *, plain: bool) -> None:
        """Blends."""
        sharpen(images, parameters["factor"].astype(np.float32), plain=plain)


@register
@dataclass(frozen=True, kw_only=True)
class GaussianBlur(WholeImage):
    """Averages with Gaussian weights, of a standard deviation drawn for each image.

    SciPy's ``gaussian_filter`` with ``mode="reflect"`` and its four standard deviations to either
    side, in integers: weights are whole multiples of 2**-14 that sum to 1, columns are rounded to
    2**-6 of a level between the two passes. The result lies within 0.6 levels of SciPy's in double
    precision. torchvision and Albumentations cut the weights at a size of the user's; at
    2 · int(4 · sigma + 0.5) + 1 they are within one level, but for pixels that see the image's
    sides, where they mirror about the outermost pixels. Pillow's ``GaussianBlur`` is an
    approximation by boxes, up to 34 levels from this one for sigma 0.3 and 3 for sigma 2.
    """

    name = "gaussian_blur"
    summary = "blur with a standard deviation from [low, high] pixels"
    num_words = 1

    sigma_px: tuple[float, float]
    """[low, high] within [0, 16], in pixels; below 0.2 nothing changes."""

    def check(self) -> None:
        """Checks sigma_px."""
        interval = as_interval(self.sigma_px, None)
        good = interval is not None and interval[0] >= 0 and interval[1] <= MAX_SIGMA
        require(good, self, "sigma_px", f"[low, high] within [0, {MAX_SIGMA:g}]", self.sigma_px)
        object.__setattr__(self, "sigma_px", interval)

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``sigma_px`` in [low, high)."""
        return {"sigma_px": uniform(words[:, 0], *self.sigma_px)}

    def run(self, images: NDArray[Any], parameters: Parameters, *, plain: bool) -> None:
        """Blurs columns, then rows."""
        blur(images, gaussian_weights(parameters["sigma_px"]), plain=plain)
