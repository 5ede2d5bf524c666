"""Loaders of balanced datasets: the shards, the prefix and the source show the same."""

import numpy as np
import pytest

from materialize.audit.verification import verify_dataset
from materialize.builder import build_dataset
from materialize.errors import ConfigError
from materialize.loader.augmenting import AugmentingLoader, PrefixLoader
from materialize.loader.opening import LoaderOptions, OpenDataset
from materialize.loader.stream import StreamingLoader
from materialize.recipe import Recipe
from materialize.removal import remove_samples
from materialize.transcoding import transcode_dataset
from tests.jobs import copied
from tests.loader_cases import PLAIN, SEED, build, equal, loader, shown
from tests.target_cases import TargetedArrays

COUNTS = (20, 7, 3)
"""Images of each class."""


def unequal():
    """Noise in three classes, most of it in the first."""
    images = np.random.default_rng(0).integers(0, 256, (sum(COUNTS), 12, 12, 3), np.uint8)
    return images, np.repeat(np.arange(3), COUNTS)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    place = tmp_path_factory.mktemp("balanced") / "out"
    build(place, unequal(), balance="max")
    return place


def of_classes(loader, epoch):
    return np.bincount(shown(loader.epoch(epoch))[1], minlength=3).tolist()


@pytest.mark.parametrize("codec", ["raw", "zstd"])
@pytest.mark.parametrize("shuffle", ["global", "window"])
def test_the_shards_show_what_the_source_does(tmp_path, codec, shuffle):
    build(tmp_path / "out", unequal(), balance="max", balance_cap=4, codec=codec)
    options = LoaderOptions(threads=0, shuffle=shuffle, block_rows=4)
    fly = AugmentingLoader(
        unequal(), "cifar10", batch_size=8, seed=3, augmentation_seed=SEED, balance="max",
        balance_cap=4, options=options,
    )  # fmt: skip
    with fly, loader(tmp_path / "out", options=options) as stored:
        assert of_classes(stored, 0) == [20, 20, 12]
        for epoch in range(3):
            assert equal(stored.epoch(epoch), fly.epoch(epoch))


def test_after_the_stored_copies_they_come_again(dataset):
    with loader(dataset) as stored:
        (rows, copies), (again, others) = (shown(stored.epoch(epoch))[2:] for epoch in (1, 4))
    pairs = zip(rows.tolist(), copies.tolist(), strict=True)
    assert sorted(pairs) == sorted(zip(again.tolist(), others.tolist(), strict=True))


def test_so_does_the_prefix(tmp_path, dataset):
    out = copied(dataset, tmp_path)
    transcode_dataset(out, storage="prefix", source=unequal())
    with (
        loader(dataset) as stored,
        PrefixLoader(out, batch_size=8, seed=3, options=LoaderOptions(threads=0)) as prefix,
    ):
        assert all(equal(stored.epoch(epoch), prefix.epoch(epoch)) for epoch in range(3))


def test_folds_and_removal_keep_the_classes_even(tmp_path, dataset):
    """And the shards show what the source does there as well."""
    out = copied(dataset, tmp_path)
    opened = OpenDataset.open(out)
    ids = [bytes(one).hex() for one in opened.samples().ids]
    remove_samples(out, [ids[4], ids[11]])
    opened = OpenDataset.open(out)
    source, population = opened.with_source(unequal())
    for fold in range(3):
        training, held_out = opened.fold(fold, folds=3)
        assert held_out.rates is None
        fly = AugmentingLoader(
            source, "cifar10", batch_size=8, seed=3, augmentation_seed=SEED,
            population=population, samples=training, options=LoaderOptions(threads=0),
        )  # fmt: skip
        with fly, loader(out, samples=training) as stored:
            assert of_classes(stored, 1) == [20, 20, 20]
            assert all(equal(stored.epoch(epoch), fly.epoch(epoch)) for epoch in range(3))


