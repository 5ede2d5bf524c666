"""What each arm of a contrast costs, from the figures that the contrast stored: nothing is run.

A training's seconds of augmenting, reading and waiting become those of an epoch, an epoch becomes
as many as somebody means to train, and stored bytes become months of storage. Stored copies are
compared with augmenting on the fly **at equal accuracy only**: K copies that the contrast did not
find equivalent have their lines, and no break-even.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import msgspec

from materialize.accounting.breakeven import BreakEven, EpochUse, Generation, break_even
from materialize.accounting.invoices import Charge, Invoice, Usage, invoice
from materialize.accounting.money import counted, plain, shown_money
from materialize.accounting.prices import PriceBook, read_prices
from materialize.contrast.results import REFERENCE, ArmSummary, ContrastResult
from materialize.contrast.terms import CostTerms

_ONE_POINT = 0.01
_ON_THE_FLY = (
    "Reading the source on the fly is not billed: it is taken to lie beside the trainer, as it did "
    "when this was measured."
)
_SAME_COMPUTING = "What the model computes costs every arm the same and is in no line."
_WORKER_SECONDS = (
    "Generation is in seconds of the workers that wrote the shards, one processor each, as their "
    "receipts have them; scanning the source, which every arm needs, is not in it."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCost:
    """One arm's money line."""

    name: str
    """Of the arm, such as ``offline K=4``."""
    arm: str
    copies: int | None = None
    is_compared: bool
    """Whether its accuracy equals that of on-the-fly, so that its cost may be compared."""
    accuracy_remark: str
    """Why it is, or is not: ``equivalent …``, ``not at equal accuracy: …``."""
    generation: Generation
    """What is taken once."""
    epoch: EpochUse
    """What an epoch took, on average over the contrast's runs."""
    invoice: Invoice
    """Everything over the months, epochs and runs of the terms: ``storage``, ``generation CPU``,
    requests, ``retrieval``, ``loading CPU``, ``GPU stall``."""
    break_even: BreakEven | None = None
    """Against on-the-fly; None where the two may not be compared."""

    def to_json(self) -> dict[str, Any]:
        """Everything; money as exact decimal text."""
        return {
            "name": self.name, "arm": self.arm, "copies": self.copies,
            "is_compared": self.is_compared, "accuracy_remark": self.accuracy_remark,
            "generation": msgspec.to_builtins(self.generation),
            "epoch": msgspec.to_builtins(self.epoch),
            "invoice": self.invoice.to_json(),
            "break_even": None if self.break_even is None else self.break_even.to_json(),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ContrastCost:
    """The money lines of a contrast."""

    title: str
    sentence: str
    """What it comes to, in one."""
    book: str
    book_digest: str
    currency: str
    service: str
    service_title: str
    months: Decimal
    num_epochs: int
    """Of each training run."""
    measured_epochs: int
    """Of a run of the contrast."""
    training_runs: int
    gpu_hour: Decimal | None
    """Price of an accelerator's hour; None: unpriced."""
    arms: tuple[ArmCost, ...]
    """As the contrast has them."""
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything; money as exact decimal text."""
        facts = {
            name: getattr(self, name)
            for name in ("title", "sentence", "book", "book_digest", "currency", "service",
                         "service_title", "num_epochs", "measured_epochs", "training_runs")
        }  # fmt: skip
        return facts | {
            "months": plain(self.months),
            "gpu_hour": None if self.gpu_hour is None else plain(self.gpu_hour),
            "arms": [arm.to_json() for arm in self.arms],
            "notes": list(self.notes),
        }


def terms_of(result: ContrastResult) -> CostTerms:
    """The terms that the contrast's job named, or the usual ones."""
    named = result.job.get("cost")
    return CostTerms() if named is None else msgspec.convert(named, CostTerms)


def cost_of(
    result: ContrastResult, book: PriceBook | None = None, terms: CostTerms | None = None
) -> ContrastCost:
    """The money lines of a contrast.

    Args:
        result: as `ContrastResult.from_json` reads it from ``contrast.json``.
        book: of prices; None for the one that the terms name, or that comes with the package.
        terms: where, how long, how often; None for those of the contrast's job.

    Raises:
        ConfigError: the book cannot be read or has no such service.
    """
    terms = terms_of(result) if terms is None else terms
    book = read_prices(terms.prices) if book is None else book
    if terms.gpu_price_per_hour is not None:
        book = book.with_gpu_hour(terms.gpu_price_per_hour)
    measured = _measured_epochs(result)
    terms = replace(terms, epochs=terms.epochs or measured)
    arms = tuple(_arm_costs(result, book, terms))
    return ContrastCost(
        title=result.title, sentence=_sentence(arms, book, terms),
        book=f"{book.name}, {book.date}", book_digest=book.digest(), currency=book.currency,
        service=terms.service, service_title=book.service(terms.service).title,
        months=terms.months, num_epochs=terms.epochs or measured, measured_epochs=measured,
        training_runs=terms.training_runs,
        gpu_hour=None if book.gpu_hour is None else book.gpu_hour.amount,
        arms=arms, notes=tuple(_notes(result, arms, book)),
    )  # fmt: skip


def epoch_use(result: ContrastResult, arm: ArmSummary) -> EpochUse:
    """What an epoch of an arm took, on average over its runs.

    Stored copies are read one copy in each epoch, by whole shards.
    """
    runs = [run for run in result.runs if run.name == arm.name]
    epochs = sum(len(run.epochs) for run in runs) or len(runs) * _measured_epochs(result) or 1
    parts = arm.copies or 1
    return EpochUse(
        cpu_s=sum(run.augment_s + run.read_s for run in runs) / epochs,
        gpu_stall_s=sum(run.wait_s for run in runs) / epochs,
        gpu_compute_s=sum(run.compute_s for run in runs) / epochs,
        get_requests=-(-(arm.num_shards or 0) // parts),
        read_bytes=-(-arm.stored_bytes // parts),
    )


def generation_of(result: ContrastResult, arm: ArmSummary) -> Generation:
    """What an arm takes once.

    A result of an earlier release does not say what decoding the copies needed: then writing the
    untouched images, which included it, is counted whole.
    """
    seconds = arm.generation_s
    if seconds is None:
        untouched = (other.build_s for other in result.arms if other.arm in ("none", "prefix"))
        seconds = arm.build_s + (max(untouched, default=0.0) if arm.copies is not None else 0.0)
    shards = arm.num_shards or 0
    return Generation(
        cpu_s=seconds, put_requests=shards, stored_bytes=arm.stored_bytes, num_objects=shards
    )


def _measured_epochs(result: ContrastResult) -> int:
    """Of a run: what the job asked for, or the most that a run had."""
    asked = result.job.get("training", {}).get("epochs")
    return int(asked or max((len(run.epochs) for run in result.runs), default=1) or 1)


def _arm_costs(result: ContrastResult, book: PriceBook, terms: CostTerms) -> Iterator[ArmCost]:
    reference = next((arm for arm in result.arms if arm.name == REFERENCE), None)
    for arm in result.arms:
        made, use = generation_of(result, arm), epoch_use(result, arm)
        is_equal, remark = _equality(result, arm, terms)
        found = None
        if is_equal and reference is not None and arm is not reference:
            found = break_even(
                made, use, epoch_use(result, reference), book, terms.service,
                months=terms.months, epochs=terms.epochs or 1, training_runs=terms.training_runs,
                most_epochs=_most_epochs(result, arm),
            )  # fmt: skip
        yield ArmCost(
            name=arm.name, arm=arm.arm, copies=arm.copies, is_compared=is_equal,
            accuracy_remark=remark, generation=made, epoch=use,
            invoice=_invoice(made, use, book, terms), break_even=found,
        )  # fmt: skip


def _equality(result: ContrastResult, arm: ArmSummary, terms: CostTerms) -> tuple[bool, str]:
    """Whether an arm's accuracy equals that of on-the-fly, and why."""
    epochs = _measured_epochs(result)
    if arm.name == REFERENCE:
        return True, "what the others are compared with"
    if arm.arm == "prefix":
        pairs = [pair for pair in result.proof.pairs if pair.name == arm.name]
        is_equal = bool(pairs) and all(pair.weights == pair.on_the_fly for pair in pairs)
        if is_equal:
            return True, "ends with the weights of on-the-fly"
    verdict = next((v for v in result.verdicts if v.copies == arm.copies), None)
    if arm.copies is None or verdict is None:
        return False, "not at equal accuracy: no test of equivalence was made"
    if verdict.verdict != "equivalent":
        return False, f"not at equal accuracy: {verdict.verdict}"
    if not verdict.is_tested:
        return False, "not at equal accuracy: a larger K already failed the test"
    if arm.copies >= epochs and (terms.epochs or epochs) > arm.copies:
        # The weights were equal because no run saw a copy twice: that says nothing of longer runs.
        return False, (
            f"not at equal accuracy: tested for runs that see no copy twice, and {terms.epochs} "
            f"epochs see {arm.copies} copies again"
        )
    points = f"{100 * result.margin:g} point{'' if result.margin == _ONE_POINT else 's'}"
    return True, f"equivalent within {points} after {epochs} epochs"


def _most_epochs(result: ContrastResult, arm: ArmSummary) -> int | None:
    """Of a run, as far as equal accuracy is known; None for any.

    A K that reaches the measured epochs was equal because no copy repeated.
    """
    is_seen_once = arm.copies is not None and arm.copies >= _measured_epochs(result)
    return arm.copies if is_seen_once else None


def _invoice(made: Generation, use: EpochUse, book: PriceBook, terms: CostTerms) -> Invoice:
    """Everything that an arm costs over the terms, in one invoice."""
    once = invoice(
        Usage(
            cpu_s=made.cpu_s, put_requests=made.put_requests, stored_bytes=made.stored_bytes,
            num_objects=made.num_objects, months=terms.months,
        ),
        book, terms.service,
    )  # fmt: skip
    shown_epochs = (terms.epochs or 1) * terms.training_runs
    repeated = invoice(use.usage(shown_epochs), book, terms.service)
    charges = (
        *_renamed(once.charges, {"CPU": "generation CPU"}),
        *_renamed(repeated.charges, {"CPU": "loading CPU", "GPU": "GPU stall"}),
    )
    return replace(once, charges=charges)


def _renamed(charges: Iterable[Charge], names: Mapping[str, str]) -> Iterator[Charge]:
    for charge in charges:
        yield replace(charge, what=names.get(charge.what, charge.what))


def _sentence(arms: Sequence[ArmCost], book: PriceBook, terms: CostTerms) -> str:
    compared = [arm for arm in arms if arm.break_even is not None]
    plan = (
        f"{counted(terms.training_runs, 'run')} of {counted(terms.epochs or 1, 'epoch')}, "
        f"{counted(terms.months, 'month')} on {book.service(terms.service).title}"
    )
    if not compared:
        return f"No arm is as accurate as {REFERENCE}, so no costs are compared ({plan})."
    best = min(compared, key=_order)
    answer = best.break_even
    reference = next((arm for arm in arms if arm.name == REFERENCE), best)
    totals = (
        f"{shown_money(best.invoice.total, book.currency)} against "
        f"{shown_money(reference.invoice.total, book.currency)} {REFERENCE}"
    )
    reason = "" if answer is None else f" {answer.reason}"
    return f"At equal accuracy, {best.name} costs {totals} ({plan}).{reason}"


def _order(arm: ArmCost) -> tuple[bool, float, Decimal]:
    """By break-even in runs, which every arm has alike, and by cost where there is none."""
    runs = None if arm.break_even is None else arm.break_even.runs
    return runs is None, runs or 0.0, arm.invoice.total


def _notes(result: ContrastResult, arms: Sequence[ArmCost], book: PriceBook) -> Iterator[str]:
    measured = _measured_epochs(result)
    images = result.dataset.get("counts", {}).get("train")
    per_epoch = "" if images is None else f" of {images:,} images"
    yield f"An epoch is one of the contrast's{per_epoch}; costs grow with the images."
    if any(arm.break_even for arm in arms):
        yield (
            f"Accuracy was compared after {measured} epochs; that it is equal after other numbers "
            "of epochs is assumed."
        )
    device = result.environment.get("device") or "this machine's device"
    yield f"Stall is the waiting that was measured with {device}; a faster one waits more."
    if book.gpu_hour is None:
        yield "GPU stall is unpriced: the book has no price of a GPU; give one with --gpu-hour."
    yield _WORKER_SECONDS
    yield _SAME_COMPUTING
    yield _ON_THE_FLY
    if any(arm.num_shards is None and arm.stored_bytes for arm in result.arms):
        yield (
            "Requests are in no line: this result is of a release that did not record the number "
            "of shards. Run the contrast again; finished runs are kept."
        )
