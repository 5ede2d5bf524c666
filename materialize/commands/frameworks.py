"""Starting Keras without what its backend says on the way."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def start_keras() -> None:
    """Imports Keras and makes its backend look for devices, which TensorFlow comments at length.

    Its lines go straight to the process' standard error, past Python. What fails still raises.

    Raises:
        ConfigError: Keras, or its backend, is not installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with standard_error_silenced():
        from materialize.libraries import load_library

        keras = load_library("keras", "training")
        keras.ops.convert_to_tensor(0.0)


@contextmanager
def standard_error_silenced() -> Iterator[None]:
    """Nothing reaches standard error, not even from C++, as long as this lasts."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
