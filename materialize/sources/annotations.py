"""Objects as annotation files list them, brought to one form: columns, clipped, none without area.

What is changed on the way is counted and named, never silent: boxes that reach beyond their image
are clipped, boxes without an area are left out, segmentations that are no polygons are kept as
boxes.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from materialize.errors import SourceError
from materialize.sources.base import Record, first_few
from materialize.sources.file_targets import FileTargets
from materialize.sources.files import FileSource, check_link
from materialize.sources.records import RecordTable
from materialize.sources.targets import TargetNote, TargetSchema
from pipelines.objects import ObjectKinds, Objects

MAX_COORDINATE = 1e6
"""Beyond any image; single precision still tells sixteenths of a pixel apart there."""

CLIPPED = "boxes beyond their image, clipped"
NO_AREA = "boxes without an area, left out"
MASKED = "segmentations that are masks (RLE), kept as boxes"
NO_SHAPE = "shapes that are neither boxes nor polygons, left out"
SHORT_RING = "polygons of fewer than three corners, left out"


@dataclass(slots=True)
class AnnotatedObject:
    """One object, in pixels from the image's top left corner."""

    name: str
    box: tuple[float, float, float, float]
    """Left, top, right, bottom."""
    flags: int = 0
    keypoints: Sequence[float] = ()
    """x, y and visibility of each, one after another; empty for none."""
    rings: Sequence[Sequence[float]] = ()
    """Polygons, each as x, y, x, y …"""
    remark: str = ""
    """One of the constants above, for what was read in another way than it was written."""


@dataclass(slots=True)
class AnnotatedImage:
    """One image that annotations name."""

    locator: str
    """Its path relative to the root, with ``/``."""
    size: tuple[int, int] | None
    """(height, width), where they say it."""
    objects: list[AnnotatedObject] = field(default_factory=list)
    split: str = "train"
    origin: str = ""
    """The annotation file, for messages."""
    remarks: list[str] = field(default_factory=list)
    """What was left out of it while it was read."""


class AnnotatedSource(FileSource):
    """Images that annotation files name, without a class of their own.

    Args:
        root: the images' folder.
        images: what the files say.
        kinds: the classes and keypoints of objects.
        description: what `describe` says.
        follow_links: also follow links that leave the root.

    Raises:
        SourceError: images are missing, or a coordinate is absurd.
    """

    def __init__(
        self,
        root: Path,
        images: Sequence[AnnotatedImage],
        kinds: ObjectKinds,
        description: dict[str, Any],
        *,
        follow_links: bool = False,
    ) -> None:
        """Check that the images are there and put the objects into columns."""
        top = root.resolve()
        images = sorted(images, key=lambda image: image.locator.encode("utf-8", "surrogateescape"))
        _check_files(top, images, follow_links=follow_links)
        self._description = {**description, "path": description.get("path", str(top))}
        records = [Record(image.locator, None, image.split) for image in images]
        objects, notes = _columns(images, kinds)
        sizes = np.array([image.size or (0, 0) for image in images], np.int32).reshape(-1, 2)
        targets = FileTargets(TargetSchema(kinds), (), objects, sizes, None, notes)
        super().__init__(top, RecordTable.of(records, ()), targets)

    def describe(self) -> dict[str, Any]:
        """Where the annotations and the images are."""
        return self._description


def _check_files(root: Path, images: Sequence[AnnotatedImage], *, follow_links: bool) -> None:
    """Refuses annotations of images that are not there, twice or outside the root."""
    if not images:
        raise SourceError(f"no image is annotated under {root}", {"path": str(root)})
    missing = [image for image in images if not (root / image.locator).is_file()]
    if missing:
        named = first_few(f"{image.locator} (named by {image.origin})" for image in missing)
        raise SourceError(
            f"{len(missing)} of {len(images)} annotated images are not under {root}: {named}; name "
            "the images' folder as the source and the file with the option annotations, or bring "
            "the images back",
            {"path": str(root), "missing": [image.locator for image in missing[:20]]},
        )
    for image, following in itertools.pairwise(images):
        if image.locator == following.locator:
            raise SourceError(
                f"{image.locator} is annotated twice, by {image.origin} and {following.origin}: "
                "keep one of them",
                {"locator": image.locator},
            )
    for image in images:
        if not follow_links:
            check_link(root / image.locator, image.locator, root)


def _columns(
    images: Sequence[AnnotatedImage], kinds: ObjectKinds
) -> tuple[Objects, tuple[TargetNote, ...]]:
    """The objects of all images, and what was changed of them."""
    number = {name: place for place, name in enumerate(kinds.names)}
    where: dict[str, list[str]] = {}
    for image in images:
        for remark in image.remarks:
            where.setdefault(remark, []).append(image.locator)
        image.objects = [item for item in image.objects if _brought_in(image, item, where)]
    objects = [item for image in images for item in image.objects]
    counts = np.array([len(image.objects) for image in images], np.int64)
    rings = [ring for item in objects for ring in item.rings]
    unlabelled = (0.0,) * (3 * len(kinds.keypoint_names))
    keypoints = [item.keypoints or unlabelled for item in objects]
    columns = Objects(
        offsets=_offsets(counts),
        labels=np.array([number[item.name] for item in objects], np.int32),
        numbers=(np.arange(len(objects)) - np.repeat(_offsets(counts)[:-1], counts)).astype("<i4"),
        flags=np.array([item.flags for item in objects], np.uint8),
        boxes=np.array([item.box for item in objects], np.float32).reshape(-1, 4),
        keypoints=np.array(keypoints, np.float32).reshape(
            len(objects), len(kinds.keypoint_names), 3
        ),
        ring_offsets=_offsets([len(item.rings) for item in objects]),
        point_offsets=_offsets([len(ring) // 2 for ring in rings]),
        points=np.array([v for ring in rings for v in ring], np.float32).reshape(-1, 2),
    )
    notes = (TargetNote(what, tuple(places)) for what, places in sorted(where.items()))
    return columns, tuple(notes)


def _brought_in(image: AnnotatedImage, item: AnnotatedObject, where: dict[str, list[str]]) -> bool:
    """Clips one object to its image, and says whether it is kept."""

    def note(what: str) -> None:
        where.setdefault(what, []).append(f"{image.locator} ({item.name})")

    values = [*item.box, *item.keypoints, *(v for ring in item.rings for v in ring)]
    if not all(map(math.isfinite, values)) or max(map(abs, values)) > MAX_COORDINATE:
        raise SourceError(
            f"{image.origin}: {item.name} in {image.locator}: expected coordinates within "
            f"{MAX_COORDINATE:g} pixels, found {first_few(values)}; correct the annotation",
            {"path": image.origin, "locator": image.locator},
        )
    if item.remark:
        note(item.remark)
    left, top, right, bottom = item.box
    if image.size is not None:
        height, width = image.size
        inside = (max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height))
        # Decimal fractions of a pixel are rounding, not a box that reaches out of its image.
        if max(-left, -top, right - width, bottom - height) > 0.01:
            note(CLIPPED)
        left, top, right, bottom = item.box = inside
    if np.float32(right) <= np.float32(left) or np.float32(bottom) <= np.float32(top):
        note(NO_AREA)
        return False
    short = [ring for ring in item.rings if len(ring) < 6]
    if short:
        note(SHORT_RING)
        item.rings = [ring for ring in item.rings if len(ring) >= 6]
    return True


def _offsets(lengths: Sequence[int] | np.ndarray[Any, np.dtype[np.int64]]) -> Any:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
