"""Damage: found before a batch shows it, named, and made again in memory if that is asked for."""

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from materialize.errors import DamageWarning, ShardDamagedError, ShardMissingError
from materialize.loader.opening import LoaderOptions
from materialize.manifest import load_latest, shard_path
from materialize.sources import open_source
from materialize.stamps import STAMPS_FILE
from tests.jobs import flip_byte
from tests.loader_cases import build, equal, loader, pictures

ROOT = Path(__file__).parents[2]
CODECS = ["raw", "zstd"]


@pytest.fixture(params=CODECS)
def dataset(request, tmp_path):
    build(tmp_path / "dataset", codec=request.param)
    return tmp_path / "dataset"


def damage(directory, copy=0):
    """Change one pixel, or what encodes it, of one shard."""
    entry = next(e for e in load_latest(directory).shards if e.spec.copy == copy)
    path = shard_path(directory, entry.file)
    flip_byte(path, (entry.images_offset or path.stat().st_size // 2) + 5)
    return path


def with_options(directory, **options):
    options = LoaderOptions(threads=0, **options)
    return loader(directory, options=options)


def test_a_damaged_shard_is_an_error_that_names_it(dataset):
    """File, rows and remedy."""
    path = damage(dataset)
    with pytest.raises(ShardDamagedError, match=rf"{path.name}.*rows .*materialize repair"):
        list(loader(dataset).epoch(0))


def test_damage_elsewhere_does_not_stop_an_epoch(dataset):
    """Only what is read is looked at."""
    damage(dataset, copy=2)
    assert len(list(loader(dataset).epoch(0))) == 8


@pytest.mark.parametrize("hurt", [damage, lambda d: damage(d).unlink(),
                                  lambda d: damage(d).write_bytes(b"short")],
                         ids=["flipped", "missing", "truncated"])  # fmt: skip
def test_what_cannot_be_read_is_made_again_in_memory(dataset, hurt):
    """The same bytes, with a warning, and the file is left as it is."""
    expected = list(loader(dataset).epoch(0))
    hurt(dataset)
    batches = with_options(dataset, on_damage="regenerate", source=open_source(pictures()))
    with pytest.warns(DamageWarning, match="made again in memory"):
        found = list(batches.epoch(0))
    assert equal(found, expected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(batches.epoch(3))  # the same copy: nothing is made twice


def test_a_missing_shard_is_an_error_without_that(dataset):
    """Nothing is skipped."""
    damage(dataset).unlink()
    with pytest.raises(ShardMissingError):
        list(loader(dataset).epoch(0))


def test_nothing_is_made_from_another_source(dataset):
    """A source is known by its content."""
    damage(dataset)
    other = open_source(pictures(seed=1))
    batches = with_options(dataset, on_damage="regenerate", source=other)
    with pytest.raises(ShardDamagedError, match="nor be made again"):
        list(batches.epoch(0))


def test_what_was_found_whole_is_remembered(tmp_path):
    """The next loader does not hash it: damage that leaves the stamp alone would pass."""
    build(tmp_path / "dataset")
    with loader(tmp_path / "dataset") as batches:
        list(batches.epoch(0))
    stamps = (tmp_path / "dataset" / STAMPS_FILE).read_text()
    copies = [e for e in load_latest(tmp_path / "dataset").shards if e.spec.copy == 0]
    assert all(entry.file in stamps for entry in copies)


def test_a_change_is_noticed_after_all(tmp_path):
    """A write changes the file's time, and its stamp is not believed any more."""
    build(tmp_path / "dataset")
    with loader(tmp_path / "dataset") as batches:
        list(batches.epoch(0))
    damage(tmp_path / "dataset")
    with pytest.raises(ShardDamagedError):
        list(loader(tmp_path / "dataset").epoch(0))


def test_always_checks_every_epoch(tmp_path):
    """Damage between two epochs of one loader is noticed."""
    build(tmp_path / "dataset")
    batches = with_options(tmp_path / "dataset", verify="always")
    list(batches.epoch(0))
    damage(tmp_path / "dataset")
    with pytest.raises(ShardDamagedError):
        list(batches.epoch(3))


def test_never_checks_nothing(tmp_path):
    """Whoever asks for it gets the bytes that are there."""
    build(tmp_path / "dataset")
    damage(tmp_path / "dataset")
    assert len(list(with_options(tmp_path / "dataset", verify="never").epoch(0))) == 8


@pytest.mark.parametrize("content", [b"", b"[1, 2]", b'{"x": 1}', b'{"x": ["a", 1, 2]}'])
def test_a_broken_note_of_stamps_only_costs_time(tmp_path, content):
    """It is a convenience."""
    build(tmp_path / "dataset")
    (tmp_path / "dataset" / STAMPS_FILE).write_bytes(content)
    assert len(list(loader(tmp_path / "dataset").epoch(0))) == 8


TWO_EPOCHS_AT_ONCE = """
import sys
from materialize.loader.opening import LoaderOptions
from tests.loader_cases import equal, loader

options = LoaderOptions(verify="always", threads=2, prefetch=4)
expected = list(loader(sys.argv[1], batch_size=16).epoch(0))
batches = loader(sys.argv[1], batch_size=16, options=options)
for _ in range(20):
    older = batches.epoch(0)
    next(older)
    assert equal(list(batches.epoch(0)), expected)
    older.close()
"""


def test_checking_anew_while_an_older_epoch_is_read_is_safe(tmp_path):
    """Mappings of an epoch that is over go only when nobody reads them any more.

    In a process of its own, as reading one that is gone kills it; with leaves of a mebibyte, so
    that one thread still hashes when the other begins anew.
    """
    source = pictures(2000, 64)
    build(tmp_path / "dataset", source, copies=1, shard_bytes=2**21, originals=False)
    command = [sys.executable, "-c", TWO_EPOCHS_AT_ONCE, str(tmp_path / "dataset")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_single_batches_are_checked_anew_in_every_epoch(tmp_path):
    """As whole epochs are."""
    build(tmp_path / "dataset")
    batches = with_options(tmp_path / "dataset", verify="always")
    batches.batch(0, 0)
    damage(tmp_path / "dataset")
    with pytest.raises(ShardDamagedError):
        list(map(batches.batch, [3] * len(batches), range(len(batches))))
