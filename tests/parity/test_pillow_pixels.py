"""Steps that Pillow and SciPy have too, on drawn parameters: equal bytes, or the stated bound."""

import colorsys

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from scipy.ndimage import gaussian_filter, map_coordinates

from pipelines.colour import ORDERS, ColourJitter, Grey, Hue, Saturation
from pipelines.geometric import ResizedCrop
from pipelines.histogram import Autocontrast, Equalize
from pipelines.levels import blended, blended_reference
from pipelines.neighbourhood import GaussianBlur, Sharpness
from pipelines.photometric import Invert, Posterize, Solarize
from pipelines.pipeline import Pipeline
from pipelines.transform import Canvas
from tests.golden.pipelines_cases import run, run_step, sample_ids

COUNT = 24
HUE_BOUND = 14
"""Levels between our hue and that of Pillow's 8-bit HSV."""
SIZES = ((1, 1), (2, 9), (3, 3), (23, 31))


def pictures(height, width, channels):
    """Noise, narrow ranges, few levels, one level: (COUNT, H, W, C) uint8."""
    rng = np.random.default_rng(height * 100 + width * 10 + channels)
    images = rng.integers(0, 256, (COUNT, height, width, channels), dtype=np.uint8)
    images[1::4] = images[1::4] // 5 + 90
    images[2::4] = images[2::4] // 100 * 100
    images[3::4] = np.maximum(images[3::4], 200)
    images[-1] = 77
    return images


def drawn(step):
    """Parameters of COUNT addresses."""
    canvas = Canvas(np.full(COUNT, 9), np.full(COUNT, 9))
    pipeline = Pipeline(steps=(step,))
    return pipeline.parameters(pipeline.draw(11, sample_ids(COUNT), 2), canvas)[0]


def as_pillow(image):
    return Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)


def expected(images, change):
    """What a function of (Pillow image, row) makes of each image."""
    return np.stack([np.asarray(change(as_pillow(image), row)).reshape(image.shape)
                     for row, image in enumerate(images)])  # fmt: skip


def check(step, change, sizes=SIZES, channels=(1, 3)):
    """Kernel and twin against Pillow; ``change`` gets a Pillow image and the row's parameters."""
    parameters = drawn(step)

    def changed(image, row):
        return change(image, {name: float(values[row]) for name, values in parameters.items()})

    for height, width in sizes:
        for count in channels:
            images = pictures(height, width, count)
            wanted = expected(images, changed)
            for plain in (False, True):
                result = run_step_with(step, images, parameters, plain)
                np.testing.assert_array_equal(result, wanted, err_msg=f"{height}×{width}×{count}")


def run_step_with(step, images, parameters, plain):
    return run(Pipeline(steps=(step,)), images, [parameters], plain=plain)


def test_grey_is_pillows_l():
    """In every channel."""
    check(Grey(), lambda image, _: image.convert("L").convert(image.mode))


def test_saturation_is_pillows_color():
    """Alpha stays; grey images stay."""
    step = Saturation(factor=(0, 4))
    check(step, lambda image, p: ImageEnhance.Color(image).enhance(p["factor"]), channels=(1, 3, 4))


def test_sharpness_is_pillows():
    """Alpha and the outermost pixels stay."""
    step = Sharpness(factor=(0, 4))
    check(step, lambda image, p: ImageEnhance.Sharpness(image).enhance(p["factor"]),
          channels=(1, 3, 4))  # fmt: skip


def test_every_blend_of_two_levels_is_pillows():
    """All 65,536 pairs, inside and outside of [0, 1]: single precision, the fraction dropped."""
    flat, level = (a.astype(np.int32) for a in np.mgrid[0:256, 0:256])
    both = [Image.fromarray(a.astype(np.uint8)) for a in (flat, level)]
    for factor in (*np.random.default_rng(0).uniform(0, 16, 40), 0.0, 0.1, 0.5, 1.0, 2.0):
        wanted = np.asarray(Image.blend(*both, float(factor)))
        found = blended_reference(flat, level, np.float32(factor))
        np.testing.assert_array_equal(found, wanted)
        for one, other in ((0, 255), (255, 0), (17, 18), (200, 3)):
            pair = np.int32(one), np.int32(other), np.float32(factor)
            assert blended(*pair) == wanted[one, other]


def test_invert_is_pillows():
    """A table that fuses."""
    check(Invert(), lambda image, _: ImageOps.invert(image))


def test_posterize_is_pillows():
    """For 1 to 8 bits."""
    check(Posterize(bits=(1, 8)), lambda image, p: ImageOps.posterize(image, int(p["bits"])))


def test_solarize_is_pillows():
    """The threshold itself is inverted."""
    step = Solarize(threshold=(0, 256))
    check(step, lambda image, p: ImageOps.solarize(image, p["threshold_levels"]))
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    for threshold in (0, 1, 128, 255, 256):
        found = run_step(step, levels, {"threshold_levels": np.array([float(threshold)])})
        wanted = np.asarray(ImageOps.solarize(as_pillow(levels[0]), threshold))
        np.testing.assert_array_equal(found[0, :, :, 0], wanted)


def test_equalize_is_pillows():
    """Also of few pixels, where a step is no pixel wide, and where tables pass 255."""
    sizes = (*SIZES, (15, 17), (16, 16), (20, 25), (30, 34), (64, 64))
    check(Equalize(), lambda image, _: ImageOps.equalize(image), sizes=sizes)


def test_autocontrast_is_pillows():
    """Without a cutoff, and with drawn ones in percent."""
    sizes = (*SIZES, (64, 64))
    check(Autocontrast(), lambda image, _: ImageOps.autocontrast(image), sizes=sizes)
    step = Autocontrast(cutoff_percent=(0, 49))
    check(step, lambda image, p: ImageOps.autocontrast(image, p["cutoff_percent"]), sizes=sizes)


