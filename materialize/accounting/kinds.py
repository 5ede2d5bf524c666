"""Every kind of byte of a dataset, by file: what its manifest says against what the disk says.

The sums here are those of the file system at one moment: lengths (`st_size`) and what is allocated
(`st_blocks`), which is more where files do not fill their last block, and fewer where the file
system compresses or a file has holes.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from materialize.errors import AccountError, ShardMissingError
from materialize.inventory import Item, State, take_inventory
from materialize.manifest import SHARDS_DIRECTORY, Manifest
from materialize.shards.layout import ShardEntry

_KINDS = {
    "manifest": "manifests", "plan": "plans", "population": "populations", "receipt": "receipts",
    "statistics": "statistics", "stamps": "stamps", "source": "source", "estimate": "estimate",
}  # fmt: skip
"""What files are besides shards, and their name in the account."""


@dataclass(frozen=True, slots=True)
class FileSum:
    """Some files together."""

    num_files: int
    num_bytes: int
    allocated_bytes: int


@dataclass(frozen=True, slots=True)
class FileAccount:
    """The files under a dataset's directory."""

    kinds: dict[str, int]
    """Bytes of what is live: ``pixels``, ``columns``, ``container``, ``manifests``, ``plans``,
    ``populations``, ``receipts``, ``statistics``, ``stamps``, ``source``, ``estimate``."""
    states: dict[State, FileSum]
    """Every state, also where no file has it."""

    @property
    def stored_bytes(self) -> int:
        """Of what is live."""
        return self.states["live"].num_bytes

    @property
    def allocated_bytes(self) -> int:
        """Of what is live."""
        return self.states["live"].allocated_bytes

    @property
    def shards_bytes(self) -> int:
        """Of the live shards."""
        return self.kinds["pixels"] + self.kinds["columns"] + self.kinds["container"]


def account_files(
    directory: Path, manifest: Manifest, *, may_be_older: bool = False
) -> FileAccount:
    """Accounts for every file under a dataset's directory, and opens none.

    Args:
        directory: of the dataset.
        manifest: its newest one.
        may_be_older: whether any earlier manifest will do; what later ones need is pending then.

    Raises:
        ShardMissingError: a shard of the manifest is not there.
        AccountError: a shard is not as long as the manifest says.
        ManifestError: there is a newer manifest.
        StorageError: a directory cannot be listed.
    """
    items = take_inventory(directory, manifest, may_be_older=may_be_older)
    live = [item for item in items if item.state == "live"]
    _check_shards(directory, manifest, live)
    kinds = _shard_kinds(manifest.shards) | dict.fromkeys(_KINDS.values(), 0)
    for item in live:
        if item.kind != "shard":
            kinds[_KINDS[item.kind]] += item.num_bytes
    states: tuple[State, ...] = ("live", "pending", "superseded", "temporary", "foreign")
    account = FileAccount(kinds, {state: _sum(items, state) for state in states})
    check_sum(directory, "the kinds of bytes", sum(kinds.values()), account.stored_bytes)
    return account


def check_sum(directory: Path, what: str, found: int, expected: int) -> None:
    """Two ways to count must agree.

    Raises:
        AccountError: they do not.
    """
    if found != expected:
        raise AccountError(
            f"{directory}: expected {what} to sum to {expected:,}, got {found:,}; run `materialize "
            "verify`, and report this if nothing is damaged",
            {"path": str(directory), "what": what, "expected": expected, "found": found},
        )


def _shard_kinds(shards: Iterable[ShardEntry]) -> dict[str, int]:
    sums: Counter[str] = Counter(pixels=0, columns=0, container=0)
    for entry in shards:
        container = entry.container_bytes
        sums["pixels"] += entry.images_stored_bytes
        sums["columns"] += entry.num_bytes - entry.images_stored_bytes - container
        sums["container"] += container
    return dict(sums)


def _check_shards(directory: Path, manifest: Manifest, live: Iterable[Item]) -> None:
    """Every shard must be there, as long as it was when it was published."""
    found = {item.path: item.num_bytes for item in live if item.kind == "shard"}
    for entry in manifest.shards:
        path = f"{SHARDS_DIRECTORY}/{entry.file}"
        if path not in found:
            raise ShardMissingError(
                f"{directory / path} is not there: expected {entry.num_bytes:,} bytes; run "
                f"`materialize repair {directory}`",
                {"path": str(directory / path), "expected": entry.num_bytes, "found": None},
            )
        if found[path] != entry.num_bytes:
            raise AccountError(
                f"{directory / path}: expected {entry.num_bytes:,} bytes as the manifest says, "
                f"found {found[path]:,} (a link counts as itself); run `materialize verify "
                f"{directory}`",
                {"path": str(directory / path), "expected": entry.num_bytes, "found": found[path]},
            )


def _sum(items: Iterable[Item], state: State) -> FileSum:
    chosen = [item for item in items if item.state == state]
    return FileSum(
        len(chosen),
        sum(item.num_bytes for item in chosen),
        sum(item.allocated_bytes for item in chosen),
    )
