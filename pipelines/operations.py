"""The operations that policies choose from, as three steps: what moves, what tones, what is left.

An operation is a number, and how much of it a signed level on a policy's scale. Moves are one
matrix and tones one table, so that both fuse with what stands before and after them; the rest needs
finished images. These steps stand in no pipeline file: policies make them, and draw as little as
they can, for drawn words are stored with every image.

The definitions are those of torchvision 0.28 on Pillow images
(``torchvision.transforms.autoaugment``), which follow AutoAugment (Cubuk et al., CVPR 2019,
table 6).
"""

# ruff: noqa: ARG002  (the signatures are those of `Transform`)

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.affine import Matrices, cosine_sine, matrices
from pipelines.chroma import jitter, saturate
from pipelines.contract import Batch
from pipelines.filtering import sharpen
from pipelines.histogram import Autocontrast, Equalize
from pipelines.randomness import Words
from pipelines.transform import (
    Canvas,
    Container,
    Geometric,
    Parameters,
    Photometric,
    Table,
    Tone,
    Transform,
    Values,
    WholeImage,
)

Numbers = NDArray[np.int64]
"""(n,) whole numbers, one for each image."""

OPERATIONS = ("shear_x", "shear_y", "shift_x", "shift_y", "rotate", "brightness", "posterize",
              "solarize", "saturation", "contrast", "sharpness", "autocontrast", "equalize",
              "identity")  # fmt: skip
"""Their names; a drawn operation is a place in here."""
(SHEAR_X, SHEAR_Y, SHIFT_X, SHIFT_Y, ROTATE, BRIGHTNESS, POSTERIZE, SOLARIZE, SATURATION, CONTRAST,
 SHARPNESS, AUTOCONTRAST, EQUALIZE, IDENTITY) = range(len(OPERATIONS))  # fmt: skip
MOVES = range(SHEAR_X, BRIGHTNESS)
TONES = range(BRIGHTNESS, SATURATION)
FINISHES = range(SATURATION, IDENTITY)
_GROUPS = (MOVES, TONES, FINISHES)
_CONTRAST_FIRST = np.array([1, 0, 2, 3], np.int64)
"""An order of a colour jitter, whose other changes are idle here."""
_IDLE = {"saturation": 1, "contrast": 1, "sharpness": 1, "autocontrast": 0, "equalize": 0}
"""The parameters of a finish, at which it leaves an image as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of each operation the highest level is, and which levels are drawn.

    Levels are whole numbers from 0, where most operations do nothing, to the highest; in between
    everything grows in proportion.
    """

    highest: int
    """At least 1."""
    drawn: tuple[int, int]
    """The lowest and the highest level that is drawn, within [0, highest]."""
    shear: float
    """Pixels sideways for each pixel downward, and the other way round."""
    shift: tuple[int, int]
    """A fraction, numerator and denominator: of the side, or of one pixel."""
    shifts_by_side: bool
    angle_deg: float
    factor: float
    """How far from 1 the factors of brightness, saturation, contrast and sharpness are."""
    bits: tuple[int, int]
    """How many bits a posterized level keeps at level 0, and how many fewer at the highest."""

    @property
    def num_levels(self) -> int:
        """How many levels are drawn."""
        return self.drawn[1] - self.drawn[0] + 1

    def level(self, number: Numbers) -> Numbers:
        """A signed level from a number in [0, 2 · num_levels)."""
        size, is_negative = np.divmod(number, 2)
        return (size + self.drawn[0]) * np.where(is_negative, -1, 1)


@dataclass(frozen=True, kw_only=True)
class _Operations(Transform):
    """What the three steps share."""

    num_words = 1

    scale: Scale

    def _drawn(self, words: Words, group: range) -> tuple[Numbers, Numbers]:
        """An operation of a group and its signed level, all equally often."""
        number = picked(words[:, 0], len(group) * 2 * self.scale.num_levels)
        operation, rest = np.divmod(number, 2 * self.scale.num_levels)
        return operation + group.start, self.scale.level(rest)


