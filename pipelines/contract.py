"""What an image is here: the one place where arrays are checked.

Images come as (n, H, W, C), C-contiguous, C from 1 to 4, uint8 in [0, 255] or float32 in a range
that is stated; several images of different sizes come as an `Arena`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ImageContractError
from pipelines.kernels import SLACK_BYTES

MAX_SIDE = 16384
"""Longest side in pixels: coordinates keep 2**-20 of a pixel exact up to here."""
Batch = NDArray[np.uint8] | NDArray[np.float32]
"""(n, H, W, C) uint8 or float32."""


@dataclass(frozen=True, slots=True)
class Arena:
    """Images laid out one after another in one flat array, each (H, W, C), with room behind.

    The blending loops may read (with weight 0) up to one row and `SLACK_BYTES` past an image, so
    the array is longer than its images.
    """

    values: NDArray[np.uint8] | NDArray[np.float32]
    """(m,) uint8 or float32."""
    starts: NDArray[np.int64]
    """(n,) index of each image's first value."""
    heights: NDArray[np.int64]
    """(n,)"""
    widths: NDArray[np.int64]
    """(n,)"""
    channels: int
    """The same for all."""

    def __len__(self) -> int:
        """The number of images."""
        return len(self.starts)

    def image(self, row: int) -> Batch:
        """(H, W, C) view of one image."""
        height, width = int(self.heights[row]), int(self.widths[row])
        start = int(self.starts[row])
        flat = self.values[start : start + height * width * self.channels]
        return flat.reshape(height, width, self.channels)

    def num_with_room(self) -> int:
        """How many images, from the first on, have enough room behind them for the kernels."""
        behind = len(self.values) - self.starts - (self.heights + 1) * self.widths * self.channels
        short = np.flatnonzero(behind < SLACK_BYTES)
        return int(short[0]) if len(short) else len(self)

    def check(self) -> None:
        """Vouches for the memory that the kernels will read.

        Raises:
            ImageContractError: an image begins outside the array, is empty or too large, or lacks
                room behind it; or the array is not contiguous.
        """
        sides = np.concatenate([self.heights, self.widths, np.ones(1, np.int64)])
        good = (
            self.values.ndim == 1
            and self.values.flags.c_contiguous
            and sides.min() >= 1
            and sides.max() <= MAX_SIDE
            and bool((self.starts >= 0).all())
            and self.num_with_room() == len(self)
        )
        if not good:
            row = self.num_with_room()
            raise ImageContractError(
                f"arena of {len(self)} images in {len(self.values)} values: expected a contiguous "
                f"array with a row and {SLACK_BYTES} values behind every image and sides in "
                f"[1, {MAX_SIDE}], got otherwise from image {row} on; lay images out with `pack`",
                {"row": row, "expected": "room behind every image", "found": len(self.values)},
            )

    def take(self, rows: NDArray[np.integer]) -> "Arena":
        """The same pixels, with images picked and repeated by row; nothing is copied."""
        picked = (self.starts[rows], self.heights[rows], self.widths[rows])
        return Arena(self.values, *picked, self.channels)


def pack(images: Sequence[Batch] | Batch) -> Arena:
    """Copies images into an arena.

    Args:
        images: (n, H, W, C), or a sequence of (H, W, C) that may differ in size but not in dtype or
            channels; uint8 or float32; not modified.

    Raises:
        ImageContractError: rank, dtype or channels are wrong or differ, or a side is out of bounds.
    """
    for row, image in enumerate(images):
        _check(image, images[0], row)
    heights = np.array([image.shape[0] for image in images], dtype=np.int64)
    widths = np.array([image.shape[1] for image in images], dtype=np.int64)
    channels = images[0].shape[2] if len(images) else 1
    arena = blank(heights, widths, channels, images[0].dtype if len(images) else np.dtype(np.uint8))
    for row, image in enumerate(images):
        arena.image(row)[...] = image
    return arena


def blank(
    heights: NDArray[np.int64], widths: NDArray[np.int64], channels: int, dtype: np.dtype[Any]
) -> Arena:
    """An arena of zeros, to be filled image by image.

    Args:
        heights: (n,)
        widths: (n,)
        channels: of every image.
        dtype: uint8 or float32.
    """
    sizes = heights * widths * channels
    ends = np.cumsum(sizes)
    room = int(ends[-1]) + int((widths * channels).max()) + SLACK_BYTES if len(sizes) else 0
    return Arena(np.zeros(room, dtype=dtype), ends - sizes, heights, widths, channels)


def view(images: Batch) -> Arena:
    """An arena over (n, H, W, C) images in place; nothing lies behind the last one.

    Raises:
        ImageContractError: rank, dtype, channels or a side are wrong.
    """
    pack(images[:1])
    count, height, width, channels = images.shape
    flat: Any = np.ascontiguousarray(images).reshape(-1)
    starts = np.arange(count, dtype=np.int64) * (height * width * channels)
    return Arena(flat, starts, np.full(count, height), np.full(count, width), channels)


def _check(image: Batch, first: Batch, row: int) -> None:
    good = (
        image.ndim == 3
        and image.dtype in (np.dtype(np.uint8), np.dtype(np.float32))
        and image.dtype == first.dtype
        and 1 <= image.shape[2] <= 4
        and image.shape[2] == first.shape[2]
        and min(image.shape[:2]) >= 1
        and max(image.shape[:2]) <= MAX_SIDE
    )
    if not good:
        expected = f"(H, W, C) uint8 or float32, C in 1…4, sides in [1, {MAX_SIDE}], all alike"
        raise ImageContractError(
            f"image {row}: expected {expected}, got {image.shape} {image.dtype}; convert it first",
            {"row": row, "expected": expected, "found": (image.shape, str(image.dtype))},
        )
