"""What may be said against single steps that change colours, tables, rectangles and neighbours.

`pipelines.diagnosis` asks; it has the checks of the fused vocabulary itself.
"""

from collections.abc import Callable, Iterator
from typing import Any

from pipelines.colour import ColourJitter, Grey, Hue, Saturation
from pipelines.composition import OneOf, Sequence
from pipelines.facts import HALF_LEVEL, Complaint, Facts, idle
from pipelines.histogram import Autocontrast, Equalize
from pipelines.mixing import Cutmix, Mixup
from pipelines.neighbourhood import GaussianBlur, Sharpness
from pipelines.occlusion import Cutout, Erasing
from pipelines.photometric import Invert, Posterize, Solarize
from pipelines.transform import Transform

Check = Callable[[Any, Facts], Iterator[Complaint]]

_MUCH_HIDDEN = 0.5
"""From this fraction of the image on, the object may be hidden altogether."""
_FEWEST_BITS = 2
"""Below, images are black and white in each channel."""
_STRONG_BLUR = 0.1
"""Of the shorter side: twice as far to either side, little but a shade is left."""
_SLIGHT_MIXING = 4.0
"""From this alpha on, nearly all images are mixed half and half."""


def _whole_levels(change: float) -> bool:
    """Whether a change of a factor shows at the largest level."""
    return abs(change) * 255 >= HALF_LEVEL


def _always(step: Transform, facts: Facts) -> bool:
    """Whether every image gets a step."""
    return step.probability == 1 and not facts.for_some


def _needs_colour(facts: Facts, what: str) -> Iterator[Complaint]:
    if facts.channels is not None and facts.channels < 3:
        message = f"{what} has no meaning for images of {facts.channels} channel(s): they stay"
        yield "error", message, "leave it out, or read the images in colour"


def _grey(step: Grey, facts: Facts) -> Iterator[Complaint]:
    yield from _needs_colour(facts, "grey")
    if _always(step, facts):
        message = "every copy loses its colour"
        yield "question", message, "give it a probability below 1, or read the images as grey"


def _saturation(step: Saturation, facts: Facts) -> Iterator[Complaint]:
    yield from _needs_colour(facts, "saturation")
    if not any(_whole_levels(factor - 1) for factor in step.factor):
        yield idle("factor", list(step.factor), "no level changes by half a level")


def _hue(step: Hue, facts: Facts) -> Iterator[Complaint]:
    yield from _needs_colour(facts, "hue")
    if step.max_deg == 0:
        yield idle("max_deg", step.max_deg, "no angle but 0 is drawn")


def _colour_jitter(step: ColourJitter, facts: Facts) -> Iterator[Complaint]:
    factors = {name: getattr(step, name) for name in ("brightness", "contrast", "saturation")}
    changing = [n for n, f in factors.items() if any(_whole_levels(one - 1) for one in f)]
    if not changing and step.hue_max_deg == 0:
        yield idle("colour_jitter", "its defaults", "all factors are 1 and the angle is 0")
    if "saturation" in changing or step.hue_max_deg > 0:
        yield from _needs_colour(facts, "saturation or hue")


def _equalize(step: Equalize, facts: Facts) -> Iterator[Complaint]:
    if _always(step, facts):
        message = "every copy is equalized, but images that nobody augments are not"
        yield "question", message, "give it a probability below 1, or equalize the source"


def _autocontrast(step: Autocontrast, facts: Facts) -> Iterator[Complaint]:
    if _always(step, facts) and step.cutoff_percent[0] == step.cutoff_percent[1]:
        message = "every copy is stretched alike, but images that nobody augments are not"
        yield "question", message, "give it a probability below 1, or stretch the source"


def _invert(step: Invert, facts: Facts) -> Iterator[Complaint]:
    if _always(step, facts):
        message = "every copy is a negative, but images that nobody augments are not"
        yield "question", message, "give it a probability below 1"


def _posterize(step: Posterize, _facts: Facts) -> Iterator[Complaint]:
    if step.bits == (8, 8):
        yield idle("bits", list(step.bits), "a level has 8 bits")
    elif step.bits[0] < _FEWEST_BITS:
        message = f"bits = {list(step.bits)} leaves two levels of some images"
        yield "warning", message, f"keep at least {_FEWEST_BITS} bits"


