"""An exported folder: pictures that no name confuses, and a table that says what each is."""

import numpy as np
import pytest
from PIL import Image

from materialize import export_dataset, extend
from materialize.audit.explanation import explain_sample
from materialize.audit.standing import StandingDataset
from materialize.errors import (
    ConfigError,
    PlanConflictError,
    ShardDamagedError,
    SourceError,
)
from materialize.export.naming import folder_names
from materialize.manifest import load_latest, shard_path
from materialize.population import scan
from materialize.population.scanning import ScanOptions
from materialize.sources import FolderSource, TableOptions, TableSource, open_source
from materialize.sources.subset import Subset
from tests.export_cases import CLASSES, build, contents, pictures, rows_of, stored


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("export") / "dataset"
    build(directory)
    return directory


@pytest.fixture(scope="module")
def folder(dataset, tmp_path_factory):
    output = tmp_path_factory.mktemp("export") / "folder"
    export_dataset(dataset, output, to="folder")
    return output


@pytest.mark.parametrize(("split", "copies"), [("train", (0, 1)), ("val", (-1,)), ("test", (-1,))])
def test_the_pictures_are_the_stored_pixels(dataset, folder, split, copies):
    """Row by row of the table, in the order of the shards; labels, ids and copies beside them."""
    images, labels, ids, numbers = stored(dataset, split, copies)
    rows = [row for row in rows_of(folder) if row["split"] == split]
    read = np.stack([np.asarray(Image.open(folder / row["path"])) for row in rows])
    assert np.array_equal(read, images)
    assert [int(row["label"]) for row in rows] == labels.tolist()
    assert [row["class"] for row in rows] == [CLASSES[label] for label in labels]
    assert [row["sample_id"] for row in rows] == ids
    assert [int(row["copy"]) for row in rows] == numbers.tolist()


def test_the_folder_opens_as_a_source_of_the_same_pixels_and_classes(dataset, folder):
    source = FolderSource(folder)
    population = scan(source, ScanOptions(allow_split_leaks=True))
    assert len(population) == 24 * 2 + 8 + 8
    expected = {}
    for split, copies in (("train", (0, 1)), ("val", (-1,)), ("test", (-1,))):
        images, labels, ids, numbers = stored(dataset, split, copies)
        for image, label, sample, copy in zip(images, labels, ids, numbers, strict=True):
            which = "original" if copy < 0 else f"c{copy:05d}"
            expected[split, f"{sample}-{which}"] = (image, label)
    safe = dict(zip(folder_names(CLASSES), range(len(CLASSES)), strict=True))
    for index in range(len(source)):
        record = source.record(index)
        name = record.locator.rpartition("/")[2].removesuffix(".png")
        image, label = expected.pop((record.split, name))
        decoded = source.decode(source.identity_bytes(index), index)
        assert np.array_equal(decoded.pixels, image)
        assert safe[record.label] == label
    assert not expected


def test_the_table_opens_as_a_source_with_the_copies_of_an_image_in_one_group(folder):
    """What a user who divides an exported set anew needs: copies stay together."""
    options = TableOptions(label_column="class", id_column="", group_column="sample_id")
    source = TableSource(folder / "index.csv", options)
    assert source.class_names() == tuple(sorted(CLASSES))
    groups = {source.record(index).group for index in range(len(source))}
    assert len(groups) == 40


def test_the_parameters_in_the_table_are_those_that_explain_says(dataset, folder):
    for row in [row for row in rows_of(folder) if row["split"] == "train"][::11]:
        explained = explain_sample(dataset, row["sample_id"], int(row["copy"]))
        drawn = {
            f"{step.key}.{name}": value
            for step in explained.steps
            for name, value in step.parameters.items()
        }
        assert {name: float(row[name]) for name in drawn} == drawn
        assert row["source"] == explained.locator


def test_untouched_images_have_no_parameters(folder):
    rows = [row for row in rows_of(folder) if row["copy"] == "-1"]
    assert rows
    assert {row["rotation.angle_deg"] for row in rows} == {""}


