"""Shards, on the fly and from the stored originals: the same batches, bit for bit."""

import pytest

from materialize.builder import build_dataset
from materialize.loader.augmenting import AugmentingLoader, PrefixLoader
from materialize.loader.opening import LoaderOptions
from materialize.loader.stream import StreamingLoader
from materialize.population import ScanOptions, scan
from materialize.recipe import Recipe
from materialize.sources import open_source
from pipelines import from_dict
from tests.jobs import photos
from tests.loader_cases import SEED, build, equal, loader, pictures

SHUFFLES = [{"shuffle": "global"}, {"shuffle": "none"},
            {"shuffle": "window", "block_rows": 8, "window_blocks": 2}]  # fmt: skip


@pytest.mark.parametrize("shuffle", SHUFFLES, ids=lambda s: s["shuffle"])
@pytest.mark.parametrize("threads", [0, 2])
def test_three_arms_show_the_same_epochs(tmp_path, shuffle, threads):
    """Epoch e is copy e, from wherever."""
    build(tmp_path / "dataset")
    options = LoaderOptions(threads=threads, **shuffle)
    source = open_source(pictures())
    on_the_fly = AugmentingLoader(
        source, "cifar10", batch_size=8, seed=3, augmentation_seed=SEED, options=options
    )
    prefix = PrefixLoader(tmp_path / "dataset", batch_size=8, seed=3, options=options)
    stored = loader(tmp_path / "dataset", options=options)
    for epoch in range(3):
        expected = list(stored.epoch(epoch))
        assert equal(list(on_the_fly.epoch(epoch)), expected)
        assert equal(list(prefix.epoch(epoch)), expected)


def test_photographs_that_are_resized_first(tmp_path):
    """Decoded anew in every epoch, or stored after the resize."""
    source = open_source(photos(tmp_path / "photos", size=(21, 17)))
    steps = [
        {"transform": "resize", "height": 12, "width": 12},
        {"transform": "rotation", "max_deg": 9},
    ]
    pipeline = from_dict({"step": steps}, "the test")
    recipe = Recipe(copies=2, seed=SEED, originals=True, shard_bytes=4096)
    build_dataset(source, tmp_path / "dataset", pipeline, recipe)
    stored = StreamingLoader(tmp_path / "dataset", batch_size=5)
    prefix = PrefixLoader(tmp_path / "dataset", batch_size=5)
    population = scan(source, ScanOptions())
    for keep in (False, True):
        on_the_fly = AugmentingLoader(
            source, pipeline, batch_size=5, augmentation_seed=SEED, population=population,
            keep_decoded=keep,
        )  # fmt: skip
        for epoch in range(2):
            expected = list(stored.epoch(epoch))
            assert equal(list(on_the_fly.epoch(epoch)), expected)
            assert equal(list(prefix.epoch(epoch)), expected)


def test_a_fold_is_the_same_in_every_arm(tmp_path):
    """The samples decide the order, not where they were found."""
    from materialize.loader.opening import OpenDataset

    build(tmp_path / "dataset")
    training, _ = OpenDataset.open(tmp_path / "dataset").fold(1, folds=3)
    source = open_source(pictures())
    on_the_fly = AugmentingLoader(
        source, "cifar10", batch_size=8, seed=3, augmentation_seed=SEED, samples=training
    )
    expected = list(loader(tmp_path / "dataset", samples=training).epoch(2))
    assert equal(list(on_the_fly.epoch(2)), expected)
