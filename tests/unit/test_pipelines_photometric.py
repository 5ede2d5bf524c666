"""Steps that change values, against their formulas in exact or double arithmetic."""

from decimal import ROUND_HALF_UP, Decimal, localcontext

import numpy as np
import pytest

from pipelines.errors import ImageContractError, ParameterError, PipelineFileError
from pipelines.exponential import exponential, powers_of_levels
from pipelines.geometric import HorizontalFlip, WidthShift
from pipelines.photometric import (
    Brightness,
    ChannelShift,
    Contrast,
    Gamma,
    KerasBrightness,
    KerasChannelShift,
)
from pipelines.pipeline import Pipeline
from tests.golden.pipelines_cases import run, run_step, sample_ids, synthetic

LEVELS = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)


def within_rounding(result, expected):
    """Levels equal the clipped exact value up to the rounding to whole levels."""
    exact = np.clip(expected, 0, 255)
    return np.abs(result.reshape(-1) - exact.reshape(-1)).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("factor", [0.0, 0.3, 0.9999, 1.0, 1.7, 4.0, 16.0])
def test_brightness_multiplies(factor):
    """Every level, rounded once."""
    result = run_step(Brightness(factor=(1, 1)), LEVELS, {"factor": np.array([factor])})
    assert within_rounding(result, LEVELS.astype(np.float64) * factor)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 1.31, 8.0])
def test_contrast_spreads_about_mid_grey(factor):
    """Every level, rounded once."""
    result = run_step(Contrast(factor=(1, 1)), LEVELS, {"factor": np.array([factor])})
    assert within_rounding(result, (LEVELS.astype(np.float64) - 127.5) * factor + 127.5)


@pytest.mark.parametrize("shift", [-255.0, -20.25, -0.4, 0.0, 0.6, 33.3, 254.9])
def test_channel_shift_adds(shift):
    """Every level, clipped to [0, 255]."""
    result = run_step(ChannelShift(by=0), LEVELS, {"shift_levels": np.array([shift])})
    assert within_rounding(result, LEVELS + shift)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shift", [-90.0, -3.3, 0.0, 12.6, 110.0])
@pytest.mark.parametrize("values", [(20, 20), (20, 130), (0, 255), (200, 250)])
def test_keras_channel_shift_clips_to_the_images_own_range(values, shift, dtype):
    """Also where the shift would carry the whole range beyond black or white."""
    low, high = values
    images = synthetic(3, 7, 9, 3, low, high).astype(dtype)
    result = run_step(KerasChannelShift(by=0), images, {"shift_levels": np.full(3, shift)})
    ends = images.min(axis=(1, 2, 3), keepdims=True), images.max(axis=(1, 2, 3), keepdims=True)
    expected = np.clip(images.astype(np.float64) + shift, *ends)
    np.testing.assert_allclose(result, expected, atol=0.5 + 1e-4 if dtype == np.uint8 else 1e-4)


def test_keras_channel_shift_counts_the_fill_among_the_extremes():
    """The range is that of the moved image, what came in from outside included."""
    images = np.full((1, 4, 4, 1), 100, np.uint8)
    steps = (WidthShift(by=1.0), KerasChannelShift(by=0))
    drawn = [{"shift_px": np.array([2.0])}, {"shift_levels": np.array([60.0])}]
    pipeline = Pipeline(steps=steps, border="constant", fill=(140.0,))
    result = run(pipeline, images, drawn)[0, :, :, 0]
    np.testing.assert_array_equal(result, [[140, 140, 140, 140]] * 4)
    pipeline = Pipeline(steps=steps, border="constant", fill=(30.0,))
    result = run(pipeline, images, drawn)[0, :, :, 0]
    np.testing.assert_array_equal(result, [[100, 100, 90, 90]] * 4)


def test_steps_after_keras_channel_shift_see_its_result():
    """Shift and clip to the own range, then the rest, each clipped to [0, 255]."""
    images = synthetic(4, 8, 8, 3, 60, 200)
    shifts, factors = np.array([-80.0, -10.0, 35.0, 150.0]), np.array([2.0, 0.5, 1.5, 0.7])
    steps = (KerasChannelShift(by=0), Brightness(factor=(1, 1)), Contrast(factor=(1, 1)))
    drawn = [{"shift_levels": shifts}, {"factor": factors}, {"factor": factors[::-1]}]
    for dtype in (np.uint8, np.float32):
        result = run(Pipeline(steps=steps), images.astype(dtype), drawn, value_range=(0, 255))
        for k, image in enumerate(images.astype(np.float64)):
            exact = np.clip(image + shifts[k], image.min(), image.max())
            exact = np.clip(exact * factors[k], 0, 255)
            exact = np.clip((exact - 127.5) * factors[3 - k] + 127.5, 0, 255)
            assert np.abs(result[k] - exact).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("power", [0.1, 0.45, 1.0, 1.8, 2.2, 10.0])
def test_gamma_tables_are_correctly_rounded_powers(power):
    """Against 40-digit decimal arithmetic, every level."""
    with localcontext() as context:
        context.prec = 40
        exact = [255 * (Decimal(k) / 255) ** Decimal(power) if k else Decimal(0)
                 for k in range(256)]  # fmt: skip
        rounded = [int(value.quantize(Decimal(1), ROUND_HALF_UP)) for value in exact]
    table = 255 * powers_of_levels(np.array([power]))[0]
    np.testing.assert_allclose(table, [float(value) for value in exact], rtol=2e-15, atol=1e-13)
    result = run_step(Gamma(power=(1, 1)), LEVELS, {"power": np.array([power])})
    np.testing.assert_array_equal(result.reshape(-1), rounded)


