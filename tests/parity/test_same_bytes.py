"""However a job is run, its bytes are the same: the promise that everything else stands on."""

import hashlib
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from materialize import planning
from materialize.builder import (
    BuildOptions,
    build_dataset,
    finish_dataset,
    publish_manifest,
)
from materialize.errors import BuildIncompleteError, ConfigError, PlanConflictError
from materialize.executor import Crew, execute
from materialize.extension import extend_dataset
from materialize.job import Workshop
from materialize.manifest import load_latest, shard_path
from materialize.plans import claim, first_plan
from materialize.population import scan
from materialize.recipe import Recipe
from materialize.shards.codecs import CODECS
from materialize.shards.reader import ShardReader
from materialize.sources import open_source
from pipelines import load
from tests.jobs import RECIPE, build_digits, build_photos, contents, photos


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The digits, by one worker in one go: the bytes of manifest, plan and shards."""
    directory = tmp_path_factory.mktemp("one-go") / "out"
    build_digits(directory)
    return contents(directory)


def test_the_job_has_enough_shards_to_be_mixed_up(expected):
    assert sum(name.endswith(".h5") for name in expected) == 16


@pytest.mark.parametrize("backend", ["loky", "threading", "sequential"])
@pytest.mark.parametrize("workers", [1, 2, 3, 8])
def test_neither_the_number_nor_the_kind_of_workers_shows(tmp_path, expected, workers, backend):
    build_digits(tmp_path, crew=Crew(workers, backend))
    assert contents(tmp_path) == expected


@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_batch_size_does_not_show(tmp_path, expected, size):
    build_digits(tmp_path, batch_size=size)
    assert contents(tmp_path) == expected


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_order_and_grouping_of_tasks_do_not_show(tmp_path, expected, seed):
    source, pipeline = open_source("digits"), load("digits")
    population = scan(source)
    plan = first_plan(pipeline, RECIPE, population)
    whole = list(planning.tasks(pipeline, RECIPE, population))
    single = [replace(task, specs=(spec,)) for task in whole for spec in task.specs]
    order = np.random.default_rng(seed).permutation(len(single))
    for name in ("shards", "receipts"):
        (tmp_path / name).mkdir()
    claim(tmp_path, plan)
    done = execute(
        Workshop(tmp_path, source, pipeline, RECIPE.seed), [single[i] for i in order],
        lambda _: population, Crew(2, "threading"),
    )  # fmt: skip
    publish_manifest(tmp_path, plan, [shard.entry for shard in done])
    assert contents(tmp_path) == expected


def test_being_stopped_by_the_clock_and_resumed_does_not_show(tmp_path, expected, monkeypatch):
    seconds = itertools.count()
    clock = SimpleNamespace(**vars(time) | {"monotonic": lambda: next(seconds)})
    for module in ("production", "job"):
        monkeypatch.setattr(f"materialize.{module}.time", clock)
    stops = 0
    while stops < 16:  # every look at the clock finds it a second later
        try:
            build_digits(tmp_path, max_seconds=5)
            break
        except BuildIncompleteError:
            stops += 1
    assert 3 <= stops < 16
    assert contents(tmp_path) == expected


def test_a_limit_that_allows_nothing_is_an_error_and_not_an_endless_again(tmp_path):
    with pytest.raises(ConfigError, match="not enough"):
        build_digits(tmp_path, max_seconds=1e-9)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_parts_built_apart_and_finished_are_the_whole(tmp_path, expected, order):
    for part in order:
        report = build_digits(tmp_path, part=(part, 3))
        assert report.manifest is None
    finish_dataset(tmp_path)
    assert contents(tmp_path) == expected


def test_a_part_too_few_is_not_finished(tmp_path):
    build_digits(tmp_path, part=(1, 3))
    with pytest.raises(BuildIncompleteError, match="10 of 16 shards"):
        finish_dataset(tmp_path)


def test_copies_added_later_are_the_copies_of_one_go(tmp_path):
    build_digits(tmp_path / "extended", copies=2)
    extend_dataset(tmp_path / "extended", copies=4, options=BuildOptions(crew=Crew(2, "threading")))
    build_digits(tmp_path / "one-go", copies=4)
    extended, whole = (load_latest(tmp_path / name) for name in ("extended", "one-go"))
    assert extended.shards == whole.shards
    for entry in whole.shards:
        paths = (shard_path(tmp_path / name, entry.file) for name in ("extended", "one-go"))
        assert len({path.read_bytes() for path in paths}) == 1


def rows_by_address(directory):
    """(sample id, copy) → class name, draws and pixels of every stored row."""
    rows = {}
    for entry in load_latest(directory).shards:
        with ShardReader(shard_path(directory, entry.file), entry) as reader:
            for row in range(entry.spec.num_rows):
                rows[reader.sample_ids[row].tobytes(), entry.spec.copy] = (
                    reader.class_names[reader.labels[row]],
                    reader.draws[row].tobytes(),
                    reader.images[row].tobytes(),
                )
    return rows


def test_images_added_later_change_no_shard_and_give_the_content_of_one_go(tmp_path):
    source = photos(tmp_path / "source", 12)
    build_photos(source, tmp_path / "grown")
    before = contents(tmp_path / "grown")
    photos(source, 7, first=100)
    extend_dataset(tmp_path / "grown", copies=3)
    after = contents(tmp_path / "grown")
    assert {name: after[name] for name in before} == before
    build_photos(source, tmp_path / "one-go", copies=3)
    assert rows_by_address(tmp_path / "grown") == rows_by_address(tmp_path / "one-go")


def test_a_class_added_later_keeps_the_labels_that_are_stored(tmp_path):
    source = photos(tmp_path / "source", 6)
    build_photos(source, tmp_path / "out")
    (source / "0first").mkdir()
    (photos(tmp_path / "more", 1, first=70) / "a/070.png").rename(source / "0first/new.png")
    extend_dataset(tmp_path / "out")
    assert load_latest(tmp_path / "out").class_names == ("a", "b", "0first")
    names = {name for name, _, _ in rows_by_address(tmp_path / "out").values()}
    assert names == {"a", "b", "0first"}


def test_renaming_and_reordering_the_files_changes_nothing(tmp_path):
    source = photos(tmp_path / "source")
    build_photos(source, tmp_path / "before")
    for number, path in enumerate(sorted(source.rglob("*.png"), reverse=True)):
        path.rename(path.with_name(f"renamed-{number:02d}.png"))
    build_photos(source, tmp_path / "after", crew=Crew(2, "threading"))
    assert contents(tmp_path / "after") == contents(tmp_path / "before")


def test_two_builds_racing_on_one_output_both_succeed(tmp_path, expected):
    barrier = threading.Barrier(2)

    def build():
        barrier.wait()
        return build_digits(tmp_path, crew=Crew(2, "threading"))

    with ThreadPoolExecutor(2) as pool:
        first, second = (future.result() for future in [pool.submit(build) for _ in range(2)])
    assert first.manifest == second.manifest
    assert contents(tmp_path) == expected


def test_of_two_different_plans_on_one_output_one_wins_and_the_other_is_told(tmp_path):
    barrier = threading.Barrier(2)

    def build(seed):
        barrier.wait()
        recipe = replace(RECIPE, seed=seed)
        try:
            return build_dataset("digits", tmp_path / "out", "digits", recipe).manifest
        except PlanConflictError as error:
            return error

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(build, (1, 2)))
    (winner,) = (r for r in results if not isinstance(r, PlanConflictError))
    (loser,) = (r for r in results if isinstance(r, PlanConflictError))
    assert "seed" in str(loser)
    build_dataset("digits", tmp_path / "alone", "digits", replace(RECIPE, seed=winner.seed))
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")


@pytest.mark.parametrize("codec", sorted(CODECS.keys() - {"raw"}))
def test_encoded_shards_are_the_same_bytes_for_any_crew(tmp_path, codec):
    recipe = Recipe(copies=1, shard_bytes=16384, codec=codec, parameters="full", originals=True)
    for name, crew in {"one": Crew(1), "many": Crew(3, "threading")}.items():
        build_dataset("digits", tmp_path / name, "digits", recipe, options=BuildOptions(crew=crew))
    assert contents(tmp_path / "one") == contents(tmp_path / "many")


def test_another_seed_gives_other_bytes(tmp_path, expected):
    build_dataset("digits", tmp_path, "digits", replace(RECIPE, seed=1))
    digests = {hashlib.sha256(data).digest() for data in contents(tmp_path).values()}
    assert not digests & {hashlib.sha256(data).digest() for data in expected.values()}
