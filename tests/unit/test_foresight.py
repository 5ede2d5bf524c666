"""An estimate beside a dataset, against what came of it."""

import json
import os

import pytest

from materialize.accounting.account import account_dataset
from materialize.accounting.foresight import Prediction
from tests.jobs import build_photos, photos


@pytest.fixture
def dataset(tmp_path):
    """Twelve photos, two raw copies."""
    build_photos(photos(tmp_path / "photos"), tmp_path / "dataset")
    return tmp_path / "dataset"


def estimate(dataset, num_bytes, *, margin=0, **more):
    """Leaves an estimate beside a dataset, and gives what the account makes of it."""
    interval = {"value": num_bytes, "low": num_bytes - margin, "high": num_bytes + margin}
    seconds = {"value": 2.0, "low": 1.0, "high": 1e9}
    facts = {"format": 1, "stored_bytes": interval, "seconds": seconds} | more
    (dataset / "estimate.json").write_text(json.dumps(facts))
    return account_dataset(dataset).foresight


def test_an_estimate_is_compared_with_the_shards(dataset):
    """In relation to what came, and whether its interval held."""
    actual = account_dataset(dataset).shards_bytes
    found = estimate(dataset, actual + 1000, margin=1000).shards_bytes
    assert found.actual == actual
    assert found.error == pytest.approx(1000 / actual)
    assert found.is_covered


def test_an_interval_may_fail(dataset):
    """One byte outside is outside."""
    actual = account_dataset(dataset).shards_bytes
    assert not estimate(dataset, actual + 1001, margin=1000).shards_bytes.is_covered


def test_an_estimate_is_live_and_of_its_own_kind(dataset):
    """It is no foreign file, and no part of the shards."""
    estimate(dataset, 1)
    account = account_dataset(dataset)
    assert account.kinds["estimate"] == (dataset / "estimate.json").stat().st_size
    assert account.foreign_bytes == 0


@pytest.mark.parametrize("field", [{"copies": 3}, {"codec": "zstd"}, {"storage": "prefix"}])
def test_an_estimate_of_another_state_is_not_compared(dataset, field):
    """After more copies, or another codec, it tells nothing of what there is now."""
    found = estimate(dataset, 1000, **field)
    assert found.shards_bytes.actual is None
    assert next(iter(field)) in found.remark


def test_time_is_taken_from_the_files_of_the_build(dataset):
    """From the estimate to the manifest, where the receipts lie between."""
    estimate(dataset, 1000)
    ended = (dataset / "manifest-000001.json").stat().st_mtime
    os.utime(dataset / "estimate.json", (ended - 30, ended - 30))
    seconds = account_dataset(dataset).foresight.seconds
    assert seconds.actual == pytest.approx(30)
    assert seconds.is_covered


def test_times_of_a_copy_of_the_files_are_not_believed(dataset):
    """Receipts that are older than the estimate tell that it was copied since."""
    ended = (dataset / "manifest-000001.json").stat().st_mtime
    estimate(dataset, 1000)
    os.utime(dataset / "estimate.json", (ended + 3600, ended + 3600))
    os.utime(dataset / "manifest-000001.json", (ended + 3700, ended + 3700))
    found = account_dataset(dataset).foresight
    assert found.seconds.actual is None
    assert "do not tell" in found.remark


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stored_bytes": 3}', "\xff"])
def test_a_damaged_estimate_is_said_and_does_no_harm(dataset, text):
    """It is a note beside the dataset."""
    (dataset / "estimate.json").write_text(text, "latin-1")
    found = account_dataset(dataset).foresight
    assert found.shards_bytes is None
    assert "cannot be read" in found.remark


def test_nothing_came_of_nothing():
    """No relative error to zero."""
    assert Prediction(value=1, low=0, high=2, actual=0).error is None
