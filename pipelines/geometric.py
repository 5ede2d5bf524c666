"""Steps that move pixels: each gives one output-to-input matrix, and matrices compose.

Every geometric step of a pipeline, flips and crops included, fuses into a single resampling of the
source. Conventions are Keras' (`ImageDataGenerator`): the matrix maps output to input, so a
positive shift moves the content left or up, a zoom above 1 shows more of the image, and a positive
angle turns the content counter-clockwise. Two things deliberately differ from Keras:
`width_shift` moves columns and `height_shift` rows (Keras 3 exchanges them), and the centre of an
image that is not square is its centre (Keras exchanges the two half-sizes).
`pipelines.keras_parameters` has Keras' own reading.
"""

# ruff: noqa: ARG002  (the signatures are those of `Transform`)

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.affine import Matrices, cosine_sine, matrices
from pipelines.randomness import Words, choose, happens, uniform
from pipelines.transform import (
    Canvas,
    Geometric,
    Parameters,
    Transform,
    Values,
    as_interval,
    finite_number,
    register,
    require,
)

_MAX_ZOOM = 1024.0


@register
@dataclass(frozen=True, kw_only=True)
class Rotation(Geometric):
    """Turns about the image's centre by an angle drawn from [-max_deg, max_deg)."""

    name = "rotation"
    summary = "turn about the centre by up to max_deg degrees either way"
    num_words = 1

    max_deg: float
    """In [0, 360]."""

    def check(self) -> None:
        """Checks max_deg."""
        good = finite_number(self.max_deg) and 0 <= self.max_deg <= 360
        require(good, self, "max_deg", "a number in [0, 360]", self.max_deg)

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``angle_deg`` in [-max_deg, max_deg)."""
        return {"angle_deg": uniform(words[:, 0], -self.max_deg, self.max_deg)}

    def matrices(self, parameters: Parameters, canvas: Canvas) -> Matrices:
        """[[cos, -sin], [sin, cos]]."""
        cs = cosine_sine(parameters["angle_deg"])
        return matrices(len(cs), xx=cs[:, 0], xy=-cs[:, 1], yx=cs[:, 1], yy=cs[:, 0])


@dataclass(frozen=True, kw_only=True)
class _Shift(Geometric):
    """The drawing that the two shifts share, with Keras' three readings of their argument."""

    num_words = 3

    by: float | int | tuple[float, ...]
    """A float below 1: a fraction of the size, drawn from [-by, by). A float from 1 on: pixels,
    drawn from [-by, by). An int n: a whole number of pixels from 0 … n-1, either sign. A list: one
    of its values, either sign (fractions if all are below 1, else pixels)."""

    def check(self) -> None:
        """Checks ``by``."""
        values = self.by if isinstance(self.by, list | tuple) else (self.by,)
        good = len(values) > 0 and all(finite_number(v) and abs(v) < 2**20 for v in values)
        if isinstance(self.by, list | tuple):
            object.__setattr__(self, "by", tuple(self.by))
        else:
            good = good and self.by >= 0
        require(good, self, "by", "a number ≥ 0 or a list of numbers, below 2**20", self.by)

    def words_needed(self) -> int:
        """One for an interval; a choice takes two, and its sign the third."""
        return 1 if isinstance(self.by, float) else self.num_words

    def reach(self) -> tuple[float, bool]:
        """The largest shift that can be drawn, and whether it is a fraction of the size."""
        if isinstance(self.by, tuple):
            return max(abs(value) for value in self.by), max(self.by) < 1
        if isinstance(self.by, float):
            return self.by, self.by < 1
        return max(self.by - 1, 0), False

    def _offsets(self, words: Words, sizes: Values) -> Values:
        if isinstance(self.by, float):
            drawn = uniform(words[:, 0], -self.by, self.by)
        else:
            choices = self.by if isinstance(self.by, tuple) else range(max(self.by, 1))
            values = np.array(choices, dtype=np.float64)
            sign = np.where(happens(words[:, 2], 0.5), -1.0, 1.0)
            drawn = values[choose(words[:, :2], len(values))] * sign
        return drawn * sizes if self.reach()[1] else drawn


@register
@dataclass(frozen=True, kw_only=True)
class WidthShift(_Shift):
    """Moves along the columns."""

    name = "width_shift"
    summary = "move sideways by a fraction of the width or by pixels"

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``shift_px``: how far the window moves right."""
        return {"shift_px": self._offsets(words, canvas.widths.astype(np.float64))}

    def matrices(self, parameters: Parameters, canvas: Canvas) -> Matrices:
        """A translation along x."""
        return matrices(len(canvas.widths), xx=1.0, yy=1.0, xt=parameters["shift_px"])


@register
@dataclass(frozen=True, kw_only=True)
class HeightShift(_Shift):
    """Moves along the rows."""

    name = "height_shift"
    summary = "move up or down by a fraction of the height or by pixels"

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``shift_px``: how far the window moves down."""
        return {"shift_px": self._offsets(words, canvas.heights.astype(np.float64))}

    def matrices(self, parameters: Parameters, canvas: Canvas) -> Matrices:
        """A translation along y."""
        return matrices(len(canvas.heights), xx=1.0, yy=1.0, yt=parameters["shift_px"])


