"""What images show besides their class: objects with a box, keypoints and polygons.

Coordinates are pixels of the image, x to the right and y down, and measured from its top left
*corner*: the image covers [0, W] × [0, H], pixel (row, column) covers [column, column + 1) ×
[row, row + 1), so a point lies in pixel ``image[int(y), int(x)]`` and the centre of that pixel is
at (column + 0.5, row + 0.5). Other conventions are turned into this one where they are read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ImageContractError

CROWD, DIFFICULT, TRUNCATED, OCCLUDED = 1, 2, 4, 8
"""Bits of `Objects.flags`, as COCO's iscrowd and VOC's difficult, truncated and occluded."""


@dataclass(frozen=True, slots=True)
class ObjectKinds:
    """What all objects of a dataset have in common."""

    names: tuple[str, ...]
    """Class names of objects, in the order of their numbers."""
    keypoint_names: tuple[str, ...] = ()
    """Empty where objects have no keypoints."""
    keypoint_swaps: tuple[int, ...] = ()
    """Which keypoint each one becomes in a mirror image (left eye: right eye): as many numbers as
    names, or none where mirroring renames nothing."""

    def __post_init__(self) -> None:
        """Checks the table of swaps.

        Raises:
            ImageContractError: it is no exchange of keypoints.
        """
        swaps, count = self.keypoint_swaps, len(self.keypoint_names)
        paired = sorted(swaps) == list(range(count)) and all(
            swaps[s] == i for i, s in enumerate(swaps)
        )
        if swaps and not paired:
            raise ImageContractError(
                f"keypoint_swaps: expected pairs among the {count} keypoints, got {swaps}; name "
                "for each keypoint the one it becomes in a mirror image, itself where it stays",
                {"name": "keypoint_swaps", "expected": count, "found": swaps},
            )


NO_KINDS = ObjectKinds(())
"""Objects that have no names, and no keypoints that a mirror image exchanges."""


@dataclass(frozen=True, slots=True, eq=False)
class Objects:
    """The objects of n images, image after image: values, and offsets between them."""

    offsets: NDArray[np.int64]
    """(n + 1,) the objects of image i are [offsets[i], offsets[i + 1]) of the m objects."""
    labels: NDArray[np.int32]
    """(m,) index into `ObjectKinds.names`."""
    numbers: NDArray[np.int32]
    """(m,) each object's number among those of its untouched image: what is left after others went
    out of sight can still be told apart."""
    flags: NDArray[np.uint8]
    """(m,) bits `CROWD`, `DIFFICULT`, `TRUNCATED`, `OCCLUDED`."""
    boxes: NDArray[np.float32]
    """(m, 4) left, top, right, bottom."""
    keypoints: NDArray[np.float32]
    """(m, K, 3) x, y and visibility as in COCO: 0 not labelled or out of the image, 1 hidden,
    2 visible; K may be 0."""
    ring_offsets: NDArray[np.int64]
    """(m + 1,) the polygons of object j are rings [ring_offsets[j], ring_offsets[j + 1])."""
    point_offsets: NDArray[np.int64]
    """(rings + 1,) the corners of ring k are [point_offsets[k], point_offsets[k + 1])."""
    points: NDArray[np.float32]
    """(p, 2) x and y of corners."""

    def __len__(self) -> int:
        """The number of images."""
        return len(self.offsets) - 1

    @property
    def num_objects(self) -> int:
        """Of all images together."""
        return len(self.labels)

    @property
    def images(self) -> NDArray[np.int64]:
        """(m,) which image each object lies in."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @classmethod
    def none(cls, num_images: int, num_keypoints: int = 0) -> "Objects":
        """Images without objects."""
        return cls(
            np.zeros(num_images + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32),
            np.zeros(0, np.uint8), np.zeros((0, 4), np.float32),
            np.zeros((0, num_keypoints, 3), np.float32), np.zeros(1, np.int64),
            np.zeros(1, np.int64), np.zeros((0, 2), np.float32),
        )  # fmt: skip

    @classmethod
    def joined(cls, parts: Sequence["Objects"]) -> "Objects":
        """The images of several parts, one part after the other.

        Args:
            parts: at least one, with equally many keypoints.
        """
        columns = ("labels", "numbers", "flags", "boxes", "keypoints", "points")
        values: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in columns
        }
        values |= {name: _joined([getattr(part, name) for part in parts]) for name in _OFFSETS}
        return cls(**values)

    def take(self, rows: NDArray[np.integer]) -> "Objects":
        """The objects of some images, in their order; images may repeat.

        Args:
            rows: (r,) in [0, n).
        """
        offsets, objects = _picked(self.offsets, rows)
        return self._with_objects(offsets, objects)

    def part(self, start: int, stop: int) -> "Objects":
        """The objects of the images [start, stop), looking into the values of these."""
        objects = slice(int(self.offsets[start]), int(self.offsets[stop]))
        rings = slice(*self.ring_offsets[[objects.start, objects.stop]].tolist())
        points = slice(*self.point_offsets[[rings.start, rings.stop]].tolist())
        return Objects(
            self.offsets[start : stop + 1] - objects.start, self.labels[objects],
            self.numbers[objects], self.flags[objects], self.boxes[objects],
            self.keypoints[objects],
            self.ring_offsets[objects.start : objects.stop + 1] - rings.start,
            self.point_offsets[rings.start : rings.stop + 1] - points.start, self.points[points],
        )  # fmt: skip

    def keep(self, mask: NDArray[np.bool_]) -> "Objects":
        """The same images with some of their objects.

        Args:
            mask: (m,)
        """
        counts = np.concatenate([[0], np.cumsum(mask)])
        return self._with_objects(counts[self.offsets], np.flatnonzero(mask))

    def _with_objects(self, offsets: NDArray[np.int64], objects: NDArray[np.int64]) -> "Objects":
        """Some objects, with their rings."""
        ring_offsets, rings = _picked(self.ring_offsets, objects)
        point_offsets, points = _picked(self.point_offsets, rings)
        return Objects(
            offsets, self.labels[objects], self.numbers[objects], self.flags[objects],
            self.boxes.take(objects, axis=0), self.keypoints.take(objects, axis=0), ring_offsets,
            point_offsets, self.points.take(points, axis=0),
        )  # fmt: skip

    def differing(self, other: "Objects") -> NDArray[np.int64]:
        """The images, ascending, that show other objects there.

        Args:
            other: of as many images.
        """
        names = [field.name for field in fields(self)]
        pairs = [(getattr(self, name), getattr(other, name)) for name in names]
        if all(np.array_equal(one, two) for one, two in pairs):
            return np.zeros(0, np.int64)
        rows = [np.array([row]) for row in range(len(self))]
        bad = [int(row[0]) for row in rows if self.take(row)._bytes() != other.take(row)._bytes()]
        return np.array(bad, np.int64)

    def _bytes(self) -> list[bytes]:
        return [getattr(self, field.name).tobytes() for field in fields(self)]

    def check(self, kinds: ObjectKinds) -> None:
        """Vouches for what arrays from elsewhere say, before anybody indexes with them.

        Args:
            kinds: of the dataset.

        Raises:
            ImageContractError: lengths or offsets contradict each other, a label names no class, or
                a coordinate is not finite.
        """
        count, rings = self.num_objects, len(self.point_offsets) - 1
        ends = {"offsets": count, "ring_offsets": rings, "point_offsets": len(self.points)}
        rules = {
            f"{name} that rise from 0 to {end}": _rises(getattr(self, name), end)
            for name, end in ends.items()
        }
        lengths = {len(getattr(self, name)) for name in ("numbers", "flags", "boxes", "keypoints")}
        rules |= {
            f"{count} of each value": lengths <= {count} and len(self.ring_offsets) == count + 1,
            f"labels below {len(kinds.names)}": not count
            or 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(kinds.names),
            f"{len(kinds.keypoint_names)} keypoints": self.keypoints.shape[1:]
            == (len(kinds.keypoint_names), 3),
            "finite coordinates": all(
                bool(np.isfinite(values).all())
                for values in (self.boxes, self.keypoints, self.points)
            ),
        }
        for rule, holds in rules.items():
            if not holds:
                raise ImageContractError(
                    f"objects of {len(self)} images: expected {rule}, got otherwise; they were not "
                    "written by this program, or were changed since",
                    {"expected": rule},
                )


