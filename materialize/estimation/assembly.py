"""Puts an estimate together: bytes, time, memory and money of one recipe, and of other codecs."""

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from materialize.estimation.balanced import epoch_draws
from materialize.estimation.balanced_pool import BalancedPool
from materialize.estimation.census import Census, SplitLayout
from materialize.estimation.clock import (
    BuildTime,
    Reading,
    build_time,
    partners_decoded,
    peak_memory,
    read_s_per_image,
)
from materialize.estimation.encoding import Bench
from materialize.estimation.estimates import CodecEstimate, Estimate, ModeEstimate, MoneyEstimate
from materialize.estimation.forecasts import (
    Forecast,
    image_shape,
    images_by_split,
    measured_layouts,
)
from materialize.estimation.intervals import Interval
from materialize.estimation.money import Quantities, StorageTerms, money_estimate, month_cost
from materialize.estimation.pace import Pace, copy_speed, measure_pace, read_speed, trial_rows
from materialize.estimation.pools import Pool
from materialize.estimation.sampling import Effort, draw_sample
from materialize.estimation.structure import columns_bytes, container_bytes
from materialize.estimation.target_sizes import measure_targets
from materialize.executor import Crew
from materialize.progress import Progress, stage
from materialize.recipe import STORAGE_MODES, Recipe
from materialize.shards.codecs import find_codec
from materialize.sources.base import SPLITS
from pipelines import Pipeline

TIME_SPREAD = 1.25
"""Times are given this factor up and down. On a machine shared with other work,
`tests.benchmarks estimating` found 53 of 64 builds within it, and half within a tenth."""
_RENDERED = 32
"""Images that tell how long augmenting takes, where none are sampled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquiry:
    """What an estimate is to say beside bytes and time."""

    codecs: tuple[str, ...] = ()
    """To compare with the recipe's own."""
    with_modes: bool = False
    """Also the other storage modes."""
    terms: StorageTerms | None = None
    """None leaves money out."""
    epochs: int = 10
    """Of a training run."""
    output: Path | None = None
    """Where the dataset will be; the folder for temporary files stands in for its disk if None."""
    crew: Crew = Crew()
    effort: Effort = field(default_factory=Effort)


def assemble(
    pool: Pool | None,
    census: Census,
    pipeline: Pipeline,
    recipe: Recipe,
    inquiry: Inquiry,
    *,
    before_s: Mapping[str, float],
    progress: Progress | None = None,
) -> "Assembly":
    """Samples and measures what estimates of a recipe are computed from.

    Args:
        pool: where images can be drawn; None if there is no source, which raw pixels do without.
        census: how many there are.
        pipeline: of the build.
        recipe: of the build.
        inquiry: what else is to be said.
        before_s: wall seconds before the first shard that are not measured here: of the ``scan``,
            and of the ``start``, in which a process loads compiled kernels.
        progress: called as images are drawn, for the stage ``sample``.

    Raises:
        SizeMismatchError: the images differ in size where they must not.
        RecordReadError: a record could not be read.
        StorageError: nothing can be written where the output would be.
    """
    names = tuple(dict.fromkeys((recipe.codec, *inquiry.codecs)))
    bench = Bench(pipeline, recipe)
    measured = measured_layouts(census, pipeline, recipe, with_modes=inquiry.with_modes)
    encoded = tuple(name for name in names if not find_codec(name).is_raw)
    sample = None
    if pool is not None and recipe.balance is not None:
        draws = epoch_draws(census.rows[SPLITS.index("train")], census.class_names, recipe)
        pool = BalancedPool.of(pool, draws, recipe)
    if encoded and measured and pool is not None:
        sample = draw_sample(
            pool, census, measured, encoded, bench, inquiry.effort, stage(progress, "sample")
        )
    sizes = measure_targets(pool, census, pipeline)
    forecast = Forecast(census, pipeline, recipe, sample, sizes)
    machine = _machine(pool, forecast, bench, inquiry)
    return Assembly(forecast, machine, inquiry, names, before_s)


