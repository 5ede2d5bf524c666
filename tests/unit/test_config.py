"""Job files: every option under its own name, strict about the rest, beaten by the command line."""

import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import materialize
from materialize.assembly import (
    crew_of,
    has_pipeline,
    max_bad_of,
    options_of,
    pipeline_of,
    recipe_of,
    scan_options_of,
    source_or_none,
)
from materialize.config import OPTION_NAMES, Job, key_of, merge, read_job, required
from materialize.errors import ConfigError
from materialize.population import Division
from materialize.recipe import Recipe

EXAMPLE = Path(materialize.__file__).with_name("job.example.toml")


def job_in(folder, text):
    path = folder / "job.toml"
    path.write_text(text, "utf-8")
    return read_job(path)


def refused(folder, text, match):
    with pytest.raises(ConfigError, match=match) as caught:
        job_in(folder, text)
    assert "\n" not in str(caught.value)


def test_keys_become_fields(tmp_path):
    job = job_in(tmp_path, 'copies = 5\nmax-bad = 0.5\nexclude = ["a.jpg"]\noriginals = true')
    assert (job.copies, job.max_bad, job.exclude, job.originals) == (5, 0.5, ("a.jpg",), True)


def test_what_is_not_in_the_file_has_its_default(tmp_path):
    assert job_in(tmp_path, "copies = 5").codec == Job().codec


def test_relative_paths_start_at_the_job_file(tmp_path):
    job = job_in(tmp_path, 'source = "photos"\noutput = "../out"\npipeline = "mine.toml"')
    assert job.source == str(tmp_path / "photos")
    assert job.output == str(tmp_path / "../out")
    assert job.pipeline == str(tmp_path / "mine.toml")


@pytest.mark.parametrize("name", ["digits", "keras:cifar10"])
def test_data_sets_by_name_are_no_paths(tmp_path, name):
    assert job_in(tmp_path, f'source = "{name}"').source == name


def test_a_folder_called_digits_is_a_folder(tmp_path):
    (tmp_path / "digits").mkdir()
    assert job_in(tmp_path, 'source = "digits"').source == str(tmp_path / "digits")


def test_absolute_paths_stay(tmp_path):
    assert job_in(tmp_path, 'source = "/photos"').source == "/photos"


