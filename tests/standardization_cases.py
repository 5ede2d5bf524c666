"""What the tests of standardisation share: images, batches, and the plain NumPy twin."""

import numpy as np

from pipelines.standardization import EPSILON, Standardization
from pipelines.standardizer import channel_constants

SHAPES = ((1, 1, 1), (4, 4, 1), (5, 3, 3), (3, 7, 4), (8, 6, 3))


def levels(shape, *, seed=0, dtype=np.uint8):
    """Levels in [0, 255] whose channels differ in mean and spread."""
    generator = np.random.default_rng(seed)
    channels = shape[-1]
    values = generator.normal(90 + 20 * np.arange(channels), 15 + 10 * np.arange(channels), shape)
    result = np.clip(values, 0, 255).astype(np.uint8)
    return result if dtype == np.uint8 else (result + generator.random(shape)).astype(dtype)


def batched(images, size):
    """Slices of the images, ``size`` at a time."""
    return [images[start : start + size] for start in range(0, len(images), size)]


def twin(images, standardization: Standardization, statistics=None):
    """`Standardizer.apply` without whitening, in plain NumPy: the definition, byte for byte."""
    constants = channel_constants(standardization, statistics, images.shape[3])
    result = np.empty(images.shape, np.float32)
    for image, written in zip(images, result, strict=True):
        centre, gain = constants.centre, constants.gain
        if standardization.samplewise_center:
            mean, std = image_moments(image)
            centre = np.full(len(centre), mean)
            if standardization.samplewise_std:
                gain = gain / (abs(standardization.scale) * std + EPSILON)
        rounded = [np.float32(constant) for constant in (centre, gain, constants.bias)]
        written[:] = (image.astype(np.float32) - rounded[0]) * rounded[1] + rounded[2]
    return result


def image_moments(image):
    """Mean and std over all values: integers on uint8, else columns from left to right."""
    count = image.size
    if image.dtype == np.uint8:
        exact = image.astype(object)
        total = int(exact.sum())
        floor = total // count
        rest = (total - floor * count) / count
        return floor + rest, np.sqrt(int(((exact - floor) ** 2).sum()) / count - rest * rest)
    rows = image.reshape(len(image), -1).astype(np.float64)
    mean = in_order(rows) / count
    return mean, np.sqrt(in_order((rows - mean) ** 2) / count)


def in_order(rows):
    """The sum down every column from the first row on, then across the columns."""
    return np.add.accumulate(np.add.accumulate(rows, axis=0)[-1])[-1]
