"""Images with what they show, augmented together: for whoever has arrays and no dataset."""

# ruff: noqa: PLR0913  (images, their targets and their addresses come one by one)

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import Batch
from pipelines.errors import ImageContractError
from pipelines.masks import Masks, pack_masks
from pipelines.objects import NO_KINDS, ObjectKinds, Objects
from pipelines.pipeline import Pipeline
from pipelines.transform import Canvas


@dataclass(frozen=True, slots=True, eq=False)
class Augmented:
    """Images, and what they show."""

    images: Batch
    """(n, H', W', C)"""
    masks: Masks | None
    """(n, H', W', M) uint8; None where none were given."""
    objects: Objects | None
    """Of the n images; None where none were given."""


def apply_targets(
    pipeline: Pipeline,
    images: Sequence[Batch] | Batch,
    *,
    seed: int,
    sample_ids: NDArray[np.uint8],
    copies: NDArray[np.integer] | int,
    masks: Sequence[Masks] | Masks | None = None,
    objects: Objects | None = None,
    kinds: ObjectKinds | None = None,
    value_range: tuple[float, float] | None = None,
) -> Augmented:
    """The augmented copies of n images with their masks, boxes, keypoints and polygons.

    Args:
        pipeline: moves all of them by the same draw.
        images: (n, H, W, C) uint8 or float32, or a sequence of (H, W, C); not modified.
        seed: in [0, 2**64).
        sample_ids: (n, 16) uint8.
        copies: (n,) or one: which copy of each image.
        masks: (n, H, W, M) uint8, or a sequence of (H, W, M), each as large as its image.
        objects: of the n images.
        kinds: what mirrored images exchange; needed where keypoints have two sides.
        value_range: see `Pipeline.apply`.

    Raises:
        PipelineFileError: the pipeline has steps that masks and objects cannot follow.
        ImageContractError: masks and images differ in number or size, or objects in number.
    """
    pipeline.check_targets()
    out = pipeline.apply(
        images, seed=seed, sample_ids=sample_ids, copies=copies, value_range=value_range
    )
    untouched = Canvas(*(np.array([i.shape[axis] for i in images], np.int64) for axis in range(2)))
    canvas = untouched
    if pipeline.resize is not None:
        canvas = untouched.resized(pipeline.resize.height, pipeline.resize.width)
    arena = moved_masks = None
    if masks is not None:
        _check_sizes(masks, untouched)
        arena = pack_masks([pipeline.prepare_mask(mask) for mask in masks])
        moved_masks = np.empty((*out.shape[:3], arena.channels), np.uint8)
    prepared = None if objects is None else pipeline.prepare_objects(objects, untouched)
    words = pipeline.draw(seed, sample_ids, copies)
    moved_objects = pipeline.move_targets(
        words, canvas, masks=arena, out=moved_masks, objects=prepared,
        kinds=kinds or NO_KINDS,
    )  # fmt: skip
    return Augmented(out, moved_masks, moved_objects)


def _check_sizes(masks: Sequence[Masks] | Masks, canvas: Canvas) -> None:
    """Refuses masks that are not those of the images."""
    found = [mask.shape[:2] for mask in masks]
    expected = list(zip(canvas.heights.tolist(), canvas.widths.tolist(), strict=True))
    if found != expected:
        raise ImageContractError(
            f"masks: expected one for each of {len(expected)} images and as large as it, got "
            f"{len(found)}, first sizes {found[:3]} for images of {expected[:3]}; give them in "
            "the order of the images",
            {"expected": expected[:3], "found": found[:3]},
        )
