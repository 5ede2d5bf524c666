"""Verification finds every kind of damage, names the rows, and never raises for it."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from materialize.audit.verification import chosen_rows, verify_dataset
from materialize.builder import BuildOptions, build_dataset
from materialize.errors import ConfigError, ManifestMissingError, SourceError
from materialize.executor import Crew
from materialize.extension import extend_dataset
from materialize.manifest import Totals, load_latest
from materialize.planning import checked_population
from materialize.population import ScanOptions
from materialize.receipts import receipt_path
from materialize.recipe import Recipe
from materialize.shards.reader import ShardReader
from materialize.shards.writer import ShardWriter
from pipelines import from_dict
from tests.jobs import build_digits, build_photos, copied, flip_byte, photos, shard_paths


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    directory = tmp_path_factory.mktemp("digits") / "out"
    build_digits(directory)
    return directory


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """One shard of 64 images of 64 KiB: four leaves of pixels."""
    directory = tmp_path_factory.mktemp("large") / "out"
    images = np.arange(64 * 2**16, dtype=np.uint32).reshape(64, 256, 256, 1).astype(np.uint8)
    images[:, 0, 0, 0] = np.arange(64)
    build_dataset(images, directory, "digits", Recipe(copies=1))
    return directory


@pytest.fixture
def damaged(digits, tmp_path):
    return copied(digits, tmp_path)


def kinds(report):
    return [damage.kind for damage in report.damages]


@pytest.mark.parametrize("depth", ["structure", "hashes", "pixels"])
def test_an_untouched_dataset_is_intact_at_every_depth(digits, depth):
    report = verify_dataset(digits, depth=depth)
    assert report.is_intact
    assert report.is_readable
    assert report.num_shards == 16
    assert report.manifest_digest == load_latest(digits).digest()
    total = load_latest(digits).totals
    assert report.num_bytes_hashed == (0 if depth == "structure" else total.num_bytes)
    redone = total.num_rows if depth == "pixels" else 0
    assert (report.num_rows_compared, report.num_draws_compared) == (redone, redone)


def test_a_missing_shard_is_named_with_its_rows_ids_and_copy(damaged):
    path = shard_paths(damaged)[1]
    path.unlink()
    report = verify_dataset(damaged, depth="structure")
    (damage,) = report.damages
    manifest = load_latest(damaged)
    entry = manifest.populations[0]
    ids = checked_population(damaged / entry.file, entry.digest).ids
    assert damage.kind == "shard-missing"
    assert damage.file == f"shards/{path.name}"
    assert damage.copy == 1
    assert damage.rows.tolist() == list(range(manifest.shards[1].spec.num_rows))
    assert np.array_equal(damage.sample_ids, ids[: len(damage.rows)])
    assert "repair" in damage.remedy
    assert not report.is_readable


def test_a_truncated_shard_is_found_by_its_length_alone(damaged):
    path = shard_paths(damaged)[0]
    os.truncate(path, path.stat().st_size - 1)
    assert kinds(verify_dataset(damaged, depth="structure")) == ["shard-length"]


def test_a_flipped_bit_of_structure_is_found_without_hashing_pixels(damaged):
    flip_byte(shard_paths(damaged)[0], 3000)
    report = verify_dataset(damaged, depth="structure")
    assert kinds(report) == ["shard-bytes"]
    assert report.num_bytes_hashed == 0


def test_a_flipped_bit_of_a_pixel_takes_hashing_to_find(damaged):
    path = shard_paths(damaged)[0]
    flip_byte(path, load_latest(damaged).shards[0].images_offset + 5)
    assert verify_dataset(damaged, depth="structure").is_intact
    assert kinds(verify_dataset(damaged, depth="hashes")) == ["shard-bytes"]


def test_damaged_pixels_name_only_the_rows_of_their_leaves(large, tmp_path):
    directory = copied(large, tmp_path)
    (path,) = shard_paths(directory)
    offset = load_latest(directory).shards[0].images_offset
    flip_byte(path, offset + 17 * 2**16)
    flip_byte(path, offset + 63 * 2**16)
    (damage,) = verify_dataset(directory).damages
    assert damage.rows.tolist() == [*range(16, 32), *range(48, 64)]
    assert "rows 16–31, 48–63 of copy 0" in str(damage)


def test_all_damage_is_found_at_once_in_the_order_of_the_files(damaged):
    paths = shard_paths(damaged)
    paths[0].unlink()
    flip_byte(paths[2], -10)
    paths[5].write_bytes(b"")
    report = verify_dataset(damaged, crew=Crew(2, "threading"))
    assert [d.file for d in report.damages] == [f"shards/{paths[i].name}" for i in (0, 2, 5)]
    assert kinds(report) == ["shard-missing", "shard-bytes", "shard-length"]


def test_processes_find_what_one_finds(damaged):
    flip_byte(shard_paths(damaged)[3], -10)
    one, two = (verify_dataset(damaged, depth="pixels", crew=Crew(n)) for n in (1, 2))
    assert [str(d) for d in one.damages] == [str(d) for d in two.damages]
    assert one.num_rows_compared == two.num_rows_compared


def test_a_lost_plan_does_not_make_the_data_unreadable(damaged):
    (damaged / "plan-000001.json").unlink()
    report = verify_dataset(damaged, depth="structure")
    assert kinds(report) == ["plan-missing"]
    assert report.is_readable


def test_an_edited_plan_is_found(damaged):
    path = damaged / "plan-000001.json"
    plan = json.loads(path.read_bytes())
    plan["recipe"]["copies"] = 7
    path.write_bytes(json.dumps(plan, sort_keys=True, separators=(",", ":")).encode())
    assert kinds(verify_dataset(damaged, depth="structure")) == ["plan-damaged"]


def test_a_missing_or_damaged_population_is_found_and_the_shards_still_checked(damaged):
    (path,) = damaged.glob("population-*")
    flip_byte(path, 2000)
    shard_paths(damaged)[0].unlink()
    assert kinds(verify_dataset(damaged)) == ["population-damaged", "shard-missing"]
    path.unlink()
    report = verify_dataset(damaged, depth="pixels", rows=10)
    assert kinds(report) == ["population-missing", "shard-missing"]
    assert report.num_rows_skipped == 10


def test_missing_damaged_and_foreign_receipts_are_found(damaged):
    first, second, third = (receipt_path(damaged, p.name) for p in shard_paths(damaged)[:3])
    first.unlink()
    second.write_bytes(b"{}")
    third.write_bytes(third.read_bytes().replace(b'"leaves":["', b'"leaves":["0'))
    report = verify_dataset(damaged, depth="structure")
    assert kinds(report) == ["receipt-missing", "receipt-damaged", "receipt-damaged"]
    assert report.is_readable


def test_a_damaged_manifest_is_damage_and_an_absent_one_an_error(damaged):
    flip_byte(damaged / "manifest-000001.json", 40)
    report = verify_dataset(damaged)
    assert kinds(report) == ["manifest-damaged"]
    assert report.manifest_digest is None
    (damaged / "manifest-000001.json").unlink()
    with pytest.raises(ManifestMissingError):
        verify_dataset(damaged)


def forge(directory, change):
    """Replace the first shard by one that the manifest agrees with and the sources do not."""
    manifest = load_latest(directory)
    entry, (path, *_) = manifest.shards[0], shard_paths(directory)
    with ShardReader(path, entry) as reader:
        columns = {name: column.copy() for name, column in reader.columns.items()}
        images, names = reader.images.copy(), reader.class_names
    change(images, columns)
    with ShardWriter().shard(entry.spec, class_names=names, **columns) as shard:
        shard.images[...] = images
        image = shard.finish()
        path.write_bytes(image.data)
        forged = image.entry()
    shards = (forged, *manifest.shards[1:])
    honest = replace(manifest, shards=shards, totals=Totals.of(shards))
    (directory / manifest.file_name).write_bytes(honest.to_bytes())


def test_pixels_that_the_sources_do_not_give_are_found_although_all_digests_agree(damaged):
    def change(images, columns):
        images[[3, 200]] += 1

    forge(damaged, change)
    assert kinds(verify_dataset(damaged)) == ["receipt-damaged"]
    report = verify_dataset(damaged, depth="pixels")
    assert kinds(report) == ["receipt-damaged", "pixels-differ"]
    assert report.damages[1].rows.tolist() == [3, 200]


def test_draws_that_nobody_drew_are_found(damaged):
    def change(images, columns):
        columns["draws"][7, 2] ^= 1

    forge(damaged, change)
    report = verify_dataset(damaged, depth="pixels", rows=1)
    assert kinds(report) == ["receipt-damaged", "draws-differ"]
    assert report.damages[1].rows.tolist() == [7]


@pytest.mark.parametrize("parameters", ["none", "draws", "full"])
@pytest.mark.parametrize("codec", ["raw", "zstd"])
def test_every_kind_of_shard_is_made_again_from_its_sources(tmp_path, parameters, codec):
    source = photos(tmp_path / "source", size=(20, 24))
    recipe = Recipe(
        copies=2, shard_bytes=4096, codec=codec, parameters=parameters, originals=True, seed=9
    )
    build_dataset(source, tmp_path / "out", "photos224", recipe)
    report = verify_dataset(tmp_path / "out", depth="pixels")
    assert report.is_intact
    assert report.num_rows_compared == 36
    assert report.num_draws_compared == (0 if parameters == "none" else 24)


@pytest.fixture
def of_photos(tmp_path):
    source = photos(tmp_path / "source")
    build_photos(source, tmp_path / "out")
    return source, tmp_path / "out"


def test_a_changed_and_a_deleted_source_are_named_and_are_no_damage(of_photos):
    source, out = of_photos
    (source / "a/000.png").write_bytes((source / "a/002.png").read_bytes() + b"x")
    (source / "b/001.png").unlink()
    report = verify_dataset(out, depth="pixels")
    assert report.is_intact
    assert {(r.locator, r.problem) for r in report.lost} == {
        ("a/000.png", "changed"), ("b/001.png", "gone"),
    }  # fmt: skip
    assert (report.num_rows_compared, report.num_rows_skipped) == (20, 4)


def test_renamed_and_moved_sources_are_found_by_their_content(of_photos, tmp_path):
    source, out = of_photos
    names = sorted(path for path in source.rglob("*.png"))
    moved = tmp_path / "elsewhere"
    for number, path in enumerate(reversed(names)):
        (moved / "a").mkdir(parents=True, exist_ok=True)
        path.rename(moved / "a" / f"{number:03d}.png")
    report = verify_dataset(out, depth="pixels", source=moved)
    assert report.is_intact
    assert not report.lost
    assert report.num_rows_compared == 24


def test_without_a_source_pixels_cannot_be_verified_and_the_rest_can(of_photos):
    _, out = of_photos
    (out / "source.json").unlink()
    assert verify_dataset(out).is_intact
    with pytest.raises(SourceError, match="--source"):
        verify_dataset(out, depth="pixels")


def test_images_that_were_set_aside_by_the_scan_do_not_disturb(tmp_path):
    source = photos(tmp_path / "source")
    (source / "a/bad.png").write_bytes(b"no picture")
    options = {"max_bad": 0.5, "scan": ScanOptions(exclude=("b/003.png",))}
    build_photos(source, tmp_path / "out", **options)
    report = verify_dataset(tmp_path / "out", depth="pixels")
    assert report.is_intact
    assert report.num_rows_compared == 22


@pytest.mark.parametrize("rows", [1, 7, 100, 3594, 10**6, None])
def test_chosen_rows_are_the_same_every_time_and_reach_every_stretch(digits, rows):
    manifest = load_latest(digits)
    chosen = chosen_rows(manifest, rows)
    sizes = [entry.spec.num_rows for entry in manifest.shards]
    starts = np.cumsum([0, *sizes[:-1]])
    places = np.concatenate(
        [chosen[e.file] + start for e, start in zip(manifest.shards, starts, strict=True)]
    )
    total = sum(sizes)
    count = total if rows is None else min(rows, total)
    assert len(places) == count
    edges = np.arange(count + 1) * total // count
    assert np.array_equal(np.searchsorted(edges, places, side="right"), np.arange(1, count + 1))
    again = chosen_rows(manifest, rows)
    assert all(np.array_equal(chosen[file], again[file]) for file in chosen)


def test_progress_reaches_its_end(digits):
    calls = []
    verify_dataset(digits, progress=lambda *call: calls.append(call))
    assert calls[-1] == ("verify", 3594, 3594)


@pytest.mark.parametrize("options", [{"depth": "deep"}, {"depth": "pixels", "rows": 0}])
def test_impossible_options_are_refused(digits, options):
    with pytest.raises(ConfigError):
        verify_dataset(digits, **options)


@pytest.fixture
def of_floats(tmp_path):
    """Images of values around ±3, far from black 0 and white 255."""
    images = np.linspace(-3, 3, 8 * 6 * 6, dtype=np.float32).reshape(8, 6, 6, 1)
    np.savez(tmp_path / "floats.npz", x_train=images, y_train=np.arange(8) % 2)
    recipe = Recipe(copies=2, value_range=(-3.0, 3.0))
    pipeline = from_dict({"step": [{"transform": "brightness", "factor": [0.5, 1.5]}]})
    build_dataset(tmp_path / "floats.npz", tmp_path / "out", pipeline, recipe)
    return tmp_path / "out"


def test_floats_are_made_again_within_their_range(of_floats):
    report = verify_dataset(of_floats, depth="pixels")
    assert report.is_intact
    assert report.num_rows_compared == 16


def test_floats_are_made_again_without_their_plan(of_floats):
    (of_floats / "plan-000001.json").unlink()
    report = verify_dataset(of_floats, depth="pixels")
    assert kinds(report) == ["plan-missing"]
    assert (report.num_rows_compared, report.num_rows_skipped) == (16, 0)


def test_an_extended_dataset_is_verified_in_all_its_generations(tmp_path):
    source = photos(tmp_path / "source")
    build_photos(source, tmp_path / "out")
    photos(source, 5, first=50)
    extend_dataset(tmp_path / "out", copies=3, options=BuildOptions())
    report = verify_dataset(tmp_path / "out", depth="pixels")
    assert report.is_intact
    assert report.num_rows_compared == 3 * 17
