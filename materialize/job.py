"""The inner loop: one task in, its shards on disk.

A task's sources are decoded once, or its pixels taken from shards that stand; then each copy is
rendered straight into the memory of its shard, hashed and committed, one shard at a time. What
comes out depends on the shard's spec alone, so a task may run anywhere, twice, or in parts.
"""

import datetime
import os
import platform
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.atomic import write_file
from materialize.canonical import sha256_hex
from materialize.environment import current_environment
from materialize.errors import ManifestError, SourceError, StorageError
from materialize.manifest import shard_path
from materialize.planning import Task, held_rows, take_rows
from materialize.population import Population, load_images
from materialize.receipts import Receipt
from materialize.shards.layout import ShardEntry, ShardSpec
from materialize.shards.writer import OpenShard, ShardWriter
from materialize.sources import Source
from materialize.stock import ORIGINAL, Stock
from pipelines import Pipeline
from pipelines.contract import Arena
from pipelines.kernels import SLACK_BYTES
from pipelines.transform import Canvas

DECODED_BYTES_IN_MEMORY = 512 * 2**20
"""A task's decoded sources beyond this go to a mapped temporary file."""
PIXELS_AT_ONCE = 2**20
"""Pixels read or rendered per call: programs of a batch stay in cache, and calls stay few."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """What every task of a build shares; sent to workers once per task."""

    directory: Path
    source: Source | None
    """None where every task has the stock it needs."""
    pipeline: Pipeline
    seed: int
    value_range: tuple[float, float] | None = None
    """For float32 images, the values that mean black and white."""
    batch_size: int | None = None
    """Images rendered per call; None chooses by size. Never changes a byte."""
    deadline: float | None = None
    """On `time.monotonic`: no shard is begun after it."""
    promised: Mapping[str, str] = field(default_factory=dict)
    """The SHA-256 that shards must have, by file: what a manifest says of those it names. A shard
    that comes out otherwise is not stored."""


@dataclass(frozen=True, slots=True)
class Done:
    """One shard that is on disk, or broke its promise."""

    entry: ShardEntry
    timings_s: dict[str, float]
    """Seconds by step; empty if the shard was there already."""
    is_stored: bool = True
    """False if it is not the shard that was promised, so that nothing was written."""


def run_task(workshop: Workshop, task: Task, rows: Population) -> Iterator[Done]:
    """Writes a task's shards that are not there yet, each with its receipt.

    Args:
        workshop: what all tasks share.
        task: what to write.
        rows: the task's rows of its population.

    Yields:
        The task's shards as they stand on disk; fewer than it names if the deadline passed.

    Raises:
        RecordReadError: a source changed or cannot be read.
        UndecodableImageError: a source that was trusted turned out to be no image.
        StorageError: the file system refused.
    """
    missing = []
    for spec in task.specs:
        entry = standing_shard(workshop.directory, spec)
        if entry is None:
            missing.append(spec)
        else:
            yield Done(entry, {})
    if not missing or _is_late(workshop):
        return
    clock = _Clock()
    writer = ShardWriter()
    held = [held_rows(rows, 0, spec, task.copies) for spec in missing]
    wanted = np.unique(np.concatenate(held))  # an image that none of the shards has stays unread
    rows = rows if len(wanted) == len(rows) else take_rows(rows, wanted)
    with Stock(workshop.directory, task.stock) as stock:
        is_stocked = all(stock.holds(spec.copy) for spec in missing)
        images = None if is_stocked else _prepared(workshop, stock, rows)
        clock.lap("decode")
        for spec, here in zip(missing, held, strict=True):
            if _is_late(workshop):
                return
            own, pixels = rows, images
            if len(here) < len(rows):
                places = np.searchsorted(wanted, here)
                own = take_rows(rows, places)
                pixels = None if images is None else images.take(places)
            yield _write_shard(workshop, writer, spec, own, stock, pixels, clock)
            clock = _Clock()


def standing_shard(directory: Path, spec: ShardSpec) -> ShardEntry | None:
    """The entry of a shard that is on disk with its receipt and every byte of it, else None."""
    path = shard_path(directory, spec.file_name())
    try:
        receipt = Receipt.read(directory, spec.file_name())
        if receipt is None or receipt.entry.spec != spec:
            return None
        data = np.memmap(path, dtype=np.uint8, mode="r")
    except (ManifestError, FileNotFoundError, ValueError):
        return None
    entry = receipt.entry
    if len(data) != entry.num_bytes or sha256_hex(data.data) != entry.file_sha256:
        return None
    return entry


def _write_shard(
    workshop: Workshop,
    writer: ShardWriter,
    spec: ShardSpec,
    rows: Population,
    stock: Stock,
    images: Arena | None,
    clock: "_Clock",
) -> Done:
    pipeline, is_copy = workshop.pipeline, spec.kind == "copy"
    words = pipeline.draw(workshop.seed, rows.ids, spec.copy) if is_copy else None
    beside = columns_beside(pipeline, spec, words, rows)
    clock.lap("draw")
    with writer.shard(
        spec, sample_ids=rows.ids, labels=rows.labels, class_names=rows.class_names, objects=None,
        **beside,
    ) as shard:  # fmt: skip
        clock.lap("assemble")
        if images is None or stock.holds(spec.copy):
            stock.fill(spec.copy, rows.ids, shard.images)
        elif words is None:
            for row in range(spec.num_rows):
                shard.rows(row, row + 1)[0] = images.image(row)
        else:
            render(workshop, images, words, shard)
        clock.lap("render")
        shard.encode()
        clock.lap("encode")
        image = shard.finish()
        stock.check(spec, image.content_sha256)
        clock.lap("digest")
        promised = workshop.promised.get(spec.file_name())
        if promised is not None and promised != image.file_sha256:
            return Done(image.entry(), clock.laps, is_stored=False)
        write_file(shard_path(workshop.directory, spec.file_name()), image.data)
        clock.lap("write")
        entry = image.entry()
        clock.lap("sha256")
    finished_at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    receipt = Receipt(entry, clock.laps, platform.node(), finished_at, current_environment())
    receipt.write(workshop.directory)
    return Done(entry, clock.laps)


def columns_beside(
    pipeline: Pipeline, spec: ShardSpec, words: NDArray[np.uint32] | None, rows: Population
) -> dict[str, NDArray[Any]]:
    """What the spec asks for beside the pixels of a copy, by dataset name.

    Args:
        pipeline: what drew the words.
        spec: of the shard.
        words: (n, words); None for originals, which have nothing beside them.
        rows: the shard's rows of its population.
    """
    if words is None or spec.parameters == "none":
        return {}
    if spec.parameters == "draws":
        return {"draws": words}
    return {"parameters": parameter_table(pipeline, words, prepared_canvas(pipeline, rows))}


def render(workshop: Workshop, images: Arena, words: NDArray[np.uint32], shard: OpenShard) -> None:
    """Renders one copy of every image into a shard, batch by batch.

    Args:
        workshop: its pipeline, value range and batch size.
        images: the n prepared sources.
        words: (n, words) their draws.
        shard: where the pixels go.
    """
    height, width, _ = shard.spec.image_shape
    largest = max(int((images.heights * images.widths).max()), height * width)
    size = workshop.batch_size or max(PIXELS_AT_ONCE // largest, 1)
    for start in range(0, len(images), size):
        stop = min(start + size, len(images))
        workshop.pipeline.augment(
            images.take(np.arange(start, stop)), words[start:stop], shard.rows(start, stop),
            value_range=workshop.value_range,
        )  # fmt: skip


def _prepared(workshop: Workshop, stock: Stock, rows: Population) -> Arena:
    """What a run's copies are rendered from: its stored originals, else its sources.

    Raises:
        SourceError: neither is there.
        MaterializeError: whatever `decoded` and `Stock.fill` raise.
    """
    if not stock.holds(ORIGINAL):
        if workshop.source is None:
            raise SourceError(
                f"{workshop.directory}: expected a source, found none; name it with --source",
                {"path": str(workshop.directory)},
            )
        return decoded(workshop.source, workshop.pipeline, rows)
    height, width, channels = stock.image_shape(ORIGINAL)
    sizes = np.full(len(rows), height * width * channels, np.int64)
    ends = np.cumsum(sizes)
    values = _room_for(int(ends[-1]) + width * channels + SLACK_BYTES, np.dtype(rows.dtype))
    stock.fill(ORIGINAL, rows.ids, values[: ends[-1]].reshape(-1, height, width, channels))
    heights, widths = np.full(len(rows), height), np.full(len(rows), width)
    return Arena(values, ends - sizes, heights, widths, channels)


def decoded(source: Source, pipeline: Pipeline, rows: Population) -> Arena:
    """Reads, decodes and prepares a run's images, in memory or in a mapped temporary file.

    Raises:
        RecordReadError: a record changed since the scan, or cannot be read.
    """
    canvas = prepared_canvas(pipeline, rows)
    heights, widths = canvas.heights, canvas.widths
    sizes = heights * widths * rows.channels
    ends = np.cumsum(sizes)
    room = int(ends[-1]) + int((widths * rows.channels).max()) + SLACK_BYTES
    values = _room_for(room, np.dtype(rows.dtype))
    for row, (end, size) in enumerate(zip(ends.tolist(), sizes.tolist(), strict=True)):
        image = load_images(source, rows, (row,))[0]
        values[end - size : end] = pipeline.prepare(image).reshape(-1)
    return Arena(values, ends - sizes, heights, widths, rows.channels)


def prepared_canvas(pipeline: Pipeline, rows: Population) -> Canvas:
    """The sizes that a run's images have once they are prepared."""
    canvas = Canvas(rows.heights.astype(np.int64), rows.widths.astype(np.int64))
    resize = pipeline.resize
    return canvas.resized(resize.height, resize.width) if resize else canvas