@register
@dataclass(frozen=True, kw_only=True)
class Shear(Geometric):
    """Shears by an angle, with Keras' matrix [[1, -sin], [0, cos]]."""

    name = "shear"
    summary = "shear by up to max_deg degrees either way"
    num_words = 1

    max_deg: float
    """In [0, 89]; at 90 the image would collapse to a line."""

    def check(self) -> None:
        """Checks max_deg."""
        good = finite_number(self.max_deg) and 0 <= self.max_deg <= 89
        require(good, self, "max_deg", "a number in [0, 89]", self.max_deg)

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``angle_deg`` in [-max_deg, max_deg)."""
        return {"angle_deg": uniform(words[:, 0], -self.max_deg, self.max_deg)}

    def matrices(self, parameters: Parameters, canvas: Canvas) -> Matrices:
        """[[1, -sin], [0, cos]]."""
        cs = cosine_sine(parameters["angle_deg"])
        return matrices(len(cs), xx=1.0, xy=-cs[:, 1], yy=cs[:, 0])


@register
@dataclass(frozen=True, kw_only=True)
class Zoom(Geometric):
    """Scales each axis by its own factor; above 1 shows more of the image."""

    name = "zoom"
    summary = "scale by a factor around 1, each axis by its own unless keep_aspect"
    num_words = 2

    by: float | tuple[float, float]
    """z for [1 - z, 1 + z), or [low, high). Factors stay in [1/1024, 1024]."""
    keep_aspect: bool = False
    """One factor for both axes."""

    def check(self) -> None:
        """Checks ``by``."""
        interval = as_interval(self.by, 1.0)
        good = interval is not None and interval[0] >= 1 / _MAX_ZOOM and interval[1] <= _MAX_ZOOM
        expected = "z in [0, 1) or [low, high] within [1/1024, 1024]"
        advice = "a zoom interval that reaches 0 would collapse the image to one point"
        require(good, self, "by", expected, self.by, advice)
        if not isinstance(self.by, float | int):
            object.__setattr__(self, "by", tuple(self.by))

    def words_needed(self) -> int:
        """One for each factor."""
        return 1 if self.keep_aspect else self.num_words

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``zoom_x`` and ``zoom_y``."""
        low, high = as_interval(self.by, 1.0) or (1.0, 1.0)
        zoom_x = uniform(words[:, 0], low, high)
        zoom_y = zoom_x if self.keep_aspect else uniform(words[:, 1], low, high)
        return {"zoom_x": zoom_x, "zoom_y": zoom_y}

    def matrices(self, parameters: Parameters, canvas: Canvas) -> Matrices:
        """diag(zoom_x, zoom_y)."""
        return matrices(len(canvas.widths), xx=parameters["zoom_x"], yy=parameters["zoom_y"])


@dataclass(frozen=True, kw_only=True)
class _Flip(Geometric):
    """The drawing that the two flips share."""

    num_words = 1
    brings_in_border = False

    probability: float = 0.5
    """In [0, 1]."""

    @property
    def is_optional(self) -> bool:
        """False: to be spared and not to be mirrored are one, and drawn by the step's own word."""
        return False

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``flip``: 1 where it happens, 0 where not."""
        return {"flip": happens(words[:, 0], self.probability).astype(np.float64)}


@register
@dataclass(frozen=True, kw_only=True)
class HorizontalFlip(_Flip):
    """Mirrors left and right."""

    name = "horizontal_flip"
    summary = "mirror left and right with a probability"

    def matrices(self, parameters: Parameters, canvas: Canvas) -> Matrices:
        """diag(±1, 1)."""
        return matrices(len(canvas.widths), xx=1.0 - 2.0 * parameters["flip"], yy=1.0)


@register
@dataclass(frozen=True, kw_only=True)
class VerticalFlip(_Flip):
    """Mirrors top and bottom."""

    name = "vertical_flip"
    summary = "mirror top and bottom with a probability"

    def matrices(self, parameters: Parameters, canvas: Canvas) -> Matrices:
        """diag(1, ±1)."""
        return matrices(len(canvas.widths), xx=1.0, yy=1.0 - 2.0 * parameters["flip"])


@register
@dataclass(frozen=True, kw_only=True)
class Crop(Geometric):
    """Cuts a window of fixed size, at a drawn or at the central place.

    A window larger than the image is allowed: the border mode fills what lies outside.
    """

    name = "crop"
    summary = "cut a window of fixed size, at a drawn place or at the centre"
    num_words = 4

    height: int
    """In pixels, at least 1."""
    width: int
    """In pixels, at least 1."""
    place: str = "drawn"
    """``drawn`` or ``centre``."""

    def check(self) -> None:
        """Checks size and place."""
        for option in ("height", "width"):
            require_size(self, option)
        good = self.place in ("drawn", "centre")
        require(good, self, "place", "'drawn' or 'centre'", self.place)

    def words_needed(self) -> int:
        """None for a central crop."""
        return self.num_words if self.place == "drawn" else 0

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``left_px`` and ``top_px``, whole pixels."""
        spare_x, spare_y = canvas.widths - self.width, canvas.heights - self.height
        if self.place == "centre":
            left, top = spare_x // 2, spare_y // 2
        else:
            left, top = _within(words[:, :2], spare_x), _within(words[:, 2:], spare_y)
        return {"left_px": left.astype(np.float64), "top_px": top.astype(np.float64)}

    def matrices(self, parameters: Parameters, canvas: Canvas) -> Matrices:
        """A translation from the window's centre to the image's."""
        shift_x = parameters["left_px"] + (self.width - canvas.widths) * 0.5
        shift_y = parameters["top_px"] + (self.height - canvas.heights) * 0.5
        return matrices(len(shift_x), xx=1.0, yy=1.0, xt=shift_x, yt=shift_y)

    def canvas_after(self, canvas: Canvas) -> Canvas:
        """The window's size."""
        return canvas.resized(self.height, self.width)


