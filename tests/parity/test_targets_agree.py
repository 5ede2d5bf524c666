"""Masks and objects are the same bytes wherever they come from, and are moved like the pixels."""

from dataclasses import fields, replace

import numpy as np
import pytest

from materialize.audit.restoration import repair_dataset
from materialize.audit.standing import StandingDataset
from materialize.audit.verification import verify_dataset
from materialize.builder import BuildOptions, build_dataset
from materialize.errors import ConfigError, DamageWarning, ShardDamagedError
from materialize.executor import Crew
from materialize.extension import extend_dataset
from materialize.loader.augmenting import AugmentingLoader, PrefixLoader
from materialize.loader.opening import LoaderOptions
from materialize.loader.stream import StreamingLoader
from materialize.manifest import load_latest, shard_path
from materialize.recipe import Recipe
from materialize.removal import remove_samples
from materialize.report.stored_copies import stored_copies
from materialize.sources.targets import TargetSchema
from materialize.transcoding import transcode_dataset
from pipelines import Pipeline, load
from pipelines.mixing import Mixup
from pipelines.objects import Objects
from tests.jobs import contents, copied, flip_byte
from tests.target_cases import KINDS, SIZE, TargetedArrays

COUNT, COPIES, SEED = 14, 3, 5
RECIPE = Recipe(copies=COPIES, seed=SEED, originals=True, shard_bytes=5 * SIZE * SIZE * 3)
"""Three runs."""
PLAIN = LoaderOptions(threads=0)
BOTH = TargetSchema(KINDS, ("mask", "rim"))
SCHEMAS = {"both": BOTH, "mask": TargetSchema(None, ("mask",)), "objects": TargetSchema(KINDS)}


def source(schema=BOTH, **given):
    return TargetedArrays(COUNT, schema=schema, **given)


def build(directory, made=None, options=None, **recipe):
    opened = source() if made is None else made
    recipe = replace(RECIPE, **recipe)
    return build_dataset(opened, directory, "cifar10", recipe, options=options or BuildOptions())


def on_the_fly(made=None, **given):
    opened = source() if made is None else made
    return AugmentingLoader(
        opened, "cifar10", batch_size=4, augmentation_seed=SEED, seed=3, options=PLAIN, **given
    )


def stream(directory, **given):
    return StreamingLoader(directory, batch_size=4, seed=3, options=PLAIN, **given)


def same(one, other):
    """Whether two batches have the same images, masks and objects."""
    arrays = [(one.images, other.images), (one.masks, other.masks), (one.rows, other.rows)]
    if (one.objects is None) != (other.objects is None):
        return False
    if one.objects is not None:
        names = [field.name for field in fields(Objects)]
        arrays += [(getattr(one.objects, n), getattr(other.objects, n)) for n in names]
    return all(np.array_equal(a, b) if a is not None else b is None for a, b in arrays)


def agree(one, other, epochs=COPIES):
    with one, other:
        batches = [(list(one.epoch(e)), list(other.epoch(e))) for e in range(epochs)]
    return all(
        len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True)) for a, b in batches
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("targets") / "dataset"
    build(directory)
    return directory


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
@pytest.mark.parametrize("codec", ["raw", "png"])
def test_arms_agree_in_masks_and_objects(tmp_path, schema, codec):
    made = source(schema)
    build(tmp_path / "stored", made, codec=codec)
    assert agree(stream(tmp_path / "stored"), on_the_fly(made))
    assert agree(
        PrefixLoader(tmp_path / "stored", batch_size=4, seed=3, options=PLAIN),
        on_the_fly(made, keep_decoded=False),
    )


def test_untouched_images_have_their_untouched_targets(dataset):
    made = source()
    with stream(dataset, copies=(-1,)) as loader:
        batch = next(iter(loader))
        ids = [loader.samples.ids[row].tobytes() for row in batch.rows]
    with on_the_fly(made) as other:
        index = other._feed._images._population.source_index
        row_of = {i.tobytes(): int(r) for i, r in zip(other.samples.ids, index, strict=True)}
    for place, identity in enumerate(ids):
        assert np.array_equal(batch.masks[place], made.masks[row_of[identity]])
        expected = made.objects(row_of[identity])
        assert np.array_equal(batch.objects.take(np.array([place])).boxes, expected.boxes)


def test_masks_move_with_the_pixels(tmp_path):
    """A mask that is the image says where its pixels went, whatever the draws."""
    made = source(TargetSchema(None, ("r", "g", "b")))
    made.masks = np.stack([made.decode(made.identity_bytes(i), i).pixels for i in range(COUNT)])
    pipeline = replace(load("cifar10"), interpolation="nearest")
    steps = tuple(s for s in pipeline.steps if s.name != "keras_channel_shift")
    build_dataset(made, tmp_path / "d", replace(pipeline, steps=steps), RECIPE)
    with stream(tmp_path / "d") as loader:
        batch = next(iter(loader))
    assert not np.array_equal(batch.images, made.masks[:4])
    assert np.array_equal(batch.images, batch.masks)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_bytes_whatever_workers_and_batches(dataset, tmp_path, workers):
    options = BuildOptions(crew=Crew(workers, "threading"), batch_size=workers)
    build(tmp_path / "again", options=options)
    assert contents(tmp_path / "again") == contents(dataset)


@pytest.mark.parametrize("storage", ["prefix", "recipe"])
def test_other_storage_modes_lead_back_to_the_same_shards(dataset, tmp_path, storage):
    directory = copied(dataset, tmp_path)
    before = {entry.file: entry.file_sha256 for entry in load_latest(directory).shards}
    transcode_dataset(directory, storage=storage, source=source())
    if storage == "prefix":
        assert {e.spec.is_mask for e in load_latest(directory).shards} == {False, True}
    needed = source() if storage == "recipe" else None
    transcode_dataset(directory, storage="pixels", source=needed)
    after = {entry.file: entry.file_sha256 for entry in load_latest(directory).shards}
    assert after == before


