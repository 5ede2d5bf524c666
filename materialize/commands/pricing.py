"""prices and cost: what a price book says, and what a dataset or a contrast comes to by it."""

import json
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from materialize.commands.options import JSON, PRICES, Amount, SectionedCommand
from materialize.exit_codes import ExitCode

if TYPE_CHECKING:
    from materialize.accounting.bills import DatasetBill, ServiceBill
    from materialize.accounting.breakeven import BreakEven
    from materialize.accounting.invoices import Invoice
    from materialize.accounting.prices import Price
    from materialize.contrast.cost import ContrastCost
    from materialize.contrast.results import ContrastResult
    from materialize.contrast.terms import CostTerms


@click.command(
    cls=SectionedCommand,
    examples=("materialize prices", "materialize prices --prices ours.toml --json"),
)
@PRICES
@JSON
def prices(prices_file: str | None, *, as_json: bool) -> int:
    """Print a price book: every price with its unit, its source and its date."""
    from materialize.accounting.prices import read_prices
    from materialize.commands.output import print_json, table

    book = read_prices(prices_file)
    if as_json:
        print_json(book.to_json() | {"digest": book.digest()})
        return ExitCode.DONE
    gpu = "" if book.gpu_hour else "; no price of a GPU, give your own with --gpu-hour"
    click.echo(f"{book.name}, {book.date}, in {book.currency}: {len(book.services)} services{gpu}.")
    click.echo(f"{book.remark}\n" if book.remark else "")
    for name, service in book.services.items():
        remark = f": {service.remark}" if service.remark else ""
        kinds = ("storage", "put", "get", "retrieval")
        by_kind = ((kind, getattr(service, kind)) for kind in kinds)
        table(f"{name}, {service.title}{remark}", _price_rows(by_kind))
    for name, provider in book.providers.items():
        groups = (("egress", provider.egress), ("inter-region", provider.inter_region))
        table(f"{name}, {provider.title}", _price_rows(groups))
    hours = (("cpu", book.cpu_hour), ("gpu", book.gpu_hour))
    table("Processors", _price_rows((name, (price,)) for name, price in hours if price))
    click.echo(f"SHA-256 {book.digest()}")
    return ExitCode.DONE


@click.command(
    cls=SectionedCommand,
    examples=(
        "materialize cost augmented",
        "materialize cost contrast.json --service s3-standard --months 12 --epochs 90 --runs 3",
        "materialize cost contrast.json --gpu-hour 2.50 --csv cost.csv",
    ),
)
@click.argument("subject", metavar="CONTRAST.json|DATASET", type=click.Path(exists=True))
@PRICES
@click.option("--service", metavar="NAME", help="Where it is stored; for a dataset all services of "
              "the book unless given, for a contrast s3-standard.")  # fmt: skip
@click.option("--months", type=Amount(), metavar="N", help="How long it is stored: 1 for a "
              "dataset, 12 for a contrast unless given.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), metavar="N", help="Of a training run: 1 for a "
              "dataset, those of the contrast unless given.")  # fmt: skip
@click.option("--runs", type=click.IntRange(1), metavar="N", help="Training runs that share the "
              "stored copies; 1 unless given.")  # fmt: skip
@click.option("--gpu-hour", type=Amount(), metavar="AMOUNT", help="Price of an hour of your "
              "accelerator; without one its stall is unpriced.")  # fmt: skip
@click.option("--csv", "csv_file", type=click.Path(), metavar="FILE",
              help="Also write every charge as CSV under FOCUS column names.")  # fmt: skip
@JSON
def cost(
    subject: str, prices_file: str | None, csv_file: str | None, *, as_json: bool, **given: Any
) -> int:
    """Say what a dataset costs to keep and read, or what the arms of a contrast cost.

    Stored copies are compared with on-the-fly at equal accuracy only. Nothing is run: a contrast's
    figures are those it stored.
    """
    from materialize.atomic import write_file
    from materialize.commands.output import print_json

    path = Path(subject)
    if path.is_dir():
        bill, rows = _of_dataset(path, prices_file, given)
        facts, show = bill.to_json(), partial(_print_bill, bill)
    else:
        found, rows = _of_contrast(path, prices_file, given)
        facts, show = found.to_json(), partial(_print_cost, found)
    if csv_file is not None:
        from materialize.accounting.focus import focus_csv

        write_file(Path(csv_file), focus_csv(rows).encode())
    if as_json:
        print_json(facts | {"focus": rows})
    else:
        show()
    return ExitCode.DONE


def _of_dataset(
    path: Path, prices_file: str | None, given: dict[str, Any]
) -> tuple["DatasetBill", list[dict[str, str]]]:
    from materialize.accounting.bills import bill_dataset
    from materialize.accounting.focus import focus_rows
    from materialize.accounting.prices import read_prices

    bill = bill_dataset(
        path, read_prices(prices_file),
        services=None if given["service"] is None else (given["service"],),
        months=Decimal(1) if given["months"] is None else given["months"],
        epochs=(given["epochs"] or 1) * (given["runs"] or 1),
    )  # fmt: skip
    rows = [
        row
        for service in bill.services
        for part in ("storage", "writing", "reading")
        for row in focus_rows(
            getattr(service, part),
            resource_id=bill.manifest_digest,
            tags={"part": part, "service": service.service},
        )
    ]
    return bill, rows


