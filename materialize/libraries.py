"""Frameworks that need not be there: imported when they are needed, or a sentence how to get them.

Building, verifying and streaming use none of them.
"""

import importlib
from typing import Any

from materialize.errors import ConfigError

_TRAIN = "pip install 'materialize[train]'"
INSTALL = {
    "keras": ("Keras", _TRAIN),
    "tensorflow": ("TensorFlow", _TRAIN),
    "matplotlib": ("matplotlib", _TRAIN),
    "jinja2": ("Jinja", _TRAIN),
    "torch": ("PyTorch", "pip install torch"),
    "jax": ("JAX", "pip install jax"),
}
"""Package → its name in sentences, and the command that installs it."""


def load_library(name: str, purpose: str) -> Any:
    """A framework's module.

    Args:
        name: to import, such as ``torch`` or ``keras.utils``.
        purpose: what asks for it, which begins the message.

    Raises:
        ConfigError: it is not installed, or Keras' backend is not.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        if missing not in INSTALL:
            raise
        title, command = INSTALL[missing]
        raise ConfigError(
            f"{purpose}: expected {title}, found it is not installed; {command}",
            {"name": missing, "expected": title, "found": None},
        ) from error
