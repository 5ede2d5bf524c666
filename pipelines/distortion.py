"""Steps that bend an image: elastic deformation, and the view from aside.

Both act on finished images and are read with the kernel's 14-bit weights.
"""

# ruff: noqa: ARG002  (the signatures are those of `Transform`)

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.coordinates import WEIGHT_BITS
from pipelines.displacement import displaced
from pipelines.fields import key_parameters, keys_of
from pipelines.filtering import MAX_SIGMA
from pipelines.moving import Moving
from pipelines.projection import project, projected, square_to_corners
from pipelines.randomness import Words, uniform
from pipelines.resampling import Coordinates
from pipelines.transform import Canvas, Parameters, as_interval, finite_number, register, require

MAX_ALPHA = 16384.0
_LARGEST_DISTORTION = 0.6
_ROUNDS = 40
"""Of the search for where a point goes; each makes its error at most half as large where
neighbouring pixels move apart by less than half a pixel."""
_CORNERS = ("top_left", "top_right", "bottom_right", "bottom_left")


@register
@dataclass(frozen=True, kw_only=True)
class Elastic(Moving):
    """Moves every pixel by smoothed noise.

    Simard, Steinkraus and Platt, "Best practices for convolutional neural networks applied to
    visual document analysis" (ICDAR 2003): for each axis uniform noise between −1 and 1, smoothed
    with a Gaussian, times alpha, in pixels; their digits of 28 × 28 have sigma 4 and alpha 34. On
    average a pixel moves by alpha · 0.16 / sigma along each axis (root mean square). Noise has 256
    values. Against SciPy's ``gaussian_filter`` on the same noise in double precision, coordinates
    are within alpha / 180 pixels whatever the noise, because weights are whole multiples of 2**-14,
    and within alpha / 2000 on drawn noise; at the same coordinates, values are within one level of
    SciPy's ``map_coordinates`` of order 1. torchvision's alpha is twice this one, for it counts in
    half pixels of a square image: on the same noise, its pixels are then within one level, but
    near the sides, where it mirrors the noise about the outermost pixels. Albumentations' noise is
    normal unless told otherwise.
    """

    name = "elastic"
    summary = "move every pixel by smoothed noise"
    num_words = 3

    alpha: tuple[float, float]
    """[low, high] within [0, 16384]: pixels for noise of 1 that is not smoothed away."""
    sigma_px: float
    """Of the Gaussian, in [0.5, 16] pixels."""

    def check(self) -> None:
        """Checks alpha, sigma_px and the border."""
        Moving.check(self)
        interval = as_interval(self.alpha, None)
        good = interval is not None and interval[0] >= 0 and interval[1] <= MAX_ALPHA
        require(good, self, "alpha", f"[low, high] within [0, {MAX_ALPHA:g}]", self.alpha)
        object.__setattr__(self, "alpha", interval)
        good = finite_number(self.sigma_px) and 0.5 <= self.sigma_px <= MAX_SIGMA
        require(good, self, "sigma_px", f"a number in [0.5, {MAX_SIGMA:g}]", self.sigma_px)

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``alpha`` in [low, high), and the key of the noise: ``key_0``, ``key_1``."""
        return {"alpha": uniform(words[:, 0], *self.alpha)} | key_parameters(words[:, 1:])

    def locate(
        self, parameters: Parameters, height: int, width: int, *, plain: bool
    ) -> Coordinates:
        """Every pixel's place and its noise."""
        return displaced(
            keys_of(parameters), parameters["alpha"], self.sigma_px, height, width, plain=plain
        )

    def move_points(
        self,
        points: NDArray[np.float64],
        rows: NDArray[np.int64],
        parameters: Parameters,
        canvas: Canvas,
    ) -> NDArray[np.float64]:
        """Where points of the images go, within half a pixel.

        A point goes to the place that is read at the point: place = point − noise(place), which is
        iterated. Where alpha is so large that the image folds over itself, there are several such
        places or the iteration finds none, and the bound does not hold.
        """
        moved = points.astype(np.float64)
        for row in np.unique(rows).tolist():
            own = {name: values[row : row + 1] for name, values in parameters.items()}
            height, width = int(canvas.heights[row]), int(canvas.widths[row])
            where = self.locate(own, height, width, plain=False)[0]
            here = rows == row
            moved[here] = _follow(points[here], where * 2.0**-WEIGHT_BITS)
        return moved


