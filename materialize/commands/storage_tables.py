"""Accounts as tables on a terminal: one sentence first, exact bytes beside sizes to read."""

from collections.abc import Callable, Iterator, Sequence

import click

from materialize.accounting.account import StorageAccount
from materialize.accounting.breakdown import break_down
from materialize.accounting.comparison import Change, Difference, total_of
from materialize.accounting.foresight import Prediction
from materialize.commands.balance_table import print_balance
from materialize.commands.grids import print_grid
from materialize.console import duration, size

_SHOWN = 40
_NAMED = 5
_UNITS = "1 kB, MB, GB, TB are 10^3, 10^6, 10^9, 10^12 bytes."

Row = tuple[str, ...]


def sentence(account: StorageAccount) -> str:
    """What a dataset takes, how much more than its source that is, and what one copy costs."""
    shards = f"{account.num_shards:,} shard{'s' * (account.num_shards != 1)}"
    said = f"{account.directory} takes {size(account.stored_bytes)} "
    said += f"({account.stored_bytes:,} bytes) with {shards}"
    if account.source_bytes:
        said += (
            f", {account.amplification:,.2f} times the {size(account.source_bytes)} of its source"
        )
    if account.bytes_per_copy:
        return f"{said}; one copy costs {size(account.bytes_per_copy)}."
    return f"{said}; no copies are stored ({account.storage}): they are made when they are read."


def print_account(account: StorageAccount) -> None:
    """Prints everything about one dataset."""
    click.echo(f"{sentence(account)}\n{_UNITS}\n")
    print_grid("Kinds of bytes", ("", "size", "bytes", "of all"), list(_kinds(account)))
    print_grid("Shards by class and split", *_classes(account))
    _print_lines("Shards by copy", [account], ["copy"])
    print_balance(account.balance, account.copies)
    print_grid("Ratios", ("", "", ""), list(_ratios(account)), has_remark=True)
    print_grid("Bytes of one", ("", "p50", "p95", "max"), list(_levels(account)))
    print_grid("On the disk", ("", "size", "bytes", ""), list(_disk(account)), has_remark=True)
    print_grid(
        "Left out and converted", ("", "images", ""), list(_inputs(account)), has_remark=True
    )
    print_grid(
        "Estimate and outcome", ("", "estimate", "95 % interval", "outcome", "error", ""),
        list(_foresight(account)), has_remark=True,
    )  # fmt: skip
    if account.foresight.remark:
        click.echo(f"estimate: {account.foresight.remark}")


def print_datasets(accounts: Sequence[StorageAccount]) -> None:
    """Prints several datasets beside each other, and their sum."""
    total = total_of(accounts)
    click.echo(
        f"{len(accounts)} datasets take {size(total['stored_bytes'])} "
        f"({total['stored_bytes']:,} bytes).\n{_UNITS}\n"
    )
    head = ("", "size", "bytes", "of source", "one copy", "compression", "images", "shards")
    rows = [
        (
            str(account.directory), size(account.stored_bytes), f"{account.stored_bytes:,}",
            _times(account.amplification), size(account.bytes_per_copy),
            _times(account.compression), f"{account.num_images:,}", f"{account.num_shards:,}",
        )
        for account in accounts
    ]  # fmt: skip
    rows.append(
        ("all", size(total["stored_bytes"]), f"{total['stored_bytes']:,}", "", "", "",
         f"{total['num_images']:,}", f"{total['num_shards']:,}")
    )  # fmt: skip
    print_grid("Datasets", head, rows)


def print_breakdown(accounts: Sequence[StorageAccount], by: Sequence[str]) -> None:
    """Prints the sentence of each dataset, and all of them along some dimensions."""
    for account in accounts:
        click.echo(sentence(account))
    click.echo(f"{_UNITS}\n")
    if tuple(by) != ("kind",):
        _print_lines(f"Shards by {' and '.join(by)}", accounts, by)
        return
    for account in accounts:
        title = f"Kinds of bytes of {account.directory}"
        print_grid(title, ("", "size", "bytes", "of all"), list(_kinds(account)))


def print_difference(difference: Difference) -> None:
    """Prints what grew from one dataset to another, along every dimension."""
    stored = difference.stored
    word = "more" if stored.growth >= 0 else "less"
    click.echo(
        f"{difference.after} takes {size(abs(stored.growth))} ({abs(stored.growth):,} bytes) "
        f"{word} than {difference.before}: {size(stored.after)} against {size(stored.before)}"
        f"{_relative(stored)}.\n{_UNITS}\n"
    )
    parts = {
        "kind": (*difference.by_kind, stored, difference.allocated),
        "class": (*difference.by_class, difference.shards),
        "split": difference.by_split,
        "copy": difference.by_copy,
        "target": difference.by_target,
    }
    for by, changes in parts.items():
        rows: list[Row] = [
            (c.name, f"{c.before:,}", f"{c.after:,}", f"{c.growth:+,}", _relative(c).strip(" ()"))
            for c in changes
            if c.before or c.after
        ]
        print_grid(f"By {by}", ("", "bytes before", "bytes after", "growth", ""), _first(rows))


def _kinds(account: StorageAccount) -> Iterator[Row]:
    for kind, num_bytes in account.kinds.items():
        if num_bytes:
            yield kind, size(num_bytes), f"{num_bytes:,}", _share(num_bytes, account.stored_bytes)
    yield "all", size(account.stored_bytes), f"{account.stored_bytes:,}", ""


