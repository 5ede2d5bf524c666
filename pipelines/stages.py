"""What a pipeline becomes for n images: fused programs, and steps that need a finished image.

A stage ends where a step needs the image as it stands. Within a stage an image is resampled once
and quantised once; between stages it is an image of whole levels.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines import engine
from pipelines.contract import Arena, Batch, blank
from pipelines.errors import ImageContractError
from pipelines.mixing import Mixing
from pipelines.program import Programs
from pipelines.transform import Parameters, WholeImage

Rows = NDArray[np.int64] | None
"""(m,) the images a stage changes; None for all of them."""


@dataclass(frozen=True, slots=True)
class Fused:
    """Steps that became one program per image."""

    programs: Programs
    """Of the images it changes."""
    rows: Rows = None


@dataclass(frozen=True, slots=True)
class Applied:
    """A step that needs finished images."""

    step: WholeImage
    parameters: Parameters
    """Of the images it changes."""
    rows: Rows = None


@dataclass(frozen=True, slots=True)
class Mixed:
    """A step that needs finished images and their partners."""

    step: Mixing
    parameters: Parameters
    """Of the images it changes."""
    place: int
    """Of the step in its pipeline: partners come as they are there."""
    rows: Rows = None


Stage = Fused | Applied | Mixed

FetchPartners = Callable[[int, Rows], Batch]
"""(place of a mixing step, rows) → (m, H, W, C) the partners of those images, as they are there."""


def run_stages(
    stages: Sequence[Stage],
    images: Arena,
    sampling: engine.Sampling,
    out: Batch,
    *,
    value_range: tuple[float, float] | None = None,
    plain: bool = False,
    partners: FetchPartners | NDArray[np.int64] | None = None,
) -> None:
    """Writes the n augmented images.

    Args:
        stages: the first is `Fused` and changes all images.
        images: n images, uint8 or float32.
        sampling: the pipeline's border, fill and interpolation.
        out: (n, H', W', C) of the images' dtype, C-contiguous; written.
        value_range: see `pipelines.engine.run`.
        plain: True to run the NumPy twins instead of the kernels.
        partners: what images are mixed with, needed where a stage is `Mixed`: made when asked for,
            or (n,) rows of these very images, as they are there.

    Raises:
        ImageContractError: see `pipelines.engine.run`; or float32 images meet a step that works on
            256 levels.
    """
    last = max(i for i, stage in enumerate(stages) if isinstance(stage, Fused))
    arena = images
    for number, stage in enumerate(stages):
        if not isinstance(stage, Fused):
            batch = out if number > last else _batch(arena)
            if isinstance(stage, Mixed) and isinstance(partners, np.ndarray):
                # Taken now for all steps that mix: each image has one partner, as it is here.
                partners = _taken_from(batch, stages[number:], partners)
            _apply(stage, batch, plain, partners if callable(partners) else None)
            continue
        target = arena if number == last else _room(stage.programs, len(images), images)
        written = out if number == last else _batch(target)
        if stage.rows is None:
            engine.run(stage.programs, arena, sampling, written, value_range=value_range,
                       plain=plain)  # fmt: skip
        else:
            size = (int(arena.heights[0]), int(arena.widths[0]))
            engine.check_output(arena, written, len(arena), size)
            _copy(arena, written)
            if not len(stage.rows):
                arena = target
                continue
            changed = np.empty((len(stage.rows), *written.shape[1:]), written.dtype)
            engine.run(stage.programs, arena.take(stage.rows), sampling, changed,
                       value_range=value_range, plain=plain)  # fmt: skip
            written[stage.rows] = changed
        arena = target


def _apply(
    stage: Applied | Mixed, batch: Batch, plain: bool, partners: FetchPartners | None
) -> None:
    """Runs a step on the images it changes."""
    takes_floats = isinstance(stage.step, WholeImage) and stage.step.works_on_floats
    if batch.dtype != np.uint8 and not takes_floats:
        raise ImageContractError(
            f"float32 images: expected steps that work on them, got {stage.step.name}, which works "
            "on 256 levels; store the images as uint8, or leave the step out",
            {"expected": "uint8", "found": stage.step.name},
        )
    rows = stage.rows
    if rows is not None and not len(rows):
        return
    if isinstance(stage, Applied):
        if rows is None:
            stage.step.run(batch, stage.parameters, plain=plain)
        else:
            stage.step.run_some(batch, rows, stage.parameters, plain=plain)
        return
    if partners is None:
        raise ImageContractError(
            f"{stage.step.name}: expected partners to mix with, got none; name the images of "
            "the same split as partners",
            {"step": stage.step.name, "expected": "partners"},
        )
    changed = batch if rows is None else np.ascontiguousarray(batch[rows])
    stage.step.run(changed, partners(stage.place, rows), stage.parameters, plain=plain)
    if rows is not None:
        batch[rows] = changed


def _taken_from(
    batch: Batch, stages: Sequence[Stage], companions: NDArray[np.int64]
) -> FetchPartners:
    """The partners of all stages that mix, copied from images that are not mixed yet."""
    partners = {
        stage.place: batch[companions if stage.rows is None else companions[stage.rows]]
        for stage in stages
        if isinstance(stage, Mixed)
    }
    return lambda place, _rows: partners[place]


def _room(programs: Programs, count: int, images: Arena) -> Arena:
    """Memory for the finished images of a stage, to be read by the next."""
    heights, widths = np.full(count, programs.height), np.full(count, programs.width)
    return blank(heights, widths, images.channels, images.values.dtype)


def _copy(arena: Arena, out: Batch) -> None:
    """Writes the images of an arena of one size, wherever in it they begin."""
    steps = np.diff(arena.starts)
    if (steps == out[0].size).all():
        first = int(arena.starts[0])
        out[...] = arena.values[first : first + out.size].reshape(out.shape)
        return
    for row, image in enumerate(out):
        image[...] = arena.image(row)


def _batch(arena: Arena) -> Batch:
    """The images of an arena of one size, laid out by `_room`, as (n, H, W, C)."""
    height, width = int(arena.heights[0]), int(arena.widths[0])
    count = len(arena) * height * width * arena.channels
    batch: Batch = arena.values[:count].reshape(len(arena), height, width, arena.channels)
    return batch
