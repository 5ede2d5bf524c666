"""What holds for every pipeline, size, border and batch.

`STEPS` has a strategy for each transform of the registry; an architecture test asks for it.
"""

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pipelines import engine, kernels, reference
from pipelines.albumentations_code import Albumentations
from pipelines.augmix import AugMix
from pipelines.blending import SLACK_BYTES
from pipelines.colour import ColourJitter, Grey, Hue, Saturation
from pipelines.composition import OneOf, Sequence
from pipelines.compression import JpegArtefacts
from pipelines.contract import Arena, pack
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
from pipelines.rendering import Pool
from pipelines.resizing import Resize, resample, resample_reference
from pipelines.transform import Canvas, Geometric
from pipelines.user_code import Function
from tests.golden.pipelines_cases import FLIP, run, sample_ids
from tests.golden.user_functions import mirrored, rolled, speckled

checked = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


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


@checked
@given(pipelines(), batches())
def test_the_kernel_equals_its_twin_for_uint8(pipeline, images):
    """Byte for byte, whatever is drawn."""
    parameters = drawn(pipeline, images)
    fast = run(pipeline, images, parameters)
    np.testing.assert_array_equal(fast, run(pipeline, images, parameters, plain=True))


@checked
@given(pipelines(), batches(one_size=False))
def test_the_kernel_equals_its_twin_for_images_of_several_sizes(pipeline, images):
    """Where a crop or nothing but one size makes them end alike."""
    last = Crop(height=7, width=9, id="last")
    if any(step.clips_to_image_range for step in pipeline.steps if hasattr(step, "tone")):
        assume(False)
    pipeline = Pipeline(steps=(*pipeline.steps, last), border=pipeline.border, fill=pipeline.fill,
                        interpolation=pipeline.interpolation)  # fmt: skip
    parameters = drawn(pipeline, images)
    fast = run(pipeline, images, parameters)
    np.testing.assert_array_equal(fast, run(pipeline, images, parameters, plain=True))


@checked
@given(pipelines(tables=False), batches(np.float32), st.sampled_from([None, (0.0, 255.0), (-1, 1)]))
def test_the_kernel_equals_its_twin_for_float32(pipeline, images, value_range):
    """Bit for bit: IEEE single precision without contraction."""
    assume(not any(isinstance(step, ResizedCrop) for step in pipeline.steps))
    parameters = drawn(pipeline, images)
    fast = run(pipeline, images, parameters, value_range=value_range)
    plain = run(pipeline, images, parameters, plain=True, value_range=value_range)
    np.testing.assert_array_equal(fast, plain)


@checked
@given(staged_pipelines(), batches())
def test_stages_equal_their_twins(pipeline, images):
    """Whatever fuses, stands alone, is spared or is mixed."""
    parameters = drawn(pipeline, images)
    fast = run(pipeline, images, parameters)
    np.testing.assert_array_equal(fast, run(pipeline, images, parameters, plain=True))


@checked
@given(staged_pipelines(), batches())
def test_a_staged_image_does_not_depend_on_its_batch(pipeline, images):
    """A row is what it is alone, with its partner wherever that is."""
    drawn(pipeline, images)
    stack, ids = np.stack(images), sample_ids(len(images))
    whom = {"seed": 5, "copies": 9, "pool": Pool(stack, ids)}
    try:
        together = pipeline.apply(stack, sample_ids=ids, **whom)
        alone = [pipeline.apply([image], sample_ids=ids[row : row + 1], **whom)[0]
                 for row, image in enumerate(images)]  # fmt: skip
    except ParameterError:
        assume(False)
    np.testing.assert_array_equal(together, np.stack(alone))


