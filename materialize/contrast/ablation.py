"""Each transform of a pipeline left out, and each alone, without changing the draws of the others.

A step's draws hang on its key: its id, or its name numbered among equals. Leaving one of two equals
out would renumber the other, so every step is first given its key as its id; the images of the
remaining steps are then moved exactly as they are in the whole pipeline. A step that holds steps is
left out or kept with everything in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from materialize.errors import ConfigError
from pipelines import Pipeline
from pipelines.placement import PlacedStep
from pipelines.transform import Canvas, Geometric, Transform

KINDS = ("without", "alone")
"""Of what can be asked about a transform."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A pipeline that shows what one transform does."""

    kind: str
    """``without`` or ``alone``."""
    transform: str
    """Key of the step in question."""
    pipeline: Pipeline

    @property
    def label(self) -> str:
        """``without rotation`` or ``rotation alone``."""
        is_alone = self.kind == "alone"
        return f"{self.transform} alone" if is_alone else f"without {self.transform}"


def variants(pipeline: Pipeline, kinds: Sequence[str] = KINDS) -> tuple[Variant, ...]:
    """Every transform left out, or every transform alone.

    A resize in front stays, and so do crops: without them the images would end with another size.

    Args:
        pipeline: with at least one step that keeps the size.
        kinds: ``without``, ``alone`` or both.

    Returns:
        One for each step and kind; of a single step only ``alone``, for leaving it out leaves
        nothing, which is the arm without augmentation.

    Raises:
        ConfigError: it has no step that could be left out.
    """
    named = [(placed.key, placed.step) for placed in outermost(pipeline)]
    keys = [key for key, step in named if not _changes_size(step)]
    lasting = [key for key, step in named if _changes_size(step)]
    if not keys:
        raise ConfigError(
            f"ablation: expected a pipeline with a step that can be left out, found none in "
            f"{pipeline.name}; leave ablation out",
            {"name": "ablation", "found": 0},
        )
    without = [
        Variant("without", key, with_steps(pipeline, [*lasting, *(k for k in keys if k != key)]))
        for key in keys
        if len(keys) > 1
    ]
    alone = [Variant("alone", key, with_steps(pipeline, [*lasting, key])) for key in keys]
    return tuple(variant for variant in (*without, *alone) if variant.kind in kinds)


def _changes_size(step: Transform) -> bool:
    """Whether images leave a step with another size than they came with."""
    if not isinstance(step, Geometric):
        return False
    canvas = Canvas(np.array([1009]), np.array([1013]))  # sizes that nobody crops to
    return list(step.canvas_after(canvas).sizes()) != list(canvas.sizes())


def outermost(pipeline: Pipeline) -> tuple[PlacedStep, ...]:
    """The moving steps that stand in no other."""
    return tuple(placed for placed in pipeline.placed if placed.gate is None)


def with_steps(pipeline: Pipeline, kept: Sequence[str]) -> Pipeline:
    """A pipeline with some of its steps, each drawing what it drew before.

    Args:
        pipeline: the whole.
        kept: keys of the outermost steps to keep, with everything in them.
    """
    wanted = (placed for placed in outermost(pipeline) if placed.key in kept)
    steps = tuple(replace(placed.step, id=placed.key) for placed in wanted)
    front = (pipeline.resize,) if pipeline.resize is not None else ()
    return replace(pipeline, steps=(*front, *steps))
