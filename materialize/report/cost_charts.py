"""The charts of a contrast's costs: each arm's money line, and where stored copies are paid off."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from materialize.accounting.breakeven import BreakEven
from materialize.accounting.money import counted, shown_money
from materialize.contrast.cost import ArmCost, ContrastCost
from materialize.report.bars import Bar, Part, Said, bar_chart
from materialize.report.cells import three_digits
from materialize.report.drawing import COLOR, Canvas, Chart, draw, text_px

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PARTS = (
    ("storage", ("storage", "early deletion"), Part("storage", "none")),
    ("generation", ("generation",), Part("generation", "offline")),
    ("requests", ("PUT", "GET", "retrieval", "egress", "inter-region"), Part("requests", "read")),
    ("loading", ("loading CPU",), Part("loading CPU", "fly")),
    ("stall", ("GPU stall",), Part("GPU stall", "wait", is_hatched=True)),
)
"""Name, the charges that begin so, and how it is drawn."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Two ways to pay against a number."""

    name: str
    points: Sequence[tuple[float, Decimal, Decimal]]
    """(number, cost of stored copies, cost of on-the-fly)."""
    crossing: float | None
    axis: str
    unit: str
    """Of the crossing: ``epochs``."""


def money_chart(cost: ContrastCost) -> Chart:
    """Each arm's line, part by part."""
    bars = [_bar(arm, cost.currency) for arm in cost.arms]
    terms = terms_text(cost)
    said = Said(
        f"Cost by arm for {terms}: " + "; ".join(f"{bar.label} {bar.text}" for bar in bars) + ".",
        f"What each arm costs beside the model's own computing, for {terms}. What has no price is "
        "in no bar.",
    )
    drawn = [part for number, (_, _, part) in enumerate(PARTS)
             if any(bar.values[number] for bar in bars)]  # fmt: skip
    kept = [number for number, (_, _, part) in enumerate(PARTS) if part in drawn]
    shown = [Bar(bar.label, tuple(bar.values[n] for n in kept), bar.text) for bar in bars]
    return bar_chart("money", shown, said, drawn)


def epochs_chart(arm: ArmCost, found: BreakEven) -> Chart:
    """Cost against the epochs of each run, with the break-even point."""
    curve = Curve("epochs", found.curve, found.epochs, "epochs of each training run", "epochs")
    return _curve_chart(curve, arm, found)


def runs_chart(arm: ArmCost, found: BreakEven) -> Chart:
    """Cost against the number of training runs that share the stored copies."""
    axis = f"training runs of {counted(found.num_epochs, 'epoch')}"
    curve = Curve("runs", found.runs_curve, found.runs, axis, "runs")
    return _curve_chart(curve, arm, found)


def terms_text(cost: ContrastCost) -> str:
    """``1 run of 10 epochs, 12 months on Amazon S3 Standard``."""
    return (
        f"{counted(cost.training_runs, 'run')} of {counted(cost.num_epochs, 'epoch')}, "
        f"{counted(cost.months, 'month')} on {cost.service_title}"
    )


def crossing_of(
    points: Sequence[tuple[float, Decimal, Decimal]], at: float | None
) -> tuple[float, float] | None:
    """The break-even and the cost there, on the line between the points beside it."""
    if at is None or not points or not points[0][0] <= at <= points[-1][0]:
        return None
    after = next(n for n, point in enumerate(points) if point[0] >= at)
    (x0, y0, _), (x1, y1, _) = points[max(after - 1, 0)], points[after]
    share = (at - x0) / (x1 - x0) if x1 > x0 else 0.0
    return at, float(y0) + share * (float(y1) - float(y0))


def _bar(arm: ArmCost, currency: str) -> Bar:
    values = tuple(float(arm.invoice.cost_of(*names)) for _, names, _ in PARTS)
    text = shown_money(arm.invoice.total, currency)
    return Bar(arm.name, values, f"{text}{' + unpriced' if arm.invoice.unpriced else ''}")


def _curve_chart(curve: Curve, arm: ArmCost, found: BreakEven) -> Chart:
    numbers = [float(at) for at, _, _ in curve.points]
    lines = (
        (arm.name, [float(one) for _, one, _ in curve.points], "offline", "-"),
        ("on-the-fly", [float(two) for _, _, two in curve.points], "fly", "--"),
    )
    crossing = crossing_of(curve.points, curve.crossing)

    def paint(canvas: Canvas) -> None:
        names = [name for name, *_ in lines]
        axes = canvas.axes(66, 26, text_px(names) + 14, 40)
        for name, costs, color, style in lines:
            axes.plot(numbers, costs, style, lw=2, color=COLOR[color])
            axes.annotate(name, (numbers[-1], costs[-1]), (8, 0), textcoords="offset points",
                          va="center", color=COLOR[color], annotation_clip=False)  # fmt: skip
        if crossing is not None:
            _mark(axes, crossing, curve.unit)
        axes.set_xlim(0, numbers[-1])
        axes.set_ylim(0, 1.08 * max(max(costs) for _, costs, _, _ in lines) or 1)
        axes.set_xlabel(curve.axis)
        axes.grid(lw=0.8)
        axes.set_axisbelow(True)
        _few_ticks(axes, found.currency)
        canvas.text(2, 12, f"cost, {found.currency}")

    wide, narrow = draw(curve.name, lambda _: 250, paint)
    ends = "; ".join(f"{name} {shown_money(Decimal(costs[-1]), found.currency)}"
                     for name, costs, _, _ in lines)  # fmt: skip
    at = f"at {numbers[-1]:,.0f} {curve.unit}"
    where = f"they meet at {crossing[0]:,.1f} {curve.unit}" if crossing else found.reason
    return Chart(
        curve.name, wide, narrow,
        f"Cost of {arm.name} and of on-the-fly against {curve.axis}: {ends}, {at}; {where}",
        f"Cost against {curve.axis}: stored copies cost once and for storage, augmenting on the "
        f"fly in every epoch. "
        + (f"The dot is the break-even, {three_digits(crossing[0])} {curve.unit}."
           if crossing else found.reason),
    )  # fmt: skip


def _mark(axes: "Axes", crossing: tuple[float, float], unit: str) -> None:
    x, y = crossing
    axes.axvline(x, color=COLOR["faint"], lw=1, ls=":")
    dot = axes.plot(x, y, "o", ms=9, color=COLOR["ink"], mec=COLOR["paper"], mew=1.5, zorder=4)[0]
    dot.set_gid(f"value {x!r}")
    axes.annotate(f"{three_digits(x)} {unit}", (x, y), (8, -14), textcoords="offset points",
                  color=COLOR["ink"])  # fmt: skip


def _few_ticks(axes: "Axes", currency: str) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: shown_money(Decimal(f"{value:.6g}"), currency))
    )
