"""A `tf.data.Dataset` shows the batches of a loader, of known shape, and stops when it is left."""

import time

import numpy as np
import pytest

from materialize.errors import ConfigError
from materialize.loader.adapters.tf_dataset import tf_dataset
from materialize.loader.opening import LoaderOptions
from tests.adapter_cases import in_order, places, recording, threads
from tests.loader_cases import build, loader, pictures, shown

tf = pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("tf") / "dataset"
    build(directory)
    return directory


def arrays(elements):
    """(images, labels) of all elements, in one array each."""
    columns = zip(*[(images.numpy(), labels.numpy()) for images, labels in elements], strict=True)
    return tuple(np.concatenate(column) for column in columns)


def test_it_shows_the_epochs_in_order(dataset):
    """Pixels and labels, bit for bit."""
    with loader(dataset, options=LoaderOptions(threads=2)) as given:
        found = arrays(tf_dataset(given, epochs=2, first_epoch=1))
        expected = [
            np.concatenate(c)
            for c in zip(*map(shown, (given.epoch(1), given.epoch(2))), strict=True)
        ]
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])


def test_it_shows_the_same_when_iterated_again(dataset):
    """It keeps no place."""
    with loader(dataset) as given:
        elements = tf_dataset(given)
        assert np.array_equal(arrays(elements)[0], arrays(elements)[0])


@pytest.mark.parametrize(("size", "options", "expected"), [
    (8, LoaderOptions(), None), (10, LoaderOptions(), 10),
    (8, LoaderOptions(drop_remainder=True), 8),
    (10, LoaderOptions(rank=1, world_size=4), None), (10, LoaderOptions(rank=1, world_size=3), 10),
])  # fmt: skip
def test_the_batch_is_of_unknown_size_only_where_the_last_one_is_shorter(
    dataset, size, options, expected
):
    """Static shapes compile better."""
    with loader(dataset, batch_size=size, options=options) as given:
        elements = tf_dataset(given)
        assert elements.element_spec == (
            tf.TensorSpec((expected, 12, 12, 3), tf.uint8), tf.TensorSpec((expected,), tf.int32),
        )  # fmt: skip
        assert {len(images) for images, _ in elements} >= ({expected} if expected else set())


def test_one_hot_targets(dataset):
    """float32, one column for each class."""
    with loader(dataset, batch_size=10) as given:
        elements = tf_dataset(given, one_hot=True)
        assert elements.element_spec[1] == tf.TensorSpec((10, 3), tf.float32)
        rows = np.concatenate([targets.numpy() for _, targets in elements])
        assert np.array_equal(rows.argmax(axis=1), shown(given.epoch(0))[1])


def test_unlabelled_images_go_alone(tmp_path):
    """For prediction."""
    build(tmp_path / "dataset", source=pictures()[0])
    with loader(tmp_path / "dataset", batch_size=10) as given:
        elements = tf_dataset(given)
        assert elements.element_spec == tf.TensorSpec((10, 12, 12, 3), tf.uint8)
        assert sum(len(images) for images in elements) == 60


def test_the_number_of_batches_is_known(dataset):
    """Over all epochs."""
    with loader(dataset) as given:
        assert int(tf_dataset(given, epochs=3).cardinality()) == 24


def test_batches_are_put_on_a_device(dataset):
    """With the pixels that the loader made."""
    with loader(dataset) as given:
        elements = tf_dataset(given, device="/CPU:0")
        assert all("CPU:0" in images.device for images, _ in elements)
        assert np.array_equal(arrays(elements)[0], shown(given.epoch(0))[0])


@pytest.mark.parametrize("device", [None, "/CPU:0"])
def test_no_thread_is_left_when_it_is_given_up(dataset, device):
    """TensorFlow lets go in a thread of its own, so that is waited for."""
    with loader(dataset, batch_size=1, options=LoaderOptions(threads=2)) as given:
        for _ in tf_dataset(given, epochs=100, device=device):
            break
        deadline = time.monotonic() + 20
        while threads() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert threads() == []


def test_keras_fits_it(dataset):
    """All epochs in one data set, each ended by steps_per_epoch."""
    with loader(dataset) as given:
        where = places(given)
        model, seen = recording()
        elements = tf_dataset(given, epochs=3, one_hot=True)
        model.fit(elements, epochs=3, steps_per_epoch=len(given), verbose=0, shuffle=False)
    assert [where[name] for name in seen] == in_order(8, 3)


def test_no_epochs_are_refused(dataset):
    """Before anything is read."""
    with loader(dataset) as given, pytest.raises(ConfigError, match="epochs"):
        tf_dataset(given, epochs=0)
