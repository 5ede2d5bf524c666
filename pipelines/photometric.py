"""Steps that change values where they are.

Linear steps fold into one gain and bias, the rest into one table. Values are thought of in [0, 255]
whatever the image's dtype. Two of these steps exist twice, because Keras defines them differently
from what a user would expect; the Keras forms carry its name.
"""

# ruff: noqa: ARG002  (the signatures are those of `Transform`)

from dataclasses import dataclass

import numpy as np

from pipelines.exponential import powers_of_levels
from pipelines.randomness import Words, choose, uniform
from pipelines.transform import (
    Canvas,
    Linear,
    Parameters,
    Photometric,
    Table,
    Tone,
    as_interval,
    finite_number,
    register,
    require,
)


@dataclass(frozen=True, kw_only=True)
class _ChannelShift(Photometric):
    """The drawing that the two channel shifts share."""

    num_words = 1

    by: float
    """Levels out of 255: the shift is drawn from [-by, by) and added to every channel."""

    def check(self) -> None:
        """Checks ``by``."""
        good = finite_number(self.by) and 0 <= self.by <= 255
        require(good, self, "by", "a number of levels in [0, 255]", self.by)

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``shift_levels`` in [-by, by)."""
        return {"shift_levels": uniform(words[:, 0], -self.by, self.by)}

    def tone(self, parameters: Parameters) -> Tone:
        """The value plus the shift."""
        shift = parameters["shift_levels"]
        return Linear(gain=np.ones_like(shift), bias=shift)


@register
@dataclass(frozen=True, kw_only=True)
class ChannelShift(_ChannelShift):
    """Adds one drawn value to all channels and clips to [0, 255]."""

    name = "channel_shift"
    summary = "add up to ±by levels to all channels, clipped to [0, 255]"


@register
@dataclass(frozen=True, kw_only=True)
class KerasChannelShift(_ChannelShift):
    """Adds one drawn value to all channels and clips to the image's own extremes.

    The extremes are those of the moved image over all channels, border fill included, as
    `apply_channel_shift` of Keras has it. It must come after every geometric step but flips, and
    before every other photometric step.
    """

    name = "keras_channel_shift"
    summary = "add up to ±by levels, clipped to the image's own range (Keras)"
    clips_to_image_range = True


@dataclass(frozen=True, kw_only=True)
class _Factor(Photometric):
    """The drawing that brightness and contrast share."""

    num_words = 1

    factor: tuple[float, float]
    """[low, high] within [0, 16]."""

    def check(self) -> None:
        """Checks the factor."""
        _require_interval(self, "factor", self.factor, 0, 16)

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``factor`` in [low, high)."""
        return {"factor": uniform(words[:, 0], *self.factor)}


@register
@dataclass(frozen=True, kw_only=True)
class Brightness(_Factor):
    """Multiplies by a factor; rounds once, at the end."""

    name = "brightness"
    summary = "multiply by a factor from [low, high]"

    def tone(self, parameters: Parameters) -> Tone:
        """The value times the factor."""
        factor = parameters["factor"]
        return Linear(gain=factor, bias=np.zeros_like(factor))


@register
@dataclass(frozen=True, kw_only=True)
class KerasBrightness(Brightness):
    """Multiplies by a factor as Keras does: whole levels in, fractions dropped after.

    `apply_brightness_shift` of Keras converts to 8 bit by truncation, multiplies in single
    precision and truncates again (Pillow's ``ImageEnhance.Brightness``). A fourth channel, alpha,
    is only truncated.
    """

    name = "keras_brightness"
    summary = "multiply by a factor, truncating before and after (Keras)"
    truncates = True

    def tone(self, parameters: Parameters) -> Tone:
        """A table, in Pillow's single precision."""
        factor = parameters["factor"].astype(np.float32)
        scaled = factor[:, None] * np.arange(256, dtype=np.float32)
        return Table(np.trunc(np.clip(scaled, 0, 255)).astype(np.float64))


