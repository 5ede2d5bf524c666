"""A plan as a sentence, tables, and the command to run."""

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from materialize.console import duration, size

if TYPE_CHECKING:
    from materialize.estimation.choices import Choice, Option
    from materialize.estimation.estimates import CodecEstimate, Estimate
    from materialize.estimation.intervals import Interval
    from materialize.estimation.planner import PlanReport

_CLASSES_SHOWN = 10
_FILE_WIDTH = 160
_MIB = 2**20


def print_plan(report: "PlanReport", command: str | None) -> None:
    """Prints a plan.

    Args:
        report: what was found.
        command: the build to run; None if none is possible.
    """
    estimate, choice = report.estimate, report.choice
    click.echo(summary_sentence(estimate))
    click.echo()
    _print_codecs(estimate, choice)
    _print_modes(estimate)
    _print_parts("by split", estimate.by_split)
    if len(estimate.by_class) > 1:
        _print_parts("by class", estimate.by_class)
    _print_work(estimate)
    _print_money(estimate)
    for note in estimate.notes:
        click.echo(f"note: {note}\n", err=True)
    if choice is not None:
        click.echo(choice.sentence)
    if command is not None:
        click.echo(f"\n  {command}")


def summary_sentence(estimate: "Estimate") -> str:
    """What would be built and what it takes."""
    kinds = {
        "pixels": f"{_copies(estimate.copies)} of {estimate.images.get('train', 0):,} images",
        "prefix": f"{estimate.num_images:,} untouched images",
        "recipe": f"The recipe of {estimate.num_images:,} images",
    }
    height, width, channels = estimate.image_shape
    takes = f"{shown(estimate.stored_bytes)} in {estimate.num_shards:,} shards"
    money = estimate.money
    cost = ""
    if money is not None and money.per_month is not None:
        cost = f"; a month at {money.title} costs {_money(money.per_month, money.currency)}"
    workers = f"{estimate.workers} worker{'s' if estimate.workers > 1 else ''}"
    what = f"{kinds[estimate.storage]} ({height}×{width}×{channels}) in {estimate.codec}"
    seconds = f"about {duration(estimate.seconds.value)} to build with {workers}"
    return f"{what} take {takes}, and {seconds}{cost}."


def _copies(count: int) -> str:
    return "One copy" if count == 1 else f"{count:,} copies"


def shown(interval: "Interval") -> str:
    """Bytes with their interval: ``478.3 MB (exact)``, ``344.4 MB ± 2.8 MB``."""
    if interval.is_exact:
        return f"{size(interval.value)} (exact)"
    return f"{size(interval.value)} ± {size(interval.half)}"


def _money(interval: "Interval", currency: str) -> str:
    def amount(value: float) -> str:
        text = f"{value:,.2f}" if value >= 1 else f"{value:.2g}"
        return f"${text}" if currency == "USD" else f"{text} {currency}"

    return amount(interval.value) if interval.is_exact else (
        f"{amount(interval.low)} to {amount(interval.high)}")  # fmt: skip


def _print_codecs(estimate: "Estimate", choice: "Choice | None") -> None:
    remarks = {} if choice is None else {o.codec: _remark(o, choice) for o in choice.options}
    header = ("codec", "bytes", "ratio", "encode", "decode", "build", "epoch", "month", "")
    rows = [
        (*_codec_cells(codec, estimate), remarks.get(codec.name) or _loss(codec))
        for codec in estimate.codecs
    ]
    grid("Codecs", header, rows)


def _remark(option: "Option", choice: "Choice") -> str:
    if option.codec == choice.codec:
        return "chosen"
    if not option.rejected and option.copies != choice.copies:
        return f"allows {_copies(option.copies)}"
    return option.rejected


def _codec_cells(codec: "CodecEstimate", estimate: "Estimate") -> tuple[str, ...]:
    def speed(value: float | None) -> str:
        return "–" if value is None else f"{size(value)}/s"

    currency = "" if estimate.money is None else estimate.money.currency
    cost = "unpriced" if codec.month_cost is None else _money(codec.month_cost, currency)
    return (
        codec.name, shown(codec.stored_bytes), f"{codec.ratio.value:.2f}",
        speed(codec.encode_bytes_per_s), speed(codec.decode_bytes_per_s),
        duration(codec.build_s.value), duration(codec.epoch_s), cost,
    )  # fmt: skip