@dataclass(frozen=True, slots=True)
class Assembly:
    """All that was measured, of which estimates are made."""

    forecast: Forecast
    machine: "_Machine"
    inquiry: Inquiry
    names: tuple[str, ...]
    """The codecs that were tried."""
    before_s: Mapping[str, float]

    def estimate(self, *, codec: str | None = None, copies: int | None = None) -> Estimate:
        """Of the recipe, or of it with another of the codecs or fewer copies."""
        recipe = self.forecast.recipe
        asked = replace(recipe, codec=codec or recipe.codec, copies=copies or recipe.copies)
        forecast = replace(self.forecast, recipe=asked)
        return _stated(forecast, self.machine, self.inquiry, self.names, self.before_s)


@dataclass(frozen=True, slots=True)
class _Machine:
    """What was measured of this machine."""

    pace: Pace | None
    codec: str
    """Of the shards that were timed."""
    reading: Reading
    bench: Bench

    def extra_row_s(self, forecast: Forecast, codec: str) -> float:
        """What a codec takes longer than the one that was timed, for each stored image."""
        if self.pace is None or codec == self.codec:
            return 0.0
        return self._encoding_s(forecast, codec) - self._encoding_s(forecast, self.codec)

    def _encoding_s(self, forecast: Forecast, codec: str) -> float:
        """To encode, hash and write one stored image."""
        if self.pace is None:
            return 0.0
        recipe = replace(forecast.recipe, codec=codec)
        there = forecast.layouts(recipe)
        row_bytes = there[-1].template.row_bytes if there else 0
        stored = row_bytes / forecast.ratio(recipe).value
        hashed = stored if find_codec(codec).is_raw else stored + row_bytes
        return encode_s(forecast, codec) + hashed * self.pace.hash_s + stored * self.pace.write_s


def encode_s(forecast: Forecast, codec: str) -> float:
    """To encode one image on one core."""
    if forecast.sample is None or codec not in forecast.sample.trials:
        return 0.0
    return forecast.sample.trials[codec].encode.s_per_image


def decode_s(forecast: Forecast, codec: str) -> float:
    """To decode one image on one core, as one of its block."""
    if forecast.sample is None or codec not in forecast.sample.trials:
        return 0.0
    return forecast.sample.trials[codec].decode.s_per_image


def _machine(pool: Pool | None, forecast: Forecast, bench: Bench, inquiry: Inquiry) -> _Machine:
    place = existing_parent(inquiry.output)
    recipe = forecast.recipe
    there = forecast.layouts(recipe) or forecast.layouts(replace(recipe, storage="pixels"))
    layout = there[-1]
    pace = None
    if pool is not None:
        few = pool.take(layout.split, 0, min(_RENDERED, pool.num_rows(layout.split)))
        if len(few.rows):
            bench.rendered(few, ("copy",) if layout.kind == "copy" else (layout.kind,), (0,))
            rows = trial_rows(layout.template.row_bytes, bench.load.s_per_image, layout.run_rows)
            drawn = pool.take(layout.split, 0, min(rows, pool.num_rows(layout.split)))
            pace = measure_pace(drawn, forecast.pipeline, recipe, inquiry.crew, place)
    reading = Reading(
        copy_bytes_per_s=copy_speed(), disk_bytes_per_s=read_speed(place),
        threads=inquiry.crew.workers,
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
    )  # fmt: skip
    return _Machine(pace, recipe.codec, reading, bench)


