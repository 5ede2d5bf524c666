"""Noise by address: its bytes, its quantiles, and what Gaussian noise does to levels."""

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import kurtosis

from pipelines.errors import ParameterError
from pipelines.fields import NORMAL_BITS, keys_of, noise_of_images, normal_quantiles
from pipelines.noise import GaussianNoise
from pipelines.pipeline import Pipeline
from pipelines.randomness import noise_bytes
from pipelines.transform import Canvas
from tests.golden.pipelines_cases import run_step, sample_ids, synthetic

KEYS = np.array([[0, 0], [5, 2**32 - 1], [2**31, 7]], dtype=np.uint32)


def drawn(step, count, side=224):
    pipeline = Pipeline(steps=(step,))
    canvas = Canvas(np.full(count, side), np.full(count, side))
    return pipeline.parameters(pipeline.draw(11, sample_ids(count), 2), canvas)[0]


def change(step, channels, side=224, level=128):
    """(n, H, W, C) what is added to images of one level, and the parameters."""
    parameters = drawn(step, 3, side)
    images = np.full((3, side, side, channels), level, np.uint8)
    return run_step(step, images, parameters).astype(int) - level, parameters


@pytest.mark.parametrize("count", [1, 16, 37])
@pytest.mark.parametrize("plain", [False, True])
def test_the_noise_of_many_images_is_that_of_each(count, plain):
    """A row depends on its key alone."""
    noise = noise_of_images(KEYS, count, plain=plain)
    for row, (key_0, key_1) in zip(noise, KEYS.tolist(), strict=True):
        np.testing.assert_array_equal(row, noise_bytes(key_0, key_1, count))


def test_the_quantiles_are_the_normal_ones_rounded():
    """All 65,536 of SciPy's, in units of 2**-12."""
    expected = ndtri((np.arange(1 << 16) + 0.5) / (1 << 16)) * (1 << NORMAL_BITS)
    np.testing.assert_array_equal(normal_quantiles(), np.rint(expected))


def test_the_quantiles_have_the_stated_moments():
    """Reach, standard deviation and excess kurtosis as the docstring has them."""
    values = normal_quantiles() / (1 << NORMAL_BITS)
    assert (values.min(), values.max()) == (-values.max(), pytest.approx(4.325, abs=0.001))
    assert values.std() == pytest.approx(0.99999, abs=5e-6)
    assert kurtosis(values) == pytest.approx(-0.0008, abs=5e-5)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("per_channel", [True, False])
def test_noise_is_the_definition_in_double_precision_rounded(channels, per_channel):
    """The level plus std times the quantile that the image's bytes name, clipped; and its twin."""
    step = GaussianNoise(std=(0, 255), per_channel=per_channel)
    images = synthetic(5, 33, 21, channels)
    parameters = drawn(step, 5)
    colours = min(channels, 3)
    depth = colours if per_channel else 1
    noisy = run_step(step, images, parameters)[..., :colours]
    fractions = noise_of_images(keys_of(parameters), 2 * 33 * 21 * depth).view("<u2")
    normal = ndtri((fractions.reshape(5, 33, 21, depth) + 0.5) / (1 << 16))
    sums = images[..., :colours] + parameters["std"][:, None, None, None] * normal
    assert np.abs(noisy - np.clip(sums, 0, 255)).max() < 0.55
    twin = images.copy()
    step.run(twin, parameters, plain=True)
    np.testing.assert_array_equal(twin[..., :colours], noisy)


def test_the_noise_has_the_mean_and_deviation_that_were_drawn():
    """Within five standard errors, of 150,528 values of each image."""
    added, parameters = change(GaussianNoise(std=(8, 12)), 3)
    for image, std in zip(added, parameters["std"], strict=True):
        spread = np.sqrt(std * std + 1 / 12)
        assert abs(image.mean()) < 5 * spread / np.sqrt(image.size)
        assert abs(image.std() - spread) < 5 * spread / np.sqrt(2 * image.size)


def test_neighbours_and_channels_do_not_know_of_each_other():
    """Correlations of 50,000 pairs are below five standard errors."""
    added, _ = change(GaussianNoise(std=(10, 10)), 3)
    pairs = [(added[0, :, 1:], added[0, :, :-1]), (added[0, 1:], added[0, :-1]),
             (added[0, ..., 0], added[0, ..., 1]), (added[0], added[1])]  # fmt: skip
    for one, other in pairs:
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 5 / np.sqrt(one.size)


def test_grey_noise_is_the_same_in_all_channels():
    """Not so without the option."""
    grey, _ = change(GaussianNoise(std=(10, 10), per_channel=False), 3)
    assert (grey == grey[..., :1]).all()
    assert grey.any()
    coloured, _ = change(GaussianNoise(std=(10, 10)), 3)
    assert (coloured != coloured[..., :1]).any()


def test_alpha_gets_no_noise():
    """The fourth of four channels."""
    added, _ = change(GaussianNoise(std=(40, 40)), 4, side=20)
    assert not added[..., 3].any()
    assert added[..., :3].any(axis=(0, 1, 2)).all()


@pytest.mark.parametrize("level", [0, 255])
def test_noise_is_clipped(level):
    """Half of the values stay at the end of the range."""
    added, _ = change(GaussianNoise(std=(255, 255)), 1, level=level)
    stays = (added == 0).mean()
    assert 0.49 < stays < 0.51


@pytest.mark.parametrize("std", [(-1, 2), (3, 2), (0, 256), 5.0, (0, float("nan"))])
def test_a_deviation_outside_its_interval_is_refused(std):
    """With the name of the option."""
    with pytest.raises(ParameterError, match=r"gaussian_noise\.std: expected"):
        GaussianNoise(std=std)