@dataclass(frozen=True, slots=True, eq=False)
class PaddedObjects:
    """Objects as rectangular arrays, for models: M is the most objects of any image."""

    is_there: NDArray[np.bool_]
    """(n, M) False for padding."""
    labels: NDArray[np.int32]
    """(n, M) −1 for padding."""
    boxes: NDArray[np.float32]
    """(n, M, 4) zeros for padding."""
    keypoints: NDArray[np.float32]
    """(n, M, K, 3) zeros for padding."""


def padded(objects: Objects, most: int | None = None) -> PaddedObjects:
    """Objects as rectangular arrays.

    Args:
        objects: of n images.
        most: M, so that all batches have one shape; an image's objects beyond it are left out. By
            default as many as the image with the most objects has.
    """
    counts = np.diff(objects.offsets)
    width = int(counts.max(initial=0)) if most is None else most
    images = objects.images
    place = np.arange(objects.num_objects) - objects.offsets[:-1][images]
    kept = place < width
    where = (images[kept], place[kept])
    shape = (len(objects), width)
    result = PaddedObjects(
        np.zeros(shape, np.bool_), np.full(shape, -1, np.int32), np.zeros((*shape, 4), np.float32),
        np.zeros((*shape, *objects.keypoints.shape[1:]), np.float32),
    )  # fmt: skip
    result.is_there[where] = True
    result.labels[where] = objects.labels[kept]
    result.boxes[where] = objects.boxes[kept]
    result.keypoints[where] = objects.keypoints[kept]
    return result


_OFFSETS = ("offsets", "ring_offsets", "point_offsets")


def _joined(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Offsets of parts that are put one after the other."""
    lengths = np.concatenate([np.diff(part) for part in parts])
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])


def _picked(
    offsets: NDArray[np.int64], rows: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The offsets of some rows of a ragged column, and which values they are."""
    if not offsets[-1]:  # the usual case of objects without polygons
        return np.zeros(len(rows) + 1, np.int64), np.zeros(0, np.int64)
    lengths = np.diff(offsets)[rows]
    picked = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    shifts = np.repeat(offsets[:-1][rows] - picked[:-1], lengths)
    return picked, np.arange(picked[-1]) + shifts


def _rises(offsets: NDArray[np.int64], end: int) -> bool:
    """Whether offsets begin with 0, never fall, and end where the values do."""
    return bool(
        len(offsets) > 0
        and offsets[0] == 0
        and offsets[-1] == end
        and (np.diff(offsets) >= 0).all()
    )
