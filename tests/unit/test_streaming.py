"""Streaming: what batches hold, where a loader stands, how ranks share, and how it ends."""

import json
import threading

import numpy as np
import pytest

from materialize.builder import BuildOptions, build_dataset
from materialize.errors import ConfigError, ManifestMissingError
from materialize.extension import extend_dataset
from materialize.loader.augmenting import AugmentingLoader
from materialize.loader.opening import LoaderOptions, OpenDataset
from materialize.manifest import load_latest, shard_path
from materialize.population import Division, ScanOptions
from materialize.recipe import Recipe
from materialize.shards.codecs import CODECS
from materialize.shards.reader import ShardReader
from materialize.sources import open_source
from tests.loader_cases import PLAIN, SEED, build, equal, loader, pictures, shown

LOSSLESS = sorted(name for name, codec in CODECS.items() if not codec.is_lossy | codec.is_raw)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("streaming") / "dataset"
    build(directory)
    return directory


def stored(directory, copy):
    """(ids, images) of one copy as its shards say."""
    entries = [e for e in load_latest(directory).shards if e.spec.copy == copy]
    readers = [ShardReader(shard_path(directory, e.file), e) for e in entries]
    return (
        np.concatenate([getattr(r, name) for r in readers]) for name in ("sample_ids", "images")
    )


@pytest.mark.parametrize("epoch", [0, 2, 4])
def test_a_batch_holds_the_stored_copy_of_its_rows(dataset, epoch):
    """Image by image, found by sample id."""
    with loader(dataset) as batches:
        images, labels, rows, copies = shown(batches.epoch(epoch))
        samples = batches.samples
    ids, expected = stored(dataset, epoch % 3)
    place = {ids[i].tobytes(): i for i in range(len(ids))}
    there = [place[samples.ids[row].tobytes()] for row in rows.tolist()]
    assert np.array_equal(images, expected[there])
    assert np.array_equal(labels, samples.labels[rows])
    assert set(copies.tolist()) == {epoch % 3}


def test_an_epoch_shows_every_image_once(dataset):
    """With a last batch that is smaller."""
    with loader(dataset, batch_size=7) as batches:
        found = list(batches.epoch(0))
    assert sorted(np.concatenate([b.rows for b in found]).tolist()) == list(range(60))
    assert [len(b) for b in found] == [7] * 8 + [4]
    assert len(batches) == 9


def test_all_copies_in_one_epoch(dataset):
    """A set three times as large, each image in each copy once."""
    with loader(dataset, per_epoch="all") as batches:
        _, _, rows, copies = shown(batches.epoch(0))
    assert len(set(zip(rows.tolist(), copies.tolist(), strict=True))) == 180


def test_some_of_the_copies(dataset):
    """In turn, epoch by epoch."""
    with loader(dataset, copies=(2, 0)) as batches:
        copies = [set(shown(batches.epoch(e))[3].tolist()) for e in range(3)]
    assert copies == [{2}, {0}, {2}]


def test_the_untouched_images(dataset):
    """Copy -1 is what was put in."""
    with loader(dataset, copies=(-1,), options=PLAIN) as batches:
        images = shown(batches.epoch(0))[0]
    assert sorted(map(bytes, images)) == sorted(map(bytes, pictures()[0]))


def test_threads_change_nothing(dataset):
    """The same batches from none, one and four."""
    options = (LoaderOptions(threads=n, prefetch=3) for n in (0, 1, 4))
    runs = [list(loader(dataset, options=o).epoch(1)) for o in options]
    assert equal(runs[0], runs[1])
    assert equal(runs[0], runs[2])


def test_a_kept_batch_stays_what_it_was(dataset):
    """Memory is used again only when nobody looks at it."""
    options = LoaderOptions(threads=2, prefetch=1)
    with loader(dataset, options=options, batch_size=4) as batches:
        kept = [(b.images, b.images.copy()) for e in range(4) for b in batches.epoch(e)]
    assert all(np.array_equal(now, then) for now, then in kept)


