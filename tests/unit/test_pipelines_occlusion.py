"""Rectangles that hide: what is drawn, against the papers, and what is hidden, pixel by pixel."""

import numpy as np
import pytest

from pipelines.errors import ParameterError
from pipelines.occlusion import Cutout, Erasing
from pipelines.pipeline import Pipeline
from pipelines.randomness import draw_words_reference, noise_bytes
from pipelines.transform import ACTIVE, Canvas
from tests.golden.pipelines_cases import run, run_step, synthetic

MANY = 20_000
ERASE = {"left_px": [3, 0], "top_px": [1, 4], "width_px": [2, 8], "height_px": [4, 2]}


def drawn(step, height, width, count=MANY):
    ids = np.random.default_rng(1).integers(0, 256, (count, 16), dtype=np.uint8)
    pipeline = Pipeline(steps=(step,))
    canvas = Canvas(np.full(count, height), np.full(count, width))
    return pipeline.parameters(pipeline.draw(3, ids, 0), canvas)[0]


def floats(parameters):
    return {name: np.array(values, np.float64) for name, values in parameters.items()}


def paper_rectangles(count, height, width, area, aspect_max):
    """Algorithm 1 of Zhong et al., draw by draw, with the paper's rejection."""
    rng = np.random.default_rng(0)
    found = []
    while len(found) < count:
        share = rng.uniform(*area) * height * width
        aspect = rng.uniform(1 / aspect_max, aspect_max)
        high, wide = np.sqrt(share * aspect), np.sqrt(share / aspect)
        left, top = rng.uniform(0, width), rng.uniform(0, height)
        if left + wide <= width and top + high <= height:
            found.append((left, top, wide, high))
    return np.array(found).T


def test_erased_areas_are_uniform_as_in_the_paper():
    """Mean, spread and ends, up to whole pixels; the paper's rejection favours small ones."""
    parameters = drawn(Erasing(area=(0.02, 0.2), probability=1), 200, 200)
    share = parameters["width_px"] * parameters["height_px"] / 200**2
    assert share.min() == pytest.approx(0.02, abs=0.003)
    assert share.max() == pytest.approx(0.2, abs=0.005)
    assert share.mean() == pytest.approx(0.11, abs=0.002)
    assert share.std() == pytest.approx(0.18 / np.sqrt(12), abs=0.002)
    _, _, wide, high = paper_rectangles(4000, 200, 200, (0.02, 0.2), 10 / 3)
    assert (wide * high / 200**2).mean() < share.mean()


def test_rectangles_lie_and_stand_equally_often():
    """Stated in the docstring: the paper's uniform ratio prefers one of the two."""
    parameters = drawn(Erasing(area=(0.05, 0.1), probability=1), 300, 300)
    ratio = parameters["height_px"] / parameters["width_px"]
    assert (ratio > 1).mean() == pytest.approx(0.5, abs=0.02)
    assert np.maximum(ratio, 1 / ratio).max() == pytest.approx(10 / 3, abs=0.1)
    assert np.maximum(ratio, 1 / ratio).mean() == pytest.approx((1 + 10 / 3) / 2, abs=0.03)
    _, _, wide, high = paper_rectangles(4000, 300, 300, (0.05, 0.1), 10 / 3)
    assert (high / wide > 1).mean() > 0.7


def test_the_defaults_differ_from_the_paper_as_stated():
    """Mean area and share of standing rectangles, of a square image."""
    parameters = drawn(Erasing(probability=1), 300, 300)
    wide, high = parameters["width_px"], parameters["height_px"]
    assert (np.maximum(wide, high) == 300).mean() == pytest.approx(0.05, abs=0.02)
    assert (wide * high / 300**2).mean() == pytest.approx(0.209, abs=0.008)
    _, _, wide, high = paper_rectangles(4000, 300, 300, (0.02, 0.4), 10 / 3)
    assert (wide * high / 300**2).mean() == pytest.approx(0.142, abs=0.007)
    assert (high > wide).mean() == pytest.approx(0.75, abs=0.03)