def test_the_table_is_rfc_4180(folder):
    """Lines end with CR LF, and a name with a comma and quotes is quoted with doubled quotes."""
    data = (folder / "index.csv").read_bytes()
    assert data.count(b"\r\n") == data.count(b"\n") == 24 * 2 + 8 + 8 + 1
    assert b'"ring, ""gold"""' in data


@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_workers_writes_the_same_bytes(dataset, folder, tmp_path, workers):
    export_dataset(dataset, tmp_path / "again", to="folder", workers=workers)
    assert contents(tmp_path / "again") == contents(folder)


def test_names_of_classes_become_folders_that_no_system_confuses():
    names = ("a/b", "A:B", "CON", "nul.txt", ".hidden", " x. ", "", "日本", "a_b", "x" * 300)
    folders = folder_names(names)
    assert len({folder.casefold() for folder in folders}) == len(names)
    assert folders[:3] == ("a_b", "A_B~2", "_CON")
    assert folders[8] == "a_b~3"
    assert not [folder for folder in folders if set(folder) & set('<>:"/\\|?*\0')]
    assert not [folder for folder in folders if folder.startswith(".") or folder[-1] in ". "]
    assert max(len(folder.encode()) for folder in folders) < 140
    assert "日本" in folders


def test_an_unlabelled_dataset_has_its_pictures_under_the_split(tmp_path):
    images, _ = pictures(12)
    build(tmp_path / "dataset", source=images, split=None)
    export_dataset(tmp_path / "dataset", tmp_path / "out", to="folder", copies="originals")
    rows = rows_of(tmp_path / "out")
    assert {row["path"].count("/") for row in rows} == {1}
    assert {(row["class"], row["label"]) for row in rows} == {("", "")}
    assert len(FolderSource(tmp_path / "out")) == 12


def test_lossy_and_lossless_pictures_of_other_kinds(dataset, tmp_path):
    for form, suffix in (("webp", ".webp"), ("jpeg-80", ".jpeg")):
        export_dataset(dataset, tmp_path / form, to="folder", splits=["val"], image_format=form)
        rows = rows_of(tmp_path / form)
        assert {row["path"][row["path"].rindex(".") :] for row in rows} == {suffix}
    images, _, _, _ = stored(dataset, "val", (-1,))
    read = [
        np.asarray(Image.open(tmp_path / "webp" / r["path"])) for r in rows_of(tmp_path / "webp")
    ]
    assert np.array_equal(np.stack(read), images)


def test_originals_that_are_not_stored_are_made_from_the_source(tmp_path):
    """The same files as from a dataset that stores them."""
    build(tmp_path / "with")
    build(tmp_path / "without", originals=False)
    source = pictures()
    for name in ("with", "without"):
        export_dataset(
            tmp_path / name, tmp_path / f"{name}-out", to="folder", splits=["val", "test"],
            source=source,
        )  # fmt: skip
    assert contents_but_export(tmp_path / "with-out") == contents_but_export(
        tmp_path / "without-out"
    )


def contents_but_export(output):
    return {path: digest for path, digest in contents(output).items() if path != "export.json"}


