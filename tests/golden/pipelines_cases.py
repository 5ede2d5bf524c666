"""What the pipeline tests share: images by formula, fixed addresses, an example per transform."""

import numpy as np

from pipelines import engine
from pipelines.contract import pack
from pipelines.geometric import (
    Crop,
    HeightShift,
    HorizontalFlip,
    ResizedCrop,
    Rotation,
    Shear,
    VerticalFlip,
    WidthShift,
    Zoom,
)
from pipelines.photometric import (
    Brightness,
    ChannelShift,
    Contrast,
    Gamma,
    KerasBrightness,
    KerasChannelShift,
)
from pipelines.pipeline import Pipeline
from pipelines.resizing import Resize
from pipelines.transform import Canvas

EXAMPLES = {
    "brightness": Brightness(factor=(0.5, 1.5)),
    "channel_shift": ChannelShift(by=40),
    "contrast": Contrast(factor=(0.5, 1.75)),
    "crop": Crop(height=20, width=25),
    "gamma": Gamma(power=(0.5, 2.0)),
    "height_shift": HeightShift(by=0.25),
    "horizontal_flip": HorizontalFlip(),
    "keras_brightness": KerasBrightness(factor=(0.5, 1.5)),
    "keras_channel_shift": KerasChannelShift(by=40),
    "resize": Resize(height=24, width=31),
    "resized_crop": ResizedCrop(height=12, width=17),
    "rotation": Rotation(max_deg=30),
    "shear": Shear(max_deg=20),
    "vertical_flip": VerticalFlip(),
    "width_shift": WidthShift(by=[0.1, 0.25, -0.5]),
    "zoom": Zoom(by=0.3),
}
"""One of each, under the name that the registry knows."""


def synthetic(count, height, width, channels, low=0, high=255):
    """(n, H, W, C) uint8 by formula: a multiplicative hash of the index, within [low, high]."""
    index = np.arange(count * height * width * channels, dtype=np.uint64)
    bits = (index * np.uint64(2654435761) >> np.uint64(11)) % np.uint64(high - low + 1)
    return (bits.astype(np.uint8) + np.uint8(low)).reshape(count, height, width, channels)


def sample_ids(count, first=0):
    """(n, 16) uint8, each byte by formula."""
    numbers = (np.arange(first, first + count)[:, None] * 16 + np.arange(16)) * 167 + 13
    return (numbers % 256).astype(np.uint8)


def run(pipeline, images, parameters, *, plain=False, value_range=None):
    """Prepared images through given parameters, by the kernel or its NumPy twin."""
    arena = pack(images)
    canvas = Canvas(arena.heights, arena.widths)
    programs = pipeline.lower(parameters, canvas, arena.channels)
    shape = (len(arena), programs.height, programs.width, arena.channels)
    out = np.empty(shape, dtype=arena.values.dtype)
    engine.run(programs, arena, pipeline, out, plain=plain, value_range=value_range)
    return out


def run_step(step, images, parameters, **options):
    """One step alone."""
    return run(Pipeline(steps=(step,), **options), images, [parameters])
