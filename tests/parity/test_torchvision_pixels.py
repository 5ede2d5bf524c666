"""Steps beside torchvision's functions of tensors and Pillow images, where it is installed.

Where it is not, Pillow and SciPy stand for it in `test_pillow_pixels` and `test_distortion_pixels`:
what torchvision does to Pillow images is Pillow.
"""

import numpy as np
import pytest
from PIL import Image

from pipelines.colour import Grey, Hue, Saturation
from pipelines.distortion import Elastic, Perspective, _corners
from pipelines.fields import keys_of, noise_of_images
from pipelines.histogram import Autocontrast, Equalize
from pipelines.neighbourhood import GaussianBlur, Sharpness
from pipelines.photometric import Invert, Posterize
from pipelines.pipeline import Pipeline
from pipelines.transform import Canvas
from tests.golden.pipelines_cases import run_step, sample_ids

COUNT, HEIGHT, WIDTH = 20, 41, 60
STEPS = {
    "grey": (Grey(), "rgb_to_grayscale", lambda _: (3,), 1),
    "saturation": (Saturation(factor=(0, 3)), "adjust_saturation", lambda p: (p["factor"],), 2),
    "sharpness": (Sharpness(factor=(0, 3)), "adjust_sharpness", lambda p: (p["factor"],), 1),
    "hue": (Hue(max_deg=180), "adjust_hue", lambda p: (p["angle_deg"] / 360,), 1),
    "equalize": (Equalize(), "equalize", lambda _: (), 0),
    "autocontrast": (Autocontrast(), "autocontrast", lambda _: (), 1),
    "posterize": (Posterize(bits=(1, 8)), "posterize", lambda p: (int(p["bits"]),), 0),
    "invert": (Invert(), "invert", lambda _: (), 0),
}
"""Step, torchvision's function, its arguments from what was drawn, and the bound in levels."""


@pytest.fixture
def functional():
    """Its functions; its compiled parts must fit the torch that is installed."""
    try:
        from torchvision.transforms import functional
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"torchvision: {error}")
    return functional


def pictures(height=HEIGHT, width=WIDTH):
    """Noise, narrow ranges and waves: (COUNT, height, width, 3) uint8."""
    images = np.random.default_rng(0).integers(0, 256, (COUNT, height, width, 3))
    images[::3] = images[::3] // 4 + 70
    y, x, channel = np.ogrid[:height, :width, :3]
    images[1::3] = 127 + 100 * np.sin((x * (channel + 1) + y) / 11)
    return images.astype(np.uint8)


def drawn(step, height=HEIGHT, width=WIDTH):
    pipeline = Pipeline(steps=(step,))
    canvas = Canvas(np.full(COUNT, height), np.full(COUNT, width))
    return pipeline.parameters(pipeline.draw(5, sample_ids(COUNT), 1), canvas)[0]


def as_tensor(image):
    import torch

    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def as_array(tensor):
    return tensor.numpy().transpose(1, 2, 0).astype(int)


@pytest.mark.parametrize("name", STEPS)
def test_tensors_are_within_the_stated_levels(functional, name):
    """And one of them is no closer, so that the bound says something."""
    step, function, arguments, bound = STEPS[name]
    parameters, images = drawn(step), pictures()
    result = run_step(step, images, parameters)
    furthest = 0
    for row, image in enumerate(images):
        told = arguments({key: float(values[row]) for key, values in parameters.items()})
        expected = as_array(getattr(functional, function)(as_tensor(image), *told))
        furthest = max(furthest, np.abs(result[row] - expected).max())
    assert furthest == bound


@pytest.mark.parametrize("sigma", [0.3, 0.8, 2.0, 5.0])
def test_a_blur_is_torchvisions_inside(functional, sigma):
    """Within one level, of the same length of weights."""
    reach = int(4 * sigma + 0.5)
    images = pictures(120, 90)
    step = GaussianBlur(sigma_px=(0, 16))
    result = run_step(step, images, {"sigma_px": np.full(COUNT, sigma)})
    inner = np.s_[reach : 120 - reach, reach : 90 - reach]
    for image, blurred in zip(images, result, strict=True):
        expected = functional.gaussian_blur(as_tensor(image), 2 * reach + 1, sigma)
        assert np.abs(blurred - as_array(expected))[inner].max() <= 1


def test_a_perspective_is_torchvisions_of_the_same_corners(functional):
    """Within one level: it truncates."""
    step = Perspective(border="constant", level=0.0)
    parameters, images = drawn(step), pictures()
    result = run_step(step, images, parameters).astype(int)
    start = [[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]]
    for image, shown, corners in zip(images, result, _corners(parameters), strict=True):
        expected = functional.perspective(
            Image.fromarray(image), start, corners.tolist(),
            functional.InterpolationMode.BILINEAR, fill=0,
        )  # fmt: skip
        assert np.abs(shown - np.asarray(expected)).max() <= 1


def test_torchvisions_alpha_is_twice_ours(functional):
    """The same noise through its blur and its sampling, away from the sides."""
    import torch

    side, sigma = 64, 4.0
    step = Elastic(alpha=(30, 50), sigma_px=sigma)
    parameters = drawn(step, side, side)
    images = pictures(side, side)
    result = run_step(step, images, parameters).astype(int)
    noise = noise_of_images(keys_of(parameters), 2 * side * side).reshape(COUNT, 2, side, side)
    for row in range(1, COUNT, 3):  # waves, as a fraction of a pixel shows in noise
        field = torch.tensor((2.0 * noise[row] - 255) / 255)[None]
        smooth = functional.gaussian_blur(field, 33, sigma)
        moves = (smooth * 2 * parameters["alpha"][row] / side).permute(0, 2, 3, 1)
        expected = functional.elastic_transform(as_tensor(images[row]), moves.float())
        assert np.abs(result[row] - as_array(expected))[20:-20, 20:-20].max() <= 1
