"""The only place that writes files: a file is either the old one, absent, or complete on disk.

    created           an empty temporary exists beside the target        target: as before
    written           all bytes are in the temporary                     target: as before
    synced            the temporary's bytes are on the disk              target: as before
    renamed / linked  the target's name points to the complete bytes     target: complete
    directory-synced  the name itself is on the disk                     target: complete, durable

Temporaries are called ``.tmp-<host>-<pid>-<random>``. A failure of any kind removes its temporary;
a kill leaves it, and `sweep_temporaries` removes it once that process is known to be dead.

Every call goes through `materialize.system_calls`, and `on_step` is called after each step: tests
make each operation fail and kill the process between any two of them.
"""

import contextlib
import errno
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from materialize import system_calls
from materialize.canonical import Bytes
from materialize.errors import StorageError

STEPS = ("created", "written", "synced", "renamed", "linked", "directory-synced")
"""The points of a write; ``renamed`` belongs to `write_file`, ``linked`` to `publish_file`."""

on_step: Callable[[str, Path], None] | None = None
"""Called with the step's name and the target after each step; only tests set it."""

TEMPORARY_PREFIX = ".tmp-"

_TEMPORARY_NAME = re.compile(r"\.tmp-(?P<host>[A-Za-z0-9._]+)-(?P<pid>\d+)-[0-9a-f]+")

_EXPLANATIONS = {
    errno.ENOSPC: ("the disk is full", "free some space"),
    errno.EDQUOT: ("the disk quota is used up", "free some space or raise the quota"),
    errno.EROFS: ("the file system is read-only", "choose a writable output"),
    errno.EACCES: ("permission was denied", "make the directory writable"),
    errno.EPERM: ("the operation is not permitted", "make the directory writable"),
    errno.EFBIG: (
        "the file is larger than the file system or `ulimit -f` allows",
        "raise the limit or choose smaller shards",
    ),
    errno.EIO: ("the device reported an I/O error", "check the disk"),
    errno.ENOENT: ("the directory does not exist", "create it"),
}

_NO_HARD_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
"""What ``link`` answers on file systems that have none (FAT, some network and FUSE mounts)."""


class AlreadyPublishedError(StorageError):
    """The name is taken by other bytes; what is there was not touched."""


def write_file(path: Path, data: Bytes) -> None:
    """Replace or create a file; at any moment it is the old one or the complete new one.

    Args:
        path: the target; its directory exists.
        data: the whole content; not modified, not kept.

    Raises:
        StorageError: the file system refused; no temporary was left behind, and ``path`` is as
            before or (only if syncing the directory failed) already the complete new file.
    """
    with storage_errors(path), _temporary(path, data) as temporary:
        system_calls.rename(temporary, path)
        _reached("renamed", path)
        sync_directory(path)


def publish_file(path: Path, data: Bytes) -> bool:
    """Put a file if its name is free; of several writers exactly one wins.

    The bytes are complete on disk before the name appears, because the name is made by a hard link
    to a synced temporary. On file systems without hard links the name is claimed with an empty file
    (O_EXCL) and the temporary renamed over the claim; a writer that finds such an empty claim never
    takes it over, because it cannot tell a killed writer from a slow one.

    Args:
        path: the name to take; its directory exists.
        data: the whole content, not empty.

    Returns:
        True if this call published the file, False if the same bytes were already there.

    Raises:
        AlreadyPublishedError: other bytes are there.
        StorageError: the file system refused; nothing was left behind.
    """
    if not len(data):
        raise ValueError(f"cannot publish {path} empty: an empty file means a claim")
    with storage_errors(path), _temporary(path, data) as temporary:
        try:
            _take_name(temporary, path)
        except FileExistsError as error:
            if _holds(path, data):
                return False
            raise _conflict(path) from error
        _reached("linked", path)
        sync_directory(path)
    return True


def make_directory(path: Path) -> None:
    """Create a directory and its parents, durably; one that exists is fine.

    Raises:
        StorageError: the file system refused.
    """
    if path.is_dir():
        return
    if path.parent != path:
        make_directory(path.parent)
    with storage_errors(path):
        with contextlib.suppress(FileExistsError):
            system_calls.mkdir(path)
        sync_directory(path)


def sweep_temporaries(directory: Path) -> tuple[Path, ...]:
    """Remove what killed writers left behind in one directory.

    Other writers may be alive on this directory, here or on other hosts. So only temporaries whose
    name says this host and a process that no longer exists are removed; a process number that was
    given to a new process keeps its leftover until that one ends, which costs space and no safety.

    Returns:
        The removed paths, sorted; empty if the directory does not exist.

    Raises:
        StorageError: the file system refused.
    """
    removed = []
    with storage_errors(directory):
        for path in find_leftovers(directory):
            with contextlib.suppress(FileNotFoundError):  # another sweep was faster
                system_calls.unlink(path)
                removed.append(path)
    return tuple(removed)


def find_leftovers(directory: Path) -> tuple[Path, ...]:
    """What `sweep_temporaries` would remove, sorted."""
    matches = {p: _TEMPORARY_NAME.fullmatch(p.name) for p in directory.glob(f"{TEMPORARY_PREFIX}*")}
    return tuple(
        sorted(
            path
            for path, match in matches.items()
            if match and match["host"] == host_name() and not _is_alive(int(match["pid"]))
        )
    )


def is_temporary(name: str) -> bool:
    """Whether a file's name is one that writers here give to temporaries."""
    return _TEMPORARY_NAME.fullmatch(name) is not None


