"""Which arithmetic turns Keras' dictionaries into pixels, for any array Keras takes.

Images of uint8 and float32 with up to four channels go through the compiled engine
(`pipelines.keras_parameters`). What it is not made for goes through SciPy, as in Keras itself:
interpolation orders from 2 on, other borders, float64 and other dtypes, more channels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pipelines.contract import MAX_SIDE
from pipelines.coordinates import BORDERS
from pipelines.errors import ParameterError
from pipelines.keras_parameters import apply_transform
from pipelines.photometric import KerasBrightness
from pipelines.transform import Table

Images = NDArray[Any]
_MOVES = {"theta": 0, "tx": 0, "ty": 0, "shear": 0, "zx": 1, "zy": 1}
_FLIPS = ("flip_horizontal", "flip_vertical")
_TONES = ("channel_shift_intensity", "brightness")
_MAX_CHANNELS = 4
_BLOCK_IMAGES = 256
_WHITE = np.float32(255)
_BRIGHTNESS = KerasBrightness(factor=(1.0, 1.0))
_UNCHANGED = np.arange(256, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How pixels outside the image and between pixels are read, under Keras' names."""

    fill_mode: str = "nearest"
    cval: float = 0.0
    interpolation_order: int = 1

    def is_compiled(self, images: Images) -> bool:
        """Whether the compiled engine is made for these (n, H, W, C) images."""
        return (
            self.fill_mode in BORDERS
            and self.interpolation_order in (0, 1)
            and images.dtype in (np.dtype(np.uint8), np.dtype(np.float32))
            and images.shape[3] <= _MAX_CHANNELS
            and max(images.shape[1:3]) <= MAX_SIDE
            and (images.dtype != np.uint8 or 0 <= self.cval <= 255)
        )


def transform_images(
    images: Images,
    drawn: Sequence[Mapping[str, Any]],
    sampling: Sampling,
    *,
    is_unit: bool = False,
) -> Images:
    """``ImageDataGenerator.apply_transform`` for n images.

    Args:
        images: (n, H, W, C), any number of channels, any numeric dtype; not modified.
        drawn: n dictionaries as ``get_random_transform`` gives them; what lacks is neutral, what
            is unknown is ignored.
        sampling: how the source is read.
        is_unit: whether 1 is white: brightness then multiplies value · 255, where Keras would
            truncate to 0 and 1 first.

    Returns:
        (n, H, W, C), a new array: uint8 where the images are, else floating point. An image with
        neutral parameters is the same to the bit.

    Raises:
        RuntimeError: SciPy knows no such border or order.

    Exactness: see `pipelines.keras_parameters` where the engine is used; SciPy's otherwise.
    """
    is_half = images.dtype == np.float16  # SciPy and the engine have none
    source = images.astype(np.float32) if is_half else images
    known = [_effective(one) for one in drawn]
    rows = [row for row, one in enumerate(known) if one]
    if not rows:
        return images.copy()
    is_all = len(rows) == len(images)
    changed = source if is_all else source[rows]
    first = _moved(changed, [known[row] for row in rows], sampling, is_unit)
    if is_all:
        return first.astype(images.dtype) if is_half else first
    result = source.astype(first.dtype)
    result[rows] = first
    return result.astype(images.dtype) if is_half else result


def is_unit_range(images: Images, *, scale: float = 1.0, first_axis_is_batch: bool = True) -> bool:
    """Whether white is 1: everything lies in [0, 1], and not everything is 0 or 1.

    Args:
        images: any shape; looked at in blocks along the first axis, nothing is copied whole.
        scale: what values are multiplied by first.
        first_axis_is_batch: False for a single image.
    """
    blocks = [images] if not first_axis_is_batch else _blocks(images)
    has_fraction = False
    for block in blocks:
        if not block.size:
            continue
        values = block if scale == 1.0 else block * scale
        if values.min() < 0 or values.max() > 1:
            return False
        has_fraction = has_fraction or bool(np.any((values > 0) & (values < 1)))
    return has_fraction


def _blocks(images: Images) -> list[Images]:
    return [images[at : at + _BLOCK_IMAGES] for at in range(0, len(images), _BLOCK_IMAGES)]


def _effective(drawn: Mapping[str, Any]) -> dict[str, Any]:
    """The known parameters that change something."""
    moves = {name: drawn.get(name, neutral) for name, neutral in _MOVES.items()}
    result = {name: value for name, value in moves.items() if value != _MOVES[name]}
    result |= {name: 1 for name in _FLIPS if drawn.get(name)}
    return result | {name: drawn[name] for name in _TONES if drawn.get(name) is not None}


