"""The inner loop: one task in, its shards on disk.

A task's sources are decoded once, or its pixels taken from shards that stand; then each copy is
rendered straight into the memory of its shard, hashed and committed, one shard at a time. What
comes out depends on the shard's spec alone, so a task may run anywhere, twice, or in parts.
"""

import datetime
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.atomic import write_file
from materialize.canonical import sha256_hex
from materialize.environment import current_environment
from materialize.errors import ManifestError, SourceError
from materialize.feasibility import prepared_canvas
from materialize.manifest import shard_path
from materialize.partner_images import PartnerImages
from materialize.partners import Pairing
from materialize.planning import Task, held_rows, take_rows
from materialize.population import Population, load_images
from materialize.receipts import Receipt
from materialize.room import PIXELS_AT_ONCE, room_for
from materialize.shards.columns import field_column
from materialize.shards.layout import ShardEntry, ShardSpec
from materialize.shards.writer import OpenShard, ShardWriter
from materialize.shared_images import SharedImages
from materialize.sources import Source
from materialize.stock import ORIGINAL, Stock
from materialize.targets import PreparedTargets, move_targets, prepare_targets
from pipelines import Pipeline
from pipelines.contract import Arena
from pipelines.kernels import SLACK_BYTES
from pipelines.transform import Canvas
from pipelines.user_code import naming_images


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
    shared: SharedImages | None = None
    """Where all workers find the images that tasks have in common; None where each task decodes
    its own."""


@dataclass(frozen=True, slots=True)
class Done:
    """One shard that is on disk, or broke its promise."""

    entry: ShardEntry
    timings_s: dict[str, float]
    """Seconds by step; empty if the shard was there already."""
    is_stored: bool = True
    """False if it is not the shard that was promised, so that nothing was written."""


def run_task(
    workshop: Workshop,
    task: Task,
    rows: Population,
    pairings: Mapping[int, Pairing] = {},
) -> Iterator[Done]:
    """Writes a task's shards that are not there yet, each with its receipt.

    Args:
        workshop: what all tasks share.
        task: what to write.
        rows: the task's rows of its population.
        pairings: by copy, whom the rows are mixed with that have it.

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
    held = [held_rows(rows, 0, spec, task.copies) for spec in missing]
    wanted = np.unique(np.concatenate(held))  # an image that none of the shards has stays unread
    rows = rows if len(wanted) == len(rows) else take_rows(rows, wanted)
    with (
        Stock(workshop.directory, task.stock) as stock,
        Stock(workshop.directory, task.partner_stock) as partner_stock,
    ):
        needed = [s for s in missing if not stock.holds(s.copy, is_mask=s.is_mask)]
        images = None
        if not all(spec.is_mask for spec in needed):
            images = _prepared(workshop, stock, rows)
        targets = _prepared_targets(workshop, stock, rows, needed)
        partners = PartnerImages(
            pairings, workshop.pipeline, workshop.seed,
            partial(_prepared, workshop, partner_stock),
        )  # fmt: skip
        clock.lap("decode")
        bench = _Bench(workshop, rows, stock, images, targets, pairings, partners)
        for spec, here in zip(missing, held, strict=True):
            if _is_late(workshop):
                return
            own = bench
            if len(here) < len(rows):
                own = bench.taken(np.searchsorted(wanted, here))
            yield _write_shard(own, spec, clock)
            clock = _Clock()


@dataclass(frozen=True, slots=True, eq=False)
class _Bench:
    """What all shards of a task are made of."""

    workshop: Workshop
    rows: Population
    stock: Stock
    images: Arena | None
    """The prepared sources of the rows; None where every shard's pixels are in stock."""
    targets: PreparedTargets
    """Their masks and objects, where these are not in stock."""
    pairings: Mapping[int, Pairing]
    """By copy, whom the rows that have it are mixed with."""
    partners: PartnerImages
    writer: ShardWriter = field(default_factory=ShardWriter)

    def taken(self, rows: NDArray[np.int64]) -> "_Bench":
        """That of some of the rows."""
        images = None if self.images is None else self.images.take(rows)
        own, targets = take_rows(self.rows, rows), self.targets.take(rows)
        return replace(self, rows=own, images=images, targets=targets)


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


def _write_shard(bench: _Bench, spec: ShardSpec, clock: "_Clock") -> Done:
    workshop, rows, stock = bench.workshop, bench.rows, bench.stock
    pipeline, is_copy = workshop.pipeline, spec.kind == "copy"
    words = pipeline.draw(workshop.seed, rows.ids, spec.copy) if is_copy else None
    beside = columns_beside(pipeline, spec, words, rows, bench.pairings.get(spec.copy))
    is_stocked = stock.holds(spec.copy, is_mask=spec.is_mask)
    objects = None
    if spec.objects is not None and is_stocked:
        objects = stock.objects(spec.copy, rows.ids)
    elif spec.objects is not None:
        objects = move_targets(pipeline, bench.targets, words, kinds=spec.objects)
    clock.lap("draw")
    with bench.writer.shard(
        spec, sample_ids=rows.ids, labels=rows.labels, class_names=rows.class_names,
        objects=objects, **beside,
    ) as shard:  # fmt: skip
        clock.lap("assemble")
        if spec.is_mask and not is_stocked:
            move_targets(pipeline, bench.targets, words, masks=shard.images)
        elif bench.images is None or is_stocked:
            stock.fill(spec.copy, rows.ids, shard.images, is_mask=spec.is_mask)
        else:
            with naming_images(words, lambda row: f"{rows.locators[row]}, copy {spec.copy}"):
                render(workshop, bench.images, words, shard, bench.partners)
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
    pipeline: Pipeline,
    spec: ShardSpec,
    words: NDArray[np.uint32] | None,
    rows: Population,
    pairing: Pairing | None,
) -> dict[str, NDArray[Any]]:
    """What the spec asks for beside the pixels, by dataset name, but for objects.

    Args:
        pipeline: what drew the words.
        spec: of the shard.
        words: (n, words); None for originals, of which nothing was drawn.
        rows: the shard's rows of its population.
        pairing: whom they are mixed with; None where no step mixes.
    """
    columns: dict[str, NDArray[Any]] = {}
    if spec.fields is not None and rows.targets is not None:
        values = rows.targets.fields
        columns = {field_column(f.name): values[f.name] for f in spec.fields.fields}
    if words is None:
        return columns
    if pairing is not None:
        columns |= pairing.columns(spec, rows)
    if spec.parameters == "draws":
        columns["draws"] = words
    elif spec.parameters == "full":
        canvas = prepared_canvas(pipeline, rows)
        columns["parameters"] = parameter_table(pipeline, words, canvas)
    return columns