def set_aside(paths: Sequence[Path]) -> dict[Path, Path]:
    """Take files' names away, so that nobody finds them any more; one that is gone is fine.

    Returns:
        Path → the temporary beside it that the file is now. If this process is killed,
        `sweep_temporaries` removes it.

    Raises:
        StorageError: the file system refused; every file has its name again.
    """
    aside: dict[Path, Path] = {}
    try:
        for path in paths:
            aside[path] = _temporary_path(path)  # noted first: whatever happens, it can go back
            with storage_errors(path), contextlib.suppress(FileNotFoundError):
                system_calls.rename(path, aside[path])
    except BaseException:
        put_back(aside)
        raise
    return aside


def put_back(aside: Mapping[Path, Path]) -> None:
    """Undo `set_aside`; a name that was taken meanwhile is left to whoever took it.

    Args:
        aside: what `set_aside` gave; a temporary that is gone is fine.

    Raises:
        StorageError: the file system refused some; all others are back.
    """
    refused = []
    for path, temporary in aside.items():
        try:
            with storage_errors(path), contextlib.suppress(FileNotFoundError):
                with contextlib.suppress(FileExistsError):
                    _take_name(temporary, path)
                system_calls.unlink(temporary)
        except StorageError as error:
            refused.append(error)
    for path in {path.parent: path for path in aside}.values():
        with storage_errors(path):
            sync_directory(path)
    if refused:
        raise refused[0]


def remove_files(paths: Sequence[Path]) -> None:
    """Remove files, durably; one that is gone is fine.

    Raises:
        StorageError: the file system refused; the files before it are gone.
    """
    for path in paths:
        with storage_errors(path), contextlib.suppress(FileNotFoundError):
            system_calls.unlink(path)
    for path in {path.parent: path for path in paths}.values():
        with storage_errors(path):
            sync_directory(path)


@contextlib.contextmanager
def _temporary(path: Path, data: Bytes) -> Iterator[Path]:
    """A synced temporary with the bytes beside ``path``, removed on leaving unless renamed."""
    temporary = _temporary_path(path)
    descriptor = system_calls.create(temporary)
    try:
        try:
            _reached("created", path)
            _write_all(descriptor, memoryview(data).cast("B"))
            _reached("written", path)
            system_calls.fsync(descriptor)
            _reached("synced", path)
        finally:
            os.close(descriptor)
        yield temporary
    finally:
        # Gone already after a rename; and an error here must not hide the one being raised.
        with contextlib.suppress(OSError):
            system_calls.unlink(temporary)


def _temporary_path(path: Path) -> Path:
    """A name beside ``path`` that nobody has."""
    return path.parent / f"{TEMPORARY_PREFIX}{host_name()}-{os.getpid()}-{os.urandom(6).hex()}"


def _write_all(descriptor: int, data: memoryview) -> None:
    """Write everything: one call may write less (2 GiB on Linux, a nearly full disk)."""
    while data:
        written = system_calls.write(descriptor, data)
        if written == 0:
            raise OSError(errno.EIO, "the file system accepted no bytes and named no reason")
        data = data[written:]


def _take_name(temporary: Path, path: Path) -> None:
    """Make ``path`` the temporary's content unless the name is taken (FileExistsError)."""
    try:
        system_calls.link(temporary, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        os.close(system_calls.create(path))
        try:
            system_calls.rename(temporary, path)
        except BaseException:
            system_calls.unlink(path)
            raise


def _holds(path: Path, data: Bytes) -> bool:
    """Whether a file holds exactly these bytes."""
    expected = memoryview(data).cast("B")
    if path.stat().st_size != len(expected):
        return False
    with path.open("rb") as file:
        return all(
            file.read(1 << 20) == expected[start : start + (1 << 20)]
            for start in range(0, len(expected), 1 << 20)
        )


def _conflict(path: Path) -> AlreadyPublishedError:
    """The error for a name that is taken."""
    if path.stat().st_size == 0:
        return AlreadyPublishedError(
            f"{path} is claimed by another writer that has not finished; if no other job runs on "
            f"this output, delete the empty file and run again",
            {"path": str(path), "claimed": True},
        )
    return AlreadyPublishedError(
        f"{path} already exists with other content; it was left as it is. Use another output "
        f"directory, or the options the existing one was made with",
        {"path": str(path), "claimed": False},
    )


def sync_directory(path: Path) -> None:
    """Bring the name of ``path`` to the disk."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        system_calls.fsync(descriptor)
    finally:
        os.close(descriptor)
    _reached("directory-synced", path)


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's errors into ours, with what to do."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        reason, remedy = _EXPLANATIONS.get(
            error.errno or 0, (error.strerror or str(error), "remove the cause")
        )
        raise StorageError(
            f"cannot store {path}: {reason}; nothing half-written was left. {remedy.capitalize()} "
            f"and run the same command again",
            {"path": str(path), "errno": error.errno, "reason": reason},
        ) from error


def _reached(step: str, path: Path) -> None:
    if on_step is not None:
        on_step(step, path)


def host_name() -> str:
    """This host's name in the characters a temporary's name may have."""
    return re.sub(r"[^A-Za-z0-9._]", "_", platform.node()) or "unknown"


def _is_alive(pid: int) -> bool:
    """Whether a process of this host exists; when in doubt, it does."""
    if sys.platform == "win32":  # there, os.kill ends the process whatever the signal
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # not ours to signal, but there
        return True
    return True
