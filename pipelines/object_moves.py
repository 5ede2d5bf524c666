"""Boxes, keypoints and polygons that follow their images.

They go where the pixels go: through the inverse of the very fixed-point matrix that pixels are read
by, and through steps that bend. Everything is computed in double precision and rounded to single at
the end. What a border repeats outside the image is no object.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ImageContractError
from pipelines.motion import Bent, Motion, Straight
from pipelines.objects import ObjectKinds, Objects
from pipelines.points import (
    Maps,
    Offsets,
    Points,
    forward_maps,
    frame,
    map_points,
    move_boxes,
    outlines,
)
from pipelines.rings import clip_rings
from pipelines.transform import Canvas

_BENT_SIDE = 8
"""Points along each side of a box that is bent; of any other box the corners tell everything."""


@dataclass(frozen=True, slots=True)
class _Course:
    """Objects on their way: as many as there were, in double precision."""

    objects: Objects
    """As they were; ring_offsets and point_offsets as they are."""
    outline: Points
    """Points along the sides of every box."""
    keypoints: Points
    """(m · K, 2)"""
    corners: Points
    """Of all polygons."""
    boxes: NDArray[np.float32]
    """(m, 4) about the outlines, cut at the image's sides."""
    is_there: NDArray[np.bool_]
    """(m,) which objects are to be seen so far."""
    is_visible: NDArray[np.bool_]
    """(m · K,) which keypoints are labelled and lay inside the image so far."""

    def ends(self) -> tuple[Offsets, ...]:
        """Which points of outlines, keypoints and polygons lie in which image."""
        own = self.objects
        per_box = len(self.outline) // max(own.num_objects, 1)
        corners = own.point_offsets[own.ring_offsets[own.offsets]]
        return own.offsets * per_box, own.offsets * own.keypoints.shape[1], corners


def move_objects(
    motions: Sequence[Motion],
    objects: Objects,
    kinds: ObjectKinds,
    min_visibility: float,
    *,
    plain: bool = False,
) -> Objects:
    """The objects of n images, moved as their pixels are.

    Args:
        motions: as `pipelines.motion.motions_of` gives them.
        objects: of the n images, not modified.
        kinds: of the dataset; says which keypoints a mirror image exchanges.
        min_visibility: see `pipelines.pipeline.Pipeline`.
        plain: True to run the twins instead of the kernels; the bytes are equal.

    Raises:
        ImageContractError: the objects are not those of n images.
    """
    _check_count(objects, motions[0].canvas)
    if not objects.num_objects:
        return objects
    first = motions[0]
    if isinstance(first, Straight) and len(motions) == 1:
        maps, is_mirrored = forward_maps(first.matrix)
        course = _moved_once(objects, maps, first.canvas, min_visibility, plain)
        return _ended(course, is_mirrored, kinds.keypoint_swaps)
    course = _begun(objects, _BENT_SIDE if any(isinstance(m, Bent) for m in motions) else 1)
    is_mirrored = np.zeros(len(objects), np.bool_)
    for number, motion in enumerate(motions):
        if isinstance(motion, Bent):
            course = _bent(course, motion)
        else:
            maps, mirrors = forward_maps(motion.matrix)
            is_mirrored ^= mirrors
            course = _mapped(course, maps, plain)
        least = min_visibility if number == len(motions) - 1 else 0.0
        sizes = (motion.canvas.widths, motion.canvas.heights)
        framed = frame(course.outline, objects.offsets, *sizes, least, plain=plain)
        course = _cut(course, motion.canvas, framed, plain)
    return _ended(course, is_mirrored, kinds.keypoint_swaps)


def map_objects(
    maps: Maps, objects: Objects, canvas: Canvas, min_visibility: float, *, plain: bool = False
) -> Objects:
    """The objects of n images through maps that do not mirror.

    Args:
        maps: (n, 6)
        objects: of the n images, not modified.
        canvas: the sizes afterwards.
        min_visibility: see `pipelines.pipeline.Pipeline`.
        plain: True to run the twins instead of the kernels; the bytes are equal.

    Raises:
        ImageContractError: the objects are not those of n images.
    """
    _check_count(objects, canvas)
    if not objects.num_objects:
        return objects
    course = _moved_once(objects, maps, canvas, min_visibility, plain)
    return _ended(course, np.zeros(len(objects), np.bool_), ())


def _check_count(objects: Objects, canvas: Canvas) -> None:
    if len(objects) != len(canvas.heights):
        raise ImageContractError(
            f"objects: expected those of {len(canvas.heights)} images, got {len(objects)}; give "
            "an image without objects an empty place",
            {"expected": len(canvas.heights), "found": len(objects)},
        )


