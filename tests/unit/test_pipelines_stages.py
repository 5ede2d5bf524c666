"""Where a pipeline is cut into stages, and what each stage does to whom."""

import numpy as np
import pytest

from pipelines.colour import Grey, Saturation
from pipelines.composition import OneOf, Sequence
from pipelines.errors import ImageContractError
from pipelines.geometric import Crop, Rotation, Zoom
from pipelines.histogram import Equalize
from pipelines.lowering import parts_of
from pipelines.mixing import Mixup
from pipelines.neighbourhood import Sharpness
from pipelines.occlusion import Cutout
from pipelines.photometric import Brightness, Invert
from pipelines.pipeline import Pipeline
from pipelines.resizing import Resize
from pipelines.stages import Applied, Fused, Mixed
from pipelines.transform import Canvas
from tests.golden.pipelines_cases import run, sample_ids, synthetic


def stages_of(pipeline, count=40, size=(9, 12)):
    """The stages of some addresses."""
    canvas = Canvas(np.full(count, size[0]), np.full(count, size[1]))
    parameters = pipeline.parameters(pipeline.draw(7, sample_ids(count), 3), canvas)
    return pipeline.lower(parameters, canvas, 3)


@pytest.mark.parametrize(
    ("steps", "parts"),
    [
        ((), ((),)),
        ((Rotation(max_deg=1), Invert(), Zoom(by=0.1)), ((0, 1, 2),)),
        ((Grey(),), ((), (0,))),
        ((Grey(), Equalize(), Invert()), ((), (0,), (1,), (2,))),
        (
            (Zoom(by=0.1), Grey(), Invert(), Rotation(max_deg=1), Mixup()),
            ((0,), (1,), (2, 3), (4,)),
        ),
        ((Sequence(steps=(Zoom(by=0.1), Invert())), Invert()), ((1, 2, 3),)),
        ((OneOf(steps=(Zoom(by=0.1), Grey())), Invert()), ((1,), (2,), (3,))),
    ],
)
def test_steps_fuse_up_to_one_that_needs_finished_images(steps, parts):
    """Containers are nowhere; the first stage is there even if nothing is in it."""
    assert parts_of(Pipeline(steps=steps).moving_steps) == parts


def test_stages_are_of_their_kind():
    """The first is fused; with nothing to do it copies, and changes no image."""
    pipeline = Pipeline(steps=(Grey(), Invert(), Mixup()))
    stages = stages_of(pipeline)
    assert [type(stage) for stage in stages] == [Fused, Applied, Fused, Mixed]
    assert not len(stages[0].rows)
    assert [stage.rows for stage in stages[1:]] == [None] * 3
    assert stages[3].place == 2


def test_a_stage_changes_only_those_to_whom_a_step_of_it_happens():
    """The parameters are theirs alone."""
    pipeline = Pipeline(steps=(Saturation(factor=(0, 2), probability=0.5), Invert(probability=0.5)))
    _, saturated, inverted = stages_of(pipeline)
    for stage in (saturated, inverted):
        assert 5 < len(stage.rows) < 35
    assert len(saturated.parameters["factor"]) == len(saturated.rows)
    assert len(inverted.programs) == len(inverted.rows)


def test_stages_are_one_after_another():
    """Each on the whole levels that the one before left behind."""
    steps = (Rotation(max_deg=20, id="r"), Grey(id="g"), Brightness(factor=(0.3, 2), id="b"),
             Sharpness(factor=(0, 3), id="s"), Zoom(by=0.3, id="z"))  # fmt: skip
    images = synthetic(5, 14, 17, 3)
    where = {"seed": 2, "sample_ids": sample_ids(5), "copies": 1}
    expected = images
    for step in steps:
        expected = Pipeline(steps=(step,)).apply(expected, **where)
    np.testing.assert_array_equal(Pipeline(steps=steps).apply(images, **where), expected)


@pytest.mark.parametrize("plain", [False, True])
def test_a_fused_stage_of_some_leaves_the_others(plain):
    """In the middle of a pipeline, where the image is of whole levels already."""
    pipeline = Pipeline(steps=(Equalize(), Zoom(by=0.3, probability=0.5), Grey(probability=0.5)))
    images = synthetic(30, 20, 24, 3)
    canvas = Canvas(np.full(30, 20), np.full(30, 24))
    parameters = pipeline.parameters(pipeline.draw(1, sample_ids(30), 0), canvas)
    result = run(pipeline, images, parameters, plain=plain)
    equalized = run(Pipeline(steps=(Equalize(),)), images, [{}])
    spared = np.logical_and.reduce([p["active"] == 0 for p in parameters[1:]])
    assert 2 < spared.sum() < 20
    np.testing.assert_array_equal(result[spared], equalized[spared])


def test_the_size_may_change_between_stages():
    """Steps behind a crop see its window."""
    steps = (Resize(height=30, width=20), Grey(), Crop(height=9, width=8), Cutout(size=0.5),
             Crop(height=5, width=6, id="last"))  # fmt: skip
    pipeline = Pipeline(steps=steps)
    result = pipeline.apply(synthetic(4, 50, 40, 3), seed=0, sample_ids=sample_ids(4), copies=0)
    assert result.shape == (4, 5, 6, 3)
    *_, occluded, _ = stages_of(pipeline, size=(30, 20))
    assert set(occluded.parameters["side_px"]) == {4.0}


def test_images_of_several_sizes_are_each_what_they_are_alone():
    """They become one size at the crop, behind a step that needs finished images."""
    pipeline = Pipeline(steps=(Grey(), Rotation(max_deg=30), Crop(height=9, width=8)))
    images = [synthetic(1, *size, 3)[0] for size in ((20, 12), (9, 30), (20, 12), (15, 15))]
    ids = sample_ids(4)
    together = pipeline.apply(images, seed=3, sample_ids=ids, copies=2)
    for row, image in enumerate(images):
        alone = pipeline.apply([image], seed=3, sample_ids=ids[row : row + 1], copies=2)
        np.testing.assert_array_equal(together[row], alone[0])


def test_the_source_is_never_written():
    """Steps work in place on a copy, even if nothing is before them."""
    images = synthetic(6, 9, 12, 3)
    kept = images.copy()
    Pipeline(steps=(Grey(),)).apply(images, seed=0, sample_ids=sample_ids(6), copies=0)
    np.testing.assert_array_equal(images, kept)


def test_a_mixing_step_without_partners_is_refused():
    """Naming the step and what to do."""
    images = synthetic(3, 9, 12, 3)
    with pytest.raises(ImageContractError, match="mixup: expected partners to mix with, got none"):
        Pipeline(steps=(Mixup(),)).apply(images, seed=0, sample_ids=sample_ids(3), copies=0)


def test_floats_pass_through_what_fuses():
    """Only steps of 256 levels refuse them."""
    images = synthetic(3, 9, 12, 3).astype(np.float32)
    where = {"seed": 0, "sample_ids": sample_ids(3), "copies": 0}
    fused = Pipeline(steps=(Sequence(steps=(Rotation(max_deg=9),), probability=0.5),))
    assert fused.apply(images, **where).dtype == np.float32
    with pytest.raises(ImageContractError, match="256 levels"):
        Pipeline(steps=(Invert(),)).apply(images, **where)
