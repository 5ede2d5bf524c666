"""The tables of a dataset: which figures stand in which column, and what each of them means."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from materialize.accounting.account import StorageAccount
from materialize.accounting.foresight import Prediction
from materialize.accounting.invoices import Charge, Invoice
from materialize.accounting.money import counted, plain, shown, shown_money
from materialize.report import cells
from materialize.report.cells import Cell, byte_cell, code, count, measured, words
from materialize.report.columns import Column, Table
from materialize.report.dataset_facts import BuildTimes, DatasetFacts, storage_cost

CLASSES_SHOWN = 30
"""Rows of a table or chart; the rest is one more row."""
_ITEMS_SHOWN, _ROWS_OPEN = 200, 16
_BYTES = (Column("Bytes", "Exact."), Column("Size", "The same; 1 GB is 10^9 bytes."),
          Column("Share, %", "Of the line at the bottom."))  # fmt: skip
_FILES = "sizes of the files, as the file system says at the moment of this report"
_KINDS = {
    "pixels": "Images as the shards hold them.",
    "columns": "Ids, labels and draws beside them.",
    "container": "HDF5 structure and alignment.",
    "manifests": "Which shards belong to the dataset, with their digests.",
    "plans": "What builds set out to write.",
    "populations": "Who is in: ids, labels, sizes and places of all images.",
    "receipts": "Who built which shard, and how long it took.",
    "statistics": "Mean, deviation and whitening of training parts.",
    "stamps": "What was read and found whole.",
    "source": "Where the source was last seen.",
    "estimate": "What was expected before the build.",
}


def kinds_table(facts: DatasetFacts) -> Table:
    """Every kind of byte; the lines add up to the last one."""
    account = facts.account
    kinds = {kind: size for kind, size in account.kinds.items() if size}
    rows = _shares(kinds, account.stored_bytes)
    said = tuple((*row, words(_KINDS.get(row[0].text, ""))) for row in rows)
    columns = (Column("Kind", is_number=False), *_BYTES, Column("What", is_number=False))
    return Table("Kinds of bytes", columns, said, _FILES)


def parts_table(caption: str, parts: Mapping[str, int]) -> Table:
    """The bytes of the shards, divided one way; the lines add up to the last one."""
    rows = _shares(_first(parts), sum(parts.values()))
    columns = (Column(caption.rpartition(" ")[2].capitalize(), is_number=False), *_BYTES)
    source = f"{_FILES}; a block that holds several classes is shared out by largest remainder"
    return Table(caption, columns, rows, source, is_on_demand=True)


def ratio_table(facts: DatasetFacts) -> Table:
    """The account's sums and ratios."""
    account = facts.account
    rows = (
        ("Source", byte_cell(account.source_bytes), "The accepted images as they lie there."),
        ("Source, decoded", byte_cell(account.decoded_source_bytes), "The same as arrays."),
        ("Copies and originals, decoded", byte_cell(account.logical_bytes),
         "All stored rows as arrays."),
        ("Stored", byte_cell(account.stored_bytes), "All files that belong to the dataset."),
        ("Allocated", byte_cell(account.allocated_bytes),
         "What the file system has set aside for them."),
        ("Amplification", _times(account.amplification), "Stored ÷ source."),
        ("Logical amplification", _times(account.logical_amplification),
         "Decoded rows ÷ decoded source."),
        ("Compression", _times(account.compression or None),
         "Decoded rows ÷ their stored pixels."),
        ("Room in last shards", byte_cell(account.last_shards_room_bytes),
         "What the last shard of each split holds less than its longest; nothing on the disk."),
        ("Pending", byte_cell(account.pending_bytes),
         "Of a change that was begun and not published."),
        ("Superseded", byte_cell(account.superseded_bytes),
         "Files that only earlier manifests name; materialize gc removes them."),
        ("Temporary", byte_cell(account.temporary_bytes), "Left by writers that were killed."),
        ("Foreign", byte_cell(account.foreign_bytes), "Files of others in the same directory."),
    )  # fmt: skip
    columns = (Column("Measure", is_number=False), Column("Value"),
               Column("What", is_number=False))  # fmt: skip
    return Table("Sums and ratios", columns, tuple((words(a), b, words(c)) for a, b, c in rows),
                 _FILES)  # fmt: skip


def bill_table(facts: DatasetFacts) -> Table:
    """Storing, writing and reading at each service."""
    rows = tuple(
        (
            words(month.title),
            _money(storage_cost(month.storage), month.storage.currency),
            _total(longer.storage),
            _total(longer.writing),
            _total(longer.reading),
            words(", ".join(longer.unpriced) or "nothing"),
        )
        for month, longer in zip(facts.month.services, facts.bill.services, strict=True)
    )
    columns = (
        Column("Service", is_number=False),
        Column("A month"),
        Column(counted(facts.bill.months, "month").capitalize(),
               "With what deleting before the minimum duration costs."),
        Column("Writing once", "A PUT for each shard."),
        Column("Reading once", "An epoch: a GET for each shard of one copy, and retrieval, beside "
               "the storage; nothing leaves for the Internet."),
        Column("Unpriced", "What the price book has no price for; it is in no sum.",
               is_number=False),
    )  # fmt: skip
    return Table("Cost by service", columns, rows, _book(facts))


