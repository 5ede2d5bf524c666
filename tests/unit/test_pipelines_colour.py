"""Steps on finished images: what they leave alone, what they refuse, what undoes them."""

import numpy as np
import pytest

from pipelines.colour import ColourJitter, Grey, Hue, Saturation
from pipelines.errors import ImageContractError, ParameterError
from pipelines.filtering import MAX_SIGMA, gaussian_weights
from pipelines.histogram import Autocontrast, Equalize
from pipelines.neighbourhood import GaussianBlur, Sharpness
from pipelines.photometric import Brightness, Gamma, Invert, Posterize, Solarize
from pipelines.pipeline import Pipeline
from tests.golden.pipelines_cases import run, run_step, sample_ids, synthetic

COLOURED = [Grey(), Saturation(factor=(0, 0)), Hue(max_deg=180)]
JITTER = ColourJitter(saturation=(0, 0), hue_max_deg=180)
FINISHED = [*COLOURED, JITTER, ColourJitter(brightness=(0, 0.5), contrast=(2, 3)), Equalize(),
            Autocontrast(), Sharpness(factor=(2, 3)), GaussianBlur(sigma_px=(1, 2))]  # fmt: skip


def applied(step, images):
    count = len(images)
    return Pipeline(steps=(step,)).apply(images, seed=1, sample_ids=sample_ids(count), copies=0)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("step", [*COLOURED, JITTER], ids=lambda step: step.name)
def test_images_without_colour_stay_as_they_are(step, channels):
    """`check` says so beforehand."""
    images = synthetic(3, 8, 9, channels)
    np.testing.assert_array_equal(applied(step, images), images)


@pytest.mark.parametrize("step", FINISHED[:-1], ids=lambda step: step.name)
def test_alpha_stays_as_it_is_and_changes_nothing(step):
    """The other three channels are what they are without it."""
    images = synthetic(3, 8, 9, 4)
    result = applied(step, images)
    np.testing.assert_array_equal(result[..., 3], images[..., 3])
    without = applied(step, np.ascontiguousarray(images[..., :3]))
    np.testing.assert_array_equal(result[..., :3], without)


@pytest.mark.parametrize("step", FINISHED, ids=lambda step: step.name)
def test_floats_are_refused(step):
    """There are no 256 levels to work on."""
    with pytest.raises(ImageContractError, match=f"{step.name}, which works on 256 levels"):
        applied(step, synthetic(2, 8, 9, 3).astype(np.float32))


@pytest.mark.parametrize(
    ("step", "parameters"),
    [
        (Saturation(factor=(0, 2)), {"factor": 1.0}),
        (Hue(max_deg=180), {"angle_deg": 0.0}),
        (Sharpness(factor=(0, 2)), {"factor": 1.0}),
        (GaussianBlur(sigma_px=(0, 2)), {"sigma_px": 0.1}),
        (Posterize(bits=(1, 8)), {"bits": 8.0}),
        (Solarize(threshold=(0, 256)), {"threshold_levels": 256.0}),
        (ColourJitter(), {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue_deg": 0.0,
                          "order": 17.0}),
    ],
)  # fmt: skip
def test_the_neutral_parameter_changes_nothing(step, parameters):
    """Not even by rounding."""
    images = synthetic(2, 16, 16, 3)
    neutral = {name: np.full(2, value) for name, value in parameters.items()}
    np.testing.assert_array_equal(run_step(step, images, neutral), images)


@pytest.mark.parametrize("angle", [60.0, -120.0, 180.0])
def test_whole_sectors_of_hue_exchange_channels(angle):
    """120° make red green; turning back gives the image again."""
    images = synthetic(1, 16, 16, 3)
    turned = run_step(Hue(max_deg=180), images, {"angle_deg": np.array([angle])})
    assert np.sort(turned, axis=3)[..., [0, 2]].tolist() == np.sort(images)[..., [0, 2]].tolist()
    back = run_step(Hue(max_deg=180), turned, {"angle_deg": np.array([-angle])})
    np.testing.assert_array_equal(back, images)
    red = np.full((1, 1, 1, 3), [200, 10, 10], np.uint8)
    third = run_step(Hue(max_deg=180), red, {"angle_deg": np.array([120.0])})
    assert third.reshape(-1).tolist() == [10, 200, 10]


