"""What the charts are made of: rows, whiskers, bands, stacks, ticks and keys."""

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from materialize.contrast.results import ArmSummary, ContrastResult, KVerdict, RunResult
from materialize.report.cells import MINUS, fraction
from materialize.report.drawing import COLOR, Canvas, text_px

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.ticker import Locator

ARM_COLORS = {"none": "none", "offline": "offline", "on-the-fly": "fly", "prefix": "prefix"}
_ARM_MARKERS = {"none": "s", "offline": "o", "on-the-fly": "D", "prefix": "^"}
_VERDICT_MARKERS = {"equivalent": ("o", True), "worse": ("v", True), "inconclusive": ("o", False)}
"""Shape, and whether it is filled."""
_HATCHED = ("wait", "augment")
"""What an offline arm is to save, so it is hatched as well as coloured."""

Ends = tuple[float | None, float | None]


def name_rows(axes: "Axes", names: Sequence[str]) -> None:
    """One line per name, from the top."""
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), names, color=COLOR["ink"])
    axes.spines["left"].set_visible(False)


def arm_mark(axes: "Axes", at: tuple[float, float], ends: Ends, arm: str, *, upright: bool) -> None:
    """An arm's mean with its interval, along x or (upright) along y."""
    x, y = at
    color = COLOR[ARM_COLORS[arm]]
    if ends[0] is not None and ends[1] is not None:
        along, across = [ends[0], ends[1]], [x if upright else y] * 2
        axes.plot(*((across, along) if upright else (along, across)), color=color, lw=2)
    axes.plot(x, y, _ARM_MARKERS[arm], ms=8, color=color, mec=COLOR["paper"], mew=1)


def reference_band(axes: "Axes", arm: ArmSummary | None, *, upright: bool) -> None:
    """On-the-fly's mean as a line and its interval as a band: what the others are compared with."""
    if arm is None:
        return
    span, line = (axes.axvspan, axes.axvline) if upright else (axes.axhspan, axes.axhline)
    low, high = ends_of(arm)
    if low is not None and high is not None:
        span(low, high, color=COLOR["band"], lw=0, zorder=0)
    line(arm.accuracy, color=COLOR["fly"], lw=1, zorder=0.5)


def ends_of(arm: ArmSummary) -> Ends:
    """An accuracy's interval, inside what an accuracy can be."""
    return fraction(arm.accuracy_low), fraction(arm.accuracy_high)


def within_percent(set_limits: Callable[[float, float], object], limits: Ends) -> None:
    """An axis of accuracies that ends where they do, with room for a mark on its end."""
    low, high = limits
    if low is not None and high is not None:
        room = 0.02 * (min(high, 1.0) - max(low, 0.0))
        set_limits(max(low, -room), min(high, 1.0 + room))


def verdict_mark(axes: "Axes", x: float, verdict: KVerdict) -> None:
    """A paired difference with its interval; the shape is the verdict."""
    if verdict.low is not None and verdict.high is not None:
        axes.plot([x, x], [verdict.low, verdict.high], color=COLOR["offline"], lw=2)
    shape, is_filled = _VERDICT_MARKERS[verdict.verdict]
    face = COLOR["offline" if is_filled else "paper"]
    axes.plot(x, verdict.difference, shape, ms=8, mfc=face, mec=COLOR["offline"], mew=1.5)


def verdict_key(canvas: Canvas, verdicts: Sequence[str]) -> None:
    """Which shape is which verdict, along the bottom."""
    axes = canvas.overlay()
    x = 8.0 if canvas.is_narrow else canvas.width / 2 + 46.0
    for verdict in verdicts:
        shape, is_filled = _VERDICT_MARKERS[verdict]
        face = COLOR["offline" if is_filled else "paper"]
        axes.plot(x, canvas.height - 9, shape, ms=8, mfc=face, mec=COLOR["offline"], mew=1.5)
        canvas.text(x + 10, canvas.height - 5, verdict)
        x += text_px([verdict]) + 32


