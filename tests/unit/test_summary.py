"""The summary's account adds up to what is on disk."""

import json

import numpy as np
import pytest

from materialize.builder import build_dataset
from materialize.commands.tables import print_summary
from materialize.executor import Crew
from materialize.production import BuildOptions
from materialize.recipe import Recipe
from materialize.sources.targets import TargetSchema
from materialize.summary import summarize
from tests.target_cases import TargetedArrays


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    rng = np.random.default_rng(0)
    train = rng.integers(0, 256, (40, 16, 16, 3), np.uint8)
    test = rng.integers(0, 256, (10, 16, 16, 3), np.uint8)
    source = {"train": (train, np.arange(40) % 4), "test": (test, np.arange(10) % 4)}
    recipe = Recipe(copies=3, seed=7, originals=True)
    out = tmp_path_factory.mktemp("summary") / "out"
    options = BuildOptions(crew=Crew(backend="sequential"))
    report = build_dataset(source, out, "cifar10", recipe, options=options)
    return report, summarize(report, report.manifest)


def test_stored_bytes_are_the_bytes_of_the_files(built):
    report, summary = built
    files = [path for path in report.directory.rglob("*") if path.is_file()]
    assert summary.account.stored_bytes == sum(path.stat().st_size for path in files)
    assert summary.account.allocated_bytes == sum(p.stat().st_blocks * 512 for p in files)


def test_files_of_the_users_own_are_not_counted(built):
    report, summary = built
    (report.directory / "notes.txt").write_text("x" * 1000)
    assert summarize(report, report.manifest).account == summary.account
    (report.directory / "notes.txt").unlink()


def test_logical_bytes_are_images_times_pixels(built):
    _, summary = built
    pixels = 16 * 16 * 3
    assert summary.account.source_bytes == 50 * pixels
    assert summary.account.logical_copies_bytes == 3 * 40 * pixels
    assert summary.account.logical_originals_bytes == 50 * pixels
    assert summary.account.stored_pixels_bytes == (3 * 40 + 50) * pixels


def test_the_classes_are_counted_by_split(built):
    _, summary = built
    assert summary.images_by_split == {"train": 40, "test": 10}
    assert summary.images_by_class["1"] == {"train": 10, "test": 3}


def test_the_speed_is_told_only_if_every_shard_was_written(built):
    report, summary = built
    assert summary.images_per_s == pytest.approx(170 / report.seconds)
    again = build_again(report)
    assert again.num_built == 0
    assert again.images_per_s is None


def build_again(report):
    from dataclasses import replace

    return summarize(replace(report, num_built=0, timings_s={}), report.manifest)


def test_masks_are_not_counted_as_images(tmp_path):
    source = TargetedArrays(6, schema=TargetSchema(None, ("mask",)))
    report = build_dataset(source, tmp_path / "out", "cifar10", Recipe(copies=2))
    assert summarize(report, report.manifest).num_images_written == 2 * 6


def test_the_summary_is_json(built):
    _, summary = built
    facts = json.loads(json.dumps(summary.to_json()))
    assert facts["manifest_digest"] == summary.manifest_digest
    assert facts["account"]["stored_bytes"] == summary.account.stored_bytes


def test_the_tables_name_every_kind_of_byte(built, capsys):
    print_summary(built[1])
    said = capsys.readouterr().out
    for name in (
        "source",
        "copies, decoded",
        "stored pixels",
        "container",
        "allocated",
        "metadata",
    ):
        assert f"\n{name}" in said
    assert built[1].manifest_digest in said
    assert "materialize verify" in said
