"""Applies a standardisation on the CPU: levels in, the numbers a model is fed out, in one pass.

Everything but whitening is ``(level - centre) · gain + bias`` with constants per channel, or per
image and channel where a samplewise step is asked for. The centre is subtracted first, in units of
levels, so that an image or channel that does not vary gives zeros instead of rounding noise times a
gain of a million. Whitening is one matrix product on the result. A function of the user's sees the
levels before all that, image by image.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.compiled import Array, Int, compiled
from pipelines.errors import ImageContractError, ParameterError
from pipelines.moments import level_moments, value_moments
from pipelines.standardization import EPSILON, Standardization
from pipelines.statistics import Statistics


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChannelConstants:
    """What a standardisation comes to for each channel; samplewise steps enter per image."""

    centre: NDArray[np.float64]
    """(C,) float64, in levels; replaced by the image's mean where ``samplewise_center`` is set."""
    gain: NDArray[np.float64]
    """(C,) float64, per level; divided by ``|scale| · std + 1e-6`` of the image likewise."""
    bias: NDArray[np.float64]
    """(C,) float64, added last."""


def channel_constants(
    standardization: Standardization, statistics: Statistics | None, channels: int
) -> ChannelConstants:
    """The constants of each channel.

    Args:
        standardization: the options.
        statistics: fitted for these options; None where ``needs_statistics`` is False.
        channels: C of the images.

    Raises:
        ParameterError: the statistics are missing, were fitted for other options, or have another
            number of channels.
    """
    _check_statistics(standardization, statistics, channels)
    scale, offset = standardization.scale, standardization.offset
    mean, divisor = np.zeros(channels), np.ones(channels)
    if statistics is not None and standardization.featurewise_center:
        mean = statistics.mean
    if statistics is not None and standardization.featurewise_std:
        divisor = statistics.std + EPSILON
    gain = scale / divisor
    if standardization.samplewise_center:  # what is left of the featurewise centre comes last
        return ChannelConstants(centre=np.zeros(channels), gain=gain, bias=0.0 - mean / divisor)
    if standardization.featurewise_center:
        centre = (mean - offset) / scale
        return ChannelConstants(centre=centre, gain=gain, bias=np.zeros(channels))
    return ChannelConstants(
        centre=np.zeros(channels), gain=gain, bias=np.full(channels, offset, np.float64)
    )


def _check_statistics(
    standardization: Standardization, statistics: Statistics | None, channels: int
) -> None:
    if statistics is None:
        if standardization.needs_statistics:
            raise ParameterError(
                "standardization: expected statistics of the training part, got none; fit them "
                "with fit_statistics or read the stored ones",
                {"name": "statistics", "expected": "statistics", "found": None},
            )
        return
    fitted, asked = statistics.standardization, standardization.fingerprint()
    if fitted != asked:
        raise ParameterError(
            f"standardization: expected statistics fitted for {asked[:16]}, got some for "
            f"{fitted[:16]}; fit them for these options",
            {"name": "statistics", "expected": asked, "found": fitted},
        )
    if len(statistics.mean) != channels:
        raise ParameterError(
            f"standardization: expected statistics of {channels} channels, got "
            f"{len(statistics.mean)}; fit them on images of the same kind",
            {"name": "statistics", "expected": channels, "found": len(statistics.mean)},
        )


