"""The drop-in generator's own promises; what it shares with Keras is in tests/parity."""

import pickle
import tracemalloc
import warnings

import numpy as np
import pytest

from pipelines.errors import ParameterError
from pipelines.keras_draws import draw_by_address
from pipelines.keras_generator import ImageDataGenerator
from pipelines.keras_pixels import is_unit_range
from pipelines.pipeline import Pipeline
from pipelines.transform import Canvas
from tests.golden.pipelines_cases import sample_ids
from tests.keras_generator_cases import EVERY_RANGE, images, whole_epoch


def drawn_keys(generator):
    return set(generator.get_random_transform((9, 9, 3)))


def test_a_drawn_dictionary_has_keras_names():
    """The ten of Keras 3."""
    assert drawn_keys(ImageDataGenerator()) == {
        "theta", "tx", "ty", "shear", "zx", "zy", "flip_horizontal", "flip_vertical",
        "channel_shift_intensity", "brightness",
    }  # fmt: skip


def test_without_a_seed_two_draws_differ():
    """And NumPy's global state has no say."""
    generator = ImageDataGenerator(rotation_range=90)
    found = []
    for _ in range(2):
        np.random.seed(3)  # noqa: NPY002, TID251  # what must have no effect
        found.append(generator.get_random_transform((9, 9, 3))["theta"])
    assert found[0] != found[1]


def test_numpys_global_state_is_left_alone():
    """Neither read nor set by anything that draws."""
    ImageDataGenerator().flow(images())  # imports Keras, which does change it
    np.random.seed(5)  # noqa: NPY002, TID251
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    generator = ImageDataGenerator(**EVERY_RANGE, featurewise_center=True)
    generator.fit(images(), augment=True, seed=1)
    next(generator.flow(images(), seed=1))
    generator.random_transform(images()[0], seed=1)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_a_generator_draws_what_its_pipeline_draws():
    """At equal addresses: what flow shows as epoch e is what a build stores as copy e."""
    generator = ImageDataGenerator(**EVERY_RANGE, brightness_range=(0.5, 1.5))
    ids, size = sample_ids(5), (12, 20)
    ours = draw_by_address(generator, size, seed=9, sample_ids=ids, copy=4)
    pipeline = generator.to_pipeline()
    canvas = Canvas(np.full(5, size[0]), np.full(5, size[1]))
    affine, shift, across, down, bright = pipeline.parameters(pipeline.draw(9, ids, 4), canvas)
    for row, one in enumerate(ours):
        expected = {name: values[row] for name, values in affine.items()}
        expected |= {
            "channel_shift_intensity": shift["shift_levels"][row],
            "flip_horizontal": across["flip"][row], "flip_vertical": down["flip"][row],
            "brightness": bright["factor"][row],
        }  # fmt: skip
        assert one == expected


@pytest.mark.parametrize("size", [(16, 16), (12, 20)])
def test_the_pipeline_renders_what_the_dictionaries_say(size):
    """To the byte, whether the image is square or not."""
    generator = ImageDataGenerator(**EVERY_RANGE)
    source, ids = images(6, *size), sample_ids(6)
    drawn = draw_by_address(generator, size, seed=2, sample_ids=ids, copy=1)
    rendered = generator.to_pipeline().apply(source, seed=2, sample_ids=ids, copies=1)
    for image, one, expected in zip(source, drawn, rendered, strict=True):
        np.testing.assert_array_equal(generator.apply_transform(image, one), expected)


def test_a_generator_that_changes_nothing_has_no_steps():
    """So that a build says so."""
    assert ImageDataGenerator().to_pipeline() == Pipeline(steps=(), name="keras_generator")


@pytest.mark.parametrize(("options", "name"), [
    ({"cval": -1}, "cval"),
    ({"cval": 256}, "cval"),
    ({"interpolation_order": 3}, "interpolation_order"),
    ({"channel_shift_range": 300}, "keras_channel_shift"),
], ids=str)  # fmt: skip
def test_what_cannot_be_stored_is_named(options, name):
    """In one sentence, when a pipeline is asked for and not before."""
    generator = ImageDataGenerator(**options)
    with pytest.raises(ParameterError, match=name):
        generator.to_pipeline()


def test_values_of_unit_images_become_levels_of_a_pipeline():
    """A shift of 0.2 of images in [0, 1] is one of 51 levels."""
    generator = ImageDataGenerator(channel_shift_range=0.2, cval=0.5, fill_mode="constant")
    pipeline = generator.to_pipeline(white=1.0)
    assert pipeline.steps[0].by == pytest.approx(51)
    assert pipeline.fill == (127.5,)


def test_standardisation_options_are_passed_on():
    """With Keras' overrides applied."""
    with pytest.warns(UserWarning, match="overrides"):
        generator = ImageDataGenerator(zca_whitening=True, rescale=0.5, zca_epsilon=0.1)
    found = generator.to_standardization().to_dict()
    expected = {"rescale": 0.5, "featurewise_center": True, "zca": True, "zca_epsilon": 0.1}
    assert found == expected


def test_a_function_may_return_a_number():
    """It stands for every value of the image, as in a tutorial."""
    generator = ImageDataGenerator(preprocessing_function=lambda image: image.max() * 0.5)
    source = images(3, dtype=np.float32)
    found = whole_epoch(generator.flow(source, shuffle=False, batch_size=2))
    expected = np.broadcast_to(source.max(axis=(1, 2, 3), keepdims=True) * 0.5, source.shape)
    np.testing.assert_array_equal(found, expected)