def curve(axes: "Axes", runs: Sequence[RunResult], color: str) -> None:
    """Mean training (dashed) and validation (solid) accuracy by epoch, the gap shaded."""
    training, validation = mean_curves(runs)
    numbers = list(range(1, len(training) + 1))
    dots = "o" if len(numbers) == 1 else ""
    axes.plot(numbers, training, f"{dots}--", ms=4, lw=1.5, color=COLOR[color])
    if validation:
        axes.fill_between(numbers, training, validation, color=COLOR["band"], lw=0)
        axes.plot(numbers, validation, f"{dots}-", ms=4, lw=2, color=COLOR[color])
    axes.set_xticks(sorted({1, len(numbers)}))


def mean_curves(runs: Sequence[RunResult]) -> tuple[list[float], list[float]]:
    """Training and validation accuracy by epoch, over the runs that got so far."""
    training, validation = [], []
    for number in range(max(len(run.epochs) for run in runs)):
        epochs = [run.epochs[number] for run in runs if number < len(run.epochs)]
        training.append(fmean(e.accuracy for e in epochs))
        seen = [e.val_accuracy for e in epochs if e.val_accuracy is not None]
        validation.extend([fmean(seen)] if seen else [])
    return training, validation if len(validation) == len(training) else []


def curve_key(canvas: Canvas, *, has_validation: bool) -> None:
    """Which line is training and which validation, at the top right."""
    axes = canvas.overlay()
    x = float(canvas.width)
    for word, style in (("validation", "-"), ("training", "--")):
        if word == "validation" and not has_validation:
            continue
        x -= text_px([word])
        canvas.text(x, 12, word)
        axes.plot([x - 26, x - 6], [8, 8], style, color=COLOR["ink"], lw=1.5)
        x -= 42


def stack(axes: "Axes", parts: Mapping[str, Sequence[float]]) -> None:
    """Bars of several parts end to end, one bar per row."""
    starts = [0.0] * len(next(iter(parts.values())))
    for name, values in parts.items():
        axes.barh(range(len(values)), values, left=starts, height=0.6, lw=1,
                  color=COLOR[name], edgecolor=COLOR["paper"],
                  hatch="////" if name in _HATCHED else None)  # fmt: skip
        starts = [a + b for a, b in zip(starts, values, strict=True)]
    axes.set_xlim(0, max(*starts, 1e-9))
    axes.xaxis.set_major_locator(_ticks(4))


def stack_key(canvas: Canvas, x: float, y: float, names: Sequence[str]) -> None:
    """The parts in the order in which they lie."""
    from matplotlib.patches import Rectangle

    axes = canvas.overlay()
    for name in names:
        axes.add_patch(Rectangle((x, y - 9), 14, 10, fc=COLOR[name], lw=0,
                                 ec=COLOR["paper"],
                                 hatch="////" if name in _HATCHED else None))  # fmt: skip
        canvas.text(x + 19, y, name)
        x += text_px([name]) + 34


def reference_of(result: ContrastResult) -> ArmSummary | None:
    """The arm that augments on the fly, if there is one."""
    return next((arm for arm in result.arms if arm.arm == "on-the-fly"), None)


def runs_of(result: ContrastResult, arm: ArmSummary) -> list[RunResult]:
    """An arm's trainings."""
    return [run for run in result.runs if run.name == arm.name]


def in_percent(axis: "Axis", most: int = 5) -> None:
    """Ticks of fractions, written in percent."""
    _written(axis, most, lambda value: f"{100 * value:.3g}")


def in_points(axis: "Axis", most: int = 5) -> None:
    """Ticks of differences, written in points with their sign."""
    _written(axis, most, lambda value: f"{100 * value:+.3g}" if abs(value) > 1e-9 else "0")


def _written(axis: "Axis", most: int, text_of: Callable[[float], str]) -> None:
    from matplotlib.ticker import FuncFormatter

    def label(value: float, _position: int | None) -> str:
        return text_of(value).replace("-", MINUS)

    axis.set_major_locator(_ticks(most))
    axis.set_major_formatter(FuncFormatter(label))
    axis.grid(lw=0.8)
    axis.axes.set_axisbelow(True)


def _ticks(most: int) -> "Locator":
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(most, steps=[1, 2, 5, 10])