class Standardizer:
    """A standardisation with its statistics, ready to be applied to any number of batches.

    Safe to share between threads. The inner loop holds no interpreter lock; a function may.
    """

    def __init__(
        self,
        standardization: Standardization,
        statistics: Statistics | None,
        image_shape: tuple[int, int, int],
    ) -> None:
        """Prepares the constants.

        Args:
            standardization: the options.
            statistics: fitted for these options; None where ``needs_statistics`` is False.
            image_shape: (H, W, C) of the images to come.

        Raises:
            ParameterError: the statistics do not belong to these options or images.
            UserCodeError: the function is not there, or not what it was.
        """
        constants = channel_constants(standardization, statistics, image_shape[2])
        whitening = statistics.whitening if statistics is not None else None
        if whitening is not None and statistics is not None:
            check_shape(statistics, image_shape)
        preprocessing = standardization.preprocessing
        self._preprocess = None if preprocessing is None else preprocessing.ready()
        self._image_shape = tuple(image_shape)
        self._constants = constants
        self._standardization = standardization
        self._whitening = whitening
        self._statistics = statistics

    def identity(self) -> dict[str, str | None]:
        """What decides the numbers: fingerprint of the options, digest of the statistics.

        And a function by its name and code, where one is called.
        """
        statistics, function = self._statistics, self._standardization.preprocessing
        called = {} if function is None else {"preprocessing": f"{function.name} {function.code}"}
        return called | {
            "standardization": self._standardization.fingerprint(),
            "statistics": None if statistics is None else statistics.digest(),
        }

    def apply(
        self, images: NDArray[Any], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Standardises a batch.

        Args:
            images: (n, H, W, C) uint8 or float32, finite; not modified.
            out: (n, H, W, C) float32, C-contiguous, to be overwritten; None makes a new array.

        Returns:
            (n, H, W, C) float32, ``out`` if it was given. Finite; 0 at every value of a constant
            image under ``samplewise_std`` alone.

        Raises:
            ImageContractError: the images or ``out`` are of another shape or dtype.
            UserCodeError: the function fails, or returns no such image.

        Exactness: without whitening and a function, bit-exact on every CPU: one subtraction,
            multiplication and addition in float32 by constants rounded once from float64; a
            samplewise mean and std come from integer sums on uint8 and from float64 sums in a fixed
            order on float32.
        """
        result = self._checked_out(images, out)
        if self._preprocess is not None:
            images = self._preprocess(images)
        flags = self._standardization
        constants = self._constants
        count, height, width, channels = images.shape
        rows = np.ascontiguousarray(images).reshape(count, height, width * channels)
        centred = result if self._whitening is None else np.empty_like(result)
        arguments = (constants.centre, constants.gain, constants.bias, centred.reshape(rows.shape))
        if not flags.samplewise_center:
            standardize_rows(rows, *arguments)
        else:
            scale = abs(flags.scale) if flags.samplewise_std else 0.0
            kernel = (
                standardize_levels_by_image if rows.dtype == np.uint8
                else standardize_values_by_image
            )  # fmt: skip
            kernel(rows, scale, *arguments[1:])
        if self._whitening is not None:
            flat = (count, height * width * channels)
            self._whitening.apply(centred.reshape(flat), result.reshape(flat))
        return result

    def _checked_out(
        self, images: NDArray[Any], out: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        good = images.shape[1:] == self._image_shape and images.dtype in (
            np.dtype(np.uint8),
            np.dtype(np.float32),
        )
        if not good:
            expected = f"(n, {', '.join(map(str, self._image_shape))}) uint8 or float32"
            raise ImageContractError(
                f"standardization: expected images {expected}, got {images.shape} "
                f"{images.dtype}; convert them first",
                {"expected": expected, "found": (images.shape, str(images.dtype))},
            )
        if out is None:
            return np.empty(images.shape, np.float32)
        if out.shape != images.shape or out.dtype != np.float32 or not out.flags.c_contiguous:
            raise ImageContractError(
                f"standardization: expected out {images.shape} float32, C-contiguous, got "
                f"{out.shape} {out.dtype}; make it with numpy.empty",
                {"expected": (images.shape, "float32"), "found": (out.shape, str(out.dtype))},
            )
        return out


def check_shape(statistics: Statistics, image_shape: tuple[int, int, int]) -> None:
    """Refuses images that a whitening matrix was not fitted for.

    Raises:
        ParameterError: the shapes differ.
    """
    if statistics.image_shape != tuple(image_shape):
        raise ParameterError(
            f"standardization: expected images {statistics.image_shape} as the whitening was "
            f"fitted on, got {tuple(image_shape)}; fit it on images of this size",
            {"name": "zca", "expected": statistics.image_shape, "found": tuple(image_shape)},
        )


@compiled
def standardize_rows(rows: Array, centre: Array, gain: Array, bias: Array, out: Array) -> None:
    """``(level - centre) · gain + bias`` on (n, H, W · C), constants (C,) float64."""
    constants = np.empty((3, rows.shape[2]), np.float32)
    spread(centre, constants[0])
    spread(gain, constants[1])
    spread(bias, constants[2])
    for image in range(rows.shape[0]):
        write_image(rows[image], constants, out[image])


@compiled
def standardize_levels_by_image(
    rows: Array, scale: float, gain: Array, bias: Array, out: Array
) -> None:
    """The same on uint8 with each image's own mean, and its std where ``scale`` is not 0."""
    constants = np.empty((3, rows.shape[2]), np.float32)
    spread(bias, constants[2])
    for image in range(rows.shape[0]):
        mean, std = level_moments(rows[image])
        constants[0, :] = mean
        spread(gain / (scale * std + EPSILON) if scale > 0 else gain, constants[1])
        write_image(rows[image], constants, out[image])


@compiled
def standardize_values_by_image(
    rows: Array, scale: float, gain: Array, bias: Array, out: Array
) -> None:
    """The same on float32."""
    constants = np.empty((3, rows.shape[2]), np.float32)
    spread(bias, constants[2])
    for image in range(rows.shape[0]):
        mean, std = value_moments(rows[image])
        constants[0, :] = mean
        spread(gain / (scale * std + EPSILON) if scale > 0 else gain, constants[1])
        write_image(rows[image], constants, out[image])


@compiled
def spread(constant: Array, row: Array) -> None:
    """Repeats (C,) float64 along (W · C,) float32."""
    channels: Int = len(constant)
    for column in range(len(row)):
        row[column] = constant[column % channels]


@compiled
def write_image(levels: Array, constants: Array, out: Array) -> None:
    """One (H, W · C) image; the constants of a whole row, so that the loop is one vector loop."""
    for row in range(levels.shape[0]):
        for column in range(levels.shape[1]):
            level = np.float32(levels[row, column])
            out[row, column] = (level - constants[0, column]) * constants[1, column] + constants[
                2, column
            ]
