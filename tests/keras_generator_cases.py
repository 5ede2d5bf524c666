"""What the tests of the drop-in generator share: images, folders, options."""

import numpy as np
from PIL import Image

from tests.golden.pipelines_cases import synthetic

EVERY_RANGE = {
    "rotation_range": 40, "width_shift_range": 0.2, "height_shift_range": 0.3, "shear_range": 10,
    "zoom_range": 0.25, "channel_shift_range": 30.0, "horizontal_flip": True,
    "vertical_flip": True,
}  # fmt: skip
RANGES = {
    "nothing": {},
    "everything": EVERY_RANGE,
    "brightness": {"brightness_range": (0.4, 1.6)},
    "whole pixels": {"width_shift_range": 3, "height_shift_range": [-2, 1]},
    "constant border": EVERY_RANGE | {"fill_mode": "constant", "cval": -7.5},
    "order 0": EVERY_RANGE | {"interpolation_order": 0, "fill_mode": "reflect"},
    "order 3": EVERY_RANGE | {"interpolation_order": 3},
}


def images(count=7, height=12, width=15, channels=3, dtype=np.uint8):
    """(n, H, W, C) by formula."""
    return synthetic(count, height, width, channels).astype(dtype)


def image_folder(root, classes=("cat", "dog"), each=5, size=(14, 11)):
    """A folder of class folders with PNG files."""
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index, pixels in enumerate(synthetic(each, *size, 3, low=number * 40)):
            Image.fromarray(pixels).save(root / name / f"{index:02}.png")
    return root


def whole_epoch(iterator, order=None):
    """All images of the current epoch, by batch number in any order."""
    numbers = range(len(iterator)) if order is None else order
    batches = {number: iterator[number] for number in numbers}
    first = [b[0] if isinstance(b, tuple) else b for _, b in sorted(batches.items())]
    return np.concatenate(first)


def symmetric(image):
    """Writes to what it is given, as Keras' own do, and returns another range."""
    image /= 127.5
    image -= 1.0
    return image.astype(np.float64)


def brightest(image):
    """A number for the whole image."""
    return image.max()


def topmost(image):
    """Tells (C, H, W) from (H, W, C): the first channel alone, as whole numbers."""
    return image[:1].astype(np.int16)


def jittered(image):
    """Something else each time."""
    return image + np.random.normal()  # noqa: NPY002


def emptied(_image):
    """Returns nothing, as a function does that forgets to."""
