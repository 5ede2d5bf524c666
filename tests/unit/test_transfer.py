"""Transfer learning: what is frozen, the two phases, and the sweep over where training begins."""

import dataclasses
import io
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from materialize.commands.transferring import sweep as sweep_command
from materialize.errors import ConfigError
from materialize.training.evaluation import evaluate
from materialize.training.failures import RunConflictError
from materialize.training.fitting import fit
from materialize.training.models import weights_digest
from materialize.training.sweep import SweepResult, SweepRow, sweep
from materialize.training.sweep_chart import draw_sweep
from materialize.training.transfer import fine_tune, freeze_below, stages
from tests.loader_cases import build
from tests.training_cases import make_images
from tests.transfer_cases import (
    SIDE,
    arrays,
    model,
    seeded,
    settings,
    training,
    transfer,
    validation,
)

STAGES = ("conv1", *(f"fire{number}" for number in range(2, 10)), "probabilities")


def changed(before, after):
    """The layers whose weights differ."""
    return {
        name
        for name, weights in before.items()
        if any(not np.array_equal(a, b) for a, b in zip(weights, after[name], strict=True))
    }


def parts(_seed):
    """What a sweep is given for a seed."""
    return {"train": training(), "test": validation()}


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """(directory, result) of a sweep with two layers and two repeats."""
    directory = tmp_path_factory.mktemp("sweep")
    found = sweep(parts, settings(epochs=1), transfer(), seeds=(0, 1),
                  layers=("fire9", "probabilities"), directory=directory)  # fmt: skip
    return directory, found


def test_the_stages_of_squeezenet_are_its_modules():
    """From the first convolution to the head."""
    assert stages(model()) == STAGES


def test_stages_that_do_not_divide_a_model_are_its_layers():
    """Where names repeat, each layer with weights is one."""
    import keras

    names = ("a_1", "b_1", "a_2")
    layers = [keras.layers.Dense(2, name=name) for name in names]
    assert stages(keras.Sequential([keras.Input((2,)), *layers])) == names


def test_nothing_below_the_named_layer_is_trainable():
    """``fire9`` is the first layer of that module."""
    built = model(transfer(train_from="fire9"))
    trained = {layer.name for layer in built.layers if layer.trainable_weights}
    assert trained == {"fire9_squeeze1x1", "fire9_expand1x1", "fire9_expand3x3", "probabilities"}


def test_freezing_again_thaws_what_comes_after():
    """The last call decides."""
    built = model()
    freeze_below(built, "conv1")
    assert len(built.trainable_variables) == len(built.weights)


def test_training_changes_nothing_below_the_named_layer():
    """Frozen weights keep their bits."""
    built = model(transfer(train_from="fire8"))
    before = arrays(built)
    fit(built, training(), settings())
    kept = {name for name in before if name.startswith(("conv", *STAGES[1:7]))}
    assert not changed(before, arrays(built)) & kept


def test_phase_one_changes_the_head_alone():
    """The base keeps what it has learnt while the head is random."""
    built = model()
    before = arrays(built)
    fine_tune(built, training(), settings(epochs=1, learning_rate=1e-12), transfer())
    assert changed(before, arrays(built)) == {"probabilities"}


def test_phase_two_has_the_rate_of_the_settings():
    """Phase one has its own, constant."""
    result = fine_tune(model(), training(), settings(learning_rate=1e-5),
                       transfer(train_from="fire9", head_learning_rate=1e-2))  # fmt: skip
    rates = [[e.learning_rate for e in phase.epochs] for phase in (result.head, result.tuning)]
    assert np.allclose(rates[0], 1e-2)
    assert np.allclose(rates[1], 1e-5)


def test_phase_one_can_be_left_out():
    """Then there is one training."""
    assert fine_tune(model(), training(), settings(), transfer(head_epochs=0)).head is None


def test_equal_seeds_give_equal_weights():
    """Both phases are deterministic."""
    digests = set()
    for _ in range(2):
        built = model(seed=3)
        fine_tune(built, training(), settings(seed=3), transfer(train_from="fire9"))
        digests.add(weights_digest(built))
    assert len(digests) == 1


