"""The plan on disk is readable again, or it is not claimed."""

import os

import pytest

from materialize.errors import ConfigError
from materialize.population import ScanOptions
from tests.image_files import png_bytes, write_tree
from tests.jobs import build_photos, photos


def test_a_class_name_that_is_not_utf8_is_refused_before_anything_is_written(tmp_path):
    """No reader of JSON would take the plan again."""
    write_tree(tmp_path / "photos", {"a/0.png": png_bytes(0), "b/1.png": png_bytes(1)})
    (tmp_path / "photos" / "b").rename(tmp_path / "photos" / os.fsdecode(b"caf\xe9"))
    with pytest.raises(ConfigError, match=r"'caf\\udce9': expected names .* in UTF-8"):
        build_photos(tmp_path / "photos", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_excluded_name_that_is_not_utf8_is_refused(tmp_path):
    """It would stand in the plan."""
    source, name = photos(tmp_path / "photos"), os.fsdecode(b"a/\xff.png")
    (source / name).write_bytes(png_bytes(99, (16, 16)))
    with pytest.raises(ConfigError, match=r"'a/\\udcff.png': expected names .* in UTF-8"):
        build_photos(source, tmp_path / "out", scan=ScanOptions(exclude=(name,)))
    assert not (tmp_path / "out").exists()