@dataclass(frozen=True, kw_only=True)
class PolicyMove(_Operations, Geometric):
    """Shears, shifts or turns; the half pixel around the image belongs to it, as in Pillow.

    Shears leave the upper left corner where it is, turns the centre. Shifts are whole pixels,
    rounded towards 0.
    """

    name = "move"
    summary = "shear, shift or turn"
    resamples_area = True

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """See `parameters`."""
        return self.parameters(*self._drawn(words, MOVES), canvas)

    def parameters(self, operation: Numbers, level: Numbers, canvas: Canvas) -> Parameters:
        """``shear_x``, ``shear_y``, ``shift_x_px``, ``shift_y_px`` and ``angle_deg``; one counts.

        Shifts are how far the window moves right and down.
        """
        scale = self.scale
        share = level / scale.highest
        return {
            "shear_x": _where(operation, SHEAR_X, share * scale.shear),
            "shear_y": _where(operation, SHEAR_Y, share * scale.shear),
            "shift_x_px": _where(operation, SHIFT_X, self._shift(level, canvas.widths)),
            "shift_y_px": _where(operation, SHIFT_Y, self._shift(level, canvas.heights)),
            "angle_deg": _where(operation, ROTATE, share * scale.angle_deg),
        }

    def _shift(self, level: Numbers, side: Numbers) -> Values:
        """In integers: what is a whole number of pixels stays one."""
        above, below = self.scale.shift
        whole = np.abs(level) * above * (side if self.scale.shifts_by_side else 1)
        pixels: Values = (whole // (below * self.scale.highest) * np.sign(level)).astype(np.float64)
        return pixels

    def matrices(self, parameters: Parameters, canvas: Canvas) -> Matrices:
        """A turn about the centre, a shear about the corner, or a translation."""
        cs = cosine_sine(parameters["angle_deg"])
        shear_x, shear_y = parameters["shear_x"], parameters["shear_y"]
        return matrices(
            len(cs),
            xx=cs[:, 0],
            xy=shear_x - cs[:, 1],
            xt=parameters["shift_x_px"] + shear_x * canvas.heights * 0.5,
            yx=shear_y + cs[:, 1],
            yy=cs[:, 0],
            yt=parameters["shift_y_px"] + shear_y * canvas.widths * 0.5,
        )


@dataclass(frozen=True, kw_only=True)
class PolicyTone(_Operations, Photometric):
    """Changes the brightness as Pillow does, posterizes or solarizes; all channels."""

    name = "tone"
    summary = "brightness, posterize or solarize"

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """See `parameters`."""
        return self.parameters(*self._drawn(words, TONES))

    def parameters(self, operation: Numbers, level: Numbers) -> Parameters:
        """``brightness``, a factor, ``bits`` and ``threshold_levels``; one counts."""
        highest, size = self.scale.highest, np.abs(level)
        threshold = 255 * (highest - size) / highest
        return {
            "brightness": _where(operation, BRIGHTNESS, _factor(self.scale, level), 1.0),
            "bits": _where(operation, POSTERIZE, _bits(self.scale, size), 8.0),
            "threshold_levels": _where(operation, SOLARIZE, threshold, 256.0),
        }

    def tone(self, parameters: Parameters) -> Tone:
        """Tables of whole levels."""
        factor, bits = parameters["brightness"], parameters["bits"]
        threshold = parameters["threshold_levels"]
        whole = np.arange(256)
        levels = np.tile(whole.astype(np.float64), (len(factor), 1))
        rows = np.flatnonzero(factor != 1)
        scaled = factor[rows, None].astype(np.float32) * whole.astype(np.float32)
        levels[rows] = np.trunc(np.clip(scaled, 0, 255))
        rows = np.flatnonzero(bits < 8)
        dropped = 8 - bits[rows, None].astype(np.int64)
        levels[rows] = (whole >> dropped) << dropped
        rows = np.flatnonzero(threshold < 256)
        levels[rows] = np.where(whole >= threshold[rows, None], 255 - whole, whole)
        return Table(levels)


@dataclass(frozen=True, kw_only=True)
class PolicyFinish(_Operations, WholeImage):
    """Saturation, contrast about the mean grey, sharpness, autocontrast or equalize: Pillow's."""

    name = "finish"
    summary = "saturation, contrast, sharpness, autocontrast or equalize"

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """See `parameters`."""
        return self.parameters(*self._drawn(words, FINISHES))

    def parameters(self, operation: Numbers, level: Numbers) -> Parameters:
        """Three factors, and 1 or 0 for ``autocontrast`` and ``equalize``; one counts."""
        factor = _factor(self.scale, level)
        ones = np.ones(len(level))
        return {
            "saturation": _where(operation, SATURATION, factor, 1.0),
            "contrast": _where(operation, CONTRAST, factor, 1.0),
            "sharpness": _where(operation, SHARPNESS, factor, 1.0),
            "autocontrast": _where(operation, AUTOCONTRAST, ones),
            "equalize": _where(operation, EQUALIZE, ones),
        }

    def run(self, images: NDArray[Any], parameters: Parameters, *, plain: bool) -> None:
        """Each operation on the images that get it."""
        for name, idle in _IDLE.items():
            given = parameters[name]
            rows = np.flatnonzero(given != idle)
            if len(rows):
                some = images[rows]
                _change(name, some, given[rows].astype(np.float32), plain)
                images[rows] = some


@dataclass(frozen=True, kw_only=True)
class Policy(Container):
    """A container that makes its steps itself."""

    steps: tuple[Transform, ...] = field(init=False, repr=False, compare=False)
    """What the options amount to."""

    def make_steps(self) -> tuple[Transform, ...]:
        """The steps, from checked options."""
        raise NotImplementedError

    def check(self) -> None:
        """Makes the steps."""
        object.__setattr__(self, "steps", self.make_steps())
        super().check()

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """Nothing."""
        return {}

    def shows(self, number: int, parameters: Parameters) -> NDArray[np.bool_] | None:
        """None: all images get all steps."""
        return None

    def options(self) -> dict[str, Any]:
        """The options that differ from their defaults; steps are none."""
        return {name: v for name, v in Transform.options(self).items() if name != "steps"}


@dataclass(frozen=True, kw_only=True)
class OneOperation(Policy):
    """One of the fourteen operations, equally often."""

    name = "operation"
    summary = "one of fourteen operations"
    num_words = 1

    scale: Scale

    def make_steps(self) -> tuple[Transform, ...]:
        """Moves and tones first: together they fuse with what stands before."""
        scale = self.scale
        return PolicyMove(scale=scale), PolicyTone(scale=scale), PolicyFinish(scale=scale)

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``step``: the number of the step that happens, from 0; 3 for none."""
        operation = picked(words[:, 0], len(OPERATIONS))
        ends = [group.stop for group in _GROUPS]
        return {"step": np.searchsorted(ends, operation, side="right").astype(np.float64)}

    def shows(self, number: int, parameters: Parameters) -> NDArray[np.bool_]:
        """The images that get the step."""
        shown: NDArray[np.bool_] = parameters["step"] == number
        return shown


def picked(words: NDArray[np.uint32], num_choices: int) -> Numbers:
    """(n,) whole numbers in [0, num_choices), equally often within 2**-32.

    Args:
        words: (n,) uint32.
        num_choices: in [1, 2**31).
    """
    return ((words.astype(np.uint64) * np.uint64(num_choices)) >> np.uint64(32)).astype(np.int64)


def _where(operation: Numbers, wanted: int, values: Values, otherwise: float = 0.0) -> Values:
    return np.where(operation == wanted, values, otherwise)


def _factor(scale: Scale, level: Numbers) -> Values:
    factors: Values = 1.0 + level * scale.factor / scale.highest
    return factors


def _bits(scale: Scale, size: Numbers) -> Values:
    """Rounded to the nearest whole number, halves to the even one, in integers."""
    most, fewer = scale.bits
    whole, rest = np.divmod(2 * fewer * size + scale.highest, 2 * scale.highest)
    bits: Values = (most - np.where(rest == 0, whole - whole % 2, whole)).astype(np.float64)
    return bits


def _change(name: str, images: Batch, factors: NDArray[np.float32], plain: bool) -> None:
    """Runs one of the operations that need finished images on images that all get it."""
    count = len(images)
    if name == "saturation":
        saturate(images, factors, plain=plain)
    elif name == "contrast":
        three = np.ones((count, 3), np.float32)
        three[:, 1] = factors
        orders = np.tile(_CONTRAST_FIRST, (count, 1))
        jitter(images, three, np.zeros(count, np.int64), orders, plain=plain)
    elif name == "sharpness":
        sharpen(images, factors, plain=plain)
    elif name == "autocontrast":
        Autocontrast().run(images, {"cutoff_percent": np.zeros(count)}, plain=plain)
    else:
        Equalize().run(images, {}, plain=plain)