@pytest.mark.parametrize("turn", [0, 1, 12345, 65535, 3 * 65536, 6 * 65536 - 1])
def test_hue_is_the_exact_fraction_rounded_once(turn):
    """In rational arithmetic, for angles that are whole units."""
    from fractions import Fraction

    from pipelines.chroma import turn_hue

    rng = np.random.default_rng(turn)
    images = rng.integers(0, 256, (1, 20, 20, 3), dtype=np.uint8)
    turned = images.copy()
    turn_hue(turned, np.array([turn]), plain=False)
    for before, after in zip(images.reshape(-1, 3).tolist(), turned.reshape(-1, 3), strict=True):
        high, low = max(before), min(before)
        if high == low:
            continue
        at = before.index(high)
        following, last = before[(at + 1) % 3], before[(at + 2) % 3]
        place = (2 * at + Fraction(following - last, high - low) + Fraction(turn, 65536)) % 6
        for channel, level in enumerate(after.tolist()):
            distance = abs((place - 2 * channel + 3) % 6 - 3)
            exact = high - (high - low) * min(max(distance - 1, 0), 1)
            assert abs(level - exact) <= Fraction(1, 2)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Saturation(factor=(-0.1, 1)), r"saturation\.factor: expected \[low, high\]"),
        (lambda: Saturation(factor=1.5), r"saturation\.factor"),
        (lambda: Hue(max_deg=181), r"hue\.max_deg: expected a number in \[0, 180\]"),
        (lambda: Hue(max_deg=True), r"hue\.max_deg"),
        (lambda: ColourJitter(contrast=(2, 1)), r"colour_jitter\.contrast"),
        (lambda: ColourJitter(hue_max_deg=-1), r"colour_jitter\.hue_max_deg"),
        (lambda: Sharpness(factor=(0, 17)), r"sharpness\.factor"),
        (lambda: GaussianBlur(sigma_px=(0, 17)), r"gaussian_blur\.sigma_px"),
        (lambda: Autocontrast(cutoff_percent=(0, 50)), r"autocontrast\.cutoff_percent"),
        (lambda: Posterize(bits=(0, 8)), r"posterize\.bits"),
        (lambda: Posterize(bits=(2.5, 8)), r"posterize\.bits: expected .* whole numbers"),
        (lambda: Solarize(threshold=(0, 257)), r"solarize\.threshold"),
    ],
)
def test_parameters_outside_their_intervals_are_refused(make, said):
    """Naming step, option, interval and value."""
    with pytest.raises(ParameterError, match=said):
        make()


def test_posterize_draws_every_number_of_bits():
    """Both ends included, as whole numbers."""
    pipeline = Pipeline(steps=(Posterize(bits=(3, 5)),))
    words = np.random.default_rng(0).integers(0, 2**32, (300, 2), dtype=np.uint32)
    assert set(pipeline.steps[0].draw(words, None)["bits"].tolist()) == {3.0, 4.0, 5.0}


def test_tables_fuse_in_the_order_of_the_file():
    """One pass: the same as one table after another on whole levels."""
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    steps = (Invert(), Solarize(threshold=(100, 100)), Gamma(power=(2, 2)), Posterize(bits=(4, 4)))
    drawn = [{}, {"threshold_levels": np.array([100.0])}, {"power": np.array([2.0])},
             {"bits": np.array([4.0])}]  # fmt: skip
    expected = levels
    for step, parameters in zip(steps, drawn, strict=True):
        expected = run_step(step, expected, parameters)
    pipeline = Pipeline(steps=steps)
    np.testing.assert_array_equal(run(pipeline, levels, drawn), expected)
    from pipelines.lowering import parts_of

    assert len(parts_of(pipeline.moving_steps)) == 1


def test_invert_is_an_involution():
    """Also behind a linear step, whose rounding comes first."""
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    twice = Pipeline(steps=(Brightness(factor=(1, 1)), Invert(id="a"), Invert(id="b")))
    drawn = [{"factor": np.array([0.7])}, {}, {}]
    once = Pipeline(steps=(Brightness(factor=(1, 1)),))
    np.testing.assert_array_equal(run(twice, levels, drawn), run(once, levels, drawn[:1]))


@pytest.mark.parametrize("sigma", [0.0, 0.05, 0.2, 0.5, 1.0, 3.3, 9.0, MAX_SIGMA])
def test_gaussian_weights_are_the_exact_ones_rounded(sigma):
    """In units of 2**-14, summing to one, four standard deviations to either side."""
    weights = gaussian_weights(np.array([sigma, MAX_SIGMA]))[0]
    assert weights[0] + 2 * weights[1:].sum() == 1 << 14
    assert (weights >= 0).all()
    assert (np.diff(weights) <= 0).all()
    reach = int(4 * sigma + 0.5)
    distance = np.arange(len(weights))
    exact = np.where(distance <= reach, np.exp(-(distance**2) / (2 * max(sigma, 0.05) ** 2)), 0)
    exact = exact / (exact[0] + 2 * exact[1:].sum()) * (1 << 14)
    np.testing.assert_allclose(weights[1:], exact[1:], atol=0.5 + 1e-6)


def test_a_blur_keeps_an_image_of_one_level():
    """The weights sum to one exactly, and so do its mirrored sides."""
    for level in (0, 1, 127, 255):
        images = np.full((1, 5, 9, 1), level, np.uint8)
        blurred = run_step(GaussianBlur(sigma_px=(0, 16)), images, {"sigma_px": np.array([16.0])})
        assert (blurred == level).all()
