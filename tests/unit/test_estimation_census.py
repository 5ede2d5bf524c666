"""Counts, and the shards that follow from them."""

from dataclasses import replace

import numpy as np
import pytest

from materialize import planning
from materialize.estimation.census import layouts, shared_out
from materialize.estimation.pools import census_of, is_quickly_scanned, listed_pool
from materialize.population import Division, ScanOptions, scan
from materialize.recipe import Recipe
from materialize.sources import open_source
from pipelines import load
from tests.jobs import photos


@pytest.fixture(scope="module")
def digits():
    return scan(open_source("digits"))


@pytest.mark.parametrize("recipe", [
    Recipe(copies=12, shard_bytes=4096),
    Recipe(copies=1, shard_bytes=5000, originals=True),
    Recipe(copies=3, shard_bytes=4096, storage="prefix"),
])  # fmt: skip
def test_groups_are_the_shards_that_a_build_plans(digits, recipe):
    """As many, with as many rows, and heads of as many bytes."""
    pipeline = load("digits")
    planned = sorted(
        (spec.kind, spec.num_rows, len(str(spec.to_json())))
        for task in planning.tasks(pipeline, recipe, digits)
        for spec in task.specs
    )
    found = []
    for layout in layouts(census_of(digits), pipeline, recipe):
        for group in layout.groups():
            facts = (group.spec.kind, group.spec.num_rows, len(str(group.spec.to_json())))
            found += [facts] * group.count
    assert sorted(found) == planned


def test_a_recipe_without_pixels_has_no_shards(digits):
    """Nothing is laid out."""
    assert layouts(census_of(digits), load("digits"), Recipe(copies=2, storage="recipe")) == ()


def test_a_count_keeps_the_shares_of_the_classes(digits):
    """And sums to what was asked for."""
    census = census_of(digits)
    many = census.counted(10**8)
    assert many.num_images == 10**8
    assert np.allclose(many.rows / 10**8, census.rows / census.num_images, atol=1e-8)


def test_a_hundred_million_images_are_laid_out_at_once(digits):
    """As groups: far fewer than there are shards."""
    census = census_of(digits).counted(10**8)
    (layout,) = layouts(census, load("digits"), Recipe(copies=20))
    groups = list(layout.groups())
    assert sum(group.count for group in groups) == layout.num_shards > 1000
    assert len(groups) < 50
    rows = sum(group.count * group.spec.num_rows for group in groups)
    assert rows == 20 * 10**8


def test_shares_sum_to_their_total():
    """Whatever the weights."""
    for total, weights in ((10, [1, 1, 1]), (7, [0, 3, 2]), (10**18 + 1, [10**9, 1])):
        assert shared_out(total, np.array(weights)).sum() == total


def test_a_listing_counts_splits_and_classes_without_a_scan(tmp_path):
    """Of a folder, both stand in the paths."""
    photos(tmp_path / "photos", 40)
    source = open_source(tmp_path / "photos")
    pool, census = listed_pool(source, ScanOptions())
    assert census.rows.sum(axis=0).tolist() == [20, 20]
    assert census.basis == "listing"
    assert is_quickly_scanned(pool, 40, 1)


def test_a_listing_that_is_to_be_cut_has_the_parts_of_the_cut(tmp_path):
    """Class by class, as the cut itself."""
    photos(tmp_path / "photos", 40)
    source = open_source(tmp_path / "photos")
    options = ScanOptions(division=Division.parse("0.8/0.1/0.1"))
    _, census = listed_pool(source, options)
    population = scan(source, options)
    assert np.array_equal(census.rows, census_of(population).rows)


def test_what_is_drawn_from_a_listing_is_what_a_scan_finds(tmp_path):
    """The same images, whichever way they are come by."""
    photos(tmp_path / "photos", 12)
    source = open_source(tmp_path / "photos")
    pool, _ = listed_pool(source, ScanOptions())
    drawn = pool.take("train", 0, 12)
    assert np.array_equal(drawn.rows.ids, scan(source).ids)


def test_runs_are_cut_by_the_largest_image(digits):
    """As the builder cuts them, though the census only knows an example of each size."""
    sizes = np.full(len(digits), 8, np.int32)
    sizes[5] = 4000
    odd = replace(digits, heights=sizes)
    pipeline, recipe = load("photos224"), Recipe(copies=1)
    expected = [task.num_rows for task in planning.tasks(pipeline, recipe, odd)]
    (layout,) = layouts(census_of(odd), pipeline, recipe)
    assert (layout.run_rows, layout.num_runs) == (expected[0], len(expected))


def test_a_listing_that_is_to_be_cut_can_be_drawn_from_in_every_split(tmp_path):
    """Who comes where is chance, so any record stands for any split."""
    photos(tmp_path / "photos", 40)
    options = ScanOptions(division=Division.parse("0.8/0.1/0.1"))
    pool, _ = listed_pool(open_source(tmp_path / "photos"), options)
    assert [len(pool.take(split, 0, 3).rows) for split in ("train", "val", "test")] == [3, 3, 3]
