"""Steps that move pixels, against what NumPy says they are."""

import numpy as np
import pytest

from pipelines.affine import cosine_sine
from pipelines.errors import ParameterError, PipelineFileError
from pipelines.geometric import (
    Crop,
    HeightShift,
    HorizontalFlip,
    ResizedCrop,
    Rotation,
    Shear,
    VerticalFlip,
    WidthShift,
    Zoom,
)
from pipelines.pipeline import Pipeline
from pipelines.program import PREFILTER_FROM
from pipelines.transform import Canvas
from tests.golden.pipelines_cases import run, run_step, sample_ids, synthetic

NUMPY_PADDING = {"nearest": "edge", "constant": "constant", "reflect": "symmetric"}


def drawn(step, count=20_000, height=80, width=100):
    """One step's parameters for many samples."""
    ids = np.zeros((count, 16), dtype=np.uint8)
    ids[:, :4] = np.arange(count, dtype="<u4").view(np.uint8).reshape(count, 4)
    pipeline = Pipeline(steps=(step,))
    canvas = Canvas(np.full(count, height), np.full(count, width))
    return pipeline.parameters(pipeline.draw(11, ids, 0), canvas)[0]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 1), (4, 7), (33, 32)])
def test_an_empty_pipeline_returns_the_bytes(size, channels):
    """Nothing to do changes nothing."""
    images = synthetic(3, *size, channels)
    np.testing.assert_array_equal(run(Pipeline(steps=()), images, []), images)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("size", [(1, 1), (4, 7), (5, 5), (1, 8)])
def test_flips_are_numpys(size, dtype):
    """Mirror images, exactly, of odd and even sizes."""
    images = synthetic(2, *size, 3).astype(dtype)
    yes = {"flip": np.ones(2)}
    mirrored = run_step(HorizontalFlip(), images, yes)
    np.testing.assert_array_equal(mirrored, np.flip(images, 2))
    np.testing.assert_array_equal(run_step(VerticalFlip(), images, yes), np.flip(images, 1))
    no = {"flip": np.zeros(2)}
    np.testing.assert_array_equal(run_step(VerticalFlip(), images, no), images)


@pytest.mark.parametrize("border", ["nearest", "constant", "reflect", "wrap"])
@pytest.mark.parametrize("quarters", [-3, -1, 0, 1, 2, 3, 4])
def test_right_angles_are_numpys_for_squares(quarters, border):
    """rot90, exactly, whatever lies outside: nothing does."""
    for side in (1, 2, 9, 16):
        images = synthetic(1, side, side, 3)
        turned = run_step(Rotation(max_deg=360), images, {"angle_deg": np.array([90.0 * quarters])},
                          border=border)  # fmt: skip
        np.testing.assert_array_equal(turned, np.rot90(images, quarters, axes=(1, 2)))


@pytest.mark.parametrize("border", sorted(NUMPY_PADDING))
@pytest.mark.parametrize("by", [-9, -3, 0, 1, 5, 12])
def test_whole_shifts_are_windows_of_the_padded_image(border, by):
    """A shift by n shows the n-th window of the image continued as NumPy pads it."""
    images = synthetic(1, 6, 8, 3)
    extra = {"constant_values": 40} if border == "constant" else {}
    padded = np.pad(images, ((0, 0), (14, 14), (14, 14), (0, 0)), NUMPY_PADDING[border], **extra)
    parameters = {"shift_px": np.array([float(by)])}
    options = {"border": border, "fill": (40.0,)}
    sideways = run_step(WidthShift(by=1.0), images, parameters, **options)
    np.testing.assert_array_equal(sideways, padded[:, 14:20, 14 + by : 22 + by])
    downwards = run_step(HeightShift(by=1.0), images, parameters, **options)
    np.testing.assert_array_equal(downwards, padded[:, 14 + by : 20 + by, 14:22])


