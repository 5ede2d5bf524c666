"""Users' code in datasets: the same bytes everywhere, and only where it was allowed to run."""

import importlib
import linecache
import shutil
import sys
from dataclasses import replace

import albumentations
import numpy as np
import pytest

import materialize
from materialize.audit.explanation import explain_sample
from materialize.audit.proof import _unpromised
from materialize.audit.restoration import repair_dataset
from materialize.audit.standing import StandingDataset
from materialize.audit.verification import verify_dataset
from materialize.builder import BuildOptions, build_dataset
from materialize.cli import main
from materialize.errors import BuildFailedError, ConfigError
from materialize.executor import Crew
from materialize.exit_codes import ExitCode
from materialize.extension import extend_dataset
from materialize.loader.augmenting import AugmentingLoader, PrefixLoader
from materialize.loader.stream import StreamingLoader
from materialize.manifest import load_latest
from materialize.receipts import Receipt
from materialize.recipe import Recipe
from materialize.transcoding import transcode_dataset
from pipelines import Albumentations, Function, Pipeline, UserCodeError, allowing_code, from_dict
from pipelines.composition import OneOf
from pipelines.geometric import Rotation
from tests.golden import user_functions as functions
from tests.golden.user_compose import compose
from tests.jobs import contents, photos, shard_paths

PIPELINE = from_dict({
    "step": [
        {"transform": "crop", "height": 8, "width": 8},
        {"transform": "function", "call": "tests.golden.user_functions:speckled"},
        {"transform": "brightness", "factor": [0.8, 1.2]},
    ]
})  # fmt: skip
MIXED = Pipeline(
    steps=(
        *PIPELINE.steps,
        Rotation(max_deg=9),
        OneOf(steps=(Albumentations(compose), Function(functions.rolled)), probability=0.8),
    )
)
RECIPE = Recipe(copies=3, seed=5, shard_bytes=4096)
GREY = "def f(image, rng):\n    return image ^ rng.integers(0, 256, image.shape, 'uint8') & LEVEL\n"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return photos(tmp_path_factory.mktemp("source"), 24)


@pytest.fixture(scope="module")
def standing(source, tmp_path_factory):
    """A dataset that nobody changes, by one worker."""
    directory = tmp_path_factory.mktemp("standing") / "out"
    build_dataset(source, directory, PIPELINE, RECIPE)
    return directory


@pytest.fixture
def out(standing, tmp_path):
    return shutil.copytree(standing, tmp_path / "out")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Writes a module of the user's, whose import leaves a mark, and imports it anew."""
    monkeypatch.syspath_prepend(tmp_path / "code")
    (tmp_path / "code").mkdir()

    def write(text, level=3):
        head = f"open({str(tmp_path / 'mark')!r}, 'a').close()\nLEVEL = {level}\n"
        (tmp_path / "code" / "users_own.py").write_text(head + text, "utf-8")
        forget()
        return Pipeline(steps=(Function("users_own:f"),))

    def forget():
        sys.modules.pop("users_own", None)
        linecache.clearcache()
        importlib.invalidate_caches()
        shutil.rmtree(tmp_path / "code" / "__pycache__", ignore_errors=True)
        (tmp_path / "mark").unlink(missing_ok=True)

    write.forget, write.mark = forget, tmp_path / "mark"
    yield write
    forget()


@pytest.mark.parametrize("options", [
    BuildOptions(crew=Crew(2, "loky")),
    BuildOptions(crew=Crew(3, "threading"), batch_size=1),
    BuildOptions(batch_size=7),
])  # fmt: skip
def test_workers_and_batches_do_not_show(source, tmp_path, options):
    build_dataset(source, tmp_path / "one", MIXED, RECIPE)
    build_dataset(source, tmp_path / "other", MIXED, RECIPE, options=options)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


def test_code_is_called_with_images_of_the_source_alone(source, tmp_path):
    """Not with the one that kernels are compiled for before workers begin."""
    steps = Pipeline(steps=(*PIPELINE.steps[:1], Function(functions.choosy)))
    options = BuildOptions(crew=Crew(2, "threading"))
    assert build_dataset(source, tmp_path / "out", steps, RECIPE, options=options).manifest


