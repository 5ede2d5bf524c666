"""What is fitted on the training part: moments, whitening, memory."""

import tracemalloc

import numpy as np
import pytest
from sklearn.decomposition import IncrementalPCA

from pipelines.errors import ImageContractError
from pipelines.standardization import Standardization, standardization_from_text
from pipelines.standardizer import Standardizer
from pipelines.statistics import fit_statistics
from pipelines.whitening import LowRankFit, leading_rows
from tests.standardization_cases import SHAPES, batched, levels

FEATUREWISE = standardization_from_text("featurewise")
ZCA = standardization_from_text("unit+zca")


def low_rank(components, epsilon=1e-6):
    return Standardization(rescale=1 / 255, featurewise_center=True, zca=True,
                           zca_components=components, zca_epsilon=epsilon)  # fmt: skip


def whitened(images, standardization, fitted_on=None):
    statistics = fit_statistics([images if fitted_on is None else fitted_on], standardization)
    standardizer = Standardizer(standardization, statistics, images.shape[1:])
    return standardizer.apply(images).reshape(len(images), -1).astype(np.float64)


def correlated(count, shape, seed=0):
    """Images whose spectrum falls off, as that of photographs does."""
    generator = np.random.default_rng(seed)
    values = int(np.prod(shape))
    falling = generator.normal(0, 60 / np.sqrt(np.arange(1, values + 1)), (count, values))
    mixing = np.linalg.qr(generator.normal(size=(values, values)))[0]
    return np.clip(falling @ mixing + 128, 0, 255).astype(np.uint8).reshape(count, *shape)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_mean_and_std_are_numpys(shape, dtype):
    """Per channel, over all pixels of all images, divided by n."""
    images = levels((7, *shape), dtype=dtype)
    fitted = fit_statistics([images], FEATUREWISE)
    exact = images.astype(np.float64)
    np.testing.assert_allclose(fitted.mean, exact.mean(axis=(0, 1, 2)), rtol=1e-13)
    np.testing.assert_allclose(fitted.std, exact.std(axis=(0, 1, 2)), rtol=1e-12, atol=1e-12)


def test_mean_and_std_are_of_the_rescaled_images():
    """As Keras' ``fit``, which rescales first."""
    images = levels((5, 4, 4, 3))
    options = Standardization(rescale=-0.5, offset=3.0, featurewise_center=True)
    fitted, plain = fit_statistics([images], options), fit_statistics([images], FEATUREWISE)
    assert np.array_equal(fitted.mean, plain.mean * -0.5 + 3.0)
    assert np.array_equal(fitted.std, plain.std * 0.5)


def test_standardised_training_images_have_mean_zero_and_std_one():
    """What it is for."""
    images = levels((64, 9, 7, 3))
    fitted = fit_statistics([images], FEATUREWISE)
    result = Standardizer(FEATUREWISE, fitted, (9, 7, 3)).apply(images).astype(np.float64)
    np.testing.assert_allclose(result.mean(axis=(0, 1, 2)), 0, atol=1e-6)
    np.testing.assert_allclose(result.std(axis=(0, 1, 2)), 1, atol=1e-5)


@pytest.mark.parametrize("text", ["featurewise", "unit+zca"])
def test_one_image_is_enough(text):
    """Nothing is divided by n - 1, and no direction of variance 0 becomes infinite."""
    options = standardization_from_text(text)
    image = levels((1, 4, 5, 3))
    fitted = fit_statistics([image], options)
    assert fitted.num_images == 1
    assert np.isfinite(Standardizer(options, fitted, (4, 5, 3)).apply(image)).all()


def test_float_images_far_from_zero_keep_their_spread():
    """A sum of squares would lose a spread of 0.1 about 10,000 in float32."""
    generator = np.random.default_rng(3)
    images = (10_000 + generator.normal(0, 0.1, (20, 8, 8, 1))).astype(np.float32)
    fitted = fit_statistics(batched(images, 3), FEATUREWISE)
    assert fitted.std[0] == pytest.approx(images.astype(np.float64).std(), rel=1e-9)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named(value):
    """It would make every statistic NaN."""
    images = levels((5, 3, 3, 1), dtype=np.float32)
    images[3, 1, 1, 0] = value
    with pytest.raises(ImageContractError, match="image 3 of the stream"):
        fit_statistics(batched(images, 2), FEATUREWISE)


def test_no_image_is_an_error():
    """Not a mean of NaN."""
    with pytest.raises(ImageContractError, match="at least one training image"):
        fit_statistics([np.empty((0, 3, 3, 1), np.uint8)], FEATUREWISE)


@pytest.mark.parametrize("second", [np.zeros((1, 3, 4, 1), np.uint8), np.zeros((3, 3), np.uint8),
                                    np.zeros((1, 3, 3, 1), np.float32)])  # fmt: skip
def test_a_batch_unlike_the_first_is_refused(second):
    """By its number."""
    with pytest.raises(ImageContractError, match="batch 1"):
        fit_statistics([np.zeros((1, 3, 3, 1), np.uint8), second], FEATUREWISE)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_whitened_images_have_the_identity_as_second_moment(dtype):
    """ZCA's definition: XᵀX / n = I on the training part."""
    images = levels((400, 4, 3, 3), dtype=dtype)
    white = whitened(images, ZCA)
    np.testing.assert_allclose(white.T @ white / len(white), np.eye(36), atol=2e-4)


