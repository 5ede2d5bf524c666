"""Shards of format version 1 keep their bytes.

Who is hurt if a digest here changes: everyone who has a dataset. Their manifests name the old
digests; a `repair`, an `extend` or a second machine with the new release would produce shards that
do not match them, and two people who built the same plan could no longer compare one number.

If HDF5 or a codec changed, the content digest stays and the file digest moves: say so under
"Format" in the changelog. If the content digest moves, the meaning of stored data changed: raise
``FORMAT_VERSION``. In both cases keep the old file and write the new one beside it:

    python tests/golden/regenerate_shards.py
"""

import json
from pathlib import Path

import pytest

from materialize.shards.layout import FORMAT_VERSION
from tests.golden.regenerate_shards import GOLDEN, golden_cases

EXPECTED = json.loads(Path(GOLDEN).read_text(encoding="ascii"))


def test_the_golden_file_is_that_of_this_format_version():
    assert EXPECTED["format_version"] == FORMAT_VERSION


@pytest.mark.parametrize("name", EXPECTED["shards"])
def test_a_shard_has_the_content_it_always_had(name):
    entry = golden_cases()[name].write()[1]
    assert entry.content_sha256 == EXPECTED["shards"][name]["content_sha256"]


@pytest.mark.parametrize("name", EXPECTED["shards"])
def test_a_shard_is_read_as_it_always_was(name):
    """For a lossy codec, its decoder's pixels; else those that were encoded."""
    entry = golden_cases()[name].write()[1]
    assert entry.reading_sha256 == EXPECTED["shards"][name]["reading_sha256"]


@pytest.mark.parametrize("name", EXPECTED["shards"])
def test_a_shard_has_the_bytes_it_always_had(name):
    entry = golden_cases()[name].write()[1]
    assert entry.file_sha256 == EXPECTED["shards"][name]["file_sha256"]


@pytest.mark.parametrize("name", EXPECTED["shards"])
def test_a_shard_has_the_name_it_always_had(name):
    assert golden_cases()[name].spec.file_name() == EXPECTED["shards"][name]["file"]


def test_every_case_is_in_the_golden_file():
    assert set(golden_cases()) == set(EXPECTED["shards"])
