"""Manifests: canonical, strict, chained, and published once."""

import json
import pickle
from dataclasses import replace

import pytest

from materialize.canonical import canonical_json
from materialize.environment import current_environment
from materialize.errors import ManifestError, ManifestMissingError, PlanConflictError
from materialize.manifest import Manifest, PopulationEntry, Totals, load_latest, population_name
from materialize.receipts import Receipt, receipt_path
from tests.shard_cases import shard_case


def make_manifest(parent=None, **fields):
    shards = sorted((shard_case(copy=copy).write()[1] for copy in (0, 1)), key=lambda e: e.file)
    digest = "ab" * 32
    values = {
        "number": 1 if parent is None else parent.number + 1,
        "parent": None if parent is None else parent.digest(),
        "plan": "01" * 32,
        "pipeline": '[{"flip":{}}]',
        "pipeline_fingerprint": "23" * 32,
        "seed": 2**63,
        "value_range": (0.0, 1.0),
        "copies": 2,
        "class_names": ("bird", "cat", "Ünicorn"),
        "populations": (
            PopulationEntry(1, population_name(digest), digest, {"train": 5}, "45" * 32),
        ),
        "codec": "raw",
        "shards": tuple(shards),
        "quarantine": {"truncated": 2},
        "totals": Totals.of(shards),
    }
    return Manifest(**{**values, **fields})


def edited(manifest, **fields):
    """The bytes of a manifest after an edit that keeps it canonical."""
    return canonical_json({**json.loads(manifest.to_bytes()), **fields})


def test_bytes_read_back_to_the_same_manifest():
    manifest = make_manifest()
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest


def test_equal_manifests_have_equal_bytes_and_digests():
    assert make_manifest().to_bytes() == make_manifest().to_bytes()
    assert make_manifest().digest() == make_manifest().digest()


def test_totals_are_the_sums_over_the_shards():
    totals = make_manifest().totals
    assert (totals.num_shards, totals.num_rows) == (2, 10)


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"version": 2}, "of version 2; this release reads"),
        ({"format": "parquet"}, "'parquet'"),
        ({"number": "1"}, "number"),
        ({"seed": 1.5}, "seed"),
        ({"shards": {}}, "shards"),
        ({"shards": []}, "totals"),
        ({"unknown": 1}, "more than this release understands"),
        ({"number": 2}, "cannot have the parent"),
        ({"parent": "00"}, "cannot have the parent"),
    ],
)
def test_a_manifest_that_cannot_be_is_refused(fields, match):
    with pytest.raises(ManifestError, match=match):
        Manifest.from_bytes(edited(make_manifest(), **fields))


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"format":NaN}'],
    ids=["empty", "cut", "list", "null", "not text", "deep", "not json"],
)
def test_what_is_not_a_manifest_is_refused(data):
    with pytest.raises(ManifestError):
        Manifest.from_bytes(data)


def test_a_truncated_manifest_is_refused_at_every_length():
    data = make_manifest().to_bytes()
    for length in range(0, len(data), 7):
        with pytest.raises(ManifestError):
            Manifest.from_bytes(data[:length])


def test_a_missing_field_is_named():
    value = json.loads(make_manifest().to_bytes())
    del value["seed"]
    with pytest.raises(ManifestError, match="seed"):
        Manifest.from_bytes(canonical_json(value))


def test_spaces_and_repeated_keys_are_refused():
    data = make_manifest().to_bytes()
    for changed in (data + b"\n", data.replace(b'"seed":', b'"seed": '), b'{"seed":1,' + data[1:]):
        with pytest.raises(ManifestError, match="edited by hand"):
            Manifest.from_bytes(changed)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "copy.h5"])
def test_a_shard_name_is_the_one_of_its_spec(name):
    value = json.loads(make_manifest().to_bytes())
    value["shards"][0]["file"] = name
    with pytest.raises(ManifestError, match="name of its spec"):
        Manifest.from_bytes(canonical_json(value))


def test_a_population_name_is_the_one_of_its_digest():
    value = json.loads(make_manifest().to_bytes())
    value["populations"][0]["file"] = "../population.h5"
    with pytest.raises(ManifestError, match="name of population"):
        Manifest.from_bytes(canonical_json(value))


def test_pixels_that_end_behind_the_file_are_refused():
    value = json.loads(make_manifest().to_bytes())
    value["shards"][0]["images_offset"] = 2**60
    with pytest.raises(ManifestError, match="pixels end"):
        Manifest.from_bytes(canonical_json(value))