def _stated(
    forecast: Forecast,
    machine: _Machine,
    inquiry: Inquiry,
    names: Sequence[str],
    before_s: Mapping[str, float],
) -> Estimate:
    recipe, census, sample = forecast.recipe, forecast.census, forecast.sample
    there = forecast.layouts(recipe)
    time = _build_time(forecast, machine, recipe.codec, inquiry, before_s)
    stored = forecast.stored_bytes(recipe)
    num_shards = sum(layout.num_shards for layout in there)
    workers = inquiry.crew.workers
    memory = 0
    if machine.pace is not None:
        memory = peak_memory(
            there, census, forecast.pipeline, machine.pace, recipe.codec, workers
        )  # fmt: skip
    codecs = tuple(
        _codec(forecast, machine, name, inquiry, before_s)
        for name in names
        if find_codec(name).is_raw or sample is not None
    )
    trials = sample.trials.values() if sample is not None else ()
    return Estimate(
        storage=recipe.storage, codec=recipe.codec, copies=recipe.copies, workers=workers,
        basis=census.basis, images=images_by_split(census), image_shape=image_shape(forecast),
        stored_bytes=stored, by_class=forecast.class_bytes(recipe),
        by_split=forecast.split_bytes(recipe),
        columns_bytes=sum(_columns(forecast, layout, recipe)[0] for layout in there),
        container_bytes=sum(_columns(forecast, layout, recipe)[1] for layout in there),
        codecs=codecs, modes=_modes(forecast, inquiry) if inquiry.with_modes else (),
        seconds=_spread(time.seconds), timings_s=time.parts(), peak_memory_bytes=memory,
        num_shards=num_shards, num_sampled=0 if sample is None else sample.num_images,
        num_encoded=sum(trial.encode.images for trial in trials),
        sampled_s=0.0 if sample is None else sample.seconds,
        ended_by="nothing to sample" if sample is None else sample.ended_by,
        augment_s=machine.bench.load.s_per_image + machine.bench.render.s_per_image,
        read_s=_read_s(forecast, machine, recipe.codec, 1),
        epochs=inquiry.epochs,
        free_bytes=None if inquiry.output is None else free_bytes(inquiry.output),
        money=_money(forecast, machine, inquiry, time),
        notes=_notes(forecast, inquiry),
    )  # fmt: skip


def _build_time(
    forecast: Forecast,
    machine: _Machine,
    codec: str,
    inquiry: Inquiry,
    before_s: Mapping[str, float],
) -> BuildTime:
    scan_s = before_s.get("scan", 0.0)
    if machine.pace is None:
        return BuildTime(scan_s=scan_s, start_s=0.0, load_s=0.0, shards_s=0.0, rest_s=0.0)
    layouts, census = forecast.layouts(replace(forecast.recipe, codec=codec)), forecast.census
    time = build_time(
        layouts, machine.pace, machine.extra_row_s(forecast, codec), inquiry.crew.workers,
        scan_s=scan_s, num_images=census.num_images,
        num_partners=partners_decoded(layouts, census, forecast.pipeline),
    )  # fmt: skip
    return replace(time, start_s=time.start_s + before_s.get("start", 0.0))


def _codec(
    forecast: Forecast,
    machine: _Machine,
    name: str,
    inquiry: Inquiry,
    before_s: Mapping[str, float],
) -> CodecEstimate:
    recipe = replace(forecast.recipe, codec=name)
    stored = forecast.stored_bytes(recipe)
    time = _build_time(forecast, machine, name, inquiry, before_s)
    read_s = _read_s(forecast, machine, name, machine.reading.threads)
    trial = None if forecast.sample is None else forecast.sample.trials.get(name)
    num_shards = sum(layout.num_shards for layout in forecast.layouts(recipe))
    cost = None
    if inquiry.terms is not None:
        cost = month_cost(stored, num_shards, inquiry.terms)
    return CodecEstimate(
        name=name, is_lossy=find_codec(name).is_lossy, stored_bytes=stored,
        ratio=forecast.ratio(recipe),
        encode_bytes_per_s=trial.encode.bytes_per_s if trial else None,
        decode_bytes_per_s=trial.decode.bytes_per_s if trial else None,
        build_s=_spread(time.seconds),
        epoch_s=read_s * forecast.census.epoch_rows(recipe)
        + _checking_s(forecast, machine, stored, inquiry),
        images_per_s=1 / read_s if read_s else 0.0,
        psnr_db=trial.psnr_db if trial else None,
        worst_psnr_db=trial.worst_psnr_db if trial else None,
        month_cost=cost,
    )  # fmt: skip


def _read_s(forecast: Forecast, machine: _Machine, codec: str, threads: int) -> float:
    """Wall seconds to give one stored image to a trainer; of a recipe, to make it."""
    recipe = replace(forecast.recipe, codec=codec)
    there = forecast.layouts(recipe)
    bench = machine.bench
    if not recipe.stores_copies or not there:
        return (bench.load.s_per_image + bench.render.s_per_image) / threads
    layout = next(layout for layout in there if layout.kind == "copy")
    per_image = layout.template.row_bytes / forecast.ratio(recipe).value
    reading = replace(machine.reading, threads=threads)
    return read_s_per_image(layout, codec, decode_s(forecast, codec), per_image, reading)


