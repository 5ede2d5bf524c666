"""Tables of many columns for a terminal; `output.table` has those of three."""

import sys
import unicodedata
from collections.abc import Sequence

import click

_FILE_WIDTH = 200
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of control and format characters, lone surrogates and separators."""


def print_grid(
    title: str,
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    num_texts: int = 1,
    has_remark: bool = False,
) -> None:
    """Prints a titled table; nothing if there are no rows.

    Args:
        title: above it.
        head: of each column; all empty for none.
        rows: as long as ``head``.
        num_texts: how many columns are text, from the left; the others are numbers.
        has_remark: whether the last column is a remark.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if not rows:
        return
    grid = Table(
        box=None, show_header=any(head), title=escape(visible(title)), title_justify="left",
        title_style="bold", pad_edge=False, padding=(0, 2, 0, 0), header_style="dim",
    )  # fmt: skip
    for place, name in enumerate(head):
        is_remark = has_remark and place == len(head) - 1
        is_text = place < num_texts or is_remark
        grid.add_column(
            escape(visible(name)), justify="left" if is_text else "right", overflow="fold",
            style="dim" if is_remark else None, no_wrap=not is_text,
        )  # fmt: skip
    for row in rows:
        grid.add_row(*(escape(visible(text)) for text in row))
    # A file has no width to fold to; and nobody wants the padding that fills it up.
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    console = Console(highlight=False, width=None if is_terminal else _FILE_WIDTH)
    with console.capture() as captured:
        console.print(grid)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())
    click.echo()


def visible(text: str) -> str:
    """A text with escapes for what would move the cursor, turn the line round or not be UTF-8."""
    return "".join(
        letter.encode("unicode_escape").decode("ascii")
        if unicodedata.category(letter) in _UNSEEN
        else letter
        for letter in text
    )
