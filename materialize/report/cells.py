"""Numbers as they stand in tables and sentences: one way to write each kind of them.

A cell keeps the value it was written from, so that the page carries both and the two can be
compared. Nothing here computes: a value is the result's own, only scaled to its unit.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

MINUS = "−"


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a cell: words, or one number and the value it stands for."""

    text: str
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """What stands in one place of a table."""

    parts: tuple[Part, ...] = ()
    """None where there is nothing to say."""
    is_code: bool = False

    @property
    def text(self) -> str:
        """The cell as it is read."""
        return "".join(part.text for part in self.parts)


EMPTY = Cell()


def words(text: str) -> Cell:
    """A cell of words."""
    return Cell((Part(text),)) if text else EMPTY


def code(text: str) -> Cell:
    """A cell of something to be copied, such as a digest."""
    return Cell((Part(text),), is_code=True)


def percent(value: float | None, digits: int = 1) -> Cell:
    """A fraction in percent, without the sign: the column says it."""
    return _number(value, "" if value is None else percent_text(value, digits))


def points(value: float | None) -> Cell:
    """A difference of fractions in percentage points."""
    return _number(value, "" if value is None else points_text(value))


def decimal(value: float | None, digits: int) -> Cell:
    """A number with so many digits after the point."""
    return _number(value, "" if value is None else f"{value:,.{digits}f}")


def count(value: float | None) -> Cell:
    """A whole number, or one that is shown as such."""
    return decimal(value, 0)


def measured(text: str, value: float | Decimal) -> Cell:
    """A quantity as it is read, with its unit, and the number that it stands for."""
    return Cell((Part(text, float(value)),))


def byte_cell(num_bytes: float) -> Cell:
    """A size with its unit."""
    return measured(byte_text(num_bytes), num_bytes)


def byte_text(num_bytes: float) -> str:
    """Three digits in powers of 1,000: ``1.04 GB``, ``359 kB``, ``28 B``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(num_bytes) < 999.5:
            return f"{num_bytes:.0f} B" if unit == "B" else f"{three_digits(num_bytes)} {unit}"
        num_bytes /= 1000
    return f"{three_digits(num_bytes)} PB"


def three_digits(value: float) -> str:
    """``1.04``, ``35.9``, ``359``, ``90,215``."""
    places = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:,.{places}f}".replace("-", MINUS)


def percent_interval(low: float | None, high: float | None) -> Cell:
    """``70.1 … 73.4``, cut where it leaves 0 … 100."""
    return _interval(percent(fraction(low)), percent(fraction(high)))


def fraction(value: float | None) -> float | None:
    """The end of an interval of a share: Student's t knows no bounds, a share has two."""
    return None if value is None else min(max(value, 0.0), 1.0)


def points_interval(low: float | None, high: float | None) -> Cell:
    """``−0.8 … +0.3``."""
    return _interval(points(low), points(high))


def percent_text(value: float, digits: int = 1) -> str:
    """``71.8`` of 0.718."""
    return f"{100 * value:.{digits}f}".replace("-", MINUS)


def points_text(value: float) -> str:
    """``+0.3`` of 0.003; nothing before what rounds to zero."""
    text = f"{100 * value:+.1f}".replace("-", MINUS)
    return "0.0" if text[1:] == "0.0" else text


def p_cell(value: float | None) -> Cell:
    """A p-value to four digits; what is below them is said to be so."""
    if value is not None and 0 < value < 0.00005:
        return Cell((Part("< 0.0001", value),))
    return EMPTY if value is None else Cell((Part(f"{value:.4f}" if value else "0", value),))


def tied(text: str) -> str:
    """A sentence whose numbers stay on one line with their unit and with the end of an interval."""
    text = re.sub(r"(?<=\d) (?=[%…]|points?\b|of \d)", "\u00a0", text)
    return re.sub(r"(?<=…) (?=[\d+−])|(?<=\bK) (?==)|(?<==) (?=\d)", "\u00a0", text)


def listed(items: list[str], last: str = "and") -> str:
    """``a, b and c``."""
    return f" {last} ".join(filter(None, (", ".join(items[:-1]), *items[-1:])))


def counted(number: int, noun: str) -> str:
    """``1 seed``, ``5 seeds``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _number(value: float | None, text: str) -> Cell:
    return EMPTY if value is None else Cell((Part(text, value),))


def _interval(low: Cell, high: Cell) -> Cell:
    if not low.parts or not high.parts:
        return EMPTY
    return Cell((*low.parts, Part(" … "), *high.parts))
