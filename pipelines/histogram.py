"""Steps that look at how often each level occurs in an image before they change it.

Each channel is mapped by a table of its own, as Pillow does; a fourth channel, alpha, stays.
"""

# ruff: noqa: ARG002  (the signatures are those of `Transform`)

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.levels import Tables, count_levels, map_levels
from pipelines.randomness import Words, uniform
from pipelines.transform import (
    Canvas,
    Parameters,
    WholeImage,
    as_interval,
    register,
    require,
)

_LARGEST_CUTOFF = 49.0


@register
@dataclass(frozen=True, kw_only=True)
class Equalize(WholeImage):
    """Spreads the levels of each channel so that all occur about equally often.

    Pillow's ``ImageOps.equalize``, byte for byte, which torchvision's is on tensors too.
    """

    name = "equalize"
    summary = "spread each channel's levels so that all occur equally often"
    num_words = 0

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """Nothing."""
        return {}

    def run(self, images: NDArray[Any], parameters: Parameters, *, plain: bool) -> None:
        """Counts and maps."""
        map_levels(images, _equalizing(count_levels(images, plain=plain)), plain=plain)


@register
@dataclass(frozen=True, kw_only=True)
class Autocontrast(WholeImage):
    """Stretches each channel so that its darkest level becomes 0 and its lightest 255.

    Pillow's ``ImageOps.autocontrast``, byte for byte. A share of the pixels at either end can be
    left out of account; Pillow takes it in percent, and fixed. torchvision has none, and on tensors
    is within one level.
    """

    name = "autocontrast"
    summary = "stretch each channel to black and white, but for a share of the pixels"
    num_words = 1

    cutoff_percent: tuple[float, float] = (0.0, 0.0)
    """[low, high] within [0, 49]: how much of the pixels is cut off at either end, drawn."""

    def check(self) -> None:
        """Checks the cutoff."""
        interval = as_interval(self.cutoff_percent, None)
        good = interval is not None and interval[0] >= 0 and interval[1] <= _LARGEST_CUTOFF
        expected = f"[low, high] within [0, {_LARGEST_CUTOFF:g}]"
        require(good, self, "cutoff_percent", expected, self.cutoff_percent)
        object.__setattr__(self, "cutoff_percent", interval)

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``cutoff_percent`` in [low, high)."""
        return {"cutoff_percent": uniform(words[:, 0], *self.cutoff_percent)}

    def run(self, images: NDArray[Any], parameters: Parameters, *, plain: bool) -> None:
        """Counts and maps."""
        counts = count_levels(images, plain=plain)
        map_levels(images, _stretching(counts, parameters["cutoff_percent"].tolist()), plain=plain)


def _equalizing(counts: NDArray[np.int64]) -> Tables:
    """(n, K, 256) tables from counts: Pillow's whole steps, one for each 255th of the pixels.

    Pixels of the channel's highest level do not count for the size of a step.
    """
    highest = 255 - np.argmax(counts[..., ::-1] > 0, axis=-1)
    at_highest = np.take_along_axis(counts, highest[..., None], axis=-1)[..., 0]
    steps = ((counts.sum(axis=-1) - at_highest) // 255)[..., None]
    below = np.cumsum(counts, axis=-1) - counts
    whole = np.maximum(steps, 1)
    levels = np.where(steps > 0, np.minimum((whole // 2 + below) // whole, 255), np.arange(256))
    return levels.astype(np.uint8)


def _stretching(counts: NDArray[np.int64], cutoffs: list[float]) -> Tables:
    """(n, K, 256) tables from counts; arithmetic in the order of Pillow's, in IEEE double."""
    num_pixels = int(counts[0, 0].sum()) if len(counts) else 0
    # Pillow's own expression, on Python's numbers.
    cut = np.array([int(num_pixels * cutoff // 100) for cutoff in cutoffs], np.int64)[:, None, None]
    # Of both ends together less than everything is cut off.
    left = _without_lowest(_without_lowest(counts, cut)[..., ::-1], cut)[..., ::-1] > 0
    lowest = np.argmax(left, axis=-1)[..., None]
    highest = 255 - np.argmax(left[..., ::-1], axis=-1)[..., None]
    scale = 255.0 / np.maximum(highest - lowest, 1)
    offset = -lowest * scale
    levels = np.trunc(np.clip(np.arange(256) * scale + offset, 0, 255))
    return np.where(highest > lowest, levels, np.arange(256)).astype(np.uint8)


def _without_lowest(counts: NDArray[np.int64], cut: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n, K, 256) what is left of the counts when some pixels are taken off the front."""
    below = np.cumsum(counts, axis=-1) - counts
    left: NDArray[np.int64] = counts - np.clip(cut - below, 0, counts)
    return left
