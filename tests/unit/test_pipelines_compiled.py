"""Compiled code is never out of date, and compiles where nothing can be written."""

import shutil
import subprocess
import sys
from pathlib import Path

import pipelines

RUN = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from pipelines.geometric import WidthShift
from pipelines.pipeline import Pipeline
pipeline = Pipeline(steps=(WidthShift(by=1.0),), border="nearest")
images = np.arange(12, dtype=np.uint8).reshape(1, 2, 6, 1)
ids = np.zeros((1, 16), np.uint8)
print(pipeline.apply(images, seed=0, sample_ids=ids, copies=0).tolist())
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
    helper = copy / "coordinates.py"
    text = helper.read_text("utf-8")
    upside_down = text.replace("offset = row * ", "offset = (np.int32(shape[0] - 1) - row) * ", 1)
    assert upside_down != text
    helper.write_text(upside_down, "utf-8")
    assert outcome(tmp_path) != before
