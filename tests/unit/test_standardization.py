"""The options of a standardisation, and their application on the CPU."""

import dataclasses

import numpy as np
import pytest

from pipelines.errors import ImageContractError, ParameterError
from pipelines.standardization import (
    Standardization,
    standardization_from_dict,
    standardization_from_text,
)
from pipelines.standardizer import Standardizer
from pipelines.statistics import fit_statistics
from tests.standardization_cases import SHAPES, levels, twin

TEXTS = ("none", "unit", "symmetric", "featurewise", "samplewise", "unit+featurewise",
         "symmetric+featurewise", "symmetric+samplewise", "unit+samplewise")  # fmt: skip
EVERYTHING = Standardization(
    rescale=1 / 255, offset=-0.5, samplewise_center=True, samplewise_std=True,
    featurewise_center=True, featurewise_std=True,
)  # fmt: skip


def applied(images, standardization, statistics=None):
    return Standardizer(standardization, statistics, images.shape[1:]).apply(images)


def test_unit_brings_levels_to_zero_and_one():
    """0 and 255 are 0 and 1 exactly."""
    images = np.array([0, 255], np.uint8).reshape(1, 1, 2, 1)
    assert applied(images, standardization_from_text("unit")).ravel().tolist() == [0.0, 1.0]


def test_symmetric_brings_levels_to_minus_one_and_one():
    """0 and 255 are -1 and 1 exactly."""
    images = np.array([0, 255], np.uint8).reshape(1, 1, 2, 1)
    assert applied(images, standardization_from_text("symmetric")).ravel().tolist() == [-1.0, 1.0]


def test_none_keeps_the_levels():
    """As floats."""
    images = levels((2, 3, 4, 3))
    assert np.array_equal(applied(images, Standardization()), images.astype(np.float32))


def test_a_range_of_floats_is_scaled_from_where_it_lies():
    """Symmetric on [0, 1] sources doubles instead of dividing by 127.5."""
    made = standardization_from_text("symmetric", value_range=(0.0, 1.0))
    assert (made.rescale, made.offset) == (2.0, -1.0)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_kernel_is_its_numpy_twin(text, dtype, shape):
    """Byte for byte, for every shape, one channel or four."""
    images = levels((3, *shape), dtype=dtype)
    standardization = standardization_from_text(text)
    statistics = fit_statistics([images], standardization)
    result = applied(images, standardization, statistics)
    assert result.tobytes() == twin(images, standardization, statistics).tobytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_all_steps_together_are_the_numpy_twin(dtype):
    """Samplewise, then featurewise."""
    images = levels((4, 6, 5, 3), dtype=dtype)
    statistics = fit_statistics([images], EVERYTHING)
    result = applied(images, EVERYTHING, statistics)
    assert result.tobytes() == twin(images, EVERYTHING, statistics).tobytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("level", [0, 1, 77, 255, 0.1])
def test_a_constant_image_becomes_zeros(dtype, level):
    """Not rounding noise divided by 1e-6."""
    images = np.full((2, 33, 31, 3), level).astype(dtype)
    assert not applied(images, standardization_from_text("samplewise")).any()


def test_a_constant_training_part_becomes_zeros():
    """A channel that never varies is divided by 1e-6 after it has become 0."""
    images = np.full((3, 5, 4, 3), 201, np.uint8)
    standardization = standardization_from_text("unit+featurewise")
    statistics = fit_statistics([images], standardization)
    assert not applied(images, standardization, statistics).any()


def test_a_large_bright_image_has_its_exact_moments():
    """Sums above 2**32 are whole: one dark value in 2**24 shows."""
    images = np.full((1, 4096, 4096, 1), 255, np.uint8)
    images[0, 0, 0, 0] = 254
    count = images[0].size
    std = np.sqrt(1 / count - 1 / count**2)
    dark, bright = applied(images, standardization_from_text("samplewise"))[0, :2, 0, 0]
    assert dark == pytest.approx((1 / count - 1) / (std + 1e-6), rel=1e-6)
    assert abs(bright) < 0.07  # the mean is between two float32 levels


def test_samplewise_takes_all_channels_together():
    """One mean per image, as in Keras, not one per channel."""
    images = np.array([10, 20, 60], np.uint8).reshape(1, 1, 1, 3)
    centred = applied(images, Standardization(samplewise_center=True))
    assert centred.ravel().tolist() == [-20.0, -10.0, 30.0]


def test_a_given_array_is_filled():
    """And returned."""
    images = levels((2, 3, 4, 3))
    out = np.empty(images.shape, np.float32)
    standardizer = Standardizer(Standardization(rescale=0.5), None, (3, 4, 3))
    assert standardizer.apply(images, out) is out
    assert np.array_equal(out, images * np.float32(0.5))


def test_an_array_in_another_order_is_read_by_its_indices():
    """A transposed view gives what its copy gives."""
    images = levels((2, 4, 3, 3)).transpose(0, 2, 1, 3)
    unit = standardization_from_text("unit+samplewise")
    assert np.array_equal(applied(images, unit), applied(images.copy(), unit))


