"""The image data sets Keras knows by name; downloading, caching and hash checks are Keras'."""

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ConfigError, SourceError
from materialize.sources.arrays import ArrayOptions, ArraySource, RawPart, options_given

PREFIX = "keras:"

_CLASS_NAMES: dict[str, tuple[str, ...]] = {
    # Keras gives numbers only; these are the names in the data sets' own descriptions. CIFAR-100's
    # hundred stay numbers.
    "mnist": (),
    "fashion_mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
        "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
    "cifar10": (
        "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ),
    "cifar100": (),
}  # fmt: skip


def keras_source(name: str, options: ArrayOptions) -> ArraySource:
    """The source over ``keras.datasets.<name>``.

    Args:
        name: ``mnist``, ``fashion_mnist``, ``cifar10`` or ``cifar100``.
        options: only ``class_names`` applies.

    Raises:
        ConfigError: Keras has no image data set of that name.
        SourceError: Keras is not installed or could not give the data.
    """
    if name not in _CLASS_NAMES:
        raise ConfigError(
            f"there is no image data set {PREFIX}{name}: choose from "
            f"{', '.join(PREFIX + known for known in _CLASS_NAMES)}",
            {"found": name, "expected": tuple(_CLASS_NAMES)},
        )
    if options.labels is not None or options.images_key is not None:
        raise ConfigError(f"only the option class-names applies to {PREFIX}{name}", {})
    train, test = _loaded(name)
    parts = {
        split: RawPart(_channels_last(images), np.asarray(labels))
        for split, (images, labels) in (("train", train), ("test", test))
    }
    description = {"kind": "keras", "name": name, "options": options_given(options)}
    return ArraySource(parts, description, options.class_names or _CLASS_NAMES[name])


def _loaded(name: str) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """((x_train, y_train), (x_test, y_test)) from Keras, imported only here: it takes seconds."""
    try:
        dataset = importlib.import_module(f"keras.datasets.{name}")
    except ImportError as error:
        raise SourceError(
            f"{PREFIX}{name} needs Keras and one of its backends, and {error.name} is not "
            "installed: pip install keras tensorflow, or set KERAS_BACKEND to the one you have",
            {"missing": error.name},
        ) from error
    try:
        train, test = dataset.load_data()
    except Exception as error:
        # Whatever class the download, the archive or the hash check of this Keras version raises.
        raise SourceError(
            f"Keras could not load {name}: {error}; put its file into Keras' own cache "
            "(KERAS_HOME/datasets) where there is no network",
            {"name": name},
        ) from error
    return train, test


def _channels_last(images: NDArray[Any]) -> NDArray[Any]:
    """Keras transposes colour images when its image_data_format says channels_first."""
    if images.ndim == 4 and images.shape[1] == 3 and images.shape[3] != 3:
        return images.transpose(0, 2, 3, 1)
    return images
