"""Settings of a training, and jobs that hold them."""

import dataclasses

import pytest

from materialize.errors import ConfigError
from materialize.training.job import OPTION_NAMES, read_training_options, training_job
from materialize.training.selection import Selection
from materialize.training.settings import TrainingSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 0), ("epochs", 2.5), ("epochs", True), ("batch_size", 0), ("seed", 2**32),
        ("seed", -1), ("learning_rate", 0), ("learning_rate", "fast"), ("momentum", 1.0),
        ("weight_decay", -0.1), ("clip_norm", 0.0), ("schedule_factor", 0.0),
        ("label_smoothing", 1.0), ("learning_rate", float("nan")), ("patience", 0),
        ("optimizer", "adamm"), ("schedule", "step"), ("monitor", "val"), ("keep", "all"),
        ("class_weights", "balance"), ("class_weights", (1.0, -1.0)), ("class_weights", 3),
        ("steps_per_epoch", 0), ("checkpoint_steps", 0), ("checkpoint_s", -1.0),
    ],
)  # fmt: skip
def test_a_setting_outside_its_interval_is_refused_by_name(name, value):
    """The message names the setting and what it was."""
    with pytest.raises(ConfigError, match=f"^{name}: expected") as caught:
        TrainingSettings(**{"epochs": 3} | {name: value})
    assert caught.value.name == name


def test_momentum_is_refused_where_the_optimizer_has_none():
    """A setting that would be ignored is an error."""
    with pytest.raises(ConfigError, match="sgd and rmsprop"):
        TrainingSettings(epochs=1, momentum=0.9)


def test_warm_up_is_refused_without_a_cosine():
    """A setting that would be ignored is an error."""
    with pytest.raises(ConfigError, match="cosine"):
        TrainingSettings(epochs=1, warmup_steps=3)


def test_how_often_is_saved_is_not_part_of_the_identity():
    """It changes no weight, so a resumed training may choose anew."""
    often = TrainingSettings(epochs=3, checkpoint_steps=1, checkpoint_s=2)
    assert often.identity() == TrainingSettings(epochs=3).identity()


def test_a_job_file_gives_what_the_options_give(tmp_path):
    """Keys are the options' names, and paths start at the file's folder."""
    path = tmp_path / "train.toml"
    path.write_text(
        'dataset = "d"\noutput = "run"\nepochs = 3\nbatch-size = 8\noriginals = true\n'
        "class-weights = [1, 2.5]\nthreads = 2\nlearning-rate = 1\n"
    )
    job = training_job(read_training_options(path))
    assert job.settings == TrainingSettings(
        epochs=3, batch_size=8, class_weights=(1.0, 2.5), learning_rate=1.0
    )
    assert (job.dataset, job.output) == (str(tmp_path / "d"), str(tmp_path / "run"))
    assert job.selection == Selection(originals=True)
    assert job.options.threads == 2


def test_an_unknown_key_names_the_nearest(tmp_path):
    """Ignoring it would train something else."""
    path = tmp_path / "train.toml"
    path.write_text("epoch = 3\n")
    with pytest.raises(ConfigError, match="did you mean 'epochs'"):
        read_training_options(path)


@pytest.mark.parametrize("missing", ["dataset", "output", "epochs"])
def test_what_a_job_cannot_do_without_is_named(missing):
    """With how to give it."""
    given = {"dataset": "d", "output": "run", "epochs": 3}
    with pytest.raises(ConfigError, match=rf"expected values for {missing} \("):
        training_job(given | {missing: None})


def test_a_value_of_the_wrong_type_is_a_config_error():
    """Whatever reads it."""
    with pytest.raises(ConfigError, match="epochs"):
        training_job({"dataset": "d", "output": "r", "epochs": "many"}, origin="train.toml")


def test_a_value_outside_its_interval_is_the_settings_own_error():
    """One sentence for it, however it was given."""
    with pytest.raises(ConfigError, match=r"^epochs: expected a whole number"):
        training_job({"dataset": "d", "output": "r", "epochs": 0})


def test_no_option_has_two_meanings():
    """Settings, selection and loader options share one list of names."""
    assert len(set(OPTION_NAMES)) == len(OPTION_NAMES)
    assert {f.name for f in dataclasses.fields(TrainingSettings)} <= set(OPTION_NAMES)


@pytest.mark.parametrize("wrong", [{"fold": 1}, {"folds": 5}, {"originals": True, "copies": 2}])
def test_a_selection_that_contradicts_itself_is_refused(wrong):
    """One of the two would be ignored."""
    with pytest.raises(ConfigError):
        Selection(**wrong)
