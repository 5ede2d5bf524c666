"""What the tests of masks and objects share: pipelines of every kind, and objects."""

import numpy as np

from pipelines.distortion import Elastic, Perspective
from pipelines.exact_moves import Pad, QuarterTurn
from pipelines.geometric import Crop, HorizontalFlip, ResizedCrop, Rotation, Shear, Zoom
from pipelines.neighbourhood import GaussianBlur
from pipelines.objects import ObjectKinds, Objects
from pipelines.occlusion import Cutout
from pipelines.resizing import Resize

KINDS = ObjectKinds(("thing", "other"), ("nose", "left", "right"), (0, 2, 1))
_BENT = Elastic(alpha=(5, 20), sigma_px=5, border="reflect")
_ASIDE = Perspective(distortion=0.3)
COMPOSED = {
    "affine": (Rotation(max_deg=40), Shear(max_deg=15), Zoom(by=0.2), HorizontalFlip(), Pad(by=3)),
    "cover": (Resize(height=50, width=40, fit="cover"), Rotation(max_deg=90), QuarterTurn()),
    "contain": (Resize(height=50, width=60, fit="contain"), Zoom(by=(1.0, 1.3))),
    "prefiltered": (ResizedCrop(height=20, width=20, area=(0.6, 1.0)), HorizontalFlip()),
    "bent": (Zoom(by=0.1), _BENT, Crop(height=40, width=48, place="centre")),
    "aside": (Rotation(max_deg=15), GaussianBlur(sigma_px=(0.5, 1)), _ASIDE, HorizontalFlip()),
    "sparing": (Rotation(max_deg=40, probability=0.5),
                GaussianBlur(sigma_px=(0.3, 0.3), probability=0.5),
                Perspective(distortion=0.3, probability=0.5), Cutout(size=3, probability=0.5),
                Zoom(by=0.2, probability=0.5)),
}  # fmt: skip
"""Steps that move pixels in every way there is, one after the other."""


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
