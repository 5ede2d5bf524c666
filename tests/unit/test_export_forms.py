"""NPZ, TFRecord and WebDataset: what their own readers give back is what is stored."""

import io
import json
import math
import sys
import tarfile
import zipfile
from collections import namedtuple

import numpy as np
import pytest
from PIL import Image

from materialize import export_dataset
from materialize.errors import ConfigError, StorageError
from materialize.export import exporter, npz
from materialize.export.options import ExportOptions, parse_copies
from materialize.sources import open_source
from tests.export_cases import CLASSES, build, contents, pictures, stored

SPLITS = (("train", (0, 1)), ("val", (-1,)), ("test", (-1,)))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("export") / "dataset"
    build(directory)
    return directory


@pytest.fixture(scope="module")
def floats(tmp_path_factory):
    """A dataset of float32 images."""
    directory = tmp_path_factory.mktemp("export") / "floats"
    images, labels = pictures(dtype=np.float32)
    build(directory, source=(images, labels), split=None, value_range=(0, 1))
    return directory


@pytest.fixture(scope="module")
def arrays(dataset, tmp_path_factory):
    output = tmp_path_factory.mktemp("export") / "npz"
    export_dataset(dataset, output, to="npz")
    return output


@pytest.mark.parametrize(("split", "copies"), SPLITS)
def test_numpy_reads_the_arrays_without_pickle(dataset, arrays, split, copies):
    images, labels, ids, numbers = stored(dataset, split, copies)
    with np.load(arrays / f"{split}.npz", allow_pickle=False) as archive:
        assert archive["images"].dtype == np.uint8
        assert np.array_equal(archive["images"], images)
        assert np.array_equal(archive["labels"], labels)
        assert [bytes(row).hex() for row in archive["sample_ids"]] == ids
        assert np.array_equal(archive["copies"], numbers)
        assert tuple(archive["class_names"]) == CLASSES


def test_an_npz_opens_as_a_source_of_the_same_pixels_and_labels(dataset, arrays):
    images, labels, _, _ = stored(dataset, "train", (0, 1))
    source = open_source(arrays / "train.npz", class_names=CLASSES)
    decoded = [source.decode(source.identity_bytes(i), i).pixels for i in range(len(source))]
    assert np.array_equal(np.stack(decoded), images)
    assert [source.record(i).label for i in range(len(source))] == [CLASSES[n] for n in labels]


def test_floats_keep_every_bit_in_an_npz(floats, tmp_path):
    export_dataset(floats, tmp_path / "out", to="npz", copies=(1,))
    images, _, _, _ = stored(floats, "train", (1,))
    with np.load(tmp_path / "out" / "train.npz") as archive:
        assert archive["images"].dtype == np.float32
        assert archive["images"].tobytes() == images.tobytes()


def test_an_unlabelled_npz_has_no_labels(tmp_path):
    build(tmp_path / "dataset", source=pictures(12)[0], split=None)
    export_dataset(tmp_path / "dataset", tmp_path / "out", to="npz")
    with np.load(tmp_path / "out" / "train.npz") as archive:
        assert set(archive) == {"images", "sample_ids", "copies", "class_names"}


def test_members_of_an_npz_have_one_date_and_no_machine_in_them(arrays):
    with zipfile.ZipFile(arrays / "train.npz") as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.testzip() is None


