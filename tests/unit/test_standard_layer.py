"""The first layers of a model give what the CPU path gives, on every backend, and after saving."""

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest

from materialize.training.standard_layer import layer_classes, standardization_layers
from pipelines.errors import ParameterError
from pipelines.standardization import Standardization, standardization_from_text
from pipelines.standardizer import Standardizer
from pipelines.statistics import fit_statistics
from tests.standardization_cases import levels

TEXTS = ("none", "unit", "symmetric", "featurewise", "unit+featurewise", "samplewise",
         "symmetric+samplewise", "zca", "unit+zca")  # fmt: skip
MIXED = Standardization(
    rescale=-1 / 255, offset=0.5, samplewise_center=True, samplewise_std=True,
    featurewise_center=True, featurewise_std=True,
)  # fmt: skip
LOW_RANK = Standardization(rescale=1 / 255, featurewise_center=True, zca=True, zca_components=9)
EVERY = [*map(standardization_from_text, TEXTS), MIXED, LOW_RANK]


def model_of(standardization, statistics, shape, dtype="uint8"):
    layers = standardization_layers(standardization, statistics, shape)
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])


def both(standardization, dtype=np.uint8, shape=(5, 6, 3)):
    """What the layers and what the CPU path give on images that were not fitted on."""
    fitted = fit_statistics([levels((150, *shape), dtype=dtype)], standardization)
    images = levels((7, *shape), seed=4, dtype=dtype)
    images[0] = 201
    model = model_of(standardization, fitted, shape, np.dtype(dtype).name)
    found = keras.ops.convert_to_numpy(model(images))
    return found, Standardizer(standardization, fitted, shape).apply(images)


def assert_close(found, expected):
    """A few units in the last place of the largest value."""
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6 * np.abs(expected).max())


@pytest.mark.parametrize("standardization", EVERY, ids=lambda options: str(options.to_dict()))
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_layers_and_cpu_agree(standardization, dtype):
    """To float32 rounding, whitening included."""
    assert_close(*both(standardization, dtype))


@pytest.mark.parametrize("shape", [(4, 7, 1), (3, 3, 4)])
def test_layers_take_other_channels_and_sides(shape):
    """One channel and four, not square."""
    assert_close(*both(standardization_from_text("unit+featurewise"), shape=shape))


@pytest.mark.parametrize("text", ["none", "unit", "symmetric", "featurewise"])
def test_pointwise_layers_are_bit_identical(text):
    """Subtract, multiply, add, as the kernel does, where the backend does not contract."""
    found, expected = both(standardization_from_text(text))
    assert found.tobytes() == expected.tobytes()


def test_unit_is_one_rescaling_layer():
    """Keras' own: such a model loads without this project."""
    layers = standardization_layers(standardization_from_text("unit"), None, (4, 4, 3))
    assert [type(layer) for layer in layers] == [keras.layers.Rescaling]


# Keras' TensorFlow backend asks a variable for an array in a way that NumPy 2 warns of.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
@pytest.mark.parametrize("standardization", EVERY, ids=lambda options: str(options.to_dict()))
def test_a_saved_model_gives_the_same_numbers(standardization, tmp_path):
    """Constants come back from its configuration, matrices from its weights."""
    fitted = fit_statistics([levels((60, 5, 6, 3))], standardization)
    model = model_of(standardization, fitted, (5, 6, 3))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    images = levels((3, 5, 6, 3), seed=2)
    found, expected = (keras.ops.convert_to_numpy(each(images)) for each in (loaded, model))
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("standardization", EVERY, ids=lambda options: str(options.to_dict()))
def test_nothing_in_them_is_trained(standardization):
    """They are constants."""
    fitted = fit_statistics([levels((20, 5, 6, 3))], standardization)
    assert not model_of(standardization, fitted, (5, 6, 3)).trainable_weights


def test_mixed_precision_standardises_in_float32():
    """A level of 255 less a mean has no room in float16's 11 bits."""
    featurewise = standardization_from_text("featurewise")
    fitted = fit_statistics([levels((20, 5, 6, 3))], featurewise)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = model_of(featurewise, fitted, (5, 6, 3))
    finally:
        keras.config.set_dtype_policy(before)
    assert keras.ops.dtype(model(levels((1, 5, 6, 3)))) == "float32"


def test_layers_without_their_statistics_are_refused():
    """As on the CPU."""
    with pytest.raises(ParameterError, match="fit_statistics"):
        standardization_layers(standardization_from_text("zca"), None, (4, 4, 3))


def test_layers_of_another_size_are_refused():
    """A whitening matrix belongs to one H, W, C."""
    zca = standardization_from_text("zca")
    fitted = fit_statistics([levels((20, 5, 6, 3))], zca)
    with pytest.raises(ParameterError, match="whitening"):
        standardization_layers(zca, fitted, (6, 5, 3))


def test_the_layers_are_registered_once():
    """Asking again gives the same classes."""
    assert layer_classes() == layer_classes()
    assert sorted(layer_classes()) == ["SamplewiseStandardization", "ZcaWhitening"]