def test_another_codec_holds_the_same_targets(dataset, tmp_path):
    directory = copied(dataset, tmp_path)
    transcode_dataset(directory, codec="webp")
    codecs = {(e.spec.is_mask, e.spec.codec) for e in load_latest(directory).shards}
    assert codecs == {(False, "webp"), (True, "zstd")}
    assert agree(stream(directory), stream(dataset))


def test_more_copies_and_fewer_samples_keep_the_others(dataset, tmp_path):
    directory = copied(dataset, tmp_path)
    extend_dataset(directory, copies=COPIES + 1, source=source())
    with stream(directory) as loader:
        gone = loader.samples.ids[3].tobytes().hex()
    assert agree(stream(directory), on_the_fly(), epochs=COPIES + 1)
    remove_samples(directory, [gone])
    assert verify_dataset(directory, depth="pixels", source=source()).is_intact


def test_deep_verification_redoes_masks_and_objects(dataset):
    report = verify_dataset(dataset, depth="pixels", source=source())
    assert report.is_intact
    rows = sum(entry.spec.num_rows for entry in load_latest(dataset).shards)
    assert report.num_rows_compared == rows


def test_masks_are_not_counted_as_images(dataset):
    """Nor is their progress: a line that says images counts them."""
    told = []
    verify_dataset(dataset, progress=lambda *found: told.append(found))
    originals = len(StandingDataset.open(dataset).populations[0])
    count = originals + COPIES * COUNT
    assert load_latest(dataset).totals.num_rows == count
    assert told[-1] == ("verify", count, count)


def test_a_manifest_that_counts_masks_stays_as_it_is(dataset, tmp_path):
    """Datasets of before: they are read, and a build that is run again ends with them."""
    directory = copied(dataset, tmp_path)
    manifest = load_latest(directory)
    rows = sum(entry.spec.num_rows for entry in manifest.shards)
    older = replace(manifest, totals=replace(manifest.totals, num_rows=rows))
    (directory / older.file_name).write_bytes(older.to_bytes())
    assert load_latest(directory).digest() == older.digest() != manifest.digest()
    assert build(directory).manifest.digest() == older.digest()


def test_a_changed_annotation_is_named_and_never_used(dataset):
    made = source()
    made.change_box(1)
    report = verify_dataset(dataset, depth="pixels", source=made)
    assert report.is_intact  # the dataset still holds what was made of the old one
    assert [record.problem for record in report.lost] == ["changed"]
    assert "mask or its objects" in str(report.lost[0])


def test_other_objects_than_the_recipe_gives_are_damage(dataset, tmp_path, monkeypatch):
    """As if another version of this program had moved them otherwise."""
    moved = Pipeline.move_targets

    def elsewhere(*arguments, **given):
        objects = moved(*arguments, **given)
        return objects and replace(objects, boxes=objects.boxes + np.float32(1))

    monkeypatch.setattr(Pipeline, "move_targets", elsewhere)
    report = verify_dataset(dataset, depth="pixels", source=source())
    assert {damage.kind for damage in report.damages} == {"objects-differ"}


@pytest.mark.parametrize("is_mask", [False, True])
def test_damage_is_repaired_or_made_good_in_memory(dataset, tmp_path, is_mask):
    directory = copied(dataset, tmp_path)
    before = contents(directory)
    entry = next(e for e in load_latest(directory).shards if e.spec.is_mask == is_mask
                 and e.spec.copy == 0)  # fmt: skip
    flip_byte(shard_path(directory, entry.file), entry.images_offset + 1)
    with stream(directory) as loader, pytest.raises(ShardDamagedError):
        list(loader)
    again = replace(PLAIN, on_damage="regenerate", source=source())
    with pytest.warns(DamageWarning):
        assert agree(
            StreamingLoader(directory, batch_size=4, seed=3, options=again), on_the_fly(), epochs=1
        )
    assert repair_dataset(directory, source=source()).is_whole
    assert contents(directory) == before


def test_damaged_objects_are_made_again(dataset, tmp_path):
    directory = copied(dataset, tmp_path)
    entry = next(e for e in load_latest(directory).shards if e.spec.copy == 0 and e.spec.objects)
    path = shard_path(directory, entry.file)
    flip_byte(path, path.read_bytes().index(b"boxes"))
    again = replace(PLAIN, on_damage="regenerate", source=source())
    with pytest.warns(DamageWarning):
        assert agree(
            StreamingLoader(directory, batch_size=4, seed=3, options=again), on_the_fly(), epochs=1
        )


def test_steps_that_mix_images_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match="mixup"):
        build_dataset(source(), tmp_path / "d", Pipeline(steps=(Mixup(),)), RECIPE)
    assert not (tmp_path / "d").exists()


def test_images_that_have_a_class_alone_are_stored_as_ever(tmp_path):
    build(tmp_path / "d", source(TargetSchema()))
    manifest = (tmp_path / "d" / "manifest-000001.json").read_bytes()
    assert b'"targets"' not in manifest
    assert b'"objects"' not in manifest
    with stream(tmp_path / "d") as loader:
        batch = next(iter(loader))
    assert batch.masks is None
    assert batch.objects is None


def test_a_page_shows_copies_and_not_their_masks(dataset):
    shown = stored_copies(StandingDataset.open(dataset))
    rows = shown.rows
    assert [name for name, _ in shown.legend[:2]] == ["cell", "platelet"]
    titles = ["original", *(f"copy {copy}" for copy in range(COPIES))]
    assert [picture.title for picture in rows[0].pictures] == titles
