"""Keras' apply_transform and ours, from the same drawn dictionaries (decisions 15 to 17).

Thousands of dictionaries over every border, order, 14 sizes from 1×1 on, 1, 3 and 4 channels, full
and narrow value ranges. What is left out (pixels at a jump, see `keras_cases`) is counted, and the
count is bounded.
"""

import numpy as np
import pytest

from pipelines.errors import ImageContractError, ParameterError
from pipelines.keras_parameters import apply_transform
from tests.parity.keras_cases import (
    BORDERS,
    SIZES,
    drawn,
    keras_result,
    near_jump,
    synthetic,
)

ROUNDS = 12
RANGES = ((0, 255), (90, 140))
MAX_LEFT_OUT = {"nearest": 1e-5, "reflect": 1e-5, "constant": 4e-3, "wrap": 4e-3}
"""Fraction of pixels that may lie at a jump: axis-parallel moves put whole lines on the border."""


def cases(fill_mode, order, **kinds):
    """Images, dictionaries, fill value and jumps, over sizes, channels and value ranges."""
    rng = np.random.default_rng([BORDERS.index(fill_mode), order, len(kinds)])
    for height, width in SIZES:
        for channels in (1, 3, 4):
            for low, high in RANGES:
                images = synthetic(ROUNDS, height, width, channels, low, high)
                parameters = [drawn(rng, height, width, **kinds) for _ in range(ROUNDS)]
                jumps = [near_jump(p, height, width, fill_mode, order) for p in parameters]
                for given, jump in zip(parameters, jumps, strict=True):
                    if jump.any():
                        # The shift clips to the image's extremes, and a pixel that may fall on
                        # either side of a jump may be one of them.
                        given.pop("channel_shift_intensity", None)
                yield images, parameters, float(rng.uniform(0, 255)), np.stack(jumps)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("fill_mode", BORDERS)
def test_uint8_is_within_one_level_of_keras_rounded(fill_mode, order):
    """Keras' float32 result, rounded, differs from our bytes by at most 1; order 0 by nothing."""
    left_out = total = 0
    for images, parameters, cval, jumps in cases(fill_mode, order):
        ours = apply_transform(
            images, parameters, fill_mode=fill_mode, cval=cval, interpolation_order=order
        )
        theirs = np.rint(keras_result(images, parameters, fill_mode, cval, order))
        difference = np.abs(ours - theirs)[~jumps]
        assert difference.max(initial=0) <= order, (parameters, images.shape)
        left_out, total = left_out + jumps.sum(), total + jumps.size
    assert left_out <= MAX_LEFT_OUT[fill_mode] * total


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("fill_mode", BORDERS)
def test_float32_is_within_a_ten_thousandth_of_the_range(fill_mode, order):
    """Float images keep Keras' values, whatever their range and wherever the fill lies."""
    for images, parameters, cval, jumps in cases(fill_mode, order, shift=True):
        scaled = images.astype(np.float32) / 127.5 - 1
        small = [p | {"channel_shift_intensity": p.get("channel_shift_intensity", 0) / 127}
                 for p in parameters]  # fmt: skip
        for values, given, fill in ((images.astype(np.float32), parameters, cval - 300),
                                    (scaled, small, cval / 50)):  # fmt: skip
            ours = apply_transform(
                values, given, fill_mode=fill_mode, cval=fill, interpolation_order=order
            )
            theirs = keras_result(values, given, fill_mode, fill, order)
            reach = max(values.max(), fill) - min(values.min(), fill)
            difference = np.abs(ours - theirs)[~jumps].max(initial=0)
            assert difference <= 1e-4 * max(reach, 1e-3), (given, values.shape)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("fill_mode", BORDERS)
def test_brightness_is_within_its_bound(fill_mode, dtype):
    """With factor b at most max(1, ceil(b) + 1) levels, and 98 % of values within 1."""
    within = total = 0
    for images, parameters, cval, jumps in cases(fill_mode, 1, brightness=(0.0, 3.5)):
        ours = apply_transform(
            images.astype(dtype), parameters, fill_mode=fill_mode, cval=cval
        ).astype(np.float64)
        theirs = keras_result(images, parameters, fill_mode, cval, 1)
        for mine, its, jump, given in zip(ours, theirs, jumps, parameters, strict=True):
            difference = np.abs(mine - its)[~jump]
            bound = max(1, np.ceil(given["brightness"]) + 1)
            assert difference.max(initial=0) <= bound, (given, images.shape)
            within, total = within + (difference <= 1).sum(), total + difference.size
    assert within >= 0.98 * total


