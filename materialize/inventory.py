"""Every file under a dataset's directory: what it is, whether the dataset needs it, what it takes.

One listing serves the account of bytes and the collection of what nobody needs, so that what is
said to be superseded is what goes. Readers never list a directory; this does, because the question
is what lies there, and its answer holds for this moment only.

A state is decided by names and by the newest manifest alone; that of a catalogue's files by the
manifest that they describe:

    live         the newest manifest needs it: its shards with their receipts, its populations, all
                 manifests and plans that led to it, statistics, stamps, where the source is
    pending      a plan was claimed and not published: this may be its, and is nobody's to remove
    superseded   ours by name, and neither of these
    temporary    `atomic` names it so; its writer was killed or is at work, and
                 `atomic.sweep_temporaries` knows which: nothing else may remove one
    foreign      everything else, such as a training that somebody put here: counted, never touched;
                 also the files of a catalogue that describe the newest manifest, which no reader
                 needs and which only their writer asked for

While a plan is pending, whatever would be superseded is pending, also a shard that an earlier
manifest names: a plan that goes back to an earlier codec finds those shards standing and counts on
them.
"""

import json
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from materialize.atomic import is_temporary
from materialize.errors import ManifestError, StorageError
from materialize.manifest import SHARDS_DIRECTORY, Manifest
from materialize.receipts import RECEIPTS_DIRECTORY
from materialize.stamps import STAMPS_FILE
from materialize.whereabouts import SOURCE_FILE

ESTIMATE_FILE = "estimate.json"

Kind = Literal[
    "shard", "receipt", "manifest", "plan", "population", "statistics", "stamps", "source",
    "estimate", "metadata", "temporary", "other",
]  # fmt: skip
State = Literal["live", "pending", "superseded", "temporary", "foreign"]

_BLOCK_BYTES = 512
"""POSIX counts allocated blocks in this unit, whatever the file system's own is."""

_SHARD = re.compile(r"(copy|original)(-mask)?-g\d{4,}-.+-[0-9a-f]{16}")
_NUMBERED = re.compile(r"(manifest|plan)-(\d{6}|[1-9]\d{6,})\.json")
_DIGESTED = re.compile(r"(population|statistics)-[0-9a-f]{16}\.h5")
_SINGLE: dict[str, Kind] = {
    SOURCE_FILE: "source", STAMPS_FILE: "stamps", ESTIMATE_FILE: "estimate",
}  # fmt: skip
_CATALOGUE_FILE = "croissant.json"
_CATALOGUE = (_CATALOGUE_FILE, "croissant-records.csv", "croissant-shards.csv")
"""What `materialize metadata` writes. The first names the manifest that all of them describe; it
sorts last, so that a collection that is killed between them finds the rest the next time."""
_DESCRIBED = re.compile(r"urn:sha256:(?P<digest>[0-9a-f]{64})")
_PREFERENCE: tuple[State, ...] = ("live", "pending", "superseded", "temporary", "foreign")
"""To which state the bytes of a file with several names belong."""


@dataclass(frozen=True, slots=True)
class Item:
    """One file."""

    path: str
    """Relative to the dataset, with slashes."""
    kind: Kind
    state: State
    num_bytes: int
    """Its length. Of a file with several names here (hard links), at one of them and 0 at the
    others, the one that is needed most: what `du` counts, and what removing the others frees."""
    allocated_bytes: int
    """What the file system has set aside; its length where the system does not say."""


def take_inventory(
    directory: Path, manifest: Manifest, *, may_be_older: bool = False
) -> tuple[Item, ...]:
    """Every file under a dataset's directory.

    Links are not followed: each counts as the few bytes that it is. Only the folders of shards and
    receipts themselves may be links, to another disk.

    Args:
        directory: of the dataset.
        manifest: its newest one.
        may_be_older: whether any earlier manifest will do; what later ones need is pending then.

    Returns:
        Sorted by path.

    Raises:
        ManifestError: there is a newer manifest, such as one that was published meanwhile.
        StorageError: a directory cannot be listed.
    """
    # The root comes last: a plan is claimed before its first shard, so the plan of any shard that
    # was listed is found there.
    folders = _list(directory, "")[1]
    found = [file for folder in folders for file in _walk(directory, folder)]
    found += _list(directory, "")[0]
    numbers = [match for file in found if (match := _NUMBERED.fullmatch(file.path))]
    if not may_be_older:
        _check_newest(directory, manifest, [int(m[2]) for m in numbers if m[1] == "manifest"])
    is_pending = any(m[1] == "plan" and int(m[2]) > manifest.number for m in numbers)
    outdated = outdated_catalogue(directory, manifest)
    names = _Names(manifest, outdated, is_pending=is_pending)
    items = [_item(file, names) for file in found]
    return tuple(sorted(_counted_once(items, found), key=lambda item: item.path))


def outdated_catalogue(directory: Path, manifest: Manifest) -> tuple[str, ...]:
    """The files of `materialize metadata` that describe another manifest than this one, sorted.

    Those of a catalogue that somebody else wrote are none, nor are tables without a catalogue.
    """
    try:
        identifier = json.loads((directory / _CATALOGUE_FILE).read_bytes())["identifier"]
        described = _DESCRIBED.fullmatch(identifier)
    except (OSError, ValueError, TypeError, LookupError):
        return ()
    if described is None or described["digest"] == manifest.digest():
        return ()
    return tuple(sorted(name for name in _CATALOGUE if (directory / name).is_file()))


