"""What is wrong with a pipeline for some data, said before anything is written.

Three severities. An *error* stops a build or ruins every image; a *warning* is a parameter that
does nothing or more than anyone wants; a *question* is a choice that only a person can judge, such
as mirroring letters. The data are told by plain values: this package reads no images from disk.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipelines.composition import OneOf
from pipelines.doubts import DOUBTS
from pipelines.exponential import powers_of_levels
from pipelines.facts import HALF_LEVEL, Complaint, Facts, Severity, idle
from pipelines.geometric import (
    Crop,
    HeightShift,
    HorizontalFlip,
    ResizedCrop,
    Rotation,
    Shear,
    VerticalFlip,
    WidthShift,
    Zoom,
)
from pipelines.keras_affine import KerasAffine
from pipelines.mixing import Mixing
from pipelines.objections import OBJECTIONS
from pipelines.operations import Policy
from pipelines.photometric import (
    Brightness,
    ChannelShift,
    Contrast,
    Gamma,
    Invert,
    KerasBrightness,
    KerasChannelShift,
    Posterize,
    Solarize,
)
from pipelines.pipeline import Pipeline
from pipelines.policy_objections import POLICY_OBJECTIONS
from pipelines.program import PREFILTER_FROM
from pipelines.resizing import Resize
from pipelines.transform import (
    Canvas,
    Container,
    Geometric,
    Transform,
    WholeImage,
    as_interval,
)

__all__ = ["Facts", "Finding", "diagnose"]

_ORDER: tuple[Severity, ...] = ("error", "warning", "question")
_LARGE_SHIFT = 0.5
"""From this fraction on, half of the picture may leave."""
_UPSAMPLING = 2.0
"""Beyond this, a resize invents most of its pixels."""
_MEAN_BRIGHTNESS = 0.15
"""How far the mean factor may lie from 1 before a data set gets visibly darker or lighter."""
_NEEDS_LEVELS = (
    Resize | Gamma | Invert | KerasBrightness | Posterize | Solarize | WholeImage | Mixing
)
"""Steps that have no meaning for float images."""
_READABLE_DEG = 45
"""Beyond this a 6 begins to be a 9."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong or doubtful."""

    severity: Severity
    where: str
    """The step or option, such as ``step 3 (zoom)``."""
    message: str
    advice: str


def diagnose(
    pipeline: Pipeline,
    *,
    sizes: Sequence[tuple[int, int]] = (),
    class_names: Sequence[str] = (),
    channels: int | None = None,
    dtype: str = "uint8",
) -> list[Finding]:
    """What is wrong with a pipeline for some data.

    Args:
        pipeline: the pipeline.
        sizes: the distinct (height, width) of the images before any resize; empty if unknown, which
            leaves out what depends on them.
        class_names: the classes' names; empty if there are none.
        channels: of every image; None if unknown.
        dtype: ``uint8`` or ``float32``.

    Returns:
        Findings, errors first, then in the order of the steps.
    """
    known = tuple((int(height), int(width)) for height, width in sizes)
    facts = Facts(known, tuple(class_names), channels, dtype)
    found = [Finding(s, where, m, a) for where, (s, m, a) in _complaints(pipeline, facts)]
    return sorted(found, key=lambda finding: _ORDER.index(finding.severity))


def _complaints(pipeline: Pipeline, facts: Facts) -> Iterator[tuple[str, Complaint]]:
    for complaint in _about_options(pipeline, facts):
        yield "pipeline", complaint
    for number, step in enumerate(pipeline.steps, start=1):
        yield from _about_step(step, f"step {number} ({step.name})", facts)
        facts = replace(facts, sizes=_sizes_after(step, facts))
    if len(facts.sizes) > 1:
        shown = ", ".join(f"{h}×{w}" for h, w in sorted(facts.sizes)[:3])
        message = f"the images end with {len(facts.sizes)} sizes ({shown} …), a shard has one"
        yield "pipeline", ("error", message, "start with a resize, or end with a crop")


