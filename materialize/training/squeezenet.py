"""SqueezeNet 1.1 without its top, and its ImageNet weights as Keras stored them in 2017.

At 722,496 parameters it is the one pretrained base that can lie beside a project, so it is written
out here; `keras.applications` has none so small.

Source: Iandola et al., SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and <0.5MB
model size, 2016 (arXiv:1602.07360); the layers of its release 1.1.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from materialize.errors import ConfigError

_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
"""Channels of fire 2 … 9: squeezed, and of each of the two expansions."""
_POOLED_AFTER = (3, 5)
SMALLEST_PX = 32
"""One pixel is left of a side this long."""


def squeezenet(levels: Any) -> Any:
    """The feature map of SqueezeNet 1.1.

    Args:
        levels: Keras tensor of (n, H, W, 3), at least 32×32: BGR levels less ImageNet's mean.

    Returns:
        Keras tensor of (n, ~H/16, ~W/16, 512), after the last fire module.
    """
    import keras

    hidden = _convolution(levels, 64, 3, "conv1", strides=2, padding="valid")
    hidden = keras.layers.MaxPooling2D(3, 2, name="pool1")(hidden)
    for number, (squeezed, expanded) in enumerate(_FIRES, start=2):
        hidden = _fire(hidden, f"fire{number}", squeezed, expanded)
        if number in _POOLED_AFTER:
            hidden = keras.layers.MaxPooling2D(3, 2, name=f"pool{number}")(hidden)
    return hidden


def read_weights(path: str | Path) -> dict[str, list[NDArray[np.float32]]]:
    """The weights of `squeezenet` from a Keras HDF5 file, checked one by one.

    The file names layers ``fire2/squeeze1x1``; Keras 3 allows no slash, so here they are
    ``fire2_squeeze1x1``. What else the file holds, such as a top, is left alone.

    Args:
        path: the file; layers are found by name, so their order does not matter.

    Returns:
        By layer: the kernel (height, width, in, out) and the bias (out,).

    Raises:
        ConfigError: it is no such file, lacks a layer, or a weight has another shape, is not of
            floats, is stored elsewhere, or is not finite.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise _refused(path, "an HDF5 file", str(error)) from error
    with file:
        return {
            layer: [
                _checked(path, layer, weight, shape)
                for weight, shape in zip(_stored(path, file, layer), shapes, strict=True)
            ]
            for layer, shapes in _shapes().items()
        }


def holds_squeezenet(path: str | Path) -> bool:
    """Whether a file looks like weights for `read_weights`."""
    try:
        with h5py.File(path, "r") as file:
            return all(layer.replace("_", "/", 1) in file for layer in _shapes())
    except OSError:
        return False


def _shapes() -> dict[str, tuple[tuple[int, ...], ...]]:
    """Layer → the shapes of its kernel and its bias."""
    shapes = {"conv1": ((3, 3, 3, 64), (64,))}
    channels = 64
    for number, (squeezed, expanded) in enumerate(_FIRES, start=2):
        name = f"fire{number}"
        shapes[f"{name}_squeeze1x1"] = ((1, 1, channels, squeezed), (squeezed,))
        shapes[f"{name}_expand1x1"] = ((1, 1, squeezed, expanded), (expanded,))
        shapes[f"{name}_expand3x3"] = ((3, 3, squeezed, expanded), (expanded,))
        channels = 2 * expanded
    return dict(shapes)


def _stored(path: str | Path, file: h5py.File, layer: str) -> list[Any]:
    """A layer's two weights, as its group says where they are."""
    name = layer.replace("_", "/", 1)
    group = file.get(name)
    if not isinstance(group, h5py.Group):
        raise _refused(path, f"layer {name}", f"none among {', '.join(file) or 'nothing'}")
    names = [_text(item) for item in group.attrs.get("weight_names", ())]
    found = [group.get(item) for item in names]
    if len(found) != 2 or not all(isinstance(item, h5py.Dataset) for item in found):
        raise _refused(path, f"a kernel and a bias in layer {name}", f"{names}")
    return found


def _text(name: Any) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)


def _checked(
    path: str | Path, layer: str, weight: Any, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """A weight's values; nothing is read before it is known how much that is."""
    where = f"{weight.name.lstrip('/')} of {layer}"
    if weight.shape != shape or weight.dtype.kind != "f":
        raise _refused(path, f"{where}: {shape} floats", f"{weight.shape} {weight.dtype}")
    if weight.external or weight.is_virtual:
        raise _refused(path, f"{where} in the file itself", "a link to another file")
    values: NDArray[np.float32] = weight[()].astype(np.float32)
    if not np.isfinite(values).all():
        raise _refused(path, f"{where}: numbers", "NaN or infinity")
    return values


def _refused(path: str | Path, expected: str, found: str) -> ConfigError:
    return ConfigError(
        f"weights {path}: expected {expected}, found {found}; give the weights of SqueezeNet 1.1 "
        "without top, in TensorFlow's order of dimensions, as Keras HDF5",
        {"path": str(path), "expected": expected, "found": found},
    )


def _fire(hidden: Any, name: str, squeezed: int, expanded: int) -> Any:
    """Few 1×1 filters, and what they give seen by 1×1 and by 3×3 filters, side by side."""
    import keras

    narrow = _convolution(hidden, squeezed, 1, f"{name}_squeeze1x1")
    wide = [_convolution(narrow, expanded, size, f"{name}_expand{size}x{size}") for size in (1, 3)]
    return keras.layers.Concatenate(name=f"{name}_concat")(wide)


def _convolution(
    hidden: Any, channels: int, size: int, name: str, *, strides: int = 1, padding: str = "same"
) -> Any:
    import keras

    return keras.layers.Conv2D(
        channels, size, strides=strides, padding=padding, activation="relu",
        kernel_initializer="he_normal", name=name,
    )(hidden)  # fmt: skip
