"""Tables as plain values: columns with what they mean, and rows of cells."""

from dataclasses import dataclass, replace

from materialize.report.cells import Cell

_PHONE_LETTERS, _PROSE_LETTERS = 46, 32
"""How many fit beside each other on a phone, and how wide a column of sentences gets."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    title: str
    meaning: str = ""
    """Its definition, shown on demand."""
    is_number: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of each row names it."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    source: str = ""
    """Where its numbers were read."""
    is_on_demand: bool = False
    """Whether it is folded away until somebody wants it."""

    def without_empty_columns(self) -> "Table":
        """The same table without columns that say nothing in any row."""
        kept = [i for i in range(len(self.columns)) if any(row[i].parts for row in self.rows)]
        return replace(
            self,
            columns=tuple(self.columns[i] for i in kept),
            rows=tuple(tuple(row[i] for i in kept) for row in self.rows),
        )

    @property
    def is_wide(self) -> bool:
        """Whether it is wider than a phone, by the longest text of each column."""
        widths = (max(min(len(text), _PROSE_LETTERS) for text in texts) for texts in self._texts())
        return sum(width + 2 for width in widths) > _PHONE_LETTERS

    def _texts(self) -> list[list[str]]:
        """Column by column; a head may be broken between its words."""
        return [
            [*column.title.split(), *(row[place].text for row in self.rows)] or [""]
            for place, column in enumerate(self.columns)
        ]

    @property
    def meanings(self) -> tuple[tuple[str, str], ...]:
        """Column titles with their definitions."""
        return tuple((c.title, c.meaning) for c in self.columns if c.meaning)