@pytest.mark.parametrize("cutoff", [1.0, 7.0, 10.0, 29.0, 33.3, 49.0])
def test_autocontrast_cuts_as_many_pixels_as_pillow(cutoff):
    """Of 100, so that whole percents are whole pixels."""
    images = pictures(10, 10, 3)
    found = run_step(Autocontrast(), images, {"cutoff_percent": np.full(COUNT, cutoff)})
    wanted = expected(images, lambda image, _: ImageOps.autocontrast(image, cutoff))
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_colour_jitter_is_made_of_pillows_enhancers(name):
    """One at a time, the others at 1: torchvision's functions of Pillow images."""
    kind = {"brightness": "Brightness", "contrast": "Contrast", "saturation": "Color"}[name]
    enhancer = getattr(ImageEnhance, kind)
    step = ColourJitter(**{name: (0.0, 3.0)})
    check(step, lambda image, p: enhancer(image).enhance(p[name]), channels=(1, 3, 4))


def test_colour_jitter_keeps_the_order_it_drew():
    """Whole levels between the changes, as in torchvision; the hue is the step `hue`."""
    step = ColourJitter(brightness=(0.5, 1.5), contrast=(0.5, 1.5), saturation=(0.5, 1.5),
                        hue_max_deg=90)  # fmt: skip
    parameters = drawn(step)
    parameters["order"] = np.arange(24.0)

    def torchvision(image, row):
        p = {name: float(values[row]) for name, values in parameters.items()}
        for place in ORDERS[int(p["order"])]:
            if place == 3:
                angle = {"angle_deg": np.array([p["hue_deg"]])}
                image = as_pillow(run_step(Hue(max_deg=180), np.asarray(image)[None], angle)[0])
            else:
                enhancer = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
                factor = p[("brightness", "contrast", "saturation")[place]]
                image = enhancer[place](image).enhance(factor)
        return image

    images = pictures(13, 8, 3)
    wanted = expected(images, torchvision)
    for plain in (False, True):
        np.testing.assert_array_equal(run_step_with(step, images, parameters, plain), wanted)


@pytest.mark.parametrize("angle", [-180.0, -123.4, -60.0, -0.5, 7.0, 36.0, 120.0, 179.9])
def test_hue_is_that_of_colorsys(angle):
    """Within rounding to whole levels, of double precision."""
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 16, 3)
    found = run_step(Hue(max_deg=180), cube, {"angle_deg": np.array([angle])})
    for before, after in zip(cube.reshape(-1, 3), found.reshape(-1, 3), strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*(before / 255))
        exact = np.array(colorsys.hsv_to_rgb((hue + angle / 360) % 1, saturation, value)) * 255
        assert np.abs(after - exact).max() <= 0.51


def test_hue_stays_within_a_bound_of_torchvisions():
    """Its function of Pillow images: 8-bit HSV, the hue moved by whole 255ths."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (1, 256, 256, 3), dtype=np.uint8)
    images[0, :80] //= 6
    worst = 0
    for turn in np.linspace(-0.5, 0.5, 21):
        hue, *others = Image.fromarray(images[0]).convert("HSV").split()
        moved = (np.asarray(hue).astype(int) + int(turn * 255)).astype(np.uint8)
        wanted = Image.merge("HSV", (Image.fromarray(moved), *others)).convert("RGB")
        angle = {"angle_deg": np.array([int(turn * 255) / 255 * 360])}
        found = run_step(Hue(max_deg=180), images, angle)[0].astype(int)
        worst = max(worst, np.abs(found - np.asarray(wanted)).max())
    assert 1 < worst <= HUE_BOUND


def test_a_resized_crop_is_scipys():
    """Pixel centres of the window, read bilinearly, rounded; the weights have 14 bits."""
    step = ResizedCrop(height=40, width=50, area=(0.05, 0.9), aspect_max=2.0)
    pipeline = Pipeline(steps=(step,))
    canvas = Canvas(np.full(COUNT, 23), np.full(COUNT, 31))
    parameters = pipeline.parameters(pipeline.draw(11, sample_ids(COUNT), 2), canvas)
    images = pictures(23, 31, 3)
    found = run(pipeline, images, parameters)
    window = parameters[0]
    for row, image in enumerate(images):
        x, y = (
            (np.arange(count) + 0.5) * window[f"{side}_px"][row] / count
            + window[f"{start}_px"][row] - 0.5
            for count, side, start in ((50, "width", "left"), (40, "height", "top"))
        )  # fmt: skip
        for channel in range(3):
            plane = image[:, :, channel].astype(float)
            expected = map_coordinates(plane, np.meshgrid(y, x, indexing="ij"), order=1,
                                       mode="nearest")  # fmt: skip
            assert np.abs(found[row, :, :, channel] - expected).max() <= 0.55


@pytest.mark.parametrize("sigma", [0.0, 0.1, 0.3, 0.8, 1.0, 2.5, 6.0, 16.0])
def test_gaussian_blur_is_scipys(sigma):
    """Within 0.6 levels of double precision, however small the image."""
    for height, width in (*SIZES, (50, 40)):
        images = pictures(height, width, 3)
        images[4] = 255 * (np.add.outer(np.arange(height), np.arange(width)) % 7 > 3)[:, :, None]
        found = run_step(
            GaussianBlur(sigma_px=(0, 16)), images, {"sigma_px": np.full(COUNT, sigma)}
        )
        wanted = images.astype(np.float64)
        if sigma:
            wanted = gaussian_filter(wanted, (0, sigma, sigma, 0), mode="reflect")
        assert np.abs(found - wanted).max() <= 0.6
