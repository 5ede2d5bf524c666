"""Pretrained bases: what comes before the head when a model does not start from nothing.

A base is written ``NAME``, ``NAME=WEIGHTS`` or, where the file says what it is, as a weights file
alone: ``VGG16``, ``VGG16=vgg16.weights.h5``, ``squeezenet=none``, ``squeezenet.h5``. It takes
images as loaders hand them out: what the base expects of its levels is its first layers, so no one
can forget it, and one layer follows the other without nesting, so each can be frozen by its name.
"""

import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from materialize.errors import ConfigError, MissingPathError
from materialize.training.squeezenet import (
    SMALLEST_PX,
    holds_squeezenet,
    read_weights,
    squeezenet,
)

if TYPE_CHECKING:
    import keras

SQUEEZENET = "squeezenet"
IMAGENET, FRESH = "imagenet", "none"
"""Weights that are no file: those `keras.applications` downloads, and random ones."""

_MEAN_RGB = (123.68, 116.779, 103.939)
"""ImageNet's, of levels in [0, 255]; subtracted by everything that was trained with Caffe."""
_TORCH_MEAN, _TORCH_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, of levels in [0, 1]."""

_EXPECTS: Mapping[str, tuple[str, ...]] = {
    "caffe": ("VGG16", "VGG19", "ResNet50", "ResNet101", "ResNet152", SQUEEZENET),
    "symmetric": (
        "Xception", "InceptionV3", "InceptionResNetV2", "MobileNet", "MobileNetV2", "NASNetLarge",
        "NASNetMobile", "ResNet50V2", "ResNet101V2", "ResNet152V2",
    ),
    "torch": ("DenseNet121", "DenseNet169", "DenseNet201"),
    "levels": (
        *(f"EfficientNetB{size}" for size in range(8)),
        *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
        *(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")),
        "MobileNetV3Small", "MobileNetV3Large",
    ),
}  # fmt: skip
"""What a base wants of RGB levels in [0, 255]: ``caffe`` BGR less the mean, ``symmetric`` [-1, 1],
``torch`` [0, 1] less the mean over the std, ``levels`` the levels as they are. SqueezeNet's weights
were converted from Caffe's; on flowers, its features tell classes apart better from BGR than from
RGB, and from levels in [0, 255] than from [0, 1]."""

BASES: Mapping[str, str] = {name: kind for kind, names in _EXPECTS.items() for name in names}
"""Name → what it expects of its levels."""


@dataclass(frozen=True, slots=True)
class Base:
    """Which base, and where its weights come from."""

    name: str
    """One of `BASES`."""
    weights: str = IMAGENET
    """``imagenet``, ``none``, or a file."""

    def __post_init__(self) -> None:
        """Checks the name, and that there is something to read.

        Raises:
            ConfigError: there is no such base.
            MissingPathError: there is no such file.
        """
        if self.name not in BASES:
            close = difflib.get_close_matches(self.name, BASES, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(BASES)}"
            raise ConfigError(
                f"base: expected a known name or a weights file, got {self.name!r}; {hint}",
                {"name": "base", "expected": tuple(BASES), "found": self.name},
            )
        if self.name == SQUEEZENET and self.weights == IMAGENET:
            raise ConfigError(
                "base squeezenet: expected a weights file, because there is nowhere to download it "
                "from; give squeezenet=FILE.h5, or squeezenet=none for random weights",
                {"name": "base", "expected": "a file", "found": IMAGENET},
            )
        if self.weights not in (IMAGENET, FRESH) and not Path(self.weights).is_file():
            raise MissingPathError(
                f"{self.weights} does not exist: expected a file of weights for {self.name}, or "
                "imagenet or none; check the path",
                {"name": "base", "path": self.weights},
            )


def base_from_text(text: str) -> Base:
    """A base as options and job files name it.

    Args:
        text: ``NAME`` (with the weights of ImageNet), ``NAME=imagenet``, ``NAME=none``,
            ``NAME=FILE``, or a file of SqueezeNet's weights.

    Raises:
        ConfigError: there is no such base.
        MissingPathError: there is no such file.
    """
    name, is_divided, weights = text.partition("=")
    if is_divided and name in BASES:
        return Base(name, weights)
    if Path(text).is_file():
        if not holds_squeezenet(text):
            raise ConfigError(
                f"base: {text} does not say which base its weights are for; give NAME={text}, such "
                f"as VGG16={text}",
                {"name": "base", "expected": "NAME=FILE", "found": text},
            )
        return Base(SQUEEZENET, text)
    if not is_divided and name not in BASES and (Path(text).suffix or len(Path(text).parts) > 1):
        raise MissingPathError(
            f"{text} does not exist: expected a file of a base's weights, or a name of "
            "keras.applications; check the path",
            {"name": "base", "path": text},
        )
    return Base(name, weights or IMAGENET)


def weights_sha256(base: Base) -> str:
    """The digest of a base's weights file, in hex; what it is called where there is no file."""
    if base.weights in (IMAGENET, FRESH):
        return base.weights
    with Path(base.weights).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_base(
    base: Base,
    image_shape: tuple[int, int, int],
    *,
    image_dtype: str = "uint8",
    white: float | None = None,
) -> "keras.Model":
    """A base with its weights, from images to feature maps.

    Fresh weights come from Keras' global generators; seed them before.

    Args:
        base: which one.
        image_shape: (H, W, C) with 1 or 3 channels; grey becomes three equal channels.
        image_dtype: of the batches, ``uint8`` or ``float32``.
        white: the level that means white; 255 for uint8 and 1 for floats unless given.

    Returns:
        A model from (n, H, W, C) levels to (n, h, w, c) features; nothing in it is frozen.

    Raises:
        ConfigError: too small images, other channels, or weights that are not the base's.
    """
    import keras

    if image_shape[2] not in (1, 3):
        raise ConfigError(
            f"base {base.name}: expected grey or RGB images, got {image_shape[2]} channels; a "
            "pretrained base knows no others",
            {"name": "base", "expected": (1, 3), "found": image_shape[2]},
        )
    if white is None:
        white = 255.0 if image_dtype == "uint8" else 1.0
    images = keras.Input(image_shape, dtype=image_dtype, name="images")
    levels = _prepared(images, BASES[base.name], 255.0 / white)
    if base.name == SQUEEZENET:
        return _squeezenet(base, images, levels, image_shape)
    return _application(base, images, levels, image_shape)


