"""The shards that lead from one manifest to the next: room made, tasks run, the manifest published.

What is common to building, extending and finishing a dataset.
"""

import contextlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from materialize import planning
from materialize.atomic import (
    AlreadyPublishedError,
    make_directory,
    publish_file,
    sweep_temporaries,
)
from materialize.errors import (
    BuildFailedError,
    BuildIncompleteError,
    ConfigError,
    StorageError,
)
from materialize.estimation.limits import Limits
from materialize.executor import Crew, execute
from materialize.job import Done, Workshop
from materialize.manifest import (
    SHARDS_DIRECTORY,
    Manifest,
    PopulationEntry,
    Totals,
    manifest_name,
    shard_path,
)
from materialize.partners import pools_of
from materialize.plans import Plan
from materialize.population import DEFAULT_MAX_BAD, Population, ScanOptions
from materialize.progress import Progress, Watch
from materialize.receipts import RECEIPTS_DIRECTORY
from materialize.shards.layout import ShardEntry
from materialize.sources import Source
from pipelines import Pipeline


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """How a build goes about its work; none of this decides a byte of a shard."""

    scan: ScanOptions = ScanOptions()
    max_bad: float = DEFAULT_MAX_BAD
    """Accepted fraction of images that are bad by their bytes; 0 accepts none."""
    crew: Crew = Crew()
    part: tuple[int, int] | None = None
    """(i, n): write the i-th of n parts only, i from 1; `finish` publishes them all."""
    max_seconds: float | None = None
    """Begin no shard after so many seconds of building; the scan before it does not count."""
    batch_size: int | None = None
    """Images rendered per call; None chooses by size."""
    limits: Limits | None = None
    """What a first build must not exceed: it is then estimated before anything is written, and
    leaves the estimate beside the dataset. None estimates nothing."""

    def __post_init__(self) -> None:
        """Checks part and limits.

        Raises:
            ConfigError: one is outside its interval.
        """
        if self.part is not None and not 1 <= self.part[0] <= self.part[1]:
            raise ConfigError(
                f"part: expected i/n with 1 ≤ i ≤ n, got {self.part[0]}/{self.part[1]}",
                {"name": "part", "expected": "1 ≤ i ≤ n", "found": self.part},
            )
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise ConfigError(
                f"max_seconds: expected more than 0, got {self.max_seconds}",
                {"name": "max_seconds", "expected": "> 0", "found": self.max_seconds},
            )
        if not 0 <= self.max_bad <= 1:
            raise ConfigError(
                f"max_bad: expected a fraction in [0, 1], got {self.max_bad}",
                {"name": "max_bad", "expected": "[0, 1]", "found": self.max_bad},
            )


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build found and did."""

    directory: Path
    manifest: Manifest | None
    """None after a part: `finish` publishes."""
    populations: tuple[Population, ...]
    num_built: int
    """Shards written by this call; the others stood already."""
    seconds: float
    timings_s: dict[str, float]
    """Worker seconds by step, summed over the shards written by this call."""
    warnings: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Production:
    """The shards that lead from one manifest to the next."""

    directory: Path
    source: Source | None
    """None where every task has the stock it needs."""
    pipeline: Pipeline
    plan: Plan
    populations: tuple[Population, ...]
    work: Sequence[planning.Task]
    standing: tuple[ShardEntry, ...]
    """Shards of the manifest before that the new one has too."""
    warnings: tuple[str, ...] = ()
    """What the report is to say besides."""

    def run(self, options: BuildOptions, started: float, progress: Progress | None) -> BuildReport:
        """Writes what is missing and, unless this is a part, publishes.

        Args:
            options: how to go about it.
            started: when the whole call began, on `time.monotonic`.
            progress: called as images are written.

        Raises:
            BuildIncompleteError: time ran out.
            BuildFailedError: shards failed; their errors are in its ``errors``.
        """
        # Counted from here: a scan that takes longer than the limit must not stop every run anew.
        limit = options.max_seconds
        workshop = Workshop(
            self.directory, self.source, self.pipeline, self.plan.recipe.seed,
            self.plan.recipe.value_range, options.batch_size,
            None if limit is None else time.monotonic() + limit,
            promised=_promised(self.directory, self.plan),
        )  # fmt: skip
        tasks = part_of(self.work, options.part)
        specs = [spec for task in tasks for spec in task.specs]
        grouped = planning.shared_out(tasks, options.crew.workers)
        with Watch(self.directory, specs, progress):
            pools = pools_of(self.pipeline, self.plan.populations, self.populations)
            done = execute(workshop, grouped, self._population, options.crew, pools)
        _check_promises(self.directory, done)
        if len(done) < len(specs) and not any(shard.timings_s for shard in done):
            raise ConfigError(
                f"max_seconds: {limit} s were not enough to begin a single shard after starting "
                "the workers, and would not be the next time; allow more",
                {"name": "max_seconds", "found": limit},
            )
        if len(done) < len(specs):
            raise incomplete(
                self.directory, len(specs) - len(done), len(specs), "were left when time ran out"
            )
        manifest = None
        if options.part is None:
            self._check_collected(done)
            entries = (*self.standing, *(shard.entry for shard in done))
            manifest = publish_manifest(self.directory, self.plan, entries)
        built = [shard for shard in done if shard.timings_s]
        return BuildReport(
            self.directory, manifest, self.populations, len(built), time.monotonic() - started,
            _summed(built), (*self.warnings, *_warnings(self.populations[-1])),
        )  # fmt: skip

    def _check_collected(self, done: Sequence[Done]) -> None:
        """Makes good what a collection took away that began before this plan was claimed.

        Raises:
            BuildIncompleteError: it took shards that stood, and that nobody had named by then.
        """
        for entry, population in zip(self.plan.populations, self.populations, strict=True):
            if not (self.directory / entry.file).exists():
                store_population(self.directory, entry, population)
        stood = [shard.entry.file for shard in done if not shard.timings_s]
        gone = [file for file in stood if not shard_path(self.directory, file).exists()]
        if gone:
            raise incomplete(self.directory, len(gone), len(done), "were collected meanwhile")

    def _population(self, generation: int) -> Population:
        return self.populations[generation - 1]


def _promised(directory: Path, plan: Plan) -> dict[str, str]:
    """The SHA-256 of every shard, by file, where this plan's manifest is published already."""
    path = directory / manifest_name(plan.number)
    if not path.exists():
        return {}
    manifest = Manifest.from_bytes(path.read_bytes(), str(path))
    return {entry.file: entry.file_sha256 for entry in manifest.shards}


