"""Compiled code is never out of date, and compiles where nothing can be written."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pipelines

RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from pipelines.colour import Saturation
from pipelines.pipeline import Pipeline
pipeline = Pipeline(steps=(Saturation(factor=(0.5, 0.5)),))
images = np.arange(0, 240, 20, dtype=np.uint8).reshape(1, 2, 2, 3)
ids = np.zeros((1, 16), np.uint8)
print(pipeline.apply(images, seed=0, sample_ids=ids, copies=0).tolist())
"""

OUTSIDE = """
from pipelines.compiled import compiled

@compiled
def answer():
    return 41

print(answer(), sum(answer.stats.cache_hits.values()))
"""


def outcome(folder):
    child = subprocess.run(
        [sys.executable, "-c", RUN, str(folder)], capture_output=True, text=True, check=False,
        cwd=folder,
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    return child.stdout


def test_an_edit_below_a_cached_kernel_is_seen(tmp_path):
    """numba's own stamp covers one file; a helper in another file must count too."""
    package = Path(pipelines.__file__).parent
    copy = tmp_path / "pipelines"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = outcome(tmp_path)
    assert outcome(tmp_path) == before  # from the cache
    helper = copy / "levels.py"
    text = helper.read_text("utf-8")
    darker = text.replace("np.int32(38470) * green", "np.int32(8470) * green", 1)
    assert darker != text
    helper.write_text(darker, "utf-8")
    assert outcome(tmp_path) != before


def answers(file):
    """What the file prints: its answer, and how often that was found in the cache."""
    child = subprocess.run(
        [sys.executable, str(file)], capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(pipelines.__file__).parents[1])},
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    return child.stdout.split()


def test_an_edit_of_a_compiled_function_outside_the_package_is_seen(tmp_path):
    """Its own file counts beside the package's, even if the time and length of it stay."""
    file = tmp_path / "outside.py"
    file.write_text(OUTSIDE, "utf-8")
    assert answers(file) == ["41", "0"]
    assert answers(file) == ["41", "1"]
    status = file.stat()
    file.write_text(OUTSIDE.replace("41", "42"), "utf-8")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert answers(file) == ["42", "0"]


def test_a_compiled_function_without_a_source_file_runs():
    """It has nothing to be compared with, so it is compiled in every process."""
    space = {"__name__": "nowhere"}
    exec(compile(OUTSIDE.replace("print", "found ="), "<nowhere>", "exec"), space)
    assert space["found"] == (41, 0)
