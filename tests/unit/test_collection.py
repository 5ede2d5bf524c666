"""A collection removes what the newest manifest does not need, and nothing else."""

import errno
import json
import os
import platform
import subprocess

import pytest

from materialize import atomic, collection, production, system_calls
from materialize.audit.verification import verify_dataset
from materialize.builder import build_dataset
from materialize.cli import main
from materialize.collection import collect_garbage
from materialize.errors import (
    BuildIncompleteError,
    ManifestMissingError,
    PlanConflictError,
    ShardMissingError,
    StorageError,
)
from materialize.extension import extend_dataset
from materialize.loader.opening import OpenDataset
from materialize.loader.stream import StreamingLoader
from materialize.manifest import load_latest
from materialize.metadata.about import About
from materialize.metadata.card import write_card
from materialize.metadata.croissant import write_metadata
from materialize.production import BuildOptions
from materialize.recipe import Recipe
from materialize.removal import remove_samples
from materialize.stamps import read_stamps
from materialize.transcoding import transcode_dataset
from tests.dataset_states import shards_of, state
from tests.jobs import photos


@pytest.fixture
def out(tmp_path):
    """Raw shards of two copies, superseded by compressed ones."""
    source = photos(tmp_path / "source", 12)
    recipe = Recipe(copies=2, shard_bytes=4096, originals=True)
    build_dataset(source, tmp_path / "out", "cifar10", recipe)
    transcode_dataset(tmp_path / "out", codec="zstd")
    return tmp_path / "out"


def files(directory):
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def test_only_what_the_newest_manifest_names_is_left(out):
    first = load_latest(out, pinned=load_latest(out).parent)
    report = collect_garbage(out)
    assert {path.name for path in (out / "shards").iterdir()} == set(shards_of(out))
    assert len(list((out / "receipts").iterdir())) == len(shards_of(out))
    shards = sum(item.num_bytes for item in report.items if item.kind == "shard")
    assert shards == first.totals.num_bytes
    assert verify_dataset(out, depth="pixels").is_intact


def test_a_second_collection_finds_nothing(out):
    collect_garbage(out)
    assert collect_garbage(out).items == ()


def test_a_dry_run_says_what_the_next_one_does(out):
    before, named = files(out), files(out)
    said = collect_garbage(out, dry_run=True)
    assert files(out) == before
    done = collect_garbage(out)
    assert done.items == said.items
    assert named - files(out) == {item.path for item in done.items}


def test_a_dataset_that_only_grew_has_nothing_to_collect(tmp_path):
    source = photos(tmp_path / "source", 8)
    build_dataset(source, tmp_path / "out", "cifar10", Recipe(copies=1, shard_bytes=4096))
    photos(source, 4, first=20)
    extend_dataset(tmp_path / "out", copies=2)
    OpenDataset.open(tmp_path / "out")
    assert collect_garbage(tmp_path / "out").items == ()


def test_foreign_files_stay(out):
    (out / "notes.txt").write_text("mine")
    (out / "run" / "shards").mkdir(parents=True)
    (out / "run" / "shards" / "weights.h5").write_text("mine")
    (out / "shards" / "mine.h5").write_text("mine")
    collect_garbage(out)
    assert {"notes.txt", "run/shards/weights.h5", "shards/mine.h5"} < files(out)


def test_temporaries_of_dead_writers_go_and_those_of_living_ones_stay(out):
    child = subprocess.Popen(["true"])
    child.wait()
    for pid in (child.pid, os.getpid()):
        (out / "shards" / f".tmp-{platform.node()}-{pid}-0a").write_bytes(b"half")
    collect_garbage(out)
    left = [path.name for path in (out / "shards").glob(".tmp-*")]
    assert left == [f".tmp-{platform.node()}-{os.getpid()}-0a"]


def test_what_an_unfinished_plan_may_need_stays(out):
    before = files(out)
    extend_dataset(out, copies=3, options=BuildOptions(part=(1, 2)))
    begun = files(out)
    report = collect_garbage(out)
    assert report.pending_plan == "plan-000003.json"
    assert files(out) == begun > before
    extend_dataset(out, copies=3)
    collect_garbage(out)
    assert verify_dataset(out, depth="pixels").is_intact


