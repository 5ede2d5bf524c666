"""What is asked of a backend of Keras; as a program, of one that is not this process' own.

`KERAS_BACKEND=jax python -m tests.backend_cases FOLDER` reads FOLDER/dataset, FOLDER/weights.npz,
writes FOLDER/maps.npy and prints an answer to each question as JSON. One process answers them all,
because importing a backend takes longer than asking.
"""

import json
import sys
import tempfile
import traceback
from pathlib import Path

import numpy as np

from materialize.training.evaluation import evaluate
from materialize.training.fitting import fit
from tests import training_cases
from tests.adapter_cases import facts
from tests.unit.test_activation_map import activation_maps, finder, squares
from tests.unit.test_standard_layer import EVERY, assert_close, both


def training(_folder):
    """A training with dropout that was given no seed, whole and stopped within its second epoch."""
    whole, model = _train()
    assert evaluate(model, training_cases.held_out()).loss == whole.epochs[-1].val_loss
    assert whole.epochs[-1].loss < whole.epochs[0].loss
    with tempfile.TemporaryDirectory() as run:
        try:
            _train(Path(run), stop=60)
        except InterruptedError:
            resumed, _ = _train(Path(run))
            return "equal" if resumed.weights_digest == whole.weights_digest else "different"
    return "not stopped"


def _train(directory=None, stop=None):
    def progress(_stage, done, _total):
        if done == stop:
            raise InterruptedError

    settings = training_cases.settings(3, checkpoint_steps=1, learning_rate=0.01)
    model = training_cases.own_model()
    result = fit(
        model, training_cases.loader(44), settings, validation=training_cases.held_out(),
        directory=directory, progress=progress,
    )  # fmt: skip
    return result, model


def standardisation(_folder):
    """The first layers of a model beside the CPU path."""
    for options in EVERY:
        assert_close(*both(options))
    return len(EVERY)


def maps(folder):
    """Grad-CAM by these weights."""
    model = finder()
    model.set_weights(list(np.load(folder / "weights.npz").values()))
    np.save(folder / "maps.npy", activation_maps(model, squares(8, 1)[0]).maps)
    return "saved"


def shown(folder):
    """What two fits are shown of a stored dataset, and what a shuffled one says."""
    return facts(folder / "dataset")


QUESTIONS = {each.__name__: each for each in (training, standardisation, maps, shown)}


def answers(folder):
    """By question; the traceback of one that failed."""
    found = {}
    for name, question in QUESTIONS.items():
        try:
            found[name] = question(folder)
        except Exception:  # noqa: BLE001  # whatever it is, a test shows it
            found[name] = traceback.format_exc()
    return found


if __name__ == "__main__":
    print(json.dumps(answers(Path(sys.argv[1]))))