def charges_table(facts: DatasetFacts) -> Table:
    """Every row of every bill, with its arithmetic."""
    rows = tuple(
        (words(service.title), *_charge(charge, found.currency))
        for service in facts.bill.services
        for found in (service.storage, service.writing, service.reading)
        for charge in found.charges
    )
    columns = (
        Column("Service", is_number=False),
        Column("For", is_number=False),
        Column("Quantity", "What is billed; GiB are 2^30 bytes, GB 10^9, as the seller counts."),
        Column("Unit price", "List price of one unit."),
        Column("Cost", "Quantity × unit price."),
        Column("Arithmetic", is_number=False),
        Column("Price from", is_number=False),
    )
    caption = f"Every charge: {counted(facts.bill.months, 'month')}, written once, read once"
    return Table(caption, columns, rows, _book(facts), is_on_demand=True)


def time_table(build: BuildTimes) -> Table:
    """Worker seconds by step, and how many images they make in a second."""
    total = sum(build.timings_s.values())
    rows = tuple(
        (
            words(step),
            cells.decimal(seconds, 2),
            _share(seconds, total, 1),
            count(build.images_per_s.get(step)),
            words(_STEPS.get(step, "")),
        )
        for step, seconds in build.timings_s.items()
    )
    columns = (
        Column("Step", is_number=False),
        Column("Seconds", "Of all workers together, over all shards that have a receipt."),
        Column("Share, %", "Of the seconds of all steps."),
        Column("Images/s", "Stored images ÷ seconds: what one worker would do that did only this."),
        Column("What", is_number=False),
    )
    return Table("Worker seconds by step", columns, rows, "the shards' receipts")


_STEPS = {
    "decode": "Reading and decoding the source, once for all copies.",
    "draw": "Random words, parameters and programs.",
    "assemble": "Laying out the shard.",
    "render": "Making the pixels.",
    "encode": "Compressing them.",
    "digest": "Hashing pixels and leaves.",
    "write": "Writing and syncing the file.",
    "sha256": "Hashing the file.",
}


def sizes_table(account: StorageAccount) -> Table:
    """How large an image is."""
    rows = tuple(
        (words(what), *(byte_cell(levels[name]) for name in ("p50", "p95", "max")))
        for what, levels in (
            (f"One {account.counted_one_by_one}", account.bytes_per_image),
            ("One source image in all its copies", account.bytes_per_sample),
        )
        if levels
    )
    columns = (
        Column("What", is_number=False),
        Column("Half, at most", "The median."),
        Column("95 %, at most"),
        Column("Largest"),
    )
    source = "the shards' blocks, with what stands beside the pixels, without the container"
    return Table("Stored bytes", columns, rows, source)


def predictions(account: StorageAccount) -> list[tuple[str, Prediction]]:
    """What was predicted before the build, by name."""
    found = (("bytes of the shards", account.foresight.shards_bytes),
             ("seconds of the build", account.foresight.seconds))  # fmt: skip
    return [(name, each) for name, each in found if each is not None]


def foresight_table(account: StorageAccount) -> Table:
    """What was predicted, and what came of it."""
    rows = tuple(
        (
            words(name),
            *(measured(_quantity(name, value), value)
              for value in (each.value, each.low, each.high)),
            cells.EMPTY if each.actual is None else measured(_quantity(name, each.actual),
                                                             each.actual),
            cells.EMPTY if each.error is None else measured(
                f"{100 * each.error:+.1f} %".replace("-", cells.MINUS), each.error),
            words({True: "yes", False: "no", None: ""}[each.is_covered]),
        )
        for name, each in predictions(account)
    )  # fmt: skip
    columns = (
        Column("What", is_number=False),
        Column("Estimate"),
        Column("From", "Of the 95 % interval; equal to the estimate where it is exact."),
        Column("To"),
        Column("Actual"),
        Column("Error", "(Estimate − actual) ÷ actual."),
        Column("Inside the interval", is_number=False),
    )
    source = "estimate.json, written before the first shard"
    return Table("Estimate against actual", columns, rows, source).without_empty_columns()


def _quantity(name: str, value: float) -> str:
    return cells.byte_text(value) if name.startswith("bytes") else f"{value:,.1f} s"


