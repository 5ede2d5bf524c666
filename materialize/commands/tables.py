"""The summary after a build, as tables."""

from collections.abc import Iterator

import click

from materialize.commands.balance_table import print_balance
from materialize.commands.output import table
from materialize.console import duration, size
from materialize.summary import BuildSummary

_CLASSES_SHOWN = 10


_SHORT_S = 5.0
"""Of shorter builds most of the time is starting workers, which says nothing."""


def print_summary(summary: BuildSummary) -> None:
    """Prints what was made, what it takes, how long it took, and what to do next."""
    print_account(summary)
    print_next_commands(summary)


def print_account(summary: BuildSummary) -> None:
    """Prints what was made, what it takes and how long it took."""
    table("Images", _images(summary))
    print_balance(summary.balance, summary.copies)
    table("Dataset", _dataset(summary))
    table("Bytes", _bytes(summary))
    table("Worker seconds", _seconds(summary))
    table("Estimate", _estimate(summary))
    for warning in summary.warnings:
        click.echo(f"warning: {warning}\n", err=True)


def print_next_commands(summary: BuildSummary) -> None:
    """Prints what can be done with the dataset, as it would be typed."""
    copies, sample = summary.copies, summary.example_sample_id
    for command in (
        f"verify {summary.directory}",
        f"explain {summary.directory} --sample {sample} --copy 0",
        f"extend {summary.directory} --copies {2 * copies}",
    ):
        click.echo(f"  materialize {command}")


def _estimate(summary: BuildSummary) -> Iterator[tuple[str, str, str]]:
    """What was expected and how far that was off; nothing where nothing was."""
    for name, prediction, shown in (
        ("shards", summary.foresight.shards_bytes, size),
        ("seconds", summary.foresight.seconds, duration),
    ):
        if prediction is None or prediction.actual is None or prediction.error is None:
            continue
        if name == "seconds" and max(prediction.value, prediction.actual) < _SHORT_S:
            continue
        expected = f"{shown(prediction.low)} to {shown(prediction.high)}"
        if prediction.low == prediction.high:
            expected = "known exactly"
        came = f"{shown(prediction.actual)} came, {prediction.error:+.1%} off"
        yield name, shown(prediction.value), f"{expected}; {came}"


def _images(summary: BuildSummary) -> Iterator[tuple[str, str, str]]:
    for split, count in summary.images_by_split.items():
        yield split, f"{count:,}", ""
    ranked = sorted(
        summary.images_by_class.items(), key=lambda item: sum(item[1].values()), reverse=True
    )
    for name, counts in ranked[:_CLASSES_SHOWN]:
        splits = ", ".join(f"{count:,} {split}" for split, count in counts.items())
        yield f"  {name}", f"{sum(counts.values()):,}", splits if len(counts) > 1 else ""
    if len(ranked) > _CLASSES_SHOWN:
        yield f"  … {len(ranked) - _CLASSES_SHOWN} more classes", "", ""
    for conversion, count in summary.conversions.items():
        yield f"converted {conversion}", f"{count:,}", ""
    for reason, count in summary.quarantined.items():
        named = [item for item in summary.quarantined_first if item.endswith(f"({reason})")]
        yield f"left out {reason}", f"{count:,}", ", ".join(named[:3])


def _dataset(summary: BuildSummary) -> Iterator[tuple[str, str, str]]:
    stood = summary.num_shards - summary.num_built
    yield "copies", f"{summary.copies:,}", "of each training image"
    yield "stored images", f"{summary.num_images_written:,}", ""
    yield "shards", f"{summary.num_shards:,}", f"{stood:,} stood already" if stood else ""
    speed = summary.images_per_s
    yield "time", duration(summary.seconds), f"{speed:,.0f} images/s" if speed else ""
    yield "manifest", str(summary.manifest_number), summary.manifest_digest


def _bytes(summary: BuildSummary) -> Iterator[tuple[str, str, str]]:
    account = summary.account

    def line(name: str, count: int, remark: str = "") -> tuple[str, str, str]:
        return name, size(count), f"{count:,} bytes{remark}"

    yield line("source", account.source_bytes)
    yield line("copies, decoded", account.logical_copies_bytes)
    if account.logical_originals_bytes:
        yield line("originals, decoded", account.logical_originals_bytes)
    yield line("stored pixels", account.stored_pixels_bytes)
    yield line("ids and draws", account.columns_bytes)
    yield line("container", account.container_bytes)
    yield line("metadata", account.metadata_bytes, ": manifest, plan, population, receipts")
    ratio = f", {account.amplification:,.2f} times the source"
    yield line("all files", account.stored_bytes, ratio)
    yield line("allocated", account.allocated_bytes, " on the file system")


def _seconds(summary: BuildSummary) -> Iterator[tuple[str, str, str]]:
    total = sum(summary.timings_s.values())
    for step, seconds in summary.timings_s.items():
        yield step, f"{seconds:.2f}", f"{seconds / total:.0%}" if total else ""