@register
@dataclass(frozen=True, kw_only=True)
class Contrast(_Factor):
    """Spreads values about mid grey (127.5) by a factor.

    Mid grey is fixed, as in Albumentations; Pillow and torchvision turn about the image's mean
    grey, which would need a pass over the pixels first.
    """

    name = "contrast"
    summary = "spread about mid grey by a factor from [low, high]"

    def tone(self, parameters: Parameters) -> Tone:
        """The distance from 127.5 times the factor."""
        factor = parameters["factor"]
        return Linear(gain=factor, bias=127.5 * (1.0 - factor))


@register
@dataclass(frozen=True, kw_only=True)
class Gamma(Photometric):
    """Raises value / 255 to a power."""

    name = "gamma"
    summary = "raise values to a power from [low, high]"
    num_words = 1

    power: tuple[float, float]
    """[low, high] within [0.1, 10]."""

    def check(self) -> None:
        """Checks the power."""
        _require_interval(self, "power", self.power, 0.1, 10)

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``power`` in [low, high)."""
        return {"power": uniform(words[:, 0], *self.power)}

    def tone(self, parameters: Parameters) -> Tone:
        """255 · (level / 255) ** power, as a table."""
        return Table(255.0 * powers_of_levels(parameters["power"]))


@register
@dataclass(frozen=True, kw_only=True)
class Invert(Photometric):
    """Turns every level into 255 − level, of all channels.

    Pillow's ``ImageOps.invert``, byte for byte.
    """

    name = "invert"
    summary = "exchange dark and light"
    num_words = 0

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """Nothing."""
        return {}

    def tone(self, parameters: Parameters) -> Tone:
        """One table for all images."""
        return Table(255.0 - np.arange(256.0)[None])


@register
@dataclass(frozen=True, kw_only=True)
class Posterize(Photometric):
    """Keeps the highest bits of every level, of all channels.

    Pillow's ``ImageOps.posterize``, byte for byte.
    """

    name = "posterize"
    summary = "keep only the highest bits of every level"
    num_words = 2

    bits: tuple[int, int]
    """[low, high] within [1, 8], both included: how many bits stay."""

    def check(self) -> None:
        """Checks the bits."""
        _require_interval(self, "bits", self.bits, 1, 8)
        low, high = self.bits
        good = low == int(low) and high == int(high)
        require(good, self, "bits", "[low, high], whole numbers within [1, 8]", self.bits)
        object.__setattr__(self, "bits", (int(low), int(high)))

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``bits``: a whole number in [low, high]."""
        low, high = self.bits
        return {"bits": (low + choose(words, high - low + 1)).astype(np.float64)}

    def tone(self, parameters: Parameters) -> Tone:
        """The level with its lower bits cleared, as a table."""
        dropped = 8 - parameters["bits"].astype(np.int64)[:, None]
        return Table(((np.arange(256) >> dropped) << dropped).astype(np.float64))


@register
@dataclass(frozen=True, kw_only=True)
class Solarize(Photometric):
    """Turns every level from a threshold on into 255 − level, of all channels.

    Pillow's ``ImageOps.solarize``, byte for byte.
    """

    name = "solarize"
    summary = "exchange dark and light from a threshold on"
    num_words = 1

    threshold: tuple[float, float]
    """[low, high] within [0, 256]: the lowest level that is changed; at 256 none is."""

    def check(self) -> None:
        """Checks the threshold."""
        _require_interval(self, "threshold", self.threshold, 0, 256)

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``threshold_levels`` in [low, high)."""
        return {"threshold_levels": uniform(words[:, 0], *self.threshold)}

    def tone(self, parameters: Parameters) -> Tone:
        """The levels, light ones inverted, as a table."""
        levels = np.arange(256.0)
        is_light = levels >= parameters["threshold_levels"][:, None]
        return Table(np.where(is_light, 255.0 - levels, levels))


def _require_interval(
    owner: Photometric, option: str, value: object, low: float, high: float
) -> None:
    interval = as_interval(value, None)
    good = interval is not None and low <= interval[0] and interval[1] <= high
    require(good, owner, option, f"[low, high] within [{low}, {high}]", value)
    object.__setattr__(owner, option, interval)
