"""Masks, boxes, keypoints and polygons of fixed pipelines and addresses (promise D2).

Who is hurt when this fails: everyone who extends, repairs or verifies a stored data set with masks
or objects. If the change is wanted, regenerate with pipelines_regenerate.py, and say so in the
changelog.
"""

import json
from pathlib import Path

import pytest

from tests.golden import pipelines_regenerate

GOLDEN = json.loads((Path(__file__).parent / "pipelines_targets.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def now():
    return pipelines_regenerate.targets()


@pytest.mark.parametrize("name", sorted(GOLDEN["targets"]))
def test_targets_are_what_they_were(name, now):
    """Every column, byte for byte."""
    assert now[name] == GOLDEN["targets"][name]


def test_every_pipeline_is_compared(now):
    """And its objects are not all gone."""
    assert now.keys() == GOLDEN["targets"].keys()
    assert min(found["objects"] for found in now.values()) >= 3
