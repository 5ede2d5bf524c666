"""What Hypothesis draws: every transform, pipelines of them, batches of images.

`STEPS` has a strategy for each transform of the registry; an architecture test asks for it.
"""

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from pipelines import engine
from pipelines.albumentations_code import Albumentations
from pipelines.augmix import AugMix
from pipelines.colour import ColourJitter, Grey, Hue, Saturation
from pipelines.composition import OneOf, Sequence
from pipelines.compression import JpegArtefacts
from pipelines.distortion import Elastic, Perspective
from pipelines.errors import ParameterError
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
from pipelines.kernels import BORDERS
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
from pipelines.resizing import Resize
from pipelines.transform import Canvas
from pipelines.user_code import Function
from tests.golden.pipelines_cases import FLIP, sample_ids
from tests.golden.user_functions import mirrored, rolled, speckled


def numbers(low, high):
    return st.floats(low, high, allow_nan=False, allow_subnormal=False)


def intervals(low, high):
    return st.tuples(numbers(low, high), numbers(low, high)).map(lambda pair: tuple(sorted(pair)))


sides = st.integers(1, 40)
chances = st.sampled_from([0.0, 0.5, 1.0])
shifts = st.one_of(numbers(0, 0.99), numbers(1, 90), st.integers(0, 50),
                   st.lists(numbers(-2, 60), min_size=1, max_size=4))  # fmt: skip
GEOMETRIC = {
    "crop": st.builds(Crop, height=sides, width=sides, place=st.sampled_from(["drawn", "centre"])),
    "height_shift": st.builds(HeightShift, by=shifts),
    "horizontal_flip": st.builds(HorizontalFlip, probability=chances),
    "keras_affine": st.builds(KerasAffine, rotation_deg=numbers(0, 400), height_shift=shifts,
                              width_shift=shifts, shear_deg=numbers(0, 89), zoom=intervals(-3, 20)),
    "pad": st.builds(Pad, by=st.one_of(st.integers(0, 50), st.tuples(*[st.integers(0, 9)] * 4))),
    "quarter_turn": st.builds(QuarterTurn, probability=chances),
    "resized_crop": st.builds(ResizedCrop, height=sides, width=sides, area=intervals(0.01, 1.0),
                              aspect_max=numbers(1, 4)),
    "rotation": st.builds(Rotation, max_deg=st.one_of(st.just(0), numbers(0, 360))),
    "shear": st.builds(Shear, max_deg=numbers(0, 89)),
    "vertical_flip": st.builds(VerticalFlip, probability=chances),
    "width_shift": st.builds(WidthShift, by=shifts),
    "zoom": st.builds(Zoom, by=st.one_of(numbers(0, 0.9), intervals(0.05, 20)),
                      keep_aspect=st.booleans()),
}  # fmt: skip
LINEAR = {
    "brightness": st.builds(Brightness, factor=intervals(0, 16)),
    "channel_shift": st.builds(ChannelShift, by=numbers(0, 255)),
    "contrast": st.builds(Contrast, factor=intervals(0, 16)),
}
TABLES = {
    "gamma": st.builds(Gamma, power=intervals(0.1, 10)),
    "invert": st.builds(Invert, probability=chances),
    "posterize": st.builds(Posterize, bits=st.tuples(st.integers(1, 4), st.integers(4, 8))),
    "solarize": st.builds(Solarize, threshold=intervals(0, 256), probability=chances),
    "keras_brightness": st.builds(KerasBrightness, factor=intervals(0, 16)),
}
OWN_RANGE = {"keras_channel_shift": st.builds(KerasChannelShift, by=numbers(0, 255))}
RESIZES = {
    "resize": st.builds(Resize, height=sides, width=sides, fill=numbers(0, 255),
                        fit=st.sampled_from(["stretch", "cover", "contain"]))
}  # fmt: skip
fills = {
    "fill": st.sampled_from(["constant", "mean", "noise"]),
    "level": numbers(0, 255),
    "probability": chances,
}
OCCLUSIONS = {
    "cutout": st.builds(Cutout, size=numbers(0.01, 30), holes=st.integers(1, 3), **fills),
    "erasing": st.builds(Erasing, area=intervals(0.01, 1.0), aspect_max=numbers(1, 4), **fills),
}
FINISHED = {
    "albumentations": st.builds(Albumentations, st.just(FLIP), probability=chances),
    "augmix": st.builds(AugMix, severity=st.integers(1, 10), width=st.integers(1, 5),
                        depth=st.sampled_from([(1, 3), (2, 2), (1, 1)]), all_ops=st.booleans(),
                        border=st.sampled_from(BORDERS), level=numbers(0, 255),
                        interpolation=st.sampled_from(engine.INTERPOLATIONS),
                        probability=chances),
    "autocontrast": st.builds(Autocontrast, cutoff_percent=intervals(0, 49), probability=chances),
    "colour_jitter": st.builds(ColourJitter, brightness=intervals(0, 16), contrast=intervals(0, 16),
                               saturation=intervals(0, 16), hue_max_deg=numbers(0, 180)),
    "elastic": st.builds(Elastic, alpha=intervals(0, 200), sigma_px=numbers(0.5, 16),
                         border=st.sampled_from(BORDERS), level=numbers(0, 255)),
    "equalize": st.builds(Equalize, probability=chances),
    "function": st.builds(Function, st.sampled_from([speckled, mirrored, rolled]),
                          probability=chances),
    "gaussian_blur": st.builds(GaussianBlur, sigma_px=intervals(0, 16), probability=chances),
    "gaussian_noise": st.builds(GaussianNoise, std=intervals(0, 255), probability=chances,
                                per_channel=st.booleans()),
    "grey": st.builds(Grey, probability=chances),
    "hue": st.builds(Hue, max_deg=numbers(0, 180), probability=chances),
    "jpeg_artefacts": st.builds(JpegArtefacts, probability=chances,
                                quality=st.tuples(st.integers(1, 50), st.integers(50, 100))),
    "perspective": st.builds(Perspective, distortion=numbers(0, 0.6), level=numbers(0, 255),
                             border=st.sampled_from(BORDERS)),
    "saturation": st.builds(Saturation, factor=intervals(0, 16), probability=chances),
    "sharpness": st.builds(Sharpness, factor=intervals(0, 16), probability=chances),
}  # fmt: skip
FREE = GEOMETRIC.keys() - {"crop", "pad", "resized_crop"}
INSIDE = st.one_of(*(GEOMETRIC[name] for name in sorted(FREE)), *LINEAR.values(),
                   TABLES["gamma"], TABLES["invert"], *OCCLUSIONS.values(),
                   *FINISHED.values())  # fmt: skip
