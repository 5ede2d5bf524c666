"""What a use of storage and processors costs: quantity × unit price, one row for each charge.

Every row has its price's source and date and its arithmetic as text. What a book has no price for
stands as an unpriced row and is never counted as nothing. Nothing is rounded here: amounts are
decimals with all their digits, and rounding is for whoever prints them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

from materialize.accounting.money import EXACT, added, counted, plain, quantity, shown, shown_money
from materialize.accounting.prices import GIB, Price, PriceBook, Provider, Service
from materialize.errors import ConfigError

_HOURS_PER_DAY = 24
_SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What is used, over the whole time that is billed.

    Raises:
        ConfigError: a quantity is negative or not a number.
    """

    stored_bytes: int = 0
    num_objects: int = 0
    object_bytes: tuple[int, ...] = ()
    """The size of every object, where each is known: then `stored_bytes` and `num_objects` are
    their sum and number, and small objects are billed exactly. Otherwise all objects are taken to
    be of one size."""
    months: Decimal = Decimal(1)
    """How long it is stored; hours ÷ 730 at a seller who counts hours."""
    put_requests: int = 0
    get_requests: int = 0
    retrieved_bytes: int = 0
    """Read from the service, wherever to."""
    egress_bytes: int = 0
    """Of these, what leaves for the Internet."""
    inter_region_bytes: int = 0
    """Of these, what goes to another region of the provider."""
    cpu_s: float = 0.0
    """Seconds of one virtual processor."""
    gpu_s: float = 0.0
    """Seconds of one accelerator."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "months", Decimal(self.months))
        if self.object_bytes:
            object.__setattr__(self, "stored_bytes", sum(self.object_bytes))
            object.__setattr__(self, "num_objects", len(self.object_bytes))
        for name in self.__dataclass_fields__:
            value = min(self.object_bytes, default=0) if name == "object_bytes" else None
            value = getattr(self, name) if value is None else value
            if not Decimal(value).is_finite() or value < 0:
                raise ConfigError(
                    f"{name}: expected a number of at least 0, got {value}",
                    {"name": name, "expected": "at least 0", "found": str(value)},
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """One row of an invoice."""

    what: str
    """``storage``, ``early deletion``, ``PUT requests``, ``GET requests``, ``retrieval``,
    ``egress``, ``CPU``, ``GPU`` …, with the tier where there are several."""
    quantity: Decimal
    """In units; exact."""
    unit: str
    """``GiB-month``, ``1000 requests``, ``vCPU-hour`` …"""
    unit_price: Decimal | None
    """None: unpriced."""
    cost: Decimal | None
    """quantity × unit price; None: unpriced."""
    source: str = ""
    """Of the price, with what about it is unverified."""
    date: str = ""
    """Of the price."""
    formula: str
    """The row's arithmetic, rounded for reading."""

    @property
    def is_priced(self) -> bool:
        """Whether the book has a price for it."""
        return self.cost is not None

    def to_json(self) -> dict[str, Any]:
        """By field; decimals as exact text."""
        return {
            "what": self.what, "quantity": plain(self.quantity), "unit": self.unit,
            "unit_price": None if self.unit_price is None else plain(self.unit_price),
            "cost": None if self.cost is None else plain(self.cost),
            "source": self.source, "date": self.date, "formula": self.formula,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """What a use costs at one service."""

    service: str
    """Its name in the book."""
    title: str
    provider: str
    currency: str
    book: str
    """Name and date of the price book."""
    book_digest: str
    charges: tuple[Charge, ...]

    @property
    def total(self) -> Decimal:
        """Of the rows that have a price."""
        return added(charge.cost for charge in self.charges if charge.cost is not None)

    @property
    def unpriced(self) -> tuple[str, ...]:
        """What has no price, and therefore is not in the total."""
        return tuple(charge.what for charge in self.charges if charge.cost is None)

    def cost_of(self, *names: str) -> Decimal:
        """The sum of the priced rows whose `what` begins with one of the names."""
        return added(
            c.cost for c in self.charges if c.cost is not None and c.what.startswith(names)
        )

    def to_json(self) -> dict[str, Any]:
        """Everything; decimals as exact text."""
        return {
            "service": self.service, "title": self.title, "provider": self.provider,
            "currency": self.currency, "book": self.book, "book_digest": self.book_digest,
            "charges": [charge.to_json() for charge in self.charges],
            "total": plain(self.total), "unpriced": list(self.unpriced),
        }  # fmt: skip


def invoice(usage: Usage, book: PriceBook, service: str) -> Invoice:
    """What a use costs at a service.

    Args:
        usage: how much of what; quantities of zero give no row.
        book: of prices.
        service: a name in the book.

    Raises:
        ConfigError: the book has no such service.
    """
    found, provider = book.service(service), book.provider_of(service)
    with localcontext(EXACT):
        charges = tuple(_charges(usage, book, found, provider))
    return Invoice(
        service=service, title=found.title, provider=provider.title, currency=book.currency,
        book=f"{book.name}, {book.date}", book_digest=book.digest(), charges=charges,
    )  # fmt: skip


def _charges(
    usage: Usage, book: PriceBook, service: Service, provider: Provider
) -> Iterator[Charge]:
    yield from _storage(usage, book, service)
    if service.has_requests:
        yield from _counted("PUT requests", usage.put_requests, service.put, book.currency)
        yield from _counted("GET requests", usage.get_requests, service.get, book.currency)
    if service.has_requests or service.retrieval:
        yield from _sized("retrieval", usage.retrieved_bytes, service.retrieval, book.currency)
    # Tiers are of a month; what leaves is taken to leave evenly, as the book's tiers ask for.
    months = max(usage.months, Decimal(1))
    for what, size, tiers in (
        ("egress", usage.egress_bytes, provider.egress),
        ("inter-region transfer", usage.inter_region_bytes, provider.inter_region),
    ):
        yield from _sized(what, size, tiers, book.currency, spread=months)
    for what, seconds, price in (
        ("CPU", usage.cpu_s, book.cpu_hour), ("GPU", usage.gpu_s, book.gpu_hour),
    ):  # fmt: skip
        yield from _timed(what, seconds, price, book.currency)


def _storage(usage: Usage, book: PriceBook, service: Service) -> Iterator[Charge]:
    """The bytes over their months, and over what is missing to the minimum duration."""
    size = _billed_bytes(usage, service)
    note = "" if size <= usage.stored_bytes else f", each object at least {_kib(service)}"
    least = Decimal(service.minimum_days * _HOURS_PER_DAY) / book.hours_per_month
    missing = max(least - usage.months, Decimal(0))
    for what, months, why in (
        ("storage", usage.months, note),
        ("early deletion", missing, f"{note}, up to {service.minimum_days} days"),
    ):
        yield from _sized(what, size, service.storage, book.currency, months=months, note=why)


def _billed_bytes(usage: Usage, service: Service) -> int:
    """What is billed for the bytes that are stored: volumes and small objects count as larger."""
    least = service.minimum_object_bytes
    if service.kind == "volume":  # of whole GB
        per_gb = _bytes_per_gb(service.storage)
        return -(-usage.stored_bytes // per_gb) * per_gb
    if usage.object_bytes:
        return sum(max(size, least) for size in usage.object_bytes)
    return max(usage.stored_bytes, usage.num_objects * least)


def _bytes_per_gb(tiers: tuple[Price, ...]) -> int:
    return tiers[0].bytes_per_gb or GIB if tiers else GIB


def _kib(service: Service) -> str:
    return f"{service.minimum_object_bytes / 1024:g} KiB"


def _sized(
    what: str,
    size: int,
    tiers: tuple[Price, ...],
    currency: str,
    *,
    months: Decimal | None = None,
    spread: Decimal = Decimal(1),
    note: str = "",
) -> Iterator[Charge]:
    """Bytes at prices per GB, or per GB and month, tier by tier.

    Args:
        what: the row is called.
        size: in bytes.
        tiers: their prices.
        currency: of the book.
        months: how long they are stored; None for bytes that move once.
        spread: over how many months bytes that move do so; tiers begin anew in each.
        note: for the formula, after the quantity.
    """
    if not size or months == 0:
        return
    per_gb = _bytes_per_gb(tiers)
    total = Decimal(size) / per_gb / spread
    factor = spread if months is None else months
    start = Decimal(0)
    for number, tier in enumerate(tiers, start=1):
        end = total if tier.up_to is None else min(total, tier.up_to)
        if end > start:
            name = what if len(tiers) == 1 else f"{what}, tier {number}"
            yield _sized_row(name, end - start, factor, tier, currency, note, months is not None)
            start = end
    if start < total:
        unit = "GiB" if per_gb == GIB else "GB"
        rest = (total - start) * factor
        yield _unpriced(what if not start else f"{what} beyond {shown(start)} {unit}", rest,
                        unit if months is None else f"{unit}-month", note)  # fmt: skip


def _sized_row(
    what: str, gb: Decimal, factor: Decimal, price: Price, currency: str, note: str, is_stored: bool
) -> Charge:
    unit = price.shown_unit.partition("-")[0]
    lasting = f" × {counted(factor, 'month')}" if is_stored else ""
    held = gb if is_stored else gb * factor
    return _priced(what, gb * factor, price, currency, f"{shown(held)} {unit}{note}{lasting}")


def _counted(what: str, count: int, prices: tuple[Price, ...], currency: str) -> Iterator[Charge]:
    """Requests at a price for a thousand or ten thousand."""
    if not count:
        return
    if not prices:
        yield _unpriced(what, Decimal(count), "requests")
        return
    block = int(prices[0].unit.split()[0])
    yield _priced(what, Decimal(count) / block, prices[0], currency, f"{count:,} ÷ {block:,}")


def _timed(what: str, seconds: float, price: Price | None, currency: str) -> Iterator[Charge]:
    """Seconds at a price for an hour."""
    if not seconds:
        return
    exact = Decimal(repr(float(seconds)))
    hours = exact / _SECONDS_PER_HOUR
    if price is None:
        yield _unpriced(what, hours, f"{what}-hour".replace("CPU", "vCPU"))
    else:
        yield _priced(what, hours, price, currency, f"{shown(exact)} s ÷ {_SECONDS_PER_HOUR:,}")


def _priced(what: str, amount: Decimal, price: Price, currency: str, how: str) -> Charge:
    exact = quantity(amount)
    cost = exact * price.amount
    return Charge(
        what=what, quantity=exact, unit=price.shown_unit, unit_price=price.amount, cost=cost,
        source=price.shown_source, date=price.date,
        formula=f"{how} × {plain(price.amount)} {currency} per {price.shown_unit} = "
        f"{shown_money(cost, currency)}",
    )  # fmt: skip


def _unpriced(what: str, amount: Decimal, unit: str, note: str = "") -> Charge:
    return Charge(
        what=what, quantity=quantity(amount), unit=unit, unit_price=None, cost=None,
        formula=f"{shown(amount)} {unit}{note}: unpriced",
    )  # fmt: skip