def _loss(codec: "CodecEstimate") -> str:
    if codec.psnr_db is None:
        return ""
    return f"loses: PSNR {codec.psnr_db:.1f} dB, worst image {codec.worst_psnr_db:.1f} dB"


def _print_modes(estimate: "Estimate") -> None:
    kept = {
        "pixels": "the copies; read as they are",
        "prefix": "untouched images; copies are made at reading",
        "recipe": "no image; everything is made at reading",
    }
    currency = "" if estimate.money is None else estimate.money.currency
    rows = []
    for mode in estimate.modes:
        taken = "–" if mode.stored_bytes is None else shown(mode.stored_bytes)
        cost = "–" if mode.month_cost is None else _money(mode.month_cost, currency)
        rows.append((mode.name, taken, cost, mode.why_not or kept[mode.name]))
    grid("Storage modes", ("mode", "bytes", "month", ""), rows)


def _print_parts(title: str, parts: "dict[str, Interval]") -> None:
    ranked = sorted(parts.items(), key=lambda item: -item[1].value)
    rows = [(name or "–", shown(interval)) for name, interval in ranked[:_CLASSES_SHOWN]]
    if len(ranked) > _CLASSES_SHOWN:
        rows.append((f"… {len(ranked) - _CLASSES_SHOWN} more", ""))
    grid(f"Bytes {title}", ("", ""), rows)


def _print_work(estimate: "Estimate") -> None:
    spread = f"{duration(estimate.seconds.low)} to {duration(estimate.seconds.high)}"
    parts = ", ".join(f"{name} {duration(s)}" for name, s in estimate.timings_s.items() if s)
    memory = f"{estimate.peak_memory_bytes / _MIB:,.0f} MiB"
    sampled = f"{estimate.num_sampled:,} of {estimate.num_images:,} images"
    rows = [
        ("time", duration(estimate.seconds.value), f"{spread}: {parts}"),
        ("memory", memory, "of all processes at their peak"),
        ("sampled", sampled, f"in {duration(estimate.sampled_s)}, until: {estimate.ended_by}"),
        ("ids and draws", size(estimate.columns_bytes), "exact"),
        ("container", size(estimate.container_bytes), "exact"),
    ]
    if estimate.free_bytes is not None:
        rows.append(("free on the disk", size(estimate.free_bytes), ""))
    grid("Work", ("", "", ""), rows)


def _print_money(estimate: "Estimate") -> None:
    money = estimate.money
    if money is None:
        return
    rows = [
        (name, f"{float(bill['total']):,.4g} {money.currency}", remark)
        for name, bill, remark in (
            ("to build and upload", money.build, ""),
            ("a month of storage", money.month, ""),
            ("an epoch", money.epoch, "reading it, without the accelerator"),
            (f"a run of {estimate.epochs} epochs", money.run, "with the build and the storage"),
        )
    ]
    rows.append(("break-even", _break_even(money.break_even), str(money.break_even["reason"])))
    if money.unpriced:
        rows.append(("unpriced", ", ".join(money.unpriced), "not in these figures"))
    grid(f"Money: {money.title}, {money.book}", ("", "", ""), rows)


def _break_even(facts: dict[str, object]) -> str:
    epochs = facts["epochs"]
    return f"{epochs:,.1f} epochs" if isinstance(epochs, float) else str(facts["outcome"])


def grid(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Prints a table of any width; nothing if there are no rows.

    Args:
        title: above it.
        header: a name for each column; none are shown if all are empty.
        rows: of as many cells.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    rows = list(rows)
    if not rows:
        return
    shown_grid = Table(
        box=None, show_header=any(header), title=title, title_justify="left", title_style="bold",
        pad_edge=False, padding=(0, 2, 0, 0), header_style="dim",
    )  # fmt: skip
    for place, name in enumerate(header):
        is_last = place == len(header) - 1 and len(header) > 2
        is_number = place > 0 and not is_last
        shown_grid.add_column(name, justify="right" if is_number else "left", overflow="fold",
                              style="dim" if is_last else "", no_wrap=is_number)  # fmt: skip
    for row in rows:
        shown_grid.add_row(*map(escape, row))
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    console = Console(highlight=False, width=None if is_terminal else _FILE_WIDTH)
    with console.capture() as captured:
        console.print(shown_grid)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())
    click.echo()
