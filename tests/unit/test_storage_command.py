"""storage on the command line: tables, JSON and CSV of one account."""

import csv
import io
import json

import pytest

from materialize.accounting.account import account_dataset
from materialize.accounting.breakdown import DIMENSIONS, break_down
from materialize.accounting.comparison import compare_accounts, total_of
from materialize.cli import main
from materialize.console import size
from materialize.exit_codes import ExitCode
from tests.jobs import build_photos, photos


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """One of two copies, and one of three with more images."""
    root = tmp_path_factory.mktemp("storage")
    build_photos(photos(root / "few"), root / "first")
    build_photos(photos(root / "many", 20), root / "second", copies=3)
    return root / "first", root / "second"


@pytest.fixture
def run(capsys):
    """Runs a command line in this process; gives exit code, standard output and error."""

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return call


def test_one_sentence_comes_first(run, datasets):
    """What it takes exactly, against its source, and what a copy costs."""
    code, out, _ = run("storage", datasets[0])
    account = account_dataset(datasets[0])
    first = out.splitlines()[0]
    assert code == ExitCode.DONE
    assert f"({account.stored_bytes:,} bytes)" in first
    assert f"{account.amplification:,.2f} times" in first
    assert f"one copy costs {size(account.bytes_per_copy)}" in first


def test_the_unit_is_said_once(run, datasets):
    """MB is 10^6 bytes."""
    assert run("storage", datasets[0])[1].count("10^6") == 1


def test_every_kind_has_exact_bytes(run, datasets):
    """With thousands separators, beside a size to read."""
    out = run("storage", datasets[0])[1]
    for kind, num_bytes in account_dataset(datasets[0]).kinds.items():
        if num_bytes:
            assert kind in out
            assert f"{num_bytes:,}" in out


def test_json_is_the_account(run, datasets):
    """All of it, with what is derived."""
    facts = json.loads(run("storage", datasets[0], "--json")[1])
    assert facts == json.loads(json.dumps(account_dataset(datasets[0]).to_json()))
    assert facts["stored_bytes"] == sum(facts["kinds"].values())


def test_csv_lines_sum_to_the_shards(run, datasets):
    """One line for each class, split, copy and target, in bytes."""
    rows = list(csv.DictReader(io.StringIO(run("storage", datasets[0], "--csv")[1])))
    account = account_dataset(datasets[0])
    assert sum(int(row["num_bytes"]) for row in rows) == account.shards_bytes
    assert {row["class"] for row in rows} == {"a", "b", account.container_name}


@pytest.mark.parametrize("by", DIMENSIONS)
def test_every_breakdown_sums_to_the_shards(run, datasets, by):
    """Along each dimension alone, with as many images as are stored."""
    rows = list(csv.DictReader(io.StringIO(run("storage", datasets[1], "--by", by, "--csv")[1])))
    account = account_dataset(datasets[1])
    assert sum(int(row["num_bytes"]) for row in rows) == account.shards_bytes
    assert sum(int(row["num_images"]) for row in rows) == account.num_images


def test_dimensions_may_be_crossed(run, datasets):
    """Class × copy: a line for each pair, and the container's for each copy."""
    facts = json.loads(
        run("storage", datasets[0], "--by", "class", "--by", "copy", "--json")[1]
    )["breakdown"]  # fmt: skip
    pairs = [(line["class"], line["copy"]) for line in facts]
    names = ("a", "b", "(container)")
    assert pairs == [(name, f"copy {copy}") for name in names for copy in (0, 1)]


def test_a_breakdown_is_in_numerical_order(datasets):
    """Copies by number, not by name."""
    lines = break_down(account_dataset(datasets[1]), ["copy"])
    assert [line.names for line in lines] == [("copy 0",), ("copy 1",), ("copy 2",)]


def test_a_terminal_shows_each_breakdown(run, datasets):
    """Exact sums of a class, split by split."""
    out = run("storage", datasets[0], "--by", "class")[1]
    for num_bytes in account_dataset(datasets[0]).by_class.values():
        assert f"{num_bytes:,}" in out


