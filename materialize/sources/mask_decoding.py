"""From the bytes of a mask file to labels: the stored numbers, never colours made of them."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from materialize.errors import UndecodableImageError
from materialize.sources.decoding import MAX_PIXELS
from materialize.sources.strictness import strict_pillow

_FORMATS = ("BMP", "GIF", "PNG", "PPM", "TIFF")
"""Those that keep every number as it was; a JPEG invents labels at every edge."""
_MODES = ("1", "L", "P")
"""Black and white (labels 0 and 1), grey, and palette: of that the indices, not the colours."""


def decode_mask(content: bytes, name: str) -> NDArray[np.uint8]:
    """The labels in a mask file.

    Args:
        content: a whole file: PNG, BMP, GIF, TIFF or PGM with one number from 0 to 255 per pixel.
        name: for messages.

    Returns:
        (H, W, 1) labels.

    Raises:
        UndecodableImageError: it is no such file: damaged, in colour, of 16 bits, or of a format
            that loses numbers.
    """
    try:
        with strict_pillow(), PillowImage.open(io.BytesIO(content), formats=_FORMATS) as image:
            _check_header(image, name)
            labels = np.array(image).astype(np.uint8)
    except (UndecodableImageError, MemoryError):
        raise
    except Exception as error:
        detail = f"it cannot be read as {', '.join(_FORMATS)}"
        raise _refusal(name, "mask-damaged", detail) from error
    return labels[:, :, np.newaxis]


def _check_header(image: PillowImage.Image, name: str) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _refusal(name, "mask-too-large", f"{width} x {height} pixels")
    if image.mode not in _MODES:
        detail = (
            f"its pixels are {image.mode}; write one label from 0 to 255 per pixel, as grey or "
            "palette"
        )
        raise _refusal(name, "mask-in-colour", detail)


def _refusal(name: str, reason: str, detail: str) -> UndecodableImageError:
    return UndecodableImageError(
        f"{name} is no mask that is accepted ({reason}): {detail}",
        {"reason": reason, "detail": f"{name}: {detail}", "format": None},
    )
