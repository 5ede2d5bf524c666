"""What a dataset that stands costs at each service of a price book, and what an epoch of it costs.

Its quantities are exact: every shard's size from the manifest, each shard one object, an epoch one
copy of every training image read by whole shards. The files beside the shards (manifest, plan,
receipts) are not in it; `storage` says what they take.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from materialize.accounting.invoices import Invoice, Usage, invoice
from materialize.accounting.money import counted, plain, shown_money
from materialize.accounting.prices import PriceBook
from materialize.console import size
from materialize.manifest import Manifest, load_latest


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceBill:
    """A dataset at one service."""

    service: str
    title: str
    remark: str
    """What the book says of the service."""
    storage: Invoice
    """Of the months."""
    writing: Invoice
    """Of putting every shard there once."""
    reading: Invoice
    """Of the epochs."""

    @property
    def unpriced(self) -> tuple[str, ...]:
        """What the book has no price for."""
        invoices = self.storage, self.writing, self.reading
        return tuple(dict.fromkeys(name for found in invoices for name in found.unpriced))

    def to_json(self) -> dict[str, Any]:
        """Everything; money as exact decimal text."""
        return {
            "service": self.service, "title": self.title, "remark": self.remark,
            "storage": self.storage.to_json(), "writing": self.writing.to_json(),
            "reading": self.reading.to_json(), "unpriced": list(self.unpriced),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetBill:
    """A dataset at every service that was asked for."""

    manifest_digest: str
    stored_bytes: int
    """Of all shards."""
    num_shards: int
    epoch_bytes: int
    """That an epoch reads."""
    epoch_shards: int
    months: Decimal
    epochs: int
    currency: str
    book: str
    book_digest: str
    services: tuple[ServiceBill, ...]
    """In the order of the book."""
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """Everything; money as exact decimal text."""
        facts = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return facts | {
            "months": plain(self.months),
            "services": [bill.to_json() for bill in self.services],
        }


def bill_dataset(
    directory: str | Path,
    book: PriceBook,
    *,
    services: Iterable[str] | None = None,
    months: Decimal | int = 1,
    epochs: int = 1,
) -> DatasetBill:
    """What a dataset costs.

    Args:
        directory: of the dataset.
        book: of prices.
        services: names in the book; all of them unless given.
        months: how long it is stored.
        epochs: how many are read.

    Raises:
        ManifestError: there is no complete dataset.
        ConfigError: the book has no such service, or a number is negative.
    """
    manifest = load_latest(Path(directory))
    sizes, read = _sizes(manifest), _epoch_sizes(manifest)
    months = Decimal(months)
    stored = Usage(object_bytes=sizes, months=months)
    written = Usage(months=Decimal(0), put_requests=len(sizes))
    loaded = Usage(
        months=Decimal(0), get_requests=epochs * len(read), retrieved_bytes=epochs * sum(read)
    )
    bills = tuple(
        ServiceBill(
            service=name, title=book.service(name).title, remark=book.service(name).remark,
            storage=invoice(stored, book, name), writing=invoice(written, book, name),
            reading=invoice(loaded, book, name),
        )
        for name in (book.services if services is None else services)
    )  # fmt: skip
    return DatasetBill(
        manifest_digest=manifest.digest(), stored_bytes=sum(sizes), num_shards=len(sizes),
        epoch_bytes=sum(read), epoch_shards=len(read), months=months, epochs=epochs,
        currency=book.currency, book=f"{book.name}, {book.date}", book_digest=book.digest(),
        services=bills, sentence=_sentence(bills, sizes, read, months, epochs),
    )  # fmt: skip


def _sizes(manifest: Manifest) -> tuple[int, ...]:
    """Of all shards."""
    return tuple(entry.num_bytes for entry in manifest.shards)


def _epoch_sizes(manifest: Manifest) -> tuple[int, ...]:
    """Of the shards that the first epoch reads, or the untouched images without copies.

    That is copy 0 and, where classes are balanced, as many as an epoch shows of the rarest.
    """
    training = [entry for entry in manifest.shards if entry.spec.split == "train"]
    copies = [entry for entry in training if entry.spec.kind == "copy"]
    stored = 1 + max((entry.spec.copy for entry in copies), default=0)
    shown = -(-stored // manifest.copies)
    first = [entry for entry in copies if entry.spec.copy < shown]
    return tuple(entry.num_bytes for entry in first or training)


def _sentence(
    bills: tuple[ServiceBill, ...],
    sizes: tuple[int, ...],
    read: tuple[int, ...],
    months: Decimal,
    epochs: int,
) -> str:
    held = f"{size(sum(sizes))} in {counted(len(sizes), 'shard')}"
    if not bills:
        return f"{held}: the price book has no service."
    first = bills[0]
    currency = first.storage.currency
    reading = (
        "unpriced" if first.reading.unpriced else shown_money(first.reading.total, currency)
    )  # fmt: skip
    return (
        f"{held}: {shown_money(first.storage.total, currency)} for {counted(months, 'month')} on "
        f"{first.title}; {counted(epochs, 'epoch')} of {counted(len(read), 'GET')} each: {reading}."
    )
