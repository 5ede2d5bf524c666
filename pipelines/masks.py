"""Masks: images of labels that follow their images, each label from the nearest pixel.

A mask is (H, W, M) uint8: M channels of labels from 0 to 255, as large as its image. Labels are
never averaged, so a mask holds no label that it did not hold before but the fill.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import MAX_SIDE, Arena, blank
from pipelines.coordinates import BORDERS
from pipelines.errors import ImageContractError
from pipelines.lowering import taken
from pipelines.motion import Motion, Straight, motions_of
from pipelines.nearest import pick_labels
from pipelines.transform import Canvas, Parameters, Transform

Masks = NDArray[np.uint8]
"""(n, H, W, M) uint8."""
_MOST_VALUES = 1 << 31
"""Of one mask: offsets within it have 32 bits."""
_PIXELS_BETWEEN = 2**20
"""Pixels of masks between two motions: a batch stays in cache, and a shard's out of memory."""


class LabelSampling(Protocol):
    """How a pipeline reads masks."""

    @property
    def border(self) -> str:
        """What lies outside an image: one of `BORDERS`."""

    @property
    def mask_border(self) -> str | None:
        """What lies outside a mask; None: the same as outside its image."""

    @property
    def mask_fill(self) -> int:
        """The label outside under a constant border."""


class MaskRendered(LabelSampling, Protocol):
    """What is asked of a pipeline."""

    @property
    def moving_steps(self) -> tuple[Transform, ...]:
        """All steps that are drawn."""


def pack_masks(masks: Sequence[Masks] | Masks) -> Arena:
    """Copies masks into an arena.

    Args:
        masks: (n, H, W, M) uint8, or a sequence of (H, W, M) that may differ in size; not modified.

    Raises:
        ImageContractError: rank or dtype are wrong, channels differ, or a side is out of bounds.
    """
    channels = masks[0].shape[-1] if len(masks) else 1
    for row, mask in enumerate(masks):
        good = mask.ndim == 3 and mask.dtype == np.uint8 and 1 <= mask.shape[2] == channels
        if not good or not 1 <= min(mask.shape[:2]) <= max(mask.shape[:2]) <= MAX_SIDE:
            expected = f"(H, W, {channels}) uint8 with sides in [1, {MAX_SIDE}]"
            raise ImageContractError(
                f"mask {row}: expected {expected}, got {mask.shape} {mask.dtype}; give labels from "
                "0 to 255 and a last axis of channels",
                {"row": row, "expected": expected, "found": (mask.shape, str(mask.dtype))},
            )
    heights = np.array([mask.shape[0] for mask in masks], dtype=np.int64)
    widths = np.array([mask.shape[1] for mask in masks], dtype=np.int64)
    arena = blank(heights, widths, channels, np.dtype(np.uint8))
    for row, mask in enumerate(masks):
        arena.image(row)[...] = mask
    return arena


