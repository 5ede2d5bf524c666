"""A dataset that grew is the dataset that was built in one go, or the extension is refused."""

import csv
import shutil

import numpy as np
import pytest

from materialize.audit.verification import verify_dataset
from materialize.builder import BuildOptions, build_dataset, finish_dataset
from materialize.errors import (
    BuildFailedError,
    ConfigError,
    PlanConflictError,
    SizeMismatchError,
    SourceError,
)
from materialize.extension import extend_dataset
from materialize.manifest import load_latest, shard_path
from materialize.population import ScanOptions
from materialize.recipe import Recipe
from materialize.shards.reader import ShardReader
from materialize.sources import open_source
from pipelines import from_dict
from tests.image_files import png_bytes
from tests.jobs import build_photos, contents, photos, shard_paths

CROP = from_dict({"step": [{"transform": "crop", "height": 8, "width": 8}]})


def addresses(directory):
    """(id, copy) → label and pixels of everything that is stored."""
    found = {}
    for entry in load_latest(directory).shards:
        with ShardReader(shard_path(directory, entry.file), entry) as reader:
            names = reader.class_names
            for row, sample in enumerate(reader.sample_ids):
                label = names[int(reader.labels[row])]
                key = (sample.tobytes(), entry.spec.copy, entry.spec.split)
                found[key] = (label, reader.images[row].tobytes())
    return found


def shards_of(directory):
    return {path.name: path.read_bytes() for path in shard_paths(directory)}


def grown_and_whole(tmp_path, recipe, pipeline="cifar10"):
    """A dataset extended from 1 copy to the recipe's, and one built in one go."""
    source = photos(tmp_path / "source", 20)
    first = Recipe(copies=1, shard_bytes=recipe.shard_bytes, originals=recipe.originals)
    build_dataset(source, tmp_path / "grown", pipeline, first)
    extend_dataset(tmp_path / "grown", copies=recipe.copies)
    build_dataset(source, tmp_path / "whole", pipeline, recipe)
    return shards_of(tmp_path / "grown"), shards_of(tmp_path / "whole")


@pytest.mark.parametrize("originals", [False, True])
def test_copies_of_a_crop_are_cut_like_the_originals_beside_them(tmp_path, originals):
    recipe = Recipe(copies=3, shard_bytes=4096, originals=originals)
    grown, whole = grown_and_whole(tmp_path, recipe, CROP)
    assert grown == whole
    assert verify_dataset(tmp_path / "grown", depth="pixels").is_intact


def test_an_image_added_later_under_another_label_keeps_both_labels(tmp_path):
    """Equal images are numbered in the order they come; a label never moves to another image."""
    source = tmp_path / "source"
    photos(source, 6)
    (source / "b" / "same.png").write_bytes(png_bytes(99, (16, 16)))
    build_photos(source, tmp_path / "out", copies=1)
    before = addresses(tmp_path / "out")
    (source / "a" / "same.png").write_bytes(png_bytes(99, (16, 16)))
    extend_dataset(tmp_path / "out", source=source)
    after = addresses(tmp_path / "out")
    assert before.items() <= after.items()
    added = [value for key, value in after.items() if key not in before]
    assert [label for label, _ in added] == ["a"]


def test_images_that_are_gone_stop_new_copies_and_leave_the_dataset_alone(tmp_path):
    source = photos(tmp_path / "source", 8)
    build_photos(source, tmp_path / "out", copies=1)
    before = contents(tmp_path / "out")
    gone = min((source / "a").iterdir())
    kept = gone.read_bytes()
    gone.unlink()
    with pytest.raises(SourceError, match=gone.name):
        extend_dataset(tmp_path / "out", copies=2)
    assert contents(tmp_path / "out") == before
    gone.write_bytes(kept)
    extend_dataset(tmp_path / "out", copies=3)
    assert load_latest(tmp_path / "out").copies == 3


def test_an_interrupted_extension_goes_on_although_the_source_grew(tmp_path):
    source = photos(tmp_path / "source", 8)
    build_photos(source, tmp_path / "out", copies=1)
    photos(source, 4, first=20)
    extend_dataset(tmp_path / "out", copies=2, options=BuildOptions(part=(1, 2)))
    photos(source, 4, first=40)
    with pytest.raises(PlanConflictError, match="2 copies"):
        extend_dataset(tmp_path / "out", copies=4)
    extend_dataset(tmp_path / "out", copies=2)
    assert sum(load_latest(tmp_path / "out").populations[-1].counts.values()) == 4
    extend_dataset(tmp_path / "out")
    manifest = load_latest(tmp_path / "out")
    assert [sum(p.counts.values()) for p in manifest.populations] == [8, 4, 4]
    assert verify_dataset(tmp_path / "out", depth="pixels").is_intact


