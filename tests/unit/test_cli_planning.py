"""`materialize plan` as it is typed."""

import json
import shlex

import pytest

from materialize.cli import main
from tests.jobs import photos

COMMON = ["plan", "--source", "digits", "--pipeline", "digits", "--workers", "1"]


def plan(capsys, *arguments, code=0):
    assert main([*COMMON, *arguments]) == code
    return capsys.readouterr().out


def test_the_summary_comes_first_and_the_command_last(capsys):
    """What it takes in a sentence, what to type in a line."""
    lines = plan(capsys, "--copies", "3", "--no-compare", "--output", "out").splitlines()
    assert lines[0].startswith("3 copies of 1,797 images (8×8×1) in raw take 578.6 kB (exact) in 3")
    assert lines[-1].strip() == (
        "materialize build --source digits --pipeline digits --copies 3 --output out --workers 1"
    )


def test_json_has_everything(capsys):
    """The estimate, the choice and the command."""
    facts = json.loads(plan(capsys, "--copies", "2", "--codec", "auto", "--json"))
    assert facts["estimate"]["stored_bytes"]["value"] > 0
    assert facts["choice"]["codec"] in facts["command"]
    assert {codec["name"] for codec in facts["estimate"]["codecs"]} >= {"raw", "gzip", "png"}


def test_every_codec_and_mode_has_a_row(capsys):
    """With its bytes and what it costs."""
    out = plan(capsys, "--copies", "2", "--sample-images", "64")
    for name in ("raw", "blosc2", "webp", "jpeg-90", "prefix", "recipe", "break-even"):
        assert name in out


def test_a_budget_without_copies_chooses_their_number(capsys):
    """And types it into the command."""
    out = plan(capsys, "--budget-gb", "0.0005", "--epochs", "20", "--no-compare", "--json")
    facts = json.loads(out)
    assert facts["choice"]["copies"] == 2
    assert "--copies 2" in facts["command"]


def test_a_budget_that_nothing_keeps_ends_with_1(capsys):
    """And names no command."""
    out = plan(capsys, "--copies", "5", "--budget-gb", "0.000001", "--no-compare", "--json", code=1)
    assert json.loads(out)["command"] is None


@pytest.mark.parametrize(("arguments", "said"), [
    (["--copies", "2", "--fidelity", "good"], "expected lossless, or psnr:"),
    (["--copies", "2", "--budget-gb", "-1"], "budget-gb: expected more than 0"),
    (["--copies", "2", "--budget-money", "much"], "budget-money: expected a number"),
    (["--copies", "2", "--service", "s3-standart"], "s3-standard"),
    (["--copies", "2", "--count", "0"], "count: expected a whole number"),
    ([], "copies: expected a value"),
])  # fmt: skip
def test_wrong_options_end_with_2(capsys, arguments, said):
    """And one line that says what was expected."""
    assert main([*COMMON, *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_printed_command_builds_what_was_planned(capsys, tmp_path):
    """To the byte, where the codec is raw."""
    photos(tmp_path / "photos", 8)
    arguments = ["--source", str(tmp_path / "photos"), "--pipeline", "cifar10", "--copies", "2",
                 "--output", str(tmp_path / "built"), "--shard-mb", "0.00390625"]  # fmt: skip
    assert main(["plan", *arguments, "--workers", "1", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    words = shlex.split(facts["command"])
    assert words[0] == "materialize"
    assert main(words[1:]) == 0
    built = sum(path.stat().st_size for path in (tmp_path / "built" / "shards").glob("*.h5"))
    assert facts["estimate"]["stored_bytes"]["value"] == built


def test_planning_leaves_nothing_behind(capsys, tmp_path):
    """The shards that are tried are thrown away."""
    plan(capsys, "--copies", "2", "--no-compare", "--output", str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []
