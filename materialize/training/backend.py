"""What Keras does not abstract of TensorFlow, JAX, PyTorch: determinism, tracing, generators.

Everything else in this package uses Keras' own interface, so that ``KERAS_BACKEND`` chooses freely.
"""

import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DISTRIBUTIONS = ("keras", "tensorflow", "torch", "jax", "jaxlib", "ml-dtypes", "matplotlib")


def backend_name() -> str:
    """``tensorflow``, ``jax`` or ``torch``."""
    import keras

    return str(keras.backend.backend())


def seed_generators(seed: int) -> None:
    """Seeds what initial weights and layers draw from.

    Args:
        seed: in [0, 2**32).
    """
    import keras

    keras.utils.set_random_seed(seed)


def make_deterministic() -> None:
    """Makes the backend choose operations that give the same bits twice, for the whole process.

    On JAX nothing is to be done on a CPU; on a GPU, XLA takes it from its own flags alone.
    """
    if backend_name() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif backend_name() == "torch":
        import torch

        torch.use_deterministic_algorithms(True)


def prepare_predictions(model: Any, shape: tuple[int, ...], dtype: str) -> None:
    """Has a backend that traces functions trace a model's predictions, once.

    Every model is a new function to TensorFlow. When some in a row are asked about a few batches
    each, most of the calls trace, which it takes for one function that is traced again and again;
    a function that is traced before it is called is counted right.

    Args:
        model: a Keras model.
        shape: (n, H, W, C) of the batches.
        dtype: of the batches.
    """
    if backend_name() != "tensorflow":
        return
    import tensorflow as tf

    model.make_predict_function()
    trace = getattr(model.predict_function, "get_concrete_function", None)
    if trace is not None:  # a model that runs eagerly is never traced
        trace([(tf.TensorSpec(shape, dtype),)])


def generator_states() -> list[NDArray[np.uint8]]:
    """The generators that layers draw from beside Keras' own seed generators.

    Only PyTorch has any: a dropout layer without a seed of its own draws from its global ones.
    """
    if backend_name() != "torch":
        return []
    import torch

    states = [torch.get_rng_state(), *torch.cuda.get_rng_state_all()]
    return [state.cpu().numpy() for state in states]


def set_generator_states(states: list[NDArray[np.uint8]]) -> None:
    """Puts the generators back to where `generator_states` found them."""
    if backend_name() != "torch" or not states:
        return
    import torch

    cpu, *devices = [torch.from_numpy(state.copy()) for state in states]
    torch.set_rng_state(cpu)
    if devices:
        torch.cuda.set_rng_state_all(devices)


def describe_backend() -> dict[str, Any]:
    """JSON-ready: backend, versions, devices and thread counts of this process."""
    import keras

    versions = {}
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "backend": backend_name(),
        "packages": versions,
        "devices": [str(device) for device in keras.distribution.list_devices()],
        "float": keras.config.floatx(),
        "threads": _threads(),
    }


def _threads() -> dict[str, int]:
    """How many threads compute; 0 means that the library chooses."""
    if backend_name() == "tensorflow":
        threading = sys.modules["tensorflow"].config.threading
        return {
            "intra_op": threading.get_intra_op_parallelism_threads(),
            "inter_op": threading.get_inter_op_parallelism_threads(),
        }
    if backend_name() == "torch":
        torch = sys.modules["torch"]
        return {
            "intra_op": torch.get_num_threads(),
            "inter_op": torch.get_num_interop_threads(),
        }
    return {}
