"""Which codec and how many copies: what fits a budget and feeds a trainer, and why not the others.

Without a budget the choice is the codec with the shortest time from the first byte of the build to
the end of the last epoch. With one it is the cheapest codec, the one that takes least, or, where
the number of copies is open, the one that allows most of them.
"""

from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from math import inf
from typing import Any

from materialize.accounting.money import plain
from materialize.console import size
from materialize.errors import BudgetError, StorageError
from materialize.estimation.estimates import CodecEstimate, Estimate
from materialize.estimation.forecasts import Forecast
from materialize.estimation.intervals import Interval
from materialize.estimation.money import StorageTerms, month_cost

_LOSES = "loses"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What a dataset must keep to."""

    budget_bytes: int | None = None
    """Everything under ``shards``, at most."""
    budget_money: Decimal | None = None
    """For storing it one month, in the price book's currency."""
    fidelity_db: float = inf
    """The least PSNR; infinity accepts only what loses nothing."""
    trainer_images_per_s: float | None = None
    """What the trainer takes; None waits for no trainer."""
    is_codec_open: bool = False
    """Whether the codec is to be chosen."""
    are_copies_open: bool = False
    """Whether the number of copies is to be chosen."""

    @property
    def has_budget(self) -> bool:
        """Whether there is a limit at all."""
        return self.budget_bytes is not None or self.budget_money is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One codec that was considered."""

    codec: str
    copies: int
    stored_bytes: Interval
    month_cost: Interval | None
    total_s: float
    """From the build's beginning to the last epoch's end."""
    images_per_s: float
    rejected: str = ""
    """Why it was; empty where it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What to build."""

    codec: str | None
    """None where nothing keeps to the wishes."""
    copies: int
    sentence: str
    options: tuple[Option, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        return asdict(self)


def choose(estimate: Estimate, forecast: Forecast, wishes: Wishes, terms: StorageTerms) -> Choice:
    """The codec and the copies that keep to the wishes.

    Args:
        estimate: of one recipe, with the codecs to choose from.
        forecast: what it was computed from.
        wishes: the limits.
        terms: prices, for a budget of money.
    """
    considered = [
        _considered(codec, estimate, forecast, wishes, terms)
        for codec in estimate.codecs
        if wishes.is_codec_open or codec.name == estimate.codec
    ]
    left = [option for option in considered if not option.rejected]
    if not left:
        return Choice(
            codec=None, copies=estimate.copies, options=tuple(considered),
            sentence=_nothing(considered, wishes),
        )  # fmt: skip
    if wishes.are_copies_open:
        best = min(left, key=lambda option: (-option.copies, option.total_s))
    elif wishes.has_budget:
        best = min(left, key=lambda option: (option.stored_bytes.value, option.total_s))
    else:
        best = min(left, key=lambda option: option.total_s)
    return Choice(
        codec=best.codec, copies=best.copies, options=tuple(considered),
        sentence=_reason(best, left, estimate, wishes),
    )  # fmt: skip


def check_budget(
    estimate: Estimate,
    *,
    budget_bytes: int | None = None,
    budget_money: Decimal | None = None,
    free_bytes: int | None = None,
) -> None:
    """Refuses what may not fit, before anything is written.

    Args:
        estimate: of the build.
        budget_bytes: everything under ``shards``, at most.
        budget_money: for storing it one month, in the currency of the estimate's price book.
        free_bytes: room on the disk.

    Raises:
        StorageError: the disk has less room than the shards may take.
        BudgetError: they may take more than the budget.
    """
    stored = estimate.stored_bytes
    most = f"{'' if stored.is_exact else 'up to '}{stored.high:,.0f} bytes"
    if free_bytes is not None and stored.high > free_bytes:
        raise StorageError(
            f"the shards: expected room for {most}, found {free_bytes:,} free; nothing was "
            "written. Free some space, or let `materialize plan --codec auto` find what fits",
            {"expected": stored.high, "found": free_bytes},
        )
    if budget_bytes is not None and stored.high > budget_bytes:
        raise BudgetError(
            f"budget-gb: expected at most {budget_bytes:,} bytes, got {most} for {estimate.copies} "
            f"copies in {estimate.codec}; nothing was written. `materialize plan --codec auto` "
            "finds what fits",
            {"name": "budget-gb", "expected": budget_bytes, "found": stored.high},
        )
    if budget_money is None:
        return
    cost = None if estimate.money is None else estimate.money.per_month
    if estimate.money is None or cost is None:
        raise BudgetError(
            "budget-money: expected a price for storage, found none at this service; name another "
            "with --service, or a price book with --prices",
            {"name": "budget-money", "found": None},
        )
    if Decimal(cost.high) > budget_money:
        raise BudgetError(
            f"budget-money: expected at most {plain(budget_money)} {estimate.money.currency} a "
            f"month, got up to {cost.high:,.4g} at {estimate.money.title}; nothing was written. "
            "`materialize plan --codec auto` finds what fits",
            {"name": "budget-money", "expected": str(budget_money), "found": cost.high},
        )


def _considered(
    codec: CodecEstimate,
    estimate: Estimate,
    forecast: Forecast,
    wishes: Wishes,
    terms: StorageTerms,
) -> Option:
    copies, stored, cost = estimate.copies, codec.stored_bytes, codec.month_cost
    rejected = _unfit(codec, wishes)
    if not rejected and wishes.are_copies_open:
        copies = _most_copies(codec.name, forecast, wishes, terms)
        stored, cost = _of(codec.name, max(copies, 1), forecast, terms)
        rejected = "" if copies else f"one copy takes {_over(stored, cost, wishes, terms)}"
    elif not rejected:
        over = _over(stored, cost, wishes, terms)
        rejected = f"takes {over}" if over else ""
    epochs = estimate.epochs
    epoch_s = codec.epoch_s
    if wishes.trainer_images_per_s:
        epoch_s = max(
            epoch_s, forecast.census.epoch_rows(forecast.recipe) / wishes.trainer_images_per_s
        )
    build_s = codec.build_s.value * copies / estimate.copies
    return Option(
        codec=codec.name, copies=copies, stored_bytes=stored, month_cost=cost,
        total_s=build_s + epochs * epoch_s, images_per_s=codec.images_per_s, rejected=rejected,
    )  # fmt: skip


def _unfit(codec: CodecEstimate, wishes: Wishes) -> str:
    """Why a codec is out whatever it takes."""
    if codec.fidelity_db < wishes.fidelity_db:
        wanted = "nothing may be lost" if wishes.fidelity_db == inf else (
            f"{wishes.fidelity_db:g} dB are asked for")  # fmt: skip
        return f"{_LOSES}: PSNR {codec.fidelity_db:.1f} dB, and {wanted}"
    wanted_rate = wishes.trainer_images_per_s
    if wanted_rate is not None and codec.images_per_s < wanted_rate:
        return f"feeds {codec.images_per_s:,.0f} images/s, and the trainer takes {wanted_rate:,.0f}"
    return ""


def _over(stored: Interval, cost: Interval | None, wishes: Wishes, terms: StorageTerms) -> str:
    """By what a size is over the budget; empty where it is not."""
    if wishes.budget_bytes is not None and stored.high > wishes.budget_bytes:
        return f"up to {size(stored.high)}, more than {size(wishes.budget_bytes)}"
    if wishes.budget_money is not None:
        currency = terms.book.currency
        if cost is None:
            return f"{size(stored.high)}, and storage has no price at {terms.service}"
        if Decimal(cost.high) > wishes.budget_money:
            return (
                f"up to {cost.high:,.4g} {currency} a month, more than {plain(wishes.budget_money)}"
            )
    return ""


def _of(
    codec: str, copies: int, forecast: Forecast, terms: StorageTerms
) -> tuple[Interval, Interval | None]:
    """Bytes and monthly cost of another number of copies."""
    recipe = replace(forecast.recipe, codec=codec, copies=copies)
    stored = forecast.stored_bytes(recipe)
    shards = sum(layout.num_shards for layout in forecast.layouts(recipe))
    return stored, month_cost(stored, shards, terms)


def _most_copies(codec: str, forecast: Forecast, wishes: Wishes, terms: StorageTerms) -> int:
    """The largest number of copies within the budget, up to those of the forecast's recipe."""
    low, high = 0, forecast.recipe.copies
    while low < high:
        middle = (low + high + 1) // 2
        if _over(*_of(codec, middle, forecast, terms), wishes, terms):
            high = middle - 1
        else:
            low = middle
    return low


