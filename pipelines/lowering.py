"""From a pipeline's drawn parameters to stages: what fuses is fused, what cannot stands alone."""

from collections.abc import Sequence

import numpy as np

from pipelines.errors import ImageContractError
from pipelines.mixing import Mixing
from pipelines.program import lower
from pipelines.stages import Applied, Fused, Mixed, Rows, Stage
from pipelines.transform import (
    Canvas,
    Container,
    Geometric,
    Parameters,
    Transform,
    WholeImage,
    active,
)


def parts_of(steps: Sequence[Transform]) -> tuple[tuple[int, ...], ...]:
    """The places of the steps of each stage: runs that fuse, and steps that stand alone.

    The first run is there even if it is empty: it is what copies the source. Containers do nothing
    by themselves and are in no run.
    """
    parts: list[list[int]] = []
    run: list[int] = []
    for place, step in enumerate(steps):
        if isinstance(step, WholeImage | Mixing):
            parts += [run, [place]]
            run = []
        elif not isinstance(step, Container):
            run.append(place)
    first, *rest = [*parts, run]
    return tuple(tuple(part) for part in (first, *(part for part in rest if part)))


def lower_stages(
    steps: Sequence[Transform],
    parameters: Sequence[Parameters],
    canvas: Canvas,
    fill: Sequence[float],
    *,
    partners_of: int | None = None,
) -> tuple[Stage, ...]:
    """What is to be done to n images, stage by stage; the first is always `Fused`.

    Args:
        steps: all moving steps of a pipeline.
        parameters: each step's.
        canvas: the sizes of the n (resized) sources.
        fill: level of each channel outside under a constant border.
        partners_of: the place of a mixing step whose partners these are: they get what comes before
            it and are not mixed themselves. None for images that are wanted to the end.

    Raises:
        ImageContractError: the images would end a stage with different sizes.
        ParameterError: a matrix is too extreme for fixed point.
    """
    stages: list[Stage] = []
    for number, part in enumerate(parts_of(steps)):
        alone = steps[part[0]] if part else None
        here = [place for place in part if partners_of is None or place < partners_of]
        if partners_of is not None and number and (not here or isinstance(alone, Mixing)):
            continue
        whole = not number and not _copies(canvas, [steps[place] for place in here])
        rows = None if whole else changed([parameters[place] for place in here])
        drawn = [_taken(parameters[place], rows) for place in here]
        if isinstance(alone, Mixing):
            stages.append(Mixed(alone, drawn[0], part[0], rows))
        elif isinstance(alone, WholeImage):
            stages.append(Applied(alone, drawn[0], rows))
        else:
            fused = [steps[place] for place in here]
            before = canvas if rows is None else Canvas(canvas.heights[rows], canvas.widths[rows])
            for step in fused:
                canvas = canvas_after(step, canvas)
            stages.append(Fused(lower(fused, drawn, before, fill, _one_size(canvas)), rows))
    return tuple(stages)


def canvas_after(step: Transform, canvas: Canvas) -> Canvas:
    """The sizes that a step leaves behind."""
    return step.canvas_after(canvas) if isinstance(step, Geometric) else canvas


def taken(parameters: Sequence[Parameters], rows: Rows) -> list[Parameters]:
    """The parameters of some images; of all where rows is None."""
    return [_taken(each, rows) for each in parameters]


def changed(drawn: Sequence[Parameters]) -> Rows:
    """(m,) the images that any of some steps happens to; None where that is all of them.

    Args:
        drawn: each step's parameters.
    """
    masks = [mask for parameters in drawn if (mask := active(parameters)) is not None]
    return np.flatnonzero(np.logical_or.reduce(masks)) if len(masks) == len(drawn) else None


def _taken(parameters: Parameters, rows: Rows) -> Parameters:
    return parameters if rows is None else {k: values[rows] for k, values in parameters.items()}


def _copies(canvas: Canvas, steps: Sequence[Transform]) -> bool:
    """Whether an image that none of some steps happens to is its source."""
    keeps = all(
        type(step).canvas_after is Geometric.canvas_after
        for step in steps
        if isinstance(step, Geometric)
    )
    return keeps and len(canvas.sizes()) == 1


def _one_size(canvas: Canvas) -> tuple[int, int]:
    """The (height, width) that all images end a stage with.

    Raises:
        ImageContractError: they differ.
    """
    sizes = canvas.sizes() or [(0, 0)]
    if len(sizes) > 1:
        raise ImageContractError(
            f"expected images that end with one size, got {sizes[:3]}; start the "
            "pipeline with a resize, or end it with a crop",
            {"expected": "one size", "found": sizes},
        )
    return sizes[0]
