"""Starting Keras without what its backend says on the way."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def start_keras() -> None:
    """Imports Keras and makes its backend look for devices, which TensorFlow comments at length.

    Its lines go straight to the process' standard error, past Python. What fails still raises.

    Raises:
        ConfigError: Keras is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with _standard_error_silenced():
        try:
            import keras
        except ModuleNotFoundError as error:
            from materialize.errors import ConfigError

            raise ConfigError(
                f"training: expected Keras and a backend, found no {error.name}; "
                "pip install 'materialize[train]'",
                {"expected": "keras", "found": error.name},
            ) from error
        keras.ops.convert_to_tensor(0.0)


@contextmanager
def _standard_error_silenced() -> Iterator[None]:
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