def _moved(
    images: Images, drawn: list[dict[str, Any]], sampling: Sampling, is_unit: bool
) -> Images:
    is_level = images.dtype == np.uint8 and sampling.is_compiled(images)
    if is_level or not any("brightness" in one for one in drawn):
        return _blended(images, drawn, sampling)
    # Keras changes the brightness last; the engine's own step for it is of levels.
    factors = [one.get("brightness") for one in drawn]
    others = [{k: v for k, v in one.items() if k != "brightness"} for one in drawn]
    moved = _blended(images, others, sampling)
    result = moved if moved.dtype.kind == "f" else moved.astype(np.float32)
    for row, factor in enumerate(factors):
        if factor is not None:
            result[row] = _brightened(result[row], factor, is_unit)
    return result


def _blended(images: Images, drawn: list[dict[str, Any]], sampling: Sampling) -> Images:
    """Everything but the brightness of images that are no levels."""
    if not sampling.is_compiled(images):
        return np.stack([_by_scipy(i, d, sampling) for i, d in zip(images, drawn, strict=True)])
    try:
        return apply_transform(
            images, drawn, fill_mode=sampling.fill_mode, cval=sampling.cval,
            interpolation_order=sampling.interpolation_order,
        )  # fmt: skip
    except ParameterError:
        if len(images) > 1:  # one of them is too extreme for fixed point; the others are not
            each = [_blended(images[r : r + 1], [d], sampling) for r, d in enumerate(drawn)]
            return np.concatenate(each)
        return _by_scipy(images[0], drawn[0], sampling)[None].astype(images.dtype)


def _by_scipy(image: Images, drawn: Mapping[str, Any], sampling: Sampling) -> Images:
    """One (H, W, C) image, in the order and with the functions of Keras."""
    result = image
    if any(name in drawn for name in _MOVES):
        matrix = _matrix(drawn, *image.shape[:2])
        planes = [
            ndimage.affine_transform(
                image[:, :, channel], matrix[:2, :2], matrix[:2, 2], mode=sampling.fill_mode,
                order=sampling.interpolation_order, cval=sampling.cval,
            )
            for channel in range(image.shape[2])
        ]  # fmt: skip
        result = np.stack(planes, axis=2)
    if "channel_shift_intensity" in drawn:
        shifted = result + drawn["channel_shift_intensity"]
        result = np.clip(shifted, result.min(), result.max())
    if "flip_horizontal" in drawn:
        result = result[:, ::-1]
    if "flip_vertical" in drawn:
        result = result[::-1]
    return result


def _brightened(image: Images, factor: float, is_unit: bool) -> Images:
    """One image in floating point, through 8 bit as in Keras.

    Values are truncated to levels, multiplied and truncated again; an image that leaves [0, 255] is
    stretched to it before and back after. A fourth channel, alpha, is only truncated.
    """
    low, high = np.float32(image.min()), np.float32(image.max())
    values = image.astype(np.float32)
    leaves_range = low < 0 or high > _WHITE
    if is_unit:
        values = np.clip(np.rint(values * _WHITE), 0, _WHITE)
    elif leaves_range:
        values -= low
        largest = values.max()
        values = (values / largest if largest != 0 else values) * _WHITE
    tone = _BRIGHTNESS.tone({"factor": np.array([float(factor)])})
    table = tone.levels[0].astype(np.float32) if isinstance(tone, Table) else _UNCHANGED
    levels = values.astype(np.uint8)
    bright = table[levels]
    if image.shape[2] == _MAX_CHANNELS:
        bright[:, :, -1] = levels[:, :, -1]
    if is_unit:
        return bright / _WHITE
    return bright / _WHITE * (high - low) + low if leaves_range else bright


def _matrix(drawn: Mapping[str, Any], height: int, width: int) -> NDArray[np.float64]:
    """Keras' matrix from output to source, rows first."""
    value = {name: float(drawn.get(name, neutral)) for name, neutral in _MOVES.items()}
    angle, lean = np.deg2rad(value["theta"]), np.deg2rad(value["shear"])
    rotation = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    shift = np.array([[1, 0, value["tx"]], [0, 1, value["ty"]], [0, 0, 1]])
    shear = np.array([[1, -np.sin(lean), 0], [0, np.cos(lean), 0], [0, 0, 1]])
    zoom = np.diag([value["zx"], value["zy"], 1.0])
    across, down = height / 2 - 0.5, width / 2 - 0.5  # exchanged, as Keras has them
    there = np.array([[1, 0, across], [0, 1, down], [0, 0, 1]])
    back = np.array([[1, 0, -across], [0, 1, -down], [0, 0, 1]])
    total = there @ rotation @ shift @ shear @ zoom @ back
    total[:, [0, 1]] = total[:, [1, 0]]
    total[[0, 1]] = total[[1, 0]]
    return np.asarray(total)
