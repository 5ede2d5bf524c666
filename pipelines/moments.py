"""Mean and standard deviation of images, per channel over a stream or per image.

On uint8 everything is a sum of integers until the last division, so no result depends on batches,
order or threads. On float32 sums are float64, image by image in the order they come, so no result
depends on batches or threads.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.compiled import Array, Int, compiled
from pipelines.errors import ImageContractError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """The moments of the levels of a stream, before any rescaling."""

    num_images: int
    """How many images."""
    mean: NDArray[np.float64]
    """(C,) float64, over all pixels of all images."""
    std: NDArray[np.float64]
    """(C,) float64: the root of the mean squared deviation (no n - 1)."""


class LevelSums:
    """Sums and sums of squares of uint8 levels, exact.

    Exactness: one image adds up in 64 bits: at most 2**28 pixels of squares below 2**16 are below
    2**44 per channel, and a batch stays below 2**63 up to 2**19 such images. Batches are added as
    Python integers, which do not overflow. Mean and variance are each one correctly rounded
    division of integers, the std is one correctly rounded root of that.
    """

    def __init__(self, channels: int) -> None:
        """Begins with no images."""
        self._totals = [0] * channels
        self._squares = [0] * channels
        self._num_images = 0
        self._num_pixels = 0

    def add(self, images: NDArray[Any]) -> None:
        """Adds (n, H, W, C) uint8 images; not modified."""
        count, height, width, channels = images.shape
        sums = channel_sums(images.reshape(count, height, width * channels), channels)
        for channel, (total, squares) in enumerate(sums.tolist()):
            self._totals[channel] += total
            self._squares[channel] += squares
        self._num_images += count
        self._num_pixels += count * height * width

    def finish(self) -> Moments:
        """The moments; at least one image was added."""
        n = self._num_pixels
        variances = [
            (n * squares - total * total) / (n * n)
            for total, squares in zip(self._totals, self._squares, strict=True)
        ]
        return Moments(
            num_images=self._num_images,
            mean=np.array([total / n for total in self._totals]),
            std=np.array([math.sqrt(variance) for variance in variances]),
        )


class ValueSums:
    """Means and squared deviations of float32 values, merged image by image.

    Source: T. Chan, G. Golub, R. LeVeque, "Algorithms for Computing the Sample Variance", The
    American Statistician 37 (1983), equation 2.1.

    Exactness: float64, in the order of rows, images and nothing else; another order of images can
    change the last bits.
    """

    def __init__(self, channels: int) -> None:
        """Begins with no images."""
        self._mean = np.zeros(channels)
        self._deviations = np.zeros(channels)
        self._num_images = 0
        self._num_pixels = 0

    def add(self, images: NDArray[Any]) -> None:
        """Adds (n, H, W, C) float32 images; not modified.

        Raises:
            ImageContractError: a value is NaN or infinite.
        """
        count, height, width, channels = images.shape
        pixels = height * width
        each = channel_moments(images.reshape(count, height, width * channels), channels)
        if not np.isfinite(each).all():
            row = int(np.flatnonzero(~np.isfinite(each).all(axis=(1, 2)))[0])
            raise ImageContractError(
                f"image {self._num_images + row} of the stream: expected finite values, got NaN "
                f"or infinity; leave it out or mend it",
                {"row": self._num_images + row, "expected": "finite values", "found": "NaN or inf"},
            )
        for mean, deviations in each:
            total = self._num_pixels + pixels
            step = mean - self._mean
            self._deviations += deviations + step**2 * (self._num_pixels * (pixels / total))
            self._mean += step * (pixels / total)
            self._num_pixels = total
        self._num_images += count

    def finish(self) -> Moments:
        """The moments; at least one image was added."""
        std = np.sqrt(self._deviations / self._num_pixels)
        return Moments(num_images=self._num_images, mean=self._mean.copy(), std=std)


@compiled
def channel_sums(rows: Array, channels: Int) -> Array:
    """(C, 2) int64: sum and sum of squares of each channel of (n, H, W · C) uint8 levels."""
    width = rows.shape[2]
    result = np.zeros((channels, 2), np.int64)
    totals = np.empty(width, np.uint32)  # of one image's columns: 2**14 rows below 2**16 each
    squares = np.empty(width, np.uint32)
    for image in range(rows.shape[0]):
        totals[:] = 0
        squares[:] = 0
        for row in range(rows.shape[1]):
            for column in range(width):
                level = np.uint32(rows[image, row, column])
                totals[column] += level
                squares[column] += level * level
        for column in range(width):
            result[column % channels, 0] += totals[column]
            result[column % channels, 1] += squares[column]
    return result


@compiled
def channel_moments(rows: Array, channels: Int) -> Array:
    """(n, 2, C) float64: mean and squared deviations of (n, H, W · C) float32, in two passes.

    Every column adds up from the first row to the last, then the columns from left to right.
    """
    pixels = rows.shape[1] * (rows.shape[2] // channels)
    result = np.zeros((rows.shape[0], 2, channels), np.float64)
    about = np.zeros(rows.shape[2], np.float64)
    for image in range(rows.shape[0]):
        about[:] = 0.0
        totals = column_sums(rows[image], about, False)
        for column in range(len(totals)):
            result[image, 0, column % channels] += totals[column]
        result[image, 0] /= pixels
        for column in range(len(totals)):
            about[column] = result[image, 0, column % channels]
        squares = column_sums(rows[image], about, True)
        for column in range(len(totals)):
            result[image, 1, column % channels] += squares[column]
    return result


@compiled
def column_sums(values: Array, about: Array, squared: bool) -> Array:
    """(W,) float64 sums of ``value - about``, or of its squares, of (H, W) float32 columns."""
    sums = np.zeros(values.shape[1], np.float64)
    for row in range(values.shape[0]):
        for column in range(values.shape[1]):
            step = np.float64(values[row, column]) - about[column]
            sums[column] += step * step if squared else step
    return sums


@compiled
def level_moments(levels: Array) -> tuple[float, float]:
    """Mean and std of (H, W · C) uint8 levels: integers but for the last divisions.

    The squares are taken about the mean rounded down, so that n · Σx² need not fit into 64 bits and
    a constant image has the std 0 exactly; Σ(x - floor)² / n ≥ ((mean - floor))² holds after
    rounding too, so the root is of no negative number.
    """
    count = levels.size
    total = np.int64(0)
    squares = np.int64(0)
    for row in range(levels.shape[0]):
        row_total = np.uint32(0)  # 2**16 values below 2**16 each
        row_squares = np.uint32(0)
        for column in range(levels.shape[1]):
            level = np.uint32(levels[row, column])
            row_total = np.uint32(row_total + level)
            row_squares = np.uint32(row_squares + level * level)
        total += row_total
        squares += row_squares
    floor = total // count
    rest = (total - floor * count) / count
    about_floor = squares - 2 * floor * total + count * floor * floor
    return floor + rest, math.sqrt(about_floor / count - rest * rest)


@compiled
def value_moments(values: Array) -> tuple[float, float]:
    """Mean and std of (H, W · C) float32 values, in float64 and the order of `channel_moments`."""
    moments = channel_moments(values.reshape((1, values.shape[0], values.shape[1])), 1)
    return moments[0, 0, 0], math.sqrt(moments[0, 1, 0] / values.size)
