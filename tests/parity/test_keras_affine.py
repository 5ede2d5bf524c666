"""`keras_affine`, the geometry of Keras as one step, beside Keras' dictionaries."""

import numpy as np
import pytest

from pipelines.errors import ParameterError
from pipelines.keras_affine import KerasAffine
from pipelines.keras_parameters import apply_transform
from pipelines.pipeline import Pipeline
from pipelines.transform import Canvas
from tests.golden.pipelines_cases import run, sample_ids, synthetic
from tests.parity.keras_cases import BORDERS, SIZES, keras_result, near_jump

NAMES = ("theta", "tx", "ty", "shear", "zx", "zy")
STEP = KerasAffine(
    rotation_deg=180, height_shift=0.4, width_shift=(2, -1), shear_deg=30, zoom=(0.5, 1.8)
)


def dictionaries(step, count, height, width):
    canvas = Canvas(np.full(count, height), np.full(count, width))
    pipeline = Pipeline(steps=(step,))
    parameters = pipeline.parameters(pipeline.draw(5, sample_ids(count), 2), canvas)
    rows = range(count)
    return parameters, [{name: parameters[0][name][row] for name in NAMES} for row in rows]


@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("size", SIZES)
def test_a_drawn_step_is_keras_with_its_dictionary(border, size):
    """Within a level of Keras' own result, jumps apart, and to the byte what dictionaries give."""
    images = synthetic(8, *size, 3)
    parameters, drawn = dictionaries(STEP, 8, *size)
    found = run(Pipeline(steps=(STEP,), border=border, fill=(40.0,)), images, parameters)
    same = apply_transform(images, drawn, fill_mode=border, cval=40.0)
    assert np.abs(found.astype(int) - same).max() <= 1
    expected = np.rint(keras_result(images, drawn, border, 40.0, 1))
    jumps = np.stack([near_jump(one, *size, border, 1) for one in drawn])
    assert np.abs(found - expected)[~jumps].max(initial=0) <= 1


def test_the_height_range_moves_columns():
    """As in Keras 3, by fractions of the height."""
    parameters, _ = dictionaries(KerasAffine(height_shift=(0.5,)), 4, 10, 30)
    assert set(np.abs(parameters[0]["tx"])) == {5.0}
    assert set(parameters[0]["ty"]) == {0.0}


@pytest.mark.parametrize("options", [
    {"rotation_deg": -1}, {"shear_deg": float("nan")}, {"zoom": (1, float("inf"))},
    {"zoom": (1, 2, 3)}, {"height_shift": float("inf")}, {"width_shift": ()},
], ids=str)  # fmt: skip
def test_ranges_must_be_finite(options):
    """And named if they are not."""
    with pytest.raises(ParameterError, match=r"keras_affine|height_shift"):
        KerasAffine(**options)