def _classes(account: StorageAccount) -> tuple[Row, list[Row]]:
    """A line for each class, a column for each split, and what is all."""
    found: dict[str, dict[str, int]] = {}
    for line in break_down(account, ("class", "split")):
        name, split = line.names
        found.setdefault(name, {})[split] = line.num_bytes
    splits = list(account.by_split)
    rows = [
        (name, *(size(sizes.get(split, 0)) for split in splits),
         f"{sum(sizes.values()):,}", _share(sum(sizes.values()), account.shards_bytes))
        for name, sizes in ((name, found[name]) for name in account.by_class)
    ]  # fmt: skip
    last = [row for row in rows if row[0] == account.container_name]
    rows = _first([row for row in rows if row[0] != account.container_name]) + last
    if rows:
        sums = (size(account.by_split[split]) for split in splits)
        rows.append(("all", *sums, f"{account.shards_bytes:,}", ""))
    return ("", *splits, "bytes", "of shards"), rows


def _print_lines(title: str, accounts: Sequence[StorageAccount], by: Sequence[str]) -> None:
    """Lines along some dimensions; the datasets are one more where there are several."""
    several = len(accounts) > 1
    rows: list[Row] = []
    for account in accounts:
        place = (str(account.directory),) if several else ()
        rows += [
            (
                *place, *line.names, f"{line.num_images:,}", f"{line.pixels_bytes:,}",
                f"{line.columns_bytes:,}", f"{line.container_bytes:,}", f"{line.num_bytes:,}",
                size(line.num_bytes), _share(line.num_bytes, account.shards_bytes),
            )
            for line in break_down(account, by)
        ]  # fmt: skip
    head = ("dataset",) * several + tuple(by)
    head += ("images", "pixels", "columns", "container", "bytes", "size", "of shards")
    print_grid(title, head, _first(rows), num_texts=len(by) + several)


def _ratios(account: StorageAccount) -> Iterator[Row]:
    yield "amplification", _times(account.amplification), "stored ÷ source files"
    decoded = f"{size(account.logical_bytes)} in the shards ÷ {size(account.decoded_source_bytes)}"
    yield (
        "logical amplification", _times(account.logical_amplification),
        f"{decoded} of source, both decoded",
    )  # fmt: skip
    yield "compression", _times(account.compression), "decoded in the shards ÷ stored pixels"
    yield (
        "HDF5 overhead", f"{account.container_share:.2%}",
        f"{account.kinds['container']:,} of {account.shards_bytes:,} bytes of the shards",
    )  # fmt: skip


def _levels(account: StorageAccount) -> Iterator[Row]:
    parts = {
        "image of the source, all that is stored of it": account.bytes_per_sample,
        account.counted_one_by_one: account.bytes_per_image,
    }
    for name, levels in parts.items():
        if levels:
            yield name, *(f"{levels[level]:,}" for level in ("p50", "p95", "max"))


def _disk(account: StorageAccount) -> Iterator[Row]:
    yield "files of the dataset", size(account.stored_bytes), f"{account.stored_bytes:,}", ""
    yield (
        "  allocated", size(account.allocated_bytes), f"{account.allocated_bytes:,}",
        "what the file system has set aside for them",
    )  # fmt: skip
    room = account.last_shards_room_bytes
    yield (
        "  room in last shards", size(room), f"{room:,}",
        "decoded pixels they hold less than the longest of their split; takes no disk",
    )  # fmt: skip
    remedies = {
        "superseded": f"no longer needed: materialize gc {account.directory}",
        "temporary": f"of writers that were killed: materialize gc {account.directory}",
        "pending": "of a change that was begun: the command that began it goes on with it",
        "foreign": "not of this dataset; nothing here touches it",
    }
    for state, remedy in remedies.items():
        files = account.states[state]
        if files.num_files:
            name = f"{state}, {files.num_files:,} file{'s' * (files.num_files != 1)}"
            yield name, size(files.num_bytes), f"{files.num_bytes:,}", remedy
    yield (
        "everything here", size(account.directory_bytes), f"{account.directory_bytes:,}",
        f"{account.directory_allocated_bytes:,} bytes allocated",
    )  # fmt: skip


def _inputs(account: StorageAccount) -> Iterator[Row]:
    for reason, left_out in account.quarantined.items():
        named = ", ".join(left_out.examples[:_NAMED])
        more = " …" if left_out.num_records > _NAMED else ""
        yield f"left out: {reason}", f"{left_out.num_records:,}", f"{named}{more}"
    for conversion, count in account.conversions.items():
        yield f"converted: {conversion}", f"{count:,}", ""


def _foresight(account: StorageAccount) -> Iterator[Row]:
    shards, seconds = account.foresight.shards_bytes, account.foresight.seconds
    if shards is not None:
        yield "shards", *_prediction(shards, size)
    if seconds is not None:
        yield "time", *_prediction(seconds, duration)


def _prediction(prediction: Prediction, shown: Callable[[float], str]) -> Row:
    interval = f"{shown(prediction.low)} to {shown(prediction.high)}"
    if prediction.actual is None or prediction.error is None:
        return shown(prediction.value), interval, "", "", ""
    verdict = "within the interval" if prediction.is_covered else "outside the interval"
    if prediction.low == prediction.high:
        verdict = "exact" if prediction.is_covered else "not exact"
    actual = shown(prediction.actual)
    return shown(prediction.value), interval, actual, f"{prediction.error:+.2%}", verdict


def _first(rows: list[Row]) -> list[Row]:
    """As many lines as one looks at."""
    if len(rows) <= _SHOWN:
        return rows
    rest = (f"… {len(rows) - _SHOWN:,} more; --csv and --json have all",)
    return [*rows[:_SHOWN], rest + ("",) * (len(rows[0]) - 1)]


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""


def _times(ratio: float) -> str:
    return f"{ratio:,.2f} ×" if ratio else "–"


def _relative(change: Change) -> str:
    return f" ({change.growth / change.before:+.1%})" if change.before else ""
