"""MNIST's IDX files."""

import gzip
import struct

import numpy as np
import pytest

from materialize.errors import ConfigError, SourceError
from materialize.sources import open_source, source_from_description
from materialize.sources.idx import read_idx

IMAGES = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
LABELS = np.array([3, 1, 2], np.uint8)


def idx(array: np.ndarray) -> bytes:
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def idx_folder(tmp_path, *splits, pack=gzip.compress, suffix=".gz"):
    for split in splits:
        (tmp_path / f"{split}-images-idx3-ubyte{suffix}").write_bytes(pack(idx(IMAGES)))
        (tmp_path / f"{split}-labels-idx1-ubyte{suffix}").write_bytes(pack(idx(LABELS)))
    return tmp_path


@pytest.mark.parametrize(("pack", "suffix"), [(gzip.compress, ".gz"), (bytes, "")])
def test_images_and_labels_are_read_plain_and_gzipped(tmp_path, pack, suffix):
    source = open_source(idx_folder(tmp_path, "train", pack=pack, suffix=suffix))
    np.testing.assert_array_equal(
        source.decode(source.identity_bytes(1), 1).pixels[:, :, 0], IMAGES[1]
    )
    assert [source.record(i).label for i in range(3)] == ["3", "1", "2"]


def test_t10k_is_the_test_split(tmp_path):
    source = open_source(idx_folder(tmp_path, "train", "t10k"))
    assert [source.record(i).split for i in range(6)] == ["train"] * 3 + ["test"] * 3


def test_the_plain_file_is_read_where_both_are_there(tmp_path):
    idx_folder(tmp_path, "train", pack=bytes, suffix="")
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"no gzip at all")
    assert len(open_source(tmp_path)) == 3


def test_a_description_opens_the_same_files(tmp_path):
    source = open_source(idx_folder(tmp_path, "train"), class_names=["a", "b", "c", "d"])
    again = source_from_description(source.describe())
    assert again.record(0) == source.record(0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file"),
        (b"\x1f\x8b\x08\x00", "not an IDX file"),
        (bytes([0, 0, 0x0D, 1, 0, 0, 0, 0]), "not an IDX file of unsigned bytes"),
        (bytes([0, 0, 8, 0]), "ends within its header"),
        (bytes([0, 0, 8, 3, 0, 0, 0, 1]), "ends within its header"),
        (idx(IMAGES)[:-1], "announces 60 values and holds 59"),
        (idx(IMAGES) + b"\0", "announces 60 values and holds more"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12, "holds 0"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(tmp_path, content, message):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        read_idx(path)


@pytest.mark.parametrize("damage", [lambda c: c[:-9], lambda c: c[:20] + b"\xff\xff" + c[22:]])
def test_damaged_gzip_is_refused(tmp_path, damage):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(gzip.compress(idx(IMAGES))))
    with pytest.raises(SourceError, match="cannot read"):
        read_idx(path)


def test_labels_of_another_number_are_refused(tmp_path):
    idx_folder(tmp_path, "train")
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS[:2])))
    with pytest.raises(SourceError, match="are 3, their labels 2"):
        open_source(tmp_path)


def test_options_that_do_not_apply_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="only the option class-names applies"):
        open_source(idx_folder(tmp_path, "train"), images_key="x")


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_real_sets_have_60000_and_10000_images(real_data, name):
    source = open_source(real_data / name)
    assert len(source) == 70_000
    assert source.record(59_999).split == "train"
    assert source.record(60_000).split == "test"
    assert source.class_names() == tuple("0123456789")
