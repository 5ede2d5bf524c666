"""Warnings as people read them: one line each on standard error, without the place in our code."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import click


def notify(message: str) -> None:
    """Says something that is no error, on standard error."""
    click.echo(f"{click.style('warning:', fg='yellow', bold=True)} {message}", err=True)


@contextmanager
def notices_shown() -> Iterator[None]:
    """Shows the warnings of the block, those that are meant for users, as lines."""
    before = warnings.showwarning

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int,
        file: TextIO | None = None, line: str | None = None,
    ) -> None:  # fmt: skip  # Python's signature
        if issubclass(category, UserWarning):
            notify(str(message))
        else:
            before(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before
