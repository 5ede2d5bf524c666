"""How fast this machine builds: a few shards are built for real and thrown away.

They go through the builder's own task, with as many workers at once as the build will have, onto
the disk it will write to. What a shard takes whatever is in it is told from what each image takes
by building one of a single image.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from materialize import planning
from materialize.atomic import make_directory
from materialize.errors import StorageError
from materialize.estimation.pools import Drawn
from materialize.executor import Crew, pairings_of
from materialize.job import Workshop, run_task
from materialize.manifest import SHARDS_DIRECTORY
from materialize.parallel import spread
from materialize.partners import PartnerPools
from materialize.population import Population
from materialize.receipts import RECEIPTS_DIRECTORY
from materialize.recipe import Recipe
from materialize.shared_images import SharedImages
from pipelines import Pipeline

TRIAL_BYTES = 2**24
"""Decoded pixels of a shard that is tried: a quarter of a usual one."""
_TRIAL_S = 1.0
"""Of loading images for it, at most."""
_TRIED = 2
"""Copies per trial, and times the smallest shard is built."""
_HASHED_BYTES = 2**23
_READ_BYTES = 2**24


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What things take on this machine, in seconds, in a worker among all workers."""

    load_s: float
    """To read, check, decode and prepare one source."""
    shard_s: float
    """For a shard, whatever is in it."""
    row_s: Mapping[str, float]
    """For one stored image, by kind: drawn, rendered, encoded, hashed and written."""
    stored_row_bytes: float
    """What one copy took in the trial."""
    start_s: float
    """Until the workers are there and their kernels loaded."""
    hash_s: float
    """For a byte."""
    write_s: float
    """For a byte, with waiting for the disk."""
    worker_bytes: int
    """Memory of a worker before it holds images."""
    parent_bytes: int
    """Memory of the process that starts them, which holds the source's list or its arrays."""


@dataclass(frozen=True, slots=True)
class _Trial:
    """What one worker is to build."""

    workshop: Workshop
    rows: Population
    recipe: Recipe
    number: int
    """Which worker: each writes into a folder of its own."""


@dataclass(frozen=True, slots=True)
class _Tried:
    """What building it took."""

    seconds: dict[str, float]
    """By kind of shard: wall time without loading, summed."""
    load_s: float
    write_s: float
    num_bytes: int
    memory_bytes: int


def measure_pace(drawn: Drawn, pipeline: Pipeline, recipe: Recipe, crew: Crew, place: Path) -> Pace:
    """Builds some shards with every worker of a crew.

    Args:
        drawn: the images that are tried, at least one.
        pipeline: of the build.
        recipe: of the build; a storage mode without shards is tried as ``pixels``.
        crew: the workers.
        place: an existing folder on the disk that is written to.

    Raises:
        StorageError: nothing can be written there.
    """
    recipe = replace(recipe, copies=min(recipe.copies, _TRIED), shard_bytes=2**31)
    if recipe.storage == "recipe":
        recipe = replace(recipe, storage="pixels")
    with _scratch(place) as scratch:
        workshop = Workshop(Path(scratch), drawn.source, pipeline, recipe.seed, recipe.value_range)
        one = planning.take_rows(drawn.rows, np.arange(1))
        begin = partial(_all_at_once, workshop, recipe, crew)
        started = time.perf_counter()
        first = begin(one, "first")
        start_s = time.perf_counter() - started
        small = begin(one, "small")
        large = begin(drawn.rows, "large")
    shard_s = _mean([sum(t.seconds.values()) for t in small]) / _shards(recipe)
    rows = len(drawn.rows)
    row_s = {
        kind: max(_mean([t.seconds[kind] for t in large]) / shards - shard_s, 0.0) / rows
        for kind, shards in _shards_by_kind(recipe).items()
    }
    written = large[0].num_bytes
    return Pace(
        load_s=_mean([t.load_s for t in large]) / rows,
        shard_s=shard_s,
        row_s=row_s,
        stored_row_bytes=written / rows / _shards(recipe),
        start_s=max(start_s - sum(first[0].seconds.values()), 0.0) if crew.workers > 1 else 0.0,
        hash_s=_hash_seconds(),
        write_s=_mean([t.write_s for t in large]) / written,
        worker_bytes=max(t.memory_bytes for t in first),
        parent_bytes=memory_now(),
    )


