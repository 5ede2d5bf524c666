"""What steps on finished images share: levels counted, mapped by a table, and Pillow's blend.

Grey is Pillow's: (19595 R + 38470 G + 7471 B + 32768) >> 16, the weights of ITU-R 601-2 in 16 bits.
A fourth channel is alpha and is left as it is everywhere.
"""

import numpy as np
from numpy.typing import NDArray

from pipelines.compiled import Array, Int, compiled

Tables = NDArray[np.uint8]
"""(n, K, 256) what each level of the first K channels of n images becomes."""
Factors = NDArray[np.float32]
"""(n,) 0 gives the plain image, 1 the image itself, more its difference magnified."""


def num_colours(images: Array) -> int:
    """How many of the channels are not alpha."""
    channels = images.shape[3]
    return 3 if channels == 4 else channels


def count_levels(images: Array, *, plain: bool) -> NDArray[np.int64]:
    """(n, K, 256) how often each level occurs in each channel but alpha.

    Args:
        images: (n, H, W, C) uint8, not modified.
        plain: True for the NumPy twin.
    """
    counts = np.zeros((len(images), num_colours(images), 256), np.int64)
    flat = images.reshape(len(images), -1, images.shape[3])
    if not plain:
        _count(flat, counts)
        return counts
    for image, own in zip(flat, counts, strict=True):
        for channel in range(len(own)):
            own[channel] = np.bincount(image[:, channel], minlength=256)
    return counts


def map_levels(images: Array, tables: Tables, *, plain: bool) -> None:
    """Replaces every level but alpha's by what a table says.

    Args:
        images: (n, H, W, C) uint8, written.
        tables: (n, K, 256), one for each channel but alpha.
        plain: True for the NumPy twin.
    """
    flat = images.reshape(len(images), -1, images.shape[3])
    if not plain:
        _map(flat, tables)
        return
    for image, own in zip(flat, tables, strict=True):
        for channel, table in enumerate(own):
            image[:, channel] = table[image[:, channel]]


@compiled
def grey_of(red: Int, green: Int, blue: Int) -> Int:
    """The grey of one pixel, int32; also of arrays of int32."""
    weighted = np.int32(19595) * red + np.int32(38470) * green + np.int32(7471) * blue
    return (weighted + np.int32(32768)) >> np.int32(16)


@compiled
def blended(flat: Int, level: Int, factor: float) -> Int:
    """``flat + factor · (level − flat)`` in IEEE single, clipped, its fraction dropped.

    What Pillow's ``Image.blend`` and so every ``ImageEnhance`` does.

    Args:
        flat: int32 in [0, 255], of the plain image.
        level: int32 in [0, 255], of the image.
        factor: float32.
    """
    moved = np.float32(flat) + factor * np.float32(level - flat)
    return np.int32(min(max(moved, np.float32(0)), np.float32(255)))


def blended_reference(
    flat: NDArray[np.int32], level: NDArray[np.int32], factor: np.float32
) -> NDArray[np.uint8]:
    """`blended` of whole arrays."""
    moved = flat.astype(np.float32) + factor * (level - flat).astype(np.float32)
    return np.clip(moved, np.float32(0), np.float32(255)).astype(np.uint8)


def grey_reference(image: NDArray[np.uint8]) -> NDArray[np.int32]:
    """(pixels,) the grey of (pixels, C) levels; of one or two channels, the first."""
    if image.shape[1] < 3:
        return image[:, 0].astype(np.int32)
    red, green, blue = (image[:, channel].astype(np.int32) for channel in range(3))
    return (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16


@compiled
def _count(images: Array, counts: Array) -> None:
    """Adds up (n, pixels, C) in (n, K, 256)."""
    for k in range(images.shape[0]):
        for channel in range(counts.shape[1]):
            own = counts[k, channel]
            for i in range(images.shape[1]):
                own[images[k, i, channel]] += 1


@compiled
def _map(images: Array, tables: Array) -> None:
    """Maps (n, pixels, C) by (n, K, 256)."""
    for k in range(images.shape[0]):
        for channel in range(tables.shape[1]):
            table = tables[k, channel]
            for i in range(images.shape[1]):
                images[k, i, channel] = table[images[k, i, channel]]
