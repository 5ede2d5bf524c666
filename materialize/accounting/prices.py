"""Price books: small dated TOML files that say what a service charges, each price with its source.

    name = "our contract"
    date = "2026-03"
    currency = "USD"

    [cpu_hour]
    amount = 0.048
    unit = "vCPU-hour"
    source = "where it was read"
    date = "2026-03"

    [providers.aws]
    title = "Amazon Web Services"

    [services.s3-standard]
    title = "S3 Standard"
    provider = "aws"
    kind = "objects"               # objects, files or volume
    [services.s3-standard.storage]
    amount = 0.023
    unit = "GB-month"
    bytes_per_gb = 1073741824      # what this seller calls a GB: 10^9 or 2^30 bytes
    source = "where it was read"
    date = "2026-03"

Numbers are read as decimals, never as floats. What a book does not say has no price: it is printed
as unpriced, never as nothing. A price of 0 is a price.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_type_hints

import msgspec

from materialize.canonical import digest
from materialize.errors import ConfigError

GB = 10**9
GIB = 2**30

KINDS = ("objects", "files", "volume")
"""What is stored: objects with requests, files of a file system, or a volume of whole GB."""

_BOOK_FILE = "list_prices.toml"
_MOST_DIGITS = 30
"""Of an amount, before and behind the point; printing 10^999999 takes a megabyte."""
_REQUESTS = ("1000 requests", "10000 requests")
_UNITS = {
    "storage": ("GB-month",), "put": _REQUESTS, "get": _REQUESTS, "retrieval": ("GB",),
    "egress": ("GB",), "inter_region": ("GB",), "cpu_hour": ("vCPU-hour",),
    "gpu_hour": ("GPU-hour",),
}  # fmt: skip
"""The units in which each price may be said."""

_Kind = TypeVar("_Kind")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one unit costs, and who says so.

    Raises:
        ValueError: a value is outside its interval, or source or date are empty.
    """

    amount: Decimal
    """In the book's currency, at least 0."""
    unit: str
    """``GB-month``, ``GB``, ``1000 requests``, ``10000 requests``, ``vCPU-hour``, ``GPU-hour``."""
    bytes_per_gb: int | None = None
    """10^9 or 2^30, with a unit of GB; None with the others."""
    up_to: Decimal | None = None
    """In GB: where this tier ends and the next one begins; None for the last. What lies beyond the
    last tier of a book has no price."""
    source: str
    date: str
    """When the source was true: ``2024-07``, or ``undated``."""
    remark: str = ""
    """Such as what about it is unverified."""

    def __post_init__(self) -> None:
        if not self.amount.is_finite() or self.amount < 0:
            raise ValueError(f"amount: expected a number of at least 0, found {self.amount}")
        if self.up_to is not None and not (self.up_to.is_finite() and self.up_to > 0):
            raise ValueError(f"up_to: expected a number above 0, found {self.up_to}")
        for name, number in (("amount", self.amount), ("up_to", self.up_to)):
            if number and abs(number.adjusted()) > _MOST_DIGITS:
                raise ValueError(
                    f"{name}: expected a number between 10^-{_MOST_DIGITS} and 10^{_MOST_DIGITS}, "
                    f"found about 10^{number.adjusted()}"
                )
        for name in ("unit", "source", "date"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name}: expected a text, found an empty one")
        sizes = (GB, GIB) if self.unit.startswith("GB") else (None,)
        if self.bytes_per_gb not in sizes:
            expected = f"{GB} or {GIB}, as the seller counts" if sizes[0] else "none"
            raise ValueError(
                f"bytes_per_gb: expected {expected}, for a price per {self.unit}, found "
                f"{self.bytes_per_gb or 'none'}"
            )

    @property
    def shown_unit(self) -> str:
        """The unit with its GB made plain: ``GiB-month`` where a GB has 2^30 bytes."""
        return self.unit.replace("GB", "GiB", 1) if self.bytes_per_gb == GIB else self.unit

    @property
    def shown_source(self) -> str:
        """The source, with the remark."""
        return f"{self.source} ({self.remark})" if self.remark else self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Who sells, and what moving bytes out of there costs.

    Raises:
        ValueError: tiers are out of order, or a unit is not that of its price.
    """

    title: str
    egress: tuple[Price, ...] = ()
    """To the Internet, each month."""
    inter_region: tuple[Price, ...] = ()
    """To another region of the same provider, each month."""

    def __post_init__(self) -> None:
        _check_tiers(self, "egress", "inter_region")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One place to store a dataset. Prices are tiers, the first one first; () is no price.

    Raises:
        ValueError: tiers are out of order, a unit is not that of its price, or the kind is unknown.
    """

    title: str
    provider: str
    """A key of `PriceBook.providers`."""
    kind: str
    """One of `KINDS`."""
    region: str = ""
    storage: tuple[Price, ...] = ()
    put: tuple[Price, ...] = ()
    get: tuple[Price, ...] = ()
    retrieval: tuple[Price, ...] = ()
    """Of every byte read, on top of the request."""
    minimum_days: int = 0
    """What is deleted earlier is billed as if it had stayed so long."""
    minimum_object_bytes: int = 0
    """A smaller object is billed as if it had this size."""
    remark: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: expected {', '.join(KINDS)}, found {self.kind!r}")
        for name in ("minimum_days", "minimum_object_bytes"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected at least 0, found {getattr(self, name)}")
        _check_tiers(self, "storage", "put", "get", "retrieval")

    @property
    def has_requests(self) -> bool:
        """Whether reading and writing are billed at all: a volume or a file system is mounted."""
        return self.kind == "objects"


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBook:
    """Every price that is known; equal books have equal digests.

    Raises:
        ValueError: a service's provider is not in the book, or a unit is not that of its price.
    """

    name: str
    date: str
    """When the book was put together."""
    currency: str
    """ISO 4217, such as ``USD``."""
    remark: str = ""
    hours_per_month: Decimal = Decimal(730)
    """A price per month is for this many hours; sellers bill the hours that passed."""
    cpu_hour: Price | None = None
    """One virtual processor for an hour."""
    gpu_hour: Price | None = None
    """One accelerator for an hour: in nobody's book but the user's own, for public pages contradict
    each other."""
    providers: Mapping[str, Provider] = field(default_factory=dict)
    services: Mapping[str, Service] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.hours_per_month.is_finite() or self.hours_per_month <= 0:
            raise ValueError(f"hours_per_month: expected above 0, found {self.hours_per_month}")
        for name in ("cpu_hour", "gpu_hour"):
            price = getattr(self, name)
            _check_units((price,) if price else (), name)
        for name, service in self.services.items():
            if service.provider not in self.providers:
                known = " or ".join(self.providers) or "a table [providers.NAME]"
                raise ValueError(
                    f"services.{name}.provider: expected {known}, found {service.provider!r}"
                )

    def service(self, name: str) -> Service:
        """A service by its name.

        Raises:
            ConfigError: the book has none of that name.
        """
        if name not in self.services:
            _refuse(f"service: the price book {self.name!r} has no {name!r}; "
                    f"{_hint(name, self.services)}", name="service",
                    expected=tuple(self.services), found=name)  # fmt: skip
        return self.services[name]

    def provider_of(self, service: str) -> Provider:
        """Who sells a service."""
        return self.providers[self.service(service).provider]

    def with_gpu_hour(self, amount: Decimal) -> "PriceBook":
        """This book with the user's own price for the hour of an accelerator.

        Raises:
            ConfigError: the amount is negative or not a number.
        """
        try:
            price = Price(amount=amount, unit="GPU-hour", source="given by the user",
                          date="undated")  # fmt: skip
        except ValueError as error:
            _refuse(f"gpu-hour: {error}", name="gpu_hour", found=str(amount))
        return replace(self, gpu_hour=price)

    def to_json(self) -> dict[str, Any]:
        """Everything, with amounts as decimal text."""
        facts: dict[str, Any] = msgspec.to_builtins(self)
        return facts

    def digest(self) -> str:
        """SHA-256 of everything the book says, as 64 hex digits."""
        return digest(self.to_json())


def read_prices(path: str | Path | None = None) -> PriceBook:
    """A price book.

    Args:
        path: of a TOML file; None reads the list prices that come with the package.

    Raises:
        ConfigError: it cannot be read, a key is unknown, missing or of another type, a price is
            negative, or says neither source nor date.
    """
    if path is None:
        shipped = resources.files("materialize.accounting") / _BOOK_FILE
        return parse_prices(shipped.read_text("utf-8"), _BOOK_FILE)
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        _refuse(f"{path}: expected a price book in TOML, found: {reason}", path=str(path))
    return parse_prices(text, str(path))


def parse_prices(text: str, origin: str) -> PriceBook:
    """The price book that a TOML text holds; see `read_prices`.

    Args:
        text: of the file.
        origin: what to call it in messages.
    """
    try:
        data = tomllib.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError, ArithmeticError) as error:
        # also thousands of brackets, integers of thousands of digits and exponents beyond Decimal's
        reason = "a number out of range" if isinstance(error, ArithmeticError) else error
        _refuse(f"{origin}: expected a price book in TOML, found: {reason}", path=origin)
    return _record(data, PriceBook, origin, "")