def _check_promises(directory: Path, done: Sequence[Done]) -> None:
    """Refuses to go on with shards that are not the published ones; none of them was written."""
    broken = [shard.entry.file for shard in done if not shard.is_stored]
    if broken:
        raise BuildFailedError(
            f"{directory}: expected the {len(broken)} damaged or missing shards, such as "
            f"{broken[0]}, to come out as the manifest promises, got other bytes: the software "
            "differs from what built them. Nothing was replaced; `materialize repair` says how",
            {"path": str(directory), "files": broken},
        )


def part_of(work: Sequence[planning.Task], part: tuple[int, int] | None) -> list[planning.Task]:
    """The tasks of one part: every n-th run, or every n-th shard where runs are too few."""
    if part is None:
        return list(work)
    number, count = part
    if len(work) < count:
        work = planning.in_parts(work, count)
    return list(work)[number - 1 :: count]


def publish_manifest(directory: Path, plan: Plan, entries: Sequence[ShardEntry]) -> Manifest:
    """Makes the dataset complete.

    Raises:
        PlanConflictError: another manifest has the number.
    """
    shards = tuple(sorted(entries, key=lambda entry: entry.file))
    manifest = Manifest(
        number=plan.number,
        parent=plan.parent,
        plan=plan.fingerprint(),
        pipeline=plan.pipeline,
        pipeline_fingerprint=plan.pipeline_fingerprint,
        seed=plan.recipe.seed,
        value_range=plan.recipe.value_range,
        copies=plan.recipe.copies,
        class_names=plan.class_names,
        populations=plan.populations,
        codec=plan.recipe.codec,
        folds=plan.recipe.folds,
        storage=plan.recipe.storage,
        shards=shards,
        quarantine=plan.quarantine,
        totals=Totals.of(shards),
    )
    path = directory / manifest.file_name
    if path.exists():
        standing = Manifest.from_bytes(path.read_bytes(), str(path))
        if standing.agrees(manifest):
            return standing
    manifest.publish(directory)
    return manifest


