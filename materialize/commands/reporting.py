"""report: a contrast that was stored, as a page for people."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from materialize.commands.options import SectionedCommand
from materialize.exit_codes import ExitCode

if TYPE_CHECKING:
    from materialize.contrast.results import ContrastResult
    from materialize.summary import ByteAccount


@click.command(
    cls=SectionedCommand,
    examples=(
        "materialize report contrast.json --output report.html",
        "materialize report contrast.json --dataset augmented --gallery preview.png",
    ),
)
@click.argument("result", metavar="RESULT.json", type=click.Path())
@click.option("--output", default="report.html", show_default=True, type=click.Path(),
              metavar="FILE", help="The page.")  # fmt: skip
@click.option("--dataset", default=None, type=click.Path(), metavar="DATASET",
              help="The dataset behind the arms, to account for every kind of byte.")  # fmt: skip
@click.option("--gallery", default=None, type=click.Path(), metavar="PNG",
              help="A picture of copies, as `materialize preview` draws it.")  # fmt: skip
def report(result: str, output: str, dataset: str | None, gallery: str | None) -> int:
    """Draw a stored contrast as one HTML file, which opens from disk and asks no network.

    The same result gives the same bytes.
    """
    from materialize.atomic import write_file
    from materialize.console import size
    from materialize.report.contrast_page import render_contrast
    from materialize.report.sentences import summary_line

    found = _read(Path(result))
    page = render_contrast(
        found,
        gallery=None if gallery is None else Path(gallery).read_bytes(),
        account=None if dataset is None else _account(Path(dataset)),
    )
    write_file(Path(output), page)
    click.echo(summary_line(found))
    click.echo(f"{output}: {size(len(page))}")
    return ExitCode.DONE


def _read(path: Path) -> "ContrastResult":
    from materialize.contrast.results import ContrastResult
    from materialize.errors import ConfigError

    try:
        facts = json.loads(path.read_bytes())
    except ValueError as error:  # neither JSON nor UTF-8
        raise ConfigError(
            f"{path}: expected the JSON of a contrast, got something else ({error}); give the "
            f"contrast.json that `materialize contrast` wrote",
            {"path": str(path), "reason": str(error)},
        ) from error
    if not isinstance(facts, dict):
        raise ConfigError(
            f"{path}: expected a JSON object, got a {type(facts).__name__}; give the "
            f"contrast.json that `materialize contrast` wrote",
            {"path": str(path), "expected": "object", "found": type(facts).__name__},
        )
    return ContrastResult.from_json(facts)


def _account(directory: Path) -> "ByteAccount":
    from materialize.audit.standing import StandingDataset
    from materialize.summary import account_of

    dataset = StandingDataset.open(directory)
    return account_of(directory, dataset.populations, dataset.manifest.shards)