def _room_for(count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    if count * dtype.itemsize <= DECODED_BYTES_IN_MEMORY:
        return np.zeros(count, dtype=dtype)
    # The name is gone at once; the mapping keeps the space until the array is dropped.
    with tempfile.TemporaryFile(prefix="materialize-decoded-") as file:
        needed = count * dtype.itemsize
        try:
            # Taken now: a mapped page that finds no room on the disk later kills the process.
            os.posix_fallocate(file.fileno(), 0, needed)
        except OSError as error:
            raise StorageError(
                f"{tempfile.gettempdir()}: expected room for {needed:,} bytes of decoded images, "
                f"got {error.strerror}; free some space, point TMPDIR elsewhere, or begin the "
                "pipeline with a resize, which is what is kept then",
                {"path": tempfile.gettempdir(), "expected": needed},
            ) from error
        return np.memmap(file, dtype=dtype, mode="r+", shape=(count,))


def parameter_table(
    pipeline: Pipeline, words: NDArray[np.uint32], canvas: Canvas
) -> NDArray[np.float64]:
    """(n, parameters) float64: every drawn parameter in the order of `parameter_names`.

    Args:
        pipeline: what drew the words.
        words: (n, words).
        canvas: the sizes of the n prepared images.
    """
    drawn = pipeline.parameters(words, canvas)
    return np.stack([values for step in drawn for values in step.values()], axis=1)


def _is_late(workshop: Workshop) -> bool:
    return workshop.deadline is not None and time.monotonic() >= workshop.deadline


class _Clock:
    """Seconds by step."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, step: str) -> None:
        now = time.perf_counter()
        self.laps[step] = self.laps.get(step, 0.0) + now - self._last
        self._last = now
