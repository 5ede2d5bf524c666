"""The loop: what decides the weights, going on after a stop, what is refused, what is timed."""

import itertools
import time

import numpy as np
import pytest

from materialize.errors import ConfigError
from materialize.exit_codes import ExitCode, exit_code_of
from materialize.training import fitting
from materialize.training.checkpoint import CHECKPOINT_FILE, read_checkpoint
from materialize.training.compilation import class_weights, soft_labels
from materialize.training.evaluation import evaluate
from materialize.training.failures import CheckpointError, TrainingError
from materialize.training.fitting import fit
from materialize.training.models import make_model, weights_digest
from tests import training_cases as cases

keras = pytest.importorskip("keras")


class StoppedError(Exception):
    """What a test stops a training with."""


@pytest.fixture
def stops(monkeypatch):
    """Makes every so many-th checkpoint the last of its process."""

    def install(every):
        counter, write = itertools.count(1), fitting.write_checkpoint

        def write_and_stop(path, checkpoint):
            write(path, checkpoint)
            if next(counter) % every == 0:
                raise StoppedError

        monkeypatch.setattr(fitting, "write_checkpoint", write_and_stop)

    return install


def train_to_the_end(train):
    """Trains until nothing stops it; gives the result and how often it was stopped."""
    stops = 0
    while True:
        try:
            return train(), stops
        except StoppedError:
            stops += 1


def figures(result):
    """What a training decides, without its times."""
    names = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
    rows = [[getattr(epoch, name) for name in names] for epoch in result.epochs]
    return rows, result.weights_digest, result.best_epoch, result.stopped_early


@pytest.mark.parametrize(
    ("name", "options"),
    [
        # 44 images in batches of 8: the last batch of an epoch is short.
        ("fashion-mnist", {"label_smoothing": 0.1, "class_weights": "balanced", "keep": "best"}),
        ("blood-cells", {"optimizer": "nadam", "schedule": "cosine", "warmup_steps": 2,
                         "epochs": 2}),
        ("own", {"optimizer": "sgd", "momentum": 0.9, "schedule": "exponential",
                    "epochs": 2}),
        ("mnist", {"optimizer": "rmsprop", "schedule": "plateau", "schedule_patience": 1}),
        ("mnist", {"mixed_precision": True, "optimizer": "adamw", "clip_norm": 1.0,
                   "epochs": 2}),
        ("mnist", {"patience": 1, "epochs": 6, "learning_rate": 0.3, "optimizer": "lion"}),
    ],
)  # fmt: skip
def test_a_stopped_training_ends_as_if_it_had_not_been(tmp_path, stops, name, options):
    """The same weights and figures, with dropout, normalisation and every kind of optimiser."""
    settings = cases.settings(**{"epochs": 3, "checkpoint_steps": 1, "model": name} | options)

    def train(directory=None):
        if name == "own":
            model = cases.own_model()
        else:
            model = cases.model(name, mixed_precision=settings.mixed_precision)
        return fit(
            model, cases.loader(44), settings, validation=cases.held_out(), directory=directory
        )

    expected = figures(train())
    stops(9)
    result, num_stops = train_to_the_end(lambda: train(tmp_path))
    assert num_stops >= 1
    assert figures(result) == expected


def test_the_same_twice_gives_the_same_weights():
    """And another seed of the order gives others."""

    def digest(seed):
        return fit(cases.model(), cases.loader(seed=seed), cases.settings()).weights_digest

    assert digest(0) == digest(0)
    assert digest(0) != digest(1)


def test_a_finished_training_is_not_trained_again(tmp_path):
    """The same call gives the same result, and the model its weights."""
    settings = cases.settings(keep="best")

    def train(model):
        return fit(model, cases.loader(), settings, validation=cases.held_out(), directory=tmp_path)

    first = train(cases.model())
    again = cases.model()
    assert train(again) == first
    assert weights_digest(again) == first.weights_digest


def test_the_best_weights_are_those_of_the_best_epoch(tmp_path):
    """The model ends with them, and they are on the disk for Keras to read."""
    settings = cases.settings(6, keep="best", learning_rate=0.02)
    model, validation = cases.model(), cases.held_out()
    result = fit(model, cases.loader(), settings, validation=validation, directory=tmp_path)
    best = min(result.epochs, key=lambda epoch: epoch.val_loss)
    assert result.best_epoch == best.epoch
    assert evaluate(model, validation).loss == best.val_loss
    again = cases.model(seed=9)
    again.load_weights(tmp_path / "best.weights.h5")
    assert weights_digest(again) == result.weights_digest


def test_patience_ends_a_training(tmp_path):
    """Two epochs after the best one."""
    settings = cases.settings(9, patience=2, learning_rate=1.0, optimizer="sgd")
    result = fit(cases.model(), cases.loader(), settings, validation=cases.held_out())
    assert result.stopped_early
    assert len(result.epochs) == result.best_epoch + 3