def _solarize(step: Solarize, _facts: Facts) -> Iterator[Complaint]:
    low, high = step.threshold
    if low > 255:
        yield idle("threshold", [low, high], "no level is above 255")
    elif high == 0:
        message = "every level is inverted, always"
        yield "question", message, "use invert with a probability, or raise the threshold"


def _sharpness(step: Sharpness, facts: Facts) -> Iterator[Complaint]:
    if not any(_whole_levels(factor - 1) for factor in step.factor):
        yield idle("factor", list(step.factor), "no level changes by half a level")
    if facts.smallest and min(facts.smallest) < 3:
        yield idle("factor", list(step.factor), "some images are nothing but outermost pixels")


def _gaussian_blur(step: GaussianBlur, facts: Facts) -> Iterator[Complaint]:
    high = step.sigma_px[1]
    if high < 0.2:
        yield idle("sigma_px", list(step.sigma_px), "neighbours have no weight below 0.2 pixels")
    elif facts.smallest and high > _STRONG_BLUR * min(facts.smallest):
        message = f"sigma_px = {high:g} blurs an image of {min(facts.smallest)} pixels to a shade"
        yield "warning", message, f"stay below {_STRONG_BLUR * min(facts.smallest):g} pixels"


def _levels(step: Erasing | Cutout, facts: Facts) -> Iterator[Complaint]:
    levels = step.level if isinstance(step.level, tuple) else (step.level,)
    if step.fill == "constant" and facts.channels is not None:
        if len(levels) not in (1, facts.channels):
            message = f"level names {len(levels)} levels, the images have {facts.channels} channels"
            yield "error", message, "give one level, or one for each channel"
    elif step.fill != "constant" and any(levels):
        message = f"level = {step.level} is never seen: the fill is {step.fill!r}"
        yield "warning", message, 'set fill = "constant", or remove the level'


def _erasing(step: Erasing, facts: Facts) -> Iterator[Complaint]:
    yield from _levels(step, facts)
    if step.area[1] > _MUCH_HIDDEN:
        message = f"area = {list(step.area)} hides up to {step.area[1]:.0%} of the image"
        yield "warning", message, f"stay below {_MUCH_HIDDEN:g}, so that the object stays in view"


def _cutout(step: Cutout, facts: Facts) -> Iterator[Complaint]:
    yield from _levels(step, facts)
    if not facts.smallest:
        return
    height, width = facts.smallest
    side = step.size * min(height, width) if step.size < 1 else step.size
    share = step.holes * min(side, height) * min(side, width) / (height * width)
    if share > _MUCH_HIDDEN:
        message = f"{step.holes} square(s) of {side:.0f} pixels hide up to {min(share, 1):.0%}"
        yield "warning", message + " of the smallest image", "hide less"


def _mixing(step: Mixup | Cutmix, _facts: Facts) -> Iterator[Complaint]:
    if step.alpha >= _SLIGHT_MIXING:
        message = f"alpha = {step.alpha:g} mixes nearly all images half and half"
        yield "question", message, "the papers take 0.2 to 1"


def _one_of(step: OneOf, _facts: Facts) -> Iterator[Complaint]:
    for number, (inner, weight) in enumerate(
        zip(step.steps, step.weights or (1,) * len(step.steps), strict=True), start=1
    ):
        if weight == 0:
            why = f"step {number} ({inner.name}) is never chosen"
            yield idle("weights", list(step.weights or ()), why)
    if len(step.steps) == 1:
        message = "there is one step to choose from: it always happens"
        yield "warning", message, "add steps, or take it out of the one_of"


def _sequence(_step: Sequence, _facts: Facts) -> Iterator[Complaint]:
    """Nothing can be said against a sequence but against its steps."""
    yield from ()


OBJECTIONS: tuple[tuple[Any, Check], ...] = (
    (Autocontrast, _autocontrast),
    (ColourJitter, _colour_jitter),
    (Cutout, _cutout),
    (Equalize, _equalize),
    (Erasing, _erasing),
    (GaussianBlur, _gaussian_blur),
    (Grey, _grey),
    (Hue, _hue),
    (Invert, _invert),
    (Mixup | Cutmix, _mixing),
    (OneOf, _one_of),
    (Posterize, _posterize),
    (Saturation, _saturation),
    (Sequence, _sequence),
    (Sharpness, _sharpness),
    (Solarize, _solarize),
)
"""Which transforms have which checks."""
