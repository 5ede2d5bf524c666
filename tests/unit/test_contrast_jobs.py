"""Contrasts from TOML: every option checked, and the experiments that come with the package."""

import pytest

from materialize.assembly import pipeline_of
from materialize.contrast.job_files import (
    Changes,
    experiment_names,
    parse_contrast,
    read_contrast,
    read_experiment,
)
from materialize.errors import ConfigError

JOB = """
title = "photos"
source = "photos"
pipeline = "cifar10"
copies = [4, 1, 4]
[excerpt]
train-per-class = 9
[training]
epochs = 20
[quick]
seeds = 2
[quick.excerpt]
test-per-class = 3
[quick.training]
epochs = 5
"""


def _parse(text=JOB, **changes):
    return parse_contrast(text, "job.toml", changes=Changes(**changes))


def test_copies_are_sorted_and_counted_once():
    """K's are a set."""
    assert _parse().copies == (1, 4)


def test_the_quick_form_is_taken_where_there_is_one():
    """Tables within it change the keys they name."""
    job = _parse()
    assert (job.form, job.seeds, job.training.epochs) == ("quick", 2, 5)
    assert (job.excerpt.train_per_class, job.excerpt.test_per_class) == (9, 3)


def test_the_full_form_is_taken_on_demand():
    """With --full."""
    job = _parse(quick=False)
    assert (job.form, job.training.epochs, job.excerpt.test_per_class) == ("full", 20, None)


VARIED = f"""{JOB}
[variant.flipped]
title = "flipped photos"
[[variant.flipped.pipeline.step]]
transform = "horizontal_flip"
"""


def test_a_variant_changes_the_file_and_the_quick_form_changes_both():
    job = _parse(VARIED, variant="flipped")
    assert (job.title, job.variant, job.seeds) == ("flipped photos", "flipped", 2)
    assert pipeline_of(job.images).step_keys == ("horizontal_flip",)


def test_a_file_with_variants_stands_for_itself():
    job = _parse(VARIED)
    assert (job.title, job.variant, job.images.pipeline) == ("photos", None, "cifar10")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (VARIED, "there is no variant 'flip'; did you mean 'flipped'?"),
        (JOB, "there is no variant 'flip'; the file has no variants"),
        (f"variant = 3\n{JOB}", r"variant: expected tables \[variant.NAME\], got 3"),
    ],
)
def test_a_variant_that_is_not_there_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        _parse(text, variant="flip")


def test_a_file_without_a_quick_form_is_full():
    """Even with --quick."""
    assert _parse(JOB.partition("[quick]")[0], quick=True).form == "full"


def test_the_command_line_wins():
    """Over both forms."""
    job = _parse(arms=("on-the-fly", "none"), seeds=9, epochs=1, source="elsewhere", copies=(3,))
    assert (job.arms, job.seeds, job.training.epochs) == (("none", "on-the-fly"), 9, 1)
    assert (job.images.source, job.copies) == ("elsewhere", (3,))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("copies =", "copy =", "did you mean 'copies'"),
        ("epochs = 20", "epoch = 20", "did you mean 'epochs'"),
        ("train-per-class", "train-per-clas", "did you mean 'train-per-class'"),
        ("pipeline =", "pipelin =", "did you mean 'pipeline'"),
        ('title = "photos"\n', "", r"expected title \(What the report"),
        ("epochs = 20", "", "epochs"),
        ("epochs = 20", 'epochs = "x"', "epochs: expected"),
        ("[excerpt]", 'arms = ["ofline"]\n[excerpt]', "did you mean 'offline'"),
        ("[excerpt]", "margin = 0.0\n[excerpt]", "margin"),
        ("[excerpt]", "folds = 1\n[excerpt]", "folds"),
        ("[excerpt]", 'warm = true\narms = ["none"]\n[excerpt]', "on-the-fly"),
        ("train-per-class = 9", "train-per-class = 0", "at least 1"),
        ("title", "= title", "TOML"),
    ],
)
def test_what_is_wrong_is_named(old, new, message):
    """With the nearest key that exists, or what was expected."""
    with pytest.raises(ConfigError, match=message):
        _parse(JOB.replace(old, new, 1), quick=False)


def test_a_quick_form_that_is_no_table_is_refused():
    """There would be nothing to change."""
    with pytest.raises(ConfigError, match="expected a table"):
        _parse(f"quick = true\n{JOB.partition('[quick]')[0]}")


def test_paths_start_at_the_files_folder(tmp_path):
    """As in a job of a build."""
    path = tmp_path / "photos.toml"
    path.write_text(JOB, "utf-8")
    assert read_contrast(path).images.source == str(tmp_path / "photos")


def test_a_missing_file_is_named(tmp_path):
    """And nothing else happens."""
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        read_contrast(tmp_path / "absent.toml")


def test_the_tutorials_are_there():
    """T0 to T4 and the demo's."""
    wanted = {"blood_cells", "books", "cifar10", "digits", "fashion_mnist", "mnist"}
    assert wanted <= set(experiment_names())


@pytest.mark.parametrize("name", experiment_names())
@pytest.mark.parametrize("quick", [True, False])
def test_every_experiment_can_be_read(name, quick):
    """In both forms, with a pipeline that loads, and both forms there."""
    job = read_experiment(name, Changes(quick=quick))
    assert job.form == ("quick" if quick else "full")
    assert pipeline_of(job.images).step_keys
    assert job.to_json()["title"] == job.title


def test_an_experiment_that_is_not_there_is_named_with_the_nearest():
    """As commands are."""
    with pytest.raises(ConfigError, match="did you mean 'cifar10'"):
        read_experiment("cifar100")
