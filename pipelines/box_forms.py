"""Boxes and keypoints in the forms that other people write, and back.

Ours are left, top, right, bottom along the pixels' edges (`pipelines.objects`). Everything is
computed in double precision and given in double precision: whoever keeps it in `Objects` rounds it
to single.

- VOC counts pixels from 1 and includes the last: (1, 1, 4, 4) are the first four rows and columns.
  Whole numbers come back exactly.
- COCO has left, top, width, height, along the pixels' edges. Comes back exactly where the sums do:
  whole numbers, and multiples of 2**-16 below 2**20.
- YOLO has the middle, width and height as shares of the image. Comes back within rounding; exactly
  where sides are powers of two and coordinates multiples of 2**-16.
- COCO's keypoints are pixel indices: the middle of pixel 3 is at 3. Those with visibility 0 are
  (0, 0, 0) in both forms.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Coordinates = NDArray[np.float64]
"""(m, 4), or (m, K, 3) for keypoints."""

_VOC_ORIGIN = np.array([1.0, 1.0, 0.0, 0.0])


def from_voc(boxes: NDArray[Any]) -> Coordinates:
    """Ours, of (m, 4) xmin, ymin, xmax, ymax as VOC counts them."""
    moved: Coordinates = np.asarray(boxes, np.float64) - _VOC_ORIGIN
    return moved


def to_voc(boxes: NDArray[Any]) -> Coordinates:
    """(m, 4) xmin, ymin, xmax, ymax as VOC counts them, not rounded."""
    moved: Coordinates = np.asarray(boxes, np.float64) + _VOC_ORIGIN
    return moved


def from_coco(boxes: NDArray[Any]) -> Coordinates:
    """Ours, of (m, 4) left, top, width, height."""
    left, top, width, height = np.asarray(boxes, np.float64).T
    return np.stack([left, top, left + width, top + height], axis=1)


def to_coco(boxes: NDArray[Any]) -> Coordinates:
    """(m, 4) left, top, width, height."""
    left, top, right, bottom = np.asarray(boxes, np.float64).T
    return np.stack([left, top, right - left, bottom - top], axis=1)


def from_yolo(
    boxes: NDArray[Any], widths: NDArray[Any] | int, heights: NDArray[Any] | int
) -> Coordinates:
    """Ours, of (m, 4) middle x and y, width, height in [0, 1].

    Args:
        boxes: (m, 4)
        widths: of the image, or (m,) of each box' image, in pixels.
        heights: likewise.
    """
    x, y, width, height = np.asarray(boxes, np.float64).T
    left, top, right, bottom = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    return np.stack([left * widths, top * heights, right * widths, bottom * heights], axis=1)


def to_yolo(
    boxes: NDArray[Any], widths: NDArray[Any] | int, heights: NDArray[Any] | int
) -> Coordinates:
    """(m, 4) middle x and y, width, height as shares; for the arguments see `from_yolo`."""
    left, top, right, bottom = np.asarray(boxes, np.float64).T
    x, y = (left + right) / 2 / widths, (top + bottom) / 2 / heights
    return np.stack([x, y, (right - left) / widths, (bottom - top) / heights], axis=1)


def from_coco_keypoints(keypoints: NDArray[Any]) -> Coordinates:
    """Ours, of (m, K, 3) column, row and visibility."""
    return _shifted(keypoints, 0.5)


def to_coco_keypoints(keypoints: NDArray[Any]) -> Coordinates:
    """(m, K, 3) column, row and visibility."""
    return _shifted(keypoints, -0.5)


def _shifted(keypoints: NDArray[Any], by: float) -> Coordinates:
    """Labelled keypoints moved by a distance along both axes; zeros where there are none."""
    given = np.asarray(keypoints, np.float64)
    is_labelled = given[..., 2:] > 0
    return np.where(is_labelled, given + np.array((by, by, 0.0)), 0.0)