def _reason(best: Option, left: list[Option], estimate: Estimate, wishes: Wishes) -> str:
    of_several = f"of the {len(left)} codecs that may be used"
    among = of_several if len(left) > 1 else "the only one left"
    takes = f"{size(best.stored_bytes.value)}"
    if wishes.are_copies_open:
        cap = estimate.copies
        why = (
            f"{cap} copies, one for each epoch, fit the budget"
            if best.copies == cap
            else f"{best.copies + 1} copies would not fit the budget"
        )
        most = f", {of_several} it allows most" if len(left) > 1 else ""
        copies = f"{best.copies} {'copy' if best.copies == 1 else 'copies'}"
        return f"{copies} in {best.codec} ({takes}): {why}{most}."
    if wishes.has_budget:
        fastest = min(left, key=lambda option: option.total_s)
        other = "" if fastest is best else f"; {fastest.codec} fits too and is faster"
        return f"{best.codec}, {among}, takes least ({takes}) and fits the budget{other}."
    epochs = estimate.epochs
    return (
        f"{best.codec}, {among}, is the fastest for the build and {epochs} epochs: "
        f"{best.total_s:,.1f} s, feeding up to {best.images_per_s:,.0f} images/s."
    )


def _nothing(considered: list[Option], wishes: Wishes) -> str:
    # Of what may be lost is spoken only where everything loses.
    lossless = [option for option in considered if not option.rejected.startswith(_LOSES)]
    smallest = min(lossless or considered, key=lambda option: option.stored_bytes.value)
    advice = "allow more, ask for fewer copies" if wishes.has_budget else "ask for less"
    if wishes.is_codec_open and wishes.fidelity_db == inf:
        advice += ", or accept some loss with --fidelity psnr:40"
    if not wishes.is_codec_open:
        advice += ", or let --codec auto look for another codec"
        return f"{smallest.codec} does not keep to this: {smallest.rejected}; {advice}."
    return f"No codec keeps to this: {smallest.codec}, the smallest, {smallest.rejected}; {advice}."