def test_several_datasets_are_summed(run, datasets):
    """Beside each other, with what they take together."""
    facts = json.loads(run("storage", *datasets, "--json")[1])
    accounts = [account_dataset(path) for path in datasets]
    assert facts["total"] == total_of(accounts)
    sizes = [dataset["stored_bytes"] for dataset in facts["datasets"]]
    assert facts["total"]["stored_bytes"] == sum(sizes)
    assert f"{sum(sizes):,} bytes" in run("storage", *datasets)[1]


def test_growths_of_a_difference_sum_to_that_of_its_whole(datasets):
    """By kind to all files, by everything else to the shards."""
    difference = compare_accounts(*map(account_dataset, datasets))
    assert sum(c.growth for c in difference.by_kind) == difference.stored.growth
    for by in ("class", "split", "copy", "target"):
        changes = getattr(difference, f"by_{by}")
        assert sum(change.growth for change in changes) == difference.shards.growth


def test_a_copy_that_only_one_has_grew_from_nothing(datasets):
    """Copy 2 of the second is new, and gone the other way round."""
    first, second = map(account_dataset, datasets)
    there, back = compare_accounts(first, second), compare_accounts(second, first)
    change = there.by_copy[-1]
    assert (change.name, change.before, change.after) == ("copy 2", 0, second.by_copy[2])
    assert [c.growth for c in back.by_copy] == [-c.growth for c in there.by_copy]


def test_a_difference_is_printed_in_three_forms(run, datasets):
    """The sentence, the JSON and the CSV have the same growth."""
    growth = compare_accounts(*map(account_dataset, datasets)).stored.growth
    assert f"({growth:,} bytes) more" in run("storage", *datasets, "--diff")[1]
    facts = json.loads(run("storage", *datasets, "--diff", "--json")[1])
    assert facts["difference"]["stored"]["growth"] == growth
    rows = csv.DictReader(io.StringIO(run("storage", *datasets, "--diff", "--csv")[1]))
    assert sum(int(row["growth"]) for row in rows if row["by"] == "kind") == growth


def test_what_is_not_needed_is_told_with_its_remedy(run, tmp_path):
    """A temporary has a command that removes it, and a foreign file has none."""
    build_photos(photos(tmp_path / "photos"), tmp_path / "dataset")
    (tmp_path / "dataset" / ".tmp-nowhere-1-00").write_bytes(b"123")
    (tmp_path / "dataset" / "mine").write_bytes(b"1234")
    lines = run("storage", tmp_path / "dataset")[1].splitlines()
    (temporary,) = (line for line in lines if line.startswith("temporary, 1 file "))
    (foreign,) = (line for line in lines if line.startswith("foreign, 1 file "))
    assert f"materialize gc {tmp_path / 'dataset'}" in temporary
    assert "nothing here touches it" in foreign


def test_a_missing_estimate_is_told(run, datasets):
    """Not every dataset was planned."""
    assert "no estimate was made" in run("storage", datasets[0])[1]


@pytest.mark.parametrize(
    "arguments",
    [["--json", "--csv"], ["--diff"], ["--by", "kind", "--by", "class"], ["--by", "color"]],
)
def test_requests_that_contradict_themselves_are_refused(run, datasets, arguments):
    """As a mistake in the command, before anything is read."""
    assert run("storage", datasets[0], *arguments)[0] == ExitCode.USAGE


def test_what_is_no_dataset_is_an_error(run, tmp_path):
    """Without a manifest there is nothing to account for."""
    code, _, err = run("storage", tmp_path)
    assert code == ExitCode.FAILED
    assert "materialize build" in err


def test_class_names_do_not_move_the_cursor(run, tmp_path):
    """Escapes, bidirectional marks and line ends are printed as escapes."""
    source = photos(tmp_path / "photos")
    (source / "a").rename(source / "a\x1b[2J\u202e\nall")
    build_photos(source, tmp_path / "out")
    out = run("storage", tmp_path / "out")[1]
    assert "a\\x1b[2J\\u202e\\nall" in out
    assert "\x1b" not in out
    assert "\u202e" not in out
