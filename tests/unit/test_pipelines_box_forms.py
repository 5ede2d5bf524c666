"""VOC, COCO and YOLO boxes and COCO keypoints become ours and come back."""

import numpy as np
import pytest

from pipelines import box_forms

WHOLE = np.random.default_rng(0).integers(0, 500, (40, 4)).astype(np.float64)
BOXES = np.concatenate([WHOLE[:, :2], WHOLE[:, :2] + WHOLE[:, 2:] + 1], axis=1)


def test_voc_counts_from_one_and_includes_the_last():
    """The first four columns and three rows."""
    np.testing.assert_array_equal(box_forms.from_voc([[1, 1, 4, 3]]), [[0, 0, 4, 3]])


def test_coco_has_sizes():
    np.testing.assert_array_equal(box_forms.from_coco([[2, 1, 4, 3.5]]), [[2, 1, 6, 4.5]])


def test_yolo_has_shares_of_the_image():
    found = box_forms.from_yolo([[0.5, 0.5, 0.25, 1.0]], 200, 100)
    np.testing.assert_array_equal(found, [[75, 0, 125, 100]])
    both = box_forms.from_yolo([[0.5] * 4, [0.5] * 4], np.array([100, 200]), np.array([40, 80]))
    np.testing.assert_array_equal(both[1], 2 * both[0])


def test_the_middle_of_a_pixel_is_half_a_pixel_from_its_corner():
    """Keypoints that are not labelled stay zeros."""
    found = box_forms.from_coco_keypoints([[(3, 0, 2), (0, 0, 0), (7, 9, 1)]])
    np.testing.assert_array_equal(found, [[(3.5, 0.5, 2), (0, 0, 0), (7.5, 9.5, 1)]])
    np.testing.assert_array_equal(
        box_forms.to_coco_keypoints(found), [[(3, 0, 2), (0, 0, 0), (7, 9, 1)]]
    )


@pytest.mark.parametrize("scale", [1, 2**-8])
@pytest.mark.parametrize("form", ["voc", "coco", "yolo"])
def test_boxes_come_back_exactly(form, scale):
    """Whole numbers, and what single precision holds of the rest."""
    sizes = (1024, 512) if form == "yolo" else ()
    there, back = getattr(box_forms, f"to_{form}"), getattr(box_forms, f"from_{form}")
    given = BOXES * scale
    np.testing.assert_array_equal(back(there(given, *sizes), *sizes), given)


def test_yolo_comes_back_within_rounding():
    there = box_forms.to_yolo(BOXES, 333, 777)
    np.testing.assert_allclose(box_forms.from_yolo(there, 333, 777), BOXES, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", ["voc", "coco"])
def test_no_boxes_are_boxes(form):
    assert getattr(box_forms, f"from_{form}")(np.zeros((0, 4))).shape == (0, 4)
