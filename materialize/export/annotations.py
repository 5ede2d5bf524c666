"""Objects and masks of exported images in the forms that other tools know: COCO's, and PNG."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.export.files import streamed_file
from materialize.export.items import Item, Part, Shown
from materialize.export.ledger import ExportedFile
from materialize.shards.codecs import encode_block, find_codec
from pipelines.objects import CROWD, ObjectKinds, Objects

_DECIMALS = 3
"""Of coordinates in texts, in pixels."""


def encode_masks(masks: NDArray[np.uint8]) -> list[bytes]:
    """The mask of one image as grey PNGs, one for each channel.

    Args:
        masks: (1, H, W, channels).
    """
    png = find_codec("png")
    return [encode_block(png, masks[..., c : c + 1]) for c in range(masks.shape[3])]


def object_facts(objects: Objects, kinds: ObjectKinds) -> list[dict[str, Any]]:
    """The objects of one image, JSON-ready, in COCO's words.

    Args:
        objects: of one image.
        kinds: what they are; a category is its number there plus 1.
    """
    return [_facts(objects, number, kinds) for number in range(objects.num_objects)]


def _facts(objects: Objects, number: int, kinds: ObjectKinds) -> dict[str, Any]:
    left, top, right, bottom = objects.boxes[number].astype(np.float64)
    rings = list(_rings(objects, number))
    area = sum(map(_area, rings)) if rings else (right - left) * (bottom - top)
    facts = {
        "category_id": int(objects.labels[number]) + 1,
        "category": kinds.names[objects.labels[number]],
        "bbox": _numbers(np.array([left, top, right - left, bottom - top])),
        "area": round(float(area), _DECIMALS),
        "iscrowd": int(bool(objects.flags[number] & CROWD)),
        "segmentation": [_numbers(ring.reshape(-1)) for ring in rings],
        "number": int(objects.numbers[number]),
    }
    if kinds.keypoint_names:
        keypoints = objects.keypoints[number]
        facts["keypoints"] = _numbers(keypoints.reshape(-1))
        facts["num_keypoints"] = int((keypoints[:, 2] > 0).sum())
    return facts


def _rings(objects: Objects, number: int) -> Iterator[NDArray[np.float64]]:
    for ring in range(int(objects.ring_offsets[number]), int(objects.ring_offsets[number + 1])):
        first, stop = objects.point_offsets[ring], objects.point_offsets[ring + 1]
        yield objects.points[first:stop].astype(np.float64)


def _area(ring: NDArray[np.float64]) -> float:
    """Of a polygon, (corners, 2)."""
    x, y = ring[:, 0], ring[:, 1]
    return float(abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2)


def _numbers(values: NDArray[Any]) -> list[float]:
    return [round(float(value), _DECIMALS) for value in values]


class CocoFile:
    """What will be one COCO file, gathered picture by picture."""

    def __init__(self, part: Part, kinds: ObjectKinds) -> None:
        """Without pictures."""
        self._part, self._kinds = part, kinds
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    @property
    def name(self) -> str:
        """Such as ``annotations-train.json``."""
        return f"annotations-{self._part.split}.json"

    def add(self, item: Item, path: str, shown: Shown) -> None:
        """One picture: its place relative to the file, and its objects."""
        height, width, _ = self._part.image_shape
        number = len(self._images) + 1
        self._images.append({
            "id": number, "file_name": path, "height": height, "width": width,
            "sample_id": item.sample_id, "copy": item.copy,
        })  # fmt: skip
        if shown.objects is not None:
            for facts in object_facts(shown.objects, self._kinds):
                del facts["category"]
                place = {"id": len(self._annotations) + 1, "image_id": number}
                self._annotations.append(place | facts)

    def write(self, output: Path) -> ExportedFile:
        """Writes the file.

        Raises:
            StorageError: the file system refused.
        """
        keypoints = {"keypoints": list(self._kinds.keypoint_names)}
        categories = [
            {"id": number, "name": name, **(keypoints if self._kinds.keypoint_names else {})}
            for number, name in enumerate(self._kinds.names, start=1)
        ]
        facts = {
            "images": self._images, "annotations": self._annotations, "categories": categories,
        }  # fmt: skip
        with streamed_file(output / self.name) as file:
            file.write(json.dumps(facts, separators=(",", ":")).encode())
        return ExportedFile.of(output, self.name, len(self._images))