@pytest.mark.parametrize("options", [EVERYTHING, standardization_from_text("unit+zca")])
def test_no_images_give_no_numbers(options):
    """An empty batch is a batch."""
    fitted = fit_statistics([levels((2, 3, 4, 3))], options)
    assert applied(np.empty((0, 3, 4, 3), np.uint8), options, fitted).shape == (0, 3, 4, 3)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"samplewise_std": True}, "samplewise_center"),
        ({"featurewise_std": True}, "featurewise_center"),
        ({"zca": True}, "featurewise_center"),
        ({"zca": True, "featurewise_center": True, "featurewise_std": True}, "featurewise_std"),
        ({"zca_components": 3}, "zca_components"),
        ({"rescale": 0}, "rescale"),
        ({"rescale": float("nan")}, "rescale"),
        ({"rescale": True}, "rescale"),
        ({"offset": float("inf")}, "offset"),
        ({"zca_epsilon": 0.0}, "zca_epsilon"),
        ({"zca_components": 0, "zca": True, "featurewise_center": True}, "zca_components"),
        ({"zca_components": 2.0, "zca": True, "featurewise_center": True}, "zca_components"),
        ({"zca": 1}, "zca"),
        ({"whiten": True}, "standardization"),
    ],
)
def test_contradictions_are_refused(options, name):
    """What Keras overrides with a warning is an error that names the option."""
    with pytest.raises(ParameterError) as caught:
        standardization_from_dict(options)
    assert caught.value.name == name


@pytest.mark.parametrize("text", ["", "Unit", "unit+", "unit+zca+samplewise", "unit+none",
                                  "zca+unit", "featurewise+samplewise"])  # fmt: skip
def test_other_texts_are_refused(text):
    """The error lists the words."""
    with pytest.raises(ParameterError, match="unit\\+featurewise"):
        standardization_from_text(text)


def test_an_empty_range_is_refused():
    """It cannot be brought to [0, 1]."""
    with pytest.raises(ParameterError, match="value_range"):
        standardization_from_text("unit", value_range=(1.0, 1.0))


@pytest.mark.parametrize("text", [*TEXTS, "zca", "unit+zca"])
def test_options_survive_their_dict_form(text):
    """Which holds what differs from the defaults alone."""
    made = standardization_from_text(text)
    assert standardization_from_dict(made.to_dict()) == made


def test_every_option_is_in_the_fingerprint():
    """Two standardisations that may differ in a result differ in their names."""
    base = Standardization(
        rescale=2.0, samplewise_center=True, featurewise_center=True, zca=True, zca_components=5
    )
    changes = [
        {"rescale": 3.0}, {"offset": 1.0}, {"samplewise_center": False}, {"samplewise_std": True},
        {"zca_epsilon": 0.1}, {"zca_components": 6}, {"zca": False, "zca_components": None},
        {"zca": False, "zca_components": None, "featurewise_std": True},
    ]  # fmt: skip
    made = {dataclasses.replace(base, **change).fingerprint() for change in changes}
    assert len(made | {base.fingerprint()}) == len(changes) + 1


def test_a_fingerprint_stays_what_it_is():
    """Stored statistics are found by it: if it changes, every training part is fitted again."""
    unit = Standardization(rescale=0.5)
    assert unit.fingerprint().startswith("d7e3ba982f05ccd4")
    assert unit.to_dict() == {"rescale": 0.5}


def test_equal_numbers_have_one_fingerprint():
    """1 and 1.0 are the same option."""
    assert Standardization(rescale=1).fingerprint() == Standardization(rescale=1.0).fingerprint()


def test_missing_statistics_are_named():
    """Instead of Keras' warning and unstandardised images."""
    with pytest.raises(ParameterError, match="fit_statistics"):
        Standardizer(standardization_from_text("featurewise"), None, (3, 4, 3))


def test_statistics_of_other_options_are_refused():
    """Their mean is in other units."""
    fitted = fit_statistics([levels((2, 3, 4, 3))], standardization_from_text("featurewise"))
    with pytest.raises(ParameterError, match="fitted for"):
        Standardizer(standardization_from_text("unit+featurewise"), fitted, (3, 4, 3))


def test_statistics_of_other_channels_are_refused():
    """They would broadcast."""
    featurewise = standardization_from_text("featurewise")
    fitted = fit_statistics([levels((2, 3, 4, 1))], featurewise)
    with pytest.raises(ParameterError, match="3 channels"):
        Standardizer(featurewise, fitted, (3, 4, 3))


def test_whitening_of_another_size_is_refused():
    """A matrix belongs to one H, W, C."""
    zca = standardization_from_text("zca")
    fitted = fit_statistics([levels((2, 3, 4, 3))], zca)
    with pytest.raises(ParameterError, match="whitening"):
        Standardizer(zca, fitted, (4, 3, 3))


@pytest.mark.parametrize("images", [np.zeros((1, 3, 4, 1), np.uint8),
                                    np.zeros((1, 3, 4, 3), np.float64)])  # fmt: skip
def test_other_images_are_refused(images):
    """Shape and dtype were promised."""
    with pytest.raises(ImageContractError, match="expected images"):
        Standardizer(Standardization(), None, (3, 4, 3)).apply(images)


@pytest.mark.parametrize("out", [np.zeros((1, 3, 4, 1), np.float32),
                                 np.zeros((1, 3, 4, 3), np.float64)])  # fmt: skip
def test_another_out_is_refused(out):
    """It would be written past its end."""
    with pytest.raises(ImageContractError, match="expected out"):
        Standardizer(Standardization(), None, (3, 4, 3)).apply(
            np.zeros((1, 3, 4, 3), np.uint8), out
        )