def test_what_does_not_fit_the_disk_is_refused_before_it_is_begun(dataset, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(exporter.shutil, "disk_usage", lambda _: usage(10, 5, 5))
    with pytest.raises(StorageError, match=r"expected room for 1[0-9],"):
        export_dataset(dataset, tmp_path / "out", to="npz", splits=["train"])
    assert not (tmp_path / "out").exists()


def test_the_size_that_is_asked_for_is_enough_and_hardly_more(dataset, arrays):
    from materialize.export.parts import parts_of
    from materialize.loader.opening import OpenDataset

    for part in parts_of(OpenDataset.open(dataset), ExportOptions(to="npz")):
        size = (arrays / f"{part.split}.npz").stat().st_size
        assert size <= npz.num_bytes(part) <= size + 3000


@pytest.mark.parametrize("to", ["npz", "webdataset"])
def test_any_number_of_workers_writes_the_same_files(dataset, tmp_path, to):
    for workers in (1, 3):
        export_dataset(dataset, tmp_path / str(workers), to=to, workers=workers, max_mb=0.002)
    assert contents(tmp_path / "1") == contents(tmp_path / "3")


def test_a_tar_file_holds_picture_class_and_facts_under_one_name(dataset, tmp_path):
    """Deterministic headers: no owner, no date; and in shards of at most so many pixels."""
    export_dataset(dataset, tmp_path / "out", to="webdataset", max_mb=10 * 192 / 2**20)
    images, labels, ids, numbers = stored(dataset, "train", (0, 1))
    names = sorted(path.name for path in (tmp_path / "out").glob("train-*.tar"))
    assert names == [f"train-{number:06d}.tar" for number in range(math.ceil(48 / 10))]
    row = 0
    for name in names:
        with tarfile.open(tmp_path / "out" / name) as archive:
            members = archive.getmembers()
            assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members} == {
                (0, 0, 0, "", "")
            }
            assert len(members) <= 30
            for png, facts, label in zip(*[iter(members)] * 3, strict=True):
                key = f"{ids[row]}-c{numbers[row]:05d}"
                assert [m.name for m in (png, facts, label)] == [
                    f"{key}.png", f"{key}.json", f"{key}.cls"
                ]  # fmt: skip
                picture = Image.open(archive.extractfile(png))
                assert np.array_equal(np.asarray(picture), images[row])
                assert int(archive.extractfile(label).read()) == labels[row]
                said = json.load(archive.extractfile(facts))
                assert said["class"] == CLASSES[labels[row]]
                assert set(said["parameters"]) >= {"rotation.angle_deg", "zoom.zoom_x"}
                row += 1
    assert row == 48


# The package leaves closing its files to the garbage collector.
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_the_webdataset_package_reads_it(dataset, tmp_path):
    webdataset = pytest.importorskip("webdataset")
    export_dataset(dataset, tmp_path / "out", to="webdataset", splits=["val"], max_mb=0.001)
    urls = sorted(str(path) for path in (tmp_path / "out").glob("*.tar"))
    assert len(urls) > 1
    read = webdataset.WebDataset(urls, shardshuffle=False).decode("rgb8")
    images, labels, _, _ = stored(dataset, "val", (-1,))
    samples = list(read)
    assert np.array_equal(np.stack([sample["png"] for sample in samples]), images)
    assert [sample["cls"] for sample in samples] == labels.tolist()
    assert {sample["json"]["copy"] for sample in samples} == {-1}


def examples(tensorflow, output, split):
    """The examples of a split, parsed by tf.data."""
    files = sorted(str(path) for path in output.glob(f"{split}-*.tfrecord"))
    kinds = {
        "image/encoded": "", "image/format": "", "image/class/label": 0, "image/class/text": "",
        "image/height": 0, "image/width": 0, "image/channels": 0, "image/dtype": "",
        "sample_id": "", "copy": 0,
    }  # fmt: skip
    features = {
        name: tensorflow.io.FixedLenFeature([], tensorflow.string if kind == "" else "int64")
        for name, kind in kinds.items()
    }
    records = tensorflow.data.TFRecordDataset(files)
    return files, [
        {name: value.numpy() for name, value in example.items()}
        for example in records.map(lambda r: tensorflow.io.parse_single_example(r, features))
    ]


@pytest.fixture(scope="module")
def tensorflow():
    return pytest.importorskip("tensorflow")


def test_tf_data_reads_the_records(tensorflow, dataset, tmp_path):
    export_dataset(dataset, tmp_path / "out", to="tfrecord", max_mb=20 * 192 / 2**20)
    images, labels, ids, numbers = stored(dataset, "train", (0, 1))
    files, read = examples(tensorflow, tmp_path / "out", "train")
    assert [file[-26:] for file in files] == [
        f"train-{n:05d}-of-00003.tfrecord"[-26:] for n in range(3)
    ]
    decoded = [tensorflow.io.decode_png(e["image/encoded"]).numpy() for e in read]
    assert np.array_equal(np.stack(decoded), images)
    assert [e["image/class/label"] for e in read] == labels.tolist()
    assert [e["image/class/text"].decode() for e in read] == [CLASSES[n] for n in labels]
    assert [e["sample_id"].decode() for e in read] == ids
    assert [e["copy"] for e in read] == numbers.tolist()
    assert {e["image/format"] for e in read} == {b"png"}


