"""The draws of every transform at fixed addresses, for ever (promise D0).

Who is hurt when this fails: everyone with a stored data set. Copies that were added later, repaired
or explained would come from other parameters than the ones on disk, and would not fit beside them.
Change RNG_NAME, say so in the changelog, and regenerate with pipelines_regenerate.py.
"""

import json
from pathlib import Path

import pytest

from pipelines.randomness import RNG_NAME
from tests.golden import pipelines_regenerate
from tests.golden.pipelines_cases import EXAMPLES

GOLDEN = json.loads((Path(__file__).parent / "pipelines_draws.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def now():
    return pipelines_regenerate.draws()


def test_the_generator_has_the_name_it_had():
    """The words belong to this name."""
    assert GOLDEN["provenance"]["randomness"] == RNG_NAME


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_draws_are_what_they_were(name, now):
    """Words and parameters, bit for bit, on every machine."""
    assert json.loads(json.dumps(now[name])) == GOLDEN["draws"][name]


def test_every_recorded_transform_still_exists():
    """None of them may go: stored pipelines name them."""
    assert set(GOLDEN["draws"]) <= set(EXAMPLES)
