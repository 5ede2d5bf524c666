"""Policies: a few operations out of fourteen, drawn for each image.

Both are containers whose steps follow from their options, so that what moves fuses with the moves
before it, and masks and boxes can be moved by the same matrix. What is drawn depends on nothing but
the image's address; libraries that draw once for a whole batch show a model fewer pictures.
"""

from dataclasses import dataclass

from pipelines.operations import OneOperation, Policy, Scale
from pipelines.transform import Transform, register, require

_MOST_OPS = 8
_MOST_BINS = 1001


@register
@dataclass(frozen=True, kw_only=True)
class RandAugment(Policy):
    """Some of fourteen operations, one after the other, all at one magnitude.

    Cubuk et al., "RandAugment: practical automated data augmentation with a reduced search space"
    (NeurIPS 2020), with operations, ranges and signs of torchvision's ``RandAugment`` on Pillow
    images: identity, shear_x, shear_y, translate_x, translate_y, rotate, brightness, colour
    (`saturation`), contrast (about the mean grey), sharpness, posterize, solarize, autocontrast,
    equalize; each with probability 1/14, with replacement. At the same draws, border ``constant``
    and interpolation ``nearest`` each operation gives torchvision's pixels, up to ties of
    coordinates and the single precision of its magnitudes.

    What differs: the border and the interpolation are the pipeline's (torchvision: black, nearest);
    an operation that moves fuses with what stands before it, so that the image is resampled once.
    At magnitude 0 only solarize (which blackens white), autocontrast and equalize change an image.
    Images of one or two channels have no colour to change.
    """

    name = "rand_augment"
    summary = "a few of fourteen operations at one magnitude, drawn for each image"
    num_words = 0

    num_ops: int = 2
    """How many operations, from 1 to 8."""
    magnitude: int = 9
    """Which of the magnitudes, from 0 to num_magnitude_bins - 1."""
    num_magnitude_bins: int = 31
    """Into how many magnitudes each range is divided, from 2 to 1001."""

    def check(self) -> None:
        """Checks the three numbers."""
        _require_whole(self, "num_ops", self.num_ops, 1, _MOST_OPS)
        _require_whole(self, "num_magnitude_bins", self.num_magnitude_bins, 2, _MOST_BINS)
        _require_whole(self, "magnitude", self.magnitude, 0, self.num_magnitude_bins - 1)
        super().check()

    def make_steps(self) -> tuple[Transform, ...]:
        """One container for each operation."""
        scale = Scale(
            highest=self.num_magnitude_bins - 1,
            drawn=(self.magnitude, self.magnitude),
            shear=0.3,
            shift=(150, 331),
            shifts_by_side=True,
            angle_deg=30.0,
            factor=0.9,
            bits=(8, 4),
        )
        return (OneOperation(scale=scale),) * self.num_ops


@register
@dataclass(frozen=True, kw_only=True)
class TrivialAugment(Policy):
    """One of fourteen operations at a drawn magnitude.

    Müller and Hutter, "TrivialAugment: tuning-free yet state-of-the-art data augmentation"
    (ICCV 2021), in the wide form of torchvision's ``TrivialAugmentWide`` on Pillow images: the
    operations of `rand_augment`, each with probability 1/14, in wider ranges, the magnitude one of
    31, all equally often. Shifts are in pixels, up to 32, whatever the image's size. What differs
    is what differs in `rand_augment`.
    """

    name = "trivial_augment"
    summary = "one of fourteen operations at a drawn magnitude"
    num_words = 0

    num_magnitude_bins: int = 31
    """Into how many magnitudes each range is divided, from 2 to 1001."""

    def check(self) -> None:
        """Checks the number."""
        _require_whole(self, "num_magnitude_bins", self.num_magnitude_bins, 2, _MOST_BINS)
        super().check()

    def make_steps(self) -> tuple[Transform, ...]:
        """One container."""
        highest = self.num_magnitude_bins - 1
        scale = Scale(
            highest=highest,
            drawn=(0, highest),
            shear=0.99,
            shift=(32, 1),
            shifts_by_side=False,
            angle_deg=135.0,
            factor=0.99,
            bits=(8, 6),
        )
        return (OneOperation(scale=scale),)


def _require_whole(owner: Transform, option: str, value: object, low: int, high: int) -> None:
    good = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    require(good, owner, option, f"a whole number in [{low}, {high}]", value)
