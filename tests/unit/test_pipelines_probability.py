"""Every step happens to as many images as it is told to, and is the same step where it does."""

from dataclasses import replace

import numpy as np
import pytest

from pipelines import REGISTRY
from pipelines.errors import ParameterError
from pipelines.geometric import HorizontalFlip, VerticalFlip
from pipelines.photometric import Brightness
from pipelines.pipeline import Pipeline
from pipelines.rendering import Pool
from pipelines.transform import ACTIVE, Canvas
from tests.golden.pipelines_cases import EXAMPLES, synthetic

MANY = 4000
OPTIONAL = sorted(name for name in REGISTRY if not EXAMPLES[name].always_happens)
OBLIGATORY = sorted(REGISTRY.keys() - set(OPTIONAL))
FLIPS = (HorizontalFlip, VerticalFlip)


def many_ids(count=MANY):
    return np.random.default_rng(5).integers(0, 256, (count, 16), dtype=np.uint8)


def drawn(step, count=MANY):
    """All parameters of the step and of what it holds, of many addresses."""
    pipeline = Pipeline(steps=(step,))
    canvas = Canvas(np.full(count, 33), np.full(count, 46))
    return pipeline.parameters(pipeline.draw(3, many_ids(count), 1), canvas)


def happened(step):
    """(MANY,) whether the step happens; of a container, whether anything in it does."""
    parameters = drawn(step)
    name = "flip" if isinstance(step, FLIPS) else ACTIVE
    masks = [p[name] != 0 if name in p else np.ones(MANY, bool) for p in parameters]
    return np.logical_or.reduce(masks[1:] or masks)


def binomial_bound(probability):
    """Five standard deviations of a count of MANY."""
    return 5 * np.sqrt(MANY * probability * (1 - probability))


def test_every_step_can_be_left_out_or_says_why_not():
    """Those that change the size, or that Keras does to every image."""
    expected = {"crop", "resized_crop", "resize", "keras_brightness", "keras_channel_shift"}
    assert expected <= set(OBLIGATORY)
    for name in OBLIGATORY:
        with pytest.raises(ParameterError, match=rf"{name}\.probability: expected 1"):
            replace(EXAMPLES[name], probability=0.5)


@pytest.mark.parametrize("name", OPTIONAL)
@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 1.0])
def test_a_step_happens_with_its_probability(name, probability):
    """Never at 0, always at 1, within binomial bounds between."""
    count = happened(replace(EXAMPLES[name], probability=probability)).sum()
    assert abs(count - MANY * probability) <= binomial_bound(probability)


@pytest.mark.parametrize("name", sorted(set(OPTIONAL) - {"horizontal_flip", "vertical_flip"}))
def test_a_probability_changes_no_other_draw(name):
    """It takes the last word: whoever lowers it keeps the copies that are left."""
    always, sometimes = (
        drawn(replace(EXAMPLES[name], probability=p), 50) for p in (1.0, 0.5)
    )  # fmt: skip
    for before, after in zip(always, sometimes, strict=True):
        assert set(after) - set(before) <= {ACTIVE}
        for key in set(before) - {ACTIVE}:
            np.testing.assert_array_equal(before[key], after[key])


@pytest.mark.parametrize("name", OPTIONAL)
def test_an_image_that_is_spared_is_the_image(name):
    """Byte for byte at probability 0; at 0.5, those whose draw says so."""
    images, ids = synthetic(40, 20, 24, 3), many_ids(40)
    where = {"seed": 3, "sample_ids": ids, "copies": 1, "pool": Pool(images, ids)}
    step = replace(EXAMPLES[name], probability=0.0)
    np.testing.assert_array_equal(Pipeline(steps=(step,)).apply(images, **where), images)
    step = replace(step, probability=0.5)
    spared = ~happened(step)[:40]
    assert 5 < spared.sum() < 35
    changed = Pipeline(steps=(step,)).apply(images, **where)
    np.testing.assert_array_equal(changed[spared], images[spared])
    assert (changed[~spared] != images[~spared]).any()


def test_whether_a_step_happens_says_nothing_of_how():
    """The last word is its own: weak and strong draws are left out equally often."""
    (parameters,) = drawn(Brightness(factor=(0, 1), probability=0.5))
    happens = parameters[ACTIVE] != 0
    for some in (happens, ~happens):
        assert abs(parameters["factor"][some].mean() - 0.5) < 5 / np.sqrt(12 * MANY / 2)
