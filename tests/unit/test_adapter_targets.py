"""Masks and objects through the adapters: as arrays by name, or alone, of the loader's batches."""

from functools import partial

import numpy as np
import pytest

from materialize.builder import build_dataset
from materialize.errors import ConfigError
from materialize.loader.adapters import (
    as_keras_dataset,
    as_tf_dataset,
    as_torch_dataset,
    as_torch_samples,
)
from materialize.loader.adapters.targets import Form, Targets
from materialize.loader.opening import LoaderOptions
from materialize.loader.stream import StreamingLoader
from materialize.recipe import Recipe
from materialize.sources.targets import TargetSchema
from pipelines.objects import padded
from tests.target_cases import KINDS, SIZE, TargetedArrays

EVERY = ("label", "mask", "object_labels", "boxes", "keypoints")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("adapters") / "dataset"
    source = TargetedArrays(12, schema=TargetSchema(KINDS, ("mask",)))
    source.masks //= 2  # two classes
    recipe = Recipe(copies=2, shard_bytes=4 * SIZE * SIZE * 3)
    build_dataset(source, directory, "cifar10", recipe)
    return directory


def loader(directory):
    return StreamingLoader(directory, batch_size=4, seed=1, options=LoaderOptions(threads=0))


def expected(batch, most):
    padding = padded(batch.objects, most)
    return {
        "label": batch.labels, "mask": batch.masks, "object_labels": padding.labels,
        "boxes": padding.boxes, "keypoints": padding.keypoints,
    }  # fmt: skip


def test_by_default_there_is_a_dict_of_everything(dataset):
    with loader(dataset) as made:
        targets = Targets.of(made, Form(one_hot=False, max_objects=2))
        batch = next(made.epoch(0))
        found = targets.beside(batch)
    assert tuple(found) == EVERY
    for name, array in expected(batch, 2).items():
        assert np.array_equal(found[name], array)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (Form(one_hot=False), "max_objects"),
        (Form(one_hot=False, targets="masks"), "expected some of label, mask"),
        (Form(one_hot=False, targets=("mask", "depth")), "depth"),
        (Form(one_hot=False, max_objects=0), "max_objects"),
        (Form(one_hot=False, max_objects=2, is_ragged=True), "ragged: expected objects among"),
        (Form(one_hot=False, targets="mask", is_ragged=True), "ragged: expected objects among"),
    ],
)
def test_targets_that_cannot_be_handed_on_are_refused(dataset, form, words):
    with loader(dataset) as made, pytest.raises(ConfigError, match=words):
        Targets.of(made, form)


def test_keras_learns_to_segment(dataset):
    keras = pytest.importorskip("keras")
    model = keras.Sequential([
        keras.layers.Input((SIZE, SIZE, 3)),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(4, 3, padding="same", activation="relu"),
        keras.layers.Conv2D(2, 1, activation="softmax"),
    ])  # fmt: skip
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = [weights.copy() for weights in model.get_weights()]
    with loader(dataset) as made:
        model.fit(as_keras_dataset(made, targets="mask"), epochs=2, shuffle=False, verbose=0)
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))


def test_tf_elements_are_as_their_spec_says(dataset):
    pytest.importorskip("tensorflow")
    with loader(dataset) as made:
        elements = as_tf_dataset(made, max_objects=3)
        images, beside = elements.element_spec
        assert tuple(images.shape) == (4, SIZE, SIZE, 3)
        assert {name: tuple(spec.shape) for name, spec in beside.items()} == {
            "label": (4,), "mask": (4, SIZE, SIZE, 1), "object_labels": (4, 3),
            "boxes": (4, 3, 4), "keypoints": (4, 3, 3, 3),
        }  # fmt: skip
        batches = list(made.epoch(0))
        for element, batch in zip(elements.as_numpy_iterator(), batches, strict=True):
            for name, array in expected(batch, 3).items():
                assert np.array_equal(element[1][name], array)


@pytest.mark.parametrize("targets", [None, "boxes"])
def test_tf_elements_may_be_ragged(dataset, targets):
    tf = pytest.importorskip("tensorflow")
    with loader(dataset) as made:
        elements = as_tf_dataset(made, ragged=True, targets=targets)
        batches = list(made.epoch(0))
        for (_, beside), batch in zip(elements, batches, strict=True):
            boxes = beside if targets else beside["boxes"]
            assert isinstance(boxes, tf.RaggedTensor)
            assert np.array_equal(boxes.row_splits, batch.objects.offsets)
            assert np.array_equal(boxes.values, batch.objects.boxes)
            if not targets:
                assert np.array_equal(beside["keypoints"].values, batch.objects.keypoints)
                assert np.array_equal(beside["mask"], batch.masks)
    assert len({batch.objects.num_objects for batch in batches}) > 1


@pytest.mark.parametrize("adapter", [as_torch_dataset, as_torch_samples])
def test_pytorch_asks_for_a_call_that_makes_the_loader(dataset, adapter):
    with loader(dataset) as made, pytest.raises(ConfigError, match=r"partial\(StreamingLoader"):
        adapter(made)


@pytest.mark.parametrize("channels_first", [False, True])
def test_torch_batches_and_samples_have_the_same_targets(dataset, channels_first):
    pytest.importorskip("torch")
    given = {"channels_first": channels_first, "max_objects": 2}
    batches = as_torch_dataset(partial(loader, dataset), **given)
    samples = as_torch_samples(partial(loader, dataset), **given)
    with loader(dataset) as made:
        batch = next(made.epoch(0))
    images, beside = next(iter(batches))
    first = samples.__getitems__([int(row) for row in batch.rows])
    for name, array in expected(batch, 2).items():
        if name == "mask" and channels_first:
            array = array.transpose(0, 3, 1, 2)
        assert np.array_equal(beside[name].numpy(), array)
        assert all(np.array_equal(one[1][name].numpy(), array[i]) for i, one in enumerate(first))
    assert images.shape[1] == (3 if channels_first else SIZE)
    batches.close()
    samples.close()
