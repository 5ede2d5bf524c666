"""Job files without reading code: every key explained, everything that is missing said at once."""

import tomllib
from dataclasses import fields

import pytest
from click.testing import CliRunner

from materialize.commands.contrasting import contrast
from materialize.commands.training import train
from materialize.config import key_of
from materialize.contrast.excerpt import Excerpt
from materialize.contrast.job_files import parse_contrast
from materialize.contrast.job_keys import KEYS
from materialize.contrast.jobs import ContrastJob, Published
from materialize.contrast.terms import CostTerms
from materialize.errors import ConfigError
from materialize.training import job_keys
from materialize.training.job import OPTION_NAMES, read_training_options, training_job
from materialize.training.settings import TrainingSettings

_GIVEN = {"images", "experiment", "form"}
"""Fields of a contrast that are no keys of its file."""


def _printed(command):
    done = CliRunner().invoke(command, ["--example"])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_example_of_a_contrast_is_a_contrast():
    """As it is printed, on images that are always there."""
    job = parse_contrast(_printed(contrast), "the example")
    assert (job.images.source, job.form) == ("digits", "full")


def test_the_example_of_a_contrast_has_every_key():
    """Those of its tables too."""
    text = _printed(contrast)
    names = {field.name for field in fields(ContrastJob)} - _GIVEN
    for kind in (TrainingSettings, Excerpt, CostTerms, Published):
        names |= {field.name for field in fields(kind)}
    for key in map(key_of, names):
        assert any(
            line.removeprefix("# ").startswith((f"{key} =", f"[{key}", f"[[{key}"))
            for line in text.splitlines()
        ), key


def test_every_key_of_a_contrast_has_a_meaning():
    """The help shows it."""
    names = {key_of(field.name) for field in fields(ContrastJob) if field.name not in _GIVEN}
    assert set(KEYS) == names | {"quick"}
    shown = CliRunner().invoke(contrast, ["--help"]).output
    assert all(f"  {key} " in shown for key in KEYS)


def test_the_example_of_a_training_is_a_training(tmp_path):
    """With every key, those that are not needed as comments."""
    text = _printed(train)
    path = tmp_path / "train.toml"
    path.write_text(text)
    job = training_job(read_training_options(path))
    assert (job.settings.model, job.settings.epochs) == ("mnist", 5)
    lines = [line.removeprefix("# ") for line in text.splitlines()]
    for name in OPTION_NAMES:
        assert any(line.startswith(f"{key_of(name)} =") for line in lines), name


def test_commented_values_are_the_defaults():
    """Taking a # away changes nothing, where a value is shown."""
    lines = [line[2:] for line in job_keys.example_job().splitlines() if line.startswith("# ")]
    for line in lines:
        key, is_key, rest = line.partition(" = ")
        if is_key and " " not in key and not rest.lstrip().startswith("#"):
            shown = tomllib.loads(line)[key]
            assert job_keys.default(key.replace("-", "_")) == shown, rest


def test_missing_keys_of_a_contrast_are_named_together():
    """With what each means, and where to see a whole file."""
    with pytest.raises(ConfigError) as refused:
        parse_contrast('arms = ["none"]\n[training]\nmodel = "mnist"\n', "job.toml")
    message = str(refused.value)
    for part in ("title (What the report is called)", "source (A folder", "pipeline (A preset",
                 "training.epochs (How often", "contrast --example"):  # fmt: skip
        assert part in message


def test_missing_options_of_a_training_are_named_together():
    """As they are typed."""
    with pytest.raises(ConfigError, match=r"dataset \(.*output \(.*epochs \(.*DATASET, --output"):
        training_job({})


def test_required_options_say_so():
    """In the help of train."""
    shown = CliRunner().invoke(train, ["--help"]).output
    assert shown.count("[required, here or in the job") == 2


def test_a_missing_key_of_a_table_is_named():
    """And not Python's own words for it."""
    text = "title='t'\nsource='digits'\npipeline='digits'\n[training]\nepochs=1\n"
    with pytest.raises(ConfigError, match=r"\[\[published\]\]: expected setting, value, found"):
        parse_contrast(text + "[[published]]\nmeasure='x'\n", "job.toml")
