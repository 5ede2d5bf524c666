"""From a source to a published dataset: scan → plan → pre-flight → execute → publish.

Killed anywhere, the same call goes on where it stopped, because every stage leaves its result under
a name that depends only on what it is. The manifest is the last thing written: its presence means
that every shard in it is complete.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from materialize import planning
from materialize.atomic import write_file
from materialize.errors import ConfigError
from materialize.job import standing_shard
from materialize.manifest import load_latest
from materialize.plans import Plan, claim, first_plan, latest_plan, next_plan, read_plan
from materialize.population import (
    Population,
    check_quarantine,
    scan,
)
from materialize.production import (
    BuildOptions,
    BuildReport,
    Production,
    check_room,
    incomplete,
    lay_out,
    publish_manifest,
)
from materialize.progress import Progress, stage
from materialize.shards.layout import ShardEntry
from materialize.sources import Source, open_source
from materialize.whereabouts import find_source, note_source
from pipelines import Pipeline, load


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
    check_room(directory, work)
    lay_out(directory)
    claim(directory, plan)
    write_file(directory / plan.populations[-1].file, population.to_bytes())
    note_source(directory, opened)
    job = Production(directory, opened, used, plan, (population,), work, ())
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
    # What was brought to grey or colour stays so, whatever the new images are.
    color = "grey" if old[0].channels == 1 else "rgb"
    options = replace(options, scan=replace(options.scan, color=color))
    found = _scanned(opened, options, previous.class_names, progress)
    _check_dtype(found, old[0])
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
    check_room(directory, work)
    lay_out(directory)
    claim(directory, plan)
    if added is not None:
        write_file(directory / plan.populations[-1].file, added.to_bytes())
    note_source(directory, opened)
    # The workers read old rows too, by where the source has them now.
    populations = tuple(_relocated(population, found) for population in populations)
    job = Production(directory, opened, pipeline, plan, populations, work, manifest.shards)
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
        raise incomplete(directory, len(specs) - len(found), len(specs), "are not built yet")
    manifest = publish_manifest(directory, plan, (*standing, *found))
    return BuildReport(directory, manifest, populations, 0, time.monotonic() - started, {})


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


def _check_dtype(found: Population, first: Population) -> None:
    if found.dtype != first.dtype:
        raise ConfigError(
            f"the source: expected {first.dtype} images as the dataset has them, got "
            f"{found.dtype}; convert them, or build another dataset",
            {"name": "dtype", "expected": first.dtype, "found": found.dtype},
        )


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


__all__ = ["BuildOptions", "BuildReport", "build_dataset", "extend_dataset", "finish_dataset"]
