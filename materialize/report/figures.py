"""Figures that stand alone on a page, each with how it was computed, from what, and read where."""

from dataclasses import dataclass

from materialize.report.cells import Cell


@dataclass(frozen=True, slots=True)
class Derivation:
    """How a figure came about, shown on demand."""

    formula: str
    inputs: tuple[tuple[str, Cell], ...]
    """What stands in the formula, by name."""
    source: str
    """Where the inputs were read."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One number and what it is."""

    name: str
    value: Cell
    remark: str
    """A few words below it."""
    derivation: Derivation
    key: str = ""
    """Its place in the embedded facts, such as ``account.stored_bytes``; empty where it is derived
    from several."""