def balance_table(account: StorageAccount) -> Table:
    """How often epochs show each class, and how many originals stand behind it."""
    rows = tuple(
        (words(rate.class_name), count(rate.num_images), count(rate.draws_per_epoch),
         count(rate.originals_per_epoch), count(rate.originals_per_run),
         words(f"capped, of {rate.wanted:,}" if rate.is_capped else ""))
        for rate in account.balance
    )  # fmt: skip
    columns = (Column("Class", is_number=False), Column("Originals"), Column("Shown in an epoch"),
               Column("Different ones"), Column(f"In {account.copies:,} epochs"),
               Column("", is_number=False))  # fmt: skip
    return Table("Balanced classes", columns, rows, "the populations and the plan",
                 is_on_demand=len(rows) > _ROWS_OPEN)  # fmt: skip


def quarantine_table(facts: DatasetFacts) -> Table:
    """Inputs that were left out, and why."""
    items = [item for population in facts.populations for item in population.quarantined]
    rows = tuple(
        (code(item.locator), words(item.reason), words(item.detail), count(item.source_bytes))
        for item in items[:_ITEMS_SHOWN]
    )
    columns = (Column("Input", is_number=False), Column("Reason", is_number=False),
               Column("Found", is_number=False), Column("Bytes"))  # fmt: skip
    more = f"; the first {_ITEMS_SHOWN} of {len(items):,}" if len(items) > _ITEMS_SHOWN else ""
    return Table(f"Left out{more}", columns, rows, "the populations",
                 is_on_demand=len(rows) > _ROWS_OPEN)  # fmt: skip


def conversions_table(facts: DatasetFacts) -> Table:
    """Inputs that were brought into form."""
    rows = tuple((words(kind.replace("-", " ")), count(number))
                 for kind, number in sorted(facts.account.conversions.items()))  # fmt: skip
    columns = (Column("What was done", is_number=False), Column("Images"))
    return Table("Brought into form", columns, rows, "the populations")


def shards_table(facts: DatasetFacts) -> Table:
    """Every shard with its digest."""
    entries = facts.dataset.manifest.shards
    rows = tuple(
        (code(entry.file), count(entry.spec.num_rows), count(entry.num_bytes),
         code(entry.file_sha256))
        for entry in entries[:_ITEMS_SHOWN]
    )  # fmt: skip
    columns = (Column("Shard", is_number=False), Column("Images"), Column("Bytes"),
               Column("SHA-256", is_number=False))  # fmt: skip
    more = f", the first {_ITEMS_SHOWN} of {len(entries):,}" if len(entries) > _ITEMS_SHOWN else ""
    return Table(f"Shards{more}", columns, rows, facts.dataset.manifest.file_name,
                 is_on_demand=True)  # fmt: skip


def first_parts(parts: Mapping[str, int]) -> dict[str, int]:
    """The largest parts, and what the others are together."""
    return dict(_first(parts))


def _first(parts: Mapping[str, int]) -> dict[str, int]:
    if len(parts) <= CLASSES_SHOWN:
        return dict(parts)
    by_size = sorted(parts, key=lambda name: (-parts[name], name))
    shown_parts = {name: parts[name] for name in by_size[:CLASSES_SHOWN]}
    rest = by_size[CLASSES_SHOWN:]
    return {**shown_parts, f"{len(rest):,} others": sum(parts[name] for name in rest)}


def _shares(parts: Mapping[str, int], total: int) -> tuple[tuple[Cell, ...], ...]:
    """A line for each part, and one for all."""
    lines: Iterable[tuple[str, int]] = (*parts.items(), ("all", total))
    return tuple(
        (words(name), count(size), byte_cell(size), _share(size, total, 2)) for name, size in lines
    )


def _share(part: float, whole: float, digits: int) -> Cell:
    """In percent; a plain word, because it is no fact of its own."""
    return words(cells.percent_text(part / whole if whole else 0.0, digits))


def _charge(charge: Charge, currency: str) -> tuple[Cell, ...]:
    price = "unpriced" if charge.unit_price is None else f"{plain(charge.unit_price)} {currency}"
    return (
        words(charge.what),
        measured(f"{shown(charge.quantity)} {_unit_text(charge.unit)}", charge.quantity),
        words(price) if charge.unit_price is None else measured(price, charge.unit_price),
        _money(charge.cost, currency),
        words(charge.formula),
        words(f"{charge.source}, {charge.date}" if charge.source else ""),
    )


def _total(found: Invoice) -> Cell:
    """Its sum; unpriced where nothing of it has a price, and free where there is no charge."""
    if found.unpriced and len(found.unpriced) == len(found.charges):
        return words("unpriced")
    return _money(found.total, found.currency)


def _unit_text(unit: str) -> str:
    """``× 1,000 requests``: a unit that begins with a number is no noun."""
    number, _, noun = unit.partition(" ")
    return f"× {int(number):,} {noun}" if number.isdigit() else unit


def _money(amount: Decimal | None, currency: str) -> Cell:
    return words("unpriced") if amount is None else measured(shown_money(amount, currency), amount)


def _times(value: float | None) -> Cell:
    return cells.EMPTY if value is None else measured(f"{cells.three_digits(value)} ×", value)


def _book(facts: DatasetFacts) -> str:
    return f"price book {facts.bill.book}, digest {facts.bill.book_digest}"
