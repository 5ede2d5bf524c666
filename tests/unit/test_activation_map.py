"""Grad-CAM: the map lies where the evidence is, on every backend, and is drawn beside the image."""

import json
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from materialize.commands.transferring import activations
from materialize.errors import ConfigError, MissingPathError
from materialize.training.activation_gallery import draw_activations, overlaid
from materialize.training.activation_map import activation_maps, feature_layers
from tests.loader_cases import build

NAMES = ("nothing", "square")
CORNERS = ((2, 2), (2, 22), (22, 2), (22, 22))
ROOT = Path(__file__).parents[2]


def squares(count, seed):
    """(images, labels, corners): noise, half of it with a bright square in one of four corners."""
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 100, (count, 32, 32, 1), np.uint8)
    labels, corners = draw.integers(0, 2, count), draw.integers(0, 4, count)
    for image, label, corner in zip(images, labels, corners, strict=True):
        top, left = CORNERS[corner]
        image[top : top + 8, left : left + 8] = 230 if label else image[:8, :8]
    return images, labels, corners


def finder():
    """A small model that can find a square, wherever it is."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((32, 32, 1), dtype="uint8")
    hidden = keras.layers.Rescaling(1 / 255, name="levels")(inputs)
    hidden = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(hidden)
    hidden = keras.layers.MaxPooling2D(4, name="pool")(hidden)
    hidden = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="last")(hidden)
    hidden = keras.layers.GlobalAveragePooling2D()(hidden)
    return keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(hidden), name="finder")


def trained_finder():
    """One that does."""
    found = finder()
    found.compile(keras.optimizers.Adam(0.02), "categorical_crossentropy")
    images, labels, _ = squares(96, 0)
    for _ in range(50):
        found.train_on_batch(images, np.eye(2, dtype=np.float32)[labels])
    return found


@pytest.fixture(scope="module")
def model():
    return trained_finder()


def corner_of_maximum(one):
    """0 … 3, as in `CORNERS`."""
    row, column = np.unravel_index(one.argmax(), one.shape)
    return int(row >= 16) * 2 + int(column >= 16)


def test_the_map_is_strongest_in_the_corner_of_the_square(model):
    """In every image with a square, though the model was told no place."""
    images, labels, corners = squares(40, 1)
    maps = activation_maps(model, images, classes=np.ones(40, int)).maps
    found = [corner_of_maximum(one) for one in maps[labels == 1]]
    assert found == corners[labels == 1].tolist()


def test_maps_are_as_large_as_images_and_in_0_to_1(model):
    """1 is in each in which something speaks for the class."""
    maps = activation_maps(model, squares(8, 2)[0], classes=np.ones(8, int)).maps
    assert maps.shape == (8, 32, 32)
    assert (maps.min(), maps.max()) >= (0, 0.9)
    assert maps.max() <= 1


def test_the_most_probable_class_is_shown_unless_another_is_named(model):
    """With the probabilities the model gave."""
    found = activation_maps(model, squares(8, 3)[0])
    assert found.classes.tolist() == found.probabilities.argmax(axis=1).tolist()


def test_many_images_give_what_few_give(model):
    """They are taken in groups."""
    images = squares(40, 4)[0]
    whole = activation_maps(model, images).maps
    assert np.allclose(whole[35:], activation_maps(model, images[35:]).maps, atol=1e-5)


def test_gradients_are_those_of_the_value_before_the_softmax(model):
    """A sure model has no gradient behind the softmax, and would show nothing."""
    images, labels, _ = squares(40, 5)
    sure = images[labels == 1][:4]
    assert activation_maps(model, sure).probabilities[:, 1].min() > 0.999
    assert activation_maps(model, sure).maps.max(axis=(1, 2)).min() > 0.8


def test_feature_maps_come_after_the_first_weights(model):
    """The image itself is none."""
    assert feature_layers(model) == ("first", "pool", "last")


def test_a_layer_without_a_feature_map_is_refused(model):
    """With those that have one."""
    with pytest.raises(ConfigError, match="'levels'; finder has first, pool, last"):
        activation_maps(model, squares(1, 0)[0], layer="levels")


def test_a_layer_that_is_bypassed_is_refused():
    """What comes after it does not follow from it alone."""
    inputs = keras.Input((8, 8, 1))
    first = keras.layers.Conv2D(2, 3, padding="same", name="first")(inputs)
    second = keras.layers.Conv2D(2, 3, padding="same", name="second")(first)
    mean = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()([first, second]))
    bypassing = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(mean))
    with pytest.raises(ConfigError, match="choose a later one"):
        activation_maps(bypassing, np.zeros((1, 8, 8, 1), np.float32), layer="second")


def test_a_model_without_feature_maps_is_refused():
    """A dense model looks nowhere."""
    dense = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(),
                              keras.layers.Dense(2, activation="softmax")])  # fmt: skip
    with pytest.raises(ConfigError, match="found none"):
        activation_maps(dense, np.zeros((1, 8, 8, 1), np.float32))


def test_a_class_that_is_not_there_is_refused(model):
    """Numbers are in [0, k)."""
    with pytest.raises(ConfigError, match=r"\[0, 2\)"):
        activation_maps(model, squares(1, 0)[0], classes=[2])


def test_nothing_is_laid_over_an_image_without_evidence():
    """It is the image in grey."""
    image = np.full((4, 4, 3), 90, np.uint8)
    assert (overlaid(image, np.zeros((4, 4), np.float32)) == 90).all()


def test_floats_are_drawn_as_their_levels_are():
    """In [0, 1], as loaders give them."""
    image, some = np.full((4, 4, 1), 51, np.uint8), np.full((4, 4), 0.5, np.float32)
    assert np.array_equal(overlaid(image, some), overlaid(image.astype(np.float32) / 255, some))


def test_a_page_shows_the_truth_where_the_model_is_wrong(model):
    """One more map, so the page is wider."""
    images, labels, _ = squares(3, 6)
    said, wrong = activation_maps(model, images), 1 - labels
    truth = activation_maps(model, images, classes=wrong)
    right_page = draw_activations(images, labels, NAMES, said, title="", of_truth=said)
    wrong_page = draw_activations(images, wrong, NAMES, said, title="", of_truth=truth)
    assert wrong_page.width > right_page.width


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run's directory: its record and its model."""
    folder = tmp_path_factory.mktemp("run")
    build(folder / "set")
    inputs = keras.Input((12, 12, 3), dtype="uint8")
    hidden = keras.layers.Conv2D(4, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(inputs))
    hidden = keras.layers.GlobalAveragePooling2D()(hidden)
    small = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(hidden), name="small")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        small.save(folder / "model.keras")
    (folder / "run.json").write_text(json.dumps({"dataset": str(folder / "set")}))
    return folder


def test_the_command_draws_a_run(run, tmp_path):
    """Untouched images of its dataset, as many as asked for."""
    png = tmp_path / "cam.png"
    done = CliRunner().invoke(
        activations,
        [str(run), "--output", str(png), "--split", "train", "--num-images", "5"],
        catch_exceptions=False,
    )
    assert done.exit_code == 0
    with Image.open(png) as picture:
        assert f"{picture.width} × {picture.height} pixels" in done.output


def test_a_directory_without_a_run_is_refused(tmp_path):
    """Before anything is loaded."""
    from materialize.training.activation_pages import draw_run

    with pytest.raises(MissingPathError, match=r"has no run\.json"):
        draw_run(tmp_path)
