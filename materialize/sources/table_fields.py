"""Columns of a table that are neither path nor class: several labels, values, weights.

Every cell is checked: what is missing, no number or not finite is one error that names the rows.
"""

import difflib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import SourceError
from materialize.sources.masks import MaskLabels, mask_labels
from materialize.sources.naming import naturally_sorted
from materialize.sources.tabular import Row, refuse_rows
from materialize.sources.targets import Field


@dataclass(frozen=True, slots=True)
class TableOptions:
    """How a table and the files it names are read. Columns default to their usual names."""

    root: str | None = None
    """The folder the paths are relative to; the table's own folder by default."""
    path_column: str | None = None
    label_column: str | None = None
    """An empty string says that there are no labels."""
    split_column: str | None = None
    group_column: str | None = None
    id_column: str | None = None
    path_suffix: str | None = None
    """Such as ``.bmp``: what to append to values without a suffix, where images share a stem."""
    follow_links: bool = False
    """Follow links that leave the root."""
    masks: str | None = None
    """A folder of masks, or a pattern; see `MaskNames`."""
    mask_labels: MaskLabels | None = None
    """What numbers in masks mean; kept as `masks.mask_labels` has it."""
    multi_label_column: str | None = None
    """Several labels in one cell, such as ``round|dark``; none in an empty one."""
    multi_label_columns: tuple[str, ...] = ()
    """One column of 0 and 1 for each label."""
    separator: str = "|"
    """Between the labels of ``multi_label_column``."""
    label_columns: tuple[str, ...] = ()
    """Further labels beside the class, one in each."""
    value_columns: tuple[str, ...] = ()
    """Numbers to be predicted."""
    weight_column: str | None = None
    """What each image counts; finite and not negative."""

    def __post_init__(self) -> None:
        """Brings what numbers in masks mean to one form."""
        object.__setattr__(self, "mask_labels", mask_labels(self.mask_labels, self.masks))


def has_fields(options: TableOptions) -> bool:
    """Whether a table has anything besides classes by its options."""
    return bool(
        options.multi_label_column
        or options.multi_label_columns
        or options.label_columns
        or options.value_columns
        or options.weight_column
    )


def table_fields(
    table: Path, header: Sequence[str], rows: Sequence[Row], options: TableOptions
) -> tuple[tuple[Field, ...], tuple[NDArray[Any], ...]]:
    """The fields that the options name, and their numbers.

    Args:
        table: for messages.
        header: its columns.
        rows: its rows.
        options: which columns are which.

    Returns:
        Fields, called like their column; several columns together are ``labels`` or ``values``.

    Raises:
        SourceError: a column is not there, or a cell holds nothing that can be used.
    """
    found: list[tuple[Field, NDArray[Any]]] = []
    if options.multi_label_column:
        cells = _cells(table, header, rows, options.multi_label_column)
        found.append(_tags(options.multi_label_column, cells, options.separator))
    if options.multi_label_columns:
        names = tuple(options.multi_label_columns)
        columns = [_bits(table, _cells(table, header, rows, name)) for name in names]
        found.append((Field("labels", "labels", names), np.stack(columns, axis=1)))
    for name in options.label_columns:
        cells = _cells(table, header, rows, name)
        refuse_rows(table, cells, [not cell for cell in cells], lambda _: "is no label")
        names = naturally_sorted(cells)
        number = {label: place for place, label in enumerate(names)}
        values = np.array([number[cell] for cell in cells], np.int32)
        found.append((Field(_named(name), "label", names), values))
    if options.value_columns:
        names = tuple(options.value_columns)
        numbers = [_numbers(table, _cells(table, header, rows, name)) for name in names]
        found.append((Field("values", "value", names), np.stack(numbers, axis=1)))
    if options.weight_column:
        cells = _cells(table, header, rows, options.weight_column)
        weights = _numbers(table, cells)
        refuse_rows(table, cells, (weights < 0).tolist(), lambda _: "is less than 0")
        found.append((Field("weight", "weight"), weights))
    return tuple(field for field, _ in found), tuple(values for _, values in found)


def _cells(table: Path, header: Sequence[str], rows: Sequence[Row], column: str) -> list[str]:
    if column not in header:
        close = difflib.get_close_matches(column, header, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(header)}"
        raise SourceError(
            f"{table} has no column {column!r}; {hint}",
            {"path": str(table), "columns": list(header), "found": column},
        )
    return [row[column].strip() for row in rows]


def _named(column: str) -> str:
    """A column's name as that of a field."""
    plain = re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")[:40]
    return plain if plain[:1].isalpha() else f"column_{plain}"


def _tags(column: str, cells: Sequence[str], separator: str) -> tuple[Field, NDArray[Any]]:
    several = [[tag for part in cell.split(separator) if (tag := part.strip())] for cell in cells]
    names = naturally_sorted(tag for tags in several for tag in tags)
    number = {name: place for place, name in enumerate(names)}
    values = np.zeros((len(cells), len(names)), np.uint8)
    for row, tags in enumerate(several):
        values[row, [number[tag] for tag in tags]] = 1
    return Field(_named(column), "labels", names), values


def _bits(table: Path, cells: Sequence[str]) -> NDArray[np.uint8]:
    refuse_rows(table, cells, [c not in ("0", "1") for c in cells], lambda _: "is neither 0 nor 1")
    return np.array([cell == "1" for cell in cells], np.uint8)


def _numbers(table: Path, cells: Sequence[str]) -> NDArray[np.float32]:
    numbers = [_number(cell) for cell in cells]
    refuse_rows(table, cells, [not math.isfinite(n) for n in numbers], lambda _: "is no number")
    return np.array(numbers, np.float32)


def _number(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        return math.nan
    # What single precision cannot hold is infinite there.
    return value if abs(value) <= float(np.finfo(np.float32).max) else math.inf