def test_other_inputs_are_refused_in_words(tmp_path):
    """Another training does not go on from a checkpoint; what differs comes first, not digests."""
    fit(cases.model(), cases.loader(), cases.settings(), directory=tmp_path)
    for other, said in (
        (
            (cases.model(), cases.loader(), cases.settings(learning_rate=0.01)),
            "another training: learning-rate was 0.001, now it is 0.01[.]",
        ),
        ((cases.model(), cases.loader(48), cases.settings()), "the training images are others"),
        ((cases.model(seed=1), cases.loader(), cases.settings()), "the initial weights are others"),
    ):
        with pytest.raises(CheckpointError, match=said) as refused:
            fit(*other, directory=tmp_path)
        assert exit_code_of(refused.value) == ExitCode.PLAN_CONFLICT


class _SlowStart(cases.ArrayFeed):
    """The first image of a process takes a while, as with code that is loaded for it."""

    is_slow = True

    def fetch(self, rows, copies, out):
        if self.is_slow:
            time.sleep(0.3)
            self.is_slow = False
        super().fetch(rows, copies, out)


def test_what_a_process_does_once_is_no_stall():
    """The loader's start stands apart, so the first of several arms does not pay for all."""
    loader = cases.loader()
    loader._feed = _SlowStart(loader._feed.images)
    result = fit(cases.model(), loader, cases.settings(1))
    assert result.warmup_s > 0.3
    assert result.wait_s < 0.15


def test_how_often_is_saved_may_change(tmp_path, stops):
    """It changes no weight."""
    expected = fit(cases.model(), cases.loader(), cases.settings()).weights_digest
    stops(3)
    settings = [cases.settings(checkpoint_steps=3), cases.settings(checkpoint_s=0.0)]
    with pytest.raises(StoppedError):
        fit(cases.model(), cases.loader(), settings[0], directory=tmp_path)
    result, _ = train_to_the_end(
        lambda: fit(cases.model(), cases.loader(), settings[1], directory=tmp_path)
    )
    assert result.weights_digest == expected


def test_every_flipped_byte_of_a_checkpoint_is_noticed(tmp_path):
    """A damaged one is an error that says what to do, never a start from wherever."""
    model = make_model("mnist", (4, 4, 1), 3)
    loader = cases.loader(8, shape=(4, 4, 1))
    fit(model, loader, cases.settings(1), directory=tmp_path)
    path = tmp_path / CHECKPOINT_FILE
    data = path.read_bytes()
    places = [*range(0, len(data), len(data) // 40), len(data) - 1]
    flipped = [data[:i] + bytes([data[i] ^ 1]) + data[i + 1 :] for i in places]
    cut = [data[:length] for length in (0, 10, len(data) // 2, len(data) - 1)]
    for damaged in [*flipped, *cut]:
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="delete the file"):
            read_checkpoint(path)
    with pytest.raises(CheckpointError, match="delete the file"):
        fit(model, loader, cases.settings(1), directory=tmp_path)


def test_a_loss_that_is_no_number_ends_the_training():
    """With the epoch, the batch and a remedy."""
    images = cases.loader(dtype=np.float32)
    images._feed.images[:] = np.inf
    model = cases.model(image_dtype="float32")
    with pytest.raises(TrainingError, match=r"epoch 0, batch 0: .* lower the learning rate"):
        fit(model, images, cases.settings())


@pytest.mark.parametrize("beside", [None, (2.0, 1.0, 0.5)], ids=["alone", "times the class"])
def test_weights_of_images_count_as_weights_of_classes_do(beside):
    """The tables of weights are of classes here, so that the option says the same."""

    def digest(own, of_classes):
        given = {} if own is None else {"weights": own}
        settings = cases.settings(1, class_weights=of_classes)
        return fit(cases.model(), cases.loader(**given), settings).weights_digest

    own = (1.0, 4.0, 0.25)
    whole = own if beside is None else tuple(a * b for a, b in zip(own, beside, strict=True))
    assert digest(own, beside) == digest(None, whole) != digest(None, beside)


def test_weights_of_images_are_part_of_what_is_trained_on():
    """So that no checkpoint of others is taken over."""
    identities = [cases.loader(weights=own).identity() for own in ((1, 2, 3), (1, 2, 4))]
    assert identities[0] != identities[1]
    assert "sample_weights" not in cases.loader().identity()


def test_class_weights_change_the_loss_as_keras_does():
    """An image of class c counts weights[c]."""
    labels = np.array([0, 0, 0, 1], np.int32)
    balanced = class_weights(cases.settings(class_weights="balanced"), labels, 2)
    assert balanced == pytest.approx([4 / 6, 2])
    given = class_weights(cases.settings(class_weights=(1, 3)), labels, 2)
    assert given == pytest.approx([1, 3])
    with pytest.raises(ConfigError, match="expected 3 numbers"):
        class_weights(cases.settings(class_weights=(1, 3)), labels, 3)


def test_smoothed_labels_are_those_of_keras():
    """The loss of smoothed rows is the smoothed loss of whole ones."""
    said = np.array([[0.2, 0.5, 0.3]], np.float32)
    ours = keras.losses.CategoricalCrossentropy()(soft_labels(3, 0.3)[[1]], said)
    theirs = keras.losses.CategoricalCrossentropy(label_smoothing=0.3)(np.eye(3)[[1]], said)
    assert float(ours) == pytest.approx(float(theirs))


def test_steps_per_epoch_leaves_out_the_rest_of_each_epoch():
    """Epoch e is still epoch e of the loader."""
    result = fit(cases.model(), cases.loader(), cases.settings(2, steps_per_epoch=3))
    assert [epoch.num_images for epoch in result.epochs] == [24, 24]
    assert result.num_steps == 6


def test_copies_follow_epochs():
    """Epoch e trains on copy e modulo K: the images that arrive are those of that copy."""
    seen = []

    class Watched(type(cases.loader())):
        def epoch(self, number, **where):
            for batch in super().epoch(number, **where):
                seen.append((batch.epoch, set(batch.copies.tolist())))
                yield batch

    loader = cases.loader(copies=(0, 1))
    loader.__class__ = Watched
    fit(cases.model(), loader, cases.settings(3))
    assert {(epoch, copy) for epoch, copies in seen for copy in copies} == {(0, 0), (1, 1), (2, 0)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"training": {"labels": [-1] * 40}}, "40 of 40 images without"),
        ({"training": {"classes": ("one",)}}, "at least 2 to tell apart"),
        ({"training": {"count": 5, "drop_remainder": True}}, "5 images in batches of 8"),
        ({"training": {"classes": ("a", "b"), "labels": [0, 1] * 20}}, "2 outputs, one for each"),
        ({"training": {"shape": (9, 8, 1)}}, r"takes the loader's \(9, 8, 1\) images"),
        ({"settings": {"steps_per_epoch": 6}}, "at most the 5 batches"),
        ({"settings": {"patience": 2}}, "expected a validation part for val_loss"),
    ],
)
def test_what_does_not_go_together_is_refused_before_the_first_step(change, message):
    """One sentence for each."""
    training = cases.loader(**{"count": 40} | change.get("training", {}))
    with pytest.raises(ConfigError, match=message):
        fit(cases.model(), training, cases.settings(**change.get("settings", {})))


