"""From a source to a published dataset: scan → plan → pre-flight → execute → publish.

Killed anywhere, the same call goes on where it stopped, because every stage leaves its result under
a name that depends only on what it is. The manifest is the last thing written: its presence means
that every shard in it is complete.
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from materialize import planning
from materialize.atomic import make_directory, sweep_temporaries, write_file
from materialize.canonical import canonical_json
from materialize.errors import BuildIncompleteError, ConfigError, StorageError
from materialize.executor import Crew, execute
from materialize.job import Done, Workshop, standing_shard
from materialize.manifest import SHARDS_DIRECTORY, Manifest, Totals, load_latest
from materialize.plans import Plan, claim, first_plan, latest_plan, next_plan, read_plan
from materialize.population import (
    DEFAULT_MAX_BAD,
    Population,
    ScanOptions,
    check_quarantine,
    scan,
)
from materialize.progress import Progress, Watch, stage
from materialize.receipts import RECEIPTS_DIRECTORY
from materialize.shards.layout import ShardEntry
from materialize.sources import Source, open_source
from materialize.whereabouts import find_source, note_source
from pipelines import Pipeline, load


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
    """Begin no shard after so many seconds."""
    batch_size: int | None = None
    """Images rendered per call; None chooses by size."""

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


def build_dataset(
    source: object,
    output: str | Path,
    pipeline: Pipeline | str | Path,
    recipe: planning.Recipe,
    *,
    options: BuildOptions = BuildOptions(),
    progress: Progress | None = None,
) -> BuildReport:
    """Writes a dataset of augmented copies.

    Args:
        source: a `Source` or what `materialize.sources.open_source` takes.
        output: the dataset's directory; created if absent.
        pipeline: a pipeline, a preset's name or a TOML file.
        recipe: the options that decide bytes.
        options: how to go about it.
        progress: called as images are scanned and written.

    Raises:
        BuildIncompleteError: time ran out; the same call goes on.
        MaterializeError: whatever else prevents the dataset; nothing half-written stays.
    """
    started, directory = time.monotonic(), Path(output)
    used = pipeline if isinstance(pipeline, Pipeline) else load(pipeline)
    opened = as_source(source)
    population = _scanned(opened, options, (), progress)
    planning.check_values(used, recipe, population)
    work = list(planning.tasks(used, recipe, population))
    plan = first_plan(used, recipe, population)
    _preflight(directory, work)
    _lay_out(directory)
    claim(directory, plan)
    write_file(directory / plan.populations[-1].file, population.to_bytes())
    note_source(directory, opened)
    job = _Job(directory, opened, used, plan, (population,), work, ())
    return job.run(options, started, progress)


def extend_dataset(
    output: str | Path,
    *,
    copies: int | None = None,
    source: object | None = None,
    options: BuildOptions = BuildOptions(),
    progress: Progress | None = None,
) -> BuildReport:
    """Adds copies, images or both to a complete dataset; no byte that exists changes.

    New images are those whose sample id no earlier generation has; they become a generation of
    their own. Images that are gone from the source stay in the dataset.

    Args:
        output: the dataset.
        copies: how many copies there shall be, not fewer than there are; as many by default.
        source: where to look for images; where it was last seen by default.
        options: how to go about it.
        progress: called as images are scanned and written.

    Raises:
        BuildIncompleteError: time ran out; the same call goes on.
        MaterializeError: whatever else prevents it; the dataset stays as it was.
    """
    started, directory = time.monotonic(), Path(output)
    manifest = load_latest(directory)
    previous = read_plan(directory, manifest.number)
    wanted = previous.recipe.copies if copies is None else copies
    if wanted < previous.recipe.copies:
        raise ConfigError(
            f"copies: expected at least the {previous.recipe.copies} that {directory} has, got "
            f"{wanted}; copies are only ever added",
            {"name": "copies", "expected": previous.recipe.copies, "found": wanted},
        )
    old = load_populations(directory, previous)
    opened = find_source(directory, source)
    found = _scanned(opened, options, previous.class_names, progress)
    added = _unknown(found, old)
    if added is None and wanted == previous.recipe.copies:
        return BuildReport(directory, manifest, old, 0, time.monotonic() - started, {})
    plan = next_plan(previous, manifest, wanted, added)
    pipeline = plan.load_pipeline()
    more = range(previous.recipe.copies, wanted)
    work = [
        task
        for generation, population in enumerate(old, start=1)
        for task in planning.tasks(
            pipeline, plan.recipe, population, generation=generation, copies=more, originals=False
        )
    ]
    populations = old
    if added is not None:
        work += planning.tasks(pipeline, plan.recipe, added, generation=len(old) + 1)
        populations = (*old, added)
    _preflight(directory, work)
    _lay_out(directory)
    claim(directory, plan)
    if added is not None:
        write_file(directory / plan.populations[-1].file, added.to_bytes())
    note_source(directory, opened)
    # The workers read old rows too, by where the source has them now.
    populations = tuple(_relocated(population, found) for population in populations)
    job = _Job(directory, opened, pipeline, plan, populations, work, manifest.shards)
    return job.run(options, started, progress)


def finish_dataset(output: str | Path) -> BuildReport:
    """Publishes a dataset whose parts are all there.

    Raises:
        BuildIncompleteError: some shards are missing; they are counted.
        ManifestMissingError: nothing was begun here.
    """
    started, directory = time.monotonic(), Path(output)
    plan = latest_plan(directory)
    populations = load_populations(directory, plan)
    standing: tuple[ShardEntry, ...] = ()
    if plan.number > 1:
        standing = load_latest(directory, pinned=plan.parent).shards
    names = {entry.file for entry in standing}
    pipeline = plan.load_pipeline()
    work = [
        task
        for generation, population in enumerate(populations, start=1)
        for task in planning.tasks(pipeline, plan.recipe, population, generation=generation)
    ]
    specs = [spec for task in work for spec in task.specs if spec.file_name() not in names]
    found = [entry for entry in (standing_shard(directory, spec) for spec in specs) if entry]
    if len(found) < len(specs):
        raise _incomplete(directory, len(specs) - len(found), len(specs), "are not built yet")
    manifest = publish_manifest(directory, plan, (*standing, *found))
    return BuildReport(directory, manifest, populations, 0, time.monotonic() - started, {})


@dataclass(frozen=True, slots=True)
class _Job:
    """The shards that lead from one manifest to the next."""

    directory: Path
    source: Source
    pipeline: Pipeline
    plan: Plan
    populations: tuple[Population, ...]
    work: Sequence[planning.Task]
    standing: tuple[ShardEntry, ...]
    """Shards of the manifest before."""

    def run(
        self, options: BuildOptions, started: float, progress: Progress | None
    ) -> BuildReport:
        deadline = None if options.max_seconds is None else started + options.max_seconds
        workshop = Workshop(
            self.directory, self.source, self.pipeline, self.plan.recipe.seed,
            self.plan.recipe.value_range, options.batch_size, deadline,
        )  # fmt: skip
        tasks = part_of(self.work, options.part)
        specs = [spec for task in tasks for spec in task.specs]
        grouped = planning.shared_out(tasks, options.crew.workers)
        with Watch(self.directory, specs, progress):
            done = execute(workshop, grouped, self._population, options.crew)
        if len(done) < len(specs):
            raise _incomplete(
                self.directory, len(specs) - len(done), len(specs), "were left when time ran out"
            )
        manifest = None
        if options.part is None:
            entries = (*self.standing, *(shard.entry for shard in done))
            manifest = publish_manifest(self.directory, self.plan, entries)
        built = [shard for shard in done if shard.timings_s]
        return BuildReport(
            self.directory, manifest, self.populations, len(built), time.monotonic() - started,
            _summed(built), _warnings(self.populations[-1]),
        )  # fmt: skip

    def _population(self, generation: int) -> Population:
        return self.populations[generation - 1]


def part_of(work: Sequence[planning.Task], part: tuple[int, int] | None) -> list[planning.Task]:
    """The tasks of one part: every n-th run, or every n-th shard where runs are too few."""
    if part is None:
        return list(work)
    number, count = part
    if len(work) < count:
        work = planning.in_parts(work, count)
    return list(work)[number - 1 :: count]


def publish_manifest(
    directory: Path, plan: Plan, entries: Sequence[ShardEntry]
) -> Manifest:
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
        copies=plan.recipe.copies,
        class_names=plan.class_names,
        populations=plan.populations,
        codec=plan.recipe.codec,
        shards=shards,
        quarantine=plan.quarantine,
        totals=Totals.of(shards),
    )
    manifest.publish(directory)
    return manifest


def load_populations(directory: Path, plan: Plan) -> tuple[Population, ...]:
    """The populations of all generations, checked against the plan.

    Raises:
        ManifestError: one is missing or is not the one the plan names.
    """
    return tuple(
        planning.checked_population(directory / entry.file, entry.digest)
        for entry in plan.populations
    )


def as_source(source: object) -> Source:
    """A source as it is, or opened."""
    return source if hasattr(source, "identity_bytes") else open_source(source)  # type: ignore[return-value]


def _scanned(
    source: Source, options: BuildOptions, known_classes: tuple[str, ...], progress: Progress | None
) -> Population:
    population = scan(
        source, options.scan, known_classes=known_classes, n_jobs=options.crew.workers,
        backend=options.crew.backend, progress=stage(progress, "scan"),
    )  # fmt: skip
    check_quarantine(population, options.max_bad)
    return population


def _unknown(found: Population, old: Sequence[Population]) -> Population | None:
    """The rows that no earlier generation has, or None."""
    known = np.concatenate([population.ids for population in old]).view("V16")[:, 0]
    new = np.flatnonzero(~np.isin(found.ids.view("V16")[:, 0], known))
    return planning.take_rows(found, new, quarantined=found.quarantined) if len(new) else None


def _relocated(population: Population, found: Population) -> Population:
    """A population with its rows' places in the source as it is now, matched by sample id."""
    here = {sample_id.tobytes(): row for row, sample_id in enumerate(found.ids)}
    rows = np.array([here.get(sample_id.tobytes(), -1) for sample_id in population.ids])
    index = np.where(rows >= 0, found.source_index[rows], population.source_index)
    return replace(population, source_index=index)


def _preflight(directory: Path, work: Sequence[planning.Task]) -> None:
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


def _lay_out(directory: Path) -> None:
    """Creates the directories and removes what killed writers left in them."""
    for name in ("", SHARDS_DIRECTORY, RECEIPTS_DIRECTORY):
        make_directory(directory / name)
        sweep_temporaries(directory / name)


def _incomplete(directory: Path, missing: int, total: int, why: str) -> BuildIncompleteError:
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
    return (
        f"{len(conflicts)} images are there under different labels, such as "
        f"{' = '.join(first.locators)} ({' and '.join(first.labels)}); `materialize check` lists "
        "them",
    )


__all__ = ["BuildOptions", "BuildReport", "build_dataset", "extend_dataset", "finish_dataset"]
