"""Storing a file: complete or not at all, whatever fails."""

import errno
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from materialize import atomic, system_calls
from materialize.atomic import (
    AlreadyPublishedError,
    make_directory,
    publish_file,
    sweep_temporaries,
    write_file,
)
from materialize.errors import StorageError

OPERATIONS = ("create", "write", "fsync", "rename")


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def failing(error):
    def fail(*_):
        raise error

    return fail


def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def temporary_name(pid, host=None):
    return f".tmp-{host or atomic.host_name()}-{pid}-0123456789ab"


def test_a_written_file_holds_the_bytes_and_nothing_else_is_left(tmp_path):
    write_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert names(tmp_path) == ["a"]


def test_writing_replaces_the_old_file(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    write_file(tmp_path / "a", memoryview(b"new"))
    assert (tmp_path / "a").read_bytes() == b"new"


def test_the_umask_decides_the_permissions(tmp_path):
    write_file(tmp_path / "a", b"x")
    (tmp_path / "b").write_bytes(b"x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_short_writes_are_continued(tmp_path, monkeypatch):
    monkeypatch.setattr(system_calls, "write", lambda fd, data: os.write(fd, data[:7]))
    write_file(tmp_path / "a", bytes(range(256)))
    assert (tmp_path / "a").read_bytes() == bytes(range(256))


def test_a_write_of_nothing_is_an_error_instead_of_a_loop(tmp_path, monkeypatch):
    monkeypatch.setattr(system_calls, "write", lambda fd, data: 0)
    with pytest.raises(StorageError, match="I/O error"):
        write_file(tmp_path / "a", b"x")


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_failed_operation_leaves_the_old_file_and_no_temporary(tmp_path, monkeypatch, operation):
    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(system_calls, operation, failing(OSError(errno.EIO, "I/O error")))
    with pytest.raises(StorageError):
        write_file(tmp_path / "a", b"new")
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_interrupt_leaves_the_old_file_and_no_temporary(tmp_path, monkeypatch, operation):
    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(system_calls, operation, failing(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "a", b"new")
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission"),
        (errno.EFBIG, "larger than the file system"),
        (errno.EDQUOT, "quota"),
    ],
)
def test_an_error_of_the_disk_is_explained(tmp_path, monkeypatch, number, words):
    monkeypatch.setattr(system_calls, "write", failing(OSError(number, "unexplained")))
    with pytest.raises(StorageError, match=words) as caught:
        write_file(tmp_path / "a", b"x")
    assert caught.value.facts["errno"] == number
    assert isinstance(caught.value.__cause__, OSError)


def test_a_missing_directory_is_named(tmp_path):
    with pytest.raises(StorageError, match="does not exist"):
        write_file(tmp_path / "absent" / "a", b"x")


def test_publishing_takes_a_free_name(tmp_path):
    assert publish_file(tmp_path / "a", b"x") is True
    assert names(tmp_path) == ["a"]


def test_publishing_the_same_bytes_again_succeeds_without_publishing(tmp_path):
    publish_file(tmp_path / "a", b"x")
    assert publish_file(tmp_path / "a", b"x") is False
    assert names(tmp_path) == ["a"]


def test_publishing_other_bytes_is_refused_and_changes_nothing(tmp_path):
    publish_file(tmp_path / "a", b"x")
    with pytest.raises(AlreadyPublishedError, match="other content"):
        publish_file(tmp_path / "a", b"y")
    assert (tmp_path / "a").read_bytes() == b"x"
    assert names(tmp_path) == ["a"]


def test_a_published_file_is_compared_to_its_last_byte(tmp_path):
    publish_file(tmp_path / "a", bytes(3 << 20))
    with pytest.raises(AlreadyPublishedError):
        publish_file(tmp_path / "a", bytes((3 << 20) - 1) + b"\1")


def test_an_empty_file_cannot_be_published(tmp_path):
    with pytest.raises(ValueError, match="empty"):
        publish_file(tmp_path / "a", b"")


@pytest.fixture
def without_hard_links(monkeypatch):
    monkeypatch.setattr(system_calls, "link", failing(OSError(errno.EOPNOTSUPP, "no links")))


@pytest.mark.usefixtures("without_hard_links")
def test_publishing_works_without_hard_links(tmp_path):
    assert publish_file(tmp_path / "a", b"x") is True
    assert publish_file(tmp_path / "a", b"x") is False
    with pytest.raises(AlreadyPublishedError):
        publish_file(tmp_path / "a", b"y")
    assert names(tmp_path) == ["a"]


@pytest.mark.usefixtures("without_hard_links")
def test_an_empty_claim_is_never_taken_over(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(AlreadyPublishedError, match="delete the empty file"):
        publish_file(tmp_path / "a", b"x")
    assert (tmp_path / "a").read_bytes() == b""


@pytest.mark.usefixtures("without_hard_links")
def test_a_claim_is_given_up_when_the_rename_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(system_calls, "rename", failing(OSError(errno.EIO, "I/O error")))
    with pytest.raises(StorageError):
        publish_file(tmp_path / "a", b"x")
    assert names(tmp_path) == []


def test_directories_are_made_with_their_parents(tmp_path):
    make_directory(tmp_path / "a" / "b")
    make_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_file_in_the_way_of_a_directory_is_named(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(StorageError, match="a/b"):
        make_directory(tmp_path / "a" / "b")


def test_the_sweep_removes_what_a_dead_process_of_this_host_left(tmp_path):
    leftover = tmp_path / temporary_name(dead_pid())
    leftover.touch()
    assert sweep_temporaries(tmp_path) == (leftover,)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(temporary_name(os.getpid()), id="a living process"),
        pytest.param(temporary_name(1), id="a process of another user"),
        pytest.param(temporary_name(10**30), id="no possible process number"),
        pytest.param(temporary_name(2**22 + 1, host="elsewhere"), id="another host"),
        pytest.param(".tmp-mine", id="a name that is not ours"),
        pytest.param("manifest-000001.json", id="a finished file"),
    ],
)
def test_the_sweep_keeps(tmp_path, name):
    (tmp_path / name).touch()
    assert sweep_temporaries(tmp_path) == ()
    assert names(tmp_path) == [name]


def test_sweeping_an_absent_directory_does_nothing(tmp_path):
    assert sweep_temporaries(tmp_path / "absent") == ()


def test_a_host_name_with_odd_letters_is_still_recognised(tmp_path, monkeypatch):
    monkeypatch.setattr(platform, "node", lambda: "my-host/ü")
    leftover = tmp_path / temporary_name(dead_pid())
    leftover.touch()
    assert sweep_temporaries(tmp_path) == (leftover,)


def test_the_steps_are_told_in_order(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(atomic, "on_step", lambda step, path: told.append(step))
    write_file(tmp_path / "a", b"x")
    publish_file(tmp_path / "b", b"x")
    before = ["created", "written", "synced"]
    assert told == [*before, "renamed", "directory-synced", *before, "linked", "directory-synced"]
    assert set(told) == set(atomic.STEPS)


def test_the_full_device_is_reported_as_full():
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    descriptor = os.open(full, os.O_WRONLY)
    try:
        with pytest.raises(OSError, match="No space left"):
            atomic._write_all(descriptor, memoryview(b"x"))
    finally:
        os.close(descriptor)