def _record(data: Any, kind: type[_Kind], origin: str, key: str) -> _Kind:
    """A dataclass of this module from a table, with unknown and missing keys refused."""
    if not isinstance(data, Mapping):
        _fail(origin, key, f"expected a table, found {data!r}")
    declared = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]  # a dataclass
    for name in data:
        if name not in declared:
            _fail(origin, _below(key, name), f"no such key; {_hint(name, declared)}")
    for name, declaration in declared.items():
        is_needed = declaration.default is declaration.default_factory is MISSING
        if is_needed and name not in data:
            _fail(origin, _below(key, name), "expected a value, found none; add it")
    hints = get_type_hints(kind)
    values = {
        name: _value(value, hints[name], origin, _below(key, name)) for name, value in data.items()
    }
    try:
        return kind(**values)
    except ValueError as error:
        _fail(origin, key, str(error))


def _value(value: Any, hint: Any, origin: str, key: str) -> Any:
    """One key's value, converted to its field's type."""
    if hint == Price | None:
        return _record(value, Price, origin, key)
    if hint == tuple[Price, ...]:
        tiers = value if isinstance(value, list) else [value]
        return tuple(_record(tier, Price, origin, key) for tier in tiers)
    if hint in _NAMED:
        if not isinstance(value, Mapping):
            _fail(origin, key, f"expected a table of tables, found {value!r}")
        return {n: _record(v, _NAMED[hint], origin, _below(key, n)) for n, v in value.items()}
    try:
        return msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        message = str(error).replace("`", "")
        _fail(origin, key, f"{message[:1].lower()}{message[1:]}, found {value!r}")