def test_wrapped_shifts_have_scipys_period():
    """SciPy's wrap has the period size - 1: the last column is the first one's double."""
    images = synthetic(1, 1, 6, 1)
    shifted = run_step(WidthShift(by=1.0), images, {"shift_px": np.array([7.0])}, border="wrap")
    places = [(i + 7) - 5 * ((i + 7) // 5) for i in range(6)]
    np.testing.assert_array_equal(shifted[0, 0, :, 0], images[0, 0, places, 0])


@pytest.mark.parametrize("probability", [0.0, 1.0, 0.5, 0.1])
@pytest.mark.parametrize("flip", [HorizontalFlip, VerticalFlip])
def test_flips_happen_as_often_as_asked(flip, probability):
    """Never at 0, always at 1, else within five standard deviations."""
    happened = drawn(flip(probability=probability))["flip"].sum()
    spread = np.sqrt(20_000 * probability * (1 - probability))
    assert abs(happened - 20_000 * probability) <= 5 * spread


def test_the_three_readings_of_a_shift():
    """Fractions below 1, pixels from 1 on, whole pixels for ints, values of a list."""
    fraction = drawn(WidthShift(by=0.2))["shift_px"]
    assert -20 <= fraction.min() < -19.9 < 19.9 < fraction.max() < 20
    pixels = drawn(HeightShift(by=3.0))["shift_px"]
    assert -3 <= pixels.min() < -2.99 < 2.99 < pixels.max() < 3
    whole = drawn(WidthShift(by=3))["shift_px"]
    assert set(whole.tolist()) == {-2, -1, 0, 1, 2}
    listed = drawn(WidthShift(by=[0.1, 0.5]))["shift_px"]
    assert set(listed.tolist()) == {-50, -10, 10, 50}
    assert not drawn(WidthShift(by=0))["shift_px"].any()


def test_crop_windows_are_equally_likely():
    """All 5 × 4 places of a window, within five standard deviations."""
    places = drawn(Crop(height=77, width=96))
    counts = np.zeros((4, 5))
    np.add.at(counts, (places["top_px"].astype(int), places["left_px"].astype(int)), 1)
    spread = np.sqrt(20_000 / 20)
    assert np.abs(counts - 20_000 / 20).max() < 5 * spread


def test_a_crop_is_a_slice():
    """Drawn or central, exactly those pixels."""
    images = synthetic(2, 9, 11, 3)
    cut = run_step(Crop(height=4, width=5), images,
                   {"left_px": np.array([0.0, 6.0]), "top_px": np.array([5.0, 2.0])})  # fmt: skip
    np.testing.assert_array_equal(cut[0], images[0, 5:9, 0:5])
    np.testing.assert_array_equal(cut[1], images[1, 2:6, 6:11])
    centre = Pipeline(steps=(Crop(height=4, width=5, place="centre"),)).apply(
        images, seed=0, sample_ids=sample_ids(2), copies=0
    )
    np.testing.assert_array_equal(centre, images[:, 2:6, 3:8])


def test_resized_crop_windows_have_the_stated_distribution():
    """Area uniform where the window fits, aspect within its ends, place uniform in what is left."""
    step = ResizedCrop(height=10, width=10, area=(0.1, 0.5), aspect_max=1.5)
    window = drawn(step)
    left, top = window["left_px"], window["top_px"]
    width, height = window["width_px"], window["height_px"]
    assert (left >= 0).all()
    assert (top >= 0).all()
    assert (left + width <= 100).all()
    assert (top + height <= 80).all()
    area = width * height / 8000
    assert area.min() >= 0.1 - 1e-12
    assert area.max() <= 0.5
    deciles = np.quantile(area, np.linspace(0.1, 0.9, 9))
    np.testing.assert_allclose(deciles, 0.1 + 0.4 * np.linspace(0.1, 0.9, 9), atol=0.01)
    aspect = width / height
    assert 1 / 1.5 - 1e-9 <= aspect.min() < 0.68
    assert 1.49 < aspect.max() <= 1.5 + 1e-9
    assert abs((aspect > 1).mean() - 0.5) < 5 * 0.5 / np.sqrt(20_000)
    free = width < 100
    place = np.quantile(left[free] / (100 - width[free]), [0.1, 0.5, 0.9])
    np.testing.assert_allclose(place, [0.1, 0.5, 0.9], atol=0.02)


def test_a_whole_window_is_the_image():
    """Area 1, aspect 1, output of the image's size: nothing is resampled."""
    images = synthetic(2, 24, 24, 3)
    step = ResizedCrop(height=24, width=24, area=(1.0, 1.0), aspect_max=1.0)
    same = Pipeline(steps=(step,)).apply(images, seed=1, sample_ids=sample_ids(2), copies=3)
    np.testing.assert_array_equal(same, images)


def test_a_large_reduction_is_prefiltered():
    """A fine chequerboard reduced by 8 becomes grey instead of an accident of phase."""
    board = np.indices((128, 128)).sum(axis=0) % 2 * 255
    image = np.repeat(board[None, :, :, None].astype(np.uint8), 3, axis=3)
    step = ResizedCrop(height=16, width=16, area=(0.9, 1.0), aspect_max=1.0)
    small = Pipeline(steps=(step,)).apply(image, seed=1, sample_ids=sample_ids(1), copies=0)
    assert np.abs(small[:, 1:-1, 1:-1].astype(int) - 128).max() <= 1


@pytest.mark.parametrize("size", [(1023, 1023), (1000, 37), (37, 1021), (131, 255), (1, 999)])
@pytest.mark.parametrize("area", [(1.0, 1.0), (0.7, 1.0)])
def test_no_window_of_the_image_shows_the_border(size, area):
    """However often odd sides are halved, the last row and column keep their place."""
    white = np.full((4, *size, 1), 255, np.uint8)
    step = ResizedCrop(height=16, width=16, area=area, aspect_max=1.0)
    pipeline = Pipeline(steps=(step,), border="constant", fill=(0.0,))
    windows = pipeline.apply(white, seed=0, sample_ids=sample_ids(4), copies=0)
    assert windows.min() == 255


def test_the_last_row_of_a_large_image_stays_white():
    """1023² pixels to 128²: once the border's black came in at the last row and column."""
    white = np.full((1, 1023, 1023, 1), 255, np.uint8)
    step = ResizedCrop(height=128, width=128, area=(1.0, 1.0), aspect_max=1.0)
    pipeline = Pipeline(steps=(step,), border="constant", fill=(0.0,))
    small = pipeline.apply(white, seed=0, sample_ids=sample_ids(1), copies=0)
    assert small[0, -1].min() == 255
    assert small[0, :, -1].min() == 255


def lowered(steps, sizes, parameters=None):
    """The programs of one image of each size."""
    heights, widths = (np.array(side) for side in zip(*sizes, strict=True))
    canvas = Canvas(heights, widths)
    pipeline = Pipeline(steps=steps)
    if parameters is None:
        parameters = pipeline.parameters(pipeline.draw(2, sample_ids(len(sizes)), 0), canvas)
    return pipeline.lower(parameters, canvas, 1)[0].programs


def whole_window(height, width):
    """The parameters of a window that is the image."""
    sides = {"width_px": np.array([float(width)]), "height_px": np.array([float(height)])}
    return {"left_px": np.zeros(1), "top_px": np.zeros(1), **sides}


@pytest.mark.parametrize(
    ("size", "halvings"),
    [((16, 16), [0, 0]), ((24, 24), [0, 0]), ((24, 25), [1, 0]), ((25, 24), [0, 1]),
     ((16, 128), [3, 0]), ((97, 8), [0, 3]), ((49, 200), [4, 2])],
)  # fmt: skip
def test_each_axis_is_halved_as_often_as_it_needs(size, halvings):
    """x before y; 1.5 is sampled as it is."""
    step = ResizedCrop(height=16, width=16)
    programs = lowered((step,), [size], [whole_window(*size)])
    assert programs.halvings.tolist() == [halvings]


@pytest.mark.parametrize("aspect_max", [1.0, 4 / 3, 9.0])
def test_what_is_left_to_reduce_is_at_most_the_limit(aspect_max):
    """On both axes, for windows of any shape, and never less than what was there to begin with."""
    sizes = [(height, width) for height in (20, 300, 1023) for width in (17, 333, 2000)] * 20
    step = ResizedCrop(height=24, width=16, aspect_max=aspect_max)
    programs = lowered((step,), sizes)
    left = np.abs(programs.matrix[:, [0, 4]]) / 2.0**32
    assert left.max() <= PREFILTER_FROM
    assert left[programs.halvings > 0].min() > PREFILTER_FROM / 2


@pytest.mark.parametrize(
    ("degrees", "halvings"), [(0, [3, 0]), (90, [0, 3]), (180, [3, 0]), (270, [0, 3])]
)
def test_the_axis_that_is_halved_is_the_sources(degrees, halvings):
    """After a quarter turn the columns of the window are rows of the image."""
    window = whole_window(16, 128) | {"left_px": np.array([-56.0]), "top_px": np.array([56.0])}
    steps = (Rotation(max_deg=360), ResizedCrop(height=16, width=16))
    parameters = [{"angle_deg": np.array([float(degrees)])}, window]
    assert lowered(steps, [(128, 128)], parameters).halvings.tolist() == [halvings]


def test_an_axis_is_prefiltered_while_the_other_is_sampled():
    """Fine stripes across the reduced axis become grey, those along it keep their edges."""
    step = ResizedCrop(height=16, width=16)
    stripes = np.indices((16, 128))[1] % 2 * 255
    upright = stripes[None, :, :, None].astype(np.uint8)
    small = run_step(step, upright, whole_window(16, 128))
    assert np.abs(small[:, :, 1:-1].astype(int) - 128).max() <= 1
    lying = np.ascontiguousarray(np.indices((16, 128))[0] % 2 * 255)[None, :, :, None]
    small = run_step(step, lying.astype(np.uint8), whole_window(16, 128))
    np.testing.assert_array_equal(small[0, :, :, 0], lying[0, :, :16, 0])


@pytest.mark.parametrize("size", [(40, 250), (250, 40), (120, 250), (201, 249)])
def test_halving_moves_nothing(size):
    """A ramp is read where the window's pixel centres lie, to the level, on either axis."""
    height, width = size
    rows, columns = np.indices(size)
    step = ResizedCrop(height=20, width=20)
    for ramp, side, along in ((columns, width, 1), (rows, height, 0)):
        image = ramp[None, :, :, None].astype(np.uint8)
        small = run_step(step, image, whole_window(height, width))[0, :, :, 0].astype(float)
        centres = (np.arange(20) + 0.5) * side / 20 - 0.5
        inner = small.mean(axis=1 - along)[1:-1]
        # Each halving of a ramp rounds half a level up.
        assert np.abs(inner - centres[1:-1]).max() <= 2.5


@pytest.mark.parametrize(
    ("step", "whole"),
    [(WidthShift(by=0.2, id="s"), WidthShift(by=[1, 2], id="s")),
     (HeightShift(by=3.0, id="s"), HeightShift(by=7, id="s")),
     (Zoom(by=0.2, keep_aspect=True, id="s"), Zoom(by=0.2, id="s"))],
)  # fmt: skip
def test_only_words_that_mean_something_are_drawn(step, whole):
    """One for an interval, and it is the word that stood at its place."""
    assert step.words_needed() == 1
    assert whole.words_needed() == whole.num_words
    alone, all_words = (Pipeline(steps=(s,)).draw(4, sample_ids(9), 2) for s in (step, whole))
    assert alone.shape == (9, 1)
    np.testing.assert_array_equal(alone[:, 0], all_words[:, 0])


def test_matrices_that_are_no_numbers_are_refused():
    """Zooms that overflow one after the other: the NaN is found like any large number."""
    steps = tuple(Zoom(by=(1000.0, 1024.0), id=f"z{i}") for i in range(200))
    with pytest.raises(ParameterError, match="narrow the zooms"):
        lowered((Rotation(max_deg=30), *steps, Rotation(max_deg=30)), [(20, 30)])


def test_cosine_and_sine_are_exact_at_right_angles_and_close_elsewhere():
    """Within 2 units in the last place of the C library, whole numbers at multiples of 90."""
    angles = np.arange(-8, 9) * 90.0
    quarters = np.array([[1, 0], [0, 1], [-1, 0], [0, -1]])
    np.testing.assert_array_equal(cosine_sine(angles), quarters[np.arange(-8, 9) % 4])
    angles = np.linspace(-720, 720, 4001)
    expected = np.stack([np.cos(np.deg2rad(angles)), np.sin(np.deg2rad(angles))], axis=1)
    np.testing.assert_allclose(cosine_sine(angles), expected, atol=2e-15)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Rotation(max_deg=-1), "rotation.max_deg"),
        (lambda: Rotation(max_deg=float("nan")), "rotation.max_deg"),
        (lambda: Shear(max_deg=90), "shear.max_deg"),
        (lambda: WidthShift(by=-0.1), "width_shift.by"),
        (lambda: WidthShift(by=[]), "width_shift.by"),
        (lambda: Zoom(by=1.0), "reaches 0"),
        (lambda: Zoom(by=[0.0, 2.0]), "reaches 0"),
        (lambda: Zoom(by=-0.2), "zoom.by"),
        (lambda: Zoom(by=[1.5, 0.5]), "zoom.by"),
        (lambda: HorizontalFlip(probability=1.5), "horizontal_flip.probability"),
        (lambda: Crop(height=0, width=3), "crop.height"),
        (lambda: Crop(height=3, width=3, place="left"), "crop.place"),
        (lambda: ResizedCrop(height=3, width=3, area=(0.0, 1.0)), "resized_crop.area"),
        (lambda: ResizedCrop(height=3, width=3, aspect_max=0.5), "resized_crop.aspect_max"),
    ],
)
def test_parameters_outside_their_interval_are_refused(make, named):
    """The message names transform, option, expectation and value."""
    with pytest.raises(ParameterError, match=named) as caught:
        make()
    assert "expected" in str(caught.value)
    assert caught.value.facts["name"] in str(caught.value)


def test_two_steps_of_one_name_draw_differently():
    """The second zoom is ``zoom#2``; leaving the first out changes nothing for a named one."""
    both = Pipeline(steps=(Zoom(by=0.5), Zoom(by=0.5)))
    assert both.step_keys == ("zoom", "zoom#2")
    words = both.draw(0, sample_ids(5), 0)
    assert not (words[:, :2] == words[:, 2:]).any()
    named = Pipeline(steps=(Rotation(max_deg=3), Zoom(by=0.5, id="z")))
    alone = Pipeline(steps=(Zoom(by=0.5, id="z"),))
    np.testing.assert_array_equal(
        named.draw(0, sample_ids(5), 0)[:, 1:], alone.draw(0, sample_ids(5), 0)
    )
    with pytest.raises(PipelineFileError, match="twice"):
        Pipeline(steps=(Zoom(by=0.5, id="z"), Rotation(max_deg=3, id="z")))
