"""The models that can be asked for by name, and the digest of a model's weights.

``cifar10``, ``fashion-mnist``, ``vgg16``, ``mnist`` and ``blood-cells`` are those of the tutorials
T0 to T4; ``resnet`` is a small residual net as one would take today. All end with a softmax in
float32, take pixels as the loader hands them out, and standardise them in their first layers.
"""

import contextlib
import difflib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from materialize.errors import ConfigError
from materialize.training.backend import seed_generators

if TYPE_CHECKING:
    import keras

Shape = tuple[int, int, int]
"""(H, W, C)."""


def make_model(
    name: str,
    image_shape: Shape,
    num_classes: int,
    *,
    seed: int = 0,
    first_layers: Sequence["keras.layers.Layer"] | None = None,
    image_dtype: str = "uint8",
    mixed_precision: bool = False,
) -> "keras.Model":
    """A model by name, with fresh weights, not compiled.

    Args:
        name: one of `MODELS`.
        image_shape: (H, W, C).
        num_classes: at least 2.
        seed: in [0, 2**32); the initial weights depend on it and on the other arguments alone. The
            global generators of Keras, NumPy and Python are seeded with it.
        first_layers: turn levels into floats; unless given, uint8 becomes [0, 1] and floats stay.
        image_dtype: of the batches, ``uint8`` or ``float32``.
        mixed_precision: compute in float16, keep weights in float32.

    Returns:
        A model from (n, H, W, C) to (n, num_classes) float32 probabilities.

    Raises:
        ConfigError: no such model, too small images, or fewer than two classes.
    """
    import keras

    builder = _builder(name)
    _check(name, image_shape, num_classes)
    seed_generators(seed)
    with dtype_policy("mixed_float16" if mixed_precision else "float32"):
        inputs = keras.Input(image_shape, dtype=image_dtype, name="images")
        if first_layers is None:
            first_layers = [keras.layers.Rescaling(1 / 255 if image_dtype == "uint8" else 1.0)]
        levels = inputs
        for layer in first_layers:
            levels = layer(levels)
        features = builder(levels, image_shape, seed)
        outputs = keras.layers.Dense(
            num_classes, activation="softmax", dtype="float32", name="probabilities"
        )(features)
    return keras.Model(inputs, outputs, name=name.replace("-", "_"))


def weights_digest(model: "keras.Model") -> str:
    """SHA-256 of a model's weights, as 64 hex digits.

    Order, shape, dtype and bytes of every weight count; names and the counters of dropout do not.

    Args:
        model: built; not modified.
    """
    return arrays_digest([np.asarray(array) for array in model.get_weights()])


def arrays_digest(arrays: Sequence[np.ndarray[Any, Any]]) -> str:
    """The digest of weights that `weights_digest` gives, from the arrays themselves."""
    hashed = hashlib.sha256(b"materialize weights 1\0")
    for array in arrays:
        plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        hashed.update(f"{array.dtype.name}{array.shape}\0".encode("ascii"))
        hashed.update(plain.view(np.uint8).data if plain.ndim else plain.tobytes())
    return hashed.hexdigest()


def _cifar10(levels: Any, _shape: Shape, _seed: int) -> Any:
    """T0: convolutions of 64, 128, 256 and 512 channels, a dense layer of 512."""
    return _dense(_flat(_convolved(levels, 64, 128, 256, 512)), 512)


def _fashion_mnist(levels: Any, _shape: Shape, seed: int) -> Any:
    """T1: convolutions of 32 and 64 channels, dropout."""
    return _dropped(_flat(_convolved(levels, 32, 64)), seed)


def _vgg16(levels: Any, image_shape: Shape, _seed: int) -> Any:
    """T2: VGG16 from scratch up to its last pooling, then the mean over the image."""
    import keras

    # On the levels themselves: one model, whose feature maps can be seen, not one inside another.
    base = keras.applications.VGG16(
        weights=None, include_top=False, pooling="avg", input_tensor=levels,
        input_shape=image_shape,
    )  # fmt: skip
    return base.output


def _mnist(levels: Any, _shape: Shape, _seed: int) -> Any:
    """T3: convolutions of 16 and 32 channels, two dense layers of 128."""
    return _dense(_flat(_convolved(levels, 16, 32)), 128, 128)


def _blood_cells(levels: Any, _shape: Shape, seed: int) -> Any:
    """T4: convolutions of 32 and 64 channels, a dense layer of 256, dropout; channels last."""
    return _dropped(_dense(_flat(_convolved(levels, 32, 64)), 256), seed)


