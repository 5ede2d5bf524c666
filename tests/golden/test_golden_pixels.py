"""The pixels of every transform and preset, and the presets' fingerprints (promise D2).

Who is hurt when this fails: everyone who extends, repairs or verifies a stored data set; the new
bytes would differ from the old ones, and `verify` would call sound shards damaged. If the change is
wanted, change ARITHMETIC (and so every fingerprint) with it and regenerate with
pipelines_regenerate.py.
"""

import json
from pathlib import Path

import pytest

from pipelines import preset_names
from pipelines.serialization import ARITHMETIC
from tests.golden import pipelines_regenerate
from tests.golden.pipelines_cases import EXAMPLES

GOLDEN = json.loads((Path(__file__).parent / "pipelines_pixels.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def now():
    return pipelines_regenerate.pixels()


def test_the_arithmetic_has_the_name_it_had():
    """The pixels belong to this name."""
    assert GOLDEN["provenance"]["arithmetic"] == ARITHMETIC


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_pixels_of_each_transform_are_what_they_were(name, now):
    """Four borders, uint8 and float32."""
    assert now["transforms"][name] == GOLDEN["pixels"]["transforms"][name]


def test_prefiltered_pixels_are_what_they_were(now):
    """Odd sides, halved twice along x and two or three times along y."""
    assert now["prefiltered"] == GOLDEN["pixels"]["prefiltered"]


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_what_they_were(name, now):
    """Fingerprint and pixels."""
    assert now["presets"][name] == GOLDEN["pixels"]["presets"][name]
