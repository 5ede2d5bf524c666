"""What holds for every pipeline, size, border and batch."""

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pipelines import kernels, reference
from pipelines.blending import SLACK_BYTES
from pipelines.contract import Arena, pack
from pipelines.errors import ParameterError
from pipelines.geometric import (
    Crop,
    HorizontalFlip,
    ResizedCrop,
    VerticalFlip,
)
from pipelines.pipeline import Pipeline
from pipelines.rendering import Pool
from pipelines.resizing import resample, resample_reference
from pipelines.transform import Geometric
from tests.golden.pipelines_cases import run, sample_ids
from tests.property.strategies import (
    RESIZES,
    batches,
    drawn,
    pipelines,
    sides,
    staged_pipelines,
)

checked = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
staged = settings(checked, max_examples=100)  # examples of several stages take a tenth of a second


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


@staged
@given(staged_pipelines(), batches())
def test_stages_equal_their_twins(pipeline, images):
    """Whatever fuses, stands alone, is spared or is mixed."""
    parameters = drawn(pipeline, images)
    fast = run(pipeline, images, parameters)
    np.testing.assert_array_equal(fast, run(pipeline, images, parameters, plain=True))


@staged
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
