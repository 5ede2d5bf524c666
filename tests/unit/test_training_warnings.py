"""What is said of a training or a contrast where it is less than somebody thinks."""

import warnings

import pytest
from click.testing import CliRunner

import materialize
from materialize.cli import _stopped, cli
from materialize.commands.interruption import interruption_noted
from materialize.commands.notices import notices_shown
from materialize.commands.training import _kept as kept_of_training
from materialize.config import Job
from materialize.contrast.conclusions import _notes
from materialize.contrast.jobs import ContrastJob
from materialize.contrast.modelling import check_model
from materialize.contrast.running import open_bench
from materialize.contrast.statistics import judge
from materialize.errors import ConfigError, MaterializeError
from materialize.exit_codes import ExitCode
from materialize.intervals import estimate
from materialize.training.settings import TrainingSettings
from materialize.training.trainer import train_dataset
from tests.image_files import png_bytes, write_tree

pytest.importorskip("keras")

SETTINGS = TrainingSettings(epochs=1, model="mnist", batch_size=8)


@pytest.fixture
def bare(tmp_path):
    """Copies alone of a source that has a test part."""
    names = [f"{split}/{'ab'[n % 2]}/{n}.png" for split in ("train", "test") for n in range(8)]
    source = write_tree(tmp_path, {name: png_bytes(i, (8, 8)) for i, name in enumerate(names)})
    materialize.build(source, tmp_path / "bare", pipeline="cifar10", copies=1)
    return tmp_path / "bare"


def job(seeds=3, **more):
    images = Job(source="digits", pipeline="digits", split="0.8/0.1/0.1", **more.pop("images", {}))
    return ContrastJob(title="t", images=images, training=SETTINGS, seeds=seeds, **more)


def test_a_part_that_is_not_stored_is_said_and_not_scored(bare, tmp_path):
    """Training goes on without it."""
    with pytest.warns(UserWarning, match="no stored images of test, .* build it with --originals"):
        report = train_dataset(bare, tmp_path / "run", SETTINGS)
    assert dict(report.evaluations) == {}


def test_a_part_that_decides_something_must_be_stored(bare, tmp_path):
    """Keeping the best by what is not there would be a guess; here by a fold of copies alone."""
    chosen = materialize.Selection(fold=0, folds=2)
    with pytest.raises(ConfigError, match="--originals"):
        train_dataset(bare, tmp_path / "run", SETTINGS, selection=chosen)


def test_warnings_are_one_line_for_people(bare, tmp_path, capsys):
    """Without the place in our code."""
    with warnings.catch_warnings(action="default"), notices_shown():
        train_dataset(bare, tmp_path / "run", SETTINGS)
    shown = capsys.readouterr().err
    assert "warning: " in shown
    assert ".py:" not in shown


@pytest.mark.parametrize(("seeds", "said"), [(1, "no interval"), (2, "quantile is 12.7")])
def test_few_seeds_are_said_before_and_after(seeds, said):
    """With how many to run."""
    few = job(seeds)
    assert said in few.caveats[0]
    assert "--seeds 3" in few.caveats[0]
    assert any(said in note for note in _notes(few, ()))


def test_three_seeds_need_no_caveat():
    """They are the fewest of which intervals can be read."""
    assert job(3).caveats == ()


def test_accuracies_stay_within_their_interval():
    """Two seeds have an interval of several hundred points before it is cut."""
    found = estimate([0.5, 0.9], within=(0.0, 1.0))
    assert (found.low, found.high) == (0.0, 1.0)
    assert estimate([0.5, 0.9]).low < 0


def test_a_verdict_of_two_seeds_says_so():
    """Whichever it is."""
    for paired in ([0.01, -0.02], [0.0, 1e-6], [-0.5, -0.500001]):
        assert "two seeds say next to nothing" in judge(4, paired, 0.01).remark
    assert "two seeds" not in judge(4, [0.01, -0.02, 0.0], 0.01).remark


@pytest.mark.parametrize(
    "wrong",
    [
        {"images": {"source": "absent"}}, {"base": "absent.h5"}, {"base": "VGG17"},
        {"train_from": "fire6"}, {"images": {"split": None}}, {"model": "restnet"},
        {"standardize": "unity"},
    ],
)  # fmt: skip
def test_a_contrast_that_cannot_begin_leaves_nothing_behind(tmp_path, wrong):
    """No directory that somebody would take for a contrast."""
    images = {"source": "digits", "pipeline": "digits", "split": "0.8/0.1/0.1"}
    own = {name: wrong[name] for name in ("base", "train_from") if name in wrong}
    training = {name: wrong[name] for name in ("model", "standardize") if name in wrong}
    settings = TrainingSettings(**{"epochs": 1, "model": "mnist"} | training)
    broken = ContrastJob(
        title="t", images=Job(**images | wrong.get("images", {})), training=settings, **own
    )
    with pytest.raises((MaterializeError, ValueError)):
        open_bench(broken, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_a_model_is_looked_up_before_a_dataset_is_built():
    """With the nearest name."""
    with pytest.raises(ConfigError, match="did you mean 'resnet'"):
        check_model(_with_model("restnet"))


def _with_model(name):
    settings = TrainingSettings(epochs=1, model=name)
    return ContrastJob(title="t", images=Job(source="digits"), training=settings)


def test_an_optimizer_that_is_nearly_right_is_named():
    """As unknown keys are."""
    with pytest.raises(ConfigError, match="did you mean 'adamw'"):
        TrainingSettings(epochs=1, optimizer="adamww")


def test_what_a_stopped_training_keeps_is_what_is_there(tmp_path):
    """Nothing, before the first checkpoint."""
    assert "starts over" in kept_of_training(tmp_path)
    (tmp_path / "fold-0").mkdir()
    (tmp_path / "fold-0" / "checkpoint").write_bytes(b"")
    assert "last checkpoint is kept" in kept_of_training(tmp_path)


def test_a_signal_carries_what_is_kept():
    """To the one place that says how a command ended."""
    with pytest.raises(KeyboardInterrupt) as stopped, interruption_noted(lambda: "all is well"):
        raise KeyboardInterrupt
    assert stopped.value.__notes__ == ["all is well"]


def test_the_last_line_of_a_stopped_command_says_what_is_kept(capsys):
    """What the command noted, or that what is finished is kept."""
    stopped = KeyboardInterrupt()
    assert _stopped(stopped) == ExitCode.INTERRUPTED
    assert "stopped by Ctrl-C; what is finished is kept" in capsys.readouterr().err
    stopped.add_note("nothing is kept")
    _stopped(stopped)
    assert "stopped by Ctrl-C; nothing is kept" in capsys.readouterr().err


def test_a_command_that_is_nearly_right_is_named():
    """As options and keys are."""
    done = CliRunner().invoke(cli, ["trian"])
    assert done.exit_code == 2
    assert "did you mean train?" in done.output


def test_more_copies_than_are_stored_are_named_as_they_were_asked_for(bare):
    """Not as the numbers that are missing."""
    with pytest.raises(ConfigError, match=r"at most the 1 that are stored, got 7; .* --copies 7"):
        materialize.StreamingLoader(bare, batch_size=4, copies=7)