def test_parts_of_an_extension_are_finished_as_one(tmp_path):
    source = photos(tmp_path / "source", 12)
    for name in ("apart", "whole"):
        build_photos(source, tmp_path / name, copies=1)
    for part in (2, 1):
        extend_dataset(tmp_path / "apart", copies=3, options=BuildOptions(part=(part, 2)))
    finish_dataset(tmp_path / "apart")
    extend_dataset(tmp_path / "whole", copies=3)
    assert contents(tmp_path / "apart") == contents(tmp_path / "whole")


def test_new_images_of_another_size_are_refused(tmp_path):
    source = photos(tmp_path / "source", 6)
    build_photos(source, tmp_path / "out", copies=1)
    before = contents(tmp_path / "out")
    photos(source, 2, first=30, size=(20, 20))
    with pytest.raises((ConfigError, SizeMismatchError)):
        extend_dataset(tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_what_was_excluded_stays_out(tmp_path):
    source = photos(tmp_path / "source", 6)
    options = BuildOptions(scan=ScanOptions(exclude=("a/000.png",)))
    build_dataset(source, tmp_path / "out", "cifar10", Recipe(copies=1), options=options)
    extend_dataset(tmp_path / "out", copies=2)
    assert [sum(p.counts.values()) for p in load_latest(tmp_path / "out").populations] == [5]


def test_an_image_that_was_relabelled_is_named(tmp_path):
    source = photos(tmp_path / "source", 6)
    build_photos(source, tmp_path / "out", copies=1)
    shutil.move(source / "a" / "000.png", source / "b" / "moved.png")
    report = extend_dataset(tmp_path / "out", copies=2)
    assert "b/moved.png" in report.warnings[0]


def test_images_changed_under_their_ids_are_not_mixed_with_what_stands(tmp_path):
    """Where the user gives the ids, the content still counts."""
    names = [f"{i}.png" for i in range(8)]
    for i, name in enumerate(names):
        (tmp_path / name).write_bytes(png_bytes(i, (16, 16)))
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "id"])
        writer.writerows([name, "ab"[i % 2], f"patient{i}"] for i, name in enumerate(names))
    build = {"pipeline": "cifar10", "recipe": Recipe(copies=2, shard_bytes=4096)}
    source = tmp_path / "labels.csv"
    build_dataset(source, tmp_path / "out", **build, options=BuildOptions(part=(1, 2)))
    for i, name in enumerate(names):
        (tmp_path / name).write_bytes(png_bytes(100 + i, (16, 16)))
    with pytest.raises(PlanConflictError):
        build_dataset(source, tmp_path / "out", **build, options=BuildOptions(part=(2, 2)))


def test_a_published_shard_is_never_replaced_by_other_bytes(tmp_path, monkeypatch):
    source = photos(tmp_path / "source", 6)
    build_photos(source, tmp_path / "out", copies=1)
    victim = shard_paths(tmp_path / "out")[0]
    victim.write_bytes(b"damaged")
    monkeypatch.setattr(
        "materialize.job.render", lambda _w, _i, _d, shard, _p: shard.images.fill(7)
    )
    with pytest.raises(BuildFailedError, match="promises"):
        build_photos(source, tmp_path / "out", copies=1)
    assert victim.read_bytes() == b"damaged"


def test_validation_images_may_have_another_size_as_they_are_not_copied(tmp_path):
    generator = np.random.default_rng(0)
    train = generator.integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    val = generator.integers(0, 256, (4, 20, 20, 3), dtype=np.uint8)
    source = open_source({"train": (train, np.arange(6) % 2), "val": (val, np.arange(4) % 2)})
    build_dataset(source, tmp_path / "out", "cifar10", Recipe(copies=1))
    assert load_latest(tmp_path / "out").totals.num_rows == 6


def test_nothing_to_augment_is_refused(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    source = open_source({"val": (images, np.arange(4) % 2)})
    with pytest.raises(ConfigError, match="training images"):
        build_dataset(source, tmp_path / "out", "cifar10", Recipe(copies=1))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "steps",
    [
        [{"transform": "zoom", "by": [1, 1000]}, {"transform": "zoom", "by": [500, 1000]}],
        [{"transform": "resize", "height": 8, "width": 8}, {"transform": "gamma", "power": [1, 2]}],
    ],
    ids=["too extreme", "not for floats"],
)
def test_what_could_only_fail_later_is_refused_before_anything_is_claimed(tmp_path, steps):
    images = np.random.default_rng(0).random((4, 16, 16, 1)).astype(np.float32)
    with pytest.raises(ConfigError):
        build_dataset(
            (images, np.arange(4) % 2), tmp_path / "out", from_dict({"step": steps}),
            Recipe(copies=1, value_range=(0, 1)),
        )  # fmt: skip
    assert not (tmp_path / "out").exists()
