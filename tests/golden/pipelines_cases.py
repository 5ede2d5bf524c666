"""What the pipeline tests share: images by formula, fixed addresses, an example per transform."""

import numpy as np

from pipelines.albumentations_code import Albumentations
from pipelines.augmix import AugMix
from pipelines.colour import ColourJitter, Grey, Hue, Saturation
from pipelines.composition import OneOf, Sequence
from pipelines.compression import JpegArtefacts
from pipelines.contract import pack
from pipelines.distortion import Elastic, Perspective
from pipelines.exact_moves import Pad, QuarterTurn
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
from pipelines.histogram import Autocontrast, Equalize
from pipelines.keras_affine import KerasAffine
from pipelines.mixing import Cutmix, Mixup
from pipelines.neighbourhood import GaussianBlur, Sharpness
from pipelines.noise import GaussianNoise
from pipelines.occlusion import Cutout, Erasing
from pipelines.photometric import (
    Brightness,
    ChannelShift,
    Contrast,
    Gamma,
    Invert,
    KerasBrightness,
    KerasChannelShift,
    Posterize,
    Solarize,
)
from pipelines.pipeline import Pipeline
from pipelines.policies import RandAugment, TrivialAugment
from pipelines.rendering import Partners
from pipelines.resizing import Resize
from pipelines.transform import Canvas
from pipelines.user_code import Function

FLIP = '{"__version__": "2.0.8", "transform": {"__class_fullname__": "HorizontalFlip", "p": 0.5}}'
"""As `albumentations.to_dict` says it, so that naming the example imports nothing."""

EXAMPLES = {
    "albumentations": Albumentations(FLIP, exact=True),
    "augmix": AugMix(severity=6),
    "autocontrast": Autocontrast(cutoff_percent=(0, 10)),
    "brightness": Brightness(factor=(0.5, 1.5)),
    "channel_shift": ChannelShift(by=40),
    "colour_jitter": ColourJitter(
        brightness=(0.6, 1.4), contrast=(0.6, 1.4), saturation=(0.6, 1.4), hue_max_deg=36
    ),
    "contrast": Contrast(factor=(0.5, 1.75)),
    "crop": Crop(height=20, width=25),
    "cutmix": Cutmix(),
    "cutout": Cutout(size=9, holes=2, level=128.0),
    "elastic": Elastic(alpha=(10, 40), sigma_px=4, border="reflect"),
    "equalize": Equalize(),
    "erasing": Erasing(fill="noise", probability=0.75),
    "function": Function("tests.golden.user_functions:speckled", arguments={"share": 0.25}),
    "gamma": Gamma(power=(0.5, 2.0)),
    "gaussian_blur": GaussianBlur(sigma_px=(0.1, 3)),
    "gaussian_noise": GaussianNoise(std=(0, 40)),
    "grey": Grey(probability=0.5),
    "height_shift": HeightShift(by=0.25),
    "horizontal_flip": HorizontalFlip(),
    "hue": Hue(max_deg=180),
    "invert": Invert(probability=0.5),
    "jpeg_artefacts": JpegArtefacts(quality=(5, 95)),
    "keras_affine": KerasAffine(
        rotation_deg=25, height_shift=0.2, width_shift=(1, 3), shear_deg=10, zoom=(0.8, 1.2)
    ),
    "keras_brightness": KerasBrightness(factor=(0.5, 1.5)),
    "keras_channel_shift": KerasChannelShift(by=40),
    "mixup": Mixup(),
    "one_of": OneOf(steps=(Rotation(max_deg=30), Gamma(power=(0.5, 2.0))), weights=(1, 3)),
    "pad": Pad(by=(3, 0, 5, 8)),
    "perspective": Perspective(border="constant", level=90.0),
    "posterize": Posterize(bits=(2, 7)),
    "quarter_turn": QuarterTurn(),
    "rand_augment": RandAugment(num_ops=3, magnitude=17),
    "resize": Resize(height=24, width=31),
    "resized_crop": ResizedCrop(height=12, width=17),
    "rotation": Rotation(max_deg=30),
    "saturation": Saturation(factor=(0, 3)),
    "sequence": Sequence(steps=(Zoom(by=0.3), Brightness(factor=(0.5, 1.5))), probability=0.5),
    "sharpness": Sharpness(factor=(0, 3)),
    "shear": Shear(max_deg=20),
    "solarize": Solarize(threshold=(40, 220)),
    "trivial_augment": TrivialAugment(),
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
    """Prepared images through given parameters, by the kernel or its NumPy twin.

    Each image's partner is the next one.
    """
    arena = pack(images)
    after = np.roll(np.arange(len(images)), -1)
    theirs = [{name: values[after] for name, values in p.items()} for p in parameters]
    partners = Partners(arena.take(after), theirs)
    canvas = Canvas(arena.heights, arena.widths)
    shape = (len(arena), *pipeline.output_size(*canvas.sizes()[0]), arena.channels)
    out = np.empty(shape, dtype=arena.values.dtype)
    pipeline.render(parameters, arena, out, plain=plain, value_range=value_range, partners=partners)
    return out


def run_step(step, images, parameters, **options):
    """One step alone."""
    return run(Pipeline(steps=(step,), **options), images, [parameters])
