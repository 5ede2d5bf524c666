"""The deterministic resize: an antialiased integer stage of its own, before anything random.

Four-tap bilinear sampling of a large reduction would alias, so a resize is never fused with what
follows; its result can be stored and is the same for every copy. The filter is the triangle that
Pillow calls BILINEAR, widened by the reduction; weights are 14-bit integers that sum to 2**14, so
flat areas stay exact and every processor gives the same bytes.
"""

# ruff: noqa: ARG002  (the signatures are those of `Transform`)

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.compiled import Array, compiled
from pipelines.errors import ImageContractError
from pipelines.geometric import require_size
from pipelines.randomness import Words
from pipelines.transform import Canvas, Parameters, Transform, finite_number, register, require

_BITS = 14
_MIDDLE_BITS = 6  # extra bits kept between the two passes: 255 << 6 still fits 16 bits
FITS = ("stretch", "cover", "contain")


@register
@dataclass(frozen=True, kw_only=True)
class Resize(Transform):
    """Brings every image to one size; only as the first step of a pipeline."""

    name = "resize"
    summary = "bring every image to one size, antialiased; first step only"
    num_words = 0

    height: int
    """Of the result, in pixels."""
    width: int
    """Of the result, in pixels."""
    fit: str = "stretch"
    """``stretch`` changes the aspect; ``cover`` keeps it and cuts what overhangs, evenly;
    ``contain`` keeps it and fills what is left with ``fill``."""
    fill: float = 0
    """Level in [0, 255] beside a contained image."""

    def check(self) -> None:
        """Checks size, fit and fill."""
        for option in ("height", "width"):
            require_size(self, option)
        require(self.fit in FITS, self, "fit", f"one of {list(FITS)}", self.fit)
        good = finite_number(self.fill) and 0 <= self.fill <= 255
        require(good, self, "fill", "a level in [0, 255]", self.fill)

    @property
    def always_happens(self) -> str:
        """A resize is no augmentation."""
        return "it is the same for every copy"

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """Nothing is drawn."""
        return {}

    def __call__(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """The image at its new size.

        Args:
            image: (H, W, C) uint8, not modified.

        Returns:
            (height, width, C) uint8, a new array.

        Raises:
            ImageContractError: the image is not uint8.
        """
        if image.dtype != np.uint8:
            raise ImageContractError(
                f"resize: expected uint8, got {image.dtype}; resize float images beforehand",
                {"expected": "uint8", "found": str(image.dtype)},
            )
        inner = self._scaled(*image.shape[:2])
        return self._centred(resample(image, *inner), round(self.fill))

    def run_mask(self, mask: NDArray[np.uint8], fill_label: int) -> NDArray[np.uint8]:
        """A mask at the new size of its image, each label from the nearest pixel.

        Args:
            mask: (H, W, M) uint8, not modified.
            fill_label: beside a contained image.

        Returns:
            (height, width, M) uint8, a new array.
        """
        here = []
        for size, target in zip(mask.shape[:2], self._scaled(*mask.shape[:2]), strict=True):
            here.append((2 * np.arange(target) + 1) * size // (2 * target))
        return self._centred(mask[np.ix_(*here)], fill_label)

    def point_maps(self, canvas: Canvas) -> NDArray[np.float64]:
        """Where points of n images go, along the pixels' edges: `pipelines.points.Maps`."""
        maps = np.zeros((len(canvas.heights), 6))
        sizes = zip(canvas.heights.tolist(), canvas.widths.tolist(), strict=True)
        for row, (height, width) in enumerate(sizes):
            tall, wide = self._scaled(height, width)
            top, left = _offset(tall, self.height), _offset(wide, self.width)
            maps[row] = (wide / width, 0.0, left, 0.0, tall / height, top)
        return maps

    def _scaled(self, height: int, width: int) -> tuple[int, int]:
        """The size of an image before what overhangs is cut, or what is left is filled."""
        if self.fit == "stretch" or height * self.width == width * self.height:
            return self.height, self.width
        wider = width * self.height > height * self.width
        if (self.fit == "cover") == wider:
            return self.height, max(_divide(width * self.height, height), 1)
        return max(_divide(height * self.width, width), 1), self.width

    def _centred(self, image: NDArray[np.uint8], fill: int) -> NDArray[np.uint8]:
        """The image cut or filled evenly on both sides of each axis."""
        wanted = (self.height, self.width)
        if image.shape[:2] == wanted:
            return image
        out = np.full((*wanted, image.shape[2]), fill, dtype=np.uint8)
        here, there = [], []
        for have, want in zip(image.shape[:2], wanted, strict=True):
            size, shift = min(have, want), _offset(have, want)
            here.append(slice(max(-shift, 0), max(-shift, 0) + size))
            there.append(slice(max(shift, 0), max(shift, 0) + size))
        out[tuple(there)] = image[tuple(here)]
        return out


def _divide(numerator: int, denominator: int) -> int:
    """The nearest integer to a ratio, halves up."""
    return (2 * numerator + denominator) // (2 * denominator)


def _offset(have: int, want: int) -> int:
    """Where the first of ``have`` pixels comes to lie among ``want``, evenly cut or filled."""
    return (want - have) // 2 if want >= have else -((have - want) // 2)


def resample(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resizes to exactly (height, width) with the antialiased triangle filter.

    Args:
        image: (H, W, C) uint8, not modified.
        height: at least 1.
        width: at least 1.

    Returns:
        (height, width, C) uint8, a new array.

    Exactness: bit-exact on every CPU; within 1 level of Pillow's ``resize(BILINEAR)``.
    """
    if image.shape[:2] == (height, width):
        return image.copy()
    contiguous = np.ascontiguousarray(image)
    return _resample(
        contiguous, *_weights(image.shape[0], height), *_weights(image.shape[1], width)
    )


def resample_reference(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """`resample` as two integer matrix products: the definition."""
    rows = _dense(*_weights(image.shape[0], height), image.shape[0])
    columns = _dense(*_weights(image.shape[1], width), image.shape[1])
    middle = np.einsum("oh,hwc->owc", rows, image.astype(np.int64))
    middle = (middle + (1 << (_BITS - _MIDDLE_BITS - 1))) >> (_BITS - _MIDDLE_BITS)
    total = np.einsum("ow,hwc->hoc", columns, middle)
    shift = _BITS + _MIDDLE_BITS
    levels: NDArray[np.uint8] = ((total + (1 << (shift - 1))) >> shift).astype(np.uint8)
    return levels


def _dense(first: NDArray[Any], weights: NDArray[Any], size: int) -> NDArray[np.int64]:
    dense = np.zeros((len(first), size), dtype=np.int64)
    for row, start in enumerate(first):
        used = weights[row][: size - start]
        dense[row, start : start + len(used)] = used
    return dense


def _weights(size: int, target: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """For each target pixel the first source pixel it reads and the weights from there on.

    Rows are padded with zeros to one width; padding may reach past the source, where it must not be
    read.
    """
    scale = size / target
    support = max(scale, 1.0)
    centre = (np.arange(target) + 0.5) * scale
    first = np.maximum(np.floor(centre - support + 0.5), 0).astype(np.int64)
    last = np.minimum(np.floor(centre + support + 0.5), size).astype(np.int64)
    taps = int((last - first).max())
    places = first[:, None] + np.arange(taps)
    reach = 1.0 - np.abs(places + 0.5 - centre[:, None]) / support
    raw = np.where(places < last[:, None], np.maximum(reach, 0.0), 0.0)
    total = raw[:, 0].copy()
    for tap in range(1, taps):  # np.sum groups its terms by vector width; this order is fixed
        total += raw[:, tap]
    weights = np.rint(raw / total[:, None] * (1 << _BITS)).astype(np.int32)
    largest = weights.argmax(axis=1)
    weights[np.arange(target), largest] += (1 << _BITS) - weights.sum(axis=1)
    return first, weights


@compiled
def _resample(
    image: Array, first_row: Array, row_weights: Array, first_column: Array, column_weights: Array
) -> Array:
    """Both passes: rows first, whose inner loop runs along memory, then columns."""
    height, width, channels = image.shape
    out = np.empty((len(first_row), len(first_column), channels), np.uint8)
    line = np.empty(width * channels, np.int32)
    source = image.reshape(height, width * channels)
    down = _BITS - _MIDDLE_BITS
    for j in range(len(first_row)):
        line[:] = 1 << (down - 1)
        for tap in range(row_weights.shape[1]):
            weight = row_weights[j, tap]
            if weight != 0:
                row = source[first_row[j] + tap]
                for i in range(line.shape[0]):
                    line[i] += weight * np.int32(row[i])
        for i in range(line.shape[0]):
            line[i] >>= down
        for i in range(len(first_column)):
            for channel in range(channels):
                total = np.int32(1 << (_BITS + _MIDDLE_BITS - 1))
                for tap in range(column_weights.shape[1]):
                    weight = column_weights[i, tap]
                    if weight != 0:
                        total += weight * line[(first_column[i] + tap) * channels + channel]
                out[j, i, channel] = total >> (_BITS + _MIDDLE_BITS)
    return out
