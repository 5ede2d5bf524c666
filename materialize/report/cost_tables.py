"""The tables of a contrast's costs."""

from decimal import Decimal

from materialize.accounting.money import counted, plain, shown_money
from materialize.contrast.cost import ArmCost, ContrastCost
from materialize.contrast.results import REFERENCE
from materialize.report.cells import Cell, measured, three_digits, words
from materialize.report.columns import Column, Table
from materialize.report.cost_charts import PARTS

_ARM = Column("Arm", is_number=False)
_MEANING = {
    "storage": "The shards over the months, and what deleting before the minimum duration costs.",
    "generation": "Processor seconds that wrote the shards, once.",
    "requests": "PUTs once, GETs and retrieval in every epoch of every run.",
    "loading": "Processor seconds of reading and augmenting, in every epoch of every run.",
    "stall": "Seconds in which the accelerator waited for images, in every epoch of every run.",
}


def money_table(cost: ContrastCost) -> Table:
    """Each arm's money line."""
    rows = tuple(
        (
            words(arm.name),
            *(_part(arm, names, cost.currency) for _, names, _ in PARTS),
            _money(arm.invoice.total, cost.currency),
        )
        for arm in cost.arms
    )
    columns = (
        _ARM,
        *(Column(part.word[0].upper() + part.word[1:], _MEANING[name]) for name, _, part in PARTS),
        Column("Total", "Of what has a price."),
    )
    source = (
        f"price book {cost.book}, digest {cost.book_digest}; seconds and bytes of this contrast"
    )
    return Table("Cost by arm", columns, rows, source).without_empty_columns()


def comparison_table(cost: ContrastCost) -> Table:
    """Which arms may be compared with on-the-fly, and when they are paid off."""
    rows = tuple(
        (words(arm.name), _break_even(arm), words(arm.accuracy_remark))
        for arm in cost.arms
        if arm.arm != REFERENCE
    )
    columns = (
        _ARM,
        Column("Break-even, epochs", "Epochs of each run after which the arm has cost less than "
               "on-the-fly: what it costs once ÷ what it saves in an epoch. Runs where longer ones "
               "may not be compared."),
        Column("At equal accuracy", "Costs are compared with those of on-the-fly only where the "
               "contrast found the accuracies equivalent.", is_number=False),
    )  # fmt: skip
    return Table("Against on-the-fly", columns, rows, "the verdicts and the proof of this contrast")


def charges_table(cost: ContrastCost) -> Table:
    """Every charge of every arm, with its arithmetic."""
    rows = tuple(
        (
            words(arm.name),
            words(charge.what),
            _money(charge.cost, cost.currency),
            words(charge.formula),
            words(f"{charge.source}, {charge.date}" if charge.source else ""),
        )
        for arm in cost.arms
        for charge in arm.invoice.charges
    )
    columns = (
        _ARM,
        Column("For", is_number=False),
        Column("Cost", "Quantity × unit price."),
        Column("Arithmetic", is_number=False),
        Column("Price from", is_number=False),
    )
    return Table("Every charge", columns, rows, cost.book, is_on_demand=True)


def sensitivity_table(cost: ContrastCost) -> Table | None:
    """How the break-even moves with what it hangs on; None where nothing is compared."""
    arms = [arm for arm in cost.arms if arm.break_even is not None]
    if not arms:
        return None
    found = [dict(arm.break_even.sensitivity) for arm in arms if arm.break_even is not None]
    labels = dict.fromkeys(label for each in found for label in each)
    rows = tuple(
        (words(label), *(_epochs(each[label]) if label in each else Cell() for each in found))
        for label in labels
    )
    columns = (
        Column(
            "If",
            "One thing is changed, the others stay; nothing is said of runs longer than "
            "those that may be compared.",
            is_number=False,
        ),
        *(Column(f"{arm.name}, epochs") for arm in arms),
    )
    return Table("Break-even, if something were different", columns, rows, cost.book)


def best_compared(cost: ContrastCost) -> ArmCost | None:
    """The arm that is paid off first among those as accurate as on-the-fly."""
    arms = [arm for arm in cost.arms if arm.break_even is not None and arm.break_even.curve]
    return min(arms, key=_order, default=None)


def _order(arm: ArmCost) -> tuple[bool, float, Decimal]:
    runs = None if arm.break_even is None else arm.break_even.runs
    return runs is None, runs or 0.0, arm.invoice.total


def _part(arm: ArmCost, names: tuple[str, ...], currency: str) -> Cell:
    if "GET" in names and arm.generation.stored_bytes and not arm.generation.num_objects:
        return words("not recorded")  # by the release that made the contrast
    charges = [c for c in arm.invoice.charges if c.what.startswith(names)]
    if charges and all(charge.cost is None for charge in charges):
        return words("unpriced")
    return _money(arm.invoice.cost_of(*names), currency) if charges else Cell()


def _money(amount: Decimal | None, currency: str) -> Cell:
    return words("unpriced") if amount is None else measured(shown_money(amount, currency), amount)


def _break_even(arm: ArmCost) -> Cell:
    if arm.break_even is None:
        return Cell()
    found = arm.break_even
    if found.outcome == "runs" and found.runs is not None:
        return measured(f"{three_digits(found.runs)} runs", found.runs)
    return words(found.outcome) if found.epochs is None else _epochs(found.epochs)


def _epochs(value: float | None) -> Cell:
    return words("never") if value is None else measured(three_digits(value), value)


def terms_lines(cost: ContrastCost) -> tuple[tuple[str, Cell], ...]:
    """What the money lines are computed for."""
    gpu = "unpriced" if cost.gpu_hour is None else f"{plain(cost.gpu_hour)} {cost.currency}"
    return (
        ("stored on", words(cost.service_title)),
        ("for", words(counted(cost.months, "month"))),
        ("training runs", words(f"{cost.training_runs:,} of {cost.num_epochs:,} epochs")),
        ("hour of an accelerator", words(gpu)),
        ("price book", words(cost.book)),
    )
