"""Results on standard output: JSON for programs, tables for people."""

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

_FILE_WIDTH = 160


def print_json(facts: Any) -> None:
    """Prints a result as one JSON document."""
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False, default=_plain))


def _plain(value: Any) -> Any:
    """What JSON has no word for."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def table(title: str, rows: Iterable[tuple[str, str, str]], *, are_numbers: bool = True) -> None:
    """Prints a titled table; nothing if there are no rows.

    Args:
        title: above it.
        rows: (name, value, remark).
        are_numbers: whether the values are, which aligns them at the right.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    rows = list(rows)
    if not rows:
        return
    grid = Table(
        box=None, show_header=False, title=title, title_justify="left", title_style="bold",
        pad_edge=False, padding=(0, 2, 0, 0),
    )  # fmt: skip
    grid.add_column(min_width=14, overflow="fold")
    grid.add_column(justify="right" if are_numbers else "left", overflow="fold")
    grid.add_column(style="dim", overflow="fold")
    for row in rows:
        grid.add_row(*map(escape, row))
    # A file has no width to fold to; and nobody wants the padding that fills it up.
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    console = Console(highlight=False, width=None if is_terminal else _FILE_WIDTH)
    with console.capture() as captured:
        console.print(grid)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())
    click.echo()