magnitudes = st.sampled_from([(9, 31), (30, 31), (0, 2), (7, 10)])
POLICIES = {
    "rand_augment": st.builds(
        lambda at, **more: RandAugment(magnitude=at[0], num_magnitude_bins=at[1], **more),
        magnitudes, num_ops=st.integers(1, 4), probability=chances,
    ),
    "trivial_augment": st.builds(TrivialAugment, num_magnitude_bins=st.integers(2, 40),
                                 probability=chances),
}  # fmt: skip
CONTAINERS = {
    "one_of": st.builds(OneOf, steps=st.lists(INSIDE, min_size=1, max_size=3).map(tuple),
                        probability=chances),
    "sequence": st.builds(Sequence, steps=st.lists(INSIDE, min_size=1, max_size=3).map(tuple),
                          probability=chances),
} | POLICIES  # fmt: skip
MIXING = {
    "cutmix": st.builds(Cutmix, alpha=numbers(0.05, 8), probability=chances),
    "mixup": st.builds(Mixup, alpha=st.sampled_from([0.2, 1.0]), probability=chances),
}
STEPS = (
    GEOMETRIC | LINEAR | TABLES | OWN_RANGE | RESIZES | OCCLUSIONS | FINISHED | CONTAINERS | MIXING
)


@st.composite
def pipelines(draw, tables=True):
    """Any order that has a meaning, of up to eight steps."""
    moves = draw(st.lists(st.one_of(*GEOMETRIC.values()), max_size=4))
    tones = draw(st.lists(st.one_of(*(LINEAR | (TABLES if tables else {})).values()), max_size=3))
    if draw(st.booleans()):
        steps = [*moves, draw(OWN_RANGE["keras_channel_shift"]), *tones]
    else:
        steps = draw(st.permutations(moves + tones))
    return Pipeline(
        steps=tuple(steps),
        border=draw(st.sampled_from(BORDERS)),
        fill=(draw(numbers(0, 255)),),
        interpolation=draw(st.sampled_from(engine.INTERPOLATIONS)),
    )


@st.composite
def staged_pipelines(draw):
    """Steps that fuse, steps that do not, containers and at most one mixing step, in any order."""
    parts = [*GEOMETRIC.values(), *LINEAR.values(), TABLES["gamma"], *OCCLUSIONS.values(),
             *FINISHED.values(), *CONTAINERS.values()]  # fmt: skip
    steps = draw(st.lists(st.one_of(*parts), min_size=1, max_size=5))
    mixing = draw(st.one_of(st.none(), *MIXING.values()))
    if mixing is not None:
        steps = draw(st.permutations([*steps, mixing]))
    return Pipeline(steps=tuple(steps), border=draw(st.sampled_from(BORDERS)),
                    fill=(draw(numbers(0, 255)),))  # fmt: skip


@st.composite
def batches(draw, dtype=np.uint8, one_size=True):
    """Up to four images with pixels from a seed; narrow value ranges now and then."""
    count, channels = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    sizes = [draw(st.tuples(sides, sides))] * count
    if not one_size:
        sizes = [draw(st.tuples(sides, sides)) for _ in range(count)]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    low, high = draw(st.sampled_from([(0, 256), (100, 140), (255, 256), (0, 1)]))
    if dtype == np.uint8:
        return [rng.integers(low, high, (*size, channels), dtype=np.uint8) for size in sizes]
    scale = draw(st.sampled_from([1.0, 1 / 255, 100.0]))
    return [(rng.uniform(low, high, (*size, channels)) * scale).astype(np.float32)
            for size in sizes]  # fmt: skip


def drawn(pipeline, images, seed=1):
    """The parameters of a batch; pipelines too extreme for fixed point are not examples."""
    heights = np.array([image.shape[0] for image in images])
    widths = np.array([image.shape[1] for image in images])
    canvas = Canvas(heights, widths)
    assume(len({pipeline.output_size(*size) for size in canvas.sizes()}) == 1)
    parameters = pipeline.parameters(pipeline.draw(seed, sample_ids(len(images)), 3), canvas)
    try:
        pipeline.lower(parameters, canvas, images[0].shape[2])
    except ParameterError:
        assume(False)
    return parameters
