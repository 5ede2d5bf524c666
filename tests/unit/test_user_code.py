"""A Python function as a step: what it gets, what it must give, what names it."""

import importlib
import linecache
import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest

from pipelines import (
    Function,
    ParameterError,
    Pipeline,
    PipelineFileError,
    UserCodeError,
    allowing_code,
    fingerprint,
    from_dict,
    to_dict,
)
from pipelines.composition import OneOf
from pipelines.errors import ImageContractError
from pipelines.motion import check_followable
from pipelines.repeatability import irregularity
from pipelines.serialization import canonical_text, from_canonical_text
from tests.golden import user_functions as functions
from tests.golden.pipelines_cases import sample_ids, synthetic

IMAGES = synthetic(6, 12, 9, 3)


def applied(*steps, images=IMAGES, **options):
    ids = sample_ids(len(images))
    return Pipeline(steps=steps).apply(images, seed=7, sample_ids=ids, copies=2, **options)


def seeds():
    """The 128 bits of each image, by the definition."""
    words = Pipeline(steps=(Function(functions.mirrored),)).draw(7, sample_ids(6), 2)
    return [sum(int(word) << 32 * place for place, word in enumerate(row)) for row in words]


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module that can be imported, and takes it back."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, text):
        (tmp_path / f"{name}.py").write_text(text, "utf-8")
        sys.modules.pop(name, None)
        linecache.clearcache()
        importlib.invalidate_caches()
        return name

    names = set(sys.modules)
    yield write
    for name in set(sys.modules) - names:
        sys.modules.pop(name)


def test_a_function_gets_the_image():
    assert (applied(Function(functions.mirrored)) == IMAGES[:, :, ::-1]).all()


def test_a_function_gets_the_generator_of_its_address():
    made = applied(Function(functions.speckled, arguments={"share": 0.5}))
    for image, seed, result in zip(IMAGES, seeds(), made, strict=True):
        rng = np.random.Generator(np.random.Philox(key=seed))
        assert (functions.speckled(image, rng, share=0.5) == result).all()


def test_a_function_gets_a_seed_below_two_to_the_32():
    made = applied(Function(functions.rolled))
    for image, seed, result in zip(IMAGES, seeds(), made, strict=True):
        assert (functions.rolled(image, seed % 2**32) == result).all()


def test_the_sizes_of_a_batch_and_the_order_change_nothing():
    step, ids = Function(functions.speckled), sample_ids(6)
    whole = applied(step)
    backwards = Pipeline(steps=(step,)).apply(IMAGES[::-1], seed=7, sample_ids=ids[::-1], copies=2)
    assert (whole == backwards[::-1]).all()
    for row in range(6):
        only = slice(row, row + 1)
        alone = Pipeline(steps=(step,)).apply(IMAGES[only], seed=7, sample_ids=ids[only], copies=2)
        assert (alone == whole[only]).all()


def test_a_function_stands_in_a_container():
    made = applied(OneOf(steps=(Function(functions.mirrored), Function(functions.rolled))))
    chosen = [(image == other[:, ::-1]).all() for image, other in zip(made, IMAGES, strict=True)]
    assert 0 < sum(chosen) < 6


def test_one_channel_may_come_back_without_its_axis():
    grey = np.ascontiguousarray(IMAGES[..., :1])
    assert (applied(Function(lambda image: image[:, :, 0]), images=grey) == grey).all()


def test_float_images_come_where_the_function_says_so():
    images = IMAGES.astype(np.float32)
    step = Function(functions.halved, floats=True)
    assert (applied(step, images=images, value_range=(0, 255)) == images / 2).all()
    with pytest.raises(ImageContractError, match="function"):
        applied(replace(step, floats=False), images=images, value_range=(0, 255))


def test_masks_come_along_only_where_pixels_stay():
    check_followable([Function(functions.speckled, moves_pixels=False)])
    with pytest.raises(PipelineFileError, match="moves_pixels = false"):
        check_followable([Function(functions.mirrored)])


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (functions.written_to, r"read-only; the image must not be written to: .* image\.copy\(\)"),
        (functions.cropped, r"expected an array of \(12, 9, 3\) uint8, got \(11, 9, 3\); crop"),
        (functions.floated, r"got float64; round, clip and return image\.astype\(np\.uint8\)"),
        (functions.failing, r"failing \(step function\): .* ValueError: too bright; correct it"),
        (lambda image: None, r"got NoneType; return the image"),
    ],
)
def test_a_broken_contract_names_step_function_and_image(function, said):
    with pytest.raises(UserCodeError, match=said) as caught:
        applied(Function(function))
    assert caught.value.image == f"sample {sample_ids(1)[0].tobytes().hex()}, copy 2"
    assert str(caught.value).startswith(caught.value.image)


def test_the_image_that_failed_is_named_and_no_other():
    images = np.minimum(IMAGES, 200)
    images[4, 3, 3] = 201
    with pytest.raises(UserCodeError, match=sample_ids(6)[4].tobytes().hex()):
        applied(Function(functions.failing), images=images)


