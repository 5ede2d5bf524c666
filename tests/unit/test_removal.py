"""A removed image is in nothing that the newest manifest needs, and no other image changed."""

import shutil

import numpy as np
import pytest

from materialize.audit.restoration import repair_dataset
from materialize.audit.verification import verify_dataset
from materialize.collection import collect_garbage
from materialize.errors import BuildIncompleteError, ConfigError, PlanConflictError, SourceError
from materialize.extension import extend_dataset
from materialize.loader.augmenting import PrefixLoader
from materialize.loader.opening import LoaderOptions, OpenDataset
from materialize.loader.stream import StreamingLoader
from materialize.manifest import load_latest
from materialize.metadata.about import About
from materialize.metadata.croissant import write_metadata
from materialize.plans import read_plan
from materialize.production import BuildOptions
from materialize.removal import remove_samples
from materialize.transcoding import transcode_dataset
from tests.dataset_states import shards_of, state, stored_images
from tests.image_files import png_bytes
from tests.jobs import contents, photos
from tests.removal_cases import VICTIMS, ids_of, make, without

PLAIN = LoaderOptions(threads=0)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Twenty-two pictures; at most five to a shard."""
    return photos(tmp_path_factory.mktemp("source") / "photos", 22)


@pytest.fixture
def gone(tmp_path, source):
    """The same pictures, in a place from which they vanish when it is called."""
    moved = shutil.copytree(source, tmp_path / "moved")

    def vanish():
        shutil.rmtree(moved)

    vanish.source = moved
    return vanish


@pytest.mark.parametrize("codec", ["raw", "zstd", "bitshuffle-zstd", "png"])
def test_all_but_the_removed_are_there_without_the_source(tmp_path, gone, codec):
    out = make(tmp_path / "out", gone.source, codec=codec)
    before, ids = stored_images(out), ids_of(out, VICTIMS)
    gone()
    report = remove_samples(out, VICTIMS)
    assert set(report.removed) == ids
    assert stored_images(out) == without(before, ids)
    assert sum(load_latest(out).populations[0].counts.values()) == 20


def test_shards_of_other_runs_keep_their_names_and_bytes(tmp_path, source):
    out = make(tmp_path / "out", source)
    before = shards_of(out)
    report = remove_samples(out, VICTIMS[:1])
    after = shards_of(out)
    kept = before.items() & after.items()
    assert len(kept) == len(before) - 4  # one run: three copies and the originals
    assert report.num_written == 4
    assert len(after) == len(before)


def test_a_run_that_becomes_empty_disappears(tmp_path, source):
    out = make(tmp_path / "out", source)
    first = min(load_latest(out).shards, key=lambda entry: (entry.spec.run, entry.spec.copy))
    population = OpenDataset.open(out).standing.populations[0]
    victims = [population.ids[row].tobytes().hex() for row in range(first.spec.num_rows)]
    before = shards_of(out)
    report = remove_samples(out, victims)
    assert report.num_written == 0
    assert shards_of(out).items() < before.items()
    assert 0 not in {entry.spec.run for entry in load_latest(out).shards}
    assert verify_dataset(out, depth="pixels").is_intact


def test_nothing_alive_tells_of_it_but_the_list_of_ids(tmp_path, source):
    out = make(tmp_path / "out", source)
    (identity,) = ids_of(out, VICTIMS[:1])
    remove_samples(out, VICTIMS[:1])
    collect_garbage(out)
    needles = (bytes.fromhex(identity), identity.encode(), b"a/004.png")
    telling = {
        str(path.relative_to(out))
        for path in out.rglob("*")
        if path.is_file() and any(needle in path.read_bytes() for needle in needles)
    }
    assert telling == {"plan-000002.json"}
    assert read_plan(out, 2).removed == (identity,)
    assert b"004.png" not in (out / "plan-000002.json").read_bytes()


def test_what_is_left_is_whole_by_every_measure(tmp_path, source):
    out = make(tmp_path / "out", source)
    remove_samples(out, VICTIMS)
    assert verify_dataset(out, depth="pixels").is_intact
    collect_garbage(out)
    victim = out / "shards" / load_latest(out).shards[5].file
    whole = victim.read_bytes()
    victim.unlink()
    assert repair_dataset(out).is_whole
    assert victim.read_bytes() == whole


@pytest.mark.parametrize("storage", ["pixels", "recipe"])
def test_a_lost_population_is_recovered_without_the_removed(tmp_path, source, storage):
    """Also where no shard tells who was in it."""
    out = make(tmp_path / "out", source, storage=storage)
    remove_samples(out, VICTIMS)
    file = out / load_latest(out).populations[0].file
    whole = file.read_bytes()
    file.unlink()
    assert repair_dataset(out).is_whole
    assert file.read_bytes() == whole


def test_runs_that_lost_nothing_are_extended_as_if_nothing_had_been(tmp_path, source):
    out = make(tmp_path / "out", source)
    remove_samples(out, VICTIMS[:1])
    extend_dataset(out, copies=4)
    whole = make(tmp_path / "whole", source, copies=4)
    lost = {e.spec.run for e in load_latest(whole).shards} & {
        cut.run
        for cut in load_latest(out).populations[0].cuts["train"]
        if cut.num_rows != next(
            e.spec.num_rows for e in load_latest(whole).shards if e.spec.run == cut.run
        )
    }  # fmt: skip
    expected = {e.file for e in load_latest(whole).shards if e.spec.run not in lost}
    assert len(lost) == 1
    assert expected < set(shards_of(out))
    assert verify_dataset(out, depth="pixels").is_intact


def test_removing_again_and_again_adds_up(tmp_path, source):
    out = make(tmp_path / "out", source)
    before, ids = stored_images(out), ids_of(out, VICTIMS)
    for victim in VICTIMS:
        remove_samples(out, [victim])
    assert stored_images(out) == without(before, ids)
    assert set(read_plan(out, 3).removed) == ids
    assert verify_dataset(out, depth="pixels").is_intact


def test_every_generation_loses_its_own(tmp_path, source):
    growing = shutil.copytree(source, tmp_path / "growing")
    out = make(tmp_path / "out", growing)
    photos(growing, 9, first=50)
    extend_dataset(out)
    before, ids = stored_images(out), ids_of(out, ["a/004.png", "a/052.png"])
    remove_samples(out, ["a/004.png", "a/052.png"])
    assert stored_images(out) == without(before, ids)
    assert verify_dataset(out, depth="pixels").is_intact


def test_a_generation_may_be_emptied(tmp_path, source):
    growing = shutil.copytree(source, tmp_path / "growing")
    out = make(tmp_path / "out", growing)
    photos(growing, 2, first=50)
    extend_dataset(out)
    remove_samples(out, ["a/050.png", "b/051.png"])
    assert verify_dataset(out, depth="pixels").is_intact
    extend_dataset(out, copies=4)
    assert len(next(iter(loader(out).epoch(3))).images) == 8


def loader(directory, **given):
    return StreamingLoader(directory, batch_size=8, seed=3, options=PLAIN, **given)


def test_the_rest_is_streamed_and_made_from_originals(tmp_path, source):
    out = make(tmp_path / "out", source)
    before, ids = stored_images(out), ids_of(out, VICTIMS)
    remove_samples(out, VICTIMS)
    made = PrefixLoader(out, batch_size=8, seed=3, options=PLAIN)
    for epoch in (0, 2):
        for one, other in zip(loader(out).epoch(epoch), made.epoch(epoch), strict=True):
            assert np.array_equal(one.images, other.images)
            for image, row in zip(one.images, one.rows, strict=True):
                sample = made.samples.ids[row].tobytes().hex()
                assert before[sample, "train", epoch][1] == image.tobytes()
                assert sample not in ids


def test_a_damaged_shard_is_made_again_in_memory(tmp_path, source):
    out = make(tmp_path / "out", source)
    expected = [batch.images for batch in _removed(out).epoch(0)]
    for entry in load_latest(out).shards:
        (out / "shards" / entry.file).unlink()
    options = LoaderOptions(threads=0, on_damage="regenerate")
    again = StreamingLoader(out, batch_size=8, seed=3, options=options)
    with pytest.warns(UserWarning, match="made again"):
        found = [batch.images for batch in again.epoch(0)]
    assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))


def _removed(out):
    remove_samples(out, VICTIMS)
    return loader(out)


def test_an_extension_does_not_bring_it_back(tmp_path, source):
    growing = shutil.copytree(source, tmp_path / "growing")
    out = make(tmp_path / "out", growing)
    ids = ids_of(out, VICTIMS)
    remove_samples(out, VICTIMS)
    shutil.move(growing / VICTIMS[0], growing / "b" / "renamed.png")
    photos(growing, 2, first=60)
    report = extend_dataset(out, copies=4)
    assert "2 images were left out: they were removed from this dataset" in report.warnings
    assert ids.isdisjoint(key[0] for key in stored_images(out))
    assert sum(load_latest(out).populations[-1].counts.values()) == 2


def test_of_equal_images_the_one_that_stays_keeps_its_id(tmp_path, source):
    """And no other image of that content comes in for the one that went."""
    growing = shutil.copytree(source, tmp_path / "growing")
    for name in ("a/same.png", "b/same.png"):
        (growing / name).write_bytes(png_bytes(99, (16, 16)))
    out = make(tmp_path / "out", growing)
    (kept,) = ids_of(out, ["b/same.png"])
    assert remove_samples(out, ["a/same.png"]).equals == (kept,)
    (growing / "a" / "third.png").write_bytes(png_bytes(99, (16, 16)))
    report = extend_dataset(out, copies=4)
    assert "2 images were left out" in report.warnings[0]
    assert len(load_latest(out).populations) == 1
    assert kept in {key[0] for key in stored_images(out)}
    assert verify_dataset(out, depth="pixels").is_intact


def test_equal_images_that_go_together_leave_none(tmp_path, source):
    growing = shutil.copytree(source, tmp_path / "growing")
    for name in ("a/same.png", "b/same.png"):
        (growing / name).write_bytes(png_bytes(99, (16, 16)))
    out = make(tmp_path / "out", growing)
    assert remove_samples(out, ["a/same.png", "b/same.png"]).equals == ()


def test_a_catalogue_that_names_the_removed_is_told(tmp_path, source):
    out = make(tmp_path / "out", source)
    assert remove_samples(out, VICTIMS[:1]).catalogue == ()
    about = About(licence="CC0-1.0", creator=("somebody",), date="2026-01-01")
    write_metadata(out, about)
    expected = ("croissant-records.csv", "croissant.json")
    assert remove_samples(out, VICTIMS[1:]).catalogue == expected


@pytest.mark.parametrize("storage", ["prefix", "recipe"])
def test_every_storage_mode_loses_it(tmp_path, source, storage):
    out = make(tmp_path / "out", source, storage=storage)
    ids = ids_of(out, VICTIMS)
    remove_samples(out, VICTIMS)
    transcode_dataset(out, storage="pixels")
    found = {key[0] for key in stored_images(out)}
    assert len(found) == 20
    assert found.isdisjoint(ids)
    assert verify_dataset(out, depth="pixels").is_intact


def test_a_recipe_that_lost_images_is_a_build_without_them(tmp_path, source):
    out = make(tmp_path / "out", source, storage="recipe")
    remove_samples(out, VICTIMS)
    transcode_dataset(out, storage="pixels")
    fewer = shutil.copytree(source, tmp_path / "fewer")
    for victim in VICTIMS:
        (fewer / victim).unlink()
    assert shards_of(out) == shards_of(make(tmp_path / "direct", fewer))


def test_another_mode_forgets_how_runs_were_left(tmp_path, source):
    """What is stored anew is cut anew, as a build without these images cuts it."""
    out = make(tmp_path / "out", source)
    remove_samples(out, [*VICTIMS, "a/000.png", "b/001.png", "a/002.png"])
    for storage in ("recipe", "pixels"):
        transcode_dataset(out, storage=storage)
    fewer = shutil.copytree(source, tmp_path / "fewer")
    for victim in (*VICTIMS, "a/000.png", "b/001.png", "a/002.png"):
        (fewer / victim).unlink()
    assert shards_of(out) == shards_of(make(tmp_path / "direct", fewer))


def test_another_codec_keeps_the_runs_as_they_are_left(tmp_path, source):
    out = make(tmp_path / "out", source)
    before, ids = stored_images(out), ids_of(out, VICTIMS)
    remove_samples(out, VICTIMS)
    transcode_dataset(out, codec="zstd")
    assert stored_images(out) == without(before, ids)
    transcode_dataset(out, storage="prefix")
    assert len(stored_images(out)) == 20
    assert verify_dataset(out, depth="pixels").is_intact


def test_a_lossy_dataset_takes_its_source(tmp_path, gone):
    out = make(tmp_path / "out", gone.source, codec="jpeg-90")
    before, ids = stored_images(out), ids_of(out, VICTIMS)
    remove_samples(out, VICTIMS[:1])
    remove_samples(out, VICTIMS[1:])
    assert stored_images(out) == without(before, ids)
    assert verify_dataset(out, depth="pixels").is_intact
    gone()
    unchanged = state(out)
    with pytest.raises(SourceError, match="jpeg-90"):
        remove_samples(out, ["a/006.png"])
    assert state(out) == unchanged


def test_statistics_of_the_old_training_part_are_not_taken_for_the_new(tmp_path, source):
    out = make(tmp_path / "out", source)
    OpenDataset.open(out).standardizer("featurewise")
    remove_samples(out, VICTIMS)
    old = set(out.glob("statistics-*"))
    OpenDataset.open(out).standardizer("featurewise")
    (new,) = set(out.glob("statistics-*")) - old
    collect_garbage(out)
    assert set(out.glob("statistics-*")) == {new}


def test_an_unfinished_removal_is_not_taken_over(tmp_path, source, monkeypatch):
    out = make(tmp_path / "out", source)
    late = iter([False, True])
    with monkeypatch.context() as patch:
        patch.setattr("materialize.job._is_late", lambda _: next(late, True))
        with pytest.raises((BuildIncompleteError, ConfigError)):
            remove_samples(out, VICTIMS, options=BuildOptions(max_seconds=1000))
    with pytest.raises(PlanConflictError, match="remove"):
        extend_dataset(out, copies=4)
    with pytest.raises(PlanConflictError):
        remove_samples(out, VICTIMS[:1])
    remove_samples(out, VICTIMS)
    assert verify_dataset(out, depth="pixels").is_intact


def test_the_first_build_command_does_not_bring_it_back(tmp_path, source):
    out = make(tmp_path / "out", source)
    remove_samples(out, VICTIMS)
    collect_garbage(out)
    before = contents(out)
    with pytest.raises(PlanConflictError):
        make(out, source)
    assert contents(out) == before
