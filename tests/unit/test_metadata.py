"""Croissant metadata: valid by `mlcroissant`, true to the files, and never guessed."""

import csv
import hashlib
import json
import subprocess
import sys
from importlib.metadata import version

import h5py
import numpy as np
import pytest

from materialize import About, extend, write_metadata
from materialize.audit.standing import StandingDataset
from materialize.errors import ConfigError, ManifestMissingError
from materialize.manifest import load_latest
from materialize.metadata import croissant
from materialize.metadata.about import read_about, told
from tests.export_cases import CLASSES, build, pictures

ABOUT = About(
    name="noise, augmented", licence="CC-BY-4.0", creator=("A Person", "Another"),
    date="2026-03-01", url="https://example.org/noise", citation="@misc{noise}",
    tasks=("image-classification",),
)  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("metadata") / "dataset"
    build(directory)
    write_metadata(directory, ABOUT)
    return directory


@pytest.fixture(scope="module")
def document(dataset):
    return json.loads((dataset / "croissant.json").read_bytes())


def opened(path):
    """The dataset as mlcroissant reads it, and what it complains about."""
    mlcroissant = pytest.importorskip("mlcroissant")
    read = mlcroissant.Dataset(jsonld=str(path))
    issues = read.metadata.ctx.issues
    return read, [*issues.errors, *issues.warnings]


# rdflib, beneath mlcroissant, deprecates what it does itself.
quietly = pytest.mark.filterwarnings("ignore:.*is deprecated.*:DeprecationWarning")


@quietly
def test_mlcroissant_finds_nothing_wrong(dataset):
    read, complaints = opened(dataset / "croissant.json")
    assert complaints == []
    assert read.metadata.ctx.is_v1_1()
    assert read.metadata.license == ["https://spdx.org/licenses/CC-BY-4.0"]
    assert [creator.name for creator in read.metadata.creators] == ["A Person", "Another"]


@quietly
def test_mlcroissant_reads_the_records_and_they_lead_to_the_pixels(dataset):
    """Each names the shard and the row of an image with its id, its class and its copy."""
    read, _ = opened(dataset / "croissant.json")
    records = list(read.records("records"))
    assert len(records) == 24 * 3 + 8 + 8
    for record in records[::9]:
        fact = {name.partition("/")[2]: value for name, value in record.items()}
        with h5py.File(dataset / fact["shard"].decode()) as shard:
            row = int(fact["row"])
            assert bytes(shard["sample_ids"][row]).hex().encode() == fact["sample_id"]
            assert shard["labels"][row] == fact["label"]
            assert CLASSES[fact["label"]].encode() == fact["class"]
            assert shard.attrs["copy"] == fact["copy"]


@quietly
def test_splits_and_classes_are_enumerated(dataset):
    read, _ = opened(dataset / "croissant.json")
    assert [(s["splits/name"], s["splits/url"]) for s in read.records("splits")] == [
        ("train", "cr:TrainingSplit"), ("val", "cr:ValidationSplit"), ("test", "cr:TestSplit")
    ]  # fmt: skip
    assert [c["classes/name"] for c in read.records("classes")] == list(CLASSES)


def test_every_file_is_there_with_its_size_and_sha256(dataset, document):
    files = {file["contentUrl"]: file for file in document["distribution"]}
    manifest = load_latest(dataset)
    assert {f"shards/{entry.file}" for entry in manifest.shards} < set(files)
    assert {"manifest-000001.json", "croissant-records.csv"} < set(files)
    for url, file in files.items():
        data = (dataset / url).read_bytes()
        assert file["sha256"] == hashlib.sha256(data).hexdigest()
        assert file["contentSize"] == f"{len(data)} B"
        assert (file["encodingFormat"] == "application/x-hdf5") == url.endswith(".h5")


def test_provenance_names_source_pipeline_seed_and_software(dataset, document):
    manifest = load_latest(dataset)
    (source,) = document["prov:wasDerivedFrom"]
    assert source["@id"] == f"urn:sha256:{manifest.populations[0].digest}"
    assert "memory: 40 images" in source["prov:label"]
    activity = document["prov:wasGeneratedBy"]
    plan, seed = activity["prov:used"]
    assert plan["@id"] == f"urn:sha256:{manifest.pipeline_fingerprint}"
    assert plan["prov:value"] == manifest.pipeline
    assert seed["prov:value"] == "5"
    assert activity["prov:wasAssociatedWith"][0]["prov:label"].startswith("materialize ")
    assert document["@context"]["prov"] == "http://www.w3.org/ns/prov#"


def test_nothing_of_this_machine_is_in_it(dataset, tmp_path):
    """The same dataset elsewhere, from the same images elsewhere, has the same metadata."""
    build(tmp_path / "dataset")
    write_metadata(tmp_path / "dataset", ABOUT)
    for name in ("croissant.json", "croissant-records.csv"):
        assert (tmp_path / "dataset" / name).read_bytes() == (dataset / name).read_bytes()


