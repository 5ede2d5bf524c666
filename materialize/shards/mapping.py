"""A shard's file as memory: mapped for reading, and shown to libhdf5 without giving it the path."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ShardDamagedError, ShardMissingError
from materialize.shards.layout import ShardEntry
from materialize.shards.memory import MappedMemory, as_bytes

_REMEDY = "Run `materialize repair OUT`: it rebuilds this shard alone"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the file system says about a file; a write to it changes at least one of them."""

    inode: int
    num_bytes: int
    mtime_ns: int


class MappedFile:
    """A mapping with the methods h5py asks of a file object opened for reading."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        """At the first byte."""
        self._data = data
        self._position = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move and return the position."""
        self._position = offset + (0, self._position, self._data.size)[whence]
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Only looked for by h5py, never called."""
        stop = self._data.size if size < 0 else self._position + size
        return self._data[self._position : stop].tobytes()

    def readinto(self, target: memoryview) -> int:
        """Fill ``target``; what would lie behind the end reads as zeros and fails in libhdf5."""
        out = np.frombuffer(target, np.uint8)
        source = self._data[self._position : self._position + out.size]
        out[: source.size] = source
        out[source.size :] = 0
        self._position += out.size
        return int(out.size)

    def truncate(self, size: int | None = None) -> int:
        """Nothing changes a mapping for reading."""
        return self._data.size if size is None else size

    def flush(self) -> None:
        """Nothing is held back."""


def map_file(path: Path, entry: ShardEntry) -> tuple[NDArray[np.uint8], Stamp]:
    """The file's bytes as a read-only array over its mapping, and its stamp.

    Raises:
        ShardMissingError: there is no file.
        ShardDamagedError: its length is not the manifest's.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_size != entry.num_bytes:
                rows = range(entry.spec.num_rows)
                raise damaged(path, "its length", rows, entry.num_bytes, status.st_size)
            memory = MappedMemory(file.fileno(), status.st_size)
    except FileNotFoundError as error:
        raise ShardMissingError(
            f"{path} is not there; it should hold {entry.spec.num_rows} rows. {_REMEDY}",
            {"file": str(path), "rows": (0, entry.spec.num_rows)},
        ) from error
    stamp = Stamp(status.st_ino, status.st_size, status.st_mtime_ns)
    return as_bytes(memory), stamp


def damaged(
    path: Path, where: str, rows: range, expected: object, found: object
) -> ShardDamagedError:
    """The error for bytes that are not the manifest's: where, which rows, and what to do."""
    return ShardDamagedError(
        f"{path} is damaged: {where} should be {expected} and is {found}; this affects rows "
        f"{rows.start} to {rows.stop - 1} of the shard. {_REMEDY}",
        {
            "file": str(path),
            "where": where,
            "expected": expected,
            "found": found,
            "rows": (rows.start, rows.stop),
        },
    )