@register
@dataclass(frozen=True, kw_only=True)
class Perspective(Moving):
    """Shows the image from aside: its four corners come to lie at drawn places inside it.

    torchvision's ``RandomPerspective``: each corner moves inward by up to ``distortion`` times half
    the width and half the height. Three things differ: corners are drawn to fractions of pixels;
    they are those of the image's area, half a pixel outside the outermost pixel centres, where
    torchvision takes these centres; and ``distortion`` ends at 0.6, since from 2/3 on corners can
    pass each other. With the same corners, Pillow's ``Image.transform`` (``PERSPECTIVE``,
    ``BILINEAR``), which truncates where this rounds, is within one level wherever it shows the
    image.
    """

    name = "perspective"
    summary = "show the image from aside, by four drawn corners"
    num_words = 8
    margin = 1 << (WEIGHT_BITS - 1)

    distortion: float = 0.5
    """In [0, 0.6]."""

    def check(self) -> None:
        """Checks distortion and the border."""
        Moving.check(self)
        good = finite_number(self.distortion) and 0 <= self.distortion <= _LARGEST_DISTORTION
        expected = f"a number in [0, {_LARGEST_DISTORTION}]"
        require(good, self, "distortion", expected, self.distortion)

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``top_left_x_px`` … ``bottom_left_y_px``: where the corners come to lie.

        Along the pixels' edges: from 0 to the width and to the height.
        """
        drawn: Parameters = {}
        for number, corner in enumerate(_CORNERS):
            for axis, whole in enumerate((canvas.widths, canvas.heights)):
                sides = whole.astype(np.float64)
                inward = uniform(words[:, 2 * number + axis], 0.0, self.distortion) * 0.5 * sides
                is_far = number in ((1, 2), (2, 3))[axis]
                drawn[f"{corner}_{'xy'[axis]}_px"] = sides - inward if is_far else inward
        return drawn

    def locate(
        self, parameters: Parameters, height: int, width: int, *, plain: bool
    ) -> Coordinates:
        """Through the map from the corners to the image."""
        return projected(_corners(parameters), height, width, plain=plain)

    def move_points(
        self,
        points: NDArray[np.float64],
        rows: NDArray[np.int64],
        parameters: Parameters,
        canvas: Canvas,
    ) -> NDArray[np.float64]:
        """Where points of the images go: through the map from the image to the corners."""
        maps = square_to_corners(_corners(parameters))[rows]
        sides = np.stack([canvas.widths[rows], canvas.heights[rows]], axis=1)
        return project(maps, (points + 0.5) / sides) - 0.5


def _corners(parameters: Parameters) -> NDArray[np.float64]:
    """(n, 4, 2) the drawn corners."""
    axes = [[parameters[f"{corner}_{axis}_px"] for axis in "xy"] for corner in _CORNERS]
    return np.moveaxis(np.array(axes), 2, 0)


def _follow(points: NDArray[np.float64], where: NDArray[np.float64]) -> NDArray[np.float64]:
    """(m, 2) the places at which an image is read at given points.

    Args:
        points: (m, 2)
        where: (2, H, W) where each pixel is read; outside, the noise of the nearest pixel holds.
    """
    _, height, width = where.shape
    noise = where - np.mgrid[:height, :width][::-1]
    places = points.copy()
    for _ in range(_ROUNDS):
        inside = np.clip(places, 0, [width - 1, height - 1])
        left, above = np.minimum(inside, [max(width - 2, 0), max(height - 2, 0)]).astype(int).T
        right, below = np.minimum(left + 1, width - 1), np.minimum(above + 1, height - 1)
        fx, fy = inside[:, 0] - left, inside[:, 1] - above
        upper = noise[:, above, left] * (1 - fx) + noise[:, above, right] * fx
        lower = noise[:, below, left] * (1 - fx) + noise[:, below, right] * fx
        places = points - (upper * (1 - fy) + lower * fy).T
    return places