def test_a_training_stopped_in_phase_two_goes_on(tmp_path):
    """It ends with the weights of one that was not stopped."""
    whole = model()
    plan = transfer(train_from="fire9")
    fine_tune(whole, training(), settings(epochs=3), plan)

    class StoppedError(Exception):
        pass

    def stop(_stage, done, _total):
        calls.append(done)
        if len(calls) == 3 + 5:  # phase one has three steps, phase two three an epoch
            raise StoppedError

    calls, going = [], settings(epochs=3, checkpoint_steps=1)
    with pytest.raises(StoppedError):
        fine_tune(model(), training(), going, plan, directory=tmp_path, progress=stop)
    resumed = model()
    fine_tune(resumed, training(), going, plan, directory=tmp_path)
    assert weights_digest(resumed) == weights_digest(whole)


def test_an_unknown_layer_is_answered_with_the_nearest():
    """Of the names that there are."""
    with pytest.raises(ConfigError, match="did you mean 'fire9'"):
        model(transfer(train_from="fyre9"))


@pytest.mark.parametrize(
    ("name", "value"), [("dropout", 1.0), ("head_epochs", -1), ("head_learning_rate", 0.0)]
)
def test_an_option_outside_its_interval_is_refused(name, value):
    """By name."""
    with pytest.raises(ConfigError, match=name):
        transfer(**{name: value})


def test_a_sweep_has_a_row_for_each_layer_and_seed(swept):
    """Layers in order, seeds within."""
    found = [(row.train_from, row.seed) for row in swept[1].rows]
    assert found == [("fire9", 0), ("fire9", 1), ("probabilities", 0), ("probabilities", 1)]


def test_a_row_is_what_fine_tuning_gives(swept):
    """Training the head once for all layers changes nothing."""
    plan = transfer(train_from="fire9")
    alone = model(plan, seed=1)
    fine_tune(alone, training(), seeded(settings(epochs=1), 1), plan, validation=None)
    row = swept[1].rows[1]
    assert row.weights == weights_digest(alone)
    assert row.accuracy == {"test": evaluate(alone, validation()).accuracy}


def test_finished_rows_are_not_trained_again(swept):
    """A sweep that was killed goes on behind its last row."""
    directory, found = swept
    seen = []
    again = sweep(parts, settings(epochs=1), transfer(), seeds=(0, 1),
                  layers=("fire9", "probabilities"), directory=directory,
                  progress=lambda *step: seen.append(step))  # fmt: skip
    assert (again, seen) == (found, [])


def test_rows_of_another_sweep_are_refused(swept):
    """Two sweeps do not mix in a directory."""
    with pytest.raises(RunConflictError, match="holds another sweep"):
        sweep(parts, settings(epochs=2), transfer(), seeds=(0,), layers=("fire9",),
              directory=swept[0])  # fmt: skip


def test_a_sweep_is_stored(swept):
    """As JSON, whole."""
    directory, found = swept
    assert json.loads((directory / "sweep.json").read_bytes()) == json.loads(
        json.dumps(dataclasses.asdict(found))
    )


def test_a_sweep_needs_something_to_score(tmp_path):
    """Accuracy on what was trained on says nothing."""
    with pytest.raises(ConfigError, match="a part train and one to score"):
        sweep(lambda _: {"train": training()}, settings(), transfer(), seeds=(0,),
              directory=tmp_path)  # fmt: skip


def test_a_sweep_is_drawn():
    """As wide as it has layers."""
    rows = tuple(
        SweepRow(train_from=layer, seed=seed, num_trainable=10, train_accuracy=1.0,
                 accuracy={"test": 0.5 + seed / 10}, loss={"test": 1.0}, num_epochs=1,
                 seconds=1.0, weights="")
        for layer in STAGES for seed in range(3)
    )  # fmt: skip
    png = draw_sweep(SweepResult("squeezenet", STAGES, rows))
    assert Image.open(io.BytesIO(png)).size == (1562, 625)


def test_the_command_sweeps_a_dataset(tmp_path):
    """It prints a row for each layer and leaves a picture."""
    labels = np.arange(24) % 3
    images = make_images(labels, shape=SIDE)
    np.savez(tmp_path / "images.npz", x_train=images[:15], y_train=labels[:15],
             x_test=images[15:], y_test=labels[15:])  # fmt: skip
    build(tmp_path / "set", tmp_path / "images.npz", copies=1)
    done = CliRunner().invoke(
        sweep_command,
        [str(tmp_path / "set"), "--base", "squeezenet=none", "--output", str(tmp_path / "out"),
         "--epochs", "1", "--head-epochs", "0", "--layers", "fire9,probabilities",
         "--seeds", "1"],
        catch_exceptions=False,
    )  # fmt: skip
    assert "fire9" in done.output
    assert "1,539 parameters" in done.output  # of the head alone: (512 + 1) × 3
    assert (tmp_path / "out" / "sweep.png").is_file()