def _about_step(step: Transform, where: str, facts: Facts) -> Iterator[tuple[str, Complaint]]:
    """What is wrong with a step, and with the steps in it."""
    if step.probability == 0:
        yield where, idle("probability", step.probability, "it never happens")
        return
    takes_floats = isinstance(step, WholeImage) and step.works_on_floats
    if facts.dtype != "uint8" and isinstance(step, _NEEDS_LEVELS) and not takes_floats:
        message = f"{step.name} works on whole levels, the images are {facts.dtype}"
        yield where, ("error", message, "store the images as uint8, or leave the step out")
    for kind, look in _CHECKS:
        if isinstance(step, kind):
            yield from ((where, complaint) for complaint in look(step, facts))
    if isinstance(step, Container) and not isinstance(step, Policy):  # sizes stay in there
        chooses = isinstance(step, OneOf) and len(step.steps) > 1
        facts = replace(facts, for_some=facts.for_some or chooses or step.is_optional)
        for number, inner in enumerate(step.steps, start=1):
            yield from _about_step(inner, f"{where}, step {number} ({inner.name})", facts)


def _sizes_after(step: Transform, facts: Facts) -> tuple[tuple[int, int], ...]:
    if isinstance(step, Resize | Crop | ResizedCrop):
        return ((step.height, step.width),)
    if not isinstance(step, Geometric) or not facts.sizes:
        return facts.sizes
    heights, widths = (np.array(side, dtype=np.int64) for side in zip(*facts.sizes, strict=True))
    return tuple(step.canvas_after(Canvas(heights, widths)).sizes())


def _about_options(pipeline: Pipeline, facts: Facts) -> Iterator[Complaint]:
    if not pipeline.steps:
        message = "this pipeline changes nothing: it has no steps"
        yield "warning", message, "add steps, unless equal copies are wanted"
    if pipeline.border != "constant" and any(pipeline.fill):
        yield (
            "warning",
            f"fill = {list(pipeline.fill)} is never seen: the border is {pipeline.border!r}",
            'set border = "constant", or remove the fill',
        )
    if facts.channels is not None and len(pipeline.fill) not in (1, facts.channels):
        message = (
            f"fill names {len(pipeline.fill)} levels, the images have {facts.channels} channels"
        )
        yield "error", message, "give one level, or one for each channel"


def _rotation(step: Rotation, facts: Facts) -> Iterator[Complaint]:
    if step.max_deg == 0:
        yield idle("max_deg", step.max_deg, "no angle but 0 is drawn")
    if step.max_deg > _READABLE_DEG and facts.characters:
        shown = ", ".join(facts.characters[:10])
        message = f"turning by up to {step.max_deg:g}° may make a 6 a 9; the classes are {shown}"
        yield "question", message, f"stay below {_READABLE_DEG}°, unless the labels survive it"


def _shear(step: Shear, _facts: Facts) -> Iterator[Complaint]:
    if step.max_deg == 0:
        yield idle("max_deg", step.max_deg, "no angle but 0 is drawn")


def _shift(step: WidthShift | HeightShift, facts: Facts) -> Iterator[Complaint]:
    axis = 1 if isinstance(step, WidthShift) else 0
    side = ("height", "width")[axis]
    drawn, is_fraction = step.reach()
    size = facts.smallest[axis] if facts.smallest else None
    if drawn == 0:
        yield idle("by", step.by, "no shift but 0 is drawn")
    elif is_fraction and drawn >= _LARGE_SHIFT:
        message = f"by = {step.by} moves up to {drawn:.0%} of the {side} out of the picture"
        yield "warning", message, f"stay below {_LARGE_SHIFT:g}, so that the object stays in view"
    elif not is_fraction and size is not None and drawn >= _LARGE_SHIFT * size:
        message = f"by = {step.by} means up to {drawn:g} pixels, the smallest {side} is {size}"
        yield "warning", message, "give a fraction below 1, or fewer pixels"
    elif isinstance(step.by, float) and step.by == 1:
        message = f"by = {step.by} moves by up to one pixel: from 1 on, numbers are pixels"
        yield "question", message, "give a fraction below 1 if a part of the image was meant"


def _zoom(step: Zoom, _facts: Facts) -> Iterator[Complaint]:
    if as_interval(step.by, 1.0) == (1.0, 1.0):
        yield idle("by", step.by, "no factor but 1 is drawn")


def _keras_affine(step: KerasAffine, facts: Facts) -> Iterator[Complaint]:
    """What the steps of the same meaning would say; the exchanged axes make no difference to it."""
    if not step.options():
        yield idle("every range", 0, "no matrix but the identity is drawn")
    if step.rotation_deg:
        yield from _rotation(Rotation(max_deg=min(step.rotation_deg, 360.0)), facts)
    for kind, by in ((WidthShift, step.height_shift), (HeightShift, step.width_shift)):
        if by:
            yield from _shift(kind(by=by), facts)


