"""What is planned depends on the recipe and the population, and is refused where it cannot fit."""

import errno
import os
import shutil
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest

from materialize import planning, room
from materialize.builder import build_dataset
from materialize.errors import StorageError
from materialize.population import scan
from materialize.recipe import Recipe
from materialize.sources import open_source
from pipelines import load

RECIPE = Recipe(copies=3, shard_bytes=16384)


@pytest.fixture(scope="module")
def digits():
    return scan(open_source("digits"))


def specs(population, recipe=RECIPE):
    tasks = planning.tasks(load("digits"), recipe, population)
    return [spec for task in tasks for spec in task.specs]


def test_other_source_bytes_are_another_shard_even_under_the_same_ids(digits):
    changed = replace(digits, digests=digits.digests[::-1].copy())
    assert not {s.digest() for s in specs(digits)} & {s.digest() for s in specs(changed)}
    assert planning.population_identity(digits) != planning.population_identity(changed)


def test_fewer_copies_are_a_part_of_more(digits):
    fewer = {s.digest() for s in specs(digits, replace(RECIPE, copies=1))}
    assert fewer < {s.digest() for s in specs(digits)}


def test_a_run_holds_no_more_than_can_be_decoded_at_once(digits, monkeypatch):
    monkeypatch.setattr(planning, "DECODED_RUN_BYTES", 10 * 64)
    assert max(spec.num_rows for spec in specs(digits)) == 10


def test_every_row_is_in_one_run(digits):
    rows = [(s.first_row, s.num_rows) for s in specs(digits) if s.copy == 0]
    covered = np.concatenate([np.arange(first, first + count) for first, count in rows])
    assert np.array_equal(covered, np.arange(len(digits)))


@pytest.mark.parametrize("workers", [1, 2, 3, 5, 8, 64])
def test_sharing_work_out_loses_and_repeats_nothing(digits, workers):
    work = list(planning.tasks(load("digits"), RECIPE, digits))
    shared = planning.shared_out(work, workers)
    names = sorted(spec.file_name() for task in shared for spec in task.specs)
    assert names == sorted(spec.file_name() for spec in specs(digits))


def test_what_does_not_fit_the_disk_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**6, 10**6 - 1000, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(StorageError, match="1,000 free"):
        build_dataset("digits", tmp_path / "out", "digits", RECIPE)
    assert not (tmp_path / "out").exists()


def test_decoded_images_beyond_the_budget_are_mapped_and_the_shards_stay_the_same(
    tmp_path, monkeypatch
):
    small = build_dataset("digits", tmp_path / "memory", "digits", RECIPE).manifest
    monkeypatch.setattr(room, "DECODED_BYTES_IN_MEMORY", 0)
    assert isinstance(room.room_for(100, np.dtype(np.uint8)), np.memmap)
    assert build_dataset("digits", tmp_path / "mapped", "digits", RECIPE).manifest == small


def test_no_room_for_decoded_images_is_an_error_and_not_a_dead_process(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(room, "DECODED_BYTES_IN_MEMORY", 0)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StorageError, match="No space left"):
        room.room_for(100, np.dtype(np.uint8))
