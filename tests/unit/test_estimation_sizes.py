"""Estimated bytes against the bytes of the build."""

from dataclasses import replace

import numpy as np
import pytest

from materialize.assembly import resized
from materialize.builder import build_dataset
from materialize.errors import SizeMismatchError
from materialize.estimation.encoding import Bench
from materialize.estimation.intervals import Interval
from materialize.estimation.pools import Drawn
from materialize.estimation.sampling import Effort
from materialize.loader.opening import LoaderOptions
from materialize.loader.stream import StreamingLoader
from materialize.population import scan
from materialize.recipe import Recipe
from materialize.sources import open_source
from materialize.sources.targets import TargetSchema
from pipelines import from_dict, load
from tests.estimation_cases import FEW, estimated, excerpt, forecast, shard_bytes
from tests.target_cases import KINDS, SIZE, TargetedArrays

SMALL = Recipe(copies=12, shard_bytes=8192)


@pytest.mark.parametrize("recipe", [
    SMALL,
    replace(SMALL, originals=True, parameters="full"),
    replace(SMALL, storage="prefix"),
    replace(SMALL, storage="recipe"),
])  # fmt: skip
def test_raw_shards_are_known_to_the_byte(tmp_path, recipe):
    """Without rendering anything: pixels, columns and structure."""
    found = estimated(recipe)
    built = shard_bytes(tmp_path / "dataset", recipe)
    assert found.stored_bytes == Interval.exact(sum(built.values()))
    assert found.num_shards == len(built)
    assert found.num_sampled == 0


@pytest.mark.parametrize("codec", ["gzip", "blosc2", "png", "jpeg-90"])
def test_a_dataset_that_was_seen_entirely_is_known_to_the_byte(tmp_path, codec):
    """Encoded shards too."""
    recipe = replace(SMALL, copies=2, codec=codec)
    found = estimated(recipe)
    built = shard_bytes(tmp_path / "dataset", recipe)
    assert found.stored_bytes == Interval.exact(sum(built.values()))
    assert found.num_sampled == 1797


@pytest.mark.parametrize("codec", ["gzip", "bitshuffle-zstd", "png"])
def test_the_interval_of_a_sample_holds_the_bytes_of_the_build(tmp_path, codec):
    """Of the digits, a fifth of which are looked at, in parts of a block."""
    recipe = Recipe(copies=3, codec=codec)
    found = estimated(recipe, effort=FEW)
    built = sum(shard_bytes(tmp_path / "dataset", recipe).values())
    assert found.num_sampled < 400
    assert not found.stored_bytes.is_exact
    assert found.stored_bytes.contains(built)
    assert found.stored_bytes.share < 0.04


def test_real_photographs_are_known_within_their_interval(tmp_path, real_data):
    """The first look at flowers, of ten blocks, is enough."""
    source = excerpt(real_data / "flowers128", 400)
    pipeline = resized(load("cifar10"), "128x128")
    recipe = Recipe(copies=1)
    codecs = ("gzip", "png")
    known = forecast(source, pipeline, recipe, codecs, Effort())
    assert known.sample.num_images < 400
    for codec in codecs:
        chosen = replace(recipe, codec=codec)
        build_dataset(source, tmp_path / codec, pipeline, chosen)
        built = sum(path.stat().st_size for path in (tmp_path / codec / "shards").iterdir())
        assert known.stored_bytes(chosen).contains(built)


@pytest.mark.parametrize("codec", ["raw", "gzip"])
def test_classes_and_splits_sum_to_the_whole(codec):
    """Values do, whatever their intervals."""
    found = estimated(Recipe(copies=2, codec=codec, originals=True), effort=FEW)
    for parts in (found.by_class, found.by_split):
        total = sum(interval.value for interval in parts.values())
        assert total == pytest.approx(found.stored_bytes.value, rel=1e-9)
    assert len(found.by_class) == 10


def test_a_sample_is_mixed_as_the_copies_that_it_shows(tmp_path):
    """Some of them, which need not have the first among them."""
    source = excerpt("digits", 20)
    pipeline = from_dict({"step": [{"transform": "mixup"}]}, "the test")
    recipe = Recipe(copies=3)
    rows = scan(source)
    found = Bench(pipeline, recipe).rendered(Drawn(source, rows), ["copy"], [2])
    build_dataset(source, tmp_path, pipeline, recipe)
    stored = StreamingLoader(tmp_path, batch_size=20, options=LoaderOptions(shuffle="none"))
    assert np.array_equal(found[0].images, next(iter(stored.epoch(2))).images)


def test_another_seed_draws_another_sample():
    """And the same seed the same one."""
    recipe = Recipe(copies=2, codec="png")
    values = [
        estimated(recipe, effort=replace(FEW, seed=seed)).stored_bytes.value for seed in (1, 1, 2)
    ]
    assert values[0] == values[1] != values[2]


def test_one_sample_tells_of_any_number_of_copies():
    """Pixels grow with them; structure is computed."""
    known = forecast(open_source("digits"), load("digits"), Recipe(copies=4), ("png",), FEW)
    one, three = (known.stored_bytes(Recipe(copies=n, codec="png")).value for n in (1, 3))
    assert three == pytest.approx(3 * one, rel=1e-3)


def test_images_of_several_sizes_are_refused_as_a_build_refuses_them(real_data):
    """The message says what to add."""
    source = excerpt(real_data / "imagenet_1000_samples", 8)
    with pytest.raises(SizeMismatchError, match="resize"):
        estimated(Recipe(copies=1), source=source, pipeline="cifar10")


@pytest.mark.parametrize("codec", ["raw", "png"])
def test_masks_and_objects_are_part_of_an_estimate(tmp_path, codec):
    recipe = Recipe(copies=3, codec=codec, originals=True, shard_bytes=6 * SIZE * SIZE * 3)
    masks = TargetedArrays(20, schema=TargetSchema(None, ("mask", "rim")))
    both = TargetedArrays(20, schema=TargetSchema(KINDS, ("mask",)))
    for number, source in enumerate((masks, both)):
        estimate = estimated(recipe, source=source, pipeline="cifar10")
        sizes = shard_bytes(tmp_path / str(number), recipe, source=source, pipeline="cifar10")
        stored, found = estimate.stored_bytes, sum(sizes.values())
        assert estimate.num_shards == len(sizes)
        assert stored.low <= found <= stored.high
        if codec == "raw" and source is masks:
            assert stored.value == found
        total = sum(interval.value for interval in estimate.by_class.values())
        assert abs(total - stored.value) < 1
