"""Results as JSON and back."""

import json

import pytest

from materialize.contrast.results import ContrastResult, Proof
from materialize.errors import ConfigError
from tests.contrast_cases import run


@pytest.fixture
def result():
    """A result with one run."""
    return ContrastResult(
        title="small", form="quick", command="materialize contrast", job={"seeds": 1},
        dataset={"counts": {"train": 10}}, environment={}, runs=(run("none", confusion=((1, 0),)),),
        arms=(), proof=Proof(holds=None, reason="nothing was compared"), date="2026-01-01",
    )  # fmt: skip


def test_a_result_reads_back_equal(result):
    """Through JSON text."""
    assert ContrastResult.from_json(json.loads(json.dumps(result.to_json()))) == result


def test_another_version_is_refused(result):
    """With what was expected."""
    with pytest.raises(ConfigError, match="version 1, found"):
        ContrastResult.from_json(result.to_json() | {"version": 2})


def test_a_missing_field_is_named(result):
    """Somebody edited the file."""
    facts = result.to_json()
    del facts["proof"]
    with pytest.raises(ConfigError, match="proof"):
        ContrastResult.from_json(facts)
