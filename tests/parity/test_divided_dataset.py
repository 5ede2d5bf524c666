"""A dataset that was cut by --split is built, extended, verified, repaired and explained as any."""

import shutil

import numpy as np
import pytest

from materialize.api import build, check
from materialize.audit import proof
from materialize.audit.explanation import explain_sample
from materialize.audit.restoration import repair_dataset
from materialize.audit.verification import verify_dataset
from materialize.builder import BuildOptions, build_dataset, finish_dataset
from materialize.errors import ConfigError, PlanConflictError, SourceError
from materialize.executor import Crew
from materialize.extension import extend_dataset
from materialize.manifest import load_latest
from materialize.planning import checked_population
from materialize.population import Division, ScanOptions
from materialize.recipe import Recipe
from materialize.sources.base import SPLITS
from tests.image_files import png_bytes
from tests.jobs import contents, copied, flip_byte, photos, shard_paths

CUT = ScanOptions(division=Division.parse("0.5/0.25/0.25"))
RECIPE = Recipe(copies=2, shard_bytes=4096, originals=True)


def build_cut(source, directory, scan=CUT, **options):
    given = BuildOptions(scan=scan, **options)
    return build_dataset(source, directory, "cifar10", RECIPE, options=given)


def splits_of(directory):
    """Sample id → split, over all generations."""
    return {
        population.ids[row].tobytes(): SPLITS[population.splits[row]]
        for entry in load_latest(directory).populations
        for population in [checked_population(directory / entry.file, entry.digest)]
        for row in range(len(population))
    }


def counts_of(directory):
    """(training, validation, test) images of every generation."""
    populations = load_latest(directory).populations
    return [tuple(entry.counts[split] for split in SPLITS) for entry in populations]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("divided")
    source = photos(folder / "source", 16)
    build_cut(source, folder / "out")
    return folder / "out"


def test_only_training_is_augmented_and_all_originals_are_stored(dataset):
    assert counts_of(dataset) == [(8, 4, 4)]
    rows = {}
    for entry in load_latest(dataset).shards:
        key = (entry.spec.kind, entry.spec.split)
        rows[key] = rows.get(key, 0) + entry.spec.num_rows
    assert rows == {
        ("copy", "train"): 16, ("original", "train"): 8, ("original", "val"): 4,
        ("original", "test"): 4,
    }  # fmt: skip


def test_workers_and_parts_and_names_give_the_same_bytes(dataset, tmp_path):
    source = dataset.parent / "source"
    build_cut(source, tmp_path / "workers", crew=Crew(3, "threading"))
    for part in (2, 1):
        build_cut(source, tmp_path / "parts", part=(part, 2))
    finish_dataset(tmp_path / "parts")
    renamed = shutil.copytree(source, tmp_path / "renamed")
    for path in sorted(renamed.rglob("*.png")):
        path.rename(path.with_name(f"z{99 - int(path.stem)}.png"))
    build_cut(renamed, tmp_path / "out")
    expected = contents(dataset)
    assert contents(tmp_path / "workers") == expected
    assert contents(tmp_path / "parts") == expected
    assert contents(tmp_path / "out") == expected


def test_the_same_command_with_another_split_is_another_plan(dataset, tmp_path):
    directory = copied(dataset, tmp_path)
    with pytest.raises(PlanConflictError):
        build_cut(dataset.parent / "source", directory, ScanOptions())


def test_it_is_verified_to_the_pixel(dataset):
    assert verify_dataset(dataset, depth="pixels").is_intact


