"""Whole contrasts: finished runs are kept, folds averaged, warm starts begin where they should."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from materialize.contrast import measurement
from materialize.contrast.job_files import parse_contrast
from materialize.contrast.results import ContrastResult
from materialize.contrast.running import RESULT_FILE, run_contrast
from tests.contrast_cases import SMALL, small_job

pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """One directory for contrasts that share a dataset and runs."""
    return tmp_path_factory.mktemp("contrast")


@pytest.fixture(scope="module")
def first(work):
    """Two arms, one seed, one epoch."""
    return run_contrast(small_job(), work)


def _written(work):
    """When each run was stored."""
    return {path.name: path.stat().st_mtime_ns for path in (work / "runs").glob("*.json")}


def _facts(result):
    """What the same contrast must say again."""
    return replace(result, date="", command="").to_json()


def test_the_same_contrast_again_trains_nothing(work, first):
    """Every run is read, and the result is the same."""
    before = _written(work)
    assert _facts(run_contrast(small_job(), work)) == _facts(first)
    assert _written(work) == before


def test_more_seeds_train_only_what_is_missing(work, first):
    """Two runs are there, two are new, and those of seed 0 are not touched."""
    before = _written(work)
    result = run_contrast(small_job(seeds=2), work)
    after = _written(work)
    assert {name: after[name] for name in before} == before
    assert (len(after), len(result.runs)) == (len(before) + 2, 4)
    assert result.runs[:2] == first.runs


def test_a_lost_run_is_made_again_with_the_same_weights(work, first):
    """As after a kill: the run that had not finished, and no other."""
    before = _written(work)
    ours = first.runs[0].weights
    lost = next(p.name for p in (work / "runs").glob("*.json") if ours in p.read_text())
    (work / "runs" / lost).unlink()
    again = run_contrast(small_job(), work)
    assert [run.weights for run in again.runs] == [run.weights for run in first.runs]
    assert {name for name, time in _written(work).items() if time != before[name]} == {lost}


def test_other_settings_are_other_runs(work, first):
    """Two epochs meet no run of one epoch."""
    result = run_contrast(small_job(arms=("none",), epochs=2), work)
    assert len(result.runs[0].epochs) == 2
    assert result.runs[0].weights != first.runs[0].weights


def test_more_copies_extend_the_dataset(work, first):
    """The runs that are there still hold, and the dataset is the same one."""
    before = _written(work)
    result = run_contrast(small_job(arms=("none", "offline", "on-the-fly"), copies=(2,)), work)
    assert len(list(work.glob("dataset-*"))) == 1
    assert len(result.runs) == 3
    assert len(_written(work).keys() - before.keys()) == 1


def test_the_result_stands_in_a_file(work, first):
    """And reads back."""
    stored = ContrastResult.from_json(json.loads((work / RESULT_FILE).read_bytes()))
    assert stored.title == first.title


def test_a_warm_arm_starts_where_the_plain_one_ended(work):
    """As tutorial T0 does without saying so."""
    result = run_contrast(small_job(more="warm = true"), work)
    runs = {run.name: run for run in result.runs}
    assert runs["on-the-fly, warm"].initial_weights == runs["none"].weights
    assert runs["on-the-fly"].initial_weights == runs["none"].initial_weights


@pytest.mark.parametrize("kind", ["stratified", "plain"])
def test_folds_are_averaged(work, kind):
    """Two models for each arm and seed; the arm's accuracy is that of their mean."""
    job = small_job(arms=("none",), more=f'folds = 2\nfold-kind = "{kind}"')
    result = run_contrast(job, work)
    assert [run.fold for run in result.runs] == [0, 1]
    assert result.ensembles[0].num_models == 2
    assert result.arms[0].accuracy == result.ensembles[0].test_accuracy
    assert len({run.weights for run in result.runs}) == 2


def test_an_ablation_compares_with_the_whole_and_with_nothing(work):
    """Of two steps, one left out is the other alone: one training, told under two names."""
    steps = [{"transform": "vertical_flip"}, {"transform": "horizontal_flip"}]
    job = small_job(more='ablation = ["without", "alone"]')
    job = replace(job, images=replace(job.images, pipeline=None, inline_pipeline={"step": steps}))
    before = _written(work)
    result = run_contrast(job, work)
    assert {row.label: row.reference for row in result.ablation} == {
        "without vertical_flip": "on-the-fly", "without horizontal_flip": "on-the-fly",
        "vertical_flip alone": "none", "horizontal_flip alone": "none",
    }  # fmt: skip
    assert {summary.name for summary in result.arms} == {"none", "on-the-fly"}
    # The arm without augmentation was there: the pipeline is none of its business.
    assert len(_written(work).keys() - before.keys()) == 3