def test_preset_names_are_no_paths(tmp_path):
    assert job_in(tmp_path, 'pipeline = "cifar10"').pipeline == "cifar10"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("coppies = 5", "unknown key 'coppies'; did you mean 'copies'"),
        ("max_bad = 0.5", "did you mean 'max-bad'"),
        ("xyzzy = 1", "known are source"),
        ("copies = 'five'", "copies: expected int.*found 'five'"),
        ("copies = 2.5", "copies: expected int"),
        ("exclude = 'a.jpg'", "exclude: expected array"),
        ("[source]\npath = 'x'", "source: expected str"),
        ("pipeline = 5", "pipeline: expected str"),
        ("copies = ", "expected a job file in TOML"),
        ("border = 'wrap'", r"expected \[\[step\]\] tables"),
        ("pipeline = 'cifar10'\n[[step]]\ntransform = 'zoom'", "expected one pipeline"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_sentence(tmp_path, text, match):
    refused(tmp_path, text, match)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.toml: expected a job file"):
        read_job(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    "text",
    [
        'border = "wrap"\n[[step]]\ntransform = "zoom"\nby = 0.2',
        '[pipeline]\nborder = "wrap"\n[[pipeline.step]]\ntransform = "zoom"\nby = 0.2',
    ],
)
def test_the_pipeline_may_be_written_into_the_job(tmp_path, text):
    pipeline = pipeline_of(job_in(tmp_path, text))
    assert (pipeline.border, pipeline.step_keys) == ("wrap", ("zoom",))


def test_a_mistake_in_the_inline_pipeline_names_the_job_file(tmp_path):
    from pipelines import PipelineFileError

    job = job_in(tmp_path, '[[step]]\ntransform = "zom"')
    with pytest.raises(PipelineFileError, match=r"job\.toml, step 1"):
        pipeline_of(job)


def test_options_of_the_command_line_win(tmp_path):
    job = merge(job_in(tmp_path, "copies = 5\nseed = 7"), {"copies": 9, "seed": None})
    assert (job.copies, job.seed) == (9, 7)


def test_repeatable_options_that_were_not_given_do_not_win(tmp_path):
    assert merge(job_in(tmp_path, 'exclude = ["a"]'), {"exclude": ()}).exclude == ("a",)


def test_a_pipeline_on_the_command_line_replaces_the_one_in_the_file(tmp_path):
    job = merge(job_in(tmp_path, '[[step]]\ntransform = "zoom"\nby = 0.2'), {"pipeline": "digits"})
    assert pipeline_of(job).step_keys[0] == "rotation"


def test_what_is_required_says_how_to_give_it():
    with pytest.raises(ConfigError, match="add --copies, or copies = … to a job file"):
        required(Job(), "copies")


def test_the_example_has_every_key_and_is_a_job():
    """Users copy the example: a key that it lacks does not exist for them."""
    text = EXAMPLE.read_text("utf-8")
    missing = [key_of(name) for name in OPTION_NAMES if f"{key_of(name)} = " not in text]
    assert not missing
    assert pipeline_of(read_job(EXAMPLE)).step_keys == ("rotation",)


def test_the_example_stays_valid_with_every_key_switched_on(tmp_path):
    lines = EXAMPLE.read_text("utf-8").splitlines()
    enabled = [re.sub(r"^# ([a-z-]+ = )", r"\1", line) for line in lines]
    job = job_in(tmp_path, "\n".join(enabled).split("[pipeline]")[0])
    unset = [f.name for f in fields(Job) if getattr(job, f.name) is None]
    assert unset == ["pipeline", "inline_pipeline"]


def test_a_resize_comes_first():
    pipeline = pipeline_of(Job(pipeline="cifar10", resize="40x48:cover"))
    assert (pipeline.resize.height, pipeline.resize.width, pipeline.resize.fit) == (40, 48, "cover")
    assert pipeline.name == "cifar10"


@pytest.mark.parametrize("size", ["40", "40x", "40x48:squeeze", "axb", "40x48:"])
def test_a_size_that_cannot_be_read_is_refused(size):
    with pytest.raises(ConfigError, match="expected HEIGHTxWIDTH"):
        pipeline_of(Job(pipeline="cifar10", resize=size))


def test_two_resizes_are_refused():
    with pytest.raises(ConfigError, match="found one to 100×100 in blood_cells"):
        pipeline_of(Job(pipeline="blood_cells", resize="40x48"))


def test_strict_accepts_no_bad_image():
    assert max_bad_of(Job(strict=True)) == 0
    with pytest.raises(ConfigError, match="without max-bad"):
        max_bad_of(Job(strict=True, max_bad=0.5))


def test_the_recipe_is_taken_from_the_job():
    recipe = recipe_of(Job(copies=3, seed=9, shard_mb=0.5, originals=True))
    assert (recipe.copies, recipe.seed, recipe.shard_bytes, recipe.originals) == (3, 9, 2**19, True)


def test_parts_are_read_and_checked():
    assert options_of(Job(part="3/16")).part == (3, 16)
    for wrong in ("3", "0/4", "5/4", "a/b"):
        with pytest.raises(ConfigError, match="part: expected i/n"):
            options_of(Job(part=wrong))


def test_workers_are_as_many_as_there_are_processors_unless_given():
    assert crew_of(Job()).workers >= 1
    assert crew_of(Job(workers=3)).workers == 3
    with pytest.raises(ConfigError, match=r"workers: expected a whole number in \[1, "):
        crew_of(Job(workers=0))


@pytest.mark.parametrize("size", [0, -3])
def test_batches_hold_at_least_one_image(size):
    with pytest.raises(ConfigError, match="batch-size: expected a whole number"):
        options_of(Job(batch_size=size))


@pytest.mark.parametrize("mebibytes", [0, -1, 0.001, 4096, float("nan"), float("inf")])
def test_a_shard_size_out_of_reach_is_refused_by_its_own_name(mebibytes):
    with pytest.raises(ConfigError, match="shard-mb: expected a number in"):
        recipe_of(Job(copies=1, shard_mb=mebibytes))


def test_numpy_counts_are_counts_and_truth_values_are_not():
    recipe = Recipe(copies=np.int64(3), seed=np.uint64(2**64 - 1), shard_bytes=np.int32(2**20))
    assert recipe == Recipe(copies=3, seed=2**64 - 1, shard_bytes=2**20)
    assert {type(n) for n in (recipe.copies, recipe.seed, recipe.shard_bytes)} == {int}
    for wrong in (True, np.True_, 2.0, "2", None, 0):
        with pytest.raises(ConfigError, match="copies: expected a whole number"):
            Recipe(copies=wrong)


def test_options_of_a_source_without_one_are_refused():
    assert source_or_none(Job()) is None
    with pytest.raises(ConfigError, match="add --source"):
        source_or_none(Job(layout="flat"))


def test_a_job_without_a_pipeline_says_so():
    assert not has_pipeline(Job())
    with pytest.raises(ConfigError, match="pipeline: expected a value"):
        pipeline_of(Job())


def test_the_split_is_read_with_its_seed():
    assert scan_options_of(Job()).division is None
    division = scan_options_of(Job(split="80/10/10", split_seed=3)).division
    assert division == Division((8, 1, 1), 3)


def test_a_split_that_does_not_add_up_is_refused():
    with pytest.raises(ConfigError, match="split: expected TRAIN/VAL/TEST"):
        scan_options_of(Job(split="0.8"))


def test_a_seed_of_no_folds_is_refused():
    with pytest.raises(ConfigError, match="fold-seed: expected with folds, got 3 without"):
        recipe_of(Job(copies=2, fold_seed=3))
