"""Pretrained bases: their names, their weights, and what they want of an image's levels."""

import importlib

import h5py
import keras
import numpy as np
import pytest

from materialize.errors import ConfigError, MissingPathError
from materialize.exit_codes import ExitCode, exit_code_of
from materialize.training.bases import BASES, Base, base_from_text, make_base
from tests.transfer_cases import SQUEEZENET_FILE, book_images, told_apart

FRESH = Base("squeezenet", "none")
IMAGES = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def squeezenet_file(real_data):
    return real_data / SQUEEZENET_FILE


@pytest.fixture
def changed_file(squeezenet_file, tmp_path):
    """A copy of the weights that a test may spoil."""
    path = tmp_path / "weights.h5"
    path.write_bytes(squeezenet_file.read_bytes())
    return path


def prepared(model, images):
    """What the base's first weights see."""
    first = next(layer for layer in model.layers if layer.weights)
    return np.asarray(keras.Model(model.inputs[0], first.input)(images))


def test_squeezenet_has_the_published_number_of_parameters():
    """722,496 without the top."""
    assert make_base(FRESH, (32, 32, 3)).count_params() == 722_496


def test_a_layer_holds_what_the_file_says(squeezenet_file):
    """Layers are found by name, with underscores for slashes."""
    model = make_base(Base("squeezenet", str(squeezenet_file)), (32, 32, 3))
    with h5py.File(squeezenet_file) as file:
        expected = file["fire6/expand3x3"]["uniform16"][()]
    assert np.array_equal(model.get_layer("fire6_expand3x3").get_weights()[0], expected)


def test_a_file_of_squeezenet_alone_is_a_base(squeezenet_file):
    """Its layers say what it is."""
    assert base_from_text(str(squeezenet_file)) == Base("squeezenet", str(squeezenet_file))


def test_pretrained_features_tell_books_apart_where_pixels_do_not(real_data, squeezenet_file):
    """Weights and preprocessing are right: nearest class centre, each image left out in turn."""
    images, labels = book_images(real_data / "books73_512" / "train", 96)
    model = make_base(Base("squeezenet", str(squeezenet_file)), (96, 96, 3))
    features = np.asarray(model.predict_on_batch(images)).mean(axis=(1, 2))
    small = images.reshape(-1, 32, 3, 32, 3, 3).mean(axis=(2, 4)).reshape(len(images), -1)
    pixels = told_apart(small, labels)
    assert told_apart(features, labels) > 0.9 > 0.8 > pixels


@pytest.mark.parametrize(
    ("name", "module"),
    [("VGG16", "vgg16"), ("MobileNetV2", "mobilenet_v2"), ("DenseNet121", "densenet"),
     ("ResNet50", "resnet50"), ("MobileNetV3Small", "mobilenet_v3")],
)  # fmt: skip
def test_levels_are_prepared_as_keras_prepares_them(name, module):
    """One of each kind, against the function that belongs to the base."""
    from materialize.training.bases import _prepared

    images = keras.Input((32, 32, 3), dtype="uint8")
    ours = keras.Model(images, _prepared(images, BASES[name], 1.0))(IMAGES)
    theirs = importlib.import_module(f"keras.applications.{module}").preprocess_input(
        IMAGES.astype(np.float32)
    )
    assert np.allclose(ours, theirs, atol=1e-5)


def test_squeezenet_sees_bgr_less_the_mean():
    """As its weights were trained by Caffe."""
    expected = (IMAGES - np.array([123.68, 116.779, 103.939], np.float32))[..., ::-1]
    assert np.allclose(prepared(make_base(FRESH, (32, 32, 3)), IMAGES), expected, atol=1e-4)


def test_floats_between_0_and_1_are_levels():
    """The same picture gives the same numbers in either dtype."""
    floats = make_base(FRESH, (32, 32, 3), image_dtype="float32")
    levels = make_base(FRESH, (32, 32, 3))
    assert np.allclose(
        prepared(floats, IMAGES.astype(np.float32) / 255), prepared(levels, IMAGES), atol=1e-3
    )


def test_grey_images_become_three_equal_channels():
    """A base for colour takes them."""
    seen = prepared(make_base(FRESH, (32, 32, 1)), IMAGES[..., :1])
    mean_bgr = np.array([103.939, 116.779, 123.68], np.float32)
    assert np.allclose(seen, IMAGES[..., :1] - mean_bgr, atol=1e-4)


