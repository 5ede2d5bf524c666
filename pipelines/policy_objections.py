"""What may be said against policies.

`pipelines.diagnosis` asks; it says nothing of the steps that a policy makes itself.
"""

from collections.abc import Callable, Iterator
from typing import Any

from pipelines.augmix import AugMix
from pipelines.facts import Complaint, Facts, idle
from pipelines.policies import RandAugment, TrivialAugment
from pipelines.transform import Transform

Check = Callable[[Any, Facts], Iterator[Complaint]]

_MANY_OPS = 4
"""From this number on, little is left of a picture at the usual magnitudes."""
_LARGEST_SHIFT_PX = 32
_LARGE_SHIFT = 0.5
"""From this fraction on, half of the picture may leave."""


def _policy(step: Transform, facts: Facts) -> Iterator[Complaint]:
    """What holds for both containers."""
    if facts.dtype != "uint8":
        message = f"{step.name} works on whole levels, the images are {facts.dtype}"
        yield "error", message, "store the images as uint8, or leave the step out"
    if facts.channels == 4:
        message = "brightness, posterize and solarize change the fourth channel like the others"
        yield "question", message, "leave alpha out, unless it is a colour"


def _rand_augment(step: RandAugment, facts: Facts) -> Iterator[Complaint]:
    yield from _policy(step, facts)
    if step.magnitude == 0:
        why = "but for solarize, autocontrast and equalize, every operation leaves the image"
        yield idle("magnitude", step.magnitude, why)
    if step.num_ops >= _MANY_OPS:
        message = f"{step.num_ops} operations one after the other leave little of a picture"
        yield "question", message, "the paper takes 1 to 3"


def _trivial_augment(step: TrivialAugment, facts: Facts) -> Iterator[Complaint]:
    yield from _policy(step, facts)
    if facts.smallest and min(facts.smallest) * _LARGE_SHIFT <= _LARGEST_SHIFT_PX:
        reach = f"shifts reach {_LARGEST_SHIFT_PX} pixels"
        message = f"{reach}, the smallest side has {min(facts.smallest)}"
        yield "question", message, "use rand_augment, whose shifts go by the size"
    if facts.characters:
        shown = ", ".join(facts.characters[:10])
        message = f"turning by up to 135° may make a 6 a 9; the classes are {shown}"
        yield "question", message, "use rand_augment, which turns by up to 30°"


def _augmix(step: AugMix, _facts: Facts) -> Iterator[Complaint]:
    if step.border != "constant" and step.level:
        message = f"level = {step.level:g} is never seen: the border is {step.border!r}"
        yield "warning", message, 'set border = "constant", or remove the level'
    if step.severity == 1:
        why = "but for posterize, solarize, autocontrast and equalize, every operation is idle"
        yield idle("severity", step.severity, why)


POLICY_OBJECTIONS: tuple[tuple[Any, Check], ...] = (
    (AugMix, _augmix),
    (RandAugment, _rand_augment),
    (TrivialAugment, _trivial_augment),
)
"""Which policies have which checks."""
