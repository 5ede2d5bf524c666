"""The calls into the operating system that storing a file takes, one function each.

They add nothing: they are here so that a test can make any single one of them fail.
"""

import os
from pathlib import Path


def create(path: Path) -> int:
    """A descriptor of a new file; an existing one is an error."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)


def write(descriptor: int, data: memoryview) -> int:
    """Write some of the bytes and say how many."""
    return os.write(descriptor, data)


def fsync(descriptor: int) -> None:
    """Bring a file's bytes, or a directory's names, to the disk."""
    os.fsync(descriptor)


def rename(source: Path, target: Path) -> None:
    """Let ``target`` be the file ``source``, replacing what was there in one step."""
    source.replace(target)


def link(source: Path, target: Path) -> None:
    """Give a file a second name; an existing name is an error."""
    target.hardlink_to(source)


def unlink(path: Path) -> None:
    """Remove a name."""
    path.unlink()


def mkdir(path: Path) -> None:
    """Create one directory."""
    path.mkdir()