def test_shards_out_of_order_are_refused():
    shards = make_manifest().shards
    with pytest.raises(ValueError, match="sorted"):
        make_manifest(shards=shards[::-1])


def test_a_shard_is_listed_once():
    entry = make_manifest().shards[0]
    with pytest.raises(ValueError, match="twice"):
        make_manifest(shards=(entry, entry), totals=Totals.of((entry, entry)))


def test_publishing_twice_is_publishing_once(tmp_path):
    assert make_manifest().publish(tmp_path) is True
    assert make_manifest().publish(tmp_path) is False
    assert [path.name for path in tmp_path.iterdir()] == ["manifest-000001.json"]


def test_another_manifest_of_the_same_number_loses(tmp_path):
    make_manifest().publish(tmp_path)
    with pytest.raises(PlanConflictError, match="another job"):
        make_manifest(seed=8).publish(tmp_path)
    assert load_latest(tmp_path) == make_manifest()


def test_the_latest_of_a_chain_is_loaded(tmp_path):
    first = make_manifest()
    second = make_manifest(first, copies=3)
    third = make_manifest(second, copies=4)
    for manifest in (first, second, third):
        manifest.publish(tmp_path)
    assert load_latest(tmp_path) == third


def test_a_pinned_manifest_is_loaded_although_there_are_later_ones(tmp_path):
    first = make_manifest()
    first.publish(tmp_path)
    make_manifest(first, copies=3).publish(tmp_path)
    assert load_latest(tmp_path, pinned=first.digest()) == first


def test_a_pinned_manifest_that_is_not_there_is_missing(tmp_path):
    make_manifest().publish(tmp_path)
    with pytest.raises(ManifestMissingError, match="with the digest 0000"):
        load_latest(tmp_path, pinned="0" * 64)


def test_a_manifest_that_does_not_follow_from_the_one_before_is_refused(tmp_path):
    make_manifest().publish(tmp_path)
    make_manifest(make_manifest(seed=8)).publish(tmp_path)
    with pytest.raises(ManifestError, match=r"manifest-000002.json says it is manifest 2"):
        load_latest(tmp_path)


def test_a_copied_manifest_is_refused(tmp_path):
    (tmp_path / "manifest-000001.json").write_bytes(make_manifest(make_manifest()).to_bytes())
    with pytest.raises(ManifestError, match="expected manifest 1"):
        load_latest(tmp_path)


def test_a_gap_in_the_numbers_ends_the_chain(tmp_path):
    first = make_manifest()
    first.publish(tmp_path)
    make_manifest(make_manifest(first)).publish(tmp_path)
    assert load_latest(tmp_path) == first


def test_a_dataset_without_a_manifest_is_also_a_file_not_found(tmp_path):
    with pytest.raises(ManifestMissingError, match="materialize build") as caught:
        load_latest(tmp_path)
    assert isinstance(caught.value, FileNotFoundError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def make_receipt():
    return Receipt(
        entry=shard_case().write()[1],
        timings_s={"render": 0.25, "write": 0.1},
        host="here",
        finished_at="2026-01-01T00:00:00Z",
        environment=current_environment(),
    )


def test_a_receipt_reads_back(tmp_path):
    (tmp_path / "receipts").mkdir()
    receipt = make_receipt()
    receipt.write(tmp_path)
    assert Receipt.read(tmp_path, receipt.entry.file) == receipt


def test_an_absent_receipt_is_none(tmp_path):
    assert Receipt.read(tmp_path, "copy.h5") is None


def test_a_damaged_receipt_is_an_error(tmp_path):
    (tmp_path / "receipts").mkdir()
    receipt_path(tmp_path, "copy.h5").write_bytes(b"{}")
    with pytest.raises(ManifestError, match="cannot be read"):
        Receipt.read(tmp_path, "copy.h5")


def test_a_receipt_of_another_shard_is_an_error(tmp_path):
    (tmp_path / "receipts").mkdir()
    receipt = make_receipt()
    receipt.write(tmp_path)
    source = receipt_path(tmp_path, receipt.entry.file)
    source.rename(receipt_path(tmp_path, "copy.h5"))
    with pytest.raises(ManifestError, match="is the receipt of"):
        Receipt.read(tmp_path, "copy.h5")


def test_the_environment_names_the_libraries_that_make_bytes():
    packages = current_environment().packages
    assert {"numpy", "h5py", "hdf5", "hdf5plugin", "numba"} <= packages.keys()


def test_the_environment_is_not_part_of_an_entry():
    entry = make_receipt().entry
    assert replace(entry) == shard_case().write()[1]