@dataclass(frozen=True, slots=True)
class _File:
    """What the file system says."""

    path: str
    num_bytes: int
    allocated_bytes: int
    identity: tuple[int, int] | None
    """Device and inode, where the file has other names."""


class _Names:
    """What names mean for one manifest."""

    def __init__(self, manifest: Manifest, outdated: Collection[str], *, is_pending: bool) -> None:
        self._number = manifest.number
        self._outdated = outdated
        self._shards = {entry.file.removesuffix(".h5") for entry in manifest.shards}
        self._populations = {entry.file for entry in manifest.populations}
        self._rest: State = "pending" if is_pending else "superseded"

    def meaning(self, path: str) -> tuple[Kind, State]:
        """Kind and state of a path inside the dataset."""
        folder, _, name = path.rpartition("/")
        if folder in ("", SHARDS_DIRECTORY, RECEIPTS_DIRECTORY) and is_temporary(name):
            return "temporary", "temporary"
        if folder == SHARDS_DIRECTORY:
            return self._shard("shard", name, ".h5")
        if folder == RECEIPTS_DIRECTORY:
            return self._shard("receipt", name, ".json")
        return self._at_root(name) if not folder else ("other", "foreign")

    def _shard(self, kind: Kind, name: str, suffix: str) -> tuple[Kind, State]:
        stem = name.removesuffix(suffix)
        if name.endswith(suffix) and stem in self._shards:
            return kind, "live"
        if name.endswith(suffix) and _SHARD.fullmatch(stem):
            return kind, self._rest
        return "other", "foreign"

    def _at_root(self, name: str) -> tuple[Kind, State]:
        if name in _SINGLE:
            return _SINGLE[name], "live"
        if name in _CATALOGUE:
            return "metadata", self._rest if name in self._outdated else "foreign"
        if match := _NUMBERED.fullmatch(name):
            kind: Kind = "plan" if match[1] == "plan" else "manifest"
            return kind, "live" if int(match[2]) <= self._number else "pending"
        if match := _DIGESTED.fullmatch(name):
            if match[1] == "statistics":
                return "statistics", "live"
            return "population", "live" if name in self._populations else self._rest
        return "other", "foreign"


def _item(file: _File, names: _Names) -> Item:
    kind, state = names.meaning(file.path)
    return Item(file.path, kind, state, file.num_bytes, file.allocated_bytes)


def _counted_once(items: list[Item], files: list[_File]) -> Iterator[Item]:
    """The items, with the bytes of a file that has several names at one of them."""
    owners: dict[tuple[int, int], Item] = {}
    pairs = list(zip(items, files, strict=True))
    for item, file in pairs:
        if file.identity is not None:
            owner = owners.setdefault(file.identity, item)
            if _PREFERENCE.index(item.state) < _PREFERENCE.index(owner.state):
                owners[file.identity] = item
    for item, file in pairs:
        if file.identity is None or owners[file.identity] is item:
            yield item
        else:
            yield Item(item.path, item.kind, item.state, 0, 0)


def _walk(directory: Path, folder: str) -> Iterator[_File]:
    """The files of a folder and of all folders in it."""
    waiting = [folder]
    while waiting:
        files, folders = _list(directory, waiting.pop())
        yield from files
        waiting += folders


def _list(directory: Path, folder: str) -> tuple[list[_File], list[str]]:
    """The files and the folders directly in a folder, as paths inside the dataset."""
    files, folders = [], []
    try:
        with os.scandir(directory / folder) as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=path in (SHARDS_DIRECTORY, RECEIPTS_DIRECTORY)):
                    folders.append(path)
                elif (file := _stat(entry, path)) is not None:
                    files.append(file)
    except OSError as error:
        if folder and isinstance(error, FileNotFoundError):  # it went away since it was listed
            return [], []
        raise StorageError(
            f"{directory / folder}: cannot list what is there: {error.strerror}; make the "
            "directory readable and run again",
            {"path": str(directory / folder), "errno": error.errno},
        ) from error
    return files, folders


def _stat(entry: os.DirEntry[str], path: str) -> _File | None:
    """What the file system says of a file; None if it went away since it was listed."""
    try:
        stat = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    identity = (stat.st_dev, stat.st_ino) if stat.st_nlink > 1 else None
    return _File(path, stat.st_size, _allocated(stat), identity)


def _allocated(stat: os.stat_result) -> int:
    """Bytes set aside for a file; its length where the system does not say (Windows)."""
    blocks: int | None = getattr(stat, "st_blocks", None)
    return stat.st_size if blocks is None else blocks * _BLOCK_BYTES


def _check_newest(directory: Path, manifest: Manifest, numbers: Collection[int]) -> None:
    """What a newer manifest names would look superseded."""
    newest = max(numbers, default=0)
    if newest > manifest.number:
        raise ManifestError(
            f"{directory}: expected manifest {manifest.number} to be the newest, found manifest "
            f"{newest}; another job published it meanwhile. Run the command again",
            {"path": str(directory), "expected": manifest.number, "found": newest},
        )
