"""What the tests of masks and objects share: pipelines of every kind, dots, squares, objects."""

import numpy as np

from pipelines.objects import ObjectKinds, Objects

KINDS = ObjectKinds(("thing", "other"), ("nose", "left", "right"), (0, 2, 1))


def objects_of(boxes, *, keypoints=None, rings=None, flags=None):
    """Objects of n images.

    Args:
        boxes: for each image a list of (left, top, right, bottom).
        keypoints: for each object (K, 3); none by default.
        rings: for each object a list of rings, each (c, 2); none by default.
        flags: of each object.
    """
    flat = [box for image in boxes for box in image]
    count = len(flat)
    rings = rings or [[] for _ in flat]
    loose = [ring for own in rings for ring in own]
    return Objects(
        offsets=np.cumsum([0, *map(len, boxes)]).astype(np.int64),
        labels=np.arange(count, dtype=np.int32) % 2,
        numbers=np.array([i for image in boxes for i in range(len(image))], np.int32),
        flags=np.zeros(count, np.uint8) if flags is None else np.array(flags, np.uint8),
        boxes=np.array(flat, np.float32).reshape(-1, 4),
        keypoints=np.zeros((count, 0, 3), np.float32)
        if keypoints is None
        else np.array(keypoints, np.float32).reshape(count, -1, 3),
        ring_offsets=np.cumsum([0, *map(len, rings)]).astype(np.int64),
        point_offsets=np.cumsum([0, *map(len, loose)]).astype(np.int64),
        points=np.concatenate([np.zeros((0, 2)), *map(np.asarray, loose)]).astype(np.float32),
    )


def same_objects(one, other):
    """Whether all columns are equal, bit for bit."""
    return all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes()
        and getattr(one, name).shape == getattr(other, name).shape
        for name in Objects.__slots__
    )