def test_area_aspect_and_place_are_drawn_apart():
    """No two of them go together."""
    p = drawn(Erasing(area=(0.02, 0.05), probability=1), 400, 400)
    ratio = p["height_px"] / p["width_px"]
    places = p["left_px"] / (401 - p["width_px"]), p["top_px"] / (401 - p["height_px"])
    columns = [p["width_px"] * p["height_px"], np.maximum(ratio, 1 / ratio), ratio > 1, *places]
    correlations = np.corrcoef(np.array(columns, np.float64)) - np.eye(5)
    assert np.abs(correlations).max() < 0.04


@pytest.mark.parametrize(("height", "width"), [(32, 32), (20, 60), (5, 3), (1, 1)])
def test_erased_rectangles_lie_inside(height, width):
    """Whole pixels, at least one, everywhere that they fit, ends included."""
    p = drawn(Erasing(area=(0.01, 1.0), aspect_max=4, probability=1), height, width, 5000)
    for begin, side, limit in (("left_px", "width_px", width), ("top_px", "height_px", height)):
        assert all((p[name] == np.floor(p[name])).all() for name in (begin, side))
        assert p[side].min() >= 1
        assert p[begin].min() == 0
        assert (p[begin] + p[side]).max() == limit


def test_places_are_uniform():
    """Each of the places where a rectangle fits equally often."""
    p = drawn(Erasing(area=(0.25, 0.25), aspect_max=1, probability=1), 8, 8)
    assert set(p["width_px"]) == {4.0}
    counts = np.bincount(p["left_px"].astype(int), minlength=5)
    assert np.abs(counts - MANY / 5).max() < 5 * np.sqrt(MANY * 0.2 * 0.8)


@pytest.mark.parametrize("plain", [False, True])
def test_the_rectangle_is_hidden_and_nothing_else(plain):
    """A constant level, of all channels or of each."""
    images = synthetic(2, 6, 8, 3, 1, 200)
    for level, seen in ((255.0, [255] * 3), ((1.5, 20.0, 250.2), [2, 20, 250])):
        step = Erasing(level=level, probability=1)
        result = run(Pipeline(steps=(step,)), images, [floats(ERASE)], plain=plain)
        expected = images.copy()
        expected[0, 1:5, 3:5] = seen
        expected[1, 4:6, 0:8] = seen
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("plain", [False, True])
def test_the_mean_is_the_images_own(plain):
    """Of each channel, before anything is hidden, rounded half up."""
    images = synthetic(2, 6, 8, 3)
    result = run(Pipeline(steps=(Erasing(fill="mean", probability=1),)), images, [floats(ERASE)],
                 plain=plain)  # fmt: skip
    for row, (y, x) in enumerate(((1, 3), (4, 0))):
        means = images[row].reshape(-1, 3).astype(np.int64).sum(axis=0) / 48
        np.testing.assert_array_equal(result[row, y, x], np.floor(means + 0.5))


def test_noise_is_drawn_by_address():
    """Philox words under a key of the image's own: equal for equal addresses, else not."""
    step = Erasing(fill="noise", area=(1, 1), aspect_max=1, probability=1)
    images = np.zeros((2, 40, 40, 3), np.uint8)
    whole = {"left_px": [0, 0], "top_px": [0, 0], "width_px": [40, 40], "height_px": [40, 40]}
    keys = {"key_0": [5, 5], "key_1": [2**32 - 1, 7]}
    one, other = run_step(step, images, floats(whole | keys))
    assert (one != other).mean() > 0.99
    words = draw_words_reference(
        np.array([[5, 2**32 - 1]], np.uint32),
        np.array([[i, 0, 0, 0] for i in range(300)], np.uint32),
    )
    np.testing.assert_array_equal(one.reshape(-1), words.reshape(-1).astype("<u4").view(np.uint8))
    assert np.abs(np.bincount(one.reshape(-1), minlength=256) - 4800 / 256).max() < 25
    np.testing.assert_array_equal(noise_bytes(5, 9, 37), noise_bytes(5, 9, 37, plain=True))


