"""The command line: finds the command, and turns whatever ends it into one line and an exit code.

Commands are imported when they are called, so that ``materialize --help`` answers at once.
"""

import difflib
import importlib
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

import click

from materialize.console import streams_undisturbed
from materialize.exit_codes import MEANINGS, ExitCode, exit_code_of

_COMMANDS = {
    "build": ("building", "Write a dataset of augmented copies; run again, it goes on."),
    "extend": ("building", "Add copies or new images to a dataset; nothing there changes."),
    "finish": ("building", "Publish a dataset whose parts are all built."),
    "transcode": ("maintenance", "Give a dataset another codec or storage mode."),
    "remove": ("maintenance", "Take images out of a dataset, with all their copies."),
    "gc": ("maintenance", "Remove what the newest manifest does not need."),
    "plan": ("planning", "Say what a build will take: bytes, time, memory and money."),
    "check": ("looking", "Say what is wrong with a pipeline for these images."),
    "preview": ("looking", "Draw originals beside their copies into a PNG."),
    "transforms": ("looking", "List the transforms and the presets."),
    "verify": ("verifying", "Check a dataset: structure, every byte, or every pixel."),
    "repair": ("verifying", "Rebuild what is damaged, and nothing else."),
    "explain": ("verifying", "Say where one stored image comes from, and make it again."),
    "prove": ("verifying", "Show that worker count, order and kills change no byte."),
    "train": ("training", "Train a model from a dataset; run again, it goes on."),
    "contrast": ("contrasting", "Offline against on-the-fly, with everything else equal."),
    "storage": ("accounting", "Account for every byte of datasets, and compare two."),
    "prices": ("pricing", "Print a price book: every price with its source and date."),
    "cost": ("pricing", "Say what a dataset, or each arm of a contrast, costs."),
    "report": ("reporting", "Draw a dataset or a contrast as one HTML page."),
    "sweep": ("transferring", "Fine-tune a pretrained base from each layer on."),
    "activations": ("transferring", "Draw where a trained model saw its evidence (Grad-CAM)."),
    "export": ("exporting", "Write images for other tools: folders, NPZ, TFRecord, WebDataset."),
    "metadata": ("exporting", "Write Croissant metadata, which dataset catalogues read."),
    "card": ("exporting", "Write a dataset card in Markdown."),
    "demo": ("demonstration", "The whole way on the embedded digits, to one HTML report."),
}
"""Command → the module in `materialize.commands` it is in, and its line in the help."""

_QUARANTINE_SHOWN = 50


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived: everything that ends well on Ctrl-C ends well on it."""


class _Commands(click.Group):
    """Commands that are imported when they are asked for."""

    def list_commands(
        self,
        ctx: click.Context,  # noqa: ARG002  # click's signature
    ) -> list[str]:  # click's signature
        """The names, in the order in which people need them."""
        return list(_COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        """The command, imported; None if there is none of that name."""
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"materialize.commands.{_COMMANDS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that was asked for; the nearest ones are named if there is none."""
        if args[0] not in _COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(_COMMANDS)}"
            ctx.fail(f"there is no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """Writes the list without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in _COMMANDS.items()])

    def format_epilog(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """Writes the table of exit codes."""
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code.value), line) for code, line in MEANINGS.items()])


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="materialize")
def cli() -> None:
    """Writes reproducible augmented copies of image datasets into HDF5 shards."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: without the program's name; those of this process by default.

    Returns:
        The exit code; see `materialize.exit_codes`.
    """
    with streams_undisturbed():
        return _run(arguments)


def _run(arguments: Sequence[str] | None) -> int:
    try:
        with _sigterm_raises():
            code = cli.main(args=arguments, prog_name="materialize", standalone_mode=False)
            return int(code or ExitCode.DONE)
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except click.Abort as error:
        return _stopped(error.__cause__)
    except KeyboardInterrupt as error:
        return _stopped(error)
    except Exception as error:  # noqa: BLE001  # what is not expected is raised again
        return _failed(error)


def _stopped(signal_error: BaseException | None) -> ExitCode:
    """Says that a signal ended the command."""
    by_sigterm = isinstance(signal_error, Terminated)
    name = "SIGTERM" if by_sigterm else "Ctrl-C"
    kept = "what is finished is kept, and the same command goes on"
    notes = getattr(signal_error, "__notes__", None) or [kept]  # a command may know better
    _say(f"stopped by {name}; {notes[0]}")
    return ExitCode.TERMINATED if by_sigterm else ExitCode.INTERRUPTED


def _failed(error: Exception) -> ExitCode:
    """Says what an expected error says; an unexpected one is a bug and goes on to its traceback."""
    # By now whatever raised it was imported, so this costs nothing.
    from materialize.errors import QuarantineLimitError
    from pipelines.errors import FactualError

    if isinstance(error, OSError) and not isinstance(error, FactualError):
        place = f"{error.filename}: " if error.filename else ""
        _say(f"{place}{error.strerror or error}")
        return ExitCode.FAILED
    if not isinstance(error, FactualError):
        raise error
    _say(str(error))
    if isinstance(error, QuarantineLimitError):
        _list_quarantined(error)
    return exit_code_of(error)


def _list_quarantined(error: Exception) -> None:
    items = getattr(error, "quarantined", ())
    for item in items[:_QUARANTINE_SHOWN]:
        click.echo(f"  {item.locator}: {item.reason}: {item.detail}", err=True)
    if len(items) > _QUARANTINE_SHOWN:
        click.echo(f"  … and {len(items) - _QUARANTINE_SHOWN} more", err=True)


def _say(message: str) -> None:
    click.echo(f"{click.style('materialize:', fg='red', bold=True)} {message}", err=True)


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Makes SIGTERM end the block as Ctrl-C does; only a process's main thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise Terminated