@pytest.mark.parametrize("missing", ["licence", "creator", "date"])
def test_without_licence_creator_or_date_nothing_is_written(tmp_path, missing):
    build(tmp_path / "dataset")
    before = sorted(path.name for path in (tmp_path / "dataset").iterdir())
    about = told(About(licence="MIT", creator=("X",), date="2026-01-01"), {})
    empty = () if missing == "creator" else ""
    about = About(**{name: getattr(about, name) for name in ("licence", "creator", "date")}
                  | {missing: empty})  # fmt: skip
    with pytest.raises(ConfigError, match=f"Croissant needs {missing}, which only you know"):
        write_metadata(tmp_path / "dataset", about)
    assert sorted(path.name for path in (tmp_path / "dataset").iterdir()) == before


@quietly
def test_many_shards_are_one_file_set_and_a_table_that_pins_each(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(croissant, "MOST_FILE_OBJECTS", 2)
    write_metadata(dataset, ABOUT, output=tmp_path)
    document = json.loads((tmp_path / "croissant.json").read_bytes())
    kinds = [file["@type"] for file in document["distribution"]]
    assert kinds.count("cr:FileSet") == 1
    table = (tmp_path / "croissant-shards.csv").read_bytes()
    pinned = {f["@id"]: f.get("sha256") for f in document["distribution"]}
    assert pinned["croissant-shards.csv"] == hashlib.sha256(table).hexdigest()
    rows = list(csv.DictReader(table.decode().splitlines()))
    manifest = load_latest(dataset)
    assert [(r["file"], int(r["num_bytes"]), r["sha256"]) for r in rows] == [
        (f"shards/{entry.file}", entry.num_bytes, entry.file_sha256) for entry in manifest.shards
    ]
    read, complaints = opened(tmp_path / "croissant.json")
    assert complaints == []
    assert len(list(read.records("shard-files"))) == len(manifest.shards)


def test_an_extended_dataset_names_both_generations(tmp_path):
    images, labels = pictures(60)
    build(tmp_path / "dataset", source=(images[:40], labels[:40]), split=None)
    extend(tmp_path / "dataset", source=(images, labels))
    report = write_metadata(tmp_path / "dataset", ABOUT)
    document = json.loads((tmp_path / "dataset" / "croissant.json").read_bytes())
    assert len(document["prov:wasDerivedFrom"]) == 2
    assert document["version"] == "2.0.0"
    assert report.num_records == 60 * 3
    rows = (tmp_path / "dataset" / "croissant-records.csv").read_text().splitlines()[1:]
    named = {tuple(np.array(row.split(","))[[0, 4]]) for row in rows}
    standing = StandingDataset.open(tmp_path / "dataset")
    ids = {bytes(i).hex() for p in standing.populations for i in p.ids}
    assert named == {(sample, str(copy)) for sample in ids for copy in (-1, 0, 1)}


@quietly
def test_an_unlabelled_dataset_has_no_classes(tmp_path):
    build(tmp_path / "dataset", source=pictures(12)[0], split=None)
    write_metadata(tmp_path / "dataset", ABOUT)
    read, complaints = opened(tmp_path / "dataset" / "croissant.json")
    assert complaints == []
    assert {record_set.id for record_set in read.metadata.record_sets} == {"splits", "records"}
    assert "records/class" not in next(iter(read.records("records")))


def test_there_must_be_a_dataset(tmp_path):
    with pytest.raises(ManifestMissingError):
        write_metadata(tmp_path, ABOUT)


def test_what_people_know_comes_from_a_file_and_options_win(tmp_path):
    (tmp_path / "about.toml").write_text(
        'name = "a"\nlicence = "MIT"\ncreator = "X"\ncreator-kind = "organization"\n'
        "date = 2026-03-01\n"
    )
    about = told(read_about(tmp_path / "about.toml"), {"name": "b", "creator": (), "url": None})
    assert (about.name, about.creator, about.date) == ("b", ("X",), "2026-03-01")
    assert about.creator_kind == "organization"
    assert not about.missing


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('license = "MIT"', "did you mean 'licence'"),
        ("name = 3", "expected str, got int"),
        ('date = "1 March"', "expected a date such as"),
        ('url = "example.org"', "expected an address"),
        ('creator-kind = "robot"', "expected person or organization"),
        ("name =", "expected what is known of the dataset in TOML"),
    ],
)
def test_a_file_that_says_something_else_is_refused(tmp_path, text, message):
    (tmp_path / "about.toml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_about(tmp_path / "about.toml")


def test_a_licence_that_is_no_identifier_stays_as_it_is():
    assert About(licence="all rights reserved").licence_url == "all rights reserved"
    assert About(licence="https://example.org/l").licence_url == "https://example.org/l"
    assert About(licence="CC0-1.0").licence_url == "https://spdx.org/licenses/CC0-1.0"


def test_the_package_of_this_name_hides_nothing():
    """`importlib.metadata`, by which the package knows its version, has the same name."""
    code = "import materialize.metadata, materialize; print(materialize.__version__)"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.strip() == version("materialize")


def test_blank_words_are_missing():
    """A licence of spaces is none; a creator without a name is nobody."""
    assert About(licence=" ", creator=("", " ")).missing == ("licence", "creator", "date")
