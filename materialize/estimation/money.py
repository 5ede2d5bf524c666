"""What an estimate costs: invoices of building, of a month, of an epoch and of a training run."""

from dataclasses import dataclass
from decimal import Decimal

from materialize.accounting.breakeven import EpochUse, Generation, break_even
from materialize.accounting.invoices import Usage, invoice
from materialize.accounting.prices import PriceBook
from materialize.estimation.estimates import MoneyEstimate
from materialize.estimation.intervals import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageTerms:
    """Where a dataset would lie, at which prices, and for what."""

    book: PriceBook
    service: str
    months: Decimal = Decimal(1)
    epochs: int = 10
    """Of a training run."""
    training_runs: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantities:
    """What money is asked for."""

    stored_bytes: Interval
    num_shards: int
    build_cpu_s: float
    epoch_bytes: int
    """Read in one epoch."""
    epoch_shards: int
    """Read in one epoch, each with one request."""
    read_cpu_s: float
    """Of one epoch of stored copies."""
    augment_cpu_s: float
    """Of one epoch on the fly."""


def money_estimate(quantities: Quantities, terms: StorageTerms) -> MoneyEstimate:
    """Everything that a dataset costs at a service.

    Raises:
        ConfigError: the book has no such service.
    """
    q, book, service = quantities, terms.book, terms.service
    stored = round(q.stored_bytes.value)
    build = Usage(cpu_s=q.build_cpu_s, put_requests=q.num_shards, months=Decimal(0))
    month = Usage(stored_bytes=stored, num_objects=q.num_shards)
    offline = EpochUse(cpu_s=q.read_cpu_s, get_requests=q.epoch_shards, read_bytes=q.epoch_bytes)
    online = EpochUse(cpu_s=q.augment_cpu_s)
    run = Usage(
        stored_bytes=stored, num_objects=q.num_shards, months=terms.months,
        put_requests=q.num_shards, get_requests=q.epoch_shards * terms.epochs,
        retrieved_bytes=q.epoch_bytes * terms.epochs,
        cpu_s=q.build_cpu_s + q.read_cpu_s * terms.epochs,
    )  # fmt: skip
    generation = Generation(
        cpu_s=q.build_cpu_s, put_requests=q.num_shards, stored_bytes=stored,
        num_objects=q.num_shards,
    )  # fmt: skip
    pays = break_even(
        generation, offline, online, book, service, months=terms.months, epochs=terms.epochs,
        training_runs=terms.training_runs,
    )  # fmt: skip
    bills = [invoice(use, book, service) for use in (build, month, offline.usage(), run)]
    return MoneyEstimate(
        service=service, title=bills[0].title, currency=bills[0].currency, book=bills[0].book,
        per_month=month_cost(q.stored_bytes, q.num_shards, terms),
        build=bills[0].to_json(), month=bills[1].to_json(), epoch=bills[2].to_json(),
        run=bills[3].to_json(), break_even=pays.to_json(),
        unpriced=tuple(dict.fromkeys(name for bill in bills for name in bill.unpriced)),
    )  # fmt: skip


def month_cost(stored: Interval, num_shards: int, terms: StorageTerms) -> Interval | None:
    """Storage for one month, in the book's currency; None where the book has no price for it."""
    # More bytes never cost less, so the ends of one interval are those of the other.
    found = []
    for size in (stored.value, stored.low, stored.high):
        use = Usage(stored_bytes=round(size), num_objects=num_shards)
        bill = invoice(use, terms.book, terms.service)
        if any(name.startswith("storage") for name in bill.unpriced):
            return None
        found.append(float(bill.cost_of("storage")))
    return Interval(*found)