def store_population(directory: Path, entry: PopulationEntry, population: Population) -> None:
    """Puts a population under its name, if it is not there.

    One that is there is the same where it matters; where its images lie may differ, for a part
    that runs on another machine lists them in its own order.
    """
    with contextlib.suppress(AlreadyPublishedError):
        publish_file(directory / entry.file, population.to_bytes())
    planning.checked_population(directory / entry.file, entry.digest)


def left_to_write(
    work: Sequence[planning.Task], standing: Sequence[ShardEntry]
) -> tuple[list[planning.Task], tuple[ShardEntry, ...]]:
    """The tasks without the shards that stand, and those of the standing shards they name.

    Args:
        work: everything that a plan says.
        standing: shards of the manifest before.
    """
    planned = {spec.file_name() for task in work for spec in task.specs}
    kept = tuple(entry for entry in standing if entry.file in planned)
    there = {entry.file for entry in kept}
    left = [
        replace(task, specs=tuple(s for s in task.specs if s.file_name() not in there))
        for task in work
    ]
    return [task for task in left if task.specs], kept


def check_room(directory: Path, work: Sequence[planning.Task]) -> None:
    """Refuses what cannot fit before anything is written.

    Raises:
        StorageError: the disk has less room than the shards that are missing take at most.
    """
    standing = directory / SHARDS_DIRECTORY
    there = {path.name for path in standing.iterdir()} if standing.is_dir() else set()
    missing = [
        replace(task, specs=tuple(s for s in task.specs if s.file_name() not in there))
        for task in work
    ]
    needed = planning.estimated_bytes(missing)
    place = directory.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if needed > free:
        raise StorageError(
            f"{directory}: expected room for {needed:,} bytes, found {free:,} free; nothing was "
            "written. Free some space, or ask for fewer copies or another codec",
            {"path": str(directory), "expected": needed, "found": free},
        )


def lay_out(directory: Path) -> None:
    """Creates the directories and removes what killed writers left in them."""
    for name in ("", SHARDS_DIRECTORY, RECEIPTS_DIRECTORY):
        make_directory(directory / name)
        sweep_temporaries(directory / name)


def incomplete(directory: Path, missing: int, total: int, why: str) -> BuildIncompleteError:
    """The error for shards that are still to be written."""
    return BuildIncompleteError(
        f"{directory}: {missing} of {total} shards {why}; what is there is kept. Run the same "
        "command again to go on",
        {"path": str(directory), "missing": missing, "total": total},
    )


def _summed(shards: Sequence[Done]) -> dict[str, float]:
    total: dict[str, float] = {}
    for shard in shards:
        for step, seconds in shard.timings_s.items():
            total[step] = total.get(step, 0.0) + seconds
    return total


def _warnings(population: Population) -> tuple[str, ...]:
    conflicts = population.label_conflicts
    if not conflicts:
        return ()
    first = conflicts[0]
    warning = (
        f"{len(conflicts)} images are there under different labels, such as "
        f"{' = '.join(first.locators)} ({' and '.join(first.labels)}); `materialize check` lists "
        "them"
    )
    return (warning,)
