"""Folds: one model each, and the mean of what they say."""

import dataclasses
import json

import numpy as np
import pytest

from materialize.builder import BuildOptions, build_dataset
from materialize.errors import ConfigError
from materialize.recipe import Recipe
from materialize.sources import open_source
from materialize.training.ensemble import mean_predictions, train_folds
from materialize.training.evaluation import Predictions
from materialize.training.models import make_model
from materialize.training.selection import Selection
from materialize.training.settings import TrainingSettings
from materialize.training.trainer import train_dataset
from tests.training_cases import make_images

SETTINGS = TrainingSettings(epochs=2, model="fashion-mnist", batch_size=8, deterministic=True)


def arrays():
    """45 training and 9 test images in three classes that can be told apart."""
    labels = {"train": np.arange(45) % 3, "test": np.arange(9) % 3}
    return {
        split: (make_images(of_part, shape=(12, 12, 3), seed=number), of_part)
        for number, (split, of_part) in enumerate(labels.items())
    }


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("ensemble") / "set"
    parts = arrays()
    path = directory.parent / "images.npz"
    np.savez(path, x_train=parts["train"][0], y_train=parts["train"][1],
             x_test=parts["test"][0], y_test=parts["test"][1])  # fmt: skip
    recipe = Recipe(copies=2, seed=5, originals=True)
    build_dataset(open_source(path), directory, "cifar10", recipe, options=BuildOptions())
    return directory


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    """(directory, report) of three folds."""
    output = tmp_path_factory.mktemp("folds")
    return output, train_folds(dataset, output, SETTINGS, folds=3)


def test_every_training_image_is_held_out_once(trained):
    """By exactly one model."""
    folds = [fold.held_out.predictions.ids for fold in trained[1].folds]
    ids = {row.tobytes() for part in folds for row in part}
    assert (len(ids), sum(map(len, folds))) == (45, 45)


def test_held_out_images_are_judged_together(trained):
    """Their hits are the sum of the folds'."""
    report = trained[1]
    hits = sum(int(fold.held_out.confusion.trace()) for fold in report.folds)
    assert (int(report.held_out.confusion.trace()), len(report.held_out.predictions)) == (hits, 45)


def test_the_ensemble_is_the_mean_of_its_models(trained):
    """Probability by probability, on the test part."""
    report = trained[1]
    single = np.stack([fold.test.predictions.probabilities for fold in report.folds])
    assert np.allclose(report.test.predictions.probabilities, single.mean(axis=0), atol=1e-7)


def test_a_fold_is_the_training_of_that_fold(trained, dataset, tmp_path):
    """The same weights, to the bit."""
    alone = train_dataset(dataset, tmp_path, SETTINGS, selection=Selection(fold=1, folds=3))
    assert alone.result.weights_digest == trained[1].folds[1].result.weights_digest


def test_called_again_it_trains_nothing(trained, dataset):
    """Finished folds are read from their checkpoints."""
    output, report = trained
    seen = []
    again = train_folds(dataset, output, SETTINGS, folds=3,
                        progress=lambda *step: seen.append(step))  # fmt: skip
    assert [fold.result for fold in again.folds] == [fold.result for fold in report.folds]
    assert (again.to_json(), seen) == (report.to_json(), [])


def test_a_killed_ensemble_goes_on(trained, dataset, tmp_path):
    """In the middle of its second fold; the end is that of one that was not killed."""

    class KilledError(Exception):
        pass

    def kill(stage, done, _total):
        if stage == "fold 2/3" and done > 20:
            raise KilledError

    settings = dataclasses.replace(SETTINGS, checkpoint_steps=1)
    with pytest.raises(KilledError):
        train_folds(dataset, tmp_path, settings, folds=3, progress=kill)
    resumed = train_folds(dataset, tmp_path, settings, folds=3)
    expected = [fold.result.weights_digest for fold in trained[1].folds]
    assert [fold.result.weights_digest for fold in resumed.folds] == expected


def test_the_figures_are_stored(trained):
    """Of each fold, of what was held out, and of the ensemble."""
    output, report = trained
    stored = json.loads((output / "ensemble.json").read_bytes())
    assert stored == json.loads(json.dumps(report.to_json()))
    assert {"predictions-test.csv", "confusion-held-out.csv", "fold-2"} <= {
        path.name for path in output.iterdir()
    }


def test_another_model_can_be_given(dataset, tmp_path):
    """A fresh one for each fold."""
    made = []

    def make():
        made.append(make_model("mnist", (12, 12, 3), 3))
        return made[-1]

    settings = dataclasses.replace(SETTINGS, epochs=1)
    train_folds(dataset, tmp_path, settings, folds=2, make=make)
    assert len({id(model) for model in made}) == 2


def test_answers_about_different_images_have_no_mean():
    """Row by row they would be of something else."""
    some = Predictions(np.zeros((2, 16), np.uint8), np.zeros(2, np.int32), np.ones((2, 3)) / 3)
    other = dataclasses.replace(some, ids=np.ones((2, 16), np.uint8))
    with pytest.raises(ConfigError, match="the same 2 images"):
        mean_predictions([some, other])


@pytest.mark.parametrize("folds", [0, 1, 128])
def test_a_number_of_folds_outside_its_interval_is_refused(dataset, tmp_path, folds):
    """One fold holds out everything."""
    with pytest.raises(ConfigError, match="folds: expected a whole number"):
        train_folds(dataset, tmp_path, SETTINGS, folds=folds)


def test_a_selection_of_one_fold_is_refused(dataset, tmp_path):
    """All of them are trained."""
    with pytest.raises(ConfigError, match="expected none where all folds are trained"):
        train_folds(dataset, tmp_path, SETTINGS, folds=3, selection=Selection(fold=0, folds=3))