def _of_contrast(
    path: Path, prices_file: str | None, given: dict[str, Any]
) -> tuple["ContrastCost", list[dict[str, str]]]:
    from materialize.accounting.focus import focus_rows
    from materialize.accounting.prices import read_prices
    from materialize.contrast.cost import cost_of

    result = _read(path)
    terms = _terms(result, prices_file, given)
    found = cost_of(result, read_prices(terms.prices), terms)
    rows = [
        row
        for arm in found.arms
        for row in focus_rows(
            arm.invoice,
            resource_id=f"{found.title}: {arm.name}",
            tags={"accuracy": arm.accuracy_remark, "arm": arm.name},
        )
    ]
    return found, rows


def _read(path: Path) -> "ContrastResult":
    from materialize.contrast.results import ContrastResult
    from materialize.errors import ConfigError

    try:
        facts = json.loads(path.read_bytes())
    except ValueError as error:
        facts = error
    if not isinstance(facts, dict):
        raise ConfigError(
            f"{path}: expected the JSON of a contrast, or the directory of a dataset, found "
            "something else; give the contrast.json that `materialize contrast` wrote",
            {"path": str(path), "found": type(facts).__name__},
        )
    return ContrastResult.from_json(facts)


def _terms(result: "ContrastResult", prices_file: str | None, given: dict[str, Any]) -> "CostTerms":
    """The contrast's own terms, with what was given put over them."""
    from dataclasses import replace

    from materialize.contrast.cost import terms_of

    named = {
        "prices": prices_file, "service": given["service"], "months": given["months"],
        "epochs": given["epochs"], "training_runs": given["runs"],
        "gpu_price_per_hour": given["gpu_hour"],
    }  # fmt: skip
    changes = {name: value for name, value in named.items() if value is not None}
    return replace(terms_of(result), **changes)


def _price_rows(
    groups: Iterable[tuple[str, "tuple[Price, ...]"]],
) -> Iterator[tuple[str, str, str]]:
    from materialize.accounting.money import plain, shown

    for name, tiers in groups:
        for price in tiers:
            end = "" if price.up_to is None else f"up to {shown(price.up_to)}, "
            amount = f"{plain(price.amount)} per {price.shown_unit}"
            yield f"  {name}", amount, f"{end}{price.shown_source}; {price.date}"


def _print_bill(bill: "DatasetBill") -> None:
    from materialize.accounting.money import counted
    from materialize.commands.output import table

    click.echo(f"{bill.sentence}\n")
    title = f"{counted(bill.months, 'month')} of storage, by {bill.book}"
    table(title, (_bill_row(service, bill) for service in bill.services))


def _bill_row(service: "ServiceBill", bill: "DatasetBill") -> tuple[str, str, str]:
    from materialize.accounting.money import counted

    remarks = [
        f"{counted(bill.epochs, 'epoch')} {_total(service.reading)}",
        f"writing once {_total(service.writing)}",
    ]
    if service.unpriced:
        remarks.append(f"unpriced: {', '.join(service.unpriced)}")
    return service.service, _total(service.storage), "; ".join(remarks)


def _total(invoice: "Invoice") -> str:
    """What is priced of it; unpriced where nothing is."""
    from materialize.accounting.money import shown_money

    if invoice.unpriced and len(invoice.unpriced) == len(invoice.charges):
        return "unpriced"
    return shown_money(invoice.total, invoice.currency)


def _print_cost(found: "ContrastCost") -> None:
    from materialize.accounting.money import counted
    from materialize.commands.output import table

    click.echo(f"{found.sentence}\n")
    plan = f"{counted(found.training_runs, 'run')} of {counted(found.num_epochs, 'epoch')}"
    kept = f"{counted(found.months, 'month')} on {found.service_title}"
    table(
        f"{plan}, {kept}, by {found.book}",
        [(arm.name, _total(arm.invoice), arm.accuracy_remark) for arm in found.arms],
    )
    for arm in found.arms:
        table(arm.name, _charge_rows(arm.invoice))
    for arm in found.arms:
        if arm.break_even is not None:
            table(f"{arm.name} against on-the-fly", _break_even_rows(arm.break_even))
    for note in found.notes:
        click.echo(note)


def _charge_rows(invoice: "Invoice") -> Iterator[tuple[str, str, str]]:
    from materialize.accounting.money import shown_money

    for charge in invoice.charges:
        amount = "unpriced" if charge.cost is None else shown_money(charge.cost, invoice.currency)
        source = f"; {charge.source}; {charge.date}" if charge.source else ""
        yield f"  {charge.what}", amount, f"{charge.formula}{source}"


def _break_even_rows(found: "BreakEven") -> Iterator[tuple[str, str, str]]:
    from materialize.accounting.money import shown

    when = _epochs(found.epochs, found.outcome)
    if found.outcome == "runs" and found.runs is not None:
        when = f"{shown(found.runs, places=1)} runs"
    yield "  break-even", when, f"{found.reason} {found.formula}"
    for label, epochs in found.sensitivity:
        yield f"  {label}", _epochs(epochs, "never"), ""


def _epochs(epochs: float | None, otherwise: str) -> str:
    from materialize.accounting.money import shown

    return otherwise if epochs is None else f"{shown(epochs, places=1)} epochs"
