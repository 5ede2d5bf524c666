"""Backends other than the default train too, and go on after a stop to the same weights."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("keras")

SCRIPT = """
import sys, tempfile
from pathlib import Path
from materialize.training.evaluation import evaluate
from materialize.training.fitting import fit
from tests import training_cases as cases

def train(directory=None, stop=None):
    def progress(_, done, total):
        if done == stop:
            raise InterruptedError
    settings = cases.settings(3, checkpoint_steps=1, learning_rate=0.01)
    model = cases.own_model()
    result = fit(model, cases.loader(44), settings, validation=cases.held_out(),
                 directory=directory, progress=progress)
    return result, model

whole, model = train()
assert evaluate(model, cases.held_out()).loss == whole.epochs[-1].val_loss
assert whole.epochs[-1].loss < whole.epochs[0].loss
directory = Path(tempfile.mkdtemp())
try:
    train(directory, stop=60)  # within the second epoch
except InterruptedError:
    resumed, _ = train(directory)
    assert resumed.weights_digest == whole.weights_digest
    print("equal")
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_backend_trains_and_resumes_to_the_same_weights(backend):
    """With dropout that was given no seed, and with normalisation."""
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | {"KERAS_BACKEND": backend},
        cwd=Path(__file__).parents[2],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "equal", done.stderr[-2000:]
