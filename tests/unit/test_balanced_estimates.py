"""What is planned for balanced classes is what is built."""

import json

import numpy as np
import pytest

from materialize.builder import build_dataset
from materialize.errors import ConfigError
from materialize.estimation.assembly import Inquiry
from materialize.estimation.limits import Limits
from materialize.estimation.planner import PlanExtent, plan_dataset
from materialize.inventory import ESTIMATE_FILE
from materialize.manifest import load_latest
from materialize.production import BuildOptions
from materialize.recipe import Recipe
from tests.loader_cases import build

COUNTS = (40, 9, 4)


def unequal():
    """Three classes of unequal size; images of one are plain, and compress well."""
    images = np.random.default_rng(0).integers(0, 256, (sum(COUNTS), 12, 12, 3), np.uint8)
    labels = np.repeat(np.arange(3), COUNTS)
    images[labels == 2] //= 64
    return images, labels


def planned(codec="raw", copies=3, extent=PlanExtent(), **recipe):
    options = Recipe(copies=copies, seed=5, codec=codec, shard_bytes=4320, **recipe)
    return plan_dataset(unequal(), "cifar10", options, Inquiry(), extent=extent).estimate


@pytest.mark.parametrize("originals", [False, True])
@pytest.mark.parametrize(
    ("balance", "cap"), [("max", None), ("max", 3), (7, None), ({"2": 50}, None)]
)
def test_raw_shards_are_known_to_the_byte(tmp_path, balance, cap, originals):
    recipe = {"balance": balance, "balance_cap": cap, "originals": originals}
    found = planned(**recipe)
    build(tmp_path / "out", unequal(), **recipe)
    totals = load_latest(tmp_path / "out").totals
    assert found.stored_bytes.is_exact
    assert found.stored_bytes.value == totals.num_bytes
    assert found.num_shards == totals.num_shards
    assert sum(part.value for part in found.by_class.values()) == totals.num_bytes


@pytest.mark.parametrize("codec", ["raw", "png"])
def test_a_build_is_estimated_where_a_class_shows_fewer_than_it_has(tmp_path, codec):
    """Of a population that is balanced already."""
    recipe = Recipe(copies=3, balance=7, codec=codec)
    options = BuildOptions(limits=Limits())
    report = build_dataset(unequal(), tmp_path, "cifar10", recipe, options=options)
    found = json.loads((tmp_path / ESTIMATE_FILE).read_text())["stored_bytes"]
    assert found["low"] <= report.manifest.totals.num_bytes <= found["high"]


@pytest.mark.parametrize("codec", ["zstd", "png"])
def test_encoded_shards_lie_within_the_interval(tmp_path, codec):
    """Though the class that is shown most often is the one that takes least."""
    found = planned(codec, balance="max")
    build(tmp_path / "out", unequal(), balance="max", originals=False, codec=codec)
    assert found.stored_bytes.contains(load_latest(tmp_path / "out").totals.num_bytes)


def test_an_index_gives_the_shards_of_as_many_images(tmp_path):
    build(tmp_path / "out", unequal(), balance="max", originals=False)
    manifest = load_latest(tmp_path / "out")
    extent = PlanExtent(index=tmp_path / "out")
    found = planned(balance="max", extent=extent)
    pixels = sum(entry.images_stored_bytes for entry in manifest.shards)
    columns = sum(c.num_bytes for e in manifest.shards for c in e.spec.columns().values())
    assert found.columns_bytes == columns
    assert found.stored_bytes.value - found.columns_bytes - found.container_bytes == pixels


def test_images_without_classes_are_refused():
    with pytest.raises(ConfigError, match="balance: expected images with classes"):
        plan_dataset(unequal()[0], "cifar10", Recipe(copies=2, balance="max"))
