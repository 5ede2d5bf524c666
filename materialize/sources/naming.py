"""What people call splits, and in which order class names are numbered."""

import re
from collections.abc import Iterable

SPLIT_BY_ALIAS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
    "t10k": "test",
}
"""Lower-case names under which a split is found in folders, tables and arrays."""


def split_named(name: str) -> str | None:
    """The split a name stands for, in any case; None if it stands for none."""
    return SPLIT_BY_ALIAS.get(name.strip().lower())


def naturally_sorted(names: Iterable[str]) -> tuple[str, ...]:
    """Distinct names in the order a person counts: "2" before "10", "img9" before "img10"."""
    return tuple(sorted(set(names), key=_natural_key))


def _natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    # Only ASCII digits: int() would take others too, and the order must be the same everywhere.
    parts = re.split(r"([0-9]+)", name)
    key = [
        (0, int(part), "") if part.isascii() and part.isdigit() else (1, 0, part) for part in parts
    ]
    return [part for part in key if part != (1, 0, "")], name
