"""Reading a CSV or TSV file into rows of named cells, strictly."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

from materialize.errors import SourceError

Row = dict[str, str]

_DELIMITER_BY_SUFFIX = {".csv": ",", ".tsv": "\t"}


def read_rows(path: Path) -> tuple[list[str], list[Row]]:
    """The header and the rows of a table; blank lines are skipped.

    Args:
        path: a .csv or .tsv file in UTF-8, with or without a byte order mark. A .csv whose header
            has semicolons and no comma is read with semicolons, as spreadsheets write it in
            countries with a decimal comma.

    Raises:
        SourceError: it cannot be read, has no header, repeats a column, or a row has another number
            of cells.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}", {"path": str(path)}) from error
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8", {"path": str(path)}
        ) from error
    first_line = text.split("\n", 1)[0]
    delimiter = _DELIMITER_BY_SUFFIX.get(path.suffix.lower(), ",")
    if delimiter == "," and "," not in first_line and ";" in first_line:
        delimiter = ";"
    try:
        lines = [line for line in csv.reader(text.splitlines(True), delimiter=delimiter) if line]
    except csv.Error as error:
        raise SourceError(f"{path} is not a table: {error}", {"path": str(path)}) from error
    if len(lines) < 2:
        raise SourceError(
            f"{path} has {len(lines)} lines: a header and rows are needed", {"path": str(path)}
        )
    header = [name.strip() for name in lines[0]]
    _check_shape(path, header, lines[1:])
    return header, [dict(zip(header, line, strict=True)) for line in lines[1:]]


def _check_shape(path: Path, header: list[str], lines: list[list[str]]) -> None:
    if len(set(header)) < len(header):
        raise SourceError(
            f"{path} has a column twice in {', '.join(header)}: rename one",
            {"path": str(path), "columns": header},
        )
    for row, line in enumerate(lines, start=1):
        if len(line) != len(header):
            raise SourceError(
                f"{path}, row {row}: {len(line)} cells under {len(header)} columns",
                {"path": str(path), "row": row, "expected": len(header), "found": len(line)},
            )


def refuse_rows(
    table: Path, values: Sequence[str], bad: Sequence[bool], why: Callable[[int], str]
) -> None:
    """Refuses the table if any row is bad, naming the first ones.

    Args:
        table: for the message.
        values: what stands in each row.
        bad: which rows are.
        why: the clause that follows a row's value.

    Raises:
        SourceError: some are.
    """
    rows = [index for index, is_bad in enumerate(bad) if is_bad]
    if not rows:
        return
    shown = "; ".join(f"row {index + 1}: {values[index]!r} {why(index)}" for index in rows[:3])
    more = f" (and {len(rows) - 3} more rows)" if len(rows) > 3 else ""
    raise SourceError(
        f"{table}: {shown}{more}",
        {"path": str(table), "rows": [index + 1 for index in rows]},
    )
