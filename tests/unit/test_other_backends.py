"""Keras on JAX and on PyTorch: trains, standardises, explains and is shown what TensorFlow is."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("keras")

from tests.adapter_cases import in_order
from tests.architecture.packages import ROOT
from tests.loader_cases import build
from tests.unit.test_activation_map import activation_maps, squares, trained_finder
from tests.unit.test_standard_layer import EVERY


@pytest.fixture(scope="module")
def model():
    """Of this process' backend."""
    return trained_finder()


@pytest.fixture(scope="module", params=["jax", "torch"])
def asked(request, tmp_path_factory, model):
    """(folder, answers of a process with another backend)."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    folder = tmp_path_factory.mktemp(request.param)
    build(folder / "dataset")
    np.savez(folder / "weights.npz", *model.get_weights())
    child = subprocess.run(
        [sys.executable, "-m", "tests.backend_cases", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={
            **os.environ,
            "KERAS_BACKEND": request.param,
            # JAX compiles a training step for each of the trainings otherwise, seconds each.
            "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
        },
    )  # fmt: skip
    assert child.returncode == 0, child.stderr[-2000:]
    return folder, json.loads(child.stdout)


def test_a_stopped_training_ends_with_the_same_weights(asked):
    """With dropout that was given no seed, and with normalisation."""
    assert asked[1]["training"] == "equal"


def test_the_first_layers_are_the_cpu_path(asked):
    """Every standardisation, to float32 rounding."""
    assert asked[1]["standardisation"] == len(EVERY)


def test_class_activation_maps_are_the_same(asked, model):
    """Each backend has its own gradient."""
    folder, answers = asked
    assert answers["maps"] == "saved"
    expected = activation_maps(model, squares(8, 1)[0]).maps
    assert np.allclose(np.load(folder / "maps.npy"), expected, atol=1e-4)


@pytest.mark.parametrize("size", [8, 30, 60])
def test_two_fits_show_six_epochs_in_order(asked, size):
    """Also where Keras' own trial pass over a new model asks for all of a short epoch."""
    assert asked[1]["shown"][str(size)] == in_order(-(-60 // size), 6)


def test_a_shuffled_fit_is_refused(asked):
    """Which is what Keras does unless it is told not to."""
    assert "pass shuffle=False to fit" in asked[1]["shown"]["refusal"]
