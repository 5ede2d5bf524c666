"""The README's code runs as it stands there."""

import re
import tomllib
from pathlib import Path

import pytest

from materialize.config import read_job
from pipelines import from_dict

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


def test_the_python_blocks_run_one_after_the_other(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)  # it is our own README
    printed = capsys.readouterr().out
    assert "300 images" in printed
    assert "(100, 32, 32, 3)" in printed


def test_the_job_file_is_a_job_file(tmp_path):
    block, steps = blocks("toml")
    assert len(from_dict(tomllib.loads(steps)).moving_steps) == 3
    path = tmp_path / "job.toml"
    path.write_text(block, "utf-8")
    job = read_job(path)
    assert job.copies == 5


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`(tests/[\w/.]+)`", README.read_text("utf-8"))))
)
def test_every_test_it_names_is_there(path):
    assert (README.parents[0] / path).exists()
