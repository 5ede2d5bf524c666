"""Files of an export, written piece by piece: complete under their names, or not there.

`materialize.atomic` takes a whole file at once, as shards are. An export's files may be larger than
memory, so here a temporary beside the target, named as `atomic` names its own, takes the pieces and
gets the name when all of them are in it.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from materialize import system_calls
from materialize.atomic import TEMPORARY_PREFIX, host_name, storage_errors, sync_directory
from materialize.canonical import Bytes
from materialize.errors import MaterializeError

_PIECE_BYTES = 1 << 20


@contextlib.contextmanager
def streamed_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write and seek in; it has its name once the block ends well, and is on the disk.

    Args:
        path: the target, replaced if it is there; its directory exists.

    Raises:
        StorageError: the file system refused; nothing was left behind.
    """
    with replaced_file(path) as temporary, temporary.open("xb", buffering=_PIECE_BYTES) as file:
        yield file


@contextlib.contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """As `streamed_file`, for who opens files by name: the path of a temporary to create.

    Raises:
        StorageError: the file system refused; nothing was left behind.
    """
    with _errors_told(path):
        with _renamed(path) as temporary:
            yield temporary
            _bring_to_disk(temporary)
        sync_directory(path)


def write_quickly(path: Path, data: Bytes) -> None:
    """A small file whose name appears when its bytes are written, but not yet on the disk.

    For files of which there are many: whoever writes them calls ``os.sync`` now and then, and until
    then trusts none of them after a loss of power.

    Raises:
        StorageError: the file system refused; nothing was left behind.
    """
    with _errors_told(path), _renamed(path) as temporary:
        descriptor = system_calls.create(temporary)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            left = memoryview(data)
            while left:
                left = left[file.write(left) or 0 :]


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, as ``sha256sum`` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _bring_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        system_calls.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _renamed(path: Path) -> Iterator[Path]:
    """A temporary's path beside the target, which it becomes, or which is gone again."""
    name = f"{TEMPORARY_PREFIX}{host_name()}-{os.getpid()}-{os.urandom(6).hex()}"
    temporary = path.parent / name
    try:
        yield temporary
        system_calls.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            system_calls.unlink(temporary)
        raise


@contextlib.contextmanager
def _errors_told(path: Path) -> Iterator[None]:
    """Turns the system's errors into ours; what goes wrong with reading images is told already."""
    try:
        yield
    except MaterializeError:
        raise
    except OSError:
        with storage_errors(path):
            raise
