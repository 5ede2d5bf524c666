"""How a model's first layers turn levels into floats, by the settings' word for it."""

from typing import TYPE_CHECKING

from materialize.loader.loader import Loader
from materialize.loader.opening import OpenDataset
from materialize.training.standard_layer import standardization_layers
from pipelines.standardization import standardization_from_text

if TYPE_CHECKING:
    import keras


def first_layers(word: str, training: Loader, dataset: OpenDataset) -> "list[keras.layers.Layer]":
    """The layers; where they need statistics, those are fitted once and kept in the dataset.

    Args:
        word: such as ``unit`` or ``unit+featurewise``; see `pipelines.standardization`.
        training: the training part; statistics are of its untouched images.
        dataset: where those are stored.

    Raises:
        ParameterError: there is no such word.
        ConfigError: statistics are asked for and the untouched images are not stored.
    """
    value_range = dataset.standing.manifest.value_range or (0.0, 255.0)
    wanted = standardization_from_text(word, value_range=value_range)
    statistics = dataset.statistics(wanted, training.samples)
    return standardization_layers(wanted, statistics, training.image_shape)
