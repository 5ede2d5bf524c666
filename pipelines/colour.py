"""Steps that mix the channels of a pixel: grey, saturation, hue, and all of a colour jitter.

They act on finished images, for another channel is no function of a level. Images of one or two
channels have no colour and stay as they are; a fourth channel, alpha, stays too.
"""

# ruff: noqa: ARG002  (the signatures are those of `Transform`)

from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.chroma import SECTOR, jitter, saturate, turn_hue
from pipelines.randomness import Words, choose, uniform
from pipelines.transform import (
    Canvas,
    Parameters,
    Values,
    WholeImage,
    as_interval,
    finite_number,
    register,
    require,
)

ORDERS = np.array(list(permutations(range(4))), dtype=np.int64)
"""(24, 4) the orders of a colour jitter's changes, in lexical order of their places."""
_SECTORS_PER_DEG = SECTOR / 60.0


@register
@dataclass(frozen=True, kw_only=True)
class Grey(WholeImage):
    """Gives every channel the grey of the pixel.

    Pillow's ``convert("L")``, byte for byte: (19595 R + 38470 G + 7471 B + 32768) >> 16. The image
    keeps its channels, as torchvision's ``RandomGrayscale`` does; on tensors torchvision drops the
    fraction, which is one level less at most.
    """

    name = "grey"
    summary = "take the colour out, keeping the channels"
    num_words = 0

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """Nothing."""
        return {}

    def run(self, images: NDArray[Any], parameters: Parameters, *, plain: bool) -> None:
        """The image without saturation."""
        saturate(images, np.zeros(len(images), np.float32), plain=plain)


@register
@dataclass(frozen=True, kw_only=True)
class Saturation(WholeImage):
    """Blends with the grey image by a factor: 0 is grey, 1 the image, 2 twice as colourful.

    Pillow's ``ImageEnhance.Color``, byte for byte, which torchvision's ``adjust_saturation`` is on
    Pillow images; up to factor 3 its tensors are within 2 levels.
    """

    name = "saturation"
    summary = "make colours paler or stronger by a factor from [low, high]"
    num_words = 1

    factor: tuple[float, float]
    """[low, high] within [0, 16]."""

    def check(self) -> None:
        """Checks the factor."""
        _require_factor(self, "factor", self.factor)

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``factor`` in [low, high)."""
        return {"factor": uniform(words[:, 0], *self.factor)}

    def run(self, images: NDArray[Any], parameters: Parameters, *, plain: bool) -> None:
        """Blends."""
        saturate(images, parameters["factor"].astype(np.float32), plain=plain)


@register
@dataclass(frozen=True, kw_only=True)
class Hue(WholeImage):
    """Turns the colour circle by an angle drawn from [-max_deg, max_deg); 120° make red green.

    Hue, saturation and value are those of Smith, "Color gamut transform pairs" (SIGGRAPH 1978).
    Saturation and value stay, so only the middle one of a pixel's channels changes its level; it is
    computed with integers and rounded once: within 0.51 levels of the exact value, the angle being
    kept in units of 60° / 2**16. Torchvision on Pillow images goes through 8-bit HSV instead, which
    changes images even at 0°; its result lies within 14 levels of this one, at angles of whole
    255ths of the circle, which are all it has. On tensors, in single precision, it is within one
    level at any angle.
    """

    name = "hue"
    summary = "turn the colour circle by up to max_deg degrees either way"
    num_words = 1

    max_deg: float
    """In [0, 180]; torchvision's 0.5 is 180."""

    def check(self) -> None:
        """Checks max_deg."""
        _require_angle(self, "max_deg", self.max_deg)

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``angle_deg`` in [-max_deg, max_deg)."""
        return {"angle_deg": uniform(words[:, 0], -self.max_deg, self.max_deg)}

    def run(self, images: NDArray[Any], parameters: Parameters, *, plain: bool) -> None:
        """Turns."""
        turn_hue(images, _turns(parameters["angle_deg"]), plain=plain)


@register
@dataclass(frozen=True, kw_only=True)
class ColourJitter(WholeImage):
    """Changes brightness, contrast, saturation and hue, in an order drawn for each image.

    torchvision's ``ColorJitter`` on Pillow images: brightness against black, contrast against the
    image's mean grey, saturation against its grey, each ``ImageEnhance``'s byte for byte, whole
    levels between them; the hue is that of the step `hue`. Here every image draws its own factors
    and its own order (torchvision: one of each for a batch of tensors). The steps `brightness` and
    `contrast` are another thing: they fuse, and `contrast` turns about mid grey.
    """

    name = "colour_jitter"
    summary = "brightness, contrast, saturation and hue by drawn amounts in a drawn order"
    num_words = 6

    brightness: tuple[float, float] = (1.0, 1.0)
    """Factor from [low, high] within [0, 16]; torchvision's 0.4 is [0.6, 1.4]."""
    contrast: tuple[float, float] = (1.0, 1.0)
    """Factor from [low, high] within [0, 16]."""
    saturation: tuple[float, float] = (1.0, 1.0)
    """Factor from [low, high] within [0, 16]."""
    hue_max_deg: float = 0.0
    """The hue turns by [-hue_max_deg, hue_max_deg), in [0, 180]."""

    def check(self) -> None:
        """Checks the three factors and the angle."""
        for option in ("brightness", "contrast", "saturation"):
            _require_factor(self, option, getattr(self, option))
        _require_angle(self, "hue_max_deg", self.hue_max_deg)

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """Three factors, ``hue_deg``, and ``order``: a row of `ORDERS`."""
        return {
            "brightness": uniform(words[:, 0], *self.brightness),
            "contrast": uniform(words[:, 1], *self.contrast),
            "saturation": uniform(words[:, 2], *self.saturation),
            "hue_deg": uniform(words[:, 3], -self.hue_max_deg, self.hue_max_deg),
            "order": choose(words[:, 4:6], len(ORDERS)).astype(np.float64),
        }

    def run(self, images: NDArray[Any], parameters: Parameters, *, plain: bool) -> None:
        """All four, in their order."""
        names = ("brightness", "contrast", "saturation")
        factors = np.stack([parameters[name] for name in names], axis=1).astype(np.float32)
        orders = ORDERS[parameters["order"].astype(np.int64)]
        jitter(images, factors, _turns(parameters["hue_deg"]), orders, plain=plain)


def _turns(angles_deg: Values) -> NDArray[np.int64]:
    """Angles in [-180, 180] as whole units in [0, 6 · SECTOR), rounded half up."""
    whole = np.floor(angles_deg * _SECTORS_PER_DEG + 0.5).astype(np.int64)
    return whole % (6 * SECTOR)


def _require_factor(owner: WholeImage, option: str, value: object) -> None:
    interval = as_interval(value, None)
    good = interval is not None and interval[0] >= 0 and interval[1] <= 16
    require(good, owner, option, "[low, high] within [0, 16]", value)
    object.__setattr__(owner, option, interval)


def _require_angle(owner: WholeImage, option: str, value: object) -> None:
    good = finite_number(value) and 0 <= float(value) <= 180  # type: ignore[arg-type]
    require(good, owner, option, "a number in [0, 180]", value)
