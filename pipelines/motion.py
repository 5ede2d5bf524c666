"""Where the pixels of n images go, step by step: what masks, boxes and points follow.

Of a pipeline's stages those remain that move pixels: fused geometry as one matrix for each image,
and steps that say where each pixel is read. Tones, blur, noise, JPEG artefacts change no place, and
what erasing and cutout hide is still there: a mask knows it, a box keeps its size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import PipelineFileError
from pipelines.lowering import changed, parts_of, taken
from pipelines.moving import Moving
from pipelines.program import fuse_geometry
from pipelines.stages import Rows
from pipelines.transform import Canvas, Geometric, Parameters, Transform


@dataclass(frozen=True, slots=True)
class Straight:
    """Geometry that fuses: all images are read through their matrices."""

    matrix: NDArray[np.int64]
    """(n, 6) 32.32 fixed point, output pixel to source pixel: xx xy xt yx yy yt; the identity for
    images that nothing happens to."""
    margin: int
    """How far outside the image a coordinate still counts as inside, in 32.32."""
    canvas: Canvas
    """The sizes afterwards."""


@dataclass(frozen=True, slots=True)
class Bent:
    """A step that no matrix describes."""

    step: Moving
    parameters: Parameters
    """Of the images it happens to."""
    rows: Rows
    """(m,) which these are; None for all."""
    canvas: Canvas
    """The sizes of all n images, before and afterwards."""


Motion = Straight | Bent


def check_followable(steps: Sequence[Transform]) -> None:
    """Refuses steps that masks and objects cannot follow.

    Args:
        steps: all moving steps of a pipeline.

    Raises:
        PipelineFileError: one of them shows several images at once, or does not say how it moves
            pixels.
    """
    for step in steps:
        if step.hinders_targets:
            raise PipelineFileError(
                f"{step.name}: expected steps that masks and objects can follow, got one that they "
                f"cannot: {step.hinders_targets}; leave it out, or leave masks and objects out",
                {"step": step.name, "expected": "steps that masks and objects can follow",
                 "found": step.hinders_targets},
            )  # fmt: skip


def motions_of(
    steps: Sequence[Transform], parameters: Sequence[Parameters], canvas: Canvas
) -> tuple[Motion, ...]:
    """How the pixels of n images move, in order; the first is always `Straight`.

    Args:
        steps: all moving steps of a pipeline.
        parameters: each step's.
        canvas: the sizes of the n (resized) sources.

    Raises:
        PipelineFileError: see `check_followable`.
        ParameterError: a matrix is too extreme for fixed point.
    """
    check_followable(steps)
    motions: list[Motion] = []
    for part in parts_of(steps):
        here = [steps[place] for place in part]
        drawn = [parameters[place] for place in part]
        if here and isinstance(here[0], Moving):
            rows = changed(drawn)
            motions = motions or [_fused([], [], canvas)]
            motions.append(Bent(here[0], taken(drawn, rows)[0], rows, canvas))
        elif any(isinstance(step, Geometric) for step in here):
            motions.append(_fused(here, drawn, canvas))
            canvas = motions[-1].canvas
    return tuple(motions or [_fused([], [], canvas)])


def _fused(
    steps: Sequence[Transform], parameters: Sequence[Parameters], canvas: Canvas
) -> Straight:
    """Steps as one matrix for each image; no steps leave all pixels where they are."""
    geometry = fuse_geometry(steps, parameters, canvas, prefilters=False)
    return Straight(geometry.matrix, geometry.margin, geometry.canvas)