def test_a_job_that_begins_meanwhile_is_left_alone(out, monkeypatch):
    """Its plan may count on shards that looked superseded."""

    def begin(*_):
        (out / "plan-000003.json").write_text("{}")
        return set()

    monkeypatch.setattr("materialize.collection._outdated_statistics", begin)
    before = state(out)
    with pytest.raises(PlanConflictError, match="Nothing was removed"):
        collect_garbage(out)
    assert before.items() < state(out).items()


@pytest.mark.parametrize("step", ["set_aside", "put_back"])
def test_a_job_that_counts_on_a_superseded_shard_keeps_it(out, monkeypatch, step):
    """It claims and publishes a plan after the first look, before files lost their names."""
    plain, jobs = collection.set_aside, [lambda: transcode_dataset(out, codec="raw")]

    def set_aside(paths):
        while jobs and step == "set_aside":
            jobs.pop()()
        aside = plain(paths)
        if jobs:  # a file of its own stands where one was set aside
            jobs.pop()()
        return aside

    monkeypatch.setattr(collection, "set_aside", set_aside)
    with pytest.raises(PlanConflictError, match="Nothing was removed"):
        collect_garbage(out)
    assert load_latest(out).number == 3
    assert verify_dataset(out, depth="pixels").is_intact
    assert not list(out.rglob(".tmp-*"))
    collect_garbage(out)
    assert {path.name for path in (out / "shards").iterdir()} == set(shards_of(out))


def test_a_job_that_begins_after_the_second_look_writes_its_own(out, monkeypatch):
    """It does not find what is about to be removed."""
    plain, written = collection.remove_files, []

    def remove_files(paths):
        written.append(transcode_dataset(out, codec="raw").num_written)
        plain(paths)

    monkeypatch.setattr(collection, "remove_files", remove_files)
    collect_garbage(out)
    assert written == [len(load_latest(out).shards)]
    assert load_latest(out).number == 3
    assert verify_dataset(out, depth="pixels").is_intact


def test_files_that_cannot_be_set_aside_keep_their_names(out, monkeypatch):
    """All of them, where the file system refuses the third."""
    calls, plain = [], system_calls.rename

    def rename(source, target):
        calls.append(source)
        if len(calls) == 3:
            raise OSError(errno.EACCES, "denied")
        plain(source, target)

    before = files(out)
    monkeypatch.setattr(system_calls, "rename", rename)
    with pytest.raises(StorageError):
        collect_garbage(out)
    assert files(out) == before


def test_metadata_of_an_earlier_manifest_goes_and_that_of_the_newest_stays(out):
    """With all its tables; a card is left to whoever wrote it."""
    about = About(licence="CC0-1.0", creator=("somebody",), date="2026-01-01")
    write_metadata(out, about)
    write_card(out, about)
    collect_garbage(out)
    assert {"croissant.json", "croissant-records.csv", "README.md"} < files(out)
    remove_samples(out, ["a/004.png"])
    assert collect_garbage(out).by_kind()["metadata"][0] == 2
    assert "README.md" in files(out)
    assert not list(out.glob("croissant*"))


@pytest.fixture
def collected_meanwhile(monkeypatch):
    """Makes some files go, once, while the next job writes its shards."""
    victims, plain = [], production.execute

    def execute(*arguments):
        done = plain(*arguments)
        while victims:
            victims.pop().unlink()
        return done

    monkeypatch.setattr(production, "execute", execute)
    return victims


def test_a_population_that_was_collected_meanwhile_is_stored_again(out, collected_meanwhile):
    """A collection may have begun before the plan that names it was claimed."""
    collected_meanwhile += out.glob("population-*")
    transcode_dataset(out, codec="gzip")
    assert verify_dataset(out).is_intact