def _checking_s(forecast: Forecast, machine: _Machine, stored: Interval, inquiry: Inquiry) -> float:
    """To hash what is read for the first time, spread over the epochs of a run."""
    if machine.pace is None:
        return 0.0
    read = stored.value * min(1.0, inquiry.epochs / forecast.recipe.copies)
    return read * machine.pace.hash_s / inquiry.epochs


def _columns(forecast: Forecast, layout: SplitLayout, recipe: Recipe) -> tuple[int, int]:
    """Columns and container of a layout."""
    names = forecast.census.class_names
    each = forecast.sizes.objects_per_image
    return columns_bytes(layout), container_bytes(layout, recipe.codec, names, each)


def _modes(forecast: Forecast, inquiry: Inquiry) -> tuple[ModeEstimate, ...]:
    found = []
    for name in STORAGE_MODES:
        stored, why_not = forecast.mode(forecast.recipe, name)
        cost = None
        if stored is not None and inquiry.terms is not None:
            recipe = replace(forecast.recipe, storage=name, originals=False)
            shards = sum(layout.num_shards for layout in forecast.layouts(recipe))
            cost = month_cost(stored, shards, inquiry.terms)
        found.append(ModeEstimate(name=name, stored_bytes=stored, why_not=why_not, month_cost=cost))
    return tuple(found)


def _money(
    forecast: Forecast, machine: _Machine, inquiry: Inquiry, time: BuildTime
) -> MoneyEstimate | None:
    if inquiry.terms is None:
        return None
    recipe, census = forecast.recipe, forecast.census
    there = forecast.layouts(recipe)
    stored = forecast.stored_bytes(recipe)
    training = census.epoch_rows(recipe)
    bench = machine.bench
    copies = [layout for layout in there if layout.kind == "copy"]
    epoch_bytes = sum(
        round(forecast.pixels(layout, recipe).value) // layout.num_copies for layout in copies
    )
    quantities = Quantities(
        stored_bytes=stored,
        num_shards=sum(layout.num_shards for layout in there),
        build_cpu_s=time.scan_s * inquiry.crew.workers
        + (time.load_s + time.shards_s) * inquiry.crew.workers + time.rest_s,
        epoch_bytes=epoch_bytes,
        epoch_shards=sum(layout.num_runs for layout in copies),
        read_cpu_s=training * _read_s(forecast, machine, recipe.codec, 1),
        augment_cpu_s=training * (bench.load.s_per_image + bench.render.s_per_image),
    )  # fmt: skip
    return money_estimate(quantities, inquiry.terms)


def _notes(forecast: Forecast, inquiry: Inquiry) -> tuple[str, ...]:
    notes = []
    sample, census = forecast.sample, forecast.census
    if census.basis == "listing":
        notes.append(
            "the source was listed and not scanned: images that turn out bad are counted as good"
        )
    if census.basis == "index":
        notes.append("the time to scan the source is not counted: an index stands for it")
    if forecast.recipe.balance is not None and census.basis != "scan":
        notes.append(
            "classes are balanced, but the source was not scanned: images are counted by class, "
            "and what they take is told from classes as they come"
        )
    if sample is not None:
        widest = max((sample.total(name, kind).share, name)
                     for split in sample.splits.values() for name, kind in split.seen)  # fmt: skip
        if widest[0] > inquiry.effort.share:
            notes.append(
                f"sampling ended by its limit of {sample.ended_by} with {widest[1]} known to "
                f"±{widest[0]:.1%}; raise --sample-seconds to know more"
            )
    return tuple(notes)


def _spread(seconds: float) -> Interval:
    return Interval(seconds, seconds / TIME_SPREAD, seconds * TIME_SPREAD)


def existing_parent(output: Path | None) -> Path:
    """The folder that the output is or would be made in."""
    if output is None:
        return Path(tempfile.gettempdir())
    place = output.absolute()
    while not place.is_dir():
        place = place.parent
    return place


def free_bytes(output: Path) -> int:
    """What the disk of an output has room for."""
    return shutil.disk_usage(existing_parent(output)).free
