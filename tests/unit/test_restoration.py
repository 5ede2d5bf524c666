"""Repair brings back exactly the bytes that were there, or leaves what is there alone."""

import json
import shutil
from dataclasses import replace

import pytest

from materialize.audit.restoration import repair_dataset
from materialize.audit.verification import verify_dataset
from materialize.builder import BuildOptions
from materialize.errors import ManifestError, SourceError
from materialize.executor import Crew
from materialize.extension import extend_dataset
from materialize.manifest import Totals, load_latest, manifest_name
from materialize.receipts import receipt_path
from tests.jobs import (
    build_digits,
    build_photos,
    contents,
    copied,
    flip_byte,
    leftovers,
    photos,
    shard_paths,
)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    directory = tmp_path_factory.mktemp("digits") / "out"
    build_digits(directory)
    return directory


@pytest.fixture
def damaged(digits, tmp_path):
    return copied(digits, tmp_path)


@pytest.fixture
def of_photos(tmp_path):
    source = photos(tmp_path / "source")
    build_photos(source, tmp_path / "out")
    return source, tmp_path / "out"


def test_what_is_whole_is_not_touched_and_needs_no_source(damaged):
    (damaged / "source.json").unlink()
    stamps = {path: path.stat().st_mtime_ns for path in shard_paths(damaged)}
    report = repair_dataset(damaged)
    assert report.is_whole
    assert report.repaired == ()
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps


@pytest.mark.parametrize("crew", [Crew(1), Crew(2, "threading"), Crew(2, "loky")], ids=str)
def test_every_damaged_shard_gets_its_bytes_back_and_no_other_is_touched(digits, damaged, crew):
    paths = shard_paths(damaged)
    paths[0].unlink()
    flip_byte(paths[1], -9)
    paths[6].write_bytes(b"short")
    receipt_path(damaged, paths[8].name).unlink()
    untouched = {path: path.stat().st_mtime_ns for path in (*paths[2:6], *paths[9:])}
    report = repair_dataset(damaged, crew=crew)
    assert report.is_whole
    assert len(report.repaired) == 4
    assert contents(damaged) == contents(digits)
    assert {path: path.stat().st_mtime_ns for path in untouched} == untouched
    assert verify_dataset(damaged, depth="pixels").is_intact
    assert leftovers(damaged) == []


def test_a_dataset_without_any_shard_or_receipt_is_rebuilt(digits, damaged):
    shutil.rmtree(damaged / "shards")
    shutil.rmtree(damaged / "receipts")
    assert repair_dataset(damaged, crew=Crew(2, "threading")).is_whole
    assert contents(damaged) == contents(digits)


def test_a_lost_population_is_scanned_again(of_photos):
    _, out = of_photos
    (path,) = out.glob("population-*")
    before = path.read_bytes()
    path.unlink()
    assert repair_dataset(out).is_whole
    assert path.read_bytes() == before


def test_a_lost_population_is_found_among_images_that_came_later(of_photos):
    source, out = of_photos
    photos(source, 4, first=40)
    (source / "0new").mkdir()
    (source / "a/040.png").rename(source / "0new/x.png")
    extend_dataset(out, options=BuildOptions())
    photos(source, 4, first=80)
    for path in sorted(out.glob("population-*")):
        path.unlink()
        assert repair_dataset(out).is_whole
        assert verify_dataset(out, depth="pixels").is_intact


def test_a_lost_population_of_a_source_that_changed_is_refused_with_both_names(of_photos):
    source, out = of_photos
    (out / next(out.glob("population-*")).name).unlink()
    (source / "a/000.png").unlink()
    with pytest.raises(SourceError, match=r"expected population .* restore|Restore"):
        repair_dataset(out)


def promise(directory, number, digest):
    """A manifest that promises another SHA-256 for one shard: that of other library versions."""
    manifest = load_latest(directory)
    shards = list(manifest.shards)
    shards[number] = replace(shards[number], file_sha256=digest)
    changed = replace(manifest, shards=tuple(shards), totals=Totals.of(shards))
    (directory / manifest_name(1)).write_bytes(changed.to_bytes())


def test_bytes_that_contradict_the_manifest_never_replace_a_shard(damaged):
    path = shard_paths(damaged)[2]
    flip_byte(path, -9)
    before = path.read_bytes()
    promise(damaged, 2, "ab" * 32)
    receipt = receipt_path(damaged, path.name)
    then = json.loads(receipt.read_bytes())
    then["environment"]["packages"]["pillow"] = "1.1.7"
    receipt.write_bytes(json.dumps(then, sort_keys=True, separators=(",", ":")).encode())
    report = repair_dataset(damaged)
    (contradiction,) = report.contradictions
    assert contradiction.file == path.name
    assert contradiction.expected == "ab" * 32
    assert contradiction.is_content_equal
    assert any(line.startswith("pillow 1.1.7 there, ") for line in contradiction.environment)
    assert not report.is_whole
    assert path.read_bytes() == before


def test_one_contradiction_does_not_keep_other_shards_from_being_repaired(digits, damaged):
    paths = shard_paths(damaged)
    promise(damaged, 0, "cd" * 32)
    for path in paths[:4]:
        path.unlink()
    report = repair_dataset(damaged)
    assert [c.file for c in report.contradictions] == [paths[0].name]
    assert not paths[0].exists()
    assert [path.read_bytes() for path in paths[1:4]] == [
        path.read_bytes() for path in shard_paths(digits)[1:4]
    ]


def test_shards_whose_source_is_lost_are_left_and_the_source_is_named(of_photos):
    source, out = of_photos
    (source / "a/000.png").unlink()
    for path in shard_paths(out):
        path.unlink()
    report = repair_dataset(out)
    assert [record.locator for record in report.lost] == ["a/000.png"]
    assert len(report.repaired) == 4
    assert len(report.left) == 2
    assert report.left[0].entry.spec.run == report.left[1].entry.spec.run


def test_renamed_sources_are_found_by_their_content(of_photos, tmp_path):
    source, out = of_photos
    before = contents(out)
    for number, path in enumerate(sorted(source.rglob("*.png"), reverse=True)):
        path.rename(source / "b" / f"z{number:02d}.png")
    for path in shard_paths(out)[::2]:
        path.unlink()
    assert repair_dataset(out, source=source).is_whole
    assert contents(out) == before


def test_what_a_repair_cannot_mend_is_left_with_its_remedy(damaged):
    (damaged / "plan-000001.json").unlink()
    shard_paths(damaged)[0].unlink()
    report = repair_dataset(damaged)
    assert [damage.kind for damage in report.left] == ["plan-missing"]
    assert "materialize build" in report.left[0].remedy
    assert [damage.kind for damage in report.repaired] == ["shard-missing"]


def test_nothing_is_repaired_by_a_damaged_manifest(damaged):
    flip_byte(damaged / "manifest-000001.json", 40)
    with pytest.raises(ManifestError):
        repair_dataset(damaged)


def test_progress_reaches_its_end(damaged):
    shard_paths(damaged)[0].unlink()
    calls = []
    repair_dataset(damaged, progress=lambda *call: calls.append(call))
    assert calls[-1] == ("repair", 1, 1)