def test_whitening_changes_an_image_as_little_as_possible():
    """Its matrix is symmetric: ZCA, not PCA."""
    matrix = fit_statistics([levels((100, 3, 4, 1))], ZCA).whitening.projection
    np.testing.assert_allclose(matrix, matrix.T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("num_images", [1, 5, 35])
def test_fewer_images_than_values_leave_the_unseen_directions_out(num_images):
    """Rank n at most; nothing is amplified by 1/ε."""
    images = levels((num_images, 4, 3, 3))
    white = whitened(images, ZCA)
    values = np.linalg.svd(white / np.sqrt(num_images), compute_uv=False)
    assert (np.abs(values - 1) < 1e-3).all()
    assert np.abs(whitened(levels((9, 4, 3, 3), seed=8), ZCA, images)).max() < 1e3


def test_pixels_that_never_vary_are_not_amplified():
    """A black frame has no variance of its own; Keras multiplies its rounding noise by √n/ε."""
    images = np.zeros((300, 6, 6, 1), np.uint8)
    images[:, 1:5, 1:5] = levels((300, 4, 4, 1))
    assert np.abs(whitened(images, ZCA)).max() < 30


def test_constant_images_are_whitened_to_zeros():
    """No variance, no direction."""
    assert not whitened(np.full((5, 3, 3, 3), 9, np.uint8), ZCA).any()


def test_a_large_epsilon_damps_every_direction():
    """It is added to the singular values, as in Keras."""
    images = levels((200, 3, 3, 1))
    damped = Standardization(rescale=1 / 255, featurewise_center=True, zca=True, zca_epsilon=1e3)
    assert np.abs(whitened(images, damped)).max() < 0.1


@pytest.mark.parametrize("num_images", [20, 300])
def test_low_rank_with_every_direction_is_the_exact_matrix(num_images):
    """With k = D, or more images' worth than there are, nothing is approximated."""
    images = correlated(num_images, (4, 4, 3))
    np.testing.assert_allclose(whitened(images, low_rank(48)), whitened(images, ZCA), atol=5e-4)


def test_low_rank_whitens_the_leading_directions():
    """The leading quarter of a falling spectrum comes out as from the exact matrix."""
    images = correlated(1000, (8, 8, 3))
    exact, approximate = whitened(images, ZCA), whitened(images, low_rank(96))
    centred = images.reshape(1000, -1) / 255 - images.mean() / 255
    leading = np.linalg.svd(centred, full_matrices=False)[2][:24]
    difference = np.abs((exact - approximate) @ leading.T)
    assert difference.mean() < 0.05


def test_low_rank_keeps_the_total_variance_of_the_remainder():
    """Outside the k directions the mean variance is 1 as well."""
    images = correlated(1500, (8, 8, 3))
    white = whitened(images, low_rank(64))
    assert (white**2).mean() == pytest.approx(1.0, rel=0.03)


def test_incremental_directions_are_scikit_learns():
    """The same update, chunk by chunk, down to singular values (another implementation)."""
    images = correlated(640, (6, 5, 3)).reshape(640, -1)
    ours, theirs = LowRankFit(90, 64), IncrementalPCA(n_components=64)
    for chunk in batched(images, 64):
        ours.add(chunk)
        theirs.partial_fit(chunk.astype(np.float64))
    roots = np.linalg.norm(ours._rows, axis=1)
    np.testing.assert_allclose(roots, theirs.singular_values_, rtol=1e-6)
    cosines = np.abs((ours._rows / roots[:, None] * theirs.components_).sum(axis=1))
    np.testing.assert_allclose(cosines, 1, atol=1e-6)


def test_low_rank_is_taken_above_4096_values():
    """65 · 64 values keep 256 directions; 64 · 64 have their whole matrix."""
    assert ZCA.num_components(4096) is None
    assert ZCA.num_components(4097) == 256


def test_a_large_image_is_whitened_by_factors():
    """65 × 64 × 1, one above the limit; fewer images than directions."""
    images = levels((70, 65, 64, 1))
    fitted = fit_statistics(batched(images, 9), ZCA)
    assert fitted.whitening.projection.shape[0] == 4160
    white = Standardizer(ZCA, fitted, (65, 64, 1)).apply(images).reshape(70, -1)
    values = np.linalg.svd(white.astype(np.float64) / np.sqrt(70), compute_uv=False)
    np.testing.assert_allclose(values, 1, atol=1e-3)


def test_leading_rows_of_zeros_are_none():
    """No direction is made of rounding noise."""
    assert leading_rows(np.zeros((3, 5)), 2).shape == (0, 5)


@pytest.mark.parametrize("text", ["featurewise", "unit+zca"])
def test_a_stream_is_never_held(text):
    """The peak is that of one batch and the sums, not of the 25 MB that pass."""
    batch = levels((64, 8, 8, 3))
    options = standardization_from_text(text)
    fit_statistics([batch], options)
    tracemalloc.start()
    try:
        fit_statistics((batch.copy() for _ in range(2048)), options)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4e6


def test_a_digest_follows_every_number():
    """One image more, one level more: another digest; the same images: the same."""
    images = levels((9, 3, 3, 1))
    changed = images.copy()
    changed[4, 1, 1, 0] ^= 1
    made = [fit_statistics([x], ZCA).digest() for x in (images, images, images[:8], changed)]
    assert made[0] == made[1]
    assert len(set(made)) == 3