@pytest.mark.parametrize(
    ("call", "options", "said"),
    [
        ("nowhere:f", {}, "expected to import nowhere"),
        ("tests.golden.user_functions:nothing", {}, "found none there"),
        ("no name", {}, "expected a name such as package.module:attribute"),
        ("tests.golden.user_functions:_LAST", {}, "expected a function, got list"),
        (lambda image, strength: image, {}, "missing a required argument: 'strength'"),
        (functions.mirrored, {"arguments": {"by": 2}}, "got an unexpected keyword argument 'by'"),
    ],
)
def test_what_cannot_be_called_is_refused_at_once(call, options, said):
    with pytest.raises(UserCodeError, match=said):
        Function(call, **options)


@pytest.mark.parametrize("arguments", [{"rng": 1}, {"a": {"b": 1}}, {"a": float("nan")}, 3])
def test_arguments_are_plain(arguments):
    with pytest.raises(ParameterError, match=r"function\.arguments: expected"):
        Function(functions.mirrored, arguments=arguments)


def test_a_file_names_a_function_and_its_arguments():
    call = "tests.golden.user_functions:speckled"
    step = {"transform": "function", "call": call, "version": "2", "arguments": {"share": 0.5}}
    pipeline = from_dict({"step": [step]})
    assert pipeline.steps == (Function(functions.speckled, version="2", arguments={"share": 0.5}),)
    assert to_dict(pipeline)["step"][0] == step | {"code": pipeline.steps[0].code}


def test_the_fingerprint_holds_name_version_arguments_and_source(module):
    variants = [{}, {"version": "2"}, {"arguments": {"share": 0.2}}, {"exact": True}]
    steps = [Function(functions.speckled, **options) for options in variants]
    name = module("sixth", "def f(image):\n    return image\n")
    steps.append(Function(f"{name}:f"))
    module("sixth", "def f(image):\n    return image + 0\n")
    steps.append(Function(f"{name}:f"))
    assert len({fingerprint(Pipeline(steps=(step,))) for step in steps}) == len(steps)


def test_library_functions_are_known_by_their_package_unless_exact():
    name, options = "scipy.ndimage:gaussian_filter", {"arguments": {"sigma": [1, 1, 0]}}
    assert Function(name, **options).code.startswith("scipy ")
    assert Function(name, exact=True, **options).code == ""


def test_a_stored_pipeline_imports_nothing_and_does_not_run(module, tmp_path):
    mark = tmp_path / "imported"
    text = f"open({str(mark)!r}, 'w').close()\ndef f(image):\n    return image\n"
    stored = canonical_text(Pipeline(steps=(Function(f"{module('stranger', text)}:f"),)))
    mark.unlink()
    del sys.modules["stranger"]
    for hostile in (stored, stored.replace('"code"', '"version"')):
        pipeline = pickle.loads(pickle.dumps(from_canonical_text(hostile)))
        for again in (pipeline, Pipeline(steps=(replace(pipeline.steps[0], id="a"),))):
            with pytest.raises(UserCodeError, match="--allow-code"):
                again.apply(IMAGES, seed=7, sample_ids=sample_ids(6), copies=2)
    assert not mark.exists()
    with allowing_code():
        allowed = from_canonical_text(stored)
    assert fingerprint(allowed) == fingerprint(from_canonical_text(stored))
    assert (allowed.apply(IMAGES, seed=7, sample_ids=sample_ids(6), copies=2) == IMAGES).all()
    assert mark.exists()


def test_a_file_cannot_say_that_stored_code_is_allowed():
    stored = canonical_text(Pipeline(steps=(Function(functions.mirrored),)))
    hostile = stored.replace('"call"', '"allowed":true,"call"')
    assert hostile != stored
    with pytest.raises(ValueError, match="unknown key 'allowed'"):
        from_canonical_text(hostile)


def test_a_function_that_changed_since_is_named(module):
    name = module("changing", "def f(image):\n    return image\n")
    stored = canonical_text(Pipeline(steps=(Function(f"{name}:f"),)))
    module("changing", "def f(image):\n    return image[::-1]\n")
    with allowing_code():
        pipeline = from_canonical_text(stored)
    with pytest.raises(UserCodeError, match=r"changing:f: expected the code .* it changed since"):
        pipeline.apply(IMAGES, seed=7, sample_ids=sample_ids(6), copies=2)


def test_what_no_other_process_finds_is_told_apart():
    def local(image):
        return image

    assert Function(functions.mirrored).foreign_objection == ""
    assert Function(functions.mirrored).call == "tests.golden.user_functions:mirrored"
    assert Function(local).foreign_objection
    assert Function(lambda image: image).foreign_objection


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (functions.mirrored, None),
        (functions.speckled, None),
        (functions.rolled, None),
        (functions.by_clock, "two calls"),
        (functions.by_memory, "images that came before"),
        (functions.by_random, "Python's global random"),
        (functions.by_numpy, "NumPy's global generator"),
    ],
)
def test_what_pixels_depend_on_is_found(function, said):
    step = Function(function)
    words = Pipeline(steps=(step,)).draw(7, sample_ids(6), 2)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    found = irregularity(step, IMAGES, step.draw(words, None))
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    assert found is None if said is None else said in found.message
