"""Image files as Keras reads them, and files that show what a model sees.

`load_image` is ``keras.utils.load_img``: the same conversions, resize filters and crop. Files are
written whole, by `materialize.atomic`, and named by everything that decides them.
"""

import hashlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from materialize.atomic import write_file

Filter = Image.Resampling
FILTERS = {
    "nearest": Filter.NEAREST, "bilinear": Filter.BILINEAR, "bicubic": Filter.BICUBIC,
    "hamming": Filter.HAMMING, "box": Filter.BOX, "lanczos": Filter.LANCZOS,
}  # fmt: skip
_GREY_MODES = ("L", "I;16", "I")
_MODES = {"rgb": "RGB", "rgba": "RGBA"}
_WHITE = 255.0


def load_image(
    path: str | Path,
    color_mode: str,
    target_size: tuple[int, int],
    interpolation: str,
    keep_aspect_ratio: bool,
) -> Image.Image:
    """An image of one size and kind.

    Args:
        path: the file.
        color_mode: ``grayscale``, ``rgb`` or ``rgba``.
        target_size: (height, width) in pixels.
        interpolation: one of `FILTERS`; used where the size differs.
        keep_aspect_ratio: crop about the centre before resizing.

    Raises:
        ValueError: an unknown interpolation.
        OSError: the file cannot be read as an image.
    """
    with Image.open(io.BytesIO(Path(path).read_bytes())) as opened:
        if color_mode == "grayscale":
            # 16 and 32 bit grey keep their values.
            image = opened if opened.mode in _GREY_MODES else opened.convert("L")
        else:
            mode = _MODES[color_mode]
            image = opened if opened.mode == mode else opened.convert(mode)
        image.load()
        height, width = target_size
        if image.size == (width, height):
            return image.copy()
        if interpolation not in FILTERS:
            raise ValueError(
                f"Invalid interpolation method {interpolation} specified. Supported methods are "
                f"{', '.join(FILTERS)}"
            )
        box = _central_box(image.size, (width, height)) if keep_aspect_ratio else None
        return image.resize((width, height), FILTERS[interpolation], box=box)


def _central_box(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int, int, int]:
    """The largest central part of the target's aspect."""
    width, height = size
    part_height = min(height, (width * target[1]) // target[0])
    part_width = min(width, (height * target[0]) // target[1])
    left, top = (width - part_width) // 2, (height - part_height) // 2
    return left, top, left + part_width, top + part_height


def to_array(image: Image.Image, data_format: str, dtype: Any) -> NDArray[Any]:
    """(H, W, C), or (C, H, W) for ``channels_first``."""
    values = np.asarray(image, dtype=dtype)
    if values.ndim == 2:
        values = values[:, :, np.newaxis]
    return values.transpose(2, 0, 1) if data_format == "channels_first" else values


@dataclass(slots=True)
class SavedBatches:
    """Where batches are saved, and under what names."""

    directory: Path
    prefix: str
    format: str
    data_format: str
    seed: int
    rescale: float
    """What values were multiplied by; files show values divided by it."""
    _has_warned: bool = False

    def save(self, batch: NDArray[Any], indices: Sequence[int], epoch: int) -> None:
        """Writes one file for each image of a standardised batch.

        Values are shown as levels where they are some: in [0, 255] after undoing ``rescale``, or in
        [0, 1] with fractions, where 1 is white. Other values are stretched to [0, 255] image by
        image; a warning says so once, and PNG files hold the ends under ``low`` and ``high``.

        Names are ``PREFIX_INDEX_EPOCH-HASH.FORMAT``; the hash is of the seed and the file's bytes,
        so that two files of one name are one image.

        Raises:
            ValueError: Pillow knows no such format.
            StorageError: the directory is not there, or the disk is full.
        """
        for image, index in zip(batch, indices, strict=True):
            last = image.transpose(1, 2, 0) if self.data_format == "channels_first" else image
            data = self._encoded(np.asarray(last, np.float64))
            digest = hashlib.sha256(self.seed.to_bytes(8, "little") + data).hexdigest()[:16]
            name = f"{self.prefix}_{index}_{epoch}-{digest}.{self.format}"
            write_file(self.directory / name, data)

    def _encoded(self, image: NDArray[np.float64]) -> bytes:
        levels, ends = self._levels(image)
        picture = to_picture(levels)
        options: dict[str, Any] = {}
        kind = Image.registered_extensions().get(f".{self.format}".lower())
        if kind is None:
            raise ValueError(f"unknown file extension: .{self.format}")
        if kind == "JPEG" and picture.mode == "RGBA":
            picture = picture.convert("RGB")
        if kind == "PNG" and ends is not None:
            text = PngInfo()
            text.add_text("low", repr(ends[0]))
            text.add_text("high", repr(ends[1]))
            options["pnginfo"] = text
        buffer = io.BytesIO()
        picture.save(buffer, format=kind, **options)
        return buffer.getvalue()

    def _levels(
        self, image: NDArray[np.float64]
    ) -> tuple[NDArray[np.uint8], tuple[float, float] | None]:
        """What a file holds of an image, and the ends of the stretch if there was one."""
        values = image / self.rescale
        slack = 1e-3  # what single precision leaves of 0 and 255
        if (
            values.min() >= -slack
            and values.max() <= 1 + slack
            and (np.rint(values) != values).any()
        ):
            values = values * _WHITE
        if values.min() >= -slack * _WHITE and values.max() <= (1 + slack) * _WHITE:
            return np.clip(np.rint(values), 0, _WHITE).astype(np.uint8), None
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(
                "save_to_dir: standardised values lie outside [0, 255], so each saved image is "
                "stretched to it; what the model sees is between the texts `low` and `high` of "
                "each PNG file",
                stacklevel=2,
            )
        low, high = float(image.min()), float(image.max())
        spread = high - low if high > low else 1.0
        return np.rint((image - low) / spread * _WHITE).astype(np.uint8), (low, high)


def to_picture(levels: NDArray[np.uint8]) -> Image.Image:
    """(H, W, C) uint8 as a picture.

    Raises:
        ValueError: neither 1, 3 nor 4 channels.
    """
    channels = levels.shape[2]
    if channels not in (1, 3, 4):
        raise ValueError(f"Unsupported channel number: {channels}")
    return Image.fromarray(levels[:, :, 0] if channels == 1 else levels)