def test_every_named_base_is_in_keras():
    """A name that Keras drops would fail only when it is asked for."""
    assert [n for n in BASES if n != "squeezenet" and not hasattr(keras.applications, n)] == []


def test_a_base_of_keras_lies_flat_in_the_model():
    """Each of its layers can be frozen by its name."""
    names = [layer.name for layer in make_base(Base("VGG16", "none"), (32, 32, 3)).layers]
    assert "block5_conv3" in names


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras' own
def test_a_base_is_saved_and_loaded_whole(tmp_path):
    """Preprocessing goes with it."""
    model = make_base(FRESH, (32, 32, 3))
    model.save(tmp_path / "base.keras")
    loaded = keras.models.load_model(tmp_path / "base.keras", compile=False)
    assert np.array_equal(np.asarray(loaded(IMAGES)), np.asarray(model(IMAGES)))


@pytest.mark.parametrize(
    ("text", "part"),
    [("VGG17", "did you mean 'VGG19'"), ("squeezenet", "nowhere to download")],
)
def test_a_base_that_is_not_there_is_named(text, part):
    """With what to give instead."""
    with pytest.raises(ConfigError, match=part):
        base_from_text(text)


@pytest.mark.parametrize("text", ["VGG16=absent.h5", "absent.h5", "folder/absent"])
def test_weights_that_are_not_there_are_a_missing_file(text):
    """As any other path that was named; 1, not the exit code of a wrong option."""
    with pytest.raises(MissingPathError, match=r"absent.* does not exist") as refused:
        base_from_text(text)
    assert exit_code_of(refused.value) == ExitCode.FAILED


def test_a_file_that_is_no_hdf5_is_refused(tmp_path):
    """By name, and not by a message of the HDF5 library alone."""
    path = tmp_path / "weights.h5"
    path.write_bytes(b"no weights")
    with pytest.raises(ConfigError, match="expected an HDF5 file") as caught:
        make_base(Base("squeezenet", str(path)), (32, 32, 3))
    assert caught.value.facts["path"] == str(path)


def test_weights_of_another_shape_are_refused(changed_file):
    """The layer, both shapes."""
    with h5py.File(changed_file, "r+") as file:
        del file["fire4/squeeze1x1/uniform8"]
        file["fire4/squeeze1x1/uniform8"] = np.zeros((1, 1, 128, 16), np.float32)
    with pytest.raises(ConfigError, match=r"fire4_squeeze1x1: \(1, 1, 128, 32\) floats, found"):
        make_base(Base("squeezenet", str(changed_file)), (32, 32, 3))


def test_a_missing_layer_is_named(changed_file):
    """Not the first KeyError."""
    with h5py.File(changed_file, "r+") as file:
        del file["fire9/expand1x1"]
    with pytest.raises(ConfigError, match="expected layer fire9/expand1x1"):
        make_base(Base("squeezenet", str(changed_file)), (32, 32, 3))


def test_weights_that_are_no_numbers_are_refused(changed_file):
    """A damaged file would train to NaN."""
    with h5py.File(changed_file, "r+") as file:
        file["conv1/conv1_b"][3] = np.nan
    with pytest.raises(ConfigError, match="found NaN or infinity"):
        make_base(Base("squeezenet", str(changed_file)), (32, 32, 3))


def test_weights_in_another_file_are_refused(changed_file, tmp_path):
    """A file of unknown origin reads nothing but itself."""
    (tmp_path / "secret").write_bytes(bytes(256))
    with h5py.File(changed_file, "r+") as file:
        del file["conv1/conv1_b"]
        file.create_dataset("conv1/conv1_b", (64,), "f4", external=[("secret", 0, 256)])
    with pytest.raises(ConfigError, match="in the file itself"):
        make_base(Base("squeezenet", str(changed_file)), (32, 32, 3))


def test_weights_of_another_base_are_refused(squeezenet_file):
    """What Keras says of them is passed on."""
    with pytest.raises(ConfigError, match="base VGG16: Keras could not make it"):
        make_base(Base("VGG16", str(squeezenet_file)), (32, 32, 3))


def test_images_too_small_for_a_base_are_refused():
    """Nothing would be left of them."""
    with pytest.raises(ConfigError, match="at least 32×32"):
        make_base(FRESH, (16, 16, 3))


def test_four_channels_are_refused():
    """Pretraining knows grey and colour."""
    with pytest.raises(ConfigError, match="expected grey or RGB"):
        make_base(FRESH, (32, 32, 4))