@checked
@given(batches(), st.booleans(), st.booleans())
def test_halving_equals_its_twin_and_loses_nothing(images, columns, rows):
    """Ceil-halved sides, and no level that the image lacks."""
    image = images[0]
    halved = kernels.halve(image, columns, rows)
    np.testing.assert_array_equal(halved, reference.halve(image, columns, rows))
    height, width, channels = image.shape
    expected = ((height + 1) // 2 if rows else height, (width + 1) // 2 if columns else width)
    assert halved.shape == (*expected, channels)
    assert image.min() <= halved.min()
    assert halved.max() <= image.max()
    if not (columns or rows):
        np.testing.assert_array_equal(halved, image)


@checked
@given(st.integers(1, 60), st.integers(1, 60), sides, sides, st.integers(1, 4))
def test_the_resize_equals_its_definition(height, width, to_height, to_width, channels):
    """Two integer matrix products."""
    index = np.arange(height * width * channels, dtype=np.uint64)
    image = (index * np.uint64(2654435761) >> np.uint64(9)).astype(np.uint8)
    image = image.reshape(height, width, channels)
    np.testing.assert_array_equal(
        resample(image, to_height, to_width), resample_reference(image, to_height, to_width)
    )


@checked
@given(pipelines(), batches(), st.randoms(use_true_random=False))
def test_an_image_does_not_depend_on_its_batch(pipeline, images, shuffler):
    """A permuted batch gives permuted results, and a row is what it is alone."""
    drawn(pipeline, images)
    stack, ids = np.stack(images), sample_ids(len(images))
    copies = np.arange(len(images)) * 1000
    order = list(range(len(images)))
    shuffler.shuffle(order)
    together = pipeline_or_skip(pipeline, stack, ids, copies)
    permuted = pipeline_or_skip(pipeline, stack[order], ids[order], copies[order])
    np.testing.assert_array_equal(permuted, together[order])
    for row in range(len(images)):
        alone = pipeline_or_skip(pipeline, stack[row : row + 1], ids[row : row + 1], copies[row])
        np.testing.assert_array_equal(alone[0], together[row])


def pipeline_or_skip(pipeline, images, ids, copies):
    try:
        return pipeline.apply(images, seed=5, sample_ids=ids, copies=copies)
    except ParameterError:
        assume(False)


@checked
@given(pipelines(), batches(), st.one_of(st.none(), *RESIZES.values()))
def test_a_batch_read_in_place_equals_one_laid_out_anew(pipeline, images, resize):
    """An array and a list of the same images give the same bytes, and neither is written."""
    drawn(pipeline, images)
    if resize is not None:
        pipeline = Pipeline(steps=(resize, *pipeline.steps), border=pipeline.border,
                            fill=pipeline.fill, interpolation=pipeline.interpolation)  # fmt: skip
    stack, ids = np.stack(images), sample_ids(len(images))
    kept = stack.copy()
    in_place = pipeline_or_skip(pipeline, stack, ids, 1)
    laid_out = pipeline_or_skip(pipeline, images, ids, 1)
    np.testing.assert_array_equal(in_place, laid_out)
    np.testing.assert_array_equal(stack, kept)
    assert in_place.shape[1:3] == pipeline.output_size(*stack.shape[1:3])


@checked
@given(pipelines(), batches(), st.sampled_from([HorizontalFlip, VerticalFlip]))
def test_flipping_twice_is_not_flipping(pipeline, images, flip):
    """Fused into any pipeline, two flips of one axis cancel."""
    assume(not any(isinstance(s, Geometric) and not s.brings_in_border for s in pipeline.steps))
    parameters = drawn(pipeline, images)
    twice = (flip(probability=1, id="first"), flip(probability=1, id="second"))
    flipped = Pipeline(steps=(*pipeline.steps, *twice), border=pipeline.border, fill=pipeline.fill,
                       interpolation=pipeline.interpolation)  # fmt: skip
    yes = {"flip": np.ones(len(images))}
    np.testing.assert_array_equal(
        run(flipped, images, [*parameters, yes, yes]), run(pipeline, images, parameters)
    )


@checked
@given(batches(), st.sampled_from([HorizontalFlip, VerticalFlip]))
def test_a_flip_is_an_involution(images, flip):
    """Run twice, the image is back."""
    pipeline = Pipeline(steps=(flip(probability=1),))
    yes = [{"flip": np.ones(len(images))}]
    np.testing.assert_array_equal(run(pipeline, run(pipeline, images, yes), yes), np.stack(images))


@checked
@given(pipelines(), sides, sides)
def test_the_output_size_is_the_one_announced(pipeline, height, width):
    """Before anything is drawn."""
    images = [np.zeros((height, width, 1), np.uint8)]
    parameters = drawn(pipeline, images)
    assert run(pipeline, images, parameters).shape[1:3] == pipeline.output_size(height, width)


def arena_with_gaps(images, poison):
    """The images laid out with poisoned room before, between and behind them."""
    channels = images[0].shape[2]
    gap = max(image.shape[1] for image in images) * channels + SLACK_BYTES
    starts = np.cumsum([gap, *(image.size + gap for image in images)])
    values = np.full(starts[-1] + gap, poison, dtype=images[0].dtype)
    for image, start in zip(images, starts[:-1], strict=True):
        values[start : start + image.size] = image.reshape(-1)
    heights, widths = (np.array([image.shape[axis] for image in images]) for axis in (0, 1))
    return Arena(values, starts[:-1].astype(np.int64), heights, widths, channels)


@checked
@given(st.sampled_from([np.uint8, np.float32]), st.data())
def test_memory_beside_the_images_has_no_influence_and_stays_as_it_is(dtype, data):
    """Poison around the sources never shows, guards around the output are never written."""
    pipeline = data.draw(pipelines(tables=dtype == np.uint8))
    assume(dtype == np.uint8 or not any(isinstance(s, ResizedCrop) for s in pipeline.steps))
    images = data.draw(batches(dtype))
    parameters = drawn(pipeline, images)
    expected = run(pipeline, images, parameters)
    guard = 4096
    for poison in (0, 255):
        arena = arena_with_gaps(images, poison)
        before = arena.values.copy()
        buffer = np.full(expected.size + 2 * guard, 171, dtype=dtype)
        out = buffer[guard:-guard].reshape(expected.shape)
        pipeline.render(parameters, arena, out)
        np.testing.assert_array_equal(out, expected)
        assert (buffer[:guard] == 171).all()
        assert (buffer[-guard:] == 171).all()
        np.testing.assert_array_equal(arena.values, before)


@checked
@given(batches(one_size=False), st.permutations(range(4)))
def test_an_arena_gives_its_images_back(images, order):
    """Packed, picked and repeated."""
    arena = pack(images)
    rows = np.array([row % len(images) for row in order])
    taken = arena.take(rows)
    for place, row in enumerate(rows):
        np.testing.assert_array_equal(taken.image(place), images[row])
