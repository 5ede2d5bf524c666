"""A build is estimated before its first byte, refused where it cannot fit, and compared after."""

import json

import pytest

from materialize.cli import main
from materialize.exit_codes import ExitCode
from tests.jobs import photos


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    photos(folder)
    return folder


def build(source, output, *more):
    arguments = ["build", "--source", str(source), "--pipeline", "digits", "--copies", "2",
                 "--resize", "24x24", "--output", str(output), "--workers", "1", *more]  # fmt: skip
    return main(arguments)


@pytest.mark.parametrize("codec", ["raw", "zstd"])
def test_the_estimate_stands_beside_what_came(source, tmp_path, capsys, codec):
    """Raw bytes are known exactly; a small source is encoded whole, so that others are as well."""
    assert build(source, tmp_path / "out", "--codec", codec, "--json") == ExitCode.DONE
    told = json.loads(capsys.readouterr().out)["foresight"]["shards_bytes"]
    noted = json.loads((tmp_path / "out" / "estimate.json").read_text())["stored_bytes"]
    files = (tmp_path / "out" / "shards").iterdir()
    assert told["actual"] == sum(path.stat().st_size for path in files)
    assert told["value"] == noted["value"] == told["actual"]


@pytest.mark.parametrize(
    "budget", [["--budget-gb", "0.000001"], ["--budget-money", "0.0000000001"]]
)
def test_a_budget_is_kept_before_anything_is_written(source, tmp_path, capsys, budget):
    """The refusal names the budget, what it would take, and the way out."""
    assert build(source, tmp_path / "out", *budget) == ExitCode.FAILED
    said = capsys.readouterr().err
    assert budget[0].removeprefix("--") in said
    assert "materialize plan --codec auto" in said
    assert not (tmp_path / "out").exists()


def test_a_budget_that_suffices_changes_nothing(source, tmp_path):
    """Shards are the same bytes with and without limits."""
    build(source, tmp_path / "with", "--budget-gb", "1")
    build(source, tmp_path / "without", "--no-estimate")
    assert not (tmp_path / "without" / "estimate.json").exists()
    for shard in (tmp_path / "without" / "shards").iterdir():
        assert (tmp_path / "with" / "shards" / shard.name).read_bytes() == shard.read_bytes()


def test_a_service_without_a_price_cannot_keep_a_budget_of_money(source, tmp_path, capsys):
    """An unknown name is told before images are looked at."""
    asked = ["--budget-money", "5", "--service", "no-such-service"]
    assert build(source, tmp_path / "out", *asked) != ExitCode.DONE
    assert "no-such-service" in capsys.readouterr().err