def _moved_once(
    objects: Objects, maps: Maps, canvas: Canvas, min_visibility: float, plain: bool
) -> _Course:
    """Through one map for each image and nothing else: the usual case, without outlines."""
    framed = move_boxes(objects.boxes, objects.offsets, maps, canvas.widths, canvas.heights,
                        min_visibility, plain=plain)  # fmt: skip
    return _cut(_mapped(_begun(objects, 0), maps, plain), canvas, framed, plain)


def _begun(objects: Objects, per_side: int) -> _Course:
    """Where objects are before they move; without outlines for 0 points per side."""
    keypoints = objects.keypoints.reshape(-1, 3)
    return _Course(
        objects=objects,
        outline=outlines(objects.boxes, per_side) if per_side else np.zeros((0, 2)),
        keypoints=keypoints[:, :2].astype(np.float64),
        corners=objects.points.astype(np.float64),
        boxes=objects.boxes,
        is_there=np.ones(objects.num_objects, np.bool_),
        is_visible=keypoints[:, 2] > 0,
    )


def _mapped(course: _Course, maps: Maps, plain: bool) -> _Course:
    """Through one map for each image."""
    clouds = (course.outline, course.keypoints, course.corners)
    outline, keypoints, corners = (
        map_points(points, ends, maps, plain=plain) if len(points) else points
        for points, ends in zip(clouds, course.ends(), strict=True)
    )
    return replace(course, outline=outline, keypoints=keypoints, corners=corners)


def _bent(course: _Course, motion: Bent) -> _Course:
    """Through a step that says where each point goes, for the images that it happens to."""
    clouds = (course.outline, course.keypoints, course.corners)
    images = np.concatenate(
        [np.repeat(np.arange(len(ends) - 1), np.diff(ends)) for ends in course.ends()]
    )
    points = np.concatenate(clouds)
    canvas = motion.canvas
    happens = np.ones(len(points), np.bool_)
    if motion.rows is not None:
        canvas = Canvas(canvas.heights[motion.rows], canvas.widths[motion.rows])
        place = np.full(len(course.objects), -1)
        place[motion.rows] = np.arange(len(motion.rows))
        images = place[images]
        happens = images >= 0
    if happens.any():
        # What lies outside the image is lost by now, and in a view from aside may lie behind the
        # eye. Steps count from the centre of the first pixel.
        rows = images[happens]
        sides = np.stack([canvas.widths[rows], canvas.heights[rows]], axis=1)
        inside = np.clip(points[happens], 0, sides)
        points[happens] = 0.5 + motion.step.move_points(
            inside - 0.5, rows, motion.parameters, canvas
        )
    outline, keypoints, corners = np.split(points, np.cumsum([len(c) for c in clouds])[:-1])
    return replace(course, outline=outline, keypoints=keypoints, corners=corners)


def _cut(
    course: _Course,
    canvas: Canvas,
    framed: tuple[NDArray[np.float32], NDArray[np.bool_]],
    plain: bool,
) -> _Course:
    """What of the objects lies inside the images; their boxes are framed already."""
    own = course.objects
    boxes, seen = framed
    course = replace(course, boxes=boxes, is_there=course.is_there & seen)
    limits = np.stack([canvas.widths, canvas.heights], axis=1).astype(np.float64)
    counts = np.diff(own.offsets)
    if len(course.keypoints):
        each = np.repeat(limits, counts * own.keypoints.shape[1], axis=0)
        inside = ((course.keypoints >= 0) & (course.keypoints <= each)).all(axis=1)
        course = replace(course, is_visible=course.is_visible & inside)
    if len(course.corners):
        rings = np.diff(own.ring_offsets[own.offsets])
        corners, ends = clip_rings(
            course.corners, own.point_offsets, np.repeat(limits, rings, axis=0), plain=plain
        )
        is_left = np.diff(ends) > 0
        kept = np.concatenate([np.zeros(1, np.int64), np.cumsum(is_left)])
        own = replace(
            own,
            ring_offsets=kept[own.ring_offsets],
            point_offsets=np.concatenate([ends[:1], ends[1:][is_left]]),
        )
        course = replace(course, objects=own, corners=corners)
    return course


def _ended(course: _Course, is_mirrored: NDArray[np.bool_], swaps: tuple[int, ...]) -> Objects:
    """The objects that are to be seen, in single precision."""
    own = course.objects
    keypoints = own.keypoints
    if keypoints.size:
        moved = np.where(course.is_visible[:, None], course.keypoints, 0.0).astype(np.float32)
        hidden = np.where(course.is_visible, keypoints.reshape(-1, 3)[:, 2], 0)
        keypoints = np.concatenate([moved, hidden[:, None]], axis=1).reshape(keypoints.shape)
        if swaps and is_mirrored.any():
            rows = np.flatnonzero(is_mirrored[own.images])
            keypoints[rows] = keypoints[rows][:, list(swaps)]
    moved_objects = replace(
        own, boxes=course.boxes, keypoints=keypoints, points=course.corners.astype(np.float32)
    )
    return moved_objects if course.is_there.all() else moved_objects.keep(course.is_there)