def test_the_exponential_is_close_to_the_exact_one():
    """Within 2 units in the last place over its whole interval."""
    x = -np.concatenate([np.linspace(0, 1, 500), np.geomspace(1, 700, 500)])
    with localcontext() as context:
        context.prec = 40
        exact = np.array([float(Decimal(float(v)).exp()) for v in x])
    assert (np.abs(exponential(x) - exact) <= 2 * np.spacing(exact)).all()


@pytest.mark.parametrize("factor", [0.0, 0.37, 1.0, 1.5, 3.99])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_keras_brightness_is_pillows(factor, channels):
    """ImageEnhance.Brightness, byte for byte, alpha untouched."""
    from PIL import Image, ImageEnhance

    images = synthetic(1, 20, 20, channels)
    picture = Image.fromarray(images[0, :, :, 0] if channels == 1 else images[0])
    expected = np.asarray(ImageEnhance.Brightness(picture).enhance(factor))
    result = run_step(KerasBrightness(factor=(1, 1)), images, {"factor": np.array([factor])})
    np.testing.assert_array_equal(result[0], expected.reshape(20, 20, channels))


def test_linear_steps_fold_and_round_once():
    """Brightness then its inverse loses nothing in between, apart from what was clipped."""
    steps = (Brightness(factor=(1, 1)), Brightness(factor=(1, 1)))
    drawn = [{"factor": np.array([0.1])}, {"factor": np.array([10.0])}]
    np.testing.assert_array_equal(run(Pipeline(steps=steps), LEVELS, drawn), LEVELS)
    drawn = [{"factor": np.array([2.0])}, {"factor": np.array([0.5])}]
    result = run(Pipeline(steps=steps), LEVELS, drawn)
    assert within_rounding(result, np.minimum(LEVELS.astype(np.float64) * 2, 255) / 2)


def test_the_fill_takes_part_in_what_comes_after_the_border():
    """Pointwise steps after the last geometric one change the fill, those before do not."""
    images = np.full((1, 2, 4, 1), 100, np.uint8)
    move, tone = WidthShift(by=1.0), ChannelShift(by=0)
    shift, add = {"shift_px": np.array([2.0])}, {"shift_levels": np.array([25.0])}
    options = {"border": "constant", "fill": (10.0,)}
    after = run(Pipeline(steps=(move, tone), **options), images, [shift, add])
    assert after[0, 0, :, 0].tolist() == [125, 125, 35, 35]
    before = run(Pipeline(steps=(tone, move), **options), images, [add, shift])
    assert before[0, 0, :, 0].tolist() == [125, 125, 10, 10]


def test_float_images_scale_levels_by_their_range():
    """In [0, 1] a shift of 51 levels is a shift of 0.2, and white is 1."""
    images = np.linspace(0, 1, 16, dtype=np.float32).reshape(1, 4, 4, 1)
    result = run_step_float(ChannelShift(by=0), images, {"shift_levels": np.array([51.0])})
    np.testing.assert_allclose(result, np.minimum(images + 0.2, 1), atol=1e-6)


def run_step_float(step, images, parameters):
    return run(Pipeline(steps=(step,)), images, [parameters], value_range=(0.0, 1.0))


def test_float_images_refuse_tables():
    """256 levels have no float form: a clear refusal instead of a guess."""
    images = np.zeros((1, 4, 4, 1), np.float32)
    with pytest.raises(ImageContractError, match="gamma"):
        run_step(Gamma(power=(1, 1)), images, {"power": np.array([2.0])})


@pytest.mark.parametrize("steps", [
    (KerasChannelShift(by=9), KerasChannelShift(by=9, id="b")),
    (KerasChannelShift(by=9), WidthShift(by=0.1)),
    (Brightness(factor=(0.5, 1.5)), KerasChannelShift(by=9)),
])  # fmt: skip
def test_orders_without_fused_meaning_are_refused(steps):
    """A clip to the image's own range needs the moved image, untouched otherwise."""
    with pytest.raises(PipelineFileError, match="keras_channel_shift"):
        Pipeline(steps=steps)


def test_flips_may_follow_keras_channel_shift():
    """They bring nothing in."""
    pipeline = Pipeline(steps=(KerasChannelShift(by=9), HorizontalFlip()))
    images = synthetic(2, 5, 5, 3)
    assert pipeline.apply(images, seed=0, sample_ids=sample_ids(2), copies=0).shape == images.shape


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: ChannelShift(by=-1), "channel_shift.by"),
        (lambda: KerasChannelShift(by=300), "keras_channel_shift.by"),
        (lambda: Brightness(factor=(0.5, 17)), "brightness.factor"),
        (lambda: Brightness(factor=0.5), "brightness.factor"),
        (lambda: Contrast(factor=(2, 1)), "contrast.factor"),
        (lambda: Gamma(power=(0, 1)), "gamma.power"),
    ],
)
def test_parameters_outside_their_interval_are_refused(make, named):
    """The message names transform and option."""
    with pytest.raises(ParameterError, match=named):
        make()
