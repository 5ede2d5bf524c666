"""A proof tries every way of running a job, and finds out a job whose bytes depend on it."""

import os
import time
from functools import partial
from pathlib import Path

import pytest

from materialize.audit.proof import ProofReport, ProofRun, dataset_digest, prove
from materialize.audit.subprocesses import can_kill, masked_features, run_and_kill, run_child
from materialize.builder import build_dataset
from materialize.cli import main
from materialize.errors import ConfigError, MaterializeError, SourceError
from materialize.population import Population, ScanOptions
from materialize.recipe import Recipe
from materialize.sources import open_source
from materialize.sources.subset import Subset
from materialize.sources.targets import TargetSchema
from tests.jobs import MoodyPhotos, leftovers, photos
from tests.target_cases import KINDS, TargetedArrays

needs_groups = pytest.mark.skipif(not can_kill(), reason="this system has no process groups")


@pytest.fixture(scope="module")
def proven(tmp_path_factory):
    place = tmp_path_factory.mktemp("proof")
    calls = []
    report = prove(
        "digits", "digits", Recipe(copies=2), directory=place,
        progress=lambda *call: calls.append(call),
    )  # fmt: skip
    return report, place, calls


@needs_groups
def test_a_sound_job_is_proven_in_every_way(proven):
    report, _, _ = proven
    assert report.is_proven
    assert report.num_images == 256
    assert report.left_out == ()
    names = " | ".join(run.name for run in report.runs)
    for part in (
        "1 worker", "2 workers, loky", "3 workers, loky", "8 workers, threading", "batches of 1 ",
        "batches of 7", "batches of 64", "shuffled", "killed and resumed", "plain NumPy",
    ):  # fmt: skip
        assert part in names


def test_a_proof_cuts_the_part_into_several_shards(proven):
    assert proven[0].num_shards > 4


def test_a_proof_leaves_nothing_behind(proven):
    assert list(proven[1].iterdir()) == []
    assert leftovers(proven[1]) == []


def test_progress_counts_the_runs(proven):
    report, _, calls = proven
    assert calls[-1] == ("prove", len(report.runs) - 1, len(report.runs) - 1)


def test_the_table_has_a_line_for_every_run_and_reason():
    runs = (ProofRun("one", "a" * 64, "a" * 64, 1.0), ProofRun("other", "b" * 64, "a" * 64, 2.0))
    report = ProofReport(runs, 3, 4, ("kills: not here",))
    assert not report.is_proven
    assert report.table().splitlines() == [
        "one    aaaaaaaaaaaaaaaa     1.0 s  equal",
        "other  bbbbbbbbbbbbbbbb     2.0 s  DIFFERENT",
        "left out: kills: not here",
    ]


def test_a_source_that_looks_different_in_every_process_is_found_out(tmp_path, monkeypatch):
    monkeypatch.setattr("materialize.audit.proof.can_kill", lambda: False)
    source = MoodyPhotos(photos(tmp_path / "source"))
    report = prove(source, "cifar10", Recipe(copies=1), limit=12, directory=tmp_path)
    different = {run.name for run in report.runs if not run.is_equal}
    assert "2 workers, loky" in different
    assert "8 workers, threading" not in different
    assert "DIFFERENT" in report.table()
    assert "cannot kill" in report.left_out[0]


def test_masks_and_objects_are_part_of_a_proof(tmp_path, monkeypatch):
    monkeypatch.setattr("materialize.audit.proof.can_kill", lambda: False)
    source = TargetedArrays(12, schema=TargetSchema(KINDS, ("mask",)))
    report = prove(source, "cifar10", Recipe(copies=1), limit=6, directory=tmp_path)
    assert report.is_proven
    build_dataset(source, tmp_path / "d", "cifar10", Recipe(copies=1))
    before = dataset_digest(tmp_path / "d")
    (mask,) = (tmp_path / "d").glob("shards/copy-mask-*")
    mask.write_bytes(mask.read_bytes()[:-1] + b"x")
    assert dataset_digest(tmp_path / "d") != before


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_below_one_is_refused(limit):
    with pytest.raises(ConfigError, match="limit"):
        prove("digits", "digits", Recipe(copies=1), limit=limit)


@pytest.mark.parametrize("limit", [8, None])
def test_a_proof_scans_as_the_job_does(tmp_path, monkeypatch, limit):
    monkeypatch.setattr("materialize.audit.proof.can_kill", lambda: False)
    source = photos(tmp_path / "source")
    (source / "a/000.png").write_bytes(b"kept out by name")
    seen = []
    populate = Population.to_bytes
    monkeypatch.setattr(Population, "to_bytes", lambda p: seen.append(p) or populate(p))
    options = ScanOptions(exclude=("a/000.png",), color="grey")
    report = prove(source, "digits", Recipe(copies=1), scan=options, limit=limit)
    assert report.is_proven
    assert report.num_images == (limit or 11)
    assert {(p.channels, len(p), p.quarantined) for p in seen} == {(1, limit or 11, ())}


@pytest.mark.parametrize("limit", [8, None])
def test_a_proof_refuses_to_exclude_what_is_not_there(tmp_path, limit):
    options = ScanOptions(exclude=("a/none.png",))
    with pytest.raises(SourceError, match=r"a/none\.png, which the source does not have"):
        prove(photos(tmp_path), "cifar10", Recipe(copies=1), scan=options, limit=limit)


def test_the_command_passes_on_how_the_job_is_scanned(tmp_path, monkeypatch):
    given = {}
    report = ProofReport((ProofRun("one", "a" * 64, "a" * 64, 1.0),), 3, 4, ())
    monkeypatch.setattr(
        "materialize.audit.proof.prove", lambda *_, **options: given.update(options) or report
    )
    arguments = ["prove", "--source", str(photos(tmp_path)), "--pipeline", "cifar10"]
    arguments += ["--copies", "1", "--exclude", "a/000.png", "--color", "grey", "--trust-source"]
    assert main(arguments) == 0
    assert given["scan"] == ScanOptions(exclude=("a/000.png",), color="grey", trust_source=True)


def test_a_subset_is_spread_evenly_and_reads_what_the_whole_does():
    whole = open_source("digits")
    part = Subset(whole, 10)
    assert len(part) == 10
    assert [part.record(i).locator for i in (0, 1, 9)] == ["row:0", "row:179", "row:1617"]
    assert part.identity_bytes(1) == whole.identity_bytes(179)
    assert part.class_names() == whole.class_names()
    assert len(Subset(whole, 10**6)) == len(whole)


def fail():
    raise ValueError("this is why")


def note_variable(path):
    Path(path).write_text(os.environ["FOR_THE_CHILD"])


def test_a_child_has_its_variables_and_its_failure_is_told(tmp_path):
    run = partial(note_variable, tmp_path / "out")
    run_child(run, environment={"FOR_THE_CHILD": "yes"}, deadline_s=60)
    assert (tmp_path / "out").read_text() == "yes"
    with pytest.raises(MaterializeError, match="this is why"):
        run_child(fail, environment={}, deadline_s=60)


@needs_groups
def test_a_child_is_killed_at_its_moment_or_known_to_have_ended():
    sleep = partial(time.sleep, 60)
    assert run_and_kill(sleep, when=lambda: True, deadline_s=60)
    assert not run_and_kill(partial(time.sleep, 0), when=lambda: False, deadline_s=60)


def test_a_masked_processor_names_only_features_that_are_there(tmp_path):
    variables = masked_features(tmp_path)
    assert variables["NUMBA_CPU_NAME"] == "generic"
    assert variables["NUMBA_CACHE_DIR"] == str(tmp_path)
