"""export, metadata and card: a dataset for other tools, for catalogues, and for people."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from materialize.commands.options import ALLOW_CODE, DATASET, JSON, SectionedCommand

if TYPE_CHECKING:
    from materialize.export.exporter import ExportReport
    from materialize.metadata.about import About

_PINNED = click.option("--pinned", metavar="DIGEST",
                       help="Read this manifest instead of the newest.")  # fmt: skip


@click.command(
    cls=SectionedCommand,
    examples=(
        "materialize export photos-augmented pictures --to folder",
        "materialize export photos-augmented for-numpy --to npz --split train --copies 0,1",
        "materialize export photos-augmented records --to tfrecord --image-format jpeg-95",
        "materialize export photos-augmented tars --to webdataset --max-mb 256",
    ),
)
@DATASET
@click.argument("output", type=click.Path())
@click.option("--to", required=True, metavar="FORM",
              help="folder (pictures and index.csv), npz, tfrecord or webdataset.")  # fmt: skip
@click.option("--split", "splits", multiple=True, metavar="NAME",
              help="train, val or test; repeatable; all unless given.")  # fmt: skip
@click.option("--copies", default="all", show_default=True, metavar="COPIES",
              help="Of training images: all, originals, or numbers such as 0,1 (-1 is the "
              "untouched image). Other splits only have untouched images.")  # fmt: skip
@click.option("--image-format", metavar="FORMAT",
              help="png (the default), webp (lossless) or jpeg-Q; raw for tfrecord, and always "
              "for npz.")  # fmt: skip
@click.option("--max-mb", type=float, default=128.0, show_default=True, metavar="MIB",
              help="Of tfrecord and webdataset: pixels of one file at most, before encoding.",
              )  # fmt: skip
@click.option("--source", metavar="SOURCE",
              help="Where to look for images that are not stored; where they were last seen unless "
              "given.")  # fmt: skip
@_PINNED
@click.option("--workers", type=int, metavar="N",
              help="Threads that read and encode; as many as there are processors unless given.",
              )  # fmt: skip
@ALLOW_CODE
@JSON
def export(  # noqa: PLR0913  # click gives one argument for each option
    dataset: str, output: str, to: str, splits: tuple[str, ...], copies: str,
    image_format: str | None, max_mb: float, source: str | None, pinned: str | None,
    workers: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Write a dataset's images in the form that other tools read.

    Killed anywhere, the same command goes on; export.json comes last and has every file's SHA-256.
    """
    from materialize.assembly import available_processors
    from materialize.commands.output import print_json
    from materialize.console import progress_shown
    from materialize.export.exporter import export_dataset
    from materialize.export.options import parse_copies

    if to == "tfrecord":
        _start_tensorflow()
    with progress_shown() as progress:
        report = export_dataset(
            dataset, output, to=to, splits=splits, copies=parse_copies(copies),
            image_format=image_format, max_mb=max_mb, source=source, pinned=pinned,
            workers=available_processors() if workers is None else workers, progress=progress,
        )  # fmt: skip
    if as_json:
        print_json(report.to_json())
    else:
        _print_report(report)


def _start_tensorflow() -> None:
    """Loads TensorFlow without what it says on the way.

    Raises:
        ConfigError: it is not installed.
    """
    from materialize.commands.frameworks import standard_error_silenced
    from materialize.libraries import load_library

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with standard_error_silenced():
        load_library("tensorflow", "export to tfrecord")


def _print_report(report: "ExportReport") -> None:
    from materialize.console import duration, size

    by_split = ", ".join(f"{count:,} {split}" for split, count in report.images_by_split.items())
    click.echo(
        f"{report.output}: {report.num_images:,} images ({by_split}) in {report.num_files:,} "
        f"files, {size(report.num_bytes)}, after {duration(report.seconds)}"
    )
    if report.num_written < report.num_images:
        click.echo(f"{report.num_images - report.num_written:,} of them were there already")


def _about_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options for what only people know; `About` has their meaning."""
    options = (
        click.option("--about", "about_file", type=click.Path(), metavar="FILE",
                     help="A TOML file with these options as keys; what is given here wins."),
        click.option("--licence", "--license", metavar="LICENCE",
                     help="An SPDX identifier such as CC-BY-4.0, or a URL."),
        click.option("--creator", multiple=True, metavar="NAME",
                     help="Who made it; repeatable."),
        click.option("--creator-kind", metavar="KIND",
                     help="person (the default) or organization."),
        click.option("--date", metavar="DATE", help="Of publication, such as 2026-03-01."),
        click.option("--name", metavar="NAME", help="The directory's name unless given."),
        click.option("--description", metavar="TEXT",
                     help="A sentence made of the dataset's figures unless given."),
        click.option("--url", metavar="URL", help="Of the dataset's page."),
        click.option("--citation", metavar="TEXT", help="BibTeX, or a line."),
        click.option("--task", "tasks", multiple=True, metavar="TASK",
                     help="What it is for, such as image-classification; repeatable."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def _about_of(about_file: str | None, given: dict[str, Any]) -> "About":
    from materialize.metadata.about import About, read_about, told

    return told(read_about(about_file) if about_file else About(), given)


@click.command(
    cls=SectionedCommand,
    examples=(
        "materialize metadata photos-augmented --licence CC0-1.0 --creator Me --date 2026-03-01",
        "materialize metadata photos-augmented --about about.toml",
    ),
)
@DATASET
@_about_options
@click.option("--output", type=click.Path(), metavar="DIR",
              help="Where the files go; into the dataset unless given.")  # fmt: skip
@_PINNED
@JSON
def metadata(
    dataset: str, about_file: str | None, output: str | None, pinned: str | None, as_json: bool,
    **given: Any,
) -> None:  # fmt: skip
    """Write Croissant 1.1 metadata, which dataset catalogues read.

    Nothing is written without a licence, a creator and a date: only you know them.
    """
    from materialize.commands.output import print_json
    from materialize.metadata.croissant import write_metadata

    report = write_metadata(dataset, _about_of(about_file, given), output=output, pinned=pinned)
    if as_json:
        print_json(report.to_json())
        return
    folder = Path(output or dataset)
    for file in report.files:
        click.echo(str(folder / file))
    click.echo(f"{report.num_records:,} records; manifest {report.manifest_digest}")
    for note in report.notes:
        click.echo(f"note: {note}", err=True)


@click.command(
    cls=SectionedCommand,
    examples=(
        "materialize card photos-augmented",
        "materialize card photos-augmented --about about.toml --output CARD.md",
    ),
)
@DATASET
@_about_options
@click.option("--output", type=click.Path(), metavar="FILE",
              help="README.md in the dataset unless given; only a card is ever replaced.",
              )  # fmt: skip
@_PINNED
def card(
    dataset: str, about_file: str | None, output: str | None, pinned: str | None, **given: Any
) -> None:
    """Write a dataset card in Markdown: what is in it, how it was made, how to load and verify it.

    Dataset hubs read the block in front of it.
    """
    from materialize.metadata.card import write_card

    about = _about_of(about_file, given)
    click.echo(str(write_card(dataset, about, output=output, pinned=pinned)))
