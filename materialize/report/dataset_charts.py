"""The charts of a dataset. What is drawn stands in a table beside it."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import ceil, floor, log10
from typing import TYPE_CHECKING

from materialize.accounting.account import ORIGINALS, StorageAccount
from materialize.accounting.invoices import Invoice
from materialize.accounting.money import shown_money
from materialize.console import size
from materialize.report.bars import Bar, Part, Said, bar_chart, dot_chart
from materialize.report.cells import byte_text, percent_text
from materialize.report.dataset_facts import BuildTimes, DatasetFacts, Histogram, storage_cost
from materialize.report.dataset_tables import CLASSES_SHOWN, first_parts, predictions
from materialize.report.drawing import COLOR, Canvas, Chart, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COPIES_APART = 17
"""Parts of a bar that can still be told apart."""
_TICKS = 3
"""At least so many on a scale of sizes, where they fit into it."""


def kinds_chart(account: StorageAccount) -> Chart:
    """Every kind of byte, on a scale on which the smallest can be seen."""
    kinds = {kind: size for kind, size in account.kinds.items() if size}
    total = account.stored_bytes or 1
    bars = [
        Bar(kind, (size,), f"{byte_text(size)} · {percent_text(size / total, 2)} %")
        for kind, size in sorted(kinds.items(), key=lambda each: -each[1])
    ]
    said = Said(
        "Bytes by kind: " + "; ".join(f"{bar.label} {bar.text}" for bar in bars) + ".",
        "Where every byte of the dataset is; each line of the scale is ten or a thousand times "
        "the one before.",
    )
    return dot_chart("kinds", bars, said, "bytes")


def classes_chart(account: StorageAccount) -> Chart:
    """Bytes of each class, copy by copy."""
    by_class = _by_class_and_copy(account)
    copies = sorted({copy for found in by_class.values() for copy in found})
    parts = [_part_of(copy, copies) for copy in copies]
    if len(copies) > _COPIES_APART:
        by_class = {name: _copies_together(found) for name, found in by_class.items()}
        copies = sorted({copy for found in by_class.values() for copy in found})
        parts = [*parts[: copies.index(0)], Part("all copies", "fly")]
    bars = [
        Bar(name, tuple(found.get(copy, 0) for copy in copies), byte_text(sum(found.values())))
        for name, found in by_class.items()
    ]
    words = "originals and copies" if ORIGINALS in copies else "copies"
    said = Said(
        "Bytes by class: " + "; ".join(f"{bar.label} {bar.text}" for bar in bars) + ".",
        f"Bytes in the shards by class; the parts of a bar are its {words}, in order.",
    )
    return bar_chart("classes", bars, said, parts)


def copies_chart(account: StorageAccount) -> Chart:
    """Bytes of each copy, over all classes."""
    found = first_parts({copy_name(copy): size for copy, size in account.by_copy.items()})
    bars = [Bar(name, (size,), byte_text(size)) for name, size in found.items()]
    said = Said(
        "Bytes by copy: " + "; ".join(f"{bar.label} {bar.text}" for bar in bars) + ".",
        "Bytes in the shards by copy.",
    )
    return bar_chart("copies", bars, said)


def cost_chart(facts: DatasetFacts) -> Chart:
    """A month of storage at each service."""
    bars = [_month_bar(each.storage) for each in facts.month.services]
    said = Said(
        "A month of storage: " + "; ".join(f"{bar.label} {bar.text}" for bar in bars) + ".",
        "What a month of storing all shards costs, at the list prices of the book; writing, "
        "reading, early deletion and processor time are not in it.",
    )
    return bar_chart("cost", bars, said)


def time_chart(build: BuildTimes) -> Chart:
    """Worker seconds of each step."""
    bars = [
        Bar(step, (seconds,), f"{_seconds(seconds)}{_speed(build, step)}")
        for step, seconds in build.timings_s.items()
    ]
    said = Said(
        "Worker seconds: " + "; ".join(f"{bar.label} {bar.text}" for bar in bars) + ".",
        "Worker seconds by step of the build, and how many stored images that is in a second of "
        "one worker.",
    )
    return bar_chart("time", bars, said)


def foresight_chart(account: StorageAccount) -> Chart:
    """What was predicted, with its interval, as a share of what came."""
    found = [(name, each) for name, each in predictions(account) if each.actual]

    def paint(canvas: Canvas) -> None:
        names, left = canvas.labels([name for name, _ in found])
        axes = canvas.axes(left, 6, 16, 38)
        axes.set_ylim(len(found) - 0.5, -0.5)
        axes.set_yticks(range(len(found)), names, color=COLOR["ink"])
        axes.spines["left"].set_visible(False)
        axes.axvline(100, color=COLOR["ink"], lw=1)
        for row, (_, each) in enumerate(found):
            value, low, high = (100 * number / (each.actual or 1)
                                for number in (each.value, each.low, each.high))  # fmt: skip
            axes.plot([low, high], [row, row], color=COLOR["fly"], lw=3)
            axes.plot(value, row, "o", ms=9, color=COLOR["fly"], mec=COLOR["paper"])[0].set_gid(
                f"value {each.value!r}")  # fmt: skip
        axes.margins(x=0.15)
        axes.set_xlabel("estimate as % of what came")
        axes.grid(axis="x", lw=0.8)
        axes.set_axisbelow(True)

    wide, narrow = draw("estimate", lambda _: 48 + 34 * len(found), paint)
    said = "; ".join(f"{name} {100 * each.value / (each.actual or 1):.1f} %"
                     for name, each in found)  # fmt: skip
    return Chart("estimate", wide, narrow, f"Estimate as a share of what came: {said}.",
                 "What was estimated before the build, with its 95 % interval; the line at 100 is "
                 "what came.")  # fmt: skip


def sizes_chart(histogram: Histogram) -> Chart:
    """How the sizes of the source's images are distributed."""

    def paint(canvas: Canvas) -> None:
        axes = canvas.axes(8, 18, 8, 38)
        most = max(histogram.counts)
        axes.set_xscale("log")
        for (low, high), number in zip(pairwise(histogram.edges), histogram.counts, strict=True):
            bar = axes.bar(low, number, width=high - low, align="edge", color=COLOR["fly"], lw=0.7,
                           edgecolor=COLOR["paper"])[0]  # fmt: skip
            bar.set_gid(f"value {number!r}")
        axes.set_xlim(histogram.edges[0], histogram.edges[-1])
        axes.set_ylim(0, most)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        _byte_ticks(axes, histogram)
        canvas.text(2, 12, f"images; the highest bar is {most:,}")
        axes.set_xlabel("bytes of one source image")

    wide, narrow = draw("sizes", lambda _: 210, paint)
    total = sum(histogram.counts)
    low, high = byte_text(histogram.edges[0]), byte_text(histogram.edges[-1])
    return Chart(
        "sizes", wide, narrow,
        f"Sizes of {total:,} source images, from {low} to {high}; "
        f"{_mode(histogram)} is the most frequent interval.",
        "How many source images have which size; intervals are equally wide in powers of ten.",
    )  # fmt: skip


