"""``import materialize``: light, complete, and the same as the modules behind it."""

import importlib
import subprocess
import sys

import numpy as np
import pytest

import materialize
from materialize.errors import ConfigError


def run_python(code):
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_import_brings_nothing_heavy():
    code = """
import sys, materialize, materialize.cli
heavy = {"numpy", "numba", "h5py", "PIL", "rich", "keras", "tensorflow", "sklearn", "joblib"}
print(sorted(heavy & set(sys.modules)))
"""
    assert run_python(code) == "[]"


def test_materializing_commands_bring_no_tensorflow():
    code = """
import sys
for name in ("building", "looking", "verifying", "demonstration"):
    __import__(f"materialize.commands.{name}")
import materialize.api, materialize.assembly, materialize.summary
print(sorted({"keras", "tensorflow", "torch"} & set(sys.modules)))
"""
    assert run_python(code) == "[]"


def test_every_public_name_is_there():
    assert set(materialize.__all__) == {*materialize._HOMES, "__version__"}
    for name in materialize.__all__:
        assert getattr(materialize, name) is not None
    assert set(dir(materialize)) >= set(materialize.__all__)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'bild'"):
        _ = materialize.bild


@pytest.mark.parametrize("name", sorted(materialize._HOMES))
def test_no_public_name_is_a_module(name):
    """A module of that name would take the function's place as soon as anyone imports it."""
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"materialize.{name}")


def test_a_build_from_python_needs_four_words(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), np.uint8)
    labels = np.arange(10) % 2
    report = materialize.build((images, labels), tmp_path / "out", pipeline="cifar10", copies=2)
    assert report.manifest.totals.num_rows == 20
    assert materialize.verify(tmp_path / "out").is_intact
    more = materialize.extend(tmp_path / "out", copies=3, source=(images, labels))
    assert more.manifest.totals.num_rows == 30


def test_workers_and_options_go_together(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), np.uint8)
    crew = materialize.Crew(backend="sequential")
    options = materialize.BuildOptions(crew=crew, part=(1, 2))
    report = materialize.build(
        images, tmp_path / "out", pipeline="cifar10", copies=2, workers=2, options=options
    )
    assert report.manifest is None
    options = materialize.BuildOptions(crew=crew, part=(2, 2))
    materialize.build(images, tmp_path / "out", pipeline="cifar10", copies=2, options=options)
    assert materialize.finish(tmp_path / "out").manifest.copies == 2


def test_less_than_one_worker_or_image_per_call_is_refused(tmp_path):
    images = np.zeros((2, 8, 8, 3), np.uint8)
    given = {"pipeline": "cifar10", "copies": 1}
    none_at_once = materialize.BuildOptions(batch_size=0)
    with pytest.raises(ConfigError, match="workers: expected a whole number"):
        materialize.build(images, tmp_path / "out", **given, workers=0)
    with pytest.raises(ConfigError, match="batch_size: expected a whole number"):
        materialize.build(images, tmp_path / "out", **given, options=none_at_once)
    with pytest.raises(ConfigError, match="batch_size: expected a whole number"):
        materialize.check(images, options=none_at_once)
    with pytest.raises(ConfigError, match="num_images: expected"):
        materialize.GalleryOptions(num_images=0)


def test_check_and_preview_take_what_build_takes():
    images = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), np.uint8)
    report = materialize.check(images, "cifar10", recipe=materialize.Recipe(copies=2))
    assert report.extent.num_images == 20
    options = materialize.GalleryOptions(kind="steps")
    assert materialize.preview(images, "cifar10", options=options).mode == "RGB"


def test_errors_are_caught_by_their_public_names(tmp_path):
    assert materialize.ConfigError is ConfigError
    with pytest.raises(materialize.MaterializeError):
        materialize.verify(tmp_path / "nothing")
