"""Polygons cut at the sides of their images: areas, corners, and what becomes of concave rings."""

import numpy as np
import pytest

from pipelines.rings import clip_rings

LIMITS = np.array([[10.0, 8.0]])


def cut(*rings, limits=LIMITS):
    """What is left of each ring, by the kernel; its twin gives the same bytes."""
    offsets = np.cumsum([0, *map(len, rings)]).astype(np.int64)
    points = np.concatenate([np.asarray(ring, np.float64).reshape(-1, 2) for ring in rings])
    each = np.broadcast_to(limits, (len(rings), 2))
    found, ends = clip_rings(points, offsets, each, plain=False)
    again, others = clip_rings(points, offsets, each, plain=True)
    assert (found.tobytes(), ends.tobytes()) == (again.tobytes(), others.tobytes())
    return [found[ends[i] : ends[i + 1]] for i in range(len(rings))]


def area(ring):
    x, y = ring.T
    return abs((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2


def test_a_ring_inside_stays_as_it_is():
    ring = [(0, 0), (10, 0), (10, 8), (3, 7)]
    np.testing.assert_array_equal(cut(ring)[0], ring)


@pytest.mark.parametrize("ring", [
    [(-5, 1), (-1, 1), (-1, 5)], [(11, 9), (20, 9), (15, 30)], [(10, 2), (12, 2), (12, 5)],
    [(-4, 2), (0, 4), (-4, 6)], [(-5, 0), (5, 0), (5, -5)], [(30, 40)], [(-1, 3), (4, 3)],
])  # fmt: skip
def test_nothing_is_left_of_what_lies_outside_or_along_a_side(ring):
    assert len(cut(ring)[0]) == 0


def test_a_ring_around_the_image_becomes_the_image():
    found = cut([(-20, -20), (40, -20), (40, 40), (-20, 40)])[0]
    assert sorted(found.tolist()) == [[0, 0], [0, 8], [10, 0], [10, 8]]


def test_the_parts_of_a_concave_ring_stay_joined_along_the_side():
    """A U whose bottom is cut off: two legs of 2 × 4, and edges between them without area."""
    letter = [(1, 4), (3, 4), (3, 9), (6, 9), (6, 4), (8, 4), (8, 12), (1, 12)]
    found = cut(letter)[0]
    assert area(found) == 16
    assert found.min(axis=0).tolist() == [1, 4]
    assert found.max(axis=0).tolist() == [8, 8]


def test_what_is_left_has_the_area_that_lies_inside():
    """Stars of random rays: compared with a count of points inside."""
    random = np.random.default_rng(0)
    angles = np.linspace(0, 2 * np.pi, 9, endpoint=False)
    y, x = np.mgrid[0:8:400j, 0:10:500j]
    for _ in range(6):
        rays = random.uniform(1, 9, 9)
        middle = random.uniform(0, [10, 8])
        star = np.stack([np.cos(angles) * rays, np.sin(angles) * rays], axis=1) + middle
        before, after = star, np.roll(star, -1, axis=0)
        crossings = sum(
            ((p[1] > y) != (q[1] > y)) & (x < p[0] + (y - p[1]) / (q[1] - p[1]) * (q[0] - p[0]))
            for p, q in zip(before, after, strict=True)
        )
        inside = (crossings % 2 == 1).mean() * 80
        assert area(cut(star)[0]) == pytest.approx(inside, abs=0.5)


def test_rings_of_several_images_do_not_touch_each_other():
    """Each has its own size; one that is gone leaves an empty place."""
    square = [(0, 0), (6, 0), (6, 6), (0, 6)]
    found = cut(square, [(9, 9), (9, 12), (12, 12)], square, [],
                limits=np.array([[4.0, 6.0], [8.0, 8.0], [6.0, 5.0], [5.0, 5.0]]))  # fmt: skip
    assert [len(ring) for ring in found] == [4, 0, 4, 0]
    assert [area(found[0]), area(found[2])] == [24, 30]
