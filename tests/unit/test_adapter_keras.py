"""Keras is shown copy e at epoch e, in the loader's order, or an error: on all its backends."""

import numpy as np
import pytest

from materialize.errors import ConfigError
from materialize.loader.adapters.keras_dataset import keras_dataset
from materialize.loader.opening import LoaderOptions
from tests.adapter_cases import digest, facts, fitted, in_order, places, recording, threads
from tests.loader_cases import build, loader, pictures

keras = pytest.importorskip("keras")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("keras") / "dataset"
    build(directory)
    return directory


@pytest.fixture(scope="module")
def shown(dataset):
    """What `facts` finds; on other backends: `test_other_backends`."""
    return facts(dataset)


@pytest.mark.parametrize("size", [8, 30, 60])
def test_two_fits_show_six_epochs_in_order(shown, size):
    """Also where Keras' own trial pass over a new model asks for all of a short epoch."""
    assert shown[str(size)] == in_order(-(-60 // size), 6)


@pytest.mark.parametrize("size", [8, 30, 60])
def test_a_trial_pass_that_asks_for_more_is_no_epoch(dataset, size):
    """Under a distribution strategy TensorFlow reads ahead in it, a short epoch to its end."""
    tf = pytest.importorskip("tensorflow")
    if keras.config.backend() != "tensorflow":
        pytest.skip("needs KERAS_BACKEND=tensorflow")
    with loader(dataset, batch_size=size) as given:
        where, items = places(given), keras_dataset(given)
        with tf.distribute.OneDeviceStrategy("/CPU:0").scope():
            seen = fitted(items) + fitted(items)
    assert [where[name] for name in seen] == in_order(-(-60 // size), 6)


def test_a_shuffled_fit_is_refused(shown):
    """Which is what Keras does unless it is told not to."""
    assert "pass shuffle=False to fit" in shown["refusal"]


def test_an_item_is_the_same_whenever_it_is_asked_for(dataset):
    """In any order, any number of times."""
    with loader(dataset) as given:
        items = keras_dataset(given)
        expected = [digest(batch.images) for batch in given.epoch(0)]
        assert [digest(items[i][0]) for i in (3, 0, 7, 3, 4)] == [
            expected[i] for i in (3, 0, 7, 3, 4)
        ]


def test_an_item_that_does_not_exist_is_refused(dataset):
    """So that plain iteration ends."""
    with loader(dataset) as given:
        items = keras_dataset(given)
        assert len(list(items)) == len(items) == 8
        with pytest.raises(IndexError):
            items[8]


def test_a_fit_in_parts_goes_on_where_it_stopped(dataset):
    """With steps_per_epoch, Keras ends epochs that are none of ours."""
    with loader(dataset) as given:
        where = places(given)
        seen = fitted(keras_dataset(given), steps_per_epoch=4, epochs=4)
    assert [where[name] for name in seen] == in_order(8, 2)


def test_an_interrupted_epoch_is_shown_again(dataset):
    """From its beginning: the fit that follows is a new one."""
    with loader(dataset) as given:
        where, items = places(given), keras_dataset(given)
        model, before = recording(limit=11)
        with pytest.raises(KeyboardInterrupt):
            model.fit(items, epochs=3, shuffle=False, verbose=0)
        after = fitted(items, epochs=1, built=True)
    assert [where[name] for name in before] == in_order(8, 2)[:11]
    assert [where[name] for name in after] == in_order(8, 2)[8:]


def test_a_fit_resumes_at_an_epoch(dataset):
    """The number that Keras calls initial_epoch."""
    with loader(dataset) as given:
        where = places(given)
        seen = fitted(keras_dataset(given, first_epoch=2), initial_epoch=2, epochs=4)
    assert [where[name] for name in seen] == in_order(8, 4)[16:]


def test_validation_between_epochs_leaves_training_alone(dataset):
    """With a data set of its own, evaluated after every epoch."""
    with loader(dataset) as given, loader(dataset, copies=(-1,)) as held_out:
        where = places(given)
        seen = fitted(keras_dataset(given), validation_data=keras_dataset(held_out))
    assert [where[name] for name in seen] == in_order(8, 3)


def test_class_weights_reach_the_loss(dataset):
    """Keras makes sample weights of one-hot targets."""
    with loader(dataset) as given:
        assert len(fitted(keras_dataset(given), class_weight={0: 1.0, 1: 2.0, 2: 3.0})) == 24


def test_targets_are_one_hot_or_numbers(dataset):
    """float32 and int32."""
    with loader(dataset) as given:
        labels = next(iter(given.epoch(0))).labels
        rows, numbers = (keras_dataset(given, one_hot=which)[0][1] for which in (True, False))
    assert rows.dtype == np.float32
    assert np.array_equal(rows, np.eye(3)[labels])
    assert numbers.dtype == np.int32
    assert np.array_equal(numbers, labels)


def test_unlabelled_images_go_alone(tmp_path):
    """For prediction."""
    build(tmp_path / "dataset", source=pictures()[0])
    with loader(tmp_path / "dataset") as given:
        assert keras_dataset(given)[0].shape == (8, 12, 12, 3)


def test_no_thread_is_left_when_an_epoch_ends_or_is_closed(dataset):
    """Not even of an epoch that was given up."""
    options = LoaderOptions(threads=2)
    with loader(dataset, options=options, batch_size=4) as given:
        items = keras_dataset(given)
        items.on_epoch_begin()
        assert items[0][0].shape == (4, 12, 12, 3)
        assert threads()
        items.close()
        assert threads() == []


def test_keras_is_not_offered_workers(dataset):
    """They would ask out of order."""
    with loader(dataset) as given, pytest.raises(AttributeError):
        keras_dataset(given).workers = 4


def test_a_negative_epoch_is_refused(dataset):
    """Before anything is shown."""
    with loader(dataset) as given, pytest.raises(ConfigError):
        keras_dataset(given, first_epoch=-1)
