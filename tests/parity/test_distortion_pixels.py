"""Bent images beside SciPy's and Pillow's, on drawn parameters, and what follows them."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from pipelines.distortion import Elastic, Perspective, _corners
from pipelines.errors import ParameterError
from pipelines.fields import keys_of, noise_of_images
from pipelines.filtering import gaussian_weights
from pipelines.kernels import BORDERS
from pipelines.pipeline import Pipeline
from pipelines.projection import inverted, project, square_to_corners
from pipelines.resampling import interpolate, pick
from pipelines.transform import Canvas
from tests.golden.pipelines_cases import run_step, sample_ids, synthetic

COUNT = 6
SIZES = ((1, 1), (1, 9), (28, 28), (33, 46), (120, 90))
STEPS = {
    "elastic": Elastic(alpha=(20, 34), sigma_px=4),
    "strong elastic": Elastic(alpha=(0, 200), sigma_px=9.5),
    "perspective": Perspective(),
    "strong perspective": Perspective(distortion=0.6),
}
IDENTITIES = {
    "elastic": Elastic(alpha=(0, 0), sigma_px=3),
    "perspective": Perspective(distortion=0),
}


def canvas_of(height, width, count=COUNT):
    return Canvas(np.full(count, height), np.full(count, width))


def drawn(step, height, width, count=COUNT):
    pipeline = Pipeline(steps=(step,))
    words = pipeline.draw(11, sample_ids(count), 2)
    return pipeline.parameters(words, canvas_of(height, width, count))[0]


def located(step, height, width, plain=False):
    """(n, 2, H, W) float64 pixels: where each pixel is read."""
    parameters = drawn(step, height, width)
    return step.locate(parameters, height, width, plain=plain) / 2.0**14


def with_options(step, **options):
    kept = {name: value for name, value in step.options().items() if name not in options}
    return type(step)(**kept, **options)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sigma", [0.5, 1, 2.5, 4, 8, 13, 16])
def test_elastic_coordinates_are_scipys_within_the_stated_bound(sigma, size):
    """alpha / 2000 pixels on drawn noise, and the rounding to 2**-14."""
    step = Elastic(alpha=(5, 300), sigma_px=sigma)
    parameters = drawn(step, *size)
    bytes_ = noise_of_images(keys_of(parameters), 2 * size[0] * size[1])
    noise = (2.0 * bytes_.reshape(COUNT, 2, *size) - 255) / 255
    grid = np.mgrid[: size[0], : size[1]][::-1]
    found = located(step, *size)
    for row, alpha in enumerate(parameters["alpha"]):
        smooth = np.stack([gaussian_filter(field, sigma) for field in noise[row]])
        assert np.abs(found[row] - grid - alpha * smooth).max() < alpha / 2000 + 2**-15


@pytest.mark.parametrize("sigma", [0.5, 0.9, 2.5, 4, 7.3, 11.5, 13.7, 15.9, 16])
def test_no_noise_can_lead_beyond_the_stated_bound(sigma):
    """alpha / 180 pixels: what the rounded weights differ from SciPy's in all, for both passes."""
    weights = gaussian_weights(np.array([sigma]))[0]
    impulse = np.zeros(2 * len(weights) - 1)
    impulse[len(weights) - 1] = 1
    exact = gaussian_filter(impulse, sigma)
    rounded = np.concatenate([weights[:0:-1], weights]) / 2**14
    assert 2 * np.abs(rounded - exact).sum() < 1 / 180


def test_elastic_pixels_move_as_far_as_stated():
    """0.163 · alpha / sigma, root mean square, along each axis, away from the sides."""
    moved = located(Elastic(alpha=(34, 34), sigma_px=4), 250, 250)
    moved -= np.mgrid[:250, :250][::-1]
    inner = moved[:, :, 16:-16, 16:-16]
    assert np.sqrt((inner**2).mean()) == pytest.approx(0.163 * 34 / 4, rel=0.02)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_elastic_values_are_scipys_within_one_level(border, channels):
    """map_coordinates of order 1 at the same coordinates, rounded."""
    step = Elastic(alpha=(20, 400), sigma_px=4, border=border, level=77.0)
    for height, width in SIZES:
        images = synthetic(COUNT, height, width, channels)
        result = run_step(step, images, drawn(step, height, width))
        for image, after, (x, y) in zip(images, result, located(step, height, width), strict=True):
            for channel in range(channels):
                expected = map_coordinates(image[..., channel].astype(float), [y, x], order=1,
                                           mode=border, cval=77.0)  # fmt: skip
                assert np.abs(after[..., channel] - expected).max() < 1


