"""`materialize prices` and `materialize cost`, as they are typed."""

import csv
import json
from decimal import Decimal

import pytest
from click.testing import CliRunner

import materialize
from materialize.accounting.prices import GIB
from materialize.cli import cli, main
from materialize.manifest import load_latest
from tests.jobs import build_digits
from tests.report_cases import full_result

BOOK = """
name = "ours"
date = "2026-03"
currency = "EUR"
[providers.us]
title = "Us"
[services.shelf]
title = "The shelf"
provider = "us"
kind = "objects"
[services.shelf.storage]
amount = 1000
unit = "GB-month"
bytes_per_gb = 1000000000
source = "the caretaker"
date = "2026-03"
"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """The digits with copies."""
    directory = tmp_path_factory.mktemp("cost") / "out"
    build_digits(directory)
    return directory


@pytest.fixture
def contrast(tmp_path):
    """A stored contrast."""
    path = tmp_path / "contrast.json"
    path.write_text(json.dumps(full_result().to_json()))
    return path


@pytest.fixture
def book(tmp_path):
    """A price book of one's own."""
    path = tmp_path / "ours.toml"
    path.write_text(BOOK)
    return path


def _call(*arguments):
    """Standard output of a call that succeeds."""
    result = CliRunner().invoke(cli, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_prices_prints_every_price_with_its_source():
    """After one sentence."""
    text = _call("prices")
    assert text.startswith("public list prices, 2026-06, in USD: 8 services; no price of a GPU")
    assert "0.023 per GiB-month" in text
    assert text.count("infracost") > 10


def test_prices_reads_a_book_of_ones_own(book):
    """As JSON, with its digest."""
    facts = json.loads(_call("prices", "--prices", book, "--json"))
    assert facts["services"]["shelf"]["storage"][0]["amount"] == "1000"
    assert facts["digest"] == materialize.read_prices(book).digest()


def test_a_dataset_is_billed_by_its_exact_bytes(dataset):
    """Its shards' sizes, at S3 Standard for a month."""
    shards = load_latest(dataset).shards
    facts = json.loads(_call("cost", dataset, "--service", "s3-standard", "--json"))
    assert facts["stored_bytes"] == sum(entry.num_bytes for entry in shards)
    (bill,) = facts["services"]
    expected = Decimal(facts["stored_bytes"]) / GIB * Decimal("0.023")
    assert Decimal(bill["storage"]["total"]) == pytest.approx(expected, rel=Decimal("1e-25"))


def test_an_epoch_reads_one_copy_by_whole_shards(dataset):
    """One GET for each shard of copy 0, and that copy's bytes."""
    first = [e for e in load_latest(dataset).shards if e.spec.kind == "copy" and e.spec.copy == 0]
    facts = json.loads(_call("cost", dataset, "--epochs", 2, "--runs", 3, "--json"))
    assert (facts["epoch_shards"], facts["epochs"]) == (len(first), 6)
    assert facts["epoch_bytes"] == sum(entry.num_bytes for entry in first)
    reading = facts["services"][0]["reading"]["charges"]
    assert Decimal(reading[0]["quantity"]) * 1000 == 6 * len(first)


def test_a_dataset_is_billed_on_every_service_of_the_book(dataset):
    """Beside one epoch's reading, what is unpriced named."""
    text = _call("cost", dataset)
    for name in materialize.read_prices().services:
        assert name in text
    assert "unpriced: PUT requests, GET requests" in text


def test_months_and_prices_are_taken(dataset, book):
    """Half a month at 1,000 for 10^9 bytes."""
    facts = json.loads(_call("cost", dataset, "--prices", book, "--months", "0.5", "--json"))
    total = Decimal(facts["services"][0]["storage"]["total"])
    assert total == Decimal(facts["stored_bytes"]) / 10**6 / 2


def test_a_contrast_has_its_arms_and_the_break_even(contrast):
    """After one sentence."""
    text = _call("cost", contrast, "--runs", 3, "--gpu-hour", "2.50")
    assert text.startswith("At equal accuracy, ")
    assert "3 runs of 8 epochs, 12 months on Amazon S3 Standard" in text
    assert "offline K=8 against on-the-fly" in text
    assert "not at equal accuracy" in text
    assert "on-the-fly stalls 30 %" in text


def test_the_same_from_python(contrast):
    """What the command prints is what `cost_of` returns."""
    facts = json.loads(_call("cost", contrast, "--months", 3, "--json"))
    del facts["focus"]
    terms = materialize.CostTerms(months=Decimal(3))
    ours = materialize.cost_of(full_result(), None, terms).to_json()
    assert json.loads(json.dumps(ours)) == facts


@pytest.mark.parametrize("subject", ["contrast", "dataset"])
def test_focus_rows_add_up_to_the_total(subject, request, tmp_path):
    """Written as CSV, the same as in the JSON."""
    path, target = request.getfixturevalue(subject), tmp_path / "cost.csv"
    facts = json.loads(_call("cost", path, "--csv", target, "--json"))
    with target.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == facts["focus"]
    if subject == "contrast":
        invoices = [arm["invoice"] for arm in facts["arms"]]
    else:
        parts = ("storage", "writing", "reading")
        invoices = [bill[part] for bill in facts["services"] for part in parts]
    added = sum(Decimal(row["ListCost"] or 0) for row in rows)
    assert added == pytest.approx(sum(Decimal(i["total"]) for i in invoices), rel=Decimal("1e-20"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--service", "s3-standart"), "did you mean 's3-standard'"),
        (("--months", "many"), "expected a number of at least 0, got 'many'"),
        (("--gpu-hour", "-1"), "expected a number of at least 0"),
        (("--prices", "nowhere.toml"), "nowhere.toml: expected a price book in TOML"),
    ],
)
def test_wrong_options_are_refused_in_a_sentence(contrast, capsys, arguments, message):
    """And nothing is computed."""
    assert main(["cost", str(contrast), *arguments]) != 0
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_another_file_is_refused(tmp_path, capsys):
    """Neither a contrast nor a dataset."""
    path = tmp_path / "x.json"
    path.write_bytes(b"\xff\xfe")
    assert main(["cost", str(path)]) != 0
    assert (
        "expected the JSON of a contrast, or the directory of a dataset" in capsys.readouterr().err
    )