def _prepared(images: Any, expected: str, scale: float) -> Any:
    """Three channels with the levels that a base expects, by layers without weights.

    Source: Keras, ``applications/imagenet_utils.py``.
    """
    import keras

    gain, bias = np.full(3, scale), np.zeros(3)
    if expected == "caffe":
        bias = -np.array(_MEAN_RGB)
    elif expected == "symmetric":
        gain, bias = gain / 127.5, -np.ones(3)
    elif expected == "torch":
        std = np.array(_TORCH_STD)
        gain, bias = gain / (255.0 * std), -np.array(_TORCH_MEAN) / std
    levels = images
    if images.shape[-1] == 1:
        levels = keras.layers.Concatenate(name="grey_as_rgb")([levels] * 3)
    levels = keras.layers.Rescaling(gain.tolist(), bias.tolist(), dtype="float32", name="prepared")(
        levels
    )
    return keras.ops.flip(levels, axis=-1) if expected == "caffe" else levels


def _squeezenet(
    base: Base, images: Any, levels: Any, image_shape: tuple[int, int, int]
) -> "keras.Model":
    import keras

    if min(image_shape[:2]) < SMALLEST_PX:
        raise ConfigError(
            f"base squeezenet: expected images of at least {SMALLEST_PX}×{SMALLEST_PX} pixels, got "
            f"{image_shape[0]}×{image_shape[1]}; resize them, or choose another model",
            {"name": "base", "expected": SMALLEST_PX, "found": list(image_shape)},
        )
    model = keras.Model(images, squeezenet(levels), name=SQUEEZENET)
    if base.weights != FRESH:
        for layer, weights in read_weights(base.weights).items():
            model.get_layer(layer).set_weights(weights)
    return model


def _application(
    base: Base, images: Any, levels: Any, image_shape: tuple[int, int, int]
) -> "keras.Model":
    import keras

    builder = getattr(keras.applications, base.name)
    weights = None if base.weights == FRESH else base.weights
    try:
        made = builder(
            include_top=False, weights=weights, input_tensor=levels,
            input_shape=(*image_shape[:2], 3),
        )  # fmt: skip
    except Exception as error:  # a failed download is a plain Exception
        raise ConfigError(
            f"base {base.name}: Keras could not make it for images of "
            f"{image_shape[0]}×{image_shape[1]} with weights {base.weights}: {error}; give a file "
            "with the base's weights without top, other images, or none for random weights",
            {"name": "base", "found": base.weights, "reason": str(error)},
        ) from error
    return keras.Model(images, made.output, name=made.name)