def test_brightness_stretches_float_images_that_leave_the_levels():
    """Images in [-1, 1] go through 8 bit stretched and come back, as Keras has it."""
    rng = np.random.default_rng(5)
    images = synthetic(20, 12, 12, 3).astype(np.float32) / 127.5 - 1
    parameters = [{"brightness": rng.uniform(0.2, 1.8)} for _ in images]
    ours = apply_transform(images, parameters)
    # One level of the 8-bit stage is 2/255; truncation may fall either way.
    np.testing.assert_allclose(
        ours, keras_result(images, parameters, "nearest", 0, 1), atol=2 * 2 / 255
    )


@pytest.mark.parametrize("fill_mode", BORDERS)
@pytest.mark.parametrize("size", [(8, 8), (7, 7), (6, 11)])
def test_pure_shifts_agree_on_every_pixel(fill_mode, size):
    """Moves along one axis need no pixel left out, whole or fractional, even at the border."""
    height, width = size
    images = synthetic(1, height, width, 3)
    offsets = [-9, -3, -1, 0, 1, 2, 5, 12, -0.5, 0.25, 2.75]
    if fill_mode == "wrap":  # whole shifts land on the seam of a wrapped border: its own test
        offsets = [o for o in offsets if o % 1]
    parameters = [{axis: offset} for axis in ("tx", "ty") for offset in offsets]
    stack = np.repeat(images, len(parameters), axis=0)
    for order in (0, 1):
        if order == 0:
            given = [p for p in parameters if 0.5 not in [abs(v) % 1 for v in p.values()]]
        else:
            given = parameters
        ours = apply_transform(
            stack[: len(given)], given, fill_mode=fill_mode, cval=9, interpolation_order=order
        )
        theirs = np.rint(keras_result(stack[: len(given)], given, fill_mode, 9.0, order))
        np.testing.assert_allclose(ours, theirs, atol=order)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3, 4, -1, 5])
@pytest.mark.parametrize("side", [1, 2, 7, 16, 33])
def test_right_angles_turn_exactly(quarters, side):
    """Where SciPy's cosine of 90° is 6e-17 and its edge falls outside, ours is `np.rot90`."""
    images = synthetic(2, side, side, 3)
    for fill_mode in BORDERS:
        ours = apply_transform(images, [{"theta": 90.0 * quarters}] * 2, fill_mode=fill_mode)
        np.testing.assert_array_equal(ours, np.rot90(images, quarters, axes=(1, 2)))


@pytest.mark.parametrize("theta", [90, 180, 270])
def test_right_angles_agree_with_keras_inside(theta):
    """At right angles the picture without its outermost line is Keras' to the level."""
    images = synthetic(1, 20, 20, 3)
    ours = apply_transform(images, [{"theta": theta}], fill_mode="constant")
    theirs = np.rint(keras_result(images, [{"theta": theta}], "constant", 0, 1))
    np.testing.assert_allclose(ours[:, 1:-1, 1:-1], theirs[:, 1:-1, 1:-1], atol=1)


def test_neutral_parameters_return_the_image():
    """Without anything to do, the bytes stay, at every size."""
    for height, width in SIZES:
        images = synthetic(2, height, width, 4)
        for fill_mode in BORDERS:
            kept = apply_transform(images, [{}, {"theta": 0, "zx": 1, "brightness": None}],
                                   fill_mode=fill_mode)  # fmt: skip
            np.testing.assert_array_equal(kept, images)


