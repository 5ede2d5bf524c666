"""JPEG artefacts are Pillow's, and a pipeline knows whose library made them."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from pipelines.compression import JpegArtefacts, codec_digest
from pipelines.errors import ParameterError
from pipelines.pipeline import Pipeline
from pipelines.serialization import canonical_text, fingerprint, from_canonical_text, from_dict
from pipelines.transform import Canvas
from tests.golden.pipelines_cases import run_step, sample_ids, synthetic


def drawn(step, count):
    pipeline = Pipeline(steps=(step,))
    canvas = Canvas(np.full(count, 9), np.full(count, 9))
    return pipeline.parameters(pipeline.draw(11, sample_ids(count), 2), canvas)[0]


def pillows(image, quality):
    """What Pillow reads back, by the names that its documentation has."""
    file = io.BytesIO()
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    picture.save(file, format="jpeg", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(io.BytesIO(file.getvalue()))).reshape(image.shape)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (8, 16), (33, 46)])
def test_artefacts_are_pillows(size, channels):
    """Byte for byte, at drawn qualities."""
    step = JpegArtefacts(quality=(1, 100))
    images, parameters = synthetic(12, *size, channels), drawn(step, 12)
    result = run_step(step, images, parameters)
    for image, after, quality in zip(images, result, parameters["quality"], strict=True):
        np.testing.assert_array_equal(after, pillows(image, int(quality)))


def test_every_quality_is_drawn_and_no_other():
    """Both ends included."""
    qualities = drawn(JpegArtefacts(quality=(30, 33)), 200)["quality"]
    assert set(qualities.tolist()) == {30, 31, 32, 33}


def test_alpha_is_left_as_it_is():
    """The colours are those of the image without alpha."""
    images, parameters = synthetic(2, 20, 20, 4), {"quality": np.array([10.0, 90.0])}
    step = JpegArtefacts(quality=(10, 90))
    result = run_step(step, images, parameters)
    np.testing.assert_array_equal(result[..., 3], images[..., 3])
    colours = run_step(step, np.ascontiguousarray(images[..., :3]), parameters)
    np.testing.assert_array_equal(result[..., :3], colours)


def test_images_of_two_channels_stay():
    """JPEG has none; `check` says so."""
    images = synthetic(1, 20, 20, 2)
    result = run_step(JpegArtefacts(quality=(10, 10)), images, {"quality": np.array([10.0])})
    np.testing.assert_array_equal(result, images)


def test_the_library_is_part_of_the_fingerprint():
    """Given or not, it is the same pipeline; a stored one comes back."""
    given, filled = (
        Pipeline(steps=(JpegArtefacts(quality=(10, 90), **options),))
        for options in ({"codec": codec_digest()}, {})
    )
    assert codec_digest() in canonical_text(filled)
    assert fingerprint(given) == fingerprint(filled)
    assert from_canonical_text(canonical_text(filled)).steps == filled.steps


def test_another_library_is_refused():
    """It would give other bytes than those that are stored."""
    step = {"transform": "jpeg_artefacts", "quality": [10, 90], "codec": "0123456789abcdef"}
    with pytest.raises(ParameterError, match="use the Pillow that the pipeline was stored with"):
        from_dict({"step": [step]})


def test_the_library_does_the_same_without_vector_instructions():
    """libjpeg-turbo's integer transforms are exact; only so are its bytes the same everywhere."""
    code = "from pipelines.compression import codec_digest; print(codec_digest())"
    child = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"JSIMD_FORCENONE": "1"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert child.stdout.strip() == codec_digest()


@pytest.mark.parametrize("quality", [(0, 50), (50, 101), (60, 50), (1.5, 50), 50])
def test_a_quality_outside_its_interval_is_refused(quality):
    """With the name of the option."""
    with pytest.raises(ParameterError, match=r"jpeg_artefacts\.quality: expected"):
        JpegArtefacts(quality=quality)
