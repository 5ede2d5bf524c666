"""Accounts of several datasets beside each other, and what grew from one to another."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from materialize.accounting.account import StorageAccount
from materialize.accounting.breakdown import copy_name


@dataclass(frozen=True, slots=True)
class Change:
    """One size in two datasets, in bytes; 0 where a dataset has nothing of the name."""

    name: str
    before: int
    after: int

    @property
    def growth(self) -> int:
        """Bytes more, or fewer where negative."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Difference:
    """What grew, and where. In every breakdown the growths sum to that of its whole."""

    before: str
    """Directory of the first dataset."""
    after: str
    stored: Change
    """All files; the whole of ``by_kind``."""
    shards: Change
    """The shards; the whole of every other breakdown."""
    allocated: Change
    by_kind: tuple[Change, ...]
    by_class: tuple[Change, ...]
    by_split: tuple[Change, ...]
    by_copy: tuple[Change, ...]
    by_target: tuple[Change, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        facts: dict[str, Any] = {"before": self.before, "after": self.after}
        for name in ("stored", "shards", "allocated"):
            facts[name] = _facts(getattr(self, name))
        for name in ("by_kind", "by_class", "by_split", "by_copy", "by_target"):
            facts[name] = [_facts(change) for change in getattr(self, name)]
        return facts


def compare_accounts(before: StorageAccount, after: StorageAccount) -> Difference:
    """What a dataset takes more than another, by kind, class, split, copy and target."""
    return Difference(
        before=str(before.directory),
        after=str(after.directory),
        stored=Change("all", before.stored_bytes, after.stored_bytes),
        shards=Change("all", before.shards_bytes, after.shards_bytes),
        allocated=Change("allocated", before.allocated_bytes, after.allocated_bytes),
        by_kind=_changes(before.kinds, after.kinds),
        by_class=_changes(before.by_class, after.by_class),
        by_split=_changes(before.by_split, after.by_split),
        by_copy=_changes(_named(before.by_copy), _named(after.by_copy)),
        by_target=_changes(before.by_target, after.by_target),
    )


def total_of(accounts: Iterable[StorageAccount]) -> dict[str, int]:
    """What several datasets take together: sizes in bytes, and how many shards and images."""
    names = (
        "source_bytes", "logical_bytes", "shards_bytes", "stored_bytes", "allocated_bytes",
        "num_samples", "num_images", "num_shards",
    )  # fmt: skip
    listed = tuple(accounts)
    return {name: sum(getattr(account, name) for account in listed) for name in names}


def _changes(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[Change, ...]:
    """One for each name of either, those of the first dataset first."""
    return tuple(
        Change(name, before.get(name, 0), after.get(name, 0))
        for name in dict.fromkeys((*before, *after))
    )


def _named(by_copy: Mapping[int, int]) -> dict[str, int]:
    return {copy_name(copy): size for copy, size in by_copy.items()}


def _facts(change: Change) -> dict[str, Any]:
    return {"name": change.name, "before": change.before, "after": change.after,
            "growth": change.growth}  # fmt: skip