def _resnet(levels: Any, image_shape: Shape, _seed: int) -> Any:
    """A residual net with three stages of two pre-activated blocks: 32, 64 and 128 channels.

    Source: He et al., Identity Mappings in Deep Residual Networks, 2016; larger images are halved
    until the first stage sees at most 64 pixels.
    """
    import keras

    hidden, side = levels, max(image_shape[:2])
    channels = 32
    while side > 64:
        hidden, side = _convolution(hidden, channels, stride=2), -(-side // 2)
        hidden = _activated(hidden)
    hidden = _convolution(hidden, channels)
    for stage, channels in enumerate((32, 64, 128)):
        hidden = _residual(hidden, channels, stride=1 if stage == 0 else 2, widens=stage > 0)
        hidden = _residual(hidden, channels)
    return keras.layers.GlobalAveragePooling2D()(_activated(hidden))


MODELS: Mapping[str, Callable[[Any, Shape, int], Any]] = {
    "cifar10": _cifar10,
    "fashion-mnist": _fashion_mnist,
    "vgg16": _vgg16,
    "mnist": _mnist,
    "blood-cells": _blood_cells,
    "resnet": _resnet,
}
"""Name → what comes between levels and probabilities."""

_SMALLEST = {"cifar10": 16, "vgg16": 32}
"""Pixels that a side must have to survive the model's poolings; 4 for all others."""


def _convolved(hidden: Any, *channels: int) -> Any:
    """3×3 convolutions, each followed by a 2×2 pooling."""
    import keras

    for count in channels:
        hidden = keras.layers.Conv2D(count, 3, padding="same", activation="relu")(hidden)
        hidden = keras.layers.MaxPooling2D()(hidden)
    return hidden


def _flat(hidden: Any) -> Any:
    import keras

    return keras.layers.Flatten()(hidden)


def _dense(hidden: Any, *units: int) -> Any:
    import keras

    for count in units:
        hidden = keras.layers.Dense(count, activation="relu")(hidden)
    return hidden


def _dropped(hidden: Any, seed: int) -> Any:
    """Dropout with a seed of its own: without one, PyTorch draws from a global generator."""
    import keras

    return keras.layers.Dropout(0.5, seed=seed)(hidden)


def _convolution(hidden: Any, channels: int, *, size: int = 3, stride: int = 1) -> Any:
    import keras

    return keras.layers.Conv2D(
        channels, size, strides=stride, padding="same", use_bias=False,
        kernel_initializer="he_normal",
    )(hidden)  # fmt: skip


def _activated(hidden: Any) -> Any:
    import keras

    return keras.layers.ReLU()(keras.layers.BatchNormalization()(hidden))


def _residual(hidden: Any, channels: int, *, stride: int = 1, widens: bool = False) -> Any:
    import keras

    active = _activated(hidden)
    skipped = _convolution(active, channels, size=1, stride=stride) if widens else hidden
    branch = _activated(_convolution(active, channels, stride=stride))
    return keras.layers.Add()([skipped, _convolution(branch, channels)])


def check_name(name: str) -> None:
    """Refuses a name that no model has.

    Raises:
        ConfigError: it is none of `MODELS`.
    """
    _builder(name)


def _builder(name: str) -> Callable[[Any, Shape, int], Any]:
    if name not in MODELS:
        close = difflib.get_close_matches(name, MODELS, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]!r}?" if close else "pass a keras.Model for any other"
        raise ConfigError(
            f"model: expected one of {', '.join(MODELS)}, got {name!r}; {hint}",
            {"name": "model", "expected": tuple(MODELS), "found": name},
        )
    return MODELS[name]


def _check(name: str, image_shape: Shape, num_classes: int) -> None:
    if num_classes < 2:
        raise ConfigError(
            f"model {name}: expected at least 2 classes to tell apart, got {num_classes}; give the "
            "source labels of several classes",
            {"name": "num_classes", "expected": 2, "found": num_classes},
        )
    smallest = _SMALLEST.get(name, 4)
    if min(image_shape[:2]) < smallest:
        raise ConfigError(
            f"model {name}: expected images of at least {smallest}×{smallest} pixels, got "
            f"{image_shape[0]}×{image_shape[1]}; choose another model or resize the images",
            {"name": "model", "expected": smallest, "found": list(image_shape)},
        )


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Sets Keras' global policy for the layers made in the block."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
