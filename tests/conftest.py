"""Fixtures every test may use."""

import contextlib
import gc
import os
from pathlib import Path

import pytest
from hypothesis import settings

from pipelines.pipeline import Pipeline
from tests.references import REFERENCES

# The same examples in every run: a failure seen once can be seen again.
settings.register_profile("project", derandomize=True, deadline=None, print_blob=True)
settings.load_profile("project")

_DATA = Path(os.environ.get("MATERIALIZE_DATA", Path(__file__).parents[2] / "shared" / "data"))


def pytest_collection_finish():
    """Hides what was imported from the garbage collector: millions of objects, looked through at
    every full collection, made each training take half as long again."""
    gc.freeze()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images that lies beside the project; tests that need it skip without."""
    if not _DATA.is_dir():
        pytest.skip(
            f"no real images at {_DATA}: set MATERIALIZE_DATA to the folder that holds them"
        )
    return _DATA


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Fails a test that `tests.references` names for a transform which it never draws or renders.

    Of several transforms, parametrised tests may take one each.
    """
    mine = {name for name, test in REFERENCES.items() if item.nodeid.split("[")[0] == test}
    if not mine:
        return (yield)
    with _watched() as seen:
        result = yield
    if not mine & seen:
        pytest.fail(f"tests/references.py: compares one of {sorted(mine)}, but {sorted(seen)} ran")
    return result


@contextlib.contextmanager
def _watched():
    """The names of the steps of all pipelines that are drawn or rendered meanwhile."""
    seen = set()

    def note(method):
        def noted(pipeline, *given, **options):
            seen.update(step.name for step in (*pipeline.steps, *pipeline.moving_steps))
            return method(pipeline, *given, **options)

        return noted

    with pytest.MonkeyPatch.context() as patch:
        for name in ("parameters", "prepare", "render"):
            patch.setattr(Pipeline, name, note(getattr(Pipeline, name)))
        yield seen
