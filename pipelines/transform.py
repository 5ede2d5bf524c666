"""What a transform is: words in, parameters out, parameters in, geometry or tone out.

A transform is a frozen dataclass. `draw` turns its words into named parameters and is the only
place where chance enters; everything after it is a pure function of the parameters, which can
therefore be stored, shown, replayed and compared with another library's.

To add a transform: subclass `Geometric`, `Photometric` or `WholeImage` in the module it belongs to,
decorate it with `register`, and give it a golden, a parity and a property test (an architecture
test asks).
"""

# ruff: noqa: ARG002  (the base class has the signatures, its heirs use them)

from dataclasses import MISSING, Field, dataclass, field, fields
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

ACTIVE = "active"
"""The parameter of steps that some images are spared: 1 where the step happens, 0 where not."""

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
    example: ClassVar[str] = ""
    """How a file says what the step cannot do without, where nobody would guess it."""

    id: str | None = field(default=None)
    """The step's key for its draws; by default its name, numbered among equals. Steps keep their
    draws when others are added or left out."""
    probability: float = field(default=1.0)
    """With which the step happens to an image, in [0, 1]; drawn by one more word where it is
    below 1."""

    def __post_init__(self) -> None:
        """Checks the parameters.

        Raises:
            ParameterError: one of them is outside its interval.
        """
        good = finite_number(self.probability) and 0 <= self.probability <= 1
        require(good, self, "probability", "a number in [0, 1]", self.probability)
        if self.is_optional and self.always_happens:
            require(False, self, "probability", "1 (this step cannot be left out of some images)",
                    self.probability, self.always_happens)  # fmt: skip
        self.check()

    @property
    def is_optional(self) -> bool:
        """Whether some images are left as they are, by one more word."""
        return self.probability < 1

    @property
    def always_happens(self) -> str:
        """Why the step must happen to every image, as advice; empty where it need not."""
        return ""

    @property
    def hinders_targets(self) -> str:
        """Why masks and objects cannot follow this step; empty where they can.

        They follow `Geometric` steps and those of `pipelines.moving`; steps of any other kind leave
        pixels where they are, or say here that they do not.
        """
        return ""

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

    @property
    def always_happens(self) -> str:
        """Images of one batch have one size."""
        keeps_size = type(self).canvas_after is Geometric.canvas_after
        return "" if keeps_size else "it changes the size of the image, and every copy has one size"

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

    @property
    def always_happens(self) -> str:
        """What Keras clips or truncates, it does to every image."""
        special = self.clips_to_image_range or self.truncates
        return "use the step without keras_ in its name" if special else ""

    def tone(self, parameters: Parameters) -> Tone:
        """The change of n images."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class WholeImage(Transform):
    """A step that needs the image as it stands: neighbours, rectangles, extremes, other channels.

    It cannot fuse: what is before it is finished, and rounded, and what follows begins anew.
    """

    @property
    def works_on_floats(self) -> bool:
        """Whether images may be float32: most of these steps are made of whole levels."""
        return False

    def run(self, images: NDArray[Any], parameters: Parameters, *, plain: bool) -> None:
        """Changes n images in place.

        Args:
            images: (n, H, W, C) uint8, C-contiguous; float32 where the step works on floats.
            parameters: of these n images.
            plain: True to run the NumPy twin where there is a compiled form; the bytes are equal.
        """
        raise NotImplementedError

    def run_some(
        self,
        images: NDArray[Any],
        rows: NDArray[np.int64],
        parameters: Parameters,
        *,
        plain: bool,
    ) -> None:
        """Changes some of n images in place.

        Args:
            images: (n, H, W, C) uint8, C-contiguous.
            rows: (m,) which of them.
            parameters: of these m images.
            plain: as in `run`.
        """
        changed = np.ascontiguousarray(images[rows])
        self.run(changed, parameters, plain=plain)
        images[rows] = changed


@dataclass(frozen=True, kw_only=True)
class Container(Transform):
    """A step that holds steps and says which of them an image gets."""

    steps: "tuple[Transform, ...]"
    """In the order they are applied."""

    def check(self) -> None:
        """Checks that there are steps."""
        good = len(self.steps) > 0 and all(isinstance(step, Transform) for step in self.steps)
        advice = "give it [[step.steps]] tables, each with a transform"
        require(good, self, "steps", "at least one step", self.steps, advice)

    def shows(self, number: int, parameters: Parameters) -> NDArray[np.bool_] | None:
        """Which of n images get the step with this number; None for all of them."""
        raise NotImplementedError

    def options(self) -> dict[str, Any]:
        """The options that differ from their defaults, the steps as nested tables."""
        nested = [{"transform": step.name} | step.options() for step in self.steps]
        return Transform.options(self) | {"steps": nested}


def file_options(transform: type[Transform]) -> list[Field[Any]]:
    """The options that pipeline files may name."""
    return [f for f in fields(transform) if f.init and f.metadata.get("is_in_files", True)]


def is_required(option: Field[Any]) -> bool:
    """Whether an option has no default."""
    return option.default is MISSING and option.default_factory is MISSING


def active(parameters: Parameters) -> NDArray[np.bool_] | None:
    """Which of n images a drawn step changes; None for all of them."""
    given = parameters.get(ACTIVE)
    return None if given is None else given != 0


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