def test_copies_on_the_disk_are_epochs_on_the_fly(source, tmp_path):
    materialize.build(source, tmp_path / "out", pipeline=MIXED, copies=2, seed=5)
    stored = StreamingLoader(tmp_path / "out", batch_size=7, seed=1)
    made = AugmentingLoader(source, MIXED, batch_size=7, seed=1, augmentation_seed=5)
    for epoch in range(2):
        for one, other in zip(stored.epoch(epoch), made.epoch(epoch), strict=True):
            assert (one.images == other.images).all()


def test_what_only_this_process_finds_is_augmented_and_not_built(source, tmp_path):
    steps = Pipeline(steps=(*PIPELINE.steps, Function(lambda image: image[::-1])))
    batch = next(iter(AugmentingLoader(source, steps, batch_size=5).epoch(0)))
    assert batch.images.shape == (5, 8, 8, 3)
    with pytest.raises(ConfigError, match=r"<lambda>: expected a function that workers and later"):
        build_dataset(source, tmp_path / "out", steps, RECIPE)
    assert not (tmp_path / "out").exists()
    report = materialize.check(source, steps, near_duplicates=False)
    assert any("cannot be imported by workers" in found.message for found in report.findings)


def test_streaming_runs_nothing_and_imports_nothing(source, tmp_path, own):
    recipe = replace(RECIPE, originals=True)
    build_dataset(source, tmp_path / "out", Pipeline(steps=own(GREY).steps), recipe)
    own.forget()
    assert len(list(StreamingLoader(tmp_path / "out", batch_size=8).epoch(0))) == 3
    assert verify_dataset(tmp_path / "out").is_intact
    assert main(["storage", str(tmp_path / "out")]) == ExitCode.DONE
    transcode_dataset(tmp_path / "out", codec="zstd", options=BuildOptions(crew=Crew(2, "loky")))
    with pytest.raises(UserCodeError, match="--allow-code"):
        verify_dataset(tmp_path / "out", depth="pixels")
    with pytest.raises(UserCodeError, match="--allow-code"):
        extend_dataset(tmp_path / "out", copies=9)
    assert "users_own" not in sys.modules
    assert not own.mark.exists()


def test_nothing_that_renders_does_so_unasked(source, out):
    with pytest.raises(UserCodeError, match="--allow-code"):
        extend_dataset(out, copies=4)
    shard_paths(out)[0].unlink()
    before = contents(out)
    with pytest.raises(UserCodeError, match="--allow-code"):
        repair_dataset(out)
    assert contents(out) == before


def test_a_dataset_is_verified_repaired_and_extended_where_code_is_allowed(source, out, tmp_path):
    build_dataset(source, tmp_path / "whole", PIPELINE, replace(RECIPE, copies=4))
    shard_paths(out)[0].unlink()
    with allowing_code():
        assert repair_dataset(out).is_whole
        report = verify_dataset(out, depth="pixels")
        extend_dataset(out, copies=4)
    assert report.is_intact
    assert report.num_rows_compared == 72
    made, whole = (
        {p.name: p.read_bytes() for p in shard_paths(d)} for d in (out, tmp_path / "whole")
    )
    assert made == whole


def test_the_command_line_asks_for_the_same_leave(out, capsys):
    assert main(["verify", str(out), "--deep"]) == ExitCode.USAGE
    assert "--allow-code" in capsys.readouterr().err
    assert main(["verify", str(out), "--deep", "--allow-code"]) == ExitCode.DONE
    assert main(["verify", str(out), "--deep"]) == ExitCode.USAGE


def load_samples(directory):
    """The ids of a dataset, in hex."""
    dataset = StandingDataset.open(directory)
    return [sample.tobytes().hex() for sample in dataset.populations[0].ids]


def test_an_explanation_without_leave_says_what_is_missing(out):
    sample = load_samples(out)[0]
    explained = explain_sample(out, sample, 1)
    assert explained.recomputed is None
    assert any("--allow-code" in problem for problem in explained.problems)
    with allowing_code():
        assert explain_sample(out, sample, 1).is_equal


