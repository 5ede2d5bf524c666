"""Columns instead of objects: what a source of a million records keeps in memory.

A million paths as Python strings are 120 MB that every pickling to a worker walks one by one. As
one run of bytes with offsets they are two NumPy arrays, which joblib maps into workers for free.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materialize.sources.base import SPLITS, Record

# File names need not be valid UTF-8 on Linux; this keeps any of them intact, there and back.
_ENCODING_ERRORS = "surrogateescape"


@dataclass(frozen=True, slots=True, eq=False)
class TextColumn(Sequence[str]):
    """An immutable column of strings: UTF-8 bytes and the offsets between them."""

    values: NDArray[np.uint8]
    """(total bytes,)"""
    offsets: NDArray[np.int64]
    """(n + 1,), non-decreasing, from 0 to the total."""

    @classmethod
    def of(cls, texts: Iterable[str]) -> "TextColumn":
        """The column that holds these strings."""
        encoded = [text.encode("utf-8", _ENCODING_ERRORS) for text in texts]
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(text) for text in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), np.uint8), offsets)

    @classmethod
    def joined(cls, columns: Sequence["TextColumn"]) -> "TextColumn":
        """The columns one after the other."""
        lengths = [np.diff(column.offsets) for column in columns]
        offsets = np.zeros(1 + sum(map(len, lengths)), np.int64)
        if columns:
            np.cumsum(np.concatenate(lengths), out=offsets[1:])
        values = [column.values for column in columns] or [np.empty(0, np.uint8)]
        return cls(np.concatenate(values), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:  # type: ignore[override]  # rows: see `taken`
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of a column of {len(self)}")
        index %= len(self)
        text = self.values[self.offsets[index] : self.offsets[index + 1]].tobytes()
        return text.decode("utf-8", _ENCODING_ERRORS)

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TextColumn):
            return NotImplemented
        return np.array_equal(self.values, other.values) and np.array_equal(
            self.offsets, other.offsets
        )

    __hash__ = None  # type: ignore[assignment]  # equal by content, like an array

    def taken(self, rows: NDArray[np.int64]) -> "TextColumn":
        """The column of these rows, in this order.

        Args:
            rows: (m,) indices in [0, n).
        """
        lengths = np.diff(self.offsets)[rows]
        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        # Every byte's place in the old run: its row's old start plus its distance from the new one.
        shifts = np.repeat(self.offsets[:-1][rows] - offsets[:-1], lengths)
        return TextColumn(self.values[np.arange(offsets[-1]) + shifts], offsets)


@dataclass(frozen=True, slots=True)
class RecordTable:
    """Records as columns; what `Record` describes one by one."""

    locators: TextColumn
    labels: NDArray[np.int32]
    """Index into ``class_names``; -1 in an unlabelled table."""
    splits: NDArray[np.uint8]
    """Index into `SPLITS`."""
    groups: TextColumn
    class_names: tuple[str, ...]
    explicit_ids: TextColumn | None = None

    @classmethod
    def of(cls, records: Sequence[Record], class_names: tuple[str, ...]) -> "RecordTable":
        """The table of these records, whose labels are all in ``class_names``."""
        number_by_name = {name: number for number, name in enumerate(class_names)}
        labels = [-1 if r.label is None else number_by_name[r.label] for r in records]
        named = [r.explicit_id for r in records if r.explicit_id is not None]
        return cls(
            locators=TextColumn.of(r.locator for r in records),
            labels=np.array(labels, np.int32),
            splits=np.array([SPLITS.index(r.split) for r in records], np.uint8),
            groups=TextColumn.of(r.group for r in records),
            class_names=class_names,
            explicit_ids=TextColumn.of(named) if named else None,
        )

    def __len__(self) -> int:
        return len(self.locators)

    def record(self, index: int) -> Record:
        """Row ``index`` as a record."""
        label = int(self.labels[index])
        return Record(
            locator=self.locators[index],
            label=None if label < 0 else self.class_names[label],
            split=SPLITS[self.splits[index]],
            group=self.groups[index],
            explicit_id=None if self.explicit_ids is None else self.explicit_ids[index],
        )