def test_memory_is_used_again(dataset):
    """Epochs whose batches are dropped take two pieces: the one looked at, and the next one."""
    with loader(dataset) as batches:
        places = {b.images.ctypes.data for e in range(5) for b in batches.epoch(e) if not b.index}
    assert len(places) <= 2


@pytest.mark.parametrize("stop_after", [0, 1, 5])
def test_a_loader_goes_on_where_it_stood(dataset, stop_after):
    """Through JSON, in another loader."""
    first, whole = loader(dataset), list(loader(dataset).epoch(0))
    batches = iter(first)
    done = [next(batches) for _ in range(stop_after)]
    second = loader(dataset)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert equal([*done, *second], whole)


def test_it_goes_on_with_another_batch_size(dataset):
    """The images come in the same order, cut anew."""
    first = loader(dataset, batch_size=8)
    batches = iter(first)
    done = [next(batches) for _ in range(3)]
    second = loader(dataset, batch_size=5)
    second.load_state_dict(first.state_dict())
    rows = np.concatenate([b.rows for b in [*done, *second]])
    assert np.array_equal(rows, shown(loader(dataset).epoch(0))[2])


def test_it_goes_on_with_another_number_of_ranks(dataset):
    """One did 24 images; three share the rest without overlap or loss."""
    first = loader(dataset)
    batches = iter(first)
    done = [next(batches) for _ in range(3)]
    rows = [done[i].rows for i in range(3)]
    for rank in range(3):
        other = loader(
            dataset, options=LoaderOptions(threads=0, rank=rank, world_size=3), batch_size=4
        )
        other.load_state_dict(first.state_dict())
        rows += [b.rows for b in other]
    assert sorted(np.concatenate(rows).tolist()) == list(range(60))


def test_after_an_epoch_comes_the_next(dataset):
    """Iterating walks on."""
    batches = loader(dataset)
    epochs = [
        next(iter(batches)).epoch,
        *({b.epoch for b in batches}),
        *({b.epoch for b in batches}),
    ]
    assert epochs == [0, 0, 1]


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_ranks_share_an_epoch(dataset, world_size):
    """Together, in order of the global batches, they show what one rank would."""
    options = [LoaderOptions(threads=0, rank=r, world_size=world_size) for r in range(world_size)]
    runs = [list(loader(dataset, options=o, batch_size=4).epoch(0)) for o in options]
    steps = max(map(len, runs))
    rows = [b.rows for i in range(steps) for run in runs for b in run if b.index == i]
    assert np.array_equal(np.concatenate(rows), shown(loader(dataset).epoch(0))[2])


def test_a_dropped_remainder_gives_equal_steps(dataset):
    """What does not fill a batch on every rank is left out on all."""
    options = [
        LoaderOptions(threads=0, rank=r, world_size=7, drop_remainder=True) for r in range(7)
    ]
    lengths = [[len(b) for b in loader(dataset, options=o, batch_size=4).epoch(0)] for o in options]
    assert lengths == [[4, 4]] * 7


@pytest.mark.parametrize(
    "other", [{"seed": 4}, {"copies": 2}, {"per_epoch": "all"}, {"options": PLAIN}]
)
def test_the_state_of_another_run_is_refused(dataset, other):
    """Another order would show images twice, and others never."""
    with pytest.raises(ConfigError, match="state of another run"):
        loader(dataset, **other).load_state_dict(loader(dataset).state_dict())


def test_breaking_off_leaves_no_thread(dataset):
    """Nor does an error at the receiver."""
    before = threading.active_count()
    for batch in loader(dataset, options=LoaderOptions(threads=3, prefetch=8), batch_size=2).epoch(
        0
    ):
        if batch.index == 2:
            break
    del batch
    left = [t.name for t in threading.enumerate() if t.name.startswith("materialize-loader")]
    assert left == []
    assert threading.active_count() <= before + 1  # reading ahead may still be at its last shard


