"""How long a build and an epoch take, from what one image takes; and how much memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np

from materialize.estimation.census import Census, SplitLayout
from materialize.estimation.pace import Pace
from materialize.feasibility import prepared_canvas
from materialize.partner_images import PARTNER_BYTES
from materialize.room import DECODED_BYTES_IN_MEMORY
from materialize.shards.codecs import find_codec
from materialize.shards.columns import Column
from materialize.shared_images import SHARED_BYTES
from pipelines import Pipeline

_ACCEPTED_IDLE_SHARE = 0.1
"""As `materialize.planning.shared_out` has it."""
_IMAGE_S = 2.2e-6
"""Serial seconds of a build for each source: digests, the population file."""
_SHARD_S = 4e-4
"""And for each shard: its spec, its line in the manifest, its receipt looked for."""
_FILES = 4
"""And for a build, files of its own: as many seconds as so many empty shards."""
_CACHE_BYTES = 2**30
"""Decoded blocks a loader keeps unless told otherwise."""
_MEMORY_SHARE = 0.5
"""Of the machine's memory: what is smaller stays in the page cache once it was written or read."""
_SHOWN_S = 3e-7
"""To find an image and put it into a batch, beside moving it: streaming 32×32 images, measured."""
_POPULATION_BYTES = 160
"""Of memory, for a source."""
_ENTRY_BYTES = 2500
"""Of memory, for a shard: its spec and its entry with the digests of its leaves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildTime:
    """Wall seconds of a build, by part."""

    scan_s: float
    start_s: float
    load_s: float
    shards_s: float
    rest_s: float

    @property
    def seconds(self) -> float:
        """Of all of it."""
        return self.scan_s + self.start_s + self.load_s + self.shards_s + self.rest_s

    def parts(self) -> dict[str, float]:
        """By name, as `Estimate.timings_s` has them."""
        return {
            "scan": self.scan_s, "start": self.start_s, "load": self.load_s,
            "shards": self.shards_s, "rest": self.rest_s,
        }  # fmt: skip


def build_time(
    layouts: Sequence[SplitLayout],
    pace: Pace,
    extra_row_s: float,
    workers: int,
    *,
    scan_s: float,
    num_images: int,
    num_partners: int = 0,
) -> BuildTime:
    """How long a build takes.

    Args:
        layouts: its shards.
        pace: of this machine, tried in one codec.
        extra_row_s: what another codec takes longer for each stored image.
        workers: as many as the pace was measured with.
        scan_s: wall seconds of the scan before it.
        num_images: sources.
        num_partners: from `partners_decoded`.
    """
    runs = {layout.split: layout for layout in layouts}
    tasks = sum(layout.num_runs for layout in runs.values())
    num_sources = sum(layout.num_sources for layout in runs.values())
    load = (num_sources + num_partners) * pace.load_s
    shards = sum(
        layout.num_shards * pace.shard_s
        + layout.num_rows * layout.num_copies * max(pace.row_s[layout.kind] + extra_row_s, 0.0)
        for layout in layouts
    )
    num_shards = sum(layout.num_shards for layout in layouts)
    parts = _parts(tasks, max((layout.num_copies for layout in layouts), default=1), workers)
    # Tasks are of one length, so the last round is as long as the others; each part loads again.
    share = ceil(tasks * parts / workers) / (tasks * parts) if tasks else 0.0
    return BuildTime(
        scan_s=scan_s,
        start_s=pace.start_s,
        load_s=load * parts * share,
        shards_s=shards * share,
        rest_s=_FILES * pace.shard_s + num_images * _IMAGE_S + num_shards * _SHARD_S,
    )


def partners_decoded(layouts: Sequence[SplitLayout], census: Census, pipeline: Pipeline) -> int:
    """How many images are decoded, at most, because others of another run are mixed with them.

    Args:
        layouts: the shards of a build.
        census: who is in it.
        pipeline: of the build.
    """
    return sum(
        layout.num_runs * _partners_of_run(layout)
        for layout in layouts
        if layout.kind == "copy" and pipeline.is_mixing and not _is_shared(layout, census, pipeline)
    )


def peak_memory(
    layouts: Sequence[SplitLayout],
    census: Census,
    pipeline: Pipeline,
    pace: Pace,
    codec: str,
    workers: int,
) -> int:
    """Bytes of all processes of a build together, mapped files not counted.

    Args:
        layouts: its shards.
        census: who is in it.
        pipeline: of the build.
        pace: knows what a worker takes by itself.
        codec: of the build.
        workers: 1 works in the process itself.
    """
    most = 0
    example = census.example
    for layout in layouts:
        rows = min(layout.run_rows, layout.num_rows)
        shape = layout.template.image_shape
        pixels = rows * layout.template.row_bytes
        # Encoded shards are staged, and then written into memory that grows by doubling.
        buffers = pixels + 2**16 if find_codec(codec).is_raw else 2 * pixels
        in_memory = _decoded_in_memory(layout, census, pipeline)
        most = max(most, in_memory + buffers + int(np.prod(shape)))
    num_shards = sum(layout.num_shards for layout in layouts)
    parent = len(example) and census.num_images * _POPULATION_BYTES + num_shards * _ENTRY_BYTES
    workers_bytes = workers * (pace.worker_bytes + most)
    return parent + workers_bytes + (pace.parent_bytes if workers > 1 else 0)


def _decoded_in_memory(layout: SplitLayout, census: Census, pipeline: Pipeline) -> int:
    """Bytes of a run's prepared images, and of those they are mixed with."""
    image_bytes = _prepared_bytes(layout, census, pipeline)
    own = min(layout.run_rows, layout.num_rows) * image_bytes
    in_memory = own if own <= DECODED_BYTES_IN_MEMORY else 0
    if layout.kind != "copy" or not pipeline.is_mixing:
        return in_memory
    if _is_shared(layout, census, pipeline):
        return 0
    return in_memory + min(_partners_of_run(layout) * image_bytes, PARTNER_BYTES)


