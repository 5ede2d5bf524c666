"""A sweep as a PNG: accuracy by the layer that training began at, every repeat and the mean."""

import io
from typing import TYPE_CHECKING

from materialize.intervals import estimate
from materialize.training.sweep import SweepResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INKS = ("#0b6fb8", "#d1650a", "#2e8b57", "#8e44ad")
_APART = 0.14
"""Between the parts' marks at one layer; a layer is 1 wide."""


def draw_sweep(result: SweepResult) -> bytes:
    """A picture of a sweep.

    Args:
        result: at least one row.

    Returns:
        A PNG, 625 pixels high. Bars are 95 % intervals over the seeds, where there are several.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width = max(6.0, 1.1 * len(result.layers) + 1.5)
    figure = Figure(figsize=(width, 5), dpi=125, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for number, part in enumerate(result.parts):
        shift = (number - (len(result.parts) - 1) / 2) * _APART
        _draw_part(axes, result, part, shift, _INKS[number % len(_INKS)])
    trained = {row.train_from: row.num_trainable for row in result.rows}
    axes.set_xticks(
        range(len(result.layers)), [f"{name}\n{trained[name]:,}" for name in result.layers]
    )
    axes.set_xlabel("trained from this layer on, and how many parameters that is")
    axes.set_ylabel("accuracy")
    axes.set_ylim(-0.02, 1.02)
    axes.grid(axis="y", color="#e5e5e5", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    # Beside the title, where no point can lie under it.
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), borderaxespad=0.2,
                ncols=len(result.parts))  # fmt: skip
    num_seeds = len({row.seed for row in result.rows})
    bars = ", bars are 95 % intervals of the mean" if num_seeds > 1 else ""
    axes.set_title(f"{num_seeds} repeats{bars}" if num_seeds > 1 else "1 repeat",
                   loc="left", fontsize="medium")  # fmt: skip
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()


def _draw_part(axes: "Axes", result: SweepResult, part: str, shift: float, ink: str) -> None:
    """The repeats as pale dots, their means joined, with intervals."""
    places = [number + shift for number in range(len(result.layers))]
    values = [result.accuracies(layer, part) for layer in result.layers]
    for place, accuracies in zip(places, values, strict=True):
        axes.scatter([place] * len(accuracies), accuracies, s=22, color=ink, alpha=0.3, linewidth=0)
    found = [estimate(accuracies, within=(0.0, 1.0)) for accuracies in values]
    axes.plot(places, [e.mean for e in found], color=ink, marker="o", markersize=5, label=part)
    for place, interval in zip(places, found, strict=True):
        if interval.low is not None and interval.high is not None:
            ends = [interval.low, interval.high]
            axes.plot([place, place], ends, color=ink, linewidth=1.5)
