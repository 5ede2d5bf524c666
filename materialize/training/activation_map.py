"""Class activation maps: where in an image the evidence for a class lies (Grad-CAM).

The model is cut at a feature map. What comes after it is a function from features to the score of a
class, and its gradient is the one thing that Keras leaves to the backend: three functions of a few
lines, at the end of this file.

Source: Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization, 2017 (arXiv:1610.02391), equations 1 and 2.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from materialize.errors import ConfigError
from materialize.training.backend import backend_name

if TYPE_CHECKING:
    import keras

_AT_ONCE = 32
"""Images whose feature maps and gradients are in memory together."""


@dataclass(frozen=True, slots=True, eq=False)
class ActivationMaps:
    """What a model looked at in some images."""

    maps: NDArray[np.float32]
    """(n, H, W) in [0, 1], as large as the images: 1 is the strongest evidence in the image; 0
    throughout where nothing speaks for the class."""
    classes: NDArray[np.int64]
    """(n,) the class each map is of."""
    probabilities: NDArray[np.float32]
    """(n, k) what the model says."""
    layer: str
    """The layer whose feature map was looked at."""


def activation_maps(
    model: "keras.Model",
    images: NDArray[Any],
    *,
    classes: Sequence[int] | NDArray[np.integer] | None = None,
    layer: str | None = None,
) -> ActivationMaps:
    """Grad-CAM of each image.

    The score is the class's value before the softmax, where the model ends with a dense softmax
    layer as ours do, and the logarithm of its probability elsewhere.

    Args:
        model: from (n, H, W, C) to (n, k) probabilities; not modified.
        images: (n, H, W, C) as the model takes them; not modified.
        classes: (n,) which class's evidence; the most probable of each image unless given.
        layer: whose output is looked at; the last feature map unless given.

    Raises:
        ConfigError: there is no such layer, no feature map in it, the rest of the model does not
            follow from it alone, or a class is outside [0, k).
    """
    import keras

    name = layer or feature_layers(model)[-1]
    features = _feature_map(model, name)
    front = keras.Model(model.inputs[0], features)
    score_of = _score_function(model, features, name)
    wanted = None if classes is None else np.asarray(classes, dtype=np.int64)
    maps, chosen, probabilities = [], [], []
    for start in range(0, len(images), _AT_ONCE):
        some = images[start : start + _AT_ONCE]
        said = _to_numpy(model(some, training=False))
        of = said.argmax(axis=1) if wanted is None else wanted[start : start + _AT_ONCE]
        _check_classes(of, said)
        one_hot = np.eye(said.shape[1], dtype=np.float32)[of]
        maps.append(_maps(front(some, training=False), one_hot, score_of, some.shape[1:3]))
        chosen.append(of)
        probabilities.append(said)
    return ActivationMaps(
        np.concatenate(maps), np.concatenate(chosen), np.concatenate(probabilities), name
    )


def feature_layers(model: "keras.Model") -> tuple[str, ...]:
    """The layers with a feature map: more than one pixel, after a layer with weights.

    Raises:
        ConfigError: the model has none.
    """
    names, has_weights = [], False
    for layer in model.layers:
        has_weights = has_weights or bool(layer.weights)
        shape = getattr(getattr(layer, "output", None), "shape", ())
        if has_weights and len(shape) == 4 and shape[1:3] != (1, 1):
            names.append(layer.name)
    if not names:
        raise ConfigError(
            f"activation map: expected a layer with a feature map in {model.name}, found none in "
            f"its {len(model.layers)} layers; a model inside the model hides its own: build it "
            "with input_tensor, as one",
            {"name": "layer", "expected": "(n, h, w, c)", "found": None},
        )
    return tuple(names)


def _feature_map(model: "keras.Model", name: str) -> Any:
    """The output of a layer."""
    known = feature_layers(model)
    if name not in known:
        raise ConfigError(
            f"layer: expected one with a feature map, got {name!r}; {model.name} has "
            f"{', '.join(known[-8:])}",
            {"name": "layer", "expected": known, "found": name},
        )
    return model.get_layer(name).output


def _score_function(model: "keras.Model", features: Any, name: str) -> Callable[[Any, Any], Any]:
    """From features and one-hot classes to the sum of the images' scores."""
    import keras

    last = model.layers[-1]
    is_softmax = getattr(last, "activation", None) is keras.activations.softmax
    has_logits = is_softmax and isinstance(last, keras.layers.Dense)
    try:
        rest = keras.Model(features, last.input if has_logits else model.outputs[0])
    except ValueError as error:
        raise ConfigError(
            f"layer: expected one that the rest of {model.name} follows from alone, got {name!r}, "
            "past which something else goes as well; choose a later one",
            {"name": "layer", "found": name},
        ) from error

    def score_of(values: Any, one_hot: Any) -> Any:
        hidden = rest(values, training=False)
        if has_logits:
            scores = keras.ops.matmul(hidden, last.kernel)  # the bias has no gradient
        else:
            scores = keras.ops.log(hidden + keras.config.epsilon())
        return keras.ops.sum(keras.ops.cast(scores, "float32") * one_hot)

    return score_of


def _maps(
    features: Any,
    one_hot: NDArray[np.float32],
    score_of: Callable[[Any, Any], Any],
    size: tuple[int, int],
) -> NDArray[np.float32]:
    """(n, H, W) the features weighed by the mean gradient of their channel, as far as positive."""
    import keras

    wanted = keras.ops.convert_to_tensor(one_hot)
    gradients = _to_numpy(_GRADIENTS[backend_name()](score_of, features, wanted))
    weights = gradients.mean(axis=(1, 2), keepdims=True)
    maps = np.maximum((weights * _to_numpy(features)).sum(axis=3), 0)
    strongest = maps.max(axis=(1, 2), keepdims=True)
    maps = np.divide(maps, strongest, out=np.zeros_like(maps), where=strongest > 0)
    return np.stack([_enlarged(one, size) for one in maps])


def _enlarged(small: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """A map as large as its image, bilinear."""
    picture = Image.fromarray(small).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.clip(np.asarray(picture, dtype=np.float32), 0, 1)


def _check_classes(classes: NDArray[np.int64], said: NDArray[np.float32]) -> None:
    count = said.shape[1]
    if classes.shape != said.shape[:1] or not ((classes >= 0) & (classes < count)).all():
        raise ConfigError(
            f"classes: expected one number in [0, {count}) for each of {len(said)} images, got "
            f"{classes.tolist()[:8]}",
            {"name": "classes", "expected": [0, count], "found": classes.tolist()},
        )


def _to_numpy(tensor: Any) -> NDArray[np.float32]:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")))


def _tensorflow_gradient(function: Callable[[Any, Any], Any], values: Any, fixed: Any) -> Any:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(values)
        total = function(values, fixed)
    return tape.gradient(total, values)


def _torch_gradient(function: Callable[[Any, Any], Any], values: Any, fixed: Any) -> Any:
    import torch

    values = values.detach().requires_grad_(True)
    return torch.autograd.grad(function(values, fixed), values)[0]


def _jax_gradient(function: Callable[[Any, Any], Any], values: Any, fixed: Any) -> Any:
    import jax

    return jax.grad(function)(values, fixed)


_GRADIENTS: Mapping[str, Callable[[Callable[[Any, Any], Any], Any, Any], Any]] = {
    "tensorflow": _tensorflow_gradient,
    "torch": _torch_gradient,
    "jax": _jax_gradient,
}
"""Backend → the gradient of a function's value by its first argument."""