def test_the_centre_is_exchanged_when_the_image_is_not_square():
    """Half a turn of a 4×8 image about Keras' centre (column 1.5, row 3.5) shows one corner."""
    images = synthetic(1, 4, 8, 1)
    ours = apply_transform(images, [{"theta": 180.0}], fill_mode="constant", cval=7)
    expected = np.full((1, 4, 8, 1), 7, np.uint8)
    expected[:, :, :4] = 7  # rows 7 - r lie outside for r < 4
    np.testing.assert_array_equal(ours, expected)
    theirs = keras_result(images, [{"theta": 180.0}], "constant", 7.0, 1)
    np.testing.assert_array_equal(ours, np.rint(theirs))


def test_what_is_drawn_by_keras_is_understood():
    """Every key of `get_random_transform` is taken, with its own types and absences."""
    from tests.parity.keras_cases import ImageDataGenerator

    generator = ImageDataGenerator(
        rotation_range=30, width_shift_range=[0.1, 0.2], height_shift_range=2, shear_range=10,
        zoom_range=0.2, channel_shift_range=20.0, horizontal_flip=True, vertical_flip=True,
        brightness_range=(0.5, 1.5),
    )  # fmt: skip
    images = synthetic(8, 15, 15, 3)
    given = [generator.get_random_transform((15, 15, 3), seed=s) for s in range(8)]
    ours = apply_transform(images, given)
    theirs = keras_result(images, given, "nearest", 0, 1)
    assert np.abs(ours - theirs).max() <= 3


@pytest.mark.parametrize(
    ("parameters", "options", "named"),
    [
        ([{"tetha": 3}], {}, "tetha"),
        ([{"theta": np.nan}], {}, "theta"),
        ([{"theta": 1e300}], {}, "theta"),
        ([{"theta": -(2**40)}], {}, "theta"),
        ([{"shear": 10**400}], {}, "shear"),
        ([{"tx": np.float64(np.inf)}], {}, "tx"),
        ([{"zx": np.int64(-(2**63))}], {}, "zx"),
        ([{"zy": 1j}], {}, "zy"),
        ([{"channel_shift_intensity": 1e39}], {}, "channel_shift_intensity"),
        ([{"brightness": 1e300}], {}, "brightness"),
        ([{"zx": "1"}], {}, "zx"),
        ([{"zx": 2.0**39, "zy": 2.0**39, "tx": 2.0**39}], {}, "drawn matrix"),
        ([], {}, "1 dictionaries"),
        ([{}], {"fill_mode": "mirror"}, "fill_mode"),
        ([{}], {"interpolation_order": 3}, "interpolation_order"),
    ],
)
def test_what_cannot_be_run_is_refused(parameters, options, named):
    """Unknown names, values and options are named, not ignored."""
    with pytest.raises(ParameterError, match=named):
        apply_transform(synthetic(1, 4, 4, 1), parameters, **options)


def test_many_turns_are_the_angle_that_is_left():
    """Below the bound an angle keeps its fractions: whole turns more change nothing."""
    images = synthetic(1, 9, 9, 3)
    once = apply_transform(images, [{"theta": 37.25}])
    often = apply_transform(images, [{"theta": 37.25 + 360.0 * 2**30}])
    np.testing.assert_array_equal(often, once)


def test_images_of_another_dtype_are_refused():
    """Only uint8 and float32 are images."""
    with pytest.raises(ImageContractError, match="float64"):
        apply_transform(np.zeros((1, 4, 4, 1)), [{}])


@pytest.mark.parametrize("fill_mode", BORDERS)
def test_large_images_keep_the_precision(fill_mode):
    """Coordinates are stepped across 900 columns without drifting."""
    rng = np.random.default_rng(9)
    images = synthetic(4, 640, 900, 3)
    parameters = [drawn(rng, 640, 900) for _ in images]
    jumps = np.stack([near_jump(p, 640, 900, fill_mode, 1) for p in parameters])
    for given in parameters:
        given.pop("channel_shift_intensity", None)
    theirs = keras_result(images, parameters, fill_mode, 80.0, 1)
    ours = apply_transform(images, parameters, fill_mode=fill_mode, cval=80.0)
    assert np.abs(ours - np.rint(theirs))[~jumps].max() <= 1
    ours = apply_transform(images.astype(np.float32), parameters, fill_mode=fill_mode, cval=80.0)
    assert np.abs(ours - theirs)[~jumps].max() <= 255e-4
    assert jumps.mean() <= MAX_LEFT_OUT[fill_mode]