def test_noise_outside_of_the_rectangle_is_not_seen():
    """A smaller rectangle shows a part of the same noise."""
    images = synthetic(1, 10, 10, 1)
    step = Erasing(fill="noise", probability=1)
    keys = {"key_0": [1], "key_1": [2]}
    small = {"left_px": [2], "top_px": [3], "width_px": [4], "height_px": [5]} | keys
    large = {"left_px": [0], "top_px": [0], "width_px": [10], "height_px": [10]} | keys
    one, other = (run_step(step, images, floats(p))[0] for p in (small, large))
    np.testing.assert_array_equal(one[3:8, 2:6], other[3:8, 2:6])
    np.testing.assert_array_equal(one[:3], images[0, :3])


@pytest.mark.parametrize(("size", "side"), [(0.5, 16), (0.01, 1), (9, 9), (9.5, 10), (100, 100)])
def test_cutouts_have_the_side_they_are_told(size, side):
    """A fraction of the shorter side below 1, pixels from 1 on."""
    assert set(drawn(Cutout(size=size), 32, 50, 10)["side_px"]) == {side}


def test_cutouts_centres_are_everywhere():
    """Every pixel is a centre, so the corners are hidden less than the middle: section 3."""
    p = drawn(Cutout(size=5, holes=2), 6, 9)
    for hole in (1, 2):
        for axis, limit in (("x", 9), ("y", 6)):
            counts = np.bincount(p[f"centre_{axis}_px_{hole}"].astype(int), minlength=limit)
            assert np.abs(counts - MANY / limit).max() < 5 * np.sqrt(MANY / limit)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("side", [1, 4, 5, 30])
def test_a_cutout_is_the_papers_mask(side, plain):
    """From centre − ⌊side / 2⌋, ends excluded, cut at the image's sides."""
    images = synthetic(12, 7, 9, 3, 1, 255)
    centres = np.arange(12) % 9, np.arange(12) % 7
    p = floats({"side_px": [side] * 12, "centre_x_px_1": centres[0], "centre_y_px_1": centres[1]})
    result = run(Pipeline(steps=(Cutout(size=side),)), images, [p], plain=plain)
    for row, (x, y) in enumerate(zip(*centres, strict=True)):
        ys, xs = np.mgrid[0:7, 0:9]
        left, top = x - side // 2, y - side // 2
        hidden = (xs >= left) & (xs < left + side) & (ys >= top) & (ys < top + side)
        np.testing.assert_array_equal(result[row], images[row] * ~hidden[:, :, None])


def test_an_image_that_is_spared_keeps_its_pixels():
    """Erasing happens to half of them by default."""
    p = drawn(Erasing(), 9, 9)
    assert abs(p[ACTIVE].mean() - 0.5) < 5 * 0.5 / np.sqrt(MANY)


def test_noise_takes_two_more_words():
    """Others do not pay for it."""
    assert Erasing().words_needed() + 2 == Erasing(fill="noise").words_needed() == 9
    assert Cutout(holes=3).words_needed() + 2 == Cutout(holes=3, fill="noise").words_needed() == 14


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Erasing(area=(0, 0.3)), r"erasing\.area: expected \[low, high\] within \(0, 1\]"),
        (lambda: Erasing(area=(0.3, 1.1)), r"erasing\.area"),
        (lambda: Erasing(area=0.3), r"erasing\.area"),
        (lambda: Erasing(aspect_max=0.5), r"erasing\.aspect_max"),
        (lambda: Erasing(fill="grey"), r"erasing\.fill: expected one of"),
        (lambda: Erasing(level=256), r"erasing\.level"),
        (lambda: Erasing(level=()), r"erasing\.level"),
        (lambda: Erasing(probability=1.5), r"erasing\.probability"),
        (lambda: Cutout(size=0), r"cutout\.size"),
        (lambda: Cutout(holes=0), r"cutout\.holes"),
        (lambda: Cutout(holes=1.0), r"cutout\.holes"),
    ],
)
def test_parameters_outside_their_intervals_are_refused(make, said):
    """Naming step, option, expectation and value."""
    with pytest.raises(ParameterError, match=said):
        make()


def test_levels_must_be_as_many_as_the_channels():
    """Known only when there are images."""
    step = Erasing(level=(1.0, 2.0), probability=1)
    with pytest.raises(ParameterError, match=r"erasing\.level: expected 1 or 3 levels"):
        run_step(step, synthetic(2, 6, 8, 3), floats(ERASE))