def test_a_closed_loader_says_so(dataset):
    """Not with a crash, nor with zeros."""
    batches = loader(dataset)
    batches.close()
    with pytest.raises(ValueError, match="closed"):
        next(batches.epoch(0))


def test_batches_outlive_their_loader(dataset):
    """They are the receiver's own."""
    with loader(dataset) as batches:
        kept = list(batches.epoch(0))
    assert equal(kept, list(loader(dataset).epoch(0)))


@pytest.mark.parametrize("codec", LOSSLESS)
def test_encoded_shards_give_the_same_batches(dataset, tmp_path, codec):
    """Bit for bit, with two threads decoding."""
    build(tmp_path / "packed", codec=codec)
    options = LoaderOptions(threads=2)
    for epoch in range(3):
        packed = list(loader(tmp_path / "packed", options=options).epoch(epoch))
        assert equal(packed, list(loader(dataset).epoch(epoch)))


def test_an_extended_dataset_has_the_epochs_of_one_built_at_once(tmp_path):
    """Two generations, merged by sample id."""
    images, labels = pictures()
    build(tmp_path / "grown", (images[::2], labels[::2]))
    extend_dataset(tmp_path / "grown", source=open_source((images, labels)))
    build(tmp_path / "whole")
    for copies in (3, (-1,)):
        grown = list(loader(tmp_path / "grown", copies=copies).epoch(1))
        assert equal(grown, list(loader(tmp_path / "whole", copies=copies).epoch(1)))


def test_a_fold_trains_on_what_the_others_hold_out(dataset):
    """Five folds cover everything once, each class in each."""
    opened = OpenDataset.open(dataset)
    held_out = []
    for fold in range(5):
        training, held = opened.fold(fold, folds=5)
        assert len(training) + len(held) == 60
        assert not set(map(bytes, training.ids)) & set(map(bytes, held.ids))
        assert np.bincount(held.labels, minlength=3).tolist() == [4, 4, 4]
        held_out += map(bytes, held.ids)
    assert len(set(held_out)) == 60


def test_a_fold_is_read_like_a_split(dataset):
    """Copies of what it trains on, the untouched images of what it holds out."""
    training, held = OpenDataset.open(dataset).fold(0, folds=5)
    images, _, rows, _ = shown(loader(dataset, samples=training).epoch(2))
    whole_images, _, whole_rows, _ = shown(loader(dataset).epoch(2))
    whole = loader(dataset).samples
    place = {bytes(whole.ids[row]): i for i, row in enumerate(whole_rows.tolist())}
    there = [place[bytes(training.ids[row])] for row in rows.tolist()]
    assert np.array_equal(images, whole_images[there])
    assert len(shown(loader(dataset, samples=held, copies=(-1,)).epoch(0))[0]) == 12


def test_samples_of_another_dataset_are_refused(dataset, tmp_path):
    """Their rows would be other images."""
    build(tmp_path / "other", pictures(seed=1))
    with pytest.raises(ConfigError, match="of another dataset"):
        loader(dataset, samples=OpenDataset.open(tmp_path / "other").samples())


def test_copies_that_are_not_stored_are_refused(dataset):
    """With how many there are, and how to get more."""
    with pytest.raises(ConfigError, match=r"3 that are stored.*extend .* --copies 4"):
        loader(dataset, copies=4)


def test_originals_that_are_not_stored_are_refused(tmp_path):
    """With the option that stores them."""
    build(tmp_path / "bare", originals=False)
    with pytest.raises(ConfigError, match="--originals"):
        loader(tmp_path / "bare", copies=(-1,))


def test_an_absent_dataset_is_named(tmp_path):
    """As every command does."""
    with pytest.raises(ManifestMissingError, match="does not exist"):
        loader(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("wrong", "name"),
    [({"threads": -1}, "threads"), ({"rank": 2, "world_size": 2}, "rank"),
     ({"verify": "sometimes"}, "verify"), ({"on_damage": "ignore"}, "on_damage")],
)  # fmt: skip
def test_impossible_options_are_named(dataset, wrong, name):
    """Not clamped."""
    with pytest.raises(ConfigError, match=name):
        loader(dataset, options=LoaderOptions(**wrong))


