"""Keras' ``ImageDataGenerator.fit`` and ``standardize`` on the same images.

Keras computes in float32 (or float64 if asked), so results agree to 1e-4 of their range. It fits on
what it is given times ``rescale``, without the samplewise steps that ``standardize`` then applies.
"""

import itertools
import zipfile

import numpy as np
import pytest

from pipelines.standardization import Standardization
from pipelines.standardizer import Standardizer
from pipelines.statistics import fit_statistics
from tests.parity.keras_cases import ImageDataGenerator
from tests.standardization_cases import batched, levels

TOLERANCE = 1e-4
KERAS_NAMES = {
    "rescale": "rescale",
    "samplewise_center": "samplewise_center",
    "samplewise_std": "samplewise_std_normalization",
    "featurewise_center": "featurewise_center",
    "featurewise_std": "featurewise_std_normalization",
    "zca": "zca_whitening",
    "zca_epsilon": "zca_epsilon",
}
COMBINATIONS = [
    {"rescale": rescale, "samplewise_center": sample > 0, "samplewise_std": sample > 1,
     "featurewise_center": feature > 0, "featurewise_std": feature == 2, "zca": feature == 3}
    for rescale, sample, feature in itertools.product((None, 1 / 255), range(3), range(4))
]  # fmt: skip


def keras_generator(options, dtype="float32"):
    renamed = {KERAS_NAMES[name]: value for name, value in options.items()}
    return ImageDataGenerator(data_format="channels_last", dtype=dtype, **renamed)


def keras_standardized(images, fitted_on, options, dtype="float32"):
    """Image by image, as Keras' iterators do it: on a batch, samplewise would mean batchwise."""
    generator = keras_generator(options, dtype)
    generator.fit(fitted_on)
    return np.stack([generator.standardize(image.astype(dtype)) for image in images])


def ours(images, fitted_on, options):
    standardization = Standardization(**options)
    statistics = fit_statistics(batched(fitted_on, 7), standardization)
    return Standardizer(standardization, statistics, images.shape[1:]).apply(images)


def assert_close(found, expected):
    assert np.abs(found - expected).max() <= TOLERANCE * np.ptp(expected)


@pytest.mark.parametrize("options", COMBINATIONS, ids=str)
@pytest.mark.parametrize("shape", [(6, 5, 3), (5, 4, 1), (3, 4, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_every_combination_is_keras(options, shape, dtype):
    """In order, with its epsilons, on images it was not fitted on."""
    fitted_on, images = levels((200, *shape), dtype=dtype), levels((9, *shape), seed=1, dtype=dtype)
    assert_close(ours(images, fitted_on, options), keras_standardized(images, fitted_on, options))


@pytest.mark.parametrize("rescale", [None, 1 / 255])
def test_mean_and_std_are_keras_own(rescale):
    """Of the rescaled images; Keras keeps them in float32."""
    images = levels((40, 6, 5, 3))
    options = {"rescale": rescale, "featurewise_center": True, "featurewise_std": True}
    generator = keras_generator(options)
    generator.fit(images)
    fitted = fit_statistics([images], Standardization(**options))
    np.testing.assert_allclose(fitted.mean, generator.mean.ravel(), rtol=1e-5)
    np.testing.assert_allclose(fitted.std, generator.std.ravel(), rtol=1e-5)


@pytest.mark.parametrize("epsilon", [1e-6, 1e-1, 10.0])
def test_the_whitening_matrix_is_keras_own(epsilon):
    """For any epsilon, and with fewer images than values."""
    options = {"rescale": 1 / 255, "featurewise_center": True, "zca": True, "zca_epsilon": epsilon}
    for images in (levels((300, 6, 5, 3)), levels((30, 6, 5, 3))):
        generator = keras_generator(options, "float64")
        generator.fit(images)
        matrix = fit_statistics([images], Standardization(**options)).whitening.projection
        expected = generator.zca_whitening_matrix
        np.testing.assert_allclose(matrix, expected, atol=1e-6 * np.abs(expected).max())


def test_one_image_is_as_in_keras():
    """Featurewise on a single image."""
    image = levels((1, 6, 5, 3))
    options = {"featurewise_center": True, "featurewise_std": True}
    assert_close(ours(image, image, options), keras_standardized(image, image, options))


@pytest.mark.parametrize("options", [
    {"samplewise_std": True}, {"featurewise_std": True}, {"zca": True},
    {"zca": True, "featurewise_center": True, "featurewise_std": True},
], ids=str)  # fmt: skip
def test_what_is_refused_here_is_overridden_with_a_warning_there(options):
    """No combination that Keras takes as it stands is refused."""
    with pytest.warns(UserWarning, match="overrides"):
        keras_generator(options)
    with pytest.raises(ValueError, match="standardization"):
        Standardization(**options)


def first_images(path, name, count):
    """The first images of an array in an npz file, without reading the others."""
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        data = file.read(count * int(np.prod(shape[1:])))
    return np.frombuffer(data, dtype).reshape(count, *shape[1:])


@pytest.mark.parametrize("options", [COMBINATIONS[i] for i in (14, 20)], ids=str)
def test_photographs_are_standardised_as_by_keras(real_data, options):
    """CIFAR-10; in float64, as Keras' float32 mean of 500 images is off by 2e-4 of the range."""
    images = first_images(real_data / "cifar10" / "cifar10_10k_2k.npz", "x_train", 600)
    expected = keras_standardized(images[500:], images[:500], options, "float64")
    assert_close(ours(images[500:], images[:500], options), expected)


def test_photographs_are_whitened_as_by_keras(real_data):
    """CIFAR-10 at 8 × 8, where a spectrum over four orders asks Keras for float64."""
    images = first_images(real_data / "cifar10" / "cifar10_10k_2k.npz", "x_train", 1200)[
        :, ::2, ::2
    ]
    options = {"rescale": 1 / 255, "featurewise_center": True, "zca": True}
    expected = keras_standardized(images[1100:], images[:1100], options, "float64")
    assert_close(ours(images[1100:], images[:1100], options), expected)