def render(
    workshop: Workshop,
    images: Arena,
    words: NDArray[np.uint32] | None,
    shard: OpenShard,
    partners: PartnerImages,
) -> None:
    """Renders one copy of every image into a shard, batch by batch.

    Args:
        workshop: its pipeline, value range and batch size.
        images: the n prepared sources.
        words: (n, words) their draws; None for untouched images.
        shard: where the pixels go.
        partners: whom they are mixed with.
    """
    if words is None:
        for row in range(len(images)):
            shard.rows(row, row + 1)[0] = images.image(row)
        return
    height, width, _ = shard.spec.image_shape
    largest = max(int((images.heights * images.widths).max()), height * width)
    size = workshop.batch_size or max(PIXELS_AT_ONCE // largest, 1)
    for start in range(0, len(images), size):
        rows = np.arange(start, min(start + size, len(images)))
        theirs, their_words = partners.fetch(shard.spec.copy, rows)
        workshop.pipeline.augment(
            images.take(rows), words[rows], shard.rows(start, start + len(rows)),
            value_range=workshop.value_range, partners=theirs, partner_words=their_words,
        )  # fmt: skip


def _prepared(workshop: Workshop, stock: Stock, rows: Population) -> Arena:
    """What a run's copies are rendered from: its stored originals, else its sources.

    Raises:
        SourceError: neither is there.
        MaterializeError: whatever `decoded` and `Stock.fill` raise.
    """
    if stock.holds(ORIGINAL):
        return _stored_originals(stock, rows, np.dtype(rows.dtype), is_mask=False)
    decode = partial(decoded, _source(workshop), workshop.pipeline)
    if workshop.shared is not None:
        places = workshop.shared.places(rows.ids)
        if (places >= 0).all():
            return workshop.shared.prepared(places, lambda some: decode(take_rows(rows, some)))
    return decode(rows)


def _prepared_targets(
    workshop: Workshop, stock: Stock, rows: Population, needed: Sequence[ShardSpec]
) -> PreparedTargets:
    """The masks and objects that are not stored yet are made of these; as `_prepared`.

    Args:
        workshop: what all tasks share.
        stock: what stands.
        rows: the run's.
        needed: the shards that are not in stock.
    """
    pipeline = workshop.pipeline
    needs_masks = any(spec.is_mask for spec in needed)
    needs_objects = any(spec.objects is not None for spec in needed)
    read_masks = needs_masks and not stock.holds(ORIGINAL, is_mask=True)
    if read_masks or (needs_objects and not stock.holds(ORIGINAL)):
        targets = prepare_targets(_source(workshop), pipeline, rows, masks=read_masks)
    else:
        targets = PreparedTargets(prepared_canvas(pipeline, rows), None, None)
    if needs_masks and not read_masks:
        masks = _stored_originals(stock, rows, np.dtype(np.uint8), is_mask=True)
        targets = replace(targets, masks=masks)
    if needs_objects and targets.objects is None:
        targets = replace(targets, objects=stock.objects(ORIGINAL, rows.ids))
    return targets


def _source(workshop: Workshop) -> Source:
    if workshop.source is None:
        raise SourceError(
            f"{workshop.directory}: expected a source, found none; name it with --source",
            {"path": str(workshop.directory)},
        )
    return workshop.source


def _stored_originals(
    stock: Stock, rows: Population, dtype: np.dtype[Any], *, is_mask: bool
) -> Arena:
    """The untouched images of some rows, or their masks, as they stand."""
    height, width, channels = stock.image_shape(ORIGINAL, is_mask=is_mask)
    sizes = np.full(len(rows), height * width * channels, np.int64)
    ends = np.cumsum(sizes)
    values = room_for(int(ends[-1]) + width * channels + SLACK_BYTES, dtype)
    out = values[: ends[-1]].reshape(-1, height, width, channels)
    stock.fill(ORIGINAL, rows.ids, out, is_mask=is_mask)
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
    values = room_for(room, np.dtype(rows.dtype))
    for row, (end, size) in enumerate(zip(ends.tolist(), sizes.tolist(), strict=True)):
        image = load_images(source, rows, (row,))[0]
        values[end - size : end] = pipeline.prepare(image).reshape(-1)
    return Arena(values, ends - sizes, heights, widths, rows.channels)


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