def test_the_command_runs_a_file_and_writes_a_page(work, first, tmp_path, monkeypatch):
    """The file's contrast is there already, so nothing is trained."""
    from materialize.commands.contrasting import contrast

    path = tmp_path / "small.toml"
    path.write_text(
        SMALL.format(arms=["none", "on-the-fly"], copies=[1], seeds=1, epochs=1, more=""), "utf-8"
    )
    before = _written(work)
    done = CliRunner().invoke(contrast, [str(path), "--output", str(work)], standalone_mode=False)
    assert done.exception is None, done.exception
    assert done.return_value == 0
    assert "on-the-fly" in done.output
    assert (work / "contrast.html").stat().st_size > 10_000
    assert _written(work) == before


def test_the_command_wants_a_file_or_an_experiment():
    """And says which experiments there are."""
    from materialize.commands.contrasting import contrast

    done = CliRunner().invoke(contrast, [])
    assert done.exit_code == 2
    assert "cifar10" in done.output


def test_a_long_run_is_saved_while_it_lasts_and_leaves_nothing(tmp_path, first, monkeypatch):
    """Saving changes no weight, and what the trainer kept is removed with the finished run."""
    monkeypatch.setattr(measurement, "WORTH_SAVING", 0)
    result = run_contrast(small_job(arms=("none",)), tmp_path)
    assert result.runs[0].weights == first.runs[0].weights
    assert list((tmp_path / "runs").glob("*.unfinished")) == []


EDITED = """
title = "edited"
source = "{folder}/images.npz"
pipeline = "{folder}/steps.toml"
arms = ["none", "offline"]
copies = [1]
seeds = 1
{more}

[training]
model = "mnist"
epochs = 1
batch-size = 16
"""


def _edited_job(folder, more=""):
    return parse_contrast(EDITED.format(folder=folder, more=more), "edited.toml")


def _write(folder, *, max_deg=10, seed=0, turned=0):
    """Images, labels and a pipeline; some may change while their files keep their names."""
    random = np.random.default_rng(seed)
    train, test = (random.integers(0, 256, (n, 8, 8, 1), dtype=np.uint8) for n in (48, 24))
    np.savez(
        folder / "images.npz", x_train=train, x_test=test,
        y_train=(np.arange(48) + turned) % 3, y_test=(np.arange(24) + turned) % 3,
    )  # fmt: skip
    step = f'[[step]]\ntransform = "rotation"\nmax_deg = {max_deg}\n'
    (folder / "steps.toml").write_text(step)


@pytest.fixture(scope="module")
def edited(tmp_path_factory):
    """A folder of files that tests edit, and the weights of what they held at first."""
    folder = tmp_path_factory.mktemp("edited")
    _write(folder)
    runs = run_contrast(_edited_job(folder), folder / "work").runs
    return folder, {run.name: run.weights for run in runs}


@pytest.mark.parametrize(
    ("change", "more", "arms"),
    [
        ({"max_deg": 90}, "", {"offline K=1"}),
        ({"seed": 1}, "", {"none", "offline K=1"}),
        ({"turned": 1}, "", {"none", "offline K=1"}),
        ({}, 'resize = "6x6"', {"none", "offline K=1"}),
    ],
    ids=["pipeline file", "images", "labels", "resize"],
)
def test_what_was_edited_under_its_name_is_trained_anew(edited, tmp_path, change, more, arms):
    """Nothing made from what a file held before stands in for what it holds now."""
    folder, before = edited
    _write(folder, **change)
    job = _edited_job(folder, more)
    after = {run.name: run.weights for run in run_contrast(job, folder / "work").runs}
    fresh = {run.name: run.weights for run in run_contrast(job, tmp_path / "fresh").runs}
    assert after == fresh
    assert {name for name in after if after[name] != before[name]} == arms


def test_balanced_classes_are_the_same_in_every_arm(tmp_path):
    """Weights equal bit for bit, and the arm without augmentation sees as many of each class."""
    job = small_job(
        arms=("none", "on-the-fly", "prefix", "offline"), copies=(1, 2), epochs=2,
        more="balance = 30\nbalance-cap = 2",
    )  # fmt: skip
    result = run_contrast(job, tmp_path)
    runs = {run.name: run for run in result.runs}
    alike = {runs[name].weights for name in ("on-the-fly", "prefix", "offline K=2")}
    assert len(alike) == 1
    assert runs["none"].weights not in alike
    assert {run.num_steps for run in result.runs} == {runs["none"].num_steps}
    assert {figures.num_images for run in result.runs for figures in run.epochs} == {300}
