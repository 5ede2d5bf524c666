"""What must hold for the steps and options of a pipeline together."""

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from pipelines.callables import as_step
from pipelines.composition import OneOf
from pipelines.engine import INTERPOLATIONS, Sampling
from pipelines.errors import PipelineFileError
from pipelines.kernels import BORDERS
from pipelines.lowering import parts_of
from pipelines.masks import LabelSampling
from pipelines.mixing import Mixing
from pipelines.placement import PlacedStep
from pipelines.program import check_order
from pipelines.resizing import Resize
from pipelines.transform import Transform, finite_number


class Reading(Sampling, LabelSampling, Protocol):
    """How a pipeline reads images and masks, and which objects it keeps."""

    @property
    def fill(self) -> tuple[float, ...]:
        """Levels of the constant border."""

    @property
    def min_visibility(self) -> float:
        """The least share of a box inside the image."""


def check_reading(pipeline: Reading) -> None:
    """Refuses borders, fills and shares that mean nothing.

    Raises:
        PipelineFileError: one of them is unknown or out of its interval.
    """
    _one_of("border", pipeline.border, BORDERS)
    _one_of("interpolation", pipeline.interpolation, INTERPOLATIONS)
    if pipeline.mask_border is not None:
        _one_of("mask_border", pipeline.mask_border, BORDERS)
    fill, label, share = pipeline.fill, pipeline.mask_fill, pipeline.min_visibility
    good = len(fill) > 0 and all(0 <= level <= 255 for level in fill)
    _require("fill", fill, good, "levels in [0, 255]", "choose levels of grey")
    good = type(label) is int and 0 <= label <= 255
    _require("mask_fill", label, good, "a whole number in [0, 255]", "choose a label")
    good = finite_number(share) and 0 <= share <= 1
    _require("min_visibility", share, good, "a share in [0, 1]", "0 keeps all that is to be seen")


def check_kinds(steps: Sequence[Transform]) -> None:
    """Refuses what is no step.

    Raises:
        PipelineFileError: something else stands among them.
    """
    for number, step in enumerate(steps, start=1):
        if not isinstance(step, Transform):
            raise PipelineFileError(
                f"step {number}: expected a step, got {type(step).__name__}; write "
                f"{as_step(step) or 'one of `materialize transforms`'} in its place",
                {"step": number, "expected": "a step", "found": type(step).__name__},
            )


def check_steps(steps: Sequence[Transform], placed: Sequence[PlacedStep]) -> None:
    """Refuses orders and combinations of steps that mean nothing.

    Args:
        steps: of the pipeline, in order.
        placed: all that are drawn, see `pipelines.placement`.

    Raises:
        PipelineFileError: a step stands where it cannot, or two have one key.
    """
    late = [i for i, s in enumerate(steps) if isinstance(s, Resize) and i > 0]
    if late:
        raise PipelineFileError(
            f"step {late[0] + 1} (resize): expected as the first step only; move it there, or "
            "use resized_crop, which fuses",
            {"step": "resize", "found": late[0]},
        )
    moving = [each.step for each in placed]
    for part in parts_of(moving):
        check_order([moving[place] for place in part])
    _check_containers(placed)
    _check_mixing(placed)
    duplicates = [key for key, n in Counter(each.key for each in placed).items() if n > 1]
    if duplicates:
        raise PipelineFileError(
            f"step id {duplicates[0]!r}: expected once, got it twice; rename one of them",
            {"name": "id", "found": duplicates[0]},
        )


def _check_containers(placed: Sequence[PlacedStep]) -> None:
    """Refuses what cannot happen to some images only."""
    for each in placed:
        if each.gate is not None and each.step.always_happens:
            raise PipelineFileError(
                f"{each.key}: expected outside of {each.gate.container.name}, got it "
                f"inside; {each.step.always_happens}",
                {"step": each.key, "found": each.gate.container.name},
            )
        if isinstance(each.step, Resize):
            raise PipelineFileError(
                f"{each.key}: expected as the first step only; move it there",
                {"step": each.key},
            )


def _check_mixing(placed: Sequence[PlacedStep]) -> None:
    """Refuses what could give an image two partners."""
    mixing = [each for each in placed if isinstance(each.step, Mixing)]
    gates = {each.gate.place if each.gate else None for each in mixing}
    chosen = all(each.gate and isinstance(each.gate.container, OneOf) for each in mixing)
    if len(mixing) > 1 and not (len(gates) == 1 and chosen):
        raise PipelineFileError(
            f"{mixing[1].key}: expected one step that mixes, or several in one one_of, got "
            f"{[each.key for each in mixing]}; put them into a one_of",
            {"step": mixing[1].key, "found": [each.key for each in mixing]},
        )


def _one_of(name: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise PipelineFileError(
            f"{name}: expected one of {list(allowed)}, got {value!r}",
            {"name": name, "expected": list(allowed), "found": value},
        )


def _require(name: str, value: object, holds: bool, expected: str, advice: str) -> None:
    if not holds:
        raise PipelineFileError(
            f"{name}: expected {expected}, got {value!r}; {advice}",
            {"name": name, "expected": expected, "found": value},
        )