@register
@dataclass(frozen=True, kw_only=True)
class ResizedCrop(Geometric):
    """Cuts a window of drawn area and aspect and scales it to a fixed size.

    Szegedy et al., "Going deeper with convolutions" (CVPR 2015), section 6: area a fraction of the
    image's, aspect log-uniform. Two things differ here. The aspect is drawn uniformly between its
    ends on either side of 1 by a fair coin, which needs no logarithm. And a window that does not
    fit is cut at the image's sides instead of drawn again, so that the number of words is fixed:
    large areas come out smaller and other aspects than drawn. With the defaults that happens to
    15 % of the windows of a square image, whose mean area becomes 0.533 instead of 0.540, and to
    26 % of those of a 4:3 image, with 0.518.

    An axis that is reduced by more than 1.5 is prefiltered by halving, each axis on its own.
    """

    name = "resized_crop"
    summary = "cut a window of drawn area and aspect, scaled to a fixed size"
    num_words = 5
    resamples_area = True

    height: int
    """Of the result, in pixels."""
    width: int
    """Of the result, in pixels."""
    area: tuple[float, float] = (0.08, 1.0)
    """Interval of the window's area as a fraction of the image's, within (0, 1]."""
    aspect_max: float = 4 / 3
    """Widest width-to-height ratio, at least 1; the tallest is its inverse."""

    def check(self) -> None:
        """Checks size, area and aspect."""
        for option in ("height", "width"):
            require_size(self, option)
        area = as_interval(self.area, None)
        good = area is not None and area[0] > 0 and area[1] <= 1
        require(good, self, "area", "[low, high] within (0, 1]", self.area)
        object.__setattr__(self, "area", tuple(self.area))
        good = finite_number(self.aspect_max) and 1 <= self.aspect_max <= 100
        require(good, self, "aspect_max", "a number in [1, 100]", self.aspect_max)

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """The window: ``left_px``, ``top_px``, ``width_px``, ``height_px``, fractions of pixels."""
        wide, high = canvas.widths.astype(np.float64), canvas.heights.astype(np.float64)
        area = uniform(words[:, 0], *self.area) * wide * high
        stretch = uniform(words[:, 1], 1.0, self.aspect_max)
        aspect = np.where(happens(words[:, 2], 0.5), stretch, 1.0 / stretch)
        width = np.minimum(np.sqrt(area * aspect), wide)
        height = np.minimum(np.sqrt(area / aspect), high)
        return {
            "left_px": uniform(words[:, 3], 0.0, 1.0) * (wide - width),
            "top_px": uniform(words[:, 4], 0.0, 1.0) * (high - height),
            "width_px": width,
            "height_px": height,
        }

    def matrices(self, parameters: Parameters, canvas: Canvas) -> Matrices:
        """Scale to the window, then move from its centre to the image's."""
        width, height = parameters["width_px"], parameters["height_px"]
        return matrices(
            len(width),
            xx=width / self.width,
            xt=parameters["left_px"] + (width - canvas.widths) * 0.5,
            yy=height / self.height,
            yt=parameters["top_px"] + (height - canvas.heights) * 0.5,
        )

    def canvas_after(self, canvas: Canvas) -> Canvas:
        """The result's size."""
        return canvas.resized(self.height, self.width)

    def shrink(self, parameters: Parameters, canvas: Canvas) -> NDArray[np.float64]:
        """Each axis' own reduction, so that a prefilter never blurs an axis that grows."""
        across = parameters["width_px"] / self.width
        return np.stack([across, parameters["height_px"] / self.height], axis=1)


def _within(words: Words, spare: NDArray[np.int64]) -> NDArray[np.int64]:
    """A whole number between 0 and ``spare`` (either sign), both ends included."""
    return choose(words, np.abs(spare) + 1) * np.where(spare < 0, -1, 1)


def require_size(owner: Transform, option: str) -> None:
    """Checks a size in pixels."""
    value = getattr(owner, option)
    good = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 16384
    require(good, owner, option, "a whole number of pixels in [1, 16384]", value)
