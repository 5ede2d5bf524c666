"""report: a dataset, or a contrast that was stored, as a page for people, and the same facts."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from materialize.commands.options import PRICES, Amount, SectionedCommand
from materialize.exit_codes import ExitCode

if TYPE_CHECKING:
    from materialize.contrast.cost import ContrastCost
    from materialize.contrast.results import ContrastResult
    from materialize.summary import ByteAccount

_OF_CONTRASTS = {"dataset": "--dataset", "gallery": "--gallery", "epochs": "--epochs",
                 "runs": "--runs", "gpu_hour": "--gpu-hour"}  # fmt: skip
_MONTHS = Decimal(12)


class _Report(NamedTuple):
    """What is written and said."""

    page: bytes
    facts: dict[str, Any]
    rows: list[dict[str, str]]
    summary: str


@click.command(
    cls=SectionedCommand,
    examples=(
        "materialize report augmented --output augmented.html",
        "materialize report augmented --prices ours.toml --service ours --csv cost.csv",
        "materialize report contrast.json --output contrast.html --gpu-hour 2.50",
        "materialize report contrast.json --dataset augmented --gallery preview.png",
    ),
)
@click.argument("subject", metavar="DATASET|CONTRAST.json", type=click.Path())
@click.option("--output", default="report.html", show_default=True, type=click.Path(),
              metavar="FILE", help="The page.")  # fmt: skip
@click.option("--json", "json_file", type=click.Path(), metavar="FILE",
              help="Also write every number of the page as JSON.")  # fmt: skip
@click.option("--csv", "csv_file", type=click.Path(), metavar="FILE",
              help="Also write every charge as CSV under FOCUS column names.")  # fmt: skip
@PRICES
@click.option("--service", "services", multiple=True, metavar="NAME", help="Where it is stored; "
              "repeatable for a dataset, which shows all of the book unless given.")  # fmt: skip
@click.option("--months", type=Amount(), metavar="N", help="How long it is stored; 12 unless "
              "given.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), metavar="N",
              help="Of a training run of a contrast; those it had unless given.")  # fmt: skip
@click.option("--runs", type=click.IntRange(1), metavar="N", help="Training runs that share a "
              "contrast's stored copies; 1 unless given.")  # fmt: skip
@click.option("--gpu-hour", type=Amount(), metavar="AMOUNT", help="Price of an hour of your "
              "accelerator; without one its stall is unpriced.")  # fmt: skip
@click.option("--dataset", type=click.Path(), metavar="DATASET", help="The dataset behind the arms "
              "of a contrast, to account for every kind of byte.")  # fmt: skip
@click.option("--gallery", type=click.Path(), metavar="PNG", help="A picture of copies for a "
              "contrast, as `materialize preview` draws it.")  # fmt: skip
def report(
    subject: str, output: str, json_file: str | None, csv_file: str | None, **given: Any
) -> int:
    """Draw a dataset or a stored contrast as one HTML file.

    The file opens from disk and asks no network. A directory is a dataset, a file is the
    contrast.json that `materialize contrast` wrote. The same input gives the same bytes.
    """
    from materialize.accounting.focus import focus_csv
    from materialize.atomic import write_file
    from materialize.console import size

    path = Path(subject)
    _check_apart(subject, output, json_file, csv_file)
    made = _of_dataset(path, given) if path.is_dir() else _of_contrast(path, given)
    written = {output: made.page}
    if json_file is not None:
        written[json_file] = (json.dumps(made.facts, indent=2, sort_keys=True) + "\n").encode()
    if csv_file is not None:
        written[csv_file] = focus_csv(made.rows).encode("utf-8", "replace")
    click.echo(made.summary)
    for name, content in written.items():
        write_file(Path(name), content)
        click.echo(f"{name}: {size(len(content))}")
    return ExitCode.DONE


def _check_apart(*names: str | None) -> None:
    """Refuses one file for two things: the last would replace what it was made beside, or of."""
    places = [Path(name).resolve() for name in names if name is not None]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise click.UsageError(f"{place} is named twice: page, JSON, CSV and what they are "
                                   "made of are different files")  # fmt: skip


def _of_dataset(path: Path, given: dict[str, Any]) -> _Report:
    from materialize.accounting.prices import read_prices
    from materialize.report.dataset_facts import gather_facts
    from materialize.report.dataset_page import dataset_json, render_dataset
    from materialize.report.dataset_sentences import summary_line

    for name, option in _OF_CONTRASTS.items():
        if given[name] is not None:
            raise click.UsageError(f"{option} is for a contrast; {path} is a directory")
    months = _MONTHS if given["months"] is None else given["months"]
    facts = gather_facts(path, read_prices(given["prices_file"]), given["services"], months)
    return _Report(render_dataset(facts), dataset_json(facts), facts.focus(), summary_line(facts))


def _of_contrast(path: Path, given: dict[str, Any]) -> _Report:
    from materialize.report.contrast_page import contrast_facts, contrast_focus, render_contrast
    from materialize.report.sentences import summary_line

    found, gallery, dataset = _read(path), given["gallery"], given["dataset"]
    cost = _cost(found, given)
    account = None if dataset is None else _account(Path(dataset))
    page = render_contrast(
        found,
        gallery=None if gallery is None else Path(gallery).read_bytes(),
        account=account,
        cost=cost,
    )
    facts = contrast_facts(found, cost=cost, account=account)
    return _Report(page, facts, contrast_focus(cost), summary_line(found))


def _cost(result: "ContrastResult", given: dict[str, Any]) -> "ContrastCost":
    """By the contrast's own terms, with what was given put over them."""
    from materialize.contrast.cost import cost_of, terms_of

    if len(given["services"]) > 1:
        raise click.UsageError("--service: a contrast is drawn for one service, got several")
    named = {
        "prices": given["prices_file"], "service": next(iter(given["services"]), None),
        "months": given["months"], "epochs": given["epochs"], "training_runs": given["runs"],
        "gpu_price_per_hour": given["gpu_hour"],
    }  # fmt: skip
    changes = {name: value for name, value in named.items() if value is not None}
    return cost_of(result, terms=replace(terms_of(result), **changes))


def _read(path: Path) -> "ContrastResult":
    from materialize.contrast.results import ContrastResult
    from materialize.errors import ConfigError

    try:
        facts = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path} does not exist: expected the directory of a dataset, or the contrast.json "
            f"that `materialize contrast` wrote",
            {"path": str(path)},
        ) from error
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
    from materialize.summary import byte_account

    dataset = StandingDataset.open(directory)
    return byte_account(directory, dataset.populations, dataset.manifest)
