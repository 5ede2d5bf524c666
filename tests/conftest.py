"""Fixtures every test may use."""

import os
from pathlib import Path

import pytest

_DATA = Path(os.environ.get("MATERIALIZE_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images that lies beside the project; tests that need it skip without."""
    if not _DATA.is_dir():
        pytest.skip(
            f"no real images at {_DATA}: set MATERIALIZE_DATA to the folder that holds them"
        )
    return _DATA
