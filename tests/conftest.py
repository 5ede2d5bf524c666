"""Fixtures every test may use."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run: a failure seen once can be seen again.
settings.register_profile("project", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("project")

_DATA = Path(os.environ.get("MATERIALIZE_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images that lies beside the project; tests that need it skip without."""
    if not _DATA.is_dir():
        pytest.skip(
            f"no real images at {_DATA}: set MATERIALIZE_DATA to the folder that holds them"
        )
    return _DATA
