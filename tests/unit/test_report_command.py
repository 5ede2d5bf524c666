"""`materialize report`: from a dataset or a stored result to a page."""

import csv
import json
from decimal import Decimal

import click
import numpy as np
import pytest
from click.testing import CliRunner

from materialize import build
from materialize.commands.reporting import report
from materialize.contrast.cost import cost_of
from materialize.contrast.terms import CostTerms
from materialize.errors import ConfigError
from materialize.report.contrast_page import contrast_facts, contrast_focus, render_contrast
from materialize.report.sentences import summary_line
from tests.report_cases import minimal_result


@pytest.fixture
def stored(tmp_path):
    """A result as `materialize contrast` stores it."""
    path = tmp_path / "contrast.json"
    path.write_text(json.dumps(minimal_result().to_json()), "utf-8")
    return path


@pytest.fixture
def photos(tmp_path):
    """A dataset of six images."""
    images = np.arange(6 * 8 * 8 * 3, dtype=np.uint64).astype(np.uint8).reshape(6, 8, 8, 3)
    np.savez(tmp_path / "photos.npz", x_train=images, y_train=np.arange(6) % 2)
    build(tmp_path / "photos.npz", tmp_path / "out", pipeline="cifar10", copies=1)
    return tmp_path / "out"


def _call(*arguments):
    return CliRunner().invoke(report, [str(each) for each in arguments], standalone_mode=False)


def test_the_page_is_written_and_the_summary_printed(stored, tmp_path):
    """The same bytes that the function gives."""
    outcome = _call(stored, "--output", tmp_path / "page.html")
    assert outcome.exception is None
    page = render_contrast(minimal_result(), cost=cost_of(minimal_result()))
    assert (tmp_path / "page.html").read_bytes() == page
    assert outcome.output.splitlines()[0] == summary_line(minimal_result())


def test_the_same_facts_are_written_as_json_and_csv(stored, tmp_path):
    """Every number of the page, and every charge under FOCUS' names."""
    outcome = _call(stored, "--output", tmp_path / "page.html", "--json", tmp_path / "facts.json",
                    "--csv", tmp_path / "cost.csv", "--gpu-hour", "2.5")  # fmt: skip
    assert outcome.exception is None
    cost = cost_of(minimal_result(), terms=CostTerms(gpu_price_per_hour=Decimal("2.5")))
    facts = json.loads((tmp_path / "facts.json").read_bytes())
    assert facts == json.loads(json.dumps(contrast_facts(minimal_result(), cost=cost)))
    with (tmp_path / "cost.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows == contrast_focus(cost)
    assert {row["BilledCost"] for row in rows} == {""}


def test_a_dataset_is_drawn_where_a_directory_is_given(photos, tmp_path):
    """One command for both; the page is that of the dataset."""
    outcome = _call(photos, "--output", tmp_path / "page.html", "--json", tmp_path / "facts.json",
                    "--csv", tmp_path / "cost.csv", "--months", "3")  # fmt: skip
    assert outcome.exception is None
    assert outcome.output.startswith("out has 6 images of 2 classes")
    facts = json.loads((tmp_path / "facts.json").read_bytes())
    assert facts["account"]["stored_bytes"] == sum(
        path.stat().st_size for path in photos.rglob("*") if path.is_file()
    )
    assert facts["bill"]["months"] == "3"
    assert (tmp_path / "cost.csv").read_text("utf-8").startswith("BilledCost,BillingCurrency")


def test_options_of_a_contrast_are_refused_for_a_dataset(photos, tmp_path):
    """They would change nothing."""
    outcome = _call(photos, "--output", tmp_path / "page.html", "--gpu-hour", "2.5")
    assert "--gpu-hour is for a contrast" in str(outcome.exception)


def test_what_does_not_exist_is_said_to(tmp_path):
    """Neither a dataset nor a contrast."""
    outcome = _call(tmp_path / "nothing", "--output", tmp_path / "page.html")
    assert isinstance(outcome.exception, ConfigError)
    assert "does not exist" in str(outcome.exception)


@pytest.mark.parametrize("content", [b"\xff\x00", b"[1, 2]", b'{"format": "other"}'])
def test_anything_else_is_refused_in_a_sentence(tmp_path, content):
    """And nothing is written."""
    path = tmp_path / "other.json"
    path.write_bytes(content)
    outcome = _call(path, "--output", tmp_path / "page.html")
    assert isinstance(outcome.exception, ConfigError)
    assert "expected" in str(outcome.exception)
    assert not (tmp_path / "page.html").exists()


def test_a_dataset_adds_its_account(stored, photos, tmp_path):
    """Every kind of byte of the shards that the arms read."""
    outcome = _call(stored, "--output", tmp_path / "page.html", "--dataset", photos)
    assert outcome.exception is None
    assert "The dataset on disk" in (tmp_path / "page.html").read_text("utf-8")


@pytest.mark.parametrize("option", ["--json", "--csv"])
def test_one_file_for_two_things_is_refused(photos, tmp_path, option):
    """The second would replace the first, however it is written."""
    there = tmp_path / "out" / ".." / "page.html"
    outcome = _call(photos, "--output", tmp_path / "page.html", option, there)
    assert isinstance(outcome.exception, click.UsageError)
    assert "is named twice" in str(outcome.exception)
    assert not there.exists()


def test_the_contrast_is_not_replaced_by_its_report(stored):
    """It took hours to make."""
    before = stored.read_bytes()
    assert isinstance(_call(stored, "--json", stored).exception, click.UsageError)
    assert stored.read_bytes() == before
