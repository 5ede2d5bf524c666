"""From drawn parameters to pixels, partners included: the one way there is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import Arena, Batch
from pipelines.engine import Sampling
from pipelines.lowering import canvas_after, lower_stages, parts_of, taken
from pipelines.mixing import Mixing
from pipelines.stages import FetchPartners, Rows, run_stages
from pipelines.transform import Canvas, Parameters, Transform


class Rendered(Sampling, Protocol):
    """What is asked of a pipeline."""

    @property
    def moving_steps(self) -> tuple[Transform, ...]:
        """All steps that are drawn."""


@dataclass(frozen=True, slots=True, eq=False)
class Partners:
    """What n images are mixed with: one partner each, whether the image is mixed or not."""

    images: Arena
    """n prepared images."""
    parameters: Sequence[Parameters]
    """Each step's, drawn at the partners' own addresses."""

    def take(self, rows: NDArray[np.int64]) -> "Partners":
        """Those of some images."""
        return Partners(self.images.take(rows), taken(self.parameters, rows))


@dataclass(frozen=True, slots=True, eq=False)
class Companions:
    """Partners that are images of the batch itself, with the same copy: none is made twice."""

    rows: NDArray[np.int64]
    """(n,) which of the n images each is mixed with."""

    def apart(self, images: Arena, parameters: Sequence[Parameters]) -> Partners:
        """The same partners, to be made for themselves."""
        return Partners(images.take(self.rows), taken(parameters, self.rows))


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Whom images may be mixed with: those of the same split, or of the same fold."""

    images: Sequence[Batch] | Batch
    """(H, W, C) each, as they come from the source."""
    sample_ids: NDArray[np.uint8]
    """(m, 16), in the order of the images; partners are places in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """How pixels are made."""

    value_range: tuple[float, float] | None = None
    """For float32 images, the values that mean black and white."""
    plain: bool = False
    """True to run the NumPy twins instead of the kernels."""


def render(
    pipeline: Rendered,
    parameters: Sequence[Parameters],
    images: Arena,
    out: Batch,
    how: Rendering,
    *,
    partners: Partners | Companions | None = None,
    partners_of: int | None = None,
) -> None:
    """Writes n images with given parameters.

    Args:
        pipeline: the steps, and how they read their source.
        parameters: each step's.
        images: n prepared images.
        out: (n, H', W', C) of the images' dtype; written.
        how: with which arithmetic.
        partners: what images are mixed with, or which of them with which; None where no step mixes.
        partners_of: see `pipelines.lowering.lower_stages`.
    """
    canvas = Canvas(images.heights, images.widths)
    sizes = canvas.sizes()
    if isinstance(partners, Companions):
        if len(sizes) == 1 and _mixes_at_once(pipeline.moving_steps):
            _run(pipeline, parameters, images, out, how, partners=partners.rows)
            return
        partners = partners.apart(images, parameters)
    if len(parts_of(pipeline.moving_steps)) > 1 and len(sizes) > 1:
        # A step that needs finished images needs them of one size.
        for height, width in sizes:
            rows = np.flatnonzero((images.heights == height) & (images.widths == width))
            some = np.empty((len(rows), *out.shape[1:]), out.dtype)
            theirs = None if partners is None else partners.take(rows)
            render(pipeline, taken(parameters, rows), images.take(rows), some, how,
                   partners=theirs, partners_of=partners_of)  # fmt: skip
            out[rows] = some
        return

    def fetch(place: int, rows: Rows) -> Batch:
        some = partners if rows is None or partners is None else partners.take(rows)
        drawn = taken([parameters[place]], rows)[0]
        return _partner_images(pipeline, some, place, drawn, out, how)

    _run(
        pipeline, parameters, images, out, how, partners=None if partners is None else fetch,
        partners_of=partners_of,
    )  # fmt: skip


def _run(
    pipeline: Rendered,
    parameters: Sequence[Parameters],
    images: Arena,
    out: Batch,
    how: Rendering,
    *,
    partners: FetchPartners | NDArray[np.int64] | None = None,
    partners_of: int | None = None,
) -> None:
    """Lowers and runs; see `pipelines.stages.run_stages`."""
    fill = pipeline.fill_levels(images.channels)
    canvas = Canvas(images.heights, images.widths)
    stages = lower_stages(pipeline.moving_steps, parameters, canvas, fill, partners_of=partners_of)
    run_stages(
        stages, images, pipeline, out, value_range=how.value_range, plain=how.plain,
        partners=partners,
    )  # fmt: skip


def _mixes_at_once(steps: Sequence[Transform]) -> bool:
    """Whether nothing happens between steps that mix, so that all find images unmixed."""
    parts = parts_of(steps)
    mixing = [
        number for number, part in enumerate(parts) if part and isinstance(steps[part[0]], Mixing)
    ]
    return not mixing or mixing[-1] - mixing[0] == len(mixing) - 1


def _partner_images(
    pipeline: Rendered,
    partners: Partners | None,
    place: int,
    drawn: Parameters,
    like: Batch,
    how: Rendering,
) -> Batch:
    """(m, H, W, C) partners as they reach a mixing step; arbitrary where none is seen."""
    if partners is None:
        raise TypeError("there are no partners")
    step = pipeline.moving_steps[place]
    seen = np.flatnonzero(step.shows_partner(drawn)) if isinstance(step, Mixing) else np.arange(0)
    images = partners.images
    canvas = Canvas(images.heights, images.widths)
    for earlier in pipeline.moving_steps[:place]:
        canvas = canvas_after(earlier, canvas)
    height, width = canvas.sizes()[0]
    out = np.empty((len(images), height, width, images.channels), like.dtype)
    if len(seen) == len(images):
        render(pipeline, partners.parameters, images, out, how, partners_of=place)
    elif len(seen):
        some, theirs = np.empty((len(seen), *out.shape[1:]), out.dtype), partners.take(seen)
        render(pipeline, theirs.parameters, theirs.images, some, how, partners_of=place)
        out[seen] = some
    return out
