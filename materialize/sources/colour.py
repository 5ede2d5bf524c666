"""Between grey and RGB, by one rule each."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import SourceError
from materialize.sources.base import Pixels


def with_channels(pixels: Pixels, channels: int) -> Pixels:
    """The image in grey or in RGB.

    Args:
        pixels: (H, W, 1) or (H, W, 3), uint8 or float32; not modified.
        channels: 1 or 3.

    Returns:
        ``pixels`` itself where it has that many; grey repeated three times; or RGB weighted by
        ITU-R BT.601.

    Source: Pillow's ``L`` conversion, (19595 R + 38470 G + 7471 B + 32768) >> 16.

    Exactness: bit-exact; for floats the same weights over 65536, summed in 64 bits.
    """
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        repeated = np.empty((*pixels.shape[:2], 3), pixels.dtype)
        repeated[...] = pixels
        return repeated
    if channels != 1:
        raise SourceError(f"images have 1 or 3 channels, not {channels}", {"found": channels})
    if pixels.dtype == np.uint8:
        return ((_luma(pixels.astype(np.uint32)) + 32768) >> 16).astype(np.uint8)
    return (_luma(pixels.astype(np.float64)) / 65536).astype(np.float32)


def _luma(rgb: NDArray[Any]) -> NDArray[Any]:
    """The weighted sum, (H, W, 1), one addition at a time.

    A dot product may fuse or reorder its steps, and then differ in the last bit between processors.
    """
    red, green, blue = (rgb[:, :, channel : channel + 1] for channel in range(3))
    luma: NDArray[Any] = 19595 * red + 38470 * green + 7471 * blue
    return luma
