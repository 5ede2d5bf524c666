"""A source of small images with every kind of target, for tests of what stores and moves them."""

from dataclasses import replace

import numpy as np

from materialize.sources.arrays import ArraySource, RawPart
from materialize.sources.targets import Field, TargetSchema
from pipelines.objects import ObjectKinds, Objects

SIZE = 24
KINDS = ObjectKinds(("cell", "platelet"), ("left", "right", "tail"), (1, 0, 2))
FIELDS = (
    Field("tags", "labels", ("round", "dark", "large")),
    Field("stain", "label", ("blue", "red")),
    Field("measures", "value", ("area", "age")),
    Field("weight", "weight"),
)
SCHEMA = TargetSchema(KINDS, ("mask",), FIELDS)


class TargetedArrays(ArraySource):
    """Images in memory with masks, objects and fields; image i has i % 3 objects.

    Args:
        count: how many images.
        seed: other images, other targets.
        schema: what of it they have.
    """

    def __init__(self, count=8, seed=0, schema=SCHEMA, size=SIZE):
        random = np.random.default_rng(seed)
        images = random.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        super().__init__({"train": RawPart(images, np.arange(count) % 2)}, {"kind": "memory"})
        self._schema = schema
        self.masks = random.integers(0, 4, (count, size, size, len(schema.mask_names)), np.uint8)
        self.all_objects = some_objects(count, random, size, schema.objects or KINDS)
        self._columns = {
            "labels": lambda f: random.integers(0, 2, (count, *f.shape), np.uint8),
            "label": lambda f: random.integers(0, len(f.names), count, np.int32),
            "value": lambda f: random.normal(size=(count, *f.shape)).astype(np.float32),
            "weight": lambda _: random.random(count, np.float32),
        }
        self.columns = tuple(self._columns[field.kind](field) for field in schema.fields)
        del self._columns

    def schema(self):
        return self._schema

    def field_columns(self):
        return self.columns

    def objects(self, index):
        return self.all_objects.take(np.array([index]))

    def mask(self, index):
        return self.masks[index]

    def change_box(self, image):
        """Moves the first object of an image by a pixel, as if its annotation had been edited."""
        boxes = self.all_objects.boxes.copy()
        boxes[self.all_objects.offsets[image], 0] += 1
        self.all_objects = replace(self.all_objects, boxes=boxes)


def some_objects(count, random, size=SIZE, kinds=KINDS):
    """Objects of ``count`` images; image i has i % 3, each with a triangle as its polygon."""
    counts = np.arange(count) % 3
    total = int(counts.sum())
    corners = np.sort(random.random((total, 2, 2)) * size, axis=1).astype(np.float32)
    keypoints = random.random((total, len(kinds.keypoint_names), 3)).astype(np.float32) * size
    keypoints[..., 2] = random.integers(0, 3, keypoints.shape[:2])
    return Objects(
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        labels=random.integers(0, len(kinds.names), total, np.int32),
        numbers=np.concatenate([np.arange(c, dtype=np.int32) for c in counts]),
        flags=random.integers(0, 2, total, np.uint8),
        boxes=corners.reshape(total, 4),
        keypoints=keypoints,
        ring_offsets=np.arange(total + 1),
        point_offsets=np.arange(total + 1) * 3,
        points=(random.random((total * 3, 2)) * size).astype(np.float32),
    )
