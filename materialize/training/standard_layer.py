"""A standardisation as the first layers of a Keras model, with its numbers as constants.

So a saved model takes levels and needs nothing beside it. Where Keras has a layer for the purpose
it is Keras' own, and the model loads without this project; samplewise steps and whitening have
none, and `layer_classes` must have run in a process before it loads such a model.
"""

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ParameterError
from pipelines.standardization import EPSILON, Standardization
from pipelines.standardizer import ChannelConstants, channel_constants, check_shape
from pipelines.statistics import Statistics
from pipelines.whitening import Whitening

if TYPE_CHECKING:
    import keras

_PACKAGE = "materialize"
"""Under which the layers are registered; part of the names in saved models."""


def standardization_layers(
    standardization: Standardization,
    statistics: Statistics | None,
    image_shape: tuple[int, int, int],
) -> "list[keras.layers.Layer]":
    """The layers that do what `Standardizer.apply` does, for any backend, channels last.

    Args:
        standardization: the options.
        statistics: fitted for these options; None where ``needs_statistics`` is False.
        image_shape: (H, W, C) of the model's images.

    Returns:
        One to three layers from (n, H, W, C) uint8 or float32 to float32, whatever the dtype
        policy. They train nothing. The whitening matrix is a weight (saved with the model's
        others); everything else is in the layers' configuration.

    Raises:
        ParameterError: the statistics do not belong to these options or images, or a function is
            to be called.

    Exactness: the same operations as on the CPU; backends may fuse and reorder them, so results
        agree to float32 rounding. A GPU may multiply matrices in a shorter format unless told
        otherwise, which shows in whitening alone.
    """
    import keras

    if standardization.preprocessing is not None:
        raise ParameterError(
            f"standardization: expected what a model's layers can do, got a call of "
            f"{standardization.preprocessing.name}; use OpenDataset.standardizer on batches",
            {"name": "preprocessing", "expected": None, "found": standardization.preprocessing},
        )
    constants = channel_constants(standardization, statistics, image_shape[2])
    layers: list[keras.layers.Layer] = []
    if standardization.samplewise_center:
        layers.append(_samplewise(standardization, constants))
    else:
        if constants.centre.any():
            offset = _plain(-constants.centre)
            layers.append(
                keras.layers.Rescaling(1.0, offset, dtype="float32", name="standardize_centre")
            )
        gain, bias = _plain(constants.gain), _plain(constants.bias)
        layers.append(keras.layers.Rescaling(gain, bias, dtype="float32", name="standardize"))
    if statistics is not None and statistics.whitening is not None:
        check_shape(statistics, image_shape)
        layers.append(_whitening(statistics.whitening, image_shape))
    return layers


def layer_classes() -> "dict[str, type[keras.layers.Layer]]":
    """Registers this module's layers with Keras, for `keras.models.load_model`.

    Returns:
        The classes by name; calling it again changes nothing.
    """
    classes = (_samplewise_class(), _whitening_class())
    return {kind.__name__: kind for kind in classes}


def _samplewise(
    standardization: Standardization, constants: ChannelConstants
) -> "keras.layers.Layer":
    scale = abs(standardization.scale) if standardization.samplewise_std else 0.0
    return _samplewise_class()(
        scale, _plain(constants.gain), _plain(constants.bias),
        dtype="float32", name="standardize",
    )  # fmt: skip


def _whitening(whitening: Whitening, image_shape: tuple[int, int, int]) -> "keras.layers.Layer":
    rank = None if whitening.expansion is None else len(whitening.expansion)
    layer = _whitening_class()(rank, whitening.residual_gain, dtype="float32", name="whiten")
    layer.build((None, *image_shape))
    arrays = [whitening.projection]
    if whitening.expansion is not None:
        arrays.append(whitening.expansion)
    layer.set_weights(arrays)
    return layer


def _plain(constants: NDArray[np.float64]) -> float | list[float]:
    """One number where all channels agree, else one each; what float32 holds of them."""
    rounded = constants.astype(np.float32).tolist()
    return float(rounded[0]) if len(set(rounded)) == 1 else rounded


@functools.cache
def _samplewise_class() -> "type[keras.layers.Layer]":
    import keras

    @keras.saving.register_keras_serializable(package=_PACKAGE)
    class SamplewiseStandardization(keras.layers.Layer):  # type: ignore[misc]  # untyped
        """Each image about its own mean, over its own std where ``scale`` is not 0."""

        def __init__(self, scale: float, gain: Any, bias: Any, **layer_options: Any) -> None:
            """Constants as in `ChannelConstants`; ``layer_options`` are Keras' own."""
            super().__init__(**layer_options)
            self.scale, self.gain, self.bias = scale, gain, bias

        def call(self, images: Any) -> Any:
            """(n, H, W, C) float32."""
            ops = keras.ops
            levels = ops.cast(images, "float32")
            # From the first value on, a constant image is 0 exactly before any mean is taken.
            levels = levels - levels[:, :1, :1, :1]
            levels = levels - ops.mean(levels, axis=(1, 2, 3), keepdims=True)
            gain = ops.convert_to_tensor(self.gain, dtype="float32")
            if self.scale:
                variance = ops.mean(ops.square(levels), axis=(1, 2, 3), keepdims=True)
                gain = gain / (self.scale * ops.sqrt(variance) + EPSILON)
            return levels * gain + ops.convert_to_tensor(self.bias, dtype="float32")

        def compute_output_shape(self, input_shape: Any) -> Any:
            """That of the images."""
            return input_shape

        def get_config(self) -> dict[str, Any]:
            """The constants, as JSON."""
            own = {"scale": self.scale, "gain": self.gain, "bias": self.bias}
            return {**super().get_config(), **own}

    return SamplewiseStandardization


@functools.cache
def _whitening_class() -> "type[keras.layers.Layer]":
    import keras

    @keras.saving.register_keras_serializable(package=_PACKAGE)
    class ZcaWhitening(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
        """The flattened image times the whitening matrix, whole or as two factors."""

        def __init__(self, rank: int | None, residual_gain: float, **layer_options: Any) -> None:
            """``rank`` is None for the whole matrix; ``layer_options`` are Keras' own."""
            super().__init__(**layer_options)
            self.rank, self.residual_gain = rank, residual_gain

        def build(self, input_shape: Any) -> None:
            """Makes room for the matrix; `standardization_layers` or a saved model fills it."""
            values = int(np.prod(input_shape[1:]))
            shapes = [(values, self.rank or values)]
            if self.rank is not None:
                shapes.append((self.rank, values))
            names = ("projection", "expansion")
            self.factors = [
                self.add_weight(shape=shape, initializer="zeros", trainable=False, name=name)
                for shape, name in zip(shapes, names, strict=False)
            ]
            self.built = True

        def call(self, images: Any) -> Any:
            """(n, H, W, C) float32."""
            ops = keras.ops
            flat = ops.reshape(images, (-1, self.factors[0].shape[0]))
            white = flat
            for factor in self.factors:
                white = ops.matmul(white, factor)
            if self.rank is not None:
                white = white + self.residual_gain * flat
            return ops.reshape(white, ops.shape(images))

        def compute_output_shape(self, input_shape: Any) -> Any:
            """That of the images."""
            return input_shape

        def get_config(self) -> dict[str, Any]:
            """Everything but the matrix, which is a weight."""
            own = {"rank": self.rank, "residual_gain": self.residual_gain}
            return {**super().get_config(), **own}

    return ZcaWhitening
