"""Learning curves as a PNG: loss, accuracy, and where each epoch's time went."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from materialize.training.result import EpochFigures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TRAINING, _VALIDATION, _MARK = "#0b6fb8", "#d1650a", "#8a8a8a"
_TIMES = {
    "wait_s": ("waiting for batches", "#c0392b"),
    "compute_s": ("computing", "#0b6fb8"),
    "compile_s": ("compiling", "#9bc3e0"),
    "rest": ("validating, saving", "#cccccc"),
}


def draw_curves(epochs: Sequence[EpochFigures], best_epoch: int, *, title: str = "") -> bytes:
    """A picture of a training.

    Args:
        epochs: at least one.
        best_epoch: marked in the curves.
        title: above them.

    Returns:
        A PNG of 1,500×500 pixels.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Without pyplot: it keeps figures, and chooses a window system.
    figure = Figure(figsize=(12, 4), dpi=125, layout="constrained")
    FigureCanvasAgg(figure)
    loss, accuracy, seconds = figure.subplots(1, 3)
    _draw_figure(loss, epochs, "loss", best_epoch)
    _draw_figure(accuracy, epochs, "accuracy", best_epoch)
    _draw_seconds(seconds, epochs)
    for axes in (loss, accuracy, seconds):
        axes.set_xlabel("epoch, from 1")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    png = io.BytesIO()
    figure.savefig(png, format="png")
    return png.getvalue()


def _draw_figure(axes: "Axes", epochs: Sequence[EpochFigures], name: str, best: int) -> None:
    """One figure on the training and on the validation part."""
    numbers = [figures.epoch + 1 for figures in epochs]  # as people count; files say 0
    style: dict[str, Any] = {"marker": "o", "markersize": 3 if len(epochs) <= 60 else 0}
    label = f"best epoch: {best + 1}"
    axes.axvline(best + 1, color=_MARK, linewidth=1, linestyle=":", label=label)
    axes.plot(numbers, [getattr(f, name) for f in epochs], color=_TRAINING, label="train", **style)
    validation = [getattr(figures, f"val_{name}") for figures in epochs]
    if None not in validation:
        axes.plot(numbers, validation, color=_VALIDATION, label="validation", **style)
    axes.set_title(name, loc="left")
    axes.grid(axis="y", color="#e5e5e5", linewidth=0.8)
    axes.legend(frameon=False)


def _draw_seconds(axes: "Axes", epochs: Sequence[EpochFigures]) -> None:
    """Where the time went, epoch by epoch."""
    numbers = [figures.epoch + 1 for figures in epochs]
    below = [0.0] * len(epochs)
    for name, (label, colour) in _TIMES.items():
        values = [_rest(f) if name == "rest" else getattr(f, name) for f in epochs]
        axes.bar(numbers, values, bottom=below, color=colour, label=label, width=0.85)
        below = [a + b for a, b in zip(below, values, strict=True)]
    axes.set_ylim(0, max(below) * 1.45 or 1.0)  # room for the legend
    axes.set_title("seconds", loc="left")
    axes.legend(frameon=False, ncols=2, loc="upper center", fontsize="small")


def _rest(figures: EpochFigures) -> float:
    return max(figures.seconds - figures.wait_s - figures.compute_s - figures.compile_s, 0.0)