def test_shards_that_were_collected_meanwhile_are_not_published(out, collected_meanwhile):
    """Those of an earlier codec, which the plan found standing."""
    first = load_latest(out, pinned=load_latest(out).parent)
    collected_meanwhile.append(out / "shards" / first.shards[2].file)
    with pytest.raises(BuildIncompleteError, match="collected meanwhile"):
        transcode_dataset(out, codec="raw")
    assert transcode_dataset(out, codec="raw").num_written == 1
    assert verify_dataset(out).is_intact


def test_a_pinned_manifest_says_that_its_shards_were_collected(out):
    first = load_latest(out).parent
    assert len(OpenDataset.open(out, pinned=first).samples()) == 12
    collect_garbage(out)
    with pytest.raises(ManifestMissingError, match=r"materialize gc.*manifest 2"):
        StreamingLoader(out, batch_size=4, pinned=first)


def test_a_reader_that_was_overtaken_is_told_to_open_the_dataset_again(out):
    """Not to repair a dataset that is whole."""
    with StreamingLoader(out, batch_size=4) as batches:
        transcode_dataset(out, codec="gzip")
        collect_garbage(out)
        with pytest.raises(ShardMissingError, match="superseded and collected") as caught:
            list(batches.epoch(0))
    assert "open the dataset again" in str(caught.value)
    assert "repair" not in str(caught.value)


def test_a_reader_of_a_shard_that_was_lost_is_told_to_repair(out):
    with StreamingLoader(out, batch_size=4) as batches:
        for name in shards_of(out):
            (out / "shards" / name).unlink()
        with pytest.raises(ShardMissingError, match="materialize repair"):
            list(batches.epoch(0))


def test_an_earlier_manifest_that_only_grew_can_still_be_read(out):
    second = load_latest(out).digest()
    extend_dataset(out, copies=3)
    collect_garbage(out)
    assert OpenDataset.open(out, pinned=second).standing.manifest.copies == 2


def test_a_collection_that_stops_halfway_leaves_the_dataset_whole(out, monkeypatch):
    calls = []

    def unlink(path):
        calls.append(path)
        if len(calls) == 3:
            raise KeyboardInterrupt
        path.unlink()

    with monkeypatch.context() as patch:
        patch.setattr(system_calls, "unlink", unlink)
        with pytest.raises(KeyboardInterrupt):
            collect_garbage(out)
    assert verify_dataset(out, depth="pixels").is_intact
    collect_garbage(out)
    assert {path.name for path in (out / "shards").iterdir()} == set(shards_of(out))


def test_stamps_of_collected_shards_are_forgotten(out):
    first = load_latest(out).parent
    for pinned in (first, None):
        with StreamingLoader(out, batch_size=4, pinned=pinned) as batches:
            list(batches.epoch(0))
            list(batches.epoch(1))
    assert len(read_stamps(out)) > len(shards_of(out)) / 2
    collect_garbage(out)
    assert set(read_stamps(out)) <= set(shards_of(out))
    assert read_stamps(out)


def test_statistics_of_folds_stay_where_nothing_was_removed(out):
    dataset = OpenDataset.open(out)
    dataset.standardizer("featurewise", dataset.fold(0, folds=3)[0])
    there = set(out.glob("statistics-*"))
    collect_garbage(out)
    assert set(out.glob("statistics-*")) == there
    remove_samples(out, ["a/004.png"])
    collect_garbage(out)
    assert not set(out.glob("statistics-*"))


def test_removed_files_are_gone_durably(tmp_path, monkeypatch):
    """A directory is synced after names in it went."""
    synced = []
    monkeypatch.setattr(atomic.system_calls, "fsync", synced.append)
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    atomic.remove_files([tmp_path / "one", tmp_path / "two", tmp_path / "three"])
    assert list(tmp_path.iterdir()) == []
    assert len(synced) == 1


def test_the_command_line_says_what_goes(out, capsys):
    assert main(["gc", str(out), "--dry-run"]) == 0
    assert "would remove 9 receipts, 9 shards:" in capsys.readouterr().out
    assert main(["gc", str(out), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["num_items"] == len(facts["items"]) == 18
    assert facts["num_bytes"] == sum(item["num_bytes"] for item in facts["items"])
