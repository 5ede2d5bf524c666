"""The charts of a contrast. Each says in shapes and words what it says in colour.

What is drawn stands in a table beside it, so nothing has to be read off an axis.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from materialize.console import size
from materialize.contrast.results import ArmSummary, ContrastResult
from materialize.report import cells, marks
from materialize.report.cells import percent_text, points_text
from materialize.report.drawing import COLOR, Canvas, Chart, draw, text_px
from materialize.report.sentences import margin_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_Box = tuple[float, float, float, float]
"""Margins: left, top, right, bottom."""

_EFFECT_MARKERS = {"helps": "^", "hurts": "v", "no clear effect": "o"}
_ROW_PX, _BAR_PX, _PANEL_PX = 30, 26, 158


def accuracy_chart(result: ContrastResult) -> Chart:
    """Test accuracy per arm with intervals, each seed as a stroke; on-the-fly as a band."""
    arms, reference = result.arms, marks.reference_of(result)

    def paint(canvas: Canvas) -> None:
        names, left = canvas.labels([arm.name for arm in arms])
        axes = canvas.axes(left, 6, 52, 36)
        marks.name_rows(axes, names)
        marks.reference_band(axes, reference, upright=True)
        for y, arm in enumerate(arms):
            seeds = [run.test_accuracy for run in marks.runs_of(result, arm)]
            if len(seeds) > 1:
                axes.plot(seeds, [y] * len(seeds), "|", ms=11, mew=1, color=COLOR["faint"])
            marks.arm_mark(axes, (arm.accuracy, y), marks.ends_of(arm), arm.arm, upright=False)
            axes.text(1.02, y, percent_text(arm.accuracy), transform=axes.get_yaxis_transform(),
                      va="center_baseline")  # fmt: skip
        axes.set_xlabel("test accuracy, %")
        marks.within_percent(axes.set_xlim, axes.get_xlim())
        marks.in_percent(axes.xaxis)

    wide, narrow = draw("accuracy", lambda _: 46 + _ROW_PX * len(arms), paint)
    said = "; ".join(f"{arm.name} {_with_interval(arm)}" for arm in arms)
    has_intervals = any(arm.accuracy_low is not None for arm in arms)
    caption = "Mean test accuracy"
    if has_intervals:
        caption += " with its 95 % interval over seeds, cut at 0 and 100; each stroke is a seed"
    if reference:
        caption += ". The line is on-the-fly" + (", the band its interval" if has_intervals else "")
    return Chart("accuracy", wide, narrow, f"Test accuracy by arm: {said}.", f"{caption}.")


def copies_chart(result: ContrastResult) -> Chart:
    """Accuracy against K, and the paired difference with its margin and verdicts."""
    verdicts = sorted(result.verdicts, key=lambda each: each.copies)
    height = 200

    def paint(canvas: Canvas) -> None:
        left, right = 40.0, 12.0
        if canvas.is_narrow:
            boxes = ((left, 26.0, right, canvas.height - height + 44.0),
                     (left, height + 40.0, right, 64.0))  # fmt: skip
        else:
            half = canvas.width / 2
            boxes = ((left, 26.0, half + 16, 64.0), (half + left, 26.0, right, 64.0))
        canvas.text(boxes[0][0] - left + 2, boxes[0][1] - 12, "test accuracy, %")
        canvas.text(boxes[1][0] - left + 2, boxes[1][1] - 12, "difference to on-the-fly, points")
        _accuracy_by_copies(canvas, boxes[0], result)
        _difference_by_copies(canvas, boxes[1], result)
        marks.verdict_key(canvas, list(dict.fromkeys(v.verdict for v in verdicts)))

    wide, narrow = draw("copies", lambda n: 2 * height + 60 if n else height + 64, paint)
    said = "; ".join(
        f"K = {v.copies} {v.verdict}, {points_text(v.difference)} points" for v in verdicts
    )
    caption = (
        "First, accuracy against the number K of stored copies; the line is on-the-fly. Second, "
        "the paired difference with its 90 % interval; the band is the margin of "
        f"±{margin_text(result.margin)}."
    )
    return Chart("copies", wide, narrow, f"Accuracy against stored copies: {said}.", caption)


def curves_chart(result: ContrastResult) -> Chart:
    """Training and validation accuracy by epoch, one small panel per arm."""
    arms = [a for a in result.arms if any(run.epochs for run in marks.runs_of(result, a))]
    has_validation = any(marks.mean_curves(marks.runs_of(result, a))[1] for a in arms)

    def paint(canvas: Canvas) -> None:
        across = _panels_across(arms, is_narrow=canvas.is_narrow)
        left, top = 30, 26
        step = (canvas.width - left) / across
        for i, arm in enumerate(arms):
            row, column = divmod(i, across)
            x, y = left + column * step, top + row * _PANEL_PX + 18
            axes = canvas.axes(x, y, canvas.width - x - step + 14,
                               canvas.height - y - _PANEL_PX + 46)  # fmt: skip
            marks.curve(axes, marks.runs_of(result, arm), marks.ARM_COLORS[arm.arm])
            axes.set_ylim(*_curve_limits(result, arms))
            axes.set_title(arm.name, loc="left", fontsize=12, color=COLOR["ink"], pad=5)
            marks.in_percent(axes.yaxis, 4)
            if column:
                axes.set_yticklabels([])
        canvas.text(2, 12, "accuracy, %, by epoch")
        marks.curve_key(canvas, has_validation=has_validation)

    def height(is_narrow: bool) -> int:
        return 26 + _PANEL_PX * -(-len(arms) // _panels_across(arms, is_narrow=is_narrow))

    wide, narrow = draw("curves", height, paint)
    said = "; ".join(
        f"{a.name} training {percent_text(a.train_accuracy)} %"
        + ("" if a.val_accuracy is None else f", validation {percent_text(a.val_accuracy)} %")
        for a in arms
    )
    caption = "Accuracy after each epoch, mean over runs, all panels on one scale."
    if has_validation:
        caption += " The shaded gap is what training has beyond validation, or lacks."
    return Chart("curves", wide, narrow, f"Accuracy in the last epoch: {said}.", caption)


def time_chart(result: ContrastResult) -> Chart:
    """Wall time as wait, compute and the rest; CPU time as augment, read and the rest."""
    arms = result.arms
    bars, head, foot = _BAR_PX * len(arms), 44, 26

    def paint(canvas: Canvas) -> None:
        names, left = canvas.labels([arm.name for arm in arms])
        boxes: tuple[_Box, _Box]
        corners: tuple[tuple[float, float], tuple[float, float]]
        if canvas.is_narrow:
            second = head + bars + foot + 14
            boxes = ((left, head, 14, canvas.height - head - bars), (left, second + head, 14, foot))
            corners = ((2, 12), (2, second + 12))
        else:
            middle = left + (canvas.width - left) / 2
            boxes = ((left, head, canvas.width - middle + 14, foot), (middle + 14, head, 14, foot))
            corners = ((left, 12), (middle + 14, 12))
        for number, (title, parts) in enumerate(_time_parts(arms)):
            axes = canvas.axes(*boxes[number])
            marks.name_rows(axes, names)
            if number and not canvas.is_narrow:
                axes.set_yticklabels([])
            marks.stack(axes, parts)
            x, y = corners[number]
            canvas.text(x, y, title, color="ink")
            marks.stack_key(canvas, x, y + 20, tuple(parts))

    one = head + bars + foot
    wide, narrow = draw("time", lambda is_narrow: 2 * one + 14 if is_narrow else one, paint)
    said = "; ".join(
        f"{a.name} waits {a.wait_s:.1f} and computes {a.compute_s:.1f} of {a.wall_s:.1f} s, "
        f"{a.cpu_s:.1f} CPU s of which {a.augment_s:.1f} augmenting"
        for a in arms
    )
    caption = (
        "Time of one training, mean over runs. The rest of the wall time is compiling, "
        "validation and checkpoints; the rest of the CPU time is mostly the model."
    )
    return Chart("time", wide, narrow, f"Where the time goes: {said}.", caption)


def storage_chart(result: ContrastResult) -> Chart:
    """Stored bytes per arm."""
    arms = result.arms

    def paint(canvas: Canvas) -> None:
        labels = [size(arm.stored_bytes) for arm in arms]
        names, left = canvas.labels([arm.name for arm in arms])
        axes = canvas.axes(left, 4, text_px(labels) + 12, 4)
        marks.name_rows(axes, names)
        most = max(*(arm.stored_bytes for arm in arms), 1)
        for y, (arm, label) in enumerate(zip(arms, labels, strict=True)):
            axes.barh(y, arm.stored_bytes, height=0.55, color=COLOR[marks.ARM_COLORS[arm.arm]])
            axes.text(arm.stored_bytes + 0.012 * most, y, label, va="center_baseline")
        axes.set_xlim(0, most)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)

    wide, narrow = draw("storage", lambda _: 8 + _BAR_PX * len(arms), paint)
    said = "; ".join(f"{arm.name} {size(arm.stored_bytes)}" for arm in arms)
    caption = "Stored bytes beside the source; 1 MB is a million bytes."
    return Chart("storage", wide, narrow, f"Stored bytes by arm: {said}.", caption)


def ablation_chart(result: ContrastResult) -> Chart:
    """What each row of the ablation changes against its reference."""
    rows = [row for row in result.ablation if row.difference is not None]

    def paint(canvas: Canvas) -> None:
        right = 12 if canvas.is_narrow else text_px([row.verdict for row in rows]) + 14
        names, left = canvas.labels([row.label for row in rows])
        axes = canvas.axes(left, 6, right, 36)
        marks.name_rows(axes, names)
        axes.axvline(0, color=COLOR["ink"], lw=1)
        for y, row in enumerate(rows):
            low, high, difference = row.difference_low, row.difference_high, row.difference or 0.0
            if low is not None and high is not None:
                axes.plot([low, high], [y, y], color=COLOR["fly"], lw=2)
            face = COLOR["paper" if row.verdict == "no clear effect" else "fly"]
            axes.plot(difference, y, _EFFECT_MARKERS[row.verdict], ms=8, mec=COLOR["fly"],
                      mfc=face, mew=1.5)  # fmt: skip
            if not canvas.is_narrow:
                axes.text(
                    1.02, y, row.verdict, transform=axes.get_yaxis_transform(), va="center_baseline"
                )
        axes.set_xlabel("change of test accuracy, points")
        marks.in_points(axes.xaxis)

    wide, narrow = draw("ablation", lambda _: 46 + _ROW_PX * len(rows), paint)
    said = "; ".join(
        f"{r.label} {points_text(r.difference or 0)} points, {r.verdict}" for r in rows
    )
    caption = (
        "Each transform left out, against the whole pipeline, and alone, against none, with 95 % "
        "intervals of the paired difference. The shape says of the transform itself: ▲ helps, "
        "▼ hurts, ○ no clear effect."
    )
    return Chart("ablation", wide, narrow, f"What each transform changes: {said}.", caption)


def _accuracy_by_copies(canvas: Canvas, box: _Box, result: ContrastResult) -> None:
    axes = canvas.axes(*box)
    offline = sorted((a for a in result.arms if a.arm == "offline"), key=lambda a: a.copies or 0)
    marks.reference_band(axes, marks.reference_of(result), upright=False)
    places = range(len(offline))
    axes.plot(places, [a.accuracy for a in offline], color=COLOR["offline"], lw=1)
    for x, arm in zip(places, offline, strict=True):
        marks.arm_mark(axes, (x, arm.accuracy), marks.ends_of(arm), "offline", upright=True)
    axes.margins(y=0.12)
    marks.within_percent(axes.set_ylim, axes.get_ylim())
    _copies_axis(axes, [a.copies or 0 for a in offline])
    marks.in_percent(axes.yaxis)


def _difference_by_copies(canvas: Canvas, box: _Box, result: ContrastResult) -> None:
    axes = canvas.axes(*box)
    verdicts = sorted(result.verdicts, key=lambda each: each.copies)
    axes.axhspan(-result.margin, result.margin, color=COLOR["band"], lw=0, zorder=0)
    axes.axhline(0, color=COLOR["fly"], lw=1, zorder=0.5)
    for x, verdict in enumerate(verdicts):
        marks.verdict_mark(axes, x, verdict)
    axes.margins(y=0.12)
    _copies_axis(axes, [v.copies for v in verdicts])
    marks.in_points(axes.yaxis)


def _copies_axis(axes: "Axes", copies: list[int]) -> None:
    axes.set_xlim(-0.5, len(copies) - 0.5)
    axes.set_xticks(range(len(copies)), [str(each) for each in copies])
    axes.set_xlabel("stored copies K")


def _time_parts(arms: Sequence[ArmSummary]) -> tuple[tuple[str, dict[str, list[float]]], ...]:
    """What wall and CPU seconds consist of; the rest is never less than nothing."""
    wall = {
        "wait": [a.wait_s for a in arms],
        "compute": [a.compute_s for a in arms],
        "rest": [max(a.wall_s - a.wait_s - a.compute_s, 0.0) for a in arms],
    }
    cpu = {
        "augment": [a.augment_s for a in arms],
        "read": [a.read_s for a in arms],
        "rest": [max(a.cpu_s - a.augment_s - a.read_s, 0.0) for a in arms],
    }
    return ("wall seconds", wall), ("CPU seconds", cpu)


def _panels_across(arms: list[ArmSummary], *, is_narrow: bool) -> int:
    most = 2 if is_narrow else 4
    # Seven arms are four and three, five are three and two: never one alone if it can be helped.
    return -(-len(arms) // -(-len(arms) // most))


def _curve_limits(result: ContrastResult, arms: list[ArmSummary]) -> tuple[float, float]:
    """One scale for all panels."""
    seen = [v for a in arms for c in marks.mean_curves(marks.runs_of(result, a)) for v in c]
    room = 0.06 * max(max(seen) - min(seen), 0.05)
    return min(seen) - room, max(seen) + room


def _with_interval(arm: ArmSummary) -> str:
    text = f"{percent_text(arm.accuracy)} %"
    if arm.accuracy_low is None or arm.accuracy_high is None:
        return text
    interval = cells.percent_interval(arm.accuracy_low, arm.accuracy_high)
    return f"{text} (95 % interval {interval.text})"
