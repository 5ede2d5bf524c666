"""A writer is killed between any two steps, or the disk refuses: the file is old or complete."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from materialize.atomic import STEPS, publish_file, sweep_temporaries, write_file
from tests.children import killed_at

OLD = b"old" * 1000
NEW = b"new" * 100_000

LIMITED_WRITER = """
import sys
from pathlib import Path
from materialize import atomic
from materialize.errors import StorageError

try:
    atomic.write_file(Path(sys.argv[1]), b"new" * 100_000)
except StorageError as error:
    print(error)
    sys.exit(3)
"""

WRITE_STEPS = [step for step in STEPS if step != "linked"]
PUBLISH_STEPS = [step for step in STEPS if step != "renamed"]


def killed(write, target, step):
    return killed_at(step, target.name, target.parent, write, target, NEW)


@pytest.mark.parametrize("step", WRITE_STEPS)
def test_a_killed_write_leaves_the_old_file_or_the_complete_new_one(tmp_path, step):
    target = tmp_path / "a"
    target.write_bytes(OLD)
    assert killed(write_file, target, step)
    complete = step in ("renamed", "directory-synced")
    assert target.read_bytes() == (NEW if complete else OLD)


@pytest.mark.parametrize("step", PUBLISH_STEPS)
def test_a_killed_publication_is_absent_or_complete(tmp_path, step):
    target = tmp_path / "a"
    assert killed(publish_file, target, step)
    if step in ("linked", "directory-synced"):
        assert target.read_bytes() == NEW
    else:
        assert not target.exists()


@pytest.mark.parametrize("write", [write_file, publish_file])
@pytest.mark.parametrize("step", ["created", "written", "synced"])
def test_after_a_kill_a_sweep_and_a_second_run_end_as_if_nothing_happened(tmp_path, write, step):
    target = tmp_path / "a"
    assert killed(write, target, step)
    assert len(sweep_temporaries(tmp_path)) == 1
    write(target, NEW)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert target.read_bytes() == NEW


def test_a_published_file_whose_writer_was_killed_is_recognised_by_the_next(tmp_path):
    target = tmp_path / "a"
    assert killed(publish_file, target, "linked")
    publish_file(target, NEW)
    assert target.read_bytes() == NEW


def limited(target, preexec=None):
    command = [sys.executable, "-c", LIMITED_WRITER, str(target)]
    return subprocess.run(command, check=False, capture_output=True, text=True, preexec_fn=preexec)


def test_a_file_size_limit_is_explained_and_leaves_the_old_file(tmp_path):
    target = tmp_path / "a"
    target.write_bytes(OLD)
    result = limited(target, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)))
    assert result.returncode == 3
    assert "ulimit -f" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert target.read_bytes() == OLD


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 128 KiB, where mounting is allowed."""
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(mount)]
    try:
        done = subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        done = False
    if not done:
        pytest.skip("mounting a small file system needs privileges this run does not have")
    yield Path(mount)
    subprocess.run(["umount", str(mount)], check=True)


def test_a_full_disk_is_explained_and_leaves_the_old_file(tiny_disk):
    target = tiny_disk / "a"
    target.write_bytes(OLD)
    result = limited(target)
    assert result.returncode == 3
    assert "the disk is full" in result.stdout
    assert [path.name for path in tiny_disk.iterdir()] == ["a"]
    assert target.read_bytes() == OLD
