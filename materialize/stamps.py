"""Which shards were read and found whole, so that the next process need not hash them again.

    OUT/stamps.json    {file of a shard: [SHA-256 that was found, inode, bytes, time of change]}

A convenience outside every digest, as `materialize.whereabouts` is: losing it costs time, and a
dataset that cannot be written to goes without. It tells of accidents, not of malice: whoever can
write there can write this file too, and `verify="always"` does not look at it.
"""

import json
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path

from materialize.atomic import write_file
from materialize.canonical import canonical_json
from materialize.errors import StorageError
from materialize.shards.layout import ShardEntry
from materialize.shards.mapping import Stamp

STAMPS_FILE = "stamps.json"


def read_stamps(directory: Path) -> dict[str, tuple[str, Stamp]]:
    """By shard's file, the SHA-256 and the stamp of when it was found; none if unreadable."""
    try:
        noted = json.loads((directory / STAMPS_FILE).read_bytes())
        return {
            str(file): (str(sha256), Stamp(int(inode), int(num_bytes), int(mtime_ns)))
            for file, (sha256, inode, num_bytes, mtime_ns) in noted.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def stamp_of(stamps: Mapping[str, tuple[str, Stamp]], entry: ShardEntry) -> Stamp | None:
    """The stamp a shard had when its bytes were what this entry says."""
    sha256, stamp = stamps.get(entry.file, ("", None))
    return stamp if sha256 == entry.file_sha256 else None


def note_stamps(directory: Path, found: Mapping[str, tuple[str, Stamp]]) -> None:
    """Adds shards that were found whole; where that cannot be written, nothing is kept."""
    known = read_stamps(directory)
    if all(known.get(file) == stamp for file, stamp in found.items()):
        return
    _write(directory, known | dict(found))


def forget_stamps(directory: Path, files: Collection[str]) -> None:
    """Drops the lines of shards that are gone; where that cannot be written, they stay."""
    known = read_stamps(directory)
    left = {file: stamp for file, stamp in known.items() if file not in files}
    if len(left) < len(known):
        _write(directory, left)


def _write(directory: Path, stamps: Mapping[str, tuple[str, Stamp]]) -> None:
    lines = {file: [sha256, *astuple(stamp)] for file, (sha256, stamp) in stamps.items()}
    with suppress(StorageError):
        write_file(directory / STAMPS_FILE, canonical_json(lines))
