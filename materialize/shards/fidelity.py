"""How close decoded images are to what was encoded."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROWS_BYTES = 1 << 22
"""Decoded bytes compared at once."""


def psnr(original: NDArray[Any], decoded: NDArray[Any]) -> float:
    """The peak signal-to-noise ratio of images, in dB, over all their values together.

    10 · log₁₀(255² ÷ mean squared difference).

    Args:
        original: (n, H, W, C) uint8, n at least 1.
        decoded: the same shape and dtype.

    Returns:
        Infinity where they are equal.

    Raises:
        ValueError: not uint8, or of different shapes.
    """
    if original.dtype != np.uint8 or decoded.dtype != np.uint8 or original.shape != decoded.shape:
        raise ValueError(
            f"expected uint8 images of one shape, got {original.shape} {original.dtype} and "
            f"{decoded.shape} {decoded.dtype}"
        )
    step = max(1, _ROWS_BYTES // math.prod(original.shape[1:]))
    squares = 0
    for start in range(0, len(original), step):
        rows = slice(start, start + step)
        difference = original[rows].astype(np.int32) - decoded[rows]
        squares += int((difference * difference).sum(dtype=np.int64))
    if not squares:
        return math.inf
    return 10 * math.log10(255**2 * original.size / squares)