_NAMED: Mapping[Any, type[Any]] = {
    Mapping[str, Provider]: Provider,
    Mapping[str, Service]: Service,
}


def _check_tiers(owner: Provider | Service, *names: str) -> None:
    """Tiers ascend, all but the last have an end, and all count a GB alike."""
    for name in names:
        tiers: tuple[Price, ...] = getattr(owner, name)
        _check_units(tiers, name)
        ends = [tier.up_to for tier in tiers[:-1]]
        known = [end for end in (*ends, *(tier.up_to for tier in tiers[-1:])) if end is not None]
        if None in ends or known != sorted(set(known)):
            raise ValueError(f"{name}: expected tiers with ascending up_to, found "
                             f"{[str(tier.up_to) for tier in tiers]}")  # fmt: skip
        if len({tier.bytes_per_gb for tier in tiers}) > 1:
            raise ValueError(f"{name}: expected one bytes_per_gb in all tiers")


def _check_units(prices: Iterable[Price], name: str) -> None:
    for price in prices:
        if price.unit not in _UNITS[name]:
            expected = " or ".join(map(repr, _UNITS[name]))
            raise ValueError(f"{name}.unit: expected {expected}, found {price.unit!r}")


def _below(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name


def _hint(name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}"


def _fail(origin: str, key: str, what: str) -> NoReturn:
    where = f"{origin}: {key}" if key else origin
    _refuse(f"{where}: {what}", path=origin, key=key)


def _refuse(message: str, **facts: Any) -> NoReturn:
    raise ConfigError(message, facts) from None
