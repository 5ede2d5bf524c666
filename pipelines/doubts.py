"""What may be said against single steps that turn, bend, compress or add noise.

`pipelines.diagnosis` asks; it has the checks of the fused vocabulary itself.
"""

from collections.abc import Callable, Iterator
from typing import Any

from pipelines.compression import COMPRESSIBLE, JpegArtefacts
from pipelines.distortion import Elastic, Perspective
from pipelines.exact_moves import Pad, QuarterTurn
from pipelines.facts import HALF_LEVEL, Complaint, Facts, idle
from pipelines.moving import Moving
from pipelines.noise import GaussianNoise
from pipelines.user_code import UserCode

Check = Callable[[Any, Facts], Iterator[Complaint]]

_FARTHEST_NOISE = 4.33
"""Standard deviations that no value of the noise reaches."""
_LOUD_NOISE = 64.0
"""Levels; from here on there is more noise than picture."""
_MEAN_MOVE = 0.163
"""Root mean square of the smoothed noise, times the Gaussian's standard deviation in pixels."""
_SMALL_MOVE_PX = 0.01
_STEEP = 1 / 3
"""Root mean square of the slope of the displacement from which an image folds over itself."""
_POOR_QUALITY = 5
"""Below, little but the mean of each block of 8 × 8 pixels is left."""


def _gaussian_noise(step: GaussianNoise, _facts: Facts) -> Iterator[Complaint]:
    if step.std[1] * _FARTHEST_NOISE < HALF_LEVEL:
        yield idle("std", list(step.std), "it is in levels, and less than half a level is lost")
    elif step.std[1] > _LOUD_NOISE:
        message = f"std = {list(step.std)} levels drowns the picture"
        yield "warning", message, f"stay below {_LOUD_NOISE:g}"


def _border(step: Moving, facts: Facts) -> Iterator[Complaint]:
    levels = step.level if isinstance(step.level, tuple) else (step.level,)
    if step.border != "constant" and any(levels):
        message = f"level = {step.level} is never seen: the border is {step.border!r}"
        yield "warning", message, 'set border = "constant", or remove the level'
    if facts.channels is not None and len(levels) not in (1, facts.channels):
        message = f"level names {len(levels)} levels, the images have {facts.channels} channels"
        yield "error", message, "give one level, or one for each channel"


def _elastic(step: Elastic, facts: Facts) -> Iterator[Complaint]:
    yield from _border(step, facts)
    move_px = step.alpha[1] * _MEAN_MOVE / step.sigma_px
    if move_px < _SMALL_MOVE_PX:
        yield idle("alpha", list(step.alpha), f"pixels move by less than {_SMALL_MOVE_PX} pixels")
    elif move_px / (2**0.5 * step.sigma_px) > _STEEP:
        message = f"pixels move by {move_px:.1f} on average, and neighbours past each other"
        largest = _STEEP * 2**0.5 / _MEAN_MOVE * step.sigma_px * step.sigma_px
        yield "warning", message, f"with this sigma_px, keep alpha below {largest:.0f}"


def _perspective(step: Perspective, facts: Facts) -> Iterator[Complaint]:
    yield from _border(step, facts)
    if step.distortion == 0:
        yield idle("distortion", step.distortion, "no corner moves")


def _quarter_turn(_step: QuarterTurn, facts: Facts) -> Iterator[Complaint]:
    if facts.characters:
        shown = ", ".join(facts.characters[:10])
        message = f"turning may make a 6 a 9; the classes are {shown}"
        yield "question", message, "leave it out, unless the labels survive it"
    else:
        message = "images are turned upside down; few things look alike that way"
        yield "question", message, "keep it for pictures without an upright, such as cells"
    if any(height != width for height, width in facts.sizes):
        message = "images that are not square turn by 0 or 180 degrees only"
        yield "question", message, "cut squares first, if all four turns are wanted"


def _pad(step: Pad, facts: Facts) -> Iterator[Complaint]:
    left, top, right, bottom = step.sides
    if not any(step.sides):
        yield idle("by", step.by, "no pixel is added")
    elif facts.smallest is not None:
        height, width = facts.smallest
        if left + right > width or top + bottom > height:
            message = f"by = {step.by} adds more than the smallest sides, {height}×{width}"
            yield "warning", message, "add fewer pixels"


def _jpeg_artefacts(step: JpegArtefacts, facts: Facts) -> Iterator[Complaint]:
    if facts.channels is not None and facts.channels not in COMPRESSIBLE:
        message = f"JPEG has no images of {facts.channels} channels: they stay"
        yield "error", message, "leave it out, or read the images as grey or in colour"
    if step.quality[0] < _POOR_QUALITY:
        message = f"quality = {list(step.quality)} leaves flat blocks of 8×8 pixels of some images"
        yield "warning", message, f"stay at {_POOR_QUALITY} or above"


def _user_code(step: UserCode, _facts: Facts) -> Iterator[Complaint]:
    if not step.exact:
        message = f"{step.title} is not declared exact: elsewhere its bytes may be others"
        advice = "set exact = true if whole numbers and + − × ÷ √ are all that it is made of"
        yield "question", message, advice


DOUBTS: tuple[tuple[Any, Check], ...] = (
    (Elastic, _elastic),
    (GaussianNoise, _gaussian_noise),
    (JpegArtefacts, _jpeg_artefacts),
    (Pad, _pad),
    (Perspective, _perspective),
    (QuarterTurn, _quarter_turn),
    (UserCode, _user_code),
)
"""Which transforms have which checks."""