def test_stored_originals_are_augmented_at_reading_only_with_leave(source, tmp_path):
    pipeline = Pipeline(steps=(Function(functions.speckled),))
    materialize.build(source, tmp_path / "out", pipeline=pipeline, copies=2, storage="prefix")
    with pytest.raises(UserCodeError, match="allowing_code"):
        PrefixLoader(tmp_path / "out", batch_size=8)
    with allowing_code():
        loader = PrefixLoader(tmp_path / "out", batch_size=8)
    made = AugmentingLoader(source, pipeline, batch_size=8)
    for one, other in zip(loader.epoch(0), made.epoch(0), strict=True):
        assert (one.images == other.images).all()


def test_a_function_that_changed_since_is_named(source, tmp_path, own):
    build_dataset(source, tmp_path / "out", own(GREY), RECIPE)
    own(GREY.replace("uint8", "u1"))
    with allowing_code():
        for act in (
            lambda: verify_dataset(tmp_path / "out", depth="pixels"),
            lambda: extend_dataset(tmp_path / "out", copies=5),
        ):
            with pytest.raises(UserCodeError, match=r"users_own:f: expected the code .* changed"):
                act()


@pytest.mark.parametrize("exact", [False, True])
def test_other_pixels_of_inexact_code_are_a_deviation(source, tmp_path, own, exact):
    """What a function calls is not in its digest, just as a library it uses is not."""
    pipeline = Pipeline(steps=(replace(own(GREY).steps[0], exact=exact),))
    build_dataset(source, tmp_path / "out", pipeline, RECIPE)
    own(GREY, level=7)
    with allowing_code():
        report = verify_dataset(tmp_path / "out", depth="pixels")
    assert report.is_intact == (not exact)
    found = report.damages if exact else report.deviations
    assert {one.kind for one in found} == {"pixels-differ"}
    assert ("users_own:f promised them nowhere else" in str(found[0])) == (not exact)


def test_receipts_know_the_versions_of_what_may_have_made_the_pixels(standing):
    entry = load_latest(standing).shards[0]
    packages = Receipt.read(standing, entry.file).environment.packages
    assert packages["albumentations"] == albumentations.__version__
    assert {"numpy", "opencv-python-headless"} <= packages.keys()


def test_a_proof_names_what_is_not_exact():
    (named,) = _unpromised(PIPELINE)
    assert "tests.golden.user_functions:speckled is not declared exact" in named
    assert _unpromised(Pipeline(steps=(Function(functions.mirrored, exact=True),))) == []


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (functions.by_numpy, "NumPy's global generator"),
        (functions.by_clock, "two calls"),
        (functions.by_hash, "another process gives others"),
        (functions.cropped, "crop and resize"),
    ],
)
def test_check_names_a_function_that_does_not_repeat_itself(source, function, said):
    steps = (PIPELINE.steps[0], Function(function))
    report = materialize.check(source, Pipeline(steps=steps), near_duplicates=False)
    errors = [f"{one.message}; {one.advice}" for one in report.findings if one.severity == "error"]
    assert len(errors) == 1
    assert function.__name__ in errors[0]
    assert said in errors[0]


def test_check_says_nothing_against_code_that_does(source):
    assert not materialize.check(source, MIXED, near_duplicates=False).has_errors


@pytest.mark.parametrize("function", [functions.by_clock, functions.cropped])
def test_a_build_calls_it_before_it_writes(source, tmp_path, function):
    steps = Pipeline(steps=(Function(function),))
    with pytest.raises((ConfigError, UserCodeError), match=function.__name__):
        build_dataset(source, tmp_path / "out", steps, RECIPE)
    assert not (tmp_path / "out").exists()


def test_a_failure_in_a_worker_names_the_image(tmp_path):
    images = np.repeat(np.arange(12, dtype=np.uint8), 108).reshape(12, 6, 6, 3)
    images[9, 0, 0, 0] = 222
    steps = Pipeline(steps=(Function(functions.failing),))
    with pytest.raises(
        (BuildFailedError, UserCodeError), match=r"9, copy [012]: .*failing .*too bright"
    ):
        build_dataset((images, np.arange(12) % 2), tmp_path / "out", steps, RECIPE,
                      options=BuildOptions(crew=Crew(2, "loky")))  # fmt: skip