def _by_class_and_copy(account: StorageAccount) -> Mapping[str, dict[int, int]]:
    """Bytes; the largest classes where they are many."""
    found: dict[str, dict[int, int]] = {}
    kept = set(first_parts(account.by_class))
    rest = f"{len(account.by_class) - CLASSES_SHOWN:,} others"
    for cell in account.cells:
        name = cell.class_name if cell.class_name in kept else rest
        own = found.setdefault(name, {})
        own[cell.copy] = own.get(cell.copy, 0) + cell.num_bytes
    return {name: found[name] for name in first_parts(account.by_class) if name in found}


def _copies_together(found: Mapping[int, int]) -> dict[int, int]:
    """Bytes of the originals, where there are any, and of all copies, as if they were one."""
    copies = sum(size for copy, size in found.items() if copy != ORIGINALS)
    return {copy: size for copy, size in found.items() if copy == ORIGINALS} | {0: copies}


def _part_of(copy: int, copies: Sequence[int]) -> Part:
    """Originals, and copies in turns of two tones, so that each is seen to begin."""
    if copy == ORIGINALS:
        return Part("originals", "none")
    alike = [each for each in copies if each >= 0 and each % 2 == copy % 2]
    some = ", ".join(map(str, alike[:3])) + (" …" if len(alike) > 3 else "")
    return Part(f"copy {some}", "fly" if copy % 2 == 0 else "pale")


def copy_name(copy: int) -> str:
    """``copy 3``, or ``originals`` for −1."""
    return "originals" if copy == ORIGINALS else f"copy {copy}"


def _month_bar(found: Invoice) -> Bar:
    cost = storage_cost(found)
    if cost is None:
        return Bar(found.title, (), "unpriced")
    return Bar(found.title, (float(cost),), shown_money(cost, found.currency))


def _seconds(value: float) -> str:
    return f"{value:,.1f} s" if value >= 1 else f"{value:.2g} s"


def _speed(build: BuildTimes, step: str) -> str:
    speed = build.images_per_s.get(step)
    return "" if speed is None else f" · {speed:,.0f} images/s"


def _byte_ticks(axes: "Axes", histogram: Histogram) -> None:
    """Few places of the scale, named as sizes are."""
    low, high = histogram.edges[0], histogram.edges[-1]
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    ladders = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0))
    for ladder in ladders:
        ticks = [m * 10.0**p for p in powers for m in ladder if low <= m * 10.0**p <= high]
        if len(ticks) >= _TICKS:
            break
    axes.set_xticks(ticks, [f"{size(tick)}".replace(".0 ", " ") for tick in ticks])
    axes.minorticks_off()


def _mode(histogram: Histogram) -> str:
    place = histogram.counts.index(max(histogram.counts))
    return f"{byte_text(histogram.edges[place])} to {byte_text(histogram.edges[place + 1])}"