def pillows(image, corners):
    """Pillow's picture, and which of its pixels show the image."""
    height, width, _ = image.shape
    maps = inverted(square_to_corners(corners[None]))[0].reshape(3, 3)
    maps = np.diag([width, height, 1]) @ maps
    coefficients = (maps / maps[2, 2]).ravel()[:8].tolist()

    def transform(picture):
        changed = picture.transform((width, height), Image.Transform.PERSPECTIVE, coefficients,
                                    Image.Resampling.BILINEAR)  # fmt: skip
        return np.asarray(changed)

    white = np.full((height, width), 255, np.uint8)
    return transform(Image.fromarray(image)), transform(Image.fromarray(white)) == 255


@pytest.mark.parametrize("border", ["nearest", "constant"])
def test_perspective_is_pillows_within_one_level(border):
    """Wherever Pillow shows the image; the same corners for both."""
    step = Perspective(border=border, level=200.0)
    for height, width in ((28, 28), (33, 46), (120, 90)):
        images, parameters = synthetic(COUNT, height, width, 3), drawn(step, height, width)
        result = run_step(step, images, parameters)
        for image, after, corners in zip(images, result, _corners(parameters), strict=True):
            expected, shown = pillows(image, corners)
            assert shown.mean() > 0.2
            assert np.abs(after.astype(int) - expected)[shown].max() <= 1
            if border == "constant":
                hidden = (after == 200).all(axis=-1) & ~shown
                assert hidden.sum() >= 0.98 * (~shown).sum()


def test_the_corners_of_the_image_come_to_lie_where_they_were_drawn():
    """The map there and the map back."""
    parameters = drawn(Perspective(), 33, 46)
    corners = _corners(parameters)
    maps = square_to_corners(corners)
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=float)
    for row in range(COUNT):
        there = project(np.repeat(maps[row : row + 1], 4, axis=0), square)
        np.testing.assert_allclose(there, corners[row], atol=1e-10)
        back = project(np.repeat(inverted(maps[row : row + 1]), 4, axis=0), there)
        np.testing.assert_allclose(back, square, atol=1e-10)


def test_drawn_corners_stay_in_their_part_of_the_image():
    """Up to distortion times half a side inward, uniformly."""
    words = np.random.default_rng(8).integers(0, 2**32, (3000, 8), dtype=np.uint32)
    corners = _corners(Perspective(distortion=0.4).draw(words, canvas_of(50, 100, 3000)))
    far = np.array([[0, 0], [100, 0], [100, 50], [0, 50]])
    inward = np.abs(corners - far)
    assert (inward >= 0).all()
    assert (inward <= [20, 10]).all()
    np.testing.assert_allclose(inward.mean(axis=0), np.tile([10, 5], (4, 1)), rtol=0.05)


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("name", sorted(IDENTITIES))
def test_a_step_that_moves_nothing_changes_nothing(name, border):
    """Byte for byte, of images and of masks."""
    step = with_options(IDENTITIES[name], border=border)
    for height, width in SIZES:
        images, parameters = synthetic(COUNT, height, width, 3), drawn(step, height, width)
        np.testing.assert_array_equal(run_step(step, images, parameters), images)
        masks = images.copy()
        step.run_mask(masks, parameters, plain=False)
        np.testing.assert_array_equal(masks, images)


@pytest.mark.parametrize("name", sorted(STEPS))
@pytest.mark.parametrize("size", SIZES)
def test_coordinates_equal_their_twins(name, size):
    """Integer for integer."""
    np.testing.assert_array_equal(
        located(STEPS[name], *size), located(STEPS[name], *size, plain=True)
    )


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("read", [interpolate, pick])
def test_reading_equals_its_twin_at_any_coordinate(read, border):
    """Far outside, on pixels, between them."""
    rng = np.random.default_rng(4)
    for height, width in SIZES:
        source = synthetic(3, height, width, 2)
        for reach in (2**15, 2**20, 2**30):
            where = rng.integers(-reach, reach, (3, 2, 7, 5)).astype(np.int32)
            where[1] &= ~0x3FFF
            for margin in (0, 1 << 13):
                out = [np.empty((3, 7, 5, 2), np.uint8) for _ in range(2)]
                for result, plain in zip(out, (False, True), strict=True):
                    read(source, where, border, margin, np.array([9, 8], np.uint8), result,
                         plain=plain)  # fmt: skip
                np.testing.assert_array_equal(*out)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
