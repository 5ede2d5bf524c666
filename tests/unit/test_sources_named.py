"""Data sets by name: scikit-learn's digits and those of Keras."""

import gzip
import os
import struct
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from materialize.errors import ConfigError, SourceError
from materialize.sources import open_source, source_from_description

IMAGES = np.arange(2 * 28 * 28, dtype=np.uint64).astype(np.uint8).reshape(2, 28, 28)


def test_digits_are_1797_grey_images_of_ten_classes():
    source = open_source("digits")
    assert len(source) == 1797
    assert source.class_names() == tuple("0123456789")
    assert source.decode(source.identity_bytes(0), 0).pixels.shape == (8, 8, 1)


def test_digits_are_scaled_by_one_integer_rule():
    source = open_source("digits")
    seen = {
        value
        for index in range(100)
        for value in source.decode(source.identity_bytes(index), index).pixels.ravel().tolist()
    }
    assert seen == {(255 * v + 8) // 16 for v in range(17)}
    assert {0, 128, 255} <= seen


def test_digits_have_no_options():
    with pytest.raises(ConfigError, match="digits has no option layout"):
        open_source("digits", layout="flat")


def test_digits_open_again_from_their_description():
    assert len(source_from_description(open_source("digits").describe())) == 1797


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="choose from keras:mnist"):
        open_source("keras:imagenet")


@pytest.fixture
def fake_keras(monkeypatch):
    """Stands in for keras.datasets.cifar10, whose archive is 170 MB."""
    module = types.ModuleType("keras.datasets.cifar10")
    images = np.zeros((3, 32, 32, 3), np.uint8)
    module.load_data = lambda: ((images, [[9], [0], [1]]), (images[:1], [[2]]))
    monkeypatch.setitem(sys.modules, "keras", types.ModuleType("keras"))
    monkeypatch.setitem(sys.modules, "keras.datasets", types.ModuleType("keras.datasets"))
    monkeypatch.setitem(sys.modules, "keras.datasets.cifar10", module)
    return module


def test_keras_classes_have_their_published_names(fake_keras):
    source = open_source("keras:cifar10")
    labels = [source.record(index).label for index in range(4)]
    assert labels == ["truck", "airplane", "automobile", "bird"]
    assert source.record(3).split == "test"


def test_channels_first_images_are_turned(fake_keras):
    images = np.arange(3 * 32 * 32, dtype=np.uint64).astype(np.uint8).reshape(1, 3, 32, 32)
    fake_keras.load_data = lambda: ((images, [0]), (images, [0]))
    source = open_source("keras:cifar10")
    pixels = source.decode(source.identity_bytes(0), 0).pixels
    np.testing.assert_array_equal(pixels, images[0].transpose(1, 2, 0))


def test_a_keras_source_opens_again_from_its_description(fake_keras):
    source = open_source("keras:cifar10", class_names=[str(i) for i in range(10)])
    assert source_from_description(source.describe()).record(0).label == "9"


def test_a_failed_download_says_what_to_do(fake_keras):
    def failing():
        raise OSError("no route")

    fake_keras.load_data = failing
    with pytest.raises(SourceError, match="no route; put its file into Keras' own cache"):
        open_source("keras:cifar10")


def test_missing_keras_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    monkeypatch.delitem(sys.modules, "keras.datasets", raising=False)
    monkeypatch.delitem(sys.modules, "keras.datasets.mnist", raising=False)
    with pytest.raises(SourceError, match="pip install keras"):
        open_source("keras:mnist")


def idx_gz(array: np.ndarray) -> bytes:
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes())


def test_keras_itself_loads_from_its_cache(tmp_path):
    """In a process of its own: Keras reads KERAS_HOME and its backend once, at import."""
    pytest.importorskip("keras")
    cache = tmp_path / "datasets" / "fashion-mnist"
    cache.mkdir(parents=True)
    for part, labels in (("train", [9, 0]), ("t10k", [1, 2])):
        (cache / f"{part}-images-idx3-ubyte.gz").write_bytes(idx_gz(IMAGES))
        (cache / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx_gz(np.array(labels, np.uint8)))
    program = (
        "from materialize.sources import open_source\n"
        "source = open_source('keras:fashion_mnist')\n"
        "print([source.record(i).label for i in range(4)], source.identity_bytes(1)[-1])\n"
    )
    environment = {
        **os.environ,
        "KERAS_HOME": str(tmp_path),
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    expected = f"['Ankle boot', 'T-shirt/top', 'Trouser', 'Pullover'] {IMAGES[1, -1, -1]}"
    assert ran.stdout.strip().splitlines()[-1] == expected


def test_importing_sources_loads_neither_keras_nor_scikit_learn():
    program = (
        "import sys, materialize.sources\n"
        "print({'keras', 'sklearn', 'tensorflow'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "set()"