def trial_rows(row_bytes: int, load_s: float, run_rows: int) -> int:
    """How many images make a trial: enough for a shard of some size, few enough to take a second.

    Args:
        row_bytes: decoded, of one stored image.
        load_s: for one source.
        run_rows: of a run.
    """
    by_time = int(_TRIAL_S / load_s) if load_s > 0 else run_rows
    return max(min(TRIAL_BYTES // row_bytes, by_time, run_rows), 1)


def read_speed(place: Path) -> float:
    """Bytes per second from the disk at some place, past the page cache.

    Args:
        place: an existing folder.
    """
    with tempfile.TemporaryFile(dir=place, prefix=".materialize-trial-") as file:
        file.write(np.random.Generator(np.random.Philox(key=0)).bytes(_READ_BYTES))
        file.flush()
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        file.seek(0)
        began = time.perf_counter()
        while file.read(2**20):
            pass
        return _READ_BYTES / max(time.perf_counter() - began, 1e-9)


def copy_speed() -> float:
    """Bytes per second that one core moves from memory to memory."""
    values = np.ones(_READ_BYTES, np.uint8)
    target = np.empty_like(values)
    np.copyto(target, values)
    began = time.perf_counter()
    np.copyto(target, values)
    return _READ_BYTES / max(time.perf_counter() - began, 1e-9)


def _scratch(place: Path) -> "tempfile.TemporaryDirectory[str]":
    """A folder on that disk which goes away."""
    try:
        return tempfile.TemporaryDirectory(dir=place, prefix=".materialize-trial-")
    except OSError as error:
        raise StorageError(
            f"{place}: expected a folder that can be written to, got {error.strerror}; name "
            "another --output",
            {"path": str(place)},
        ) from error


def _all_at_once(
    workshop: Workshop, recipe: Recipe, crew: Crew, rows: Population, name: str
) -> Sequence[_Tried]:
    """One trial for every worker, all at the same time."""
    trials = []
    for number in range(crew.workers):
        directory = workshop.directory / f"{name}-{number}"
        for folder in ("", SHARDS_DIRECTORY, RECEIPTS_DIRECTORY):
            make_directory(directory / folder)
        trials.append(_Trial(replace(workshop, directory=directory), rows, recipe, number))
    return list(spread(_try, trials, workers=crew.workers, backend=crew.backend))


def _try(trial: _Trial) -> _Tried:
    """Builds the shards of one trial."""
    # One split is enough to time, and only training images have copies; as often as any other,
    # whatever their class. They are mixed with one another whatever their folds: held-out images,
    # which here count as training, have none.
    rows = replace(trial.rows, splits=np.zeros_like(trial.rows.splits), folds=None, rates=None)
    (task,) = planning.tasks(trial.workshop.pipeline, trial.recipe, rows)
    seconds = dict.fromkeys(_shards_by_kind(trial.recipe), 0.0)
    load_s, write_s, num_bytes = 0.0, 0.0, 0
    last = time.perf_counter()
    pools, workshop = None, trial.workshop
    if workshop.pipeline.is_mixing:
        pools = PartnerPools.of_one(rows)
        workshop = replace(workshop, shared=SharedImages.of(rows, workshop.pipeline))
    for done in run_task(workshop, task, rows, pairings_of(workshop, task, rows, pools)):
        now, laps = time.perf_counter(), done.timings_s
        seconds[done.entry.spec.kind] += now - last - laps.get("decode", 0.0)
        load_s += laps.get("decode", 0.0)
        write_s += laps.get("write", 0.0) + laps.get("sha256", 0.0)
        num_bytes += done.entry.num_bytes
        last = now
    return _Tried(seconds, load_s, write_s, num_bytes, memory_now())


def memory_now() -> int:
    """Resident bytes of this process; 0 where the system does not say."""
    try:
        text = Path("/proc/self/status").read_text("ascii")
    except OSError:
        return 0
    lines = (line for line in text.splitlines() if line.startswith("RssAnon"))
    return int(next(lines, "RssAnon: 0 kB").split()[1]) * 1024


def _shards_by_kind(recipe: Recipe) -> dict[str, int]:
    """How many shards a trial has of each kind."""
    originals = {"original": 1} if recipe.stores_originals else {}
    return originals | ({"copy": recipe.copies} if recipe.stores_copies else {})


def _shards(recipe: Recipe) -> int:
    return sum(_shards_by_kind(recipe).values())


def _hash_seconds() -> float:
    values = np.zeros(_HASHED_BYTES, np.uint8)
    began = time.perf_counter()
    hashlib.sha256(values.data).digest()
    return (time.perf_counter() - began) / _HASHED_BYTES


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
