"""Bars and dots, one row each: quantities with their name before and their figure behind them.

Every bar and dot carries its value into the page as ``data-value``, so that what is drawn can be
compared with what is said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil, floor, log10
from typing import TYPE_CHECKING

from materialize.report.drawing import COLOR, NARROW, WIDE, Canvas, Chart, draw, text_px

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW_PX, _KEY_PX = 26, 20
_THOUSANDS = ("", " k", " M", " G", " T", " P")


@dataclass(frozen=True, slots=True)
class Bar:
    """One row."""

    label: str
    values: tuple[float, ...]
    """Lengths of its parts, end to end; none where there is only something to say."""
    text: str
    """The figure behind it."""


@dataclass(frozen=True, slots=True)
class Part:
    """What a part of each bar is."""

    word: str
    """In the key; parts of one word have one entry."""
    color: str
    """One of the page's colours."""
    is_hatched: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """A chart in words."""

    description: str
    caption: str


ONE = (Part("", "fly"),)
"""Bars of one part need no key."""


def bar_chart(name: str, bars: Sequence[Bar], said: Said, parts: Sequence[Part] = ONE) -> Chart:
    """Horizontal bars from zero, with a key above them where they have parts.

    Args:
        name: letters and hyphens, of one chart on the page.
        bars: from the top.
        said: what it shows.
        parts: as many as the values of the longest bar.
    """
    key = list({part.word: part for part in parts}.values())

    def head(is_narrow: bool) -> int:
        lines = _key_lines(key, NARROW if is_narrow else WIDE)
        return 10 + _KEY_PX * len(lines) if len(key) > 1 else 4

    def paint(canvas: Canvas) -> None:
        axes = _rows(canvas, bars, head(canvas.is_narrow))
        most = max((sum(bar.values) for bar in bars), default=0) or 1.0
        for row, bar in enumerate(bars):
            starts = (0.0, *accumulate(bar.values))
            for start, value, part in zip(starts, bar.values, parts, strict=False):
                _piece(axes, row, start, value, part)
            axes.text(sum(bar.values) + 0.012 * most, row, bar.text, va="center_baseline")
        axes.set_xlim(0, most)
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        if len(key) > 1:
            _draw_key(canvas, _key_lines(key, canvas.width))

    wide, narrow = draw(name, lambda n: head(n) + 4 + _ROW_PX * len(bars), paint)
    return Chart(name, wide, narrow, said.description, said.caption)


def dot_chart(name: str, bars: Sequence[Bar], said: Said, unit: str) -> Chart:
    """Dots on a scale of powers of ten, for what differs so much that bars would not be seen.

    Args:
        name: letters and hyphens, of one chart on the page.
        bars: from the top, of one positive value each.
        said: what it shows.
        unit: under the scale.
    """

    def paint(canvas: Canvas) -> None:
        axes = _rows(canvas, bars, 4, foot=38)
        values = [value for bar in bars for value in bar.values if value > 0] or [1.0]
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 2, max(values) * 1.4)
        for row, bar in enumerate(bars):
            axes.plot([min(values) / 2, bar.values[0]], [row, row], color=COLOR["rule"], lw=1)
            dot = axes.plot(bar.values[0], row, "o", ms=8, color=COLOR["fly"])[0]
            dot.set_gid(f"value {bar.values[0]!r}")
            axes.text(1.02, row, bar.text, va="center_baseline",
                      transform=axes.get_yaxis_transform())  # fmt: skip
        axes.set_xlabel(unit)
        _in_powers(axes, min(values) / 2, max(values) * 1.4)

    wide, narrow = draw(name, lambda _: 42 + _ROW_PX * len(bars), paint)
    return Chart(name, wide, narrow, said.description, said.caption)


def _rows(canvas: Canvas, bars: Sequence[Bar], head: float, foot: float = 4) -> "Axes":
    """Axes with the bars' names at the left and room for their figures at the right."""
    names, left = canvas.labels([bar.label for bar in bars])
    axes = canvas.axes(left, head, text_px([bar.text for bar in bars]) + 14, foot)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    axes.set_yticks(range(len(bars)), names, color=COLOR["ink"])
    axes.spines["left"].set_visible(False)
    return axes


def _piece(axes: "Axes", row: int, start: float, value: float, part: Part) -> None:
    piece = axes.barh(
        row, value, left=start, height=0.6, lw=0.7, color=COLOR[part.color],
        edgecolor=COLOR["paper"], hatch="////" if part.is_hatched else None,
    )[0]  # fmt: skip
    piece.set_gid(f"value {value!r}")


def _key_lines(key: Sequence[Part], width: int) -> list[list[Part]]:
    """The parts in the order in which they lie, in as many lines as they need."""
    lines: list[list[Part]] = [[]]
    left = float(width)
    for part in key:
        left -= _entry_px(part)
        if left < 0 and lines[-1]:
            lines.append([])
            left = width - _entry_px(part)
        lines[-1].append(part)
    return lines


def _draw_key(canvas: Canvas, lines: Sequence[Sequence[Part]]) -> None:
    from matplotlib.patches import Rectangle

    axes = canvas.overlay()
    for number, line in enumerate(lines):
        x, y = 2.0, 5.0 + _KEY_PX * number
        for part in line:
            axes.add_patch(Rectangle((x, y), 14, 10, fc=COLOR[part.color], lw=0, ec=COLOR["paper"],
                                     hatch="////" if part.is_hatched else None))  # fmt: skip
            canvas.text(x + 19, y + 9, part.word)
            x += _entry_px(part)


def _entry_px(part: Part) -> float:
    return text_px([part.word]) + 36


def _in_powers(axes: "Axes", low: float, high: float) -> None:
    """A tick for every power of ten, or every third where they are many; named as sizes are."""
    powers = range(ceil(log10(low)), floor(log10(high)) + 1)
    every = [p for p in powers if p % 3 == 0] if len(powers) > 4 else list(powers)
    axes.set_xticks([10.0**p for p in every], [_power_text(p) for p in every])
    axes.minorticks_off()
    axes.grid(axis="x", lw=0.8)
    axes.set_axisbelow(True)


def _power_text(power: int) -> str:
    """``10 M`` of 7."""
    return f"{10.0**power:g}" if power < 0 else f"{10 ** (power % 3)}{_THOUSANDS[power // 3]}"