def test_a_function_is_called_before_rescaling():
    """Its result is what is rescaled."""
    generator = ImageDataGenerator(preprocessing_function=lambda image: image + 1, rescale=0.5)
    found = generator.standardize(np.full((2, 2, 1), 3.0))
    np.testing.assert_array_equal(found, np.full((2, 2, 1), 2.0))


def test_standardizing_integers_leaves_them_alone():
    """Keras cannot; floats are overwritten, as it says."""
    generator = ImageDataGenerator(rescale=1 / 255)
    levels, floats = images(1)[0], images(1, dtype=np.float32)[0]
    found = generator.standardize(levels)
    assert found.dtype == np.float32
    assert levels.max() > 1
    assert generator.standardize(floats) is floats


def test_statistics_can_be_set_by_hand():
    """As programs do that load them from a file."""
    generator = ImageDataGenerator(featurewise_center=True, featurewise_std_normalization=True)
    generator.mean, generator.std = np.float32(2), np.float32(4)
    found = generator.standardize(np.full((2, 2, 1), 10, np.float32))
    np.testing.assert_allclose(found, 2.0, rtol=1e-6)


def test_using_what_was_not_fitted_warns():
    """And leaves it out."""
    generator = ImageDataGenerator(featurewise_center=True)
    with pytest.warns(UserWarning, match="hasn't been fit"):
        found = generator.standardize(np.ones((2, 2, 1)))
    assert found.max() == 1


def test_fitting_copies_no_array():
    """What it allocates is a small part of the array."""
    source = images(2000, 16, 16, 3)
    generator = ImageDataGenerator(featurewise_center=True, rescale=1 / 255)
    generator.fit(source[:100])
    tracemalloc.start()
    generator.fit(source)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < source.nbytes / 4


def test_large_images_are_whitened_without_their_matrix():
    """12,288 values per image: the matrix of Keras would take 1.2 GB here."""
    with pytest.warns(UserWarning, match="overrides"):
        generator = ImageDataGenerator(zca_whitening=True, rescale=1 / 255)
    source = images(20, 64, 64, 3)
    generator.fit(source)
    assert generator.zca_whitening_matrix.shape == (12288, 12288)
    white = np.stack([generator.standardize(i.astype(np.float32)) for i in source]).reshape(20, -1)
    np.testing.assert_allclose(white @ white.T / 20, np.eye(20), atol=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int64, np.float16])
def test_every_dtype_is_transformed(dtype):
    """With the values of float64 SciPy, within a level."""
    generator = ImageDataGenerator()
    one = {"theta": 20, "tx": 1.5, "zx": 1.1, "channel_shift_intensity": 5, "flip_vertical": True}
    image = images(1)[0]
    found = generator.apply_transform(image.astype(dtype), one)
    expected = generator.apply_transform(image.astype(np.float64), one)
    assert np.abs(found.astype(np.float64) - expected).max() <= 1


def test_brightness_of_unit_images_is_relative_to_one():
    """Keras makes them black."""
    image = images(1)[0]
    unit = (image / 255).astype(np.float32)
    generator = ImageDataGenerator()
    found = generator.apply_transform(unit, {"brightness": 0.5})
    expected = generator.apply_transform(image, {"brightness": 0.5}) / 255
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_brightness_of_unit_images_is_announced():
    """Where a batch is going to differ from Keras'."""
    with pytest.warns(UserWarning, match="relative to 1"):
        ImageDataGenerator(brightness_range=(0.5, 1)).flow(images() / 255)


@pytest.mark.parametrize(("values", "expected"), [
    ([0.0, 1.0], False), ([0.0, 0.5], True), ([0.5, 1.5], False), ([-0.1, 0.5], False),
])  # fmt: skip
def test_unit_images_have_fractions_within_bounds(values, expected):
    """Black and white alone may be two levels."""
    assert is_unit_range(np.array(values).reshape(1, 1, 2, 1)) is expected


def test_images_are_not_changed():
    """Neither by a transform nor by flow nor by fit."""
    source = images(dtype=np.float32)
    before = source.copy()
    generator = ImageDataGenerator(**EVERY_RANGE, rescale=2.0, featurewise_center=True)
    generator.fit(source, augment=True)
    generator.random_transform(source[0])
    next(generator.flow(source))
    np.testing.assert_array_equal(source, before)


def test_a_generator_survives_pickling():
    """With its statistics, without its latest iterator."""
    generator = ImageDataGenerator(featurewise_center=True)
    generator.fit(images())
    iterator = generator.flow(images())
    again = pickle.loads(pickle.dumps(generator))
    np.testing.assert_array_equal(again.mean, generator.mean)
    assert iterator.image_data_generator is generator


def test_overridden_methods_are_obeyed():
    """By flow, image by image, with seeds by address."""

    class Marked(ImageDataGenerator):
        def get_random_transform(self, img_shape, seed=None):
            return {"seed": seed}

        def apply_transform(self, x, transform_parameters):
            return np.full_like(x, transform_parameters["seed"] % 200)

        def standardize(self, x):
            return x + 1

    source = images(6)
    found = [
        whole_epoch(Marked().flow(source, shuffle=False, batch_size=n, seed=1)) for n in (2, 5)
    ]
    np.testing.assert_array_equal(*found)
    assert len(np.unique(found[0])) > 3


def test_constructing_is_silent():
    """Defaults and ordinary parameters warn of nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ImageDataGenerator(**EVERY_RANGE, samplewise_center=True, rescale=1 / 255)