def test_untouched_images_are_balanced_too(dataset):
    """What is trained without augmentation sees the same images in the same batches."""
    with loader(dataset) as stored, loader(dataset, copies=(-1,)) as untouched:
        _, _, rows, _ = shown(stored.epoch(1))
        _, _, same, copies = shown(untouched.epoch(1))
    assert np.array_equal(rows, same)
    assert set(copies.tolist()) == {-1}


def test_all_copies_are_shown_once(dataset):
    with loader(dataset, per_epoch="all") as stored:
        _, labels, rows, copies = shown(stored.epoch(0))
        assert len(stored.samples) < stored.num_places == len(rows)
    assert np.bincount(labels).tolist() == [60, 60, 60]
    assert len({*zip(rows.tolist(), copies.tolist(), strict=True)}) == 180


def test_who_is_scored_comes_once(dataset):
    samples = OpenDataset.open(dataset).samples().each_once()
    with loader(dataset, copies=(-1,), samples=samples, options=PLAIN) as stored:
        assert shown(stored.epoch(0))[2].tolist() == list(range(30))


def test_a_state_belongs_to_its_balance(tmp_path, dataset):
    build(tmp_path / "out", unequal())
    with loader(dataset) as stored, loader(tmp_path / "out") as other:
        state = stored.state_dict()
        stored.load_state_dict(state)
        with pytest.raises(ConfigError, match="state: expected balance None"):
            other.load_state_dict(state)


def test_a_part_without_a_stored_copy_is_refused(tmp_path):
    build(tmp_path / "out", unequal(), balance=1, copies=1)
    samples = OpenDataset.open(tmp_path / "out").samples()
    unseen = samples.taken(samples.rates.num_draws(1) == 0)
    with pytest.raises(ConfigError, match="expected a stored copy of class '0'"):
        StreamingLoader(tmp_path / "out", batch_size=4, samples=unseen)


def test_more_copies_than_stored_are_refused(dataset):
    with pytest.raises(ConfigError, match="expected at most the 3 that are stored, got 4"):
        loader(dataset, copies=4)


def test_a_damaged_shard_is_made_again_in_memory(tmp_path, dataset):
    out = copied(dataset, tmp_path)
    entry = max(OpenDataset.open(out).standing.manifest.shards, key=lambda e: e.spec.copy)
    (out / "shards" / entry.file).unlink()
    options = LoaderOptions(threads=0, on_damage="regenerate", source=unequal())
    with loader(dataset) as whole, loader(out, options=options) as stored:
        with pytest.warns(match="made again in memory"):
            again = list(stored.epoch(2))
        assert equal(again, whole.epoch(2))


def test_masks_and_objects_are_balanced_with_their_images(tmp_path):
    """Whatever a row of a shard has beside its pixels is that row's."""
    source = TargetedArrays(count=17)
    recipe = Recipe(
        copies=3, seed=SEED, shard_bytes=2**14, balance={"0": 12, "1": 20}, codec="zstd"
    )
    build_dataset(source, tmp_path / "out", "cifar10", recipe)
    fly = AugmentingLoader(
        source, "cifar10", batch_size=8, seed=3, augmentation_seed=SEED,
        balance={"0": 12, "1": 20}, options=LoaderOptions(threads=0),
    )  # fmt: skip
    with fly, loader(tmp_path / "out") as stored:
        for epoch in range(3):
            pairs = list(zip(stored.epoch(epoch), fly.epoch(epoch), strict=True))
            assert sum(len(batch.labels) for batch, _ in pairs) == 32
            for one, other in pairs:
                assert np.array_equal(one.images, other.images)
                assert np.array_equal(one.masks, other.masks)
                assert np.array_equal(one.objects.points, other.objects.points)
                assert np.array_equal(one.fields["weight"], other.fields["weight"])
    assert not verify_dataset(tmp_path / "out", depth="pixels", source=source).damages
