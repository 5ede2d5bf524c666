"""Masks and objects of rows, as they lie on prepared images and on copies.

The very calls by which a build stores them, a loader makes them and a verification makes them
again.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materialize.population import Population, load_targets
from materialize.room import room_for
from materialize.sources import Source
from pipelines import Pipeline
from pipelines.contract import Arena
from pipelines.kernels import SLACK_BYTES
from pipelines.objects import NO_KINDS, ObjectKinds, Objects
from pipelines.transform import Canvas

_ROWS_AT_ONCE = 256
"""Records whose masks are decoded before they are put in their place."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedTargets:
    """What moves with the pixels of n images, before anything random happens to them."""

    canvas: Canvas
    """The sizes of the n prepared images."""
    objects: Objects | None
    """None where images have none, or nobody asked."""
    masks: Arena | None
    """None where images have none, or nobody asked."""

    def take(self, rows: NDArray[np.integer]) -> "PreparedTargets":
        """Those of some images, in their order."""
        canvas = Canvas(self.canvas.heights[rows], self.canvas.widths[rows])
        objects = None if self.objects is None else self.objects.take(rows)
        return PreparedTargets(
            canvas, objects, None if self.masks is None else self.masks.take(rows)
        )


def prepare_targets(
    source: Source, pipeline: Pipeline, rows: Population, *, masks: bool = True
) -> PreparedTargets:
    """Reads masks and objects from the source, and resizes them as their images.

    Args:
        source: the source that was scanned.
        pipeline: its resize is applied.
        rows: whose; something moves with their pixels.
        masks: whether masks are asked for.

    Raises:
        RecordReadError: an annotation changed since the scan, or cannot be read.
        UndecodableImageError: it is no such thing any more.
    """
    untouched = Canvas(rows.heights.astype(np.int64), rows.widths.astype(np.int64))
    resize = pipeline.resize
    canvas = untouched.resized(resize.height, resize.width) if resize else untouched
    schema = rows.schema
    arena = _blank_masks(canvas, len(schema.mask_names)) if masks and schema.mask_names else None
    parts = []
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        here = range(start, min(start + _ROWS_AT_ONCE, len(rows)))
        loaded = load_targets(source, rows, here)
        if loaded.objects is not None:
            parts.append(loaded.objects)
        for row, mask in zip(here, loaded.masks or (), strict=bool(loaded.masks)):
            if arena is not None:
                arena.image(row)[...] = pipeline.prepare_mask(mask)
    if schema.objects is None:
        return PreparedTargets(canvas, None, arena)
    none = Objects.none(0, len(schema.objects.keypoint_names))
    objects = pipeline.prepare_objects(Objects.joined([none, *parts]), untouched)
    return PreparedTargets(canvas, objects, arena)


def move_targets(
    pipeline: Pipeline,
    targets: PreparedTargets,
    words: NDArray[np.uint32] | None,
    *,
    kinds: ObjectKinds | None = None,
    masks: NDArray[np.uint8] | None = None,
) -> Objects | None:
    """Writes the masks of n copies, and returns their objects.

    Args:
        pipeline: what happens to each copy.
        targets: of the n images.
        words: (n, words) the copies' draws; None for untouched images.
        kinds: of the dataset; None where no objects are asked for.
        masks: (n, H, W, M), written; None where no masks are asked for.

    Returns:
        The objects; None where none are asked for.
    """
    objects = None if kinds is None else targets.objects
    arena = None if masks is None else targets.masks
    if (kinds is not None and objects is None) or (masks is not None and arena is None):
        raise ValueError("expected images with the masks and objects asked for, got some without")
    if words is not None:
        return pipeline.move_targets(
            words, targets.canvas, masks=arena, out=masks, objects=objects,
            kinds=kinds or NO_KINDS,
        )  # fmt: skip
    if arena is not None and masks is not None:
        for row in range(len(arena)):
            masks[row] = arena.image(row)
    return objects


def _blank_masks(canvas: Canvas, channels: int) -> Arena:
    """An arena of zeros for masks of these sizes, in memory or in a mapped temporary file."""
    sizes = canvas.heights * canvas.widths * channels
    ends = np.cumsum(sizes)
    room = int(ends[-1]) + int((canvas.widths * channels).max()) + SLACK_BYTES
    values = room_for(room, np.dtype(np.uint8))
    return Arena(values, ends - sizes, canvas.heights, canvas.widths, channels)
