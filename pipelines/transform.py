"""What a transform is: words in, parameters out, parameters in, geometry or tone out.

A transform is a frozen dataclass. `draw` turns its words into named parameters and is the only
place where chance enters; everything after it is a pure function of the parameters, which can
therefore be stored, shown, replayed and compared with another library's.

To add a transform: subclass `Geometric` or `Photometric` in the module it belongs to, decorate it
with `register`, and give it a golden, a parity and a property test (an architecture test asks).
"""

# ruff: noqa: ARG002  (the base class has the signatures, its heirs use them)

from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipelines.affine import Matrices
from pipelines.errors import ParameterError
from pipelines.randomness import Words

Values = NDArray[np.float64]
"""(n,) float64: one parameter of n images."""
Parameters = dict[str, Values]
"""The parameters of one step, by name."""

REGISTRY: dict[str, "type[Transform]"] = {}
"""Every transform by the name that pipeline files use."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """The sizes of n images at one point of a pipeline, in pixels."""

    heights: NDArray[np.int64]
    """(n,)"""
    widths: NDArray[np.int64]
    """(n,)"""

    def sizes(self) -> list[tuple[int, int]]:
        """The distinct (height, width) pairs."""
        if not len(self.heights):
            return []
        first = (int(self.heights[0]), int(self.widths[0]))
        if (self.heights == first[0]).all() and (self.widths == first[1]).all():
            return [first]  # the usual case, far cheaper than sorting
        return sorted(set(zip(self.heights.tolist(), self.widths.tolist(), strict=True)))

    def resized(self, height: int, width: int) -> "Canvas":
        """The same number of images, all of one size."""
        count = len(self.heights)
        return Canvas(np.full(count, height), np.full(count, width))


@dataclass(frozen=True, slots=True)
class Linear:
    """A pointwise change ``gain · level + bias`` of n images, in levels from 0 to 255."""

    gain: Values
    """(n,) not negative."""
    bias: Values
    """(n,)"""


@dataclass(frozen=True, slots=True)
class Table:
    """Any other pointwise change of n images: what each of the 256 levels becomes."""

    levels: NDArray[np.float64]
    """(n, 256) in [0, 255], not rounded."""


Tone = Linear | Table


@dataclass(frozen=True, kw_only=True)
class Transform:
    """One step of a pipeline."""

    name: ClassVar[str]
    summary: ClassVar[str]
    """One sentence for `materialize transforms`."""
    num_words: ClassVar[int]

    id: str | None = field(default=None)
    """The step's key for its draws; by default its name, numbered among equals. Steps keep their
    draws when others are added or left out."""

    def __post_init__(self) -> None:
        """Checks the parameters.

        Raises:
            ParameterError: one of them is outside its interval.
        """
        self.check()

    def check(self) -> None:
        """Raises `ParameterError` where a parameter is outside its interval."""

    def words_needed(self) -> int:
        """How many words one address of this step takes."""
        return self.num_words

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """The parameters of n images.

        Args:
            words: (n, words_needed()) uint32.
            canvas: the images' sizes when they reach this step.
        """
        raise NotImplementedError

    def options(self) -> dict[str, Any]:
        """The options that differ from their defaults, JSON-ready."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        chosen = {f.name: given[f.name] for f in fields(self) if given[f.name] != f.default}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in chosen.items()}


@dataclass(frozen=True, kw_only=True)
class Geometric(Transform):
    """A step that moves pixels: one matrix per image."""

    brings_in_border: ClassVar[bool] = True
    """False for flips: they never show anything from outside the image."""
    resamples_area: ClassVar[bool] = False
    """True where the step reduces like a resize: the half pixel around the image belongs to it."""

    def matrices(self, parameters: Parameters, canvas: Canvas) -> Matrices:
        """Output-to-input maps in centred coordinates (see `pipelines.affine`)."""
        raise NotImplementedError

    def canvas_after(self, canvas: Canvas) -> Canvas:
        """The sizes this step leaves behind."""
        return canvas

    def shrink(self, parameters: Parameters, canvas: Canvas) -> NDArray[np.float64] | None:
        """How many input pixels one output pixel covers along x and y, to prefilter by.

        (n, 2), or None for steps that sample as they are (all that Keras has).
        """
        return None


@dataclass(frozen=True, kw_only=True)
class Photometric(Transform):
    """A step that changes values where they are."""

    clips_to_image_range: ClassVar[bool] = False
    """True for a shift that clips to the image's own extremes instead of [0, 255]."""
    truncates: ClassVar[bool] = False
    """True where the step works on whole levels and drops fractions, before and after."""

    def tone(self, parameters: Parameters) -> Tone:
        """The change of n images."""
        raise NotImplementedError


def register(transform: type[Transform]) -> type[Transform]:
    """Makes a transform available to pipeline files under its name."""
    REGISTRY[transform.name] = transform
    return transform


def require(
    holds: bool, owner: Transform, option: str, expected: str, found: object, advice: str = ""
) -> None:
    """Raises a `ParameterError` that names transform, option, expectation and value."""
    if not holds:
        remedy = advice or "correct it in the pipeline"
        raise ParameterError(
            f"{owner.name}.{option}: expected {expected}, got {found!r}; {remedy}",
            {"name": f"{owner.name}.{option}", "expected": expected, "found": found},
        )


def finite_number(value: object) -> bool:
    """True for a finite int or float that is not a bool."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and bool(np.isfinite(float(value)))
    )


def as_interval(value: object, symmetric_about: float | None) -> tuple[float, float] | None:
    """An interval from ``[low, high]`` or, where symmetric, from its half-width; else None."""
    if symmetric_about is not None and finite_number(value):
        half = float(value)  # type: ignore[arg-type]
        return (symmetric_about - half, symmetric_about + half) if half >= 0 else None
    if isinstance(value, list | tuple) and len(value) == 2 and all(map(finite_number, value)):
        low, high = float(value[0]), float(value[1])
        return (low, high) if low <= high else None
    return None
