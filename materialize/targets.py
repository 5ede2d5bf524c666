"""Masks and objects of rows, as they lie on prepared images and on copies.

The very calls by which a build stores them, a loader makes them and a verification makes them
again.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materialize.population import Population, load_targets
from materialize.room import PIXELS_AT_ONCE, room_for
from materialize.sources import Source
from pipelines import Pipeline
from pipelines.contract import Arena
from pipelines.kernels import SLACK_BYTES
from pipelines.objects import ObjectKinds, Objects
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


def moved_objects(
    pipeline: Pipeline,
    targets: PreparedTargets,
    words: NDArray[np.uint32] | None,
    kinds: ObjectKinds,
) -> Objects:
    """The objects of n copies.

    Args:
        pipeline: what happens to each copy.
        targets: of the n images, objects among them.
        words: (n, words) the copies' draws; None for untouched images.
        kinds: of the dataset.
    """
    objects = targets.objects
    if objects is None:
        raise ValueError("expected images with objects, got some without")
    return (
        objects if words is None else pipeline.move_objects(objects, words, targets.canvas, kinds)
    )


def render_masks(
    pipeline: Pipeline,
    targets: PreparedTargets,
    words: NDArray[np.uint32] | None,
    out: NDArray[np.uint8],
) -> None:
    """Writes the masks of n copies.

    Args:
        pipeline: what happens to each copy.
        targets: of the n images, masks among them.
        words: (n, words) the copies' draws; None for untouched images.
        out: (n, H, W, M), written.
    """
    masks = targets.masks
    if masks is None:
        raise ValueError("expected images with masks, got some without")
    height, width = out.shape[1:3]
    size = max(PIXELS_AT_ONCE // (height * width), 1)
    for start in range(0, len(masks), size):
        part = np.arange(start, min(start + size, len(masks)))
        if words is not None:
            pipeline.augment_masks(masks.take(part), words[part], out[start : start + size])
            continue
        for row in part.tolist():
            out[row] = masks.image(row)


def _blank_masks(canvas: Canvas, channels: int) -> Arena:
    """An arena of zeros for masks of these sizes, in memory or in a mapped temporary file."""
    sizes = canvas.heights * canvas.widths * channels
    ends = np.cumsum(sizes)
    room = int(ends[-1]) + int((canvas.widths * channels).max()) + SLACK_BYTES
    values = room_for(room, np.dtype(np.uint8))
    return Arena(values, ends - sizes, canvas.heights, canvas.widths, channels)
