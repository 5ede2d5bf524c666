"""Arrays in .npz and .npy files: which is which, and files that are not what they say."""

import io
import zipfile

import numpy as np
import pytest

from materialize.errors import ConfigError, SourceError
from materialize.sources import open_source, source_from_description

LEVELS = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
LABELS = np.array([0, 1, 1, 0])


def labels_of(source):
    return [source.record(index).label for index in range(len(source))]


def npz(tmp_path, **arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    return tmp_path / "a.npz"


@pytest.mark.parametrize(
    "keys",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("X_train", "Y_train", "X_Test", "Y_Test"),
        ("images", "labels", "x_test", "y_test"),
    ],
)
def test_npz_arrays_are_recognised_by_name(tmp_path, keys):
    arrays = dict(zip(keys, (LEVELS[:3], LABELS[:3], LEVELS[3:], LABELS[3:]), strict=True))
    source = open_source(npz(tmp_path, **arrays))
    assert [source.record(i).split for i in range(4)] == ["train"] * 3 + ["test"]
    assert labels_of(source) == ["0", "1", "1", "0"]


def test_npz_arrays_can_be_named(tmp_path):
    path = npz(tmp_path, faces=LEVELS, who=LABELS)
    with pytest.raises(SourceError, match=r"among faces, who: name .* the option images-key"):
        open_source(path)
    assert len(open_source(path, images_key="faces", labels_key="who")) == 4


def test_two_candidates_for_one_role_are_refused(tmp_path):
    with pytest.raises(SourceError, match="several arrays for the train images"):
        open_source(npz(tmp_path, x=LEVELS, images=LEVELS))


def test_arrays_that_are_not_used_are_reported(tmp_path):
    description = open_source(npz(tmp_path, x=LEVELS, y=LABELS, ids=LABELS)).describe()
    assert description["ignored_arrays"] == ["ids"]


def test_pickled_arrays_are_never_loaded(tmp_path):
    path = npz(tmp_path, x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(SourceError, match="would have to be unpickled"):
        open_source(path)


def test_a_header_that_claims_more_than_there_is_is_refused_before_allocation(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 40, 8, 8)}
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue())
    with pytest.raises(SourceError, match="claims 70368744177664 bytes"):
        open_source(tmp_path / "a.npz")


def test_a_truncated_npz_is_refused(tmp_path):
    path = npz(tmp_path, x=LEVELS)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(SourceError, match="cannot read"):
        open_source(path)


def test_an_npy_is_read_with_the_labels_beside_it(tmp_path):
    np.save(tmp_path / "x.npy", LEVELS)
    np.save(tmp_path / "y.npy", LABELS)
    source = open_source(tmp_path / "x.npy", labels=str(tmp_path / "y.npy"))
    assert labels_of(source) == ["0", "1", "1", "0"]
    assert labels_of(source_from_description(source.describe())) == labels_of(source)


def test_a_truncated_npy_is_refused(tmp_path):
    np.save(tmp_path / "x.npy", LEVELS)
    content = (tmp_path / "x.npy").read_bytes()
    (tmp_path / "x.npy").write_bytes(content[:-1])
    with pytest.raises(SourceError, match="claims 256 bytes"):
        open_source(tmp_path / "x.npy")


def test_options_of_another_kind_of_file_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", LEVELS)
    with pytest.raises(ConfigError, match="keys are for"):
        open_source(tmp_path / "x.npy", images_key="x")
    with pytest.raises(ConfigError, match="labels-key"):
        open_source(npz(tmp_path, x=LEVELS), labels="y.npy")
