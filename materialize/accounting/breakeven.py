"""After how many epochs stored copies have cost less than augmenting on the fly.

    E* = (generation + storage · months) ÷ (on-the-fly's epoch − the stored copies' epoch)

An epoch costs CPU seconds, accelerator seconds in which the model waits, GETs, retrieval and
egress. Where stored copies save nothing in an epoch, they never pay. What has no price is left out
and named: without a price of an accelerator the answer is of CPU and storage alone, and without a
price of storage or CPU there is none.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

from materialize.accounting.invoices import Invoice, Usage, invoice
from materialize.accounting.money import EXACT, counted, plain, shown, shown_money
from materialize.accounting.prices import PriceBook
from materialize.errors import ConfigError

OUTCOMES = ("epochs", "runs", "never", "unknown")
"""Of a break-even: after so many epochs; only by several runs, as longer ones may not be compared;
at no number of them; a price is missing."""
STALLS = (Decimal(0), Decimal("0.1"), Decimal("0.3"))
"""Fractions of on-the-fly's time that sensitivity assumes its accelerator waits."""
_SWING = Decimal("0.5")
_SAME = Decimal(1)
_SECONDS_PER_HOUR = 3600
_CURVE_POINTS = 24
_CURVE_BEYOND = 2
"""How far the curves reach: so many times the break-even, or the epochs that are asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """What stored copies take once."""

    cpu_s: float
    """Seconds of one processor to write them."""
    put_requests: int = 0
    stored_bytes: int = 0
    num_objects: int = 0
    object_bytes: tuple[int, ...] = ()
    """Sizes of the shards, where they are known; see `Usage`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochUse:
    """What one epoch takes, whichever way its images come."""

    cpu_s: float
    """Seconds of one processor to read, decode and augment."""
    gpu_stall_s: float = 0.0
    """Seconds in which the accelerator waits for images."""
    gpu_compute_s: float = 0.0
    """Seconds in which it computes: equal for both ways, so it costs neither more; what a stall of
    10 % means in seconds. 0 is unknown."""
    get_requests: int = 0
    read_bytes: int = 0
    egress_bytes: int = 0
    """Of these, what leaves for the Internet: 0 where the trainer stands beside the storage."""

    def usage(self, epochs: int = 1) -> Usage:
        """Of some epochs."""
        return Usage(
            months=Decimal(0), get_requests=self.get_requests * epochs,
            retrieved_bytes=self.read_bytes * epochs, egress_bytes=self.egress_bytes * epochs,
            cpu_s=self.cpu_s * epochs, gpu_s=self.gpu_stall_s * epochs,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakEven:
    """When stored copies have paid for themselves, and how that was computed."""

    outcome: str
    """One of `OUTCOMES`."""
    epochs: float | None
    """Of each training run; None unless the outcome is ``epochs``."""
    runs: float | None
    """How many runs of ``num_epochs`` epochs; None unless the outcome is ``epochs`` or ``runs``."""
    reason: str
    """One sentence."""
    currency: str
    service: str
    months: Decimal
    num_epochs: int
    """Of a run."""
    training_runs: int
    """That share the stored copies."""
    offline_fixed: Decimal
    """Generation, PUTs and storage over the months."""
    offline_epoch: Decimal
    online_epoch: Decimal
    saved_per_epoch: Decimal
    """on-the-fly's epoch − the stored copies' epoch; may be negative."""
    formula: str
    inputs: Mapping[str, str]
    """Every quantity with its arithmetic and its price's source, by name."""
    fixed_invoice: Invoice
    offline_epoch_invoice: Invoice
    online_epoch_invoice: Invoice
    curve: tuple[tuple[float, Decimal, Decimal], ...]
    """(epochs of each run, cost of stored copies, cost of on-the-fly), ascending."""
    runs_curve: tuple[tuple[int, Decimal, Decimal], ...]
    """(runs of ``num_epochs`` epochs, cost of stored copies, cost of on-the-fly), ascending."""
    sensitivity: tuple[tuple[str, float | None], ...]
    """(what is changed, epochs); None is never, or unknown where the outcome is; left out are
    epochs of runs that may not be compared."""
    unpriced: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything; money as exact decimal text, but for the curves, which are for drawing."""
        facts: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("outcome", "epochs", "runs", "reason", "currency", "service", "num_epochs",
                         "training_runs", "formula")
        }  # fmt: skip
        for name in ("months", "offline_fixed", "offline_epoch", "online_epoch", "saved_per_epoch"):
            facts[name] = plain(getattr(self, name))
        for name in ("fixed_invoice", "offline_epoch_invoice", "online_epoch_invoice"):
            facts[name] = getattr(self, name).to_json()
        for name in ("curve", "runs_curve"):
            facts[name] = [[at, float(one), float(two)] for at, one, two in getattr(self, name)]
        facts["inputs"] = dict(self.inputs)
        facts["sensitivity"] = [list(row) for row in self.sensitivity]
        facts["unpriced"] = list(self.unpriced)
        return facts


@dataclass(frozen=True, slots=True)
class _Case:
    """The question with its three invoices, from which everything else follows."""

    book: PriceBook
    service: str
    months: Decimal
    num_epochs: int
    runs: int
    fixed: Invoice
    """Once."""
    offline: Invoice
    """An epoch from storage."""
    online: Invoice
    """An epoch on the fly."""
    most_epochs: int | None
    """Of a run, for the two ways to be comparable."""

    @property
    def unpriced(self) -> tuple[str, ...]:
        """What has no price."""
        names = (*self.fixed.unpriced, *self.offline.unpriced, *self.online.unpriced)
        return tuple(dict.fromkeys(names))

    @property
    def saved(self) -> Decimal:
        """In an epoch."""
        with localcontext(EXACT):
            return self.online.total - self.offline.total

    def is_too_long(self, epochs: Decimal | None) -> bool:
        """Whether nobody knows that runs of so many epochs are as accurate both ways."""
        return epochs is not None and self.most_epochs is not None and epochs > self.most_epochs

    def money(self, amount: Decimal) -> str:
        """An amount for reading."""
        return shown_money(amount, self.book.currency)

    def totals(self, epochs: Decimal | int) -> tuple[Decimal, Decimal]:
        """What storing and on-the-fly cost after so many epochs, of all runs together."""
        with localcontext(EXACT):
            stored = self.fixed.total + epochs * self.offline.total
            return stored, epochs * self.online.total

    def epochs(self, rows: tuple[str, ...] = (), factor: Decimal = _SAME) -> Decimal | None:
        """The break-even, with the cost of some rows multiplied; None where storing never pays.

        Args:
            rows: names of charges.
            factor: of their costs.
        """
        with localcontext(EXACT):
            fixed, offline, online = (
                each.total + (factor - 1) * each.cost_of(*rows) if rows else each.total
                for each in (self.fixed, self.offline, self.online)
            )
            return _ratio(fixed, self.runs * (online - offline))


def break_even(  # noqa: PLR0913  # the two ways, the prices and the plan are different things
    generation: Generation,
    offline: EpochUse,
    online: EpochUse,
    book: PriceBook,
    service: str,
    *,
    months: Decimal | int,
    epochs: int,
    training_runs: int = 1,
    most_epochs: int | None = None,
) -> BreakEven:
    """When stored copies have cost less than augmenting on the fly.

    Costs are linear in epochs: what one epoch costs is what each costs, so tiers of egress are
    those of one epoch.

    Args:
        generation: what the copies take once.
        offline: an epoch that reads them.
        online: an epoch that augments.
        book: of prices.
        service: where the copies are stored; a name in the book.
        months: how long they are stored.
        epochs: of a training run.
        training_runs: that share the copies.
        most_epochs: of a run for which the two ways are known to be as accurate; None for any. No
            answer goes beyond: it is then in runs.

    Returns:
        The epochs of each run at which both ways have cost the same, and how the answer moves with
        prices of storage, CPU and GPU (±50 %) and with on-the-fly's stall (0, 10, 30 %).

    Raises:
        ConfigError: a quantity is negative, or the book has no such service.
    """
    for name, count in (("epochs", epochs), ("training_runs", training_runs)):
        if count < 1:
            raise ConfigError(f"{name}: expected at least 1, got {count}",
                              {"name": name, "expected": "at least 1", "found": count})  # fmt: skip
    uses = _once(generation, Decimal(months)), offline.usage(), online.usage()
    fixed, stored, live = (invoice(use, book, service) for use in uses)
    case = _Case(
        book, service, Decimal(months), epochs, training_runs, fixed, stored, live, most_epochs
    )
    missing = [name for name in case.unpriced if name != "GPU"]
    found = None if missing else case.epochs()
    outcome = "unknown" if missing else "never" if found is None else "epochs"
    outcome = "runs" if case.is_too_long(found) else outcome
    runs = None if found is None else float(found) * training_runs / epochs
    return BreakEven(
        outcome=outcome, epochs=_as_float(found) if outcome == "epochs" else None, runs=runs,
        reason=_reason(case, found, missing), currency=book.currency, service=service,
        months=case.months, num_epochs=epochs, training_runs=training_runs,
        offline_fixed=case.fixed.total, offline_epoch=case.offline.total,
        online_epoch=case.online.total, saved_per_epoch=case.saved,
        formula=_formula(case, found, outcome), inputs=_inputs(case), fixed_invoice=case.fixed,
        offline_epoch_invoice=case.offline, online_epoch_invoice=case.online,
        curve=tuple(_curve(case, found)), runs_curve=tuple(_runs_curve(case, runs)),
        sensitivity=() if missing else tuple(_sensitivity(case, offline, online)),
        unpriced=case.unpriced,
    )  # fmt: skip


def _once(made: Generation, months: Decimal) -> Usage:
    return Usage(
        cpu_s=made.cpu_s, put_requests=made.put_requests, stored_bytes=made.stored_bytes,
        num_objects=made.num_objects, object_bytes=made.object_bytes, months=months,
    )  # fmt: skip


def _ratio(fixed: Decimal, saved: Decimal) -> Decimal | None:
    return fixed / saved if saved > 0 else None


def _reason(case: _Case, found: Decimal | None, missing: list[str]) -> str:
    if missing:
        return f"Cannot be said: {case.service} has no price of {', '.join(missing)}."
    lacks_gpu = "GPU" in case.unpriced
    alone = " Of CPU and storage alone: the book has no price of a GPU." if lacks_gpu else ""
    if found is None:
        return (
            f"Never: an epoch from storage costs {case.money(case.offline.total)}, on the fly "
            f"{case.money(case.online.total)}.{alone}"
        )
    runs = shown(found * case.runs / case.num_epochs, places=1)
    each = f" in each of {case.runs} runs" if case.runs > 1 else ""
    epochs = f"{shown(found, places=1)} epochs{each} on, or from "
    return (
        f"Storing pays from {'' if case.is_too_long(found) else epochs}{runs} runs of "
        f"{counted(case.num_epochs, 'epoch')}: {case.money(case.fixed.total)} once, "
        f"{case.money(case.saved)} saved in an epoch.{alone}"
    )


def _formula(case: _Case, found: Decimal | None, otherwise: str) -> str:
    fixed, offline, online = (
        case.money(each.total) for each in (case.fixed, case.offline, case.online)
    )
    saved = f"({online} − {offline})"
    if found is not None and case.is_too_long(found):
        runs = shown(found * case.runs / case.num_epochs, places=1)
        return f"{fixed} ÷ ({case.num_epochs} × {saved}) = {runs} runs"
    divisor = f"({case.runs} × {saved})" if case.runs > 1 else saved
    result = otherwise if found is None else f"{shown(found, places=1)} epochs"
    return f"{fixed} ÷ {divisor} = {result}"


def _inputs(case: _Case) -> dict[str, str]:
    """Every quantity with its arithmetic and its price's source."""
    facts = {
        "price book": f"{case.fixed.book}, SHA-256 {case.fixed.book_digest}",
        "service": case.service, "months": plain(case.months),
        "epochs of a run": str(case.num_epochs), "training runs": str(case.runs),
    }  # fmt: skip
    for name, found in (
        ("once", case.fixed), ("an epoch from storage", case.offline),
        ("an epoch on the fly", case.online),
    ):  # fmt: skip
        for charge in found.charges:
            source = f"; {charge.source}, {charge.date}" if charge.is_priced else ""
            facts[f"{name}: {charge.what}"] = f"{charge.formula}{source}"
    return facts


def _curve(case: _Case, found: Decimal | None) -> Iterator[tuple[float, Decimal, Decimal]]:
    """The costs over epochs of a run, the break-even among them, as far as they may be compared."""
    top = max(Decimal(case.num_epochs), _CURVE_BEYOND * (found or Decimal(0)))
    if case.is_too_long(top):
        top = Decimal(case.most_epochs or 0)
    points = {top * number / _CURVE_POINTS for number in range(_CURVE_POINTS + 1)}
    points |= {Decimal(case.num_epochs)} | ({found} if found is not None else set())
    for at in sorted(each for each in points if each <= top):
        yield float(at), *case.totals(at * case.runs)


def _runs_curve(case: _Case, runs: float | None) -> Iterator[tuple[int, Decimal, Decimal]]:
    """The costs over training runs of ``num_epochs`` epochs."""
    needed = 0 if runs is None else int(runs) + 1
    top = max(_CURVE_BEYOND * needed, case.runs, 3)
    points = {round(top * number / _CURVE_POINTS) for number in range(_CURVE_POINTS + 1)}
    points |= {1, case.runs, needed}
    for count in sorted(points - {0}):
        yield count, *case.totals(count * case.num_epochs)


def _sensitivity(
    case: _Case, offline: EpochUse, online: EpochUse
) -> Iterator[tuple[str, float | None]]:
    """The break-even with one thing changed at a time."""
    changed = [("storage", ("storage", "early deletion")), ("CPU", ("CPU",))]
    gpu = case.book.gpu_hour
    if gpu is not None:
        changed.append(("GPU", ("GPU",)))
    for name, rows in changed:
        for sign, factor in (("−", 1 - _SWING), ("+", 1 + _SWING)):
            found = case.epochs(rows, factor)
            if not case.is_too_long(found):
                yield f"{name} price {sign}50 %", _as_float(found)
    computing = online.gpu_compute_s or offline.gpu_compute_s
    if gpu is None or not computing:
        return
    with localcontext(EXACT):
        without = case.fixed.total, case.offline.total - case.offline.cost_of("GPU")
        other = case.online.total - case.online.cost_of("GPU")
        hour = gpu.amount * Decimal(repr(float(computing))) / _SECONDS_PER_HOUR
        for fraction in STALLS:
            waiting = hour * fraction / (1 - fraction)
            found = _ratio(without[0], case.runs * (other + waiting - without[1]))
            if not case.is_too_long(found):
                yield f"on-the-fly stalls {plain(100 * fraction)} %, storage 0 %", _as_float(found)


def _as_float(epochs: Decimal | None) -> float | None:
    return None if epochs is None else float(epochs)
