"""`materialize train` and its Python twin: a dataset in, a directory with everything out."""

import csv
import dataclasses
import json

import numpy as np
import pytest

import materialize
from materialize import cli
from materialize.errors import ConfigError
from materialize.training.models import weights_digest
from materialize.training.selection import Selection
from materialize.training.settings import TrainingSettings
from materialize.training.trainer import train_dataset
from tests import training_cases as cases
from tests.image_files import png_bytes, write_tree

pytest.importorskip("keras")

SETTINGS = TrainingSettings(epochs=2, model="mnist", batch_size=8, keep="best", seed=3)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two classes of coloured noise in three parts, with two copies and the untouched images."""
    root = tmp_path_factory.mktemp("photos")
    counts = {"train": 20, "val": 6, "test": 4}
    names = [
        f"{split}/{'ab'[number % 2]}/{number}.png"
        for split, count in counts.items()
        for number in range(count)
    ]
    source = write_tree(root, {name: png_bytes(i, (8, 8)) for i, name in enumerate(names)})
    directory = root / "dataset"
    materialize.build(source, directory, pipeline="cifar10", copies=2, originals=True)
    return directory


@pytest.fixture(scope="module")
def run(dataset, tmp_path_factory):
    """A finished run."""
    return train_dataset(dataset, tmp_path_factory.mktemp("runs") / "run", SETTINGS)


def test_the_directory_holds_everything_its_table_names(run):
    """And nothing else."""
    assert {path.name for path in run.directory.iterdir()} == {
        "run.json", "history.csv", "history.json", "checkpoint", "best.weights.h5",
        "model.keras", "model.weights.h5", "curves.png", "confusion-val.json", "confusion-val.csv",
        "predictions-val.csv", "confusion-test.json", "confusion-test.csv", "predictions-test.csv",
    }  # fmt: skip


def test_the_record_has_every_digest(run):
    """Of the images, of the weights before and after; and what it ran on."""
    record = json.loads((run.directory / "run.json").read_text())
    inputs = record["inputs"]
    assert inputs["training"]["samples"] != inputs["validation"]["samples"]
    assert inputs["training"]["source"]["manifest"] == inputs["test"]["source"]["manifest"]
    assert inputs["initial_weights"] == run.result.initial_weights_digest
    assert record["result"]["weights_digest"] == run.result.weights_digest
    (start,) = record["starts"]
    assert start["backend"] in ("tensorflow", "jax", "torch")
    assert start["packages"]["keras"]
    assert start["environment"]["cpu_model"] is not None


def test_the_model_ends_with_the_weights_that_are_stored(run):
    """Keras reads them back."""
    again = cases.make_model("mnist", (8, 8, 3), 2, seed=9)
    again.load_weights(run.directory / "model.weights.h5")
    assert weights_digest(again) == weights_digest(run.model) == run.result.weights_digest


def test_validation_and_test_images_are_untouched(run):
    """All of them, each once."""
    assert {name: len(e.predictions) for name, e in run.evaluations.items()} == {
        "val": 6, "test": 4,
    }  # fmt: skip


def test_the_history_has_a_row_an_epoch(run):
    """In both forms."""
    with (run.directory / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["val_loss"]) for row in rows] == [e.val_loss for e in run.result.epochs]
    assert json.loads((run.directory / "history.json").read_text())[1]["epoch"] == 1


def test_the_same_again_trains_nothing_and_says_who_took_part(dataset, run):
    """The record counts both processes; the result is the stored one."""
    again = train_dataset(dataset, run.directory, SETTINGS)
    assert again.result == run.result
    assert len(json.loads((run.directory / "run.json").read_text())["starts"]) == 2


def test_the_same_elsewhere_gives_the_same_weights(dataset, run, tmp_path):
    """Also with other threads."""
    options = materialize.loader.opening.LoaderOptions(threads=2, prefetch=5)
    again = train_dataset(dataset, tmp_path / "run", SETTINGS, options=options)
    assert again.result.weights_digest == run.result.weights_digest


def test_a_fold_is_held_out(dataset, tmp_path):
    """The rest of the training part is trained on."""
    report = train_dataset(
        dataset, tmp_path / "run", SETTINGS, selection=Selection(fold=0, folds=4)
    )
    held_out = len(report.evaluations["val"].predictions)
    assert 0 < held_out < 20
    assert report.result.epochs[0].num_images == 20 - held_out


def test_originals_train_on_untouched_images(dataset, run, tmp_path):
    """The arm without augmentation."""
    report = train_dataset(dataset, tmp_path / "run", SETTINGS, selection=Selection(originals=True))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["inputs"]["training"]["copies"] == [-1]
    assert report.result.initial_weights_digest == run.result.initial_weights_digest


def test_statistics_are_fitted_once_and_become_the_first_layers(dataset, tmp_path):
    """On the untouched training images; the same weights again."""
    settings = dataclasses.replace(SETTINGS, standardize="featurewise")
    first = train_dataset(dataset, tmp_path / "run", settings)
    (stored,) = dataset.glob("statistics-*.h5")
    written = stored.stat().st_mtime_ns
    again = train_dataset(dataset, tmp_path / "other", settings)
    assert again.result.weights_digest == first.result.weights_digest
    assert stored.stat().st_mtime_ns == written
    levels = [layer.name for layer in first.model.layers[:3]]
    assert levels == ["images", "standardize_centre", "standardize"]


def test_a_model_of_ones_own_is_trained(dataset, tmp_path):
    """Any model that gives probabilities."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    report = train_dataset(dataset, tmp_path / "run", SETTINGS, model=model)
    assert report.model is model
    assert np.isfinite(report.evaluations["test"].loss)


def test_the_command_prints_the_digest_and_the_stall(dataset, run, tmp_path, capsys):
    """What a log must hold to be compared with another."""
    path = tmp_path / "train.toml"
    path.write_text(f'dataset = "{dataset}"\nmodel = "mnist"\nbatch-size = 8\nkeep = "best"\n')
    arguments = ["train", "--job", str(path), "--epochs", "2", "--seed", "3"]
    assert cli.main([*arguments, "--output", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr().out
    assert run.result.weights_digest in printed
    assert "stall" in printed
    assert cli.main([*arguments, "--output", str(tmp_path / "run"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["result"]["weights_digest"] == run.result.weights_digest
    assert facts["evaluations"]["test"]["num_images"] == 4


def test_without_an_output_the_command_says_so(dataset, capsys):
    """And how to give one."""
    assert cli.main(["train", str(dataset), "--epochs", "2"]) == 2
    assert "--output" in capsys.readouterr().err


def test_help_shows_every_option_with_its_default(capsys):
    """Under its headline."""
    assert cli.main(["train", "--help"]) == 0
    printed = capsys.readouterr().out
    for headline in ("Run:", "Model:", "Images:", "Steps:", "Stopping:", "Reading:"):
        assert headline in printed
    assert "[default: 0.001]" in printed


def test_images_without_labels_are_refused(tmp_path):
    """There is nothing to learn."""
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), dtype=np.uint8)
    materialize.build(images, tmp_path / "dataset", pipeline="digits", copies=1)
    with pytest.raises(ConfigError, match=r"labels|classes"):
        train_dataset(tmp_path / "dataset", tmp_path / "run", SETTINGS)
