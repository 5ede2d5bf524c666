"""Albumentations' own results, image by image, whatever came before and whichever thread asks."""

import json
import random  # noqa: TID251  # one of Albumentations' two generators
import sys
from concurrent.futures import ThreadPoolExecutor

import albumentations
import numpy as np
import pytest

from pipelines import (
    Albumentations,
    Function,
    ParameterError,
    Pipeline,
    PipelineError,
    UserCodeError,
    fingerprint,
    load,
)
from pipelines.serialization import canonical_text, from_canonical_text, from_dict, to_toml
from tests.golden.pipelines_cases import FLIP, sample_ids, synthetic
from tests.golden.user_compose import compose

IMAGES = synthetic(8, 24, 24, 3)


def applied(step, images=IMAGES, ids=None):
    ids = sample_ids(len(images)) if ids is None else ids
    return Pipeline(steps=(step,)).apply(images, seed=3, sample_ids=ids, copies=0)


def expected(transform, step):
    """Both generators from the image's 128 bits."""
    made = []
    for image, row in zip(IMAGES, Pipeline(steps=(step,)).draw(3, sample_ids(8), 0), strict=True):
        seed = sum(int(word) << 32 * place for place, word in enumerate(row))
        rng = np.random.Generator(np.random.Philox(key=seed))
        transform.set_random_state(rng, random.Random(seed))
        made.append(transform(image=image)["image"])
    return np.stack(made)


@pytest.mark.parametrize("transform", [compose, albumentations.ColorJitter(p=1)])
def test_pixels_are_those_of_albumentations(transform):
    step = Albumentations(transform)
    assert (applied(step) == expected(transform, step)).all()


def test_a_compose_in_a_module_is_a_function():
    step = Function("tests.golden.user_compose:compose")
    assert (applied(step) == expected(compose, step)).all()
    assert "albumentations 2" in step.code


def test_neither_order_nor_batches_nor_threads_change_a_byte():
    step = Albumentations(compose)
    whole = applied(step)
    assert len(np.unique(whole.reshape(8, -1), axis=0)) == 8
    assert (applied(step, IMAGES[::-1], sample_ids(8)[::-1])[::-1] == whole).all()
    rows = np.arange(64) * 5 % 8

    def alone(row):
        return applied(step, IMAGES[row : row + 1], sample_ids(8)[row : row + 1])[0]

    with ThreadPoolExecutor(4) as threads:
        assert (np.stack(list(threads.map(alone, rows))) == whole[rows]).all()


def test_what_to_dict_says_is_the_step():
    text = json.dumps(albumentations.to_dict(compose))
    step = Albumentations(text)
    assert step == Albumentations(compose) == Albumentations(json.loads(text))
    pipeline = Pipeline(steps=(step,))
    assert from_dict({"step": [{"transform": "albumentations", "compose": text}]}).steps == (step,)
    assert from_canonical_text(canonical_text(pipeline)).steps == (step,)
    assert fingerprint(pipeline) != fingerprint(Pipeline(steps=(Albumentations(FLIP),)))
    assert "HorizontalFlip" in to_toml(pipeline)


def test_another_version_is_refused_and_named():
    step = Albumentations(FLIP.replace("2.0.8", "1.4.0"))
    with pytest.raises(UserCodeError, match=r"HorizontalFlip: expected Albumentations 1\.4\.0"):
        applied(step)


def test_its_absence_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "albumentations", None)
    with pytest.raises(UserCodeError, match="pip install albumentations opencv-python-headless"):
        applied(Albumentations(FLIP))


@pytest.mark.parametrize("given", ["{}", "no json", "[1]", 3, lambda image: image])
def test_anything_else_is_refused(given):
    with pytest.raises(ParameterError, match=r"albumentations\.compose: expected"):
        Albumentations(given)


def test_a_class_that_does_not_exist_is_refused():
    with pytest.raises(UserCodeError, match="expected a transform that Albumentations"):
        applied(Albumentations(FLIP.replace("HorizontalFlip", "os.system")))


def test_a_change_of_size_is_refused():
    with pytest.raises(UserCodeError, match=r"albumentations:Compose .*crop and resize by steps"):
        applied(Albumentations(albumentations.Compose([albumentations.CenterCrop(8, 8)])))


def test_what_cannot_be_serialised_is_told_where_to_go():
    with pytest.raises(UserCodeError, match=r"Function\('package\.module:attribute'\)"):
        Albumentations(albumentations.Compose([albumentations.Lambda(image=np.flipud, p=1)]))


def in_a_file(**step):
    return lambda: from_dict({"step": [step]})


@pytest.mark.parametrize(("wrong", "said"), [
    (in_a_file(transform="albumentations", compose="m:compose"),
     'transform = "function" and call = "m:compose"'),
    (in_a_file(transform="albumentations", call="m:compose"), "write compose = '…', the text of"),
    (in_a_file(transform="albumentations"), "add it, as compose = '…', the text of"),
    (in_a_file(transform="albumentations", compose=["HorizontalFlip"]), "A.Compose([…])"),
    (in_a_file(transform="function", call="m.compose"), "write m:compose"),
    (in_a_file(transform="function", call="m.py:compose"), "write m:compose"),
    (lambda: Albumentations(albumentations.HorizontalFlip), "write HorizontalFlip(…)"),
    (lambda: Pipeline(steps=(compose,)), "write Albumentations(Compose(…)) in its place"),
    (lambda: load(compose), "write Pipeline(steps=(Albumentations(Compose(…)),))"),
    (lambda: load(np.flipud), "write Pipeline(steps=(Function(flipud),))"),
])  # fmt: skip
def test_a_wrong_use_is_told_what_to_write(wrong, said):
    with pytest.raises(PipelineError) as refused:
        wrong()
    assert said in str(refused.value)


def test_a_compose_that_functions_cannot_be_is_told_apart():
    assert "write Albumentations(…) around it" in Function(compose).foreign_objection
