"""`materialize report`: from a stored result to a page."""

import json

import pytest
from click.testing import CliRunner

from materialize.commands.reporting import report
from materialize.errors import ConfigError
from materialize.report.contrast_page import render_contrast
from materialize.report.sentences import summary_line
from tests.report_cases import minimal_result


@pytest.fixture
def stored(tmp_path):
    """A result as `materialize contrast` stores it."""
    path = tmp_path / "contrast.json"
    path.write_text(json.dumps(minimal_result().to_json()), "utf-8")
    return path


def _call(*arguments):
    return CliRunner().invoke(report, [str(each) for each in arguments], standalone_mode=False)


def test_the_page_is_written_and_the_summary_printed(stored, tmp_path):
    """The same bytes that the function gives."""
    outcome = _call(stored, "--output", tmp_path / "page.html")
    assert outcome.exception is None
    assert (tmp_path / "page.html").read_bytes() == render_contrast(minimal_result())
    assert outcome.output.splitlines()[0] == summary_line(minimal_result())


@pytest.mark.parametrize("content", [b"\xff\x00", b"[1, 2]", b'{"format": "other"}'])
def test_anything_else_is_refused_in_a_sentence(tmp_path, content):
    """And nothing is written."""
    path = tmp_path / "other.json"
    path.write_bytes(content)
    outcome = _call(path, "--output", tmp_path / "page.html")
    assert isinstance(outcome.exception, ConfigError)
    assert "expected" in str(outcome.exception)
    assert not (tmp_path / "page.html").exists()


def test_a_dataset_adds_its_account(stored, tmp_path):
    """Every kind of byte of the shards that the arms read."""
    import numpy as np

    from materialize import build

    images = np.arange(6 * 8 * 8 * 3, dtype=np.uint64).astype(np.uint8).reshape(6, 8, 8, 3)
    np.savez(tmp_path / "photos.npz", x_train=images, y_train=np.arange(6) % 2)
    build(tmp_path / "photos.npz", tmp_path / "out", pipeline="cifar10", copies=1)
    outcome = _call(stored, "--output", tmp_path / "page.html", "--dataset", tmp_path / "out")
    assert outcome.exception is None
    assert "The dataset on disk" in (tmp_path / "page.html").read_text("utf-8")
