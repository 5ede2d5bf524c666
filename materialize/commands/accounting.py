"""storage: what datasets take, byte by byte."""

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from materialize.commands.options import JSON, SectionedCommand
from materialize.exit_codes import ExitCode

if TYPE_CHECKING:
    from materialize.accounting.account import StorageAccount
    from materialize.accounting.comparison import Difference

_KIND = "kind"
_BY = click.Choice([_KIND, "class", "split", "copy", "target", "shard"])
_CELL = ("class", "split", "copy", "target")


@click.command(
    cls=SectionedCommand,
    examples=(
        "materialize storage photos-augmented",
        "materialize storage photos-augmented --by class --by copy --csv > bytes.csv",
        "materialize storage photos-raw photos-png --diff",
    ),
)
@click.argument("datasets", nargs=-1, required=True, metavar="DATASET …")
@click.option("--diff", is_flag=True, help="What the second of two takes more than the first.")
@click.option("--by", multiple=True, type=_BY,
              help="Only the bytes along this; repeatable, to cross them.")  # fmt: skip
@JSON
@click.option("--csv", "as_csv", is_flag=True, help="Print every line as CSV, sizes in bytes.")
def storage(
    datasets: tuple[str, ...], diff: bool, by: tuple[str, ...], as_json: bool, as_csv: bool
) -> int:
    """Account for every byte of datasets: by kind, class, split, copy, target and shard.

    Every sum is checked against the sizes of the files. Nothing is written or decoded.
    """
    from materialize.accounting.account import account_dataset
    from materialize.accounting.comparison import compare_accounts
    from materialize.console import progress_shown

    by = tuple(dict.fromkeys(by))
    _check_request(datasets, diff, by, as_json, as_csv)
    with progress_shown() as progress:
        accounts = [
            account_dataset(name, per_shard="shard" in by, progress=progress) for name in datasets
        ]
    difference = compare_accounts(*accounts) if diff else None
    if as_json:
        _print_json(accounts, difference, by)
    elif as_csv:
        rows = _change_rows(difference) if difference else _rows(accounts, by)
        csv.writer(sys.stdout, lineterminator="\n").writerows(rows)
    else:
        _print_tables(accounts, difference, by)
    return ExitCode.DONE


def _check_request(
    datasets: Sequence[str], diff: bool, by: Sequence[str], as_json: bool, as_csv: bool
) -> None:
    """Options that contradict each other are a mistake in the command."""
    if as_json and as_csv:
        raise click.UsageError("--json and --csv are two forms of one result; give one of them")
    if diff and len(datasets) != 2:
        raise click.UsageError(f"--diff is between two datasets, and {len(datasets)} are given")
    if diff and by:
        raise click.UsageError("--diff shows every breakdown; give it without --by")
    if _KIND in by and len(by) > 1:
        raise click.UsageError("--by kind stands alone: every other breakdown shows kinds too")


def _print_json(
    accounts: Sequence["StorageAccount"], difference: "Difference | None", by: Sequence[str]
) -> None:
    """One account as it is; several with their sums; a breakdown or a difference beside them."""
    from materialize.accounting.comparison import total_of
    from materialize.commands.output import print_json

    listed = [_facts(account, by) for account in accounts]
    if difference is not None:
        print_json({"difference": difference.to_json(), "datasets": listed})
    elif len(listed) == 1:
        print_json(listed[0])
    else:
        print_json({"datasets": listed, "total": total_of(accounts)})


def _facts(account: "StorageAccount", by: Sequence[str]) -> dict[str, Any]:
    from materialize.accounting.breakdown import break_down

    facts = account.to_json()
    if not by or by == (_KIND,):
        return facts
    lines = [
        dict(zip(by, line.names, strict=True))
        | {name: value for name, value in asdict(line).items() if name != "names"}
        | {"num_bytes": line.num_bytes}
        for line in break_down(account, by)
    ]
    return facts | {"breakdown": lines}


def _rows(accounts: Sequence["StorageAccount"], by: Sequence[str]) -> Iterator[Sequence[Any]]:
    """The lines of a CSV file, its head first."""
    from materialize.accounting.breakdown import break_down

    if tuple(by) == (_KIND,):
        yield "dataset", _KIND, "num_bytes"
        for account in accounts:
            yield from ((account.directory, kind, size) for kind, size in account.kinds.items())
        return
    by = by or _CELL
    sizes = ("num_images", "pixels_bytes", "columns_bytes", "container_bytes", "num_bytes")
    yield "dataset", *by, *sizes
    for account in accounts:
        for line in break_down(account, by):
            yield account.directory, *line.names, *(getattr(line, name) for name in sizes)


def _change_rows(difference: "Difference") -> Iterator[Sequence[Any]]:
    yield "by", "name", "before", "after", "growth"
    facts = difference.to_json()
    for by in ("kind", "class", "split", "copy", "target"):
        for change in facts[f"by_{by}"]:
            yield by, *change.values()


def _print_tables(
    accounts: Sequence["StorageAccount"], difference: "Difference | None", by: Sequence[str]
) -> None:
    from materialize.commands import storage_tables as tables

    if difference is not None:
        tables.print_difference(difference)
    elif by:
        tables.print_breakdown(accounts, by)
    elif len(accounts) > 1:
        tables.print_datasets(accounts)
    else:
        tables.print_account(accounts[0])