def test_damage_is_repaired(dataset, tmp_path):
    directory = copied(dataset, tmp_path)
    before = contents(directory)
    for path in shard_paths(directory):
        flip_byte(path, path.stat().st_size // 2)
    assert repair_dataset(directory, source=dataset.parent / "source").is_whole
    assert contents(directory) == before


@pytest.mark.parametrize("split", SPLITS)
def test_every_split_is_explained(dataset, split):
    sample = next(key for key, value in splits_of(dataset).items() if value == split)
    found = explain_sample(dataset, sample.hex(), 1 if split == "train" else -1)
    assert found.is_equal


def test_the_job_is_proven(dataset, monkeypatch):
    """Without the kills, which take most of the time and are tried elsewhere."""
    monkeypatch.setattr(proof, "can_kill", lambda: False)
    report = proof.prove(dataset.parent / "source", "cifar10", RECIPE, scan=CUT, limit=12)
    assert report.is_proven


def test_more_copies_leave_every_image_where_it_is(dataset, tmp_path):
    """Without --split, and without a warning: nothing has moved."""
    directory = copied(dataset, tmp_path)
    report = extend_dataset(directory, copies=3, source=dataset.parent / "source")
    assert report.warnings == ()
    assert splits_of(directory) == splits_of(dataset)
    assert verify_dataset(directory, depth="pixels").is_intact


@pytest.fixture
def growing(tmp_path):
    """A divided dataset whose source has 8 more images."""
    source = photos(tmp_path / "source", 16)
    build_cut(source, tmp_path / "out")
    photos(source, 8, first=30)
    return tmp_path / "out"


def test_new_images_are_cut_on_their_own(growing):
    before = splits_of(growing)
    assert extend_dataset(growing, options=BuildOptions(scan=CUT)).warnings == ()
    assert counts_of(growing) == [(8, 4, 4), (4, 2, 2)]
    assert before.items() <= splits_of(growing).items()
    assert verify_dataset(growing, depth="pixels").is_intact


def test_new_images_of_a_divided_dataset_need_to_be_told_how(growing):
    before = contents(growing)
    with pytest.raises(ConfigError, match=r"its 8 new images are to be cut.*or 1/0/0"):
        extend_dataset(growing)
    assert contents(growing) == before
    training = ScanOptions(division=Division.parse("1/0/0"))
    extend_dataset(growing, options=BuildOptions(scan=training))
    assert counts_of(growing) == [(8, 4, 4), (8, 0, 0)]


def test_an_interrupted_extension_goes_on_without_being_told_again(growing):
    extend_dataset(growing, options=BuildOptions(scan=CUT, part=(1, 2)))
    extend_dataset(growing)
    assert counts_of(growing) == [(8, 4, 4), (4, 2, 2)]


def named(directory, split):
    """The locator of an image of a split."""
    entry = load_latest(directory).populations[0]
    population = checked_population(directory / entry.file, entry.digest)
    return population.locators[population.split_rows(split).start]


def test_a_new_image_joins_its_equals(growing):
    source = growing.parent / "source"
    again = source / "a" / "again.png"
    again.write_bytes((source / named(growing, "test")).read_bytes())
    extend_dataset(growing, options=BuildOptions(scan=CUT))
    splits = splits_of(growing)
    first, second = (
        checked_population(growing / entry.file, entry.digest)
        for entry in load_latest(growing).populations
    )
    tested = first.digests[first.split_rows("test").start].tobytes()
    (row,) = (r for r in range(len(second)) if second.digests[r].tobytes() == tested)
    assert splits[second.ids[row].tobytes()] == "test"


def grouped(folder, rows):
    """A table of images with patients."""
    lines = ["file,label,patient"]
    for number, (label, patient) in enumerate(rows):
        (folder / f"{number}.png").write_bytes(png_bytes(number, (16, 16)))
        lines.append(f"{number}.png,{label},{patient}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n")
    return folder / "table.csv"


def test_a_new_image_joins_its_group_even_if_that_is_gone(tmp_path):
    rows = [("ab"[n % 2], f"p{n // 3}") for n in range(24)]
    table = grouped(tmp_path, rows)
    build_cut(table, tmp_path / "out")
    entry = load_latest(tmp_path / "out").populations[0]
    population = checked_population(tmp_path / "out" / entry.file, entry.digest)
    split_by_group = dict(
        zip(population.groups, (SPLITS[code] for code in population.splits), strict=True)
    )
    assert len(set(zip(population.groups, population.splits.tolist(), strict=True))) == 8
    later = tmp_path / "later"
    later.mkdir()
    for number in range(8):
        (later / f"new{number}.png").write_bytes(png_bytes(100 + number, (16, 16)))
    lines = [f"new{n}.png,a,p{n}" for n in range(8)]
    (later / "t.csv").write_text("\n".join(["file,label,patient", *lines]) + "\n")
    extend_dataset(tmp_path / "out", source=later / "t.csv", options=BuildOptions(scan=CUT))
    entry = load_latest(tmp_path / "out").populations[1]
    added = checked_population(tmp_path / "out" / entry.file, entry.digest)
    assert {g: SPLITS[c] for g, c in zip(added.groups, added.splits, strict=True)} == split_by_group


def test_a_new_image_that_belongs_to_two_splits_is_refused(tmp_path):
    rows = [("ab"[n % 2], f"p{n}") for n in range(16)]
    build_cut(grouped(tmp_path, rows), tmp_path / "out")
    trained, tested = named(tmp_path / "out", "train"), named(tmp_path / "out", "test")
    (tmp_path / "bridge.png").write_bytes((tmp_path / tested).read_bytes())
    with (tmp_path / "table.csv").open("a") as table:
        table.write(f"bridge.png,a,p{trained.removesuffix('.png')}\n")
    before = contents(tmp_path / "out")
    with pytest.raises(SourceError, match=r"1 new images belong to several splits"):
        extend_dataset(tmp_path / "out", options=BuildOptions(scan=CUT))
    assert contents(tmp_path / "out") == before


def test_a_source_with_splits_is_extended_as_ever(tmp_path):
    """New training images of a train/ test/ tree need no word about splits."""
    source = tmp_path / "source"
    photos(source / "train", 8)
    photos(source / "test", 4, first=20)
    build_dataset(source, tmp_path / "out", "cifar10", RECIPE)
    photos(source / "train", 4, first=40)
    extend_dataset(tmp_path / "out")
    assert counts_of(tmp_path / "out") == [(8, 0, 4), (4, 0, 0)]
    with pytest.raises(ConfigError, match="without splits of its own"):
        extend_dataset(tmp_path / "out", copies=3, options=BuildOptions(scan=CUT))


def test_the_front_door_takes_a_split(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
    source = (images, np.arange(40) % 2)
    build(source, tmp_path / "out", pipeline="cifar10", copies=1, split="0.8/0.1/0.1")
    assert counts_of(tmp_path / "out") == [(32, 4, 4)]
    report = check(source, split="0.8/0.1/0.1", folds=4)
    assert report.splits.totals == (32, 4, 4)
    assert report.folds.totals == (8, 8, 8, 8)
    assert report.likenesses == ()


def test_a_lost_population_is_found_again_with_its_splits(dataset, tmp_path):
    """Shards say who was where, although the source names no splits."""
    out = copied(dataset, tmp_path)
    (path,) = out.glob("population-*")
    expected = path.read_bytes()
    path.unlink()
    assert repair_dataset(out).is_whole
    assert path.read_bytes() == expected