@pytest.mark.parametrize("name", sorted(STEPS))
def test_masks_follow_their_images(name, dtype):
    """Each label is that of the pixel nearest to where the image is read; outside, the fill's."""
    step = with_options(STEPS[name], border="constant")
    height, width = 33, 46
    masks = (synthetic(COUNT, height, width, 1) % 7 + 1).astype(dtype)
    parameters, where = drawn(step, height, width), located(step, height, width)
    results = [masks.copy(), masks.copy()]
    for plain, result in enumerate(results):
        step.run_mask(result, parameters, fill_label=99, plain=bool(plain))
    np.testing.assert_array_equal(*results)
    column, row = np.floor(where + 0.5).astype(int).transpose(1, 0, 2, 3)
    margin = step.margin / 2**14
    x, y = where.transpose(1, 0, 2, 3)
    outside = (x < -margin) | (x > width - 1 + margin) | (y < -margin) | (y > height - 1 + margin)
    inside = np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)
    expected = np.stack([mask[r, c, 0] for mask, r, c in zip(masks, *inside, strict=True)])
    np.testing.assert_array_equal(results[0][..., 0], np.where(outside, 99, expected))
    assert outside.any()


@pytest.mark.parametrize("name", sorted(STEPS))
def test_a_point_goes_where_its_pixel_is_read(name):
    """There, the image is read within half a pixel of the point; of perspective, exactly."""
    step, (height, width) = STEPS[name], (120, 90)
    parameters, where = drawn(step, height, width), located(step, height, width)
    rng = np.random.default_rng(9)
    points = rng.uniform([0, 0], [width - 1, height - 1], (300, 2))
    rows = rng.integers(0, COUNT, 300)
    kept = points.copy()
    moved = step.move_points(points, rows, parameters, canvas_of(height, width))
    np.testing.assert_array_equal(points, kept)
    inside = ((moved >= 0) & (moved <= [width - 1, height - 1])).all(axis=1)
    assert inside.sum() > 200
    bound = 0.5 if isinstance(step, Elastic) else 0.01
    for point, place, row in zip(points[inside], moved[inside], rows[inside], strict=True):
        read = [map_coordinates(axis, place[::-1, None], order=1)[0] for axis in where[row]]
        assert np.abs(np.array(read) - point).max() < bound


@pytest.mark.parametrize("name", sorted(STEPS))
def test_a_bright_dot_lands_on_its_keypoint(name):
    """Within half a pixel of the centre of what is seen of it."""
    step, (height, width) = STEPS[name], (120, 90)
    parameters = drawn(step, height, width)
    rng = np.random.default_rng(2)
    points = rng.uniform([25, 35], [65, 85], (COUNT, 2))
    y, x = np.mgrid[:height, :width]
    distance = (x - points[:, :1, None]) ** 2 + (y - points[:, 1:, None]) ** 2
    images = np.rint(255 * np.exp(-distance / 2)).astype(np.uint8)[..., None]
    seen = run_step(step, images, parameters)[..., 0].astype(float)
    moved = step.move_points(points, np.arange(COUNT), parameters, canvas_of(height, width))
    weight = seen / seen.sum(axis=(1, 2), keepdims=True)
    centre = np.stack([(weight * x).sum(axis=(1, 2)), (weight * y).sum(axis=(1, 2))], axis=1)
    assert np.abs(centre - moved).max() < 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Elastic(alpha=(1, 2), sigma_px=0.4), r"elastic\.sigma_px"),
        (lambda: Elastic(alpha=(1, 2), sigma_px=17), r"elastic\.sigma_px"),
        (lambda: Elastic(alpha=(-1, 2), sigma_px=4), r"elastic\.alpha"),
        (lambda: Elastic(alpha=(1, 2), sigma_px=4, border="edge"), r"elastic\.border"),
        (lambda: Perspective(distortion=0.7), r"perspective\.distortion"),
        (lambda: Perspective(level=256.0), r"perspective\.level"),
    ],
)
def test_what_is_outside_its_interval_is_refused(make, message):
    """With the name of the option."""
    with pytest.raises(ParameterError, match=message):
        make()


def test_a_level_for_each_channel_needs_that_many_channels():
    """Three levels have no meaning for grey images."""
    step = Perspective(border="constant", level=(1.0, 2.0, 3.0))
    with pytest.raises(ParameterError, match="expected 1 or 1 levels"):
        run_step(step, synthetic(COUNT, 9, 9, 1), drawn(step, 9, 9))
