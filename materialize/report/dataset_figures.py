"""The few figures that stand at the top of a dataset's page, each with its derivation."""

from decimal import Decimal

from materialize.accounting.money import plain, shown, shown_money
from materialize.report.cells import EMPTY, Cell, byte_cell, count, measured, three_digits, words
from materialize.report.dataset_facts import DatasetFacts, storage_cost
from materialize.report.dataset_sentences import copy_bytes, copy_cost, lead_invoice
from materialize.report.figures import Derivation, Figure


def key_figures(facts: DatasetFacts) -> tuple[Figure, ...]:
    """Images, bytes, ratios, money and time, as far as they are known."""
    return (
        _images(facts),
        _rows(facts),
        _stored(facts),
        _amplification(facts),
        *_compression(facts),
        *_month(facts),
        *_copy(facts),
        *_speed(facts),
    )


def _images(facts: DatasetFacts) -> Figure:
    splits = facts.images_by_split
    return Figure(
        "images", count(sum(splits.values())),
        ", ".join(f"{number:,} {split}" for split, number in splits.items()),
        Derivation("the sum over the splits", _counts(splits), "the manifest"),
    )  # fmt: skip


def _rows(facts: DatasetFacts) -> Figure:
    entries = facts.dataset.manifest.shards
    images = [entry.spec for entry in entries if not entry.spec.is_mask]
    by_kind = {
        "copies": sum(spec.num_rows for spec in images if spec.kind == "copy"),
        "originals": sum(spec.num_rows for spec in images if spec.kind == "original"),
    }
    return Figure(
        "stored images", count(sum(by_kind.values())), f"in {len(entries):,} shards",
        Derivation("rows of all shards", _counts(by_kind), "the manifest"),
    )  # fmt: skip


def _stored(facts: DatasetFacts) -> Figure:
    account = facts.account
    return Figure(
        "on disk", byte_cell(account.stored_bytes), f"{account.stored_bytes:,} bytes",
        Derivation(
            "the sum over the kinds of bytes",
            tuple((kind, count(size)) for kind, size in account.kinds.items() if size),
            "the sizes of all files that the newest manifest needs, read for this report",
        ),
        "account.stored_bytes",
    )  # fmt: skip


def _amplification(facts: DatasetFacts) -> Figure:
    account = facts.account
    return Figure(
        "times the source",
        measured(three_digits(account.amplification), account.amplification),
        f"which is {byte_cell(account.source_bytes).text}",
        Derivation(
            "stored bytes ÷ source bytes",
            (("stored bytes", count(account.stored_bytes)),
             ("source bytes", count(account.source_bytes))),
            "the file system; the populations, for the accepted images of the source",
        ),
        "account.amplification",
    )  # fmt: skip


def _compression(facts: DatasetFacts) -> tuple[Figure, ...]:
    account = facts.account
    if not account.compression:
        return ()
    return (Figure(
        "compression",
        measured(f"{three_digits(account.compression)} ×", account.compression),
        f"codec {facts.dataset.manifest.codec}",
        Derivation(
            "decoded bytes of all stored images ÷ their stored pixels",
            (("decoded bytes", count(account.logical_bytes)),
             ("stored pixels", count(account.kinds.get("pixels", 0)))),
            "the manifest",
        ),
        "account.compression",
    ),)  # fmt: skip


def _month(facts: DatasetFacts) -> tuple[Figure, ...]:
    found = lead_invoice(facts)
    cost = None if found is None else storage_cost(found)
    if found is None or cost is None:
        nothing = Derivation("quantity × unit price", (), "the price book has no price for storing")
        return (Figure("a month", words("unpriced"), "", nothing),)
    rows = [charge for charge in found.charges if charge.what.startswith("storage")]
    return (Figure(
        "a month", measured(shown_money(cost, found.currency), cost), found.title,
        Derivation(
            "; ".join(charge.formula for charge in rows),
            tuple((f"{charge.what}, {charge.unit}",
                   measured(shown(charge.quantity), charge.quantity)) for charge in rows),
            "; ".join(f"{charge.source}, {charge.date}" for charge in rows),
        ),
    ),)  # fmt: skip


def _copy(facts: DatasetFacts) -> tuple[Figure, ...]:
    size, found = copy_bytes(facts), lead_invoice(facts)
    if not size:
        return ()
    cost = Decimal(0) if found is None else copy_cost(facts, found)
    money = EMPTY if found is None else measured(shown_money(cost, found.currency), cost)
    by_copy = {f"copy {k}": v for k, v in facts.account.by_copy.items() if int(k) >= 0}
    return (Figure(
        "one more copy", byte_cell(size),
        f"{money.text} a month" if found else "of every training image",
        Derivation(
            "bytes in the shards of all copies ÷ number of copies, rounded; a month costs its "
            "share of those of all shards",
            (*tuple((name, count(v)) for name, v in list(by_copy.items())[:12]),
             *((("a month", measured(plain(cost), cost)),) if found else ())),
            "the account of the shards",
        ),
    ),)  # fmt: skip


def _speed(facts: DatasetFacts) -> tuple[Figure, ...]:
    build = facts.build
    seconds = sum(build.timings_s.values()) if build else 0.0
    if build is None or not seconds:
        return ()
    return (Figure(
        "images/s of one worker", count(build.num_images / seconds),
        f"{seconds:,.1f} worker seconds in all",
        Derivation(
            "stored images ÷ worker seconds",
            (("stored images", count(build.num_images)),
             *((step, measured(f"{value:.3f} s", value))
               for step, value in build.timings_s.items())),
            f"{build.num_shards:,} receipts, {build.first_finished} to {build.last_finished}",
        ),
    ),)  # fmt: skip


def _counts(numbers: dict[str, int]) -> tuple[tuple[str, Cell], ...]:
    return tuple((name, count(number)) for name, number in numbers.items())
