"""From a source to a published dataset: scan → pre-flight → plan → execute → publish.

Killed anywhere, the same call goes on where it stopped, because every stage leaves its result under
a name that depends only on what it is. The manifest is the last thing written: its presence means
that every shard in it is complete.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from materialize import planning
from materialize.atomic import write_file
from materialize.canonical import canonical_json
from materialize.errors import PlanConflictError
from materialize.feasibility import check_code, check_feasible
from materialize.inventory import ESTIMATE_FILE
from materialize.job import standing_shard
from materialize.manifest import load_latest, manifest_name
from materialize.partners import pools_of, with_folds
from materialize.plans import Plan, begun_plan, claim, first_plan, latest_plan
from materialize.population import Population, balanced, check_quarantine, scan
from materialize.production import (
    BuildOptions,
    BuildReport,
    Production,
    check_room,
    incomplete,
    lay_out,
    left_to_write,
    publish_manifest,
    store_population,
)
from materialize.progress import Progress, stage
from materialize.recipe import Recipe
from materialize.rehearsal import rehearse
from materialize.sources import Source, open_source
from materialize.sources.targets import TargetSchema, notes_of
from materialize.whereabouts import note_source
from pipelines import Pipeline, load


def build_dataset(
    source: object,
    output: str | Path,
    pipeline: Pipeline | str | Path,
    recipe: Recipe,
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
    population = balanced(
        scanned(opened, options, (), progress), recipe.balance, recipe.balance_cap
    )
    check_feasible(used, recipe, population)
    check_code(used)
    recipe, folds_notes = _without_idle_folds(recipe, used)
    population = with_folds(population, recipe.folds)
    rehearse(opened, used, recipe, population)
    plan = first_plan(used, recipe, population, options.scan.exclude)
    work = plan_tasks(plan, (population,))
    _check_not_superseded(directory, plan, work)
    estimate = _foreseen(directory, opened, population, used, plan, options, progress)
    if estimate is None:
        check_room(directory, work)
    lay_out(directory)
    store_population(directory, plan.populations[-1], population)
    claim(directory, plan)
    note_source(directory, opened)
    if estimate is not None:
        write_file(directory / ESTIMATE_FILE, estimate)
    job = Production(
        directory, opened, used, plan, (population,), work, (), (*noted(opened), *folds_notes)
    )
    return job.run(options, started, progress)


def _without_idle_folds(recipe: Recipe, pipeline: Pipeline) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe without folds where no step mixes images, and what is to be said of that.

    That is no error: whoever names the folds gets a dataset that can be trained on them, and the
    same job file serves `check`, which deals and looks at them.
    """
    if recipe.folds is None or pipeline.is_mixing:
        return recipe, ()
    note = (
        f"no step of the pipeline mixes images, so the {recipe.folds[0]} folds changed nothing "
        "that is stored; folds are dealt when a dataset is read, and training on any number of "
        "them needs no option of a build"
    )
    return replace(recipe, folds=None), (note,)


def _foreseen(
    directory: Path,
    source: Source,
    population: Population,
    pipeline: Pipeline,
    plan: Plan,
    options: BuildOptions,
    progress: Progress | None,
) -> bytes | None:
    """The note of what is about to be written; None where nobody asks, or where it was begun.

    Raises:
        BudgetError: it may take more than is allowed.
        StorageError: it may take more than there is room for.
    """
    is_first = options.part is None or options.part[0] == 1
    if options.limits is None or not is_first or (directory / plan.file_name).exists():
        return None
    estimate = options.limits.estimate(
        directory, source, population, pipeline, plan.recipe, crew=options.crew,
        progress=progress,
    )  # fmt: skip
    return canonical_json(estimate.to_json())


def finish_dataset(output: str | Path) -> BuildReport:
    """Publishes a dataset whose parts are all there.

    Raises:
        BuildIncompleteError: some shards are missing; they are counted.
        ManifestMissingError: nothing was begun here.
    """
    started, directory = time.monotonic(), Path(output)
    plan = latest_plan(directory)
    populations = load_populations(directory, plan)
    before = load_latest(directory, pinned=plan.parent).shards if plan.number > 1 else ()
    left, standing = left_to_write(plan_tasks(plan, populations), before)
    specs = [spec for task in left for spec in task.specs]
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


def plan_tasks(plan: Plan, populations: Sequence[Population]) -> list[planning.Task]:
    """Every task of a plan, all generations in turn."""
    pipeline, seed = plan.load_pipeline(), plan.recipe.seed
    pools = pools_of(pipeline, plan.populations, populations)
    return [
        task
        for generation, population in enumerate(populations, start=1)
        for task in planning.tasks(
            pipeline, plan.recipe, population, generation=generation,
            cuts=plan.populations[generation - 1].cuts,
            partners_digest=None if pools is None else pools.binding(pipeline, seed, generation),
        )
    ]  # fmt: skip


def _check_not_superseded(directory: Path, plan: Plan, work: Sequence[planning.Task]) -> None:
    """Refuses to write again what a later manifest did away with.

    Raises:
        PlanConflictError: shards or images of the first manifest are not in the newest.
    """
    is_begun = begun_plan(directory, plan.number) == plan
    if not is_begun or not (directory / manifest_name(plan.number + 1)).exists():
        return
    newest = load_latest(directory)
    there = {entry.file for entry in newest.shards} | {p.file for p in newest.populations}
    named = {spec.file_name() for task in work for spec in task.specs}
    if not named | {entry.file for entry in plan.populations} <= there:
        raise PlanConflictError(
            f"{directory} is complete, and was changed since by `materialize transcode`, `remove` "
            f"or an `extend` of balanced classes: its manifest {newest.number} no longer has what "
            "this build would write; nothing was changed. Use `materialize extend` or `repair` on "
            "it, or another output",
            {"path": str(directory), "number": newest.number},
        )


def noted(source: Source) -> tuple[str, ...]:
    """What a build is to say of the annotations it read."""
    return tuple(map(str, notes_of(source)))


def scanned(
    source: Source,
    options: BuildOptions,
    known_classes: tuple[str, ...],
    progress: Progress | None,
    known_targets: TargetSchema | None = None,
) -> Population:
    """The population of a source, if not too many of its images are bad.

    Args:
        source: where the images are.
        options: how to go about it.
        known_classes: of the dataset that is extended.
        progress: called as images are scanned.
        known_targets: of the dataset that is extended.

    Raises:
        QuarantineLimitError: they are.
    """
    population = scan(
        source, options.scan, known_classes=known_classes, known_targets=known_targets,
        n_jobs=options.crew.workers,
        backend=options.crew.backend, progress=stage(progress, "scan"),
    )  # fmt: skip
    check_quarantine(population, options.max_bad)
    return population


__all__ = ["BuildOptions", "BuildReport", "build_dataset", "finish_dataset"]