def _partners_of_run(layout: SplitLayout) -> int:
    """How many different images the copies of a run are mixed with, at most."""
    return min(layout.run_rows * layout.num_copies, layout.num_sources)


def _is_shared(layout: SplitLayout, census: Census, pipeline: Pipeline) -> bool:
    """Whether images that are mixed lie in one file for all workers."""
    return layout.num_sources * _prepared_bytes(layout, census, pipeline) <= SHARED_BYTES


def _prepared_bytes(layout: SplitLayout, census: Census, pipeline: Pipeline) -> int:
    """Of one source once it is prepared, on average."""
    example = census.example
    canvas = prepared_canvas(pipeline, example, np.array(example.split_rows(layout.split)))
    pixels = float((canvas.heights * canvas.widths).mean())
    return int(pixels) * example.channels * np.dtype(example.dtype).itemsize


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What reading costs on this machine."""

    copy_bytes_per_s: float
    disk_bytes_per_s: float
    threads: int
    memory_bytes: int
    """Of the machine."""


def read_s_per_image(
    layout: SplitLayout, codec: str, decode_s: float, stored_bytes: float, reading: Reading
) -> float:
    """Wall seconds to give a shuffled image of one copy to a trainer.

    Args:
        layout: the copies.
        codec: they are stored in.
        decode_s: to decode one image, as one of its block.
        stored_bytes: of one image.
        reading: of this machine.
    """
    row_bytes = layout.template.row_bytes
    found = find_codec(codec)
    times_decoded = 0.0
    if not found.is_raw:
        images = Column(
            layout.template.images.dtype, (layout.run_rows, *layout.template.image_shape)
        )
        block = found.rows_per_block(images)
        epoch_bytes = layout.num_rows * row_bytes
        # Shuffled rows want every block at once; what is not kept is decoded for every row anew.
        times_decoded = max(1.0, block * (1 - _CACHE_BYTES / epoch_bytes))
    moved_s = _SHOWN_S + row_bytes / reading.copy_bytes_per_s
    by_core = decode_s * times_decoded / reading.threads + moved_s
    total = stored_bytes * layout.num_rows * layout.num_copies
    is_cached = total <= _MEMORY_SHARE * reading.memory_bytes
    by_disk = 0.0 if is_cached else stored_bytes / reading.disk_bytes_per_s
    return max(by_core, by_disk)


def _parts(tasks: int, most: int, workers: int) -> int:
    """Into how many parts the copies of a run are shared out; see `planning.shared_out`."""
    if not tasks:
        return 1
    idle = {
        parts: 1 - tasks * parts / (ceil(tasks * parts / workers) * workers)
        for parts in range(1, min(most, 64) + 1)
    }
    enough = (parts for parts, share in idle.items() if share <= _ACCEPTED_IDLE_SHARE)
    return next(enough, min(idle, key=lambda parts: idle[parts]))