def test_raw_records_keep_every_bit_of_floats(tensorflow, floats, tmp_path):
    export_dataset(floats, tmp_path / "out", to="tfrecord", image_format="raw", copies=(0,))
    images, _, _, _ = stored(floats, "train", (0,))
    _, read = examples(tensorflow, tmp_path / "out", "train")
    assert b"".join(e["image/encoded"] for e in read) == images.tobytes()
    shape = [read[0][f"image/{name}"] for name in ("height", "width", "channels")]
    assert (shape, read[0]["image/dtype"]) == ([8, 8, 3], b"float32")


def test_records_are_the_same_bytes_again(tensorflow, dataset, tmp_path):
    """The features of an example are a map: sorted, so that no process orders them its own way."""
    for name in ("a", "b"):
        export_dataset(dataset, tmp_path / name, to="tfrecord", splits=["val"], workers=2)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    (file,) = (tmp_path / "a").glob("*.tfrecord")
    for record in tensorflow.data.TFRecordDataset([str(file)]).as_numpy_iterator():
        names = tensorflow.train.Example.FromString(record).features.feature
        places = [record.index(b"\x0a" + bytes([len(name)]) + name.encode()) for name in names]
        assert [name for _, name in sorted(zip(places, names, strict=True))] == sorted(names)


def test_without_tensorflow_a_sentence_says_what_to_install(dataset, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(ConfigError, match=r"TensorFlow.*pip install 'materialize\[train\]'"):
        export_dataset(dataset, tmp_path / "out", to="tfrecord")


@pytest.mark.parametrize(
    "given",
    [
        {"to": "zip"},
        {"to": "npz", "image_format": "png"},
        {"to": "folder", "image_format": "raw"},
        {"to": "folder", "image_format": "gzip"},
        {"to": "folder", "image_format": "jpeg-0"},
        {"to": "folder", "image_format": "jpeg-101"},
        {"to": "folder", "splits": ("training",)},
        {"to": "folder", "copies": ()},
        {"to": "folder", "copies": (0, 0)},
        {"to": "folder", "copies": (-2,)},
        {"to": "folder", "copies": "some"},
        {"to": "tfrecord", "max_mb": 0},
        {"to": "tfrecord", "max_mb": float("nan")},
    ],
    ids=str,
)
def test_options_outside_their_set_are_refused(given):
    with pytest.raises(ConfigError, match="expected"):
        ExportOptions(**given)


def test_copies_are_read_from_the_command_line():
    assert parse_copies("all") == "all"
    assert parse_copies("0,2") == (0, 2)
    with pytest.raises(ConfigError, match="got '0-2'"):
        parse_copies("0-2")


def test_a_copy_that_is_not_stored_is_refused(dataset, tmp_path):
    with pytest.raises(ConfigError, match="2 that are stored"):
        export_dataset(dataset, tmp_path / "out", to="npz", copies=(0, 7))


def test_export_json_says_what_was_exported_and_pins_every_file(dataset, arrays):
    import hashlib

    from materialize.manifest import load_latest

    said = json.loads((arrays / "export.json").read_bytes())
    assert said["dataset"]["manifest"] == load_latest(dataset).digest()
    assert {s: (p["copies"], p["num_images"]) for s, p in said["splits"].items()} == {
        "train": ([0, 1], 48), "val": ([-1], 8), "test": ([-1], 8)
    }  # fmt: skip
    for file in said["files"]:
        data = (arrays / file["path"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file["num_bytes"], file["sha256"])
    assert len(said["files"]) == 3


def test_originals_and_copies_go_into_one_file(dataset, tmp_path):
    export_dataset(dataset, tmp_path / "out", to="npz", splits=["train"], copies=(-1, 1))
    images, _, _, numbers = stored(dataset, "train", (-1, 1))
    with np.load(tmp_path / "out" / "train.npz") as archive:
        assert np.array_equal(archive["images"], images)
        assert np.array_equal(archive["copies"], numbers)


def test_progress_counts_images_to_their_number(dataset, tmp_path):
    told = []
    export_dataset(dataset, tmp_path / "out", to="webdataset", progress=lambda *p: told.append(p))
    assert told[-1] == ("export", 64, 64)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_grey_images_stay_grey(tmp_path):
    images, labels = pictures(20, channels=1)
    build(tmp_path / "dataset", source=(images, labels), split=None)
    export_dataset(tmp_path / "dataset", tmp_path / "out", to="webdataset", copies="originals")
    with tarfile.open(next((tmp_path / "out").glob("*.tar"))) as archive:
        picture = Image.open(io.BytesIO(archive.extractfile(archive.next()).read()))
        assert picture.mode == "L"