def render_masks(
    pipeline: MaskRendered,
    parameters: Sequence[Parameters],
    motions: Sequence[Motion],
    masks: Arena,
    out: Masks,
    *,
    plain: bool = False,
) -> None:
    """Writes n masks, moved with given parameters.

    Args:
        pipeline: the steps, and how masks are read.
        parameters: each step's.
        motions: what they come to, as `pipelines.motion.motions_of` gives it.
        masks: n prepared masks.
        out: (n, H', W', M) uint8; written.
        plain: True to run the NumPy twins instead of the kernels; the bytes are equal.

    Raises:
        PipelineFileError: the pipeline has steps that masks cannot follow.
        ImageContractError: see `move_masks`.
    """
    sizes = Canvas(masks.heights, masks.widths).sizes()
    largest = max([height * width for height, width in sizes], default=1)
    at_once = max(_PIXELS_BETWEEN // max(largest, out.shape[1] * out.shape[2]), 1)
    if len(motions) == 1 or (len(sizes) <= 1 and len(masks) <= at_once):
        move_masks(motions, masks, pipeline, out, plain=plain)
        return
    # Between two motions masks are of one size, and stand in memory.
    for height, width in sizes:
        same = np.flatnonzero((masks.heights == height) & (masks.widths == width))
        for start in range(0, len(same), at_once):
            rows = same[start : start + at_once]
            here, drawn = masks.take(rows), taken(parameters, rows)
            moved = motions_of(pipeline.moving_steps, drawn, Canvas(here.heights, here.widths))
            some = np.empty((len(rows), *out.shape[1:]), np.uint8)
            move_masks(moved, here, pipeline, some, plain=plain)
            out[rows] = some


def move_masks(
    motions: Sequence[Motion], masks: Arena, how: LabelSampling, out: Masks, *, plain: bool = False
) -> None:
    """Writes n masks, moved as their images are.

    Args:
        motions: as `pipelines.motion.motions_of` gives them. Where there is more than one, all
            masks have one size.
        masks: n masks.
        how: the pipeline's borders and fill.
        out: (n, H', W', M) uint8, C-contiguous; written.
        plain: True to run the NumPy twins instead of the kernels; the bytes are equal.

    Raises:
        ImageContractError: ``out`` or the number of masks does not fit, masks end with different
            sizes, or one reaches out of its arena.
    """
    last = max(i for i, motion in enumerate(motions) if isinstance(motion, Straight))
    _check(masks, out, motions[last])
    batch = out
    for number, motion in enumerate(motions):
        if isinstance(motion, Straight):
            height, width = motion.canvas.sizes()[0] if len(masks) else out.shape[1:3]
            shape = (len(masks), height, width, masks.channels)
            batch = out if number == last else np.empty(shape, np.uint8)
            pick_labels(
                masks.values, masks.starts, masks.heights, masks.widths, motion.matrix,
                BORDERS.index(how.mask_border or how.border), motion.margin, how.mask_fill, batch,
                plain=plain,
            )  # fmt: skip
            masks = _arena(batch)
        else:
            some = batch if motion.rows is None else batch[motion.rows]
            motion.step.run_mask(some, motion.parameters, fill_label=how.mask_fill,
                                 border=how.mask_border, plain=plain)  # fmt: skip
            if motion.rows is not None:
                batch[motion.rows] = some


def _arena(masks: Masks) -> Arena:
    """Masks of one size, in place."""
    count, height, width, channels = masks.shape
    starts = np.arange(count, dtype=np.int64) * (height * width * channels)
    heights, widths = np.full(count, height), np.full(count, width)
    return Arena(masks.reshape(-1), starts, heights, widths, channels)


def _check(masks: Arena, out: Masks, motion: Motion) -> None:
    """Refuses memory that masks cannot be written to, or that is none of theirs."""
    sizes = motion.canvas.sizes()
    expected = (len(masks), *(sizes[0] if sizes else out.shape[1:3]), masks.channels)
    ends = masks.starts + masks.heights * masks.widths * masks.channels
    sound = (
        masks.values.ndim == 1
        and masks.values.dtype == np.uint8
        and masks.values.flags.c_contiguous
        and bool((masks.starts >= 0).all() and (ends <= len(masks.values)).all())
        and len(motion.canvas.heights) == len(masks)
        and int((ends - masks.starts).max(initial=0)) < _MOST_VALUES
    )
    fits = out.shape == expected and out.dtype == np.uint8 and out.flags.c_contiguous
    if not sound or not fits or len(sizes) > 1:
        raise ImageContractError(
            f"output for {len(masks)} masks: expected {expected} uint8, C-contiguous, and masks "
            f"inside their array that end with one size, got {out.shape} {out.dtype} and sizes "
            f"{sizes[:3]}; allocate it so, and lay masks out with `pack_masks`",
            {"expected": expected, "found": out.shape},
        )
