"""Objects as ragged columns: images are picked, joined and padded without losing a corner."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines import ImageContractError
from pipelines.objects import ObjectKinds, Objects, padded

KINDS = ObjectKinds(("cat", "dog"), ("nose", "left", "right"), (0, 2, 1))


def case() -> Objects:
    """Three images: two objects (one of two rings), none, one without rings."""
    return Objects(
        offsets=np.array([0, 2, 2, 3]), labels=np.array([0, 1, 1], np.int32),
        numbers=np.array([0, 1, 0], np.int32), flags=np.array([0, 2, 1], np.uint8),
        boxes=np.arange(12, dtype=np.float32).reshape(3, 4),
        keypoints=np.arange(27, dtype=np.float32).reshape(3, 3, 3),
        ring_offsets=np.array([0, 2, 3, 3]), point_offsets=np.array([0, 3, 6, 10]),
        points=np.arange(20, dtype=np.float32).reshape(10, 2),
    )  # fmt: skip


def same(one: Objects, other: Objects) -> bool:
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in Objects.__slots__)


def test_a_case_is_sound():
    case().check(KINDS)


def test_images_are_picked_with_their_rings():
    taken = case().take(np.array([2, 0, 0]))
    taken.check(KINDS)
    assert taken.labels.tolist() == [1, 0, 1, 0, 1]
    assert np.diff(taken.ring_offsets).tolist() == [0, 2, 1, 2, 1]
    np.testing.assert_array_equal(taken.points[:10], taken.points[10:])


@pytest.mark.parametrize(("start", "stop"), [(0, 3), (1, 3), (2, 3), (0, 1), (1, 1)])
def test_neighbours_are_picked_without_copying(start, stop):
    part = case().part(start, stop)
    assert same(part, case().take(np.arange(start, stop)))
    assert part.points.base is not None


def test_parts_join_to_the_whole():
    parts = [case().take(np.array([row])) for row in range(3)]
    assert same(Objects.joined(parts), case())


def test_objects_out_of_sight_leave_their_images():
    kept = case().keep(np.array([False, True, True]))
    kept.check(KINDS)
    assert (kept.offsets.tolist(), kept.numbers.tolist()) == ([0, 1, 1, 2], [1, 0])
    np.testing.assert_array_equal(kept.points, case().points[6:])


def test_padding_says_what_is_there():
    rectangular = padded(case())
    assert rectangular.is_there.tolist() == [[True, True], [False, False], [True, False]]
    assert rectangular.labels.tolist() == [[0, 1], [-1, -1], [1, -1]]
    np.testing.assert_array_equal(rectangular.boxes[2, 0], case().boxes[2])


def test_padding_to_a_fixed_number_leaves_the_rest_out():
    assert padded(case(), 1).labels.tolist() == [[0], [-1], [1]]


def test_images_without_objects_are_images():
    none = Objects.none(4, 3)
    none.check(KINDS)
    assert (len(none), padded(none).boxes.shape) == (4, (4, 0, 4))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("offsets", np.array([0, 3, 2, 3])),
        ("offsets", np.array([0, 2, 2, 4])),
        ("ring_offsets", np.array([0, 2, 3])),
        ("point_offsets", np.array([1, 3, 6, 10])),
        ("labels", np.array([0, 1, 2], np.int32)),
        ("labels", np.array([0, -1, 1], np.int32)),
        ("boxes", np.full((3, 4), np.nan, np.float32)),
        ("keypoints", np.zeros((3, 2, 3), np.float32)),
        ("flags", np.zeros(2, np.uint8)),
    ],
)
def test_arrays_that_contradict_themselves_are_refused(name, value):
    with pytest.raises(ImageContractError, match="expected"):
        replace(case(), **{name: value}).check(KINDS)


@pytest.mark.parametrize("swaps", [(0, 1), (1, 2, 0), (0, 2, 2)])
def test_swaps_are_pairs(swaps):
    with pytest.raises(ImageContractError, match="keypoint_swaps"):
        ObjectKinds(("person",), ("nose", "left", "right"), swaps)
