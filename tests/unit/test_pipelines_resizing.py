"""The antialiased resize: Pillow's to a level, its own definition to the byte."""

import numpy as np
import pytest
from PIL import Image

from pipelines.errors import ImageContractError, PipelineFileError
from pipelines.geometric import Zoom
from pipelines.pipeline import Pipeline
from pipelines.resizing import Resize, resample, resample_reference
from tests.golden.pipelines_cases import synthetic

SHAPES = [((64, 64), (32, 32)), ((50, 37), (224, 224)), ((300, 200), (32, 48)), ((9, 9), (9, 20)),
          ((1, 1), (5, 3)), ((1, 40), (1, 7)), ((7, 5), (1, 1)), ((128, 96), (127, 97)),
          ((33, 2000), (20, 31)), ((224, 224), (100, 100))]  # fmt: skip


@pytest.mark.parametrize(("size", "target"), SHAPES)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_resize_is_pillows_bilinear_within_a_level(size, target, channels):
    """Enlarging and reducing, square or not, down to a pixel."""
    image = synthetic(1, *size, channels)[0]
    height, width = target
    ours = Pipeline(steps=(Resize(height=height, width=width),)).prepare(image)
    for channel in range(channels):
        picture = Image.fromarray(image[:, :, channel])
        theirs = np.asarray(picture.resize(target[::-1], Image.Resampling.BILINEAR))
        assert np.abs(ours[:, :, channel].astype(int) - theirs).max() <= 1


@pytest.mark.parametrize(("size", "target"), SHAPES)
def test_resize_equals_its_definition(size, target):
    """Two integer matrix products, byte for byte."""
    image = synthetic(1, *size, 3)[0]
    np.testing.assert_array_equal(resample(image, *target), resample_reference(image, *target))


@pytest.mark.parametrize("level", [0, 1, 127, 254, 255])
def test_flat_areas_stay_flat(level):
    """Weights sum to one exactly, so grey stays that grey."""
    image = np.full((37, 53, 3), level, np.uint8)
    for target in ((10, 11), (37, 53), (80, 200)):
        assert (resample(image, *target) == level).all()


def test_fits_keep_the_aspect():
    """Cover cuts what overhangs, contain fills what is left, both evenly."""
    image = synthetic(1, 20, 40, 3)[0]
    inner = resample(image, 10, 20)
    cover = Resize(height=10, width=10, fit="cover")(image)
    np.testing.assert_array_equal(cover, inner[:, 5:15])
    contain = Resize(height=20, width=20, fit="contain", fill=9)(image)
    np.testing.assert_array_equal(contain[5:15], inner)
    assert (contain[:5] == 9).all()
    assert (contain[15:] == 9).all()


def test_the_image_is_not_modified_and_may_be_a_view():
    """Strided input is read as it looks."""
    image = synthetic(1, 20, 30, 3)[0]
    kept = image.copy()
    np.testing.assert_array_equal(
        resample(image[::2, ::-1], 5, 7), resample(image[::2, ::-1].copy(), 5, 7)
    )
    np.testing.assert_array_equal(image, kept)
    assert not np.shares_memory(resample(image, 20, 30), image)


def test_float_images_and_late_resizes_are_refused():
    """A resize is a stage of whole levels, and the first one."""
    with pytest.raises(ImageContractError, match="uint8"):
        Resize(height=3, width=3)(np.zeros((4, 4, 1), np.float32))
    with pytest.raises(PipelineFileError, match="first step"):
        Pipeline(steps=(Zoom(by=0.1), Resize(height=3, width=3)))