def _flip(step: HorizontalFlip | VerticalFlip, facts: Facts) -> Iterator[Complaint]:
    if isinstance(step, VerticalFlip):
        message = "images are turned upside down; few things look alike that way"
        yield "question", message, "keep it for pictures without an upright, such as cells"
    elif facts.characters:
        message = f"digits and letters are mirrored; the classes are {', '.join(facts.characters)}"
        yield "question", message, "leave it out, unless a mirrored sign keeps its label"


def _crop(step: Crop, facts: Facts) -> Iterator[Complaint]:
    if facts.smallest is None:
        return
    height, width = facts.smallest
    if facts.sizes == ((step.height, step.width),):
        yield idle("height and width", (step.height, step.width), "that is the image")
    if step.height > height or step.width > width:
        message = (
            f"the window is {step.height}×{step.width}, the smallest sides are {height}×{width}"
        )
        yield "warning", message + "; the border fills the rest", "resize first, or cut less"


def _resize(step: Resize, facts: Facts) -> Iterator[Complaint]:
    if step.fill and step.fit != "contain":
        message = f"fill = {step.fill:g} is never seen: fit is {step.fit!r}"
        yield "warning", message, 'set fit = "contain", or remove the fill'
    if facts.smallest is not None:
        yield from _upsampling(step, *facts.smallest)


def _resized_crop(step: ResizedCrop, facts: Facts) -> Iterator[Complaint]:
    if facts.smallest is None:
        return
    shrink = float(np.sqrt(step.area[0]))
    yield from _upsampling(step, facts.smallest[0] * shrink, facts.smallest[1] * shrink)
    largest = max(
        min(float(np.sqrt(step.area[1] * h * w * step.aspect_max)), side) / size
        for h, w in facts.sizes
        for side, size in ((h, step.height), (w, step.width))
    )
    if facts.dtype != "uint8" and largest > PREFILTER_FROM:
        message = f"windows shrink by up to {largest:.1f}, which needs a prefilter of whole levels"
        yield "error", message, "store the images as uint8"


def _upsampling(step: Resize | ResizedCrop, height: float, width: float) -> Iterator[Complaint]:
    factor = max(step.height / height, step.width / width)
    if factor > _UPSAMPLING:
        message = (
            f"{height:.0f}×{width:.0f} pixels become {step.height}×{step.width}, {factor:.1f} times"
        )
        yield "warning", message + " as many along a side", "ask for a smaller result"


def _channel_shift(step: ChannelShift | KerasChannelShift, facts: Facts) -> Iterator[Complaint]:
    if step.by == 0 or (step.by < HALF_LEVEL and facts.dtype == "uint8"):
        why = "it is in levels from 0 to 255, and less than half a level is rounded away"
        yield idle("by", step.by, why)


def _brightness(step: Brightness, _facts: Facts) -> Iterator[Complaint]:
    low, high = step.factor
    if max(abs(low - 1), abs(high - 1)) * 255 < HALF_LEVEL:
        yield idle("factor", list(step.factor), "no level changes by half a level")
    mean = (low + high) / 2
    if abs(mean - 1) > _MEAN_BRIGHTNESS:
        change = "darker" if mean < 1 else "lighter"
        message = f"factors average {mean:.2f}: copies are {change} than the images they come from"
        yield "warning", message, "centre the interval on 1"


def _contrast(step: Contrast, _facts: Facts) -> Iterator[Complaint]:
    if max(abs(factor - 1) for factor in step.factor) * 127.5 < HALF_LEVEL:
        yield idle("factor", list(step.factor), "no level changes by half a level")


def _gamma(step: Gamma, _facts: Facts) -> Iterator[Complaint]:
    changes = powers_of_levels(np.array(step.power)) - np.arange(256) / 255
    if np.abs(changes).max() * 255 < HALF_LEVEL:
        yield idle("power", list(step.power), "no level changes by half a level")


_CHECKS: tuple[tuple[Any, Callable[[Any, Facts], Iterator[Complaint]]], ...] = (
    (Rotation, _rotation),
    (Shear, _shear),
    (WidthShift | HeightShift, _shift),
    (Zoom, _zoom),
    (KerasAffine, _keras_affine),
    (HorizontalFlip | VerticalFlip, _flip),
    (Crop, _crop),
    (ResizedCrop, _resized_crop),
    (Resize, _resize),
    (ChannelShift | KerasChannelShift, _channel_shift),
    (Brightness, _brightness),
    (Contrast, _contrast),
    (Gamma, _gamma),
    *DOUBTS,
    *OBJECTIONS,
    *POLICY_OBJECTIONS,
)
"""Which transforms have which checks; an architecture test asks for every transform."""