def test_floats_are_refused_with_what_to_do(tmp_path):
    images, labels = pictures(dtype=np.float32)
    build(tmp_path / "dataset", source=(images, labels), split=None, value_range=(0, 1))
    with pytest.raises(ConfigError, match="export to npz, or to tfrecord with --image-format raw"):
        export_dataset(tmp_path / "dataset", tmp_path / "out", to="folder")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_somebody_else_is_refused(dataset, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(PlanConflictError, match=r"found mine\.txt"):
        export_dataset(dataset, tmp_path, to="folder")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_export_of_other_options_is_refused(dataset, folder):
    before = contents(folder)
    with pytest.raises(PlanConflictError, match="an export of another image format"):
        export_dataset(dataset, folder, to="folder", image_format="webp")
    assert contents(folder) == before


def test_a_complete_export_is_left_as_it_is(dataset, folder):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    report = export_dataset(dataset, folder, to="folder")
    assert report.num_written == 0
    assert report.num_images == 24 * 2 + 8 + 8
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_complete_export_that_lost_a_picture_says_so(dataset, tmp_path):
    export_dataset(dataset, tmp_path / "out", to="folder", splits=["val"])
    (tmp_path / "out" / rows_of(tmp_path / "out")[3]["path"]).unlink()
    with pytest.raises(PlanConflictError, match="found no file: the export was complete"):
        export_dataset(dataset, tmp_path / "out", to="folder", splits=["val"])


def test_damage_of_a_shard_stops_the_export_before_its_pixels_are_written(tmp_path):
    build(tmp_path / "dataset")
    entry = next(e for e in load_latest(tmp_path / "dataset").shards if e.spec.split == "val")
    path = shard_path(tmp_path / "dataset", entry.file)
    data = bytearray(path.read_bytes())
    data[entry.images_offset + 5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ShardDamagedError):
        export_dataset(tmp_path / "dataset", tmp_path / "out", to="folder", splits=["val"])
    assert not (tmp_path / "out" / "export.json").exists()
    assert not list((tmp_path / "out").rglob("*.csv"))


@pytest.mark.parametrize("storage", ["prefix", "recipe"])
def test_what_is_not_stored_is_made_as_it_would_be(dataset, folder, tmp_path, storage):
    """Copies of stored originals, or anything of the source: the same files as from the copies."""
    build(tmp_path / "dataset", storage=storage, originals=False)
    source = open_source(pictures(), class_names=CLASSES)
    export_dataset(tmp_path / "dataset", tmp_path / "out", to="folder", source=source, workers=2)
    assert contents_but_export(tmp_path / "out") == contents_but_export(folder)


def test_a_source_that_lost_images_is_named(tmp_path):
    images, labels = pictures()
    build(tmp_path / "dataset", storage="recipe", originals=False)
    with pytest.raises(SourceError, match=r"of 24 lost: source gone: .*name the source"):
        export_dataset(
            tmp_path / "dataset", tmp_path / "out", to="npz", splits=["train"],
            source=(images[:20], labels[:20]),
        )  # fmt: skip


def test_copies_and_originals_of_both_generations_are_exported(tmp_path):
    """An extended dataset: ordered by sample id over all generations, as loaders see it."""
    images, labels = pictures(60)
    build(tmp_path / "dataset", source=(images[:40], labels[:40]), split=None)
    extend(tmp_path / "dataset", source=(images, labels))
    export_dataset(tmp_path / "dataset", tmp_path / "out", to="folder")
    expected, _, ids, _ = stored(tmp_path / "dataset", "train", (0, 1))
    rows = rows_of(tmp_path / "out")
    assert [row["sample_id"] for row in rows] == ids
    read = [np.asarray(Image.open(tmp_path / "out" / row["path"])) for row in rows]
    assert np.array_equal(np.stack(read), expected)
    standing = StandingDataset.open(tmp_path / "dataset")
    assert {(row["sample_id"], row["source"]) for row in rows} == {
        (bytes(sample).hex(), locator)
        for population in standing.populations
        for sample, locator in zip(population.ids, population.locators, strict=True)
    }


def test_real_photographs_come_back_as_they_are_stored(real_data, tmp_path):
    """Sixty photographs of flowers, by PNG and by lossless WebP."""
    few = Subset(FolderSource(real_data / "flowers128"), 60)
    build(tmp_path / "dataset", source=few, split=None, shard_bytes=2**20)
    for form in ("png", "webp"):
        export_dataset(
            tmp_path / "dataset", tmp_path / form, to="folder", copies=(0,), image_format=form,
            workers=2,
        )  # fmt: skip
        expected, _, _, _ = stored(tmp_path / "dataset", "train", (0,))
        read = [
            np.asarray(Image.open(tmp_path / form / r["path"])) for r in rows_of(tmp_path / form)
        ]
        assert np.array_equal(np.stack(read), expected)
