"""A transcode, a removal or a collection is killed anywhere: the same command ends it the same."""

import contextlib
import os
import shutil
import signal
from functools import partial

import pytest

from materialize import system_calls
from materialize.atomic import sweep_temporaries
from materialize.audit.verification import verify_dataset
from materialize.collection import collect_garbage
from materialize.errors import ConfigError
from materialize.manifest import load_latest
from materialize.removal import remove_samples
from materialize.transcoding import transcode_dataset
from tests.children import exit_code, killed_at
from tests.dataset_states import state
from tests.jobs import build_digits, leftovers

VICTIMS = ["row:3", "row:700", "row:1500"]


def remove(out):
    remove_samples(out, VICTIMS)


COMMANDS = {
    "codec=zstd": partial(transcode_dataset, codec="zstd"),
    "storage=prefix": partial(transcode_dataset, storage="prefix"),
    "storage=recipe": partial(transcode_dataset, storage="recipe"),
    "remove": remove,
}

MOMENTS = [
    ("written", "shards/"), ("renamed", "shards/"), ("linked", "plan-000002"),
    ("renamed", "receipts/"),
    ("synced", "manifest-000002"), ("linked", "manifest-000002"),
]  # fmt: skip


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The digits in sixteen shards."""
    directory = tmp_path_factory.mktemp("built") / "digits"
    build_digits(directory)
    return directory


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, built):
    """What each command makes of them."""
    expected = {}
    for name, command in COMMANDS.items():
        out = tmp_path_factory.mktemp("undisturbed") / "out"
        shutil.copytree(built, out)
        command(out)
        expected[name] = state(out)
    return expected


def check_killed(tmp_path, built, undisturbed, command, moment):
    out = shutil.copytree(built, tmp_path / "out")
    before = state(out)
    assert killed_at(*moment, out, COMMANDS[command], out)
    is_published = moment == ("linked", "manifest-000002")
    assert load_latest(out).number == 1 + is_published
    assert before.items() <= state(out).items()
    assert verify_dataset(out).is_intact
    with contextlib.suppress(ConfigError) if is_published else contextlib.nullcontext():
        COMMANDS[command](out)
    sweep(out)
    assert state(out) == undisturbed[command]
    assert verify_dataset(out, depth="pixels").is_intact


def sweep(out):
    """After a kill at the very publication, the next command refuses, and sweeps nothing."""
    for name in ("", "shards", "receipts"):
        sweep_temporaries(out / name)
    assert leftovers(out) == []


@pytest.mark.parametrize(("step", "part"), MOMENTS)
def test_a_transcode_killed_at_any_step_ends_with_the_same_bytes(
    tmp_path, built, undisturbed, step, part
):
    check_killed(tmp_path, built, undisturbed, "codec=zstd", (step, part))


@pytest.mark.parametrize(("step", "part"), [*MOMENTS, ("linked", "population")])
def test_a_removal_killed_at_any_step_ends_with_the_same_bytes(
    tmp_path, built, undisturbed, step, part
):
    check_killed(tmp_path, built, undisturbed, "remove", (step, part))


@pytest.mark.parametrize("command", ["storage=prefix", "storage=recipe"])
@pytest.mark.parametrize(
    ("step", "part"), [("linked", "plan-000002"), ("synced", "manifest-000002")]
)
def test_another_mode_killed_at_any_step_ends_with_the_same_bytes(
    tmp_path, built, undisturbed, command, step, part
):
    check_killed(tmp_path, built, undisturbed, command, (step, part))


def collect_and_die(after, part, out):
    """Kills its process after this system call on a file whose path below ``out`` begins so."""
    plain = getattr(system_calls, after)

    def call(path, *target):
        plain(path, *target)
        if str(path.relative_to(out)).startswith(part):
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(system_calls, after, call)
    collect_garbage(out)


@pytest.mark.parametrize(
    ("after", "part"),
    [
        ("rename", "population-"), ("rename", "receipts/"), ("rename", "shards/"),
        ("unlink", ".tmp-"), ("unlink", "receipts/.tmp-"), ("unlink", "shards/.tmp-"),
    ],
)  # fmt: skip
def test_a_collection_killed_at_any_file_leaves_the_dataset_whole(tmp_path, built, after, part):
    """When its name went, and when it went itself."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for out in (killed, whole):
        shutil.copytree(built, out)
        remove_samples(out, VICTIMS)
    collect_garbage(whole)
    assert exit_code(collect_and_die, after, part, killed) == -signal.SIGKILL
    assert state(whole).items() < state(killed).items()
    assert verify_dataset(killed, depth="pixels").is_intact
    collect_garbage(killed)
    assert state(killed) == state(whole)
    assert leftovers(killed) == []
