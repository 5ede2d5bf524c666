"""Quarter turns and padding are NumPy's, byte for byte."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from pipelines.errors import ParameterError, PipelineFileError
from pipelines.exact_moves import Pad, QuarterTurn
from pipelines.geometric import Crop, HorizontalFlip
from pipelines.pipeline import Pipeline
from pipelines.serialization import from_dict, to_dict
from pipelines.transform import Canvas
from tests.golden.pipelines_cases import run, run_step, sample_ids, synthetic

NUMPY_PADDING = {"nearest": "edge", "constant": "constant", "reflect": "symmetric"}
SIDES = (0, 3, (5, 0, 0, 0), (0, 7, 2, 1), (40, 33, 1, 60))


def drawn(step, height, width, count=8000):
    ids = np.random.default_rng(3).integers(0, 256, (count, 16), dtype=np.uint8)
    pipeline = Pipeline(steps=(step,))
    canvas = Canvas(np.full(count, height), np.full(count, width))
    return pipeline.parameters(pipeline.draw(11, ids, 0), canvas)[0]


@pytest.mark.parametrize("border", ["nearest", "constant", "reflect", "wrap"])
@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_quarter_turn_of_a_square_is_numpys(turns, border, dtype):
    """rot90, of odd and even sides."""
    for side in (1, 2, 9, 16, 33):
        images = synthetic(2, side, side, 3).astype(dtype)
        turned = run_step(QuarterTurn(), images, {"turns": np.full(2, float(turns))},
                          border=border)  # fmt: skip
        np.testing.assert_array_equal(turned, np.rot90(images, turns, axes=(1, 2)))


def test_a_half_turn_of_any_image_is_numpys():
    """Sides may differ."""
    for height, width in ((1, 6), (7, 4), (33, 46)):
        images = synthetic(1, height, width, 3)
        turned = run_step(QuarterTurn(), images, {"turns": np.array([2.0])}, border="constant")
        np.testing.assert_array_equal(turned, np.rot90(images, 2, axes=(1, 2)))


@pytest.mark.parametrize(("size", "expected"), [((9, 9), [0, 1, 2, 3]), ((9, 8), [0, 2])])
def test_all_turns_that_fit_are_equally_frequent(size, expected):
    """Within five standard deviations."""
    turns, counts = np.unique(drawn(QuarterTurn(), *size)["turns"], return_counts=True)
    assert turns.tolist() == expected
    share = 1 / len(expected)
    assert np.abs(counts - 8000 * share).max() < 5 * np.sqrt(8000 * share * (1 - share))


def test_each_image_turns_as_its_own_size_allows():
    """In one batch of squares and others."""
    canvas = Canvas(np.array([9, 9] * 200), np.array([9, 8] * 200))
    words = np.random.default_rng(1).integers(0, 2**32, (400, 2), dtype=np.uint32)
    turns = QuarterTurn().draw(words, canvas)["turns"]
    assert set(turns[::2].tolist()) == {0, 1, 2, 3}
    assert set(turns[1::2].tolist()) == {0, 2}


@pytest.mark.parametrize("border", sorted(NUMPY_PADDING))
@pytest.mark.parametrize("by", SIDES)
def test_padding_is_numpys(border, by):
    """All sides, one each, and more than the image has."""
    left, top, right, bottom = by if isinstance(by, tuple) else (by,) * 4
    images = synthetic(2, 6, 9, 3)
    extra = {"constant_values": 40} if border == "constant" else {}
    widths = ((0, 0), (top, bottom), (left, right), (0, 0))
    expected = np.pad(images, widths, NUMPY_PADDING[border], **extra)
    padded = run_step(Pad(by=by), images, {}, border=border, fill=(40.0,))
    np.testing.assert_array_equal(padded, expected)


def test_a_wrapped_pad_is_scipys():
    """Its period is size - 1: one of the two ends is shown, not both."""
    images = synthetic(1, 1, 6, 1)
    padded = run_step(Pad(by=(7, 0, 8, 0)), images, {}, border="wrap")[0, 0, :, 0]
    places = [np.arange(-7, 14)]
    expected = map_coordinates(images[0, 0, :, 0], places, order=1, mode="wrap")
    np.testing.assert_array_equal(padded, expected)


def test_a_pad_and_the_crop_that_takes_it_off_are_nothing():
    """They fuse."""
    images = synthetic(2, 11, 8, 3)
    pipeline = Pipeline(steps=(Pad(by=(3, 5, 2, 1)), Crop(height=11, width=8)))
    window = {"left_px": np.full(2, 3.0), "top_px": np.full(2, 5.0)}
    np.testing.assert_array_equal(run(pipeline, images, [{}, window]), images)
    assert pipeline.output_size(11, 8) == (11, 8)


def test_a_random_crop_of_a_padded_image_is_a_window_of_it():
    """The usual augmentation of CIFAR-10: pad by 4, cut 32, mirror."""
    images = synthetic(40, 32, 32, 3)
    steps = (Pad(by=4), Crop(height=32, width=32), HorizontalFlip(probability=0))
    pipeline = Pipeline(steps=steps, border="constant")
    words = pipeline.draw(1, sample_ids(40), 0)
    window = pipeline.parameters(words, Canvas(np.full(40, 32), np.full(40, 32)))[1]
    cut = pipeline.apply(images, seed=1, sample_ids=sample_ids(40), copies=0)
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    for row in range(40):
        left, top = int(window["left_px"][row]), int(window["top_px"][row])
        assert 0 <= min(left, top) <= max(left, top) <= 8
        np.testing.assert_array_equal(cut[row], padded[row, top : top + 32, left : left + 32])


@pytest.mark.parametrize("by", [-1, 1.5, True, (1, 2), (1, 2, 3, -4), 4097, "3"])
def test_a_pad_that_is_no_whole_pixels_is_refused(by):
    """With the name of the option."""
    with pytest.raises(ParameterError, match=r"pad\.by: expected whole pixels"):
        Pad(by=by)


@pytest.mark.parametrize("by", SIDES)
def test_a_pad_survives_its_file(by):
    """A list becomes the same four sides."""
    pipeline = Pipeline(steps=(Pad(by=by),))
    assert from_dict(to_dict(pipeline)).steps == pipeline.steps


def test_a_pad_cannot_happen_to_some_images():
    """Their sizes would differ."""
    with pytest.raises(ParameterError, match="every copy has one size"):
        Pad(by=1, probability=0.5)
    with pytest.raises(PipelineFileError, match="expected outside of sequence"):
        from_dict({"step": [{"transform": "sequence", "steps": [{"transform": "pad", "by": 1}]}]})