def test_validation_by_other_classes_is_refused():
    """Their numbers would mean something else."""
    other = cases.held_out(classes=("circle", "star", "square"))
    with pytest.raises(ConfigError, match="classes in their order"):
        fit(cases.model(), cases.loader(), cases.settings(), validation=other)


def test_validation_on_copies_is_refused():
    """Validation images are never augmented."""
    augmented = cases.loader(copies=(0,))
    with pytest.raises(ConfigError, match="expected untouched images"):
        fit(cases.model(), cases.loader(), cases.settings(), validation=augmented)


def test_a_model_without_softmax_is_refused():
    """Cross-entropy of anything but probabilities trains to nonsense."""
    model = keras.Sequential(
        [keras.Input(cases.SHAPE), keras.layers.Flatten(), keras.layers.Dense(3, use_bias=True)]
    )
    model.layers[-1].bias.assign([1.0, 2.0, 3.0])
    with pytest.raises(ConfigError, match="end it with a softmax"):
        fit(model, cases.loader(), cases.settings())


def test_waiting_is_told_from_computing():
    """A loader that sleeps is what the model waits for."""

    class Slow(type(cases.loader())):
        def epoch(self, number, **where):
            for batch in super().epoch(number, **where):
                time.sleep(0.02)
                yield batch

    loader = cases.loader()
    loader.__class__ = Slow
    result = fit(cases.model(), loader, cases.settings(2))
    assert result.wait_s >= 0.2
    assert result.wait_s + result.compute_s + result.compile_s <= result.seconds
    assert result.stall_fraction == result.wait_s / (result.wait_s + result.compute_s)


def test_progress_ends_at_the_total():
    """In images, over all epochs."""
    seen = []
    fit(cases.model(), cases.loader(44), cases.settings(2), progress=lambda *a: seen.append(a))
    assert seen[0] == ("train", 8, 88)
    assert seen[-1] == ("train", 88, 88)


def test_training_learns():
    """The classes can be told apart, and are."""
    model, validation = cases.model(), cases.held_out()
    fit(model, cases.loader(120), cases.settings(8, learning_rate=0.01))
    assert evaluate(model, validation).accuracy > 0.9
