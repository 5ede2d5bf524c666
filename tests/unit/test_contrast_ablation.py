"""Pipelines with a transform left out or alone: the draws of the others stay."""

import numpy as np
import pytest

from materialize.contrast.ablation import variants, with_steps
from materialize.errors import ConfigError
from pipelines import from_dict, load


def _pipeline(*transforms):
    return from_dict({"step": list(transforms)})


ZOOM, FLIP = {"transform": "zoom", "by": 0.1}, {"transform": "horizontal_flip"}
RESIZE = {"transform": "resize", "height": 8, "width": 8}
IDS = np.arange(48, dtype=np.uint8).reshape(3, 16)


def _words(pipeline):
    columns = pipeline.draw(7, IDS, 1).T
    return dict(zip(pipeline.word_names, columns.tolist(), strict=True))


@pytest.mark.parametrize("variant", variants(load("cifar10")), ids=lambda variant: variant.label)
def test_the_steps_that_stay_draw_what_they_drew(variant):
    """Keys do not change, so pairs stay pairs."""
    whole = _words(load("cifar10"))
    kept = _words(variant.pipeline)
    assert kept == {name: whole[name] for name in kept}


def test_one_of_two_equals_keeps_its_number():
    """Left alone it would be the first of its name, with the draws of the other."""
    pipeline = _pipeline(ZOOM, FLIP, ZOOM)
    kept = _words(with_steps(pipeline, ["zoom#2"]))
    assert kept == {name: w for name, w in _words(pipeline).items() if name in kept}
    assert all(name.startswith("zoom#2") for name in kept)


def test_every_step_is_left_out_and_alone():
    """The words of the report."""
    labels = [variant.label for variant in variants(_pipeline(ZOOM, FLIP))]
    assert labels == [
        "without zoom", "without horizontal_flip", "zoom alone", "horizontal_flip alone",
    ]  # fmt: skip


def test_one_kind_may_be_asked_for():
    """Each is a training for each step and seed."""
    assert {v.kind for v in variants(load("cifar10"), ("alone",))} == {"alone"}


def test_a_single_step_is_not_left_out():
    """That is the arm without augmentation."""
    assert [variant.label for variant in variants(_pipeline(ZOOM))] == ["zoom alone"]


def test_a_resize_in_front_stays():
    """It is no augmentation."""
    for variant in variants(_pipeline(RESIZE, ZOOM, FLIP)):
        assert variant.pipeline.resize is not None


def test_a_crop_stays():
    """Without it the images would end with another size."""
    for variant in variants(load("photos224")):
        assert "resized_crop" in variant.pipeline.step_keys
        assert variant.transform != "resized_crop"


def test_a_pipeline_without_such_a_step_is_refused():
    """There is nothing to leave out."""
    with pytest.raises(ConfigError, match="ablation"):
        variants(_pipeline(RESIZE))


ONE_OF = {"transform": "one_of", "steps": [ZOOM, FLIP, ZOOM]}


def test_a_container_is_left_out_with_everything_in_it():
    """What it holds is no step of its own to ask about."""
    pipeline = _pipeline(ONE_OF, FLIP)
    labels = [variant.label for variant in variants(pipeline)]
    assert labels == [
        "without one_of", "without horizontal_flip", "one_of alone", "horizontal_flip alone",
    ]  # fmt: skip
    without, *_ = variants(pipeline)
    assert without.pipeline.step_keys == ("horizontal_flip",)


@pytest.mark.parametrize("variant", variants(_pipeline(ZOOM, ONE_OF, FLIP, ONE_OF)),
                         ids=lambda variant: variant.label)  # fmt: skip
def test_what_stays_in_a_container_draws_what_it_drew(variant):
    """Its keys hang on the container's, which stays its own."""
    whole = _words(_pipeline(ZOOM, ONE_OF, FLIP, ONE_OF))
    kept = _words(variant.pipeline)
    assert kept
    assert kept == {name: whole[name] for name in kept}


def test_all_steps_kept_are_the_pipeline():
    """Keys of steps inside containers among the wanted change nothing."""
    pipeline = _pipeline(ZOOM, ONE_OF)
    assert _words(with_steps(pipeline, pipeline.step_keys)) == _words(pipeline)