def test_what_decides_the_batches_is_written_down(dataset):
    """As JSON, with the manifest's digest."""
    with loader(dataset) as batches:
        identity = json.loads(json.dumps(batches.identity()))
    assert identity["source"]["manifest"] == load_latest(dataset).digest()
    assert identity["samples"] == load_latest(dataset).populations[0].training_digest


def test_time_is_counted_by_kind_of_work(dataset):
    """On the fly there is rendering, from shards there is none."""
    source = open_source(pictures())
    with (
        loader(dataset) as batches,
        AugmentingLoader(source, "cifar10", batch_size=8, augmentation_seed=SEED) as on_the_fly,
    ):
        list(batches.epoch(0))
        list(on_the_fly.epoch(0))
    assert batches.spent()["augment"] == 0
    assert on_the_fly.spent()["augment"] > 0


def test_a_source_in_class_order_has_the_epochs_of_a_shuffled_one(dataset, tmp_path):
    """Rows lie by sample id, so how a folder happens to be ordered cannot reach a batch."""
    images, labels = pictures()
    order = np.random.default_rng(0).permutation(len(images))
    build(tmp_path / "shuffled", (images[order], labels[order]))
    for epoch in range(2):
        shuffled = list(loader(tmp_path / "shuffled").epoch(epoch))
        assert equal(shuffled, list(loader(dataset).epoch(epoch)))


def test_samples_of_a_divided_dataset_find_their_images_on_the_fly(tmp_path):
    """A plain scan of the source puts them in other rows; they are known by their ids."""

    scan = ScanOptions(division=Division.parse("0.6/0.2/0.2"))
    recipe = Recipe(copies=2, seed=SEED, originals=True, shard_bytes=4320)
    source = open_source(pictures())
    build_dataset(
        source, tmp_path / "cut", "cifar10", recipe, options=BuildOptions(scan=scan)
    )  # fmt: skip
    for samples in (
        OpenDataset.open(tmp_path / "cut").samples(),
        OpenDataset.open(tmp_path / "cut").fold(0, folds=3)[0],
    ):
        on_the_fly = AugmentingLoader(
            source, "cifar10", batch_size=8, seed=3, augmentation_seed=SEED, samples=samples
        )
        stored = loader(tmp_path / "cut", samples=samples)
        assert equal(list(on_the_fly.epoch(1)), list(stored.epoch(1)))


def test_samples_that_are_not_in_the_source_are_refused(dataset):
    """Their labels would stand beside other images."""
    samples = OpenDataset.open(dataset).samples()
    with pytest.raises(ConfigError, match="not in it"):
        AugmentingLoader(open_source(pictures(seed=1)), "cifar10", batch_size=8, samples=samples)


def test_labels_are_part_of_what_decides_the_batches(dataset, tmp_path):
    """Equal images under other labels are another training."""
    images, labels = pictures()
    build(tmp_path / "other", (images, (labels + 1) % 3))
    with loader(dataset) as one, loader(tmp_path / "other") as other:
        assert one.samples.digest == other.samples.digest
        assert one.identity()["labels"] != other.identity()["labels"]


def test_rows_that_are_not_there_are_refused(dataset):
    """A negative row would be another image."""
    with loader(dataset) as batches, pytest.raises(IndexError, match=r"\[0, 60\)"):
        batches.images(np.array([-1]), np.array([0]))


def test_a_batch_by_itself_is_that_of_the_epoch(dataset):
    """In any order."""
    whole = list(loader(dataset).epoch(1))
    with loader(dataset) as batches:
        assert equal([batches.batch(1, index) for index in (5, 0)], [whole[5], whole[0]])
