"""Runs tasks through joblib and comes back with every shard, or with all that went wrong.

Tasks are idempotent: whatever is on disk and verifies is kept. So a pool that a killed worker took
down is simply built anew and given the tasks again; joblib itself retries nothing. A worker that is
killed a second time is not bad luck: the sources in flight are tried alone until the one that kills
is found and named. It is never dropped, because what kills depends on the machine.
"""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from materialize.atomic import sweep_temporaries
from materialize.errors import BuildFailedError, ConfigError, MaterializeError
from materialize.job import Done, Workshop, run_task
from materialize.manifest import SHARDS_DIRECTORY
from materialize.parallel import BrokenProcessPool, spread
from materialize.partners import Pairing, PartnerPools
from materialize.planning import Task, estimated_bytes, held_rows, rows_of
from materialize.population import Population
from materialize.population.scan_workers import ScanTask, killer_named
from materialize.receipts import RECEIPTS_DIRECTORY
from materialize.shared_images import SharedImages
from pipelines import PipelineError
from pipelines.rendering import Pool
from pipelines.user_code import user_code_of

_ATTEMPTS = 2
"""A pool may break once by bad luck: the system's memory killer, an operator."""


@dataclass(frozen=True, slots=True)
class Crew:
    """How many workers of which kind; decides time, never bytes."""

    workers: int = 1
    """Processes (or threads) that write shards at once."""
    backend: str = "loky"
    """joblib's name: ``loky``, ``threading``, ``sequential``, or a registered one such as
    ``dask``."""

    def __post_init__(self) -> None:
        """Checks the number.

        Raises:
            ConfigError: there would be nobody to work.
        """
        if self.workers < 1:
            raise ConfigError(
                f"workers: expected at least 1, got {self.workers}",
                {"name": "workers", "expected": "≥ 1", "found": self.workers},
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """What is sent to a worker."""

    number: int
    """Of the task."""
    task: Task
    rows: Population
    """The task's rows."""
    pairings: dict[int, Pairing]


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of one task, errors included: one bad task must not hide the others."""

    shards: tuple[Done, ...]
    error: Exception | None


def execute(
    workshop: Workshop,
    tasks: Sequence[Task],
    population_of: Callable[[int], Population],
    crew: Crew,
    pools: PartnerPools | None = None,
) -> list[Done]:
    """Writes the shards of all tasks.

    Args:
        workshop: what all tasks share.
        tasks: in any order.
        population_of: the population of a generation.
        crew: the workers.
        pools: whom images are mixed with; None where no step mixes.

    Returns:
        The shards that are on disk; fewer than planned only if a deadline passed.

    Raises:
        BuildFailedError: tasks failed; all their errors are in its ``errors``.
        ConfigError: joblib has no such backend here.
        RecordReadError: a source kills the process that decodes it.
    """
    if pools is not None and not all(task.partner_stock for task in tasks):
        workshop = replace(workshop, shared=_shared(workshop, tasks, pools))
    left = dict(enumerate(tasks))
    shards: list[Done] = []
    errors: list[Exception] = []
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            for number, outcome in _outcomes(workshop, left, population_of, crew, pools):
                del left[number]
                shards += outcome.shards
                errors += [outcome.error] if outcome.error else []
            break
        except BrokenProcessPool as error:
            if attempt == _ATTEMPTS:
                raise _killer(workshop, left.values(), population_of) from error
        finally:
            if attempt > 1:
                _sweep(workshop)
    if errors:
        raise _failure(errors)
    return shards


def _shared(workshop: Workshop, tasks: Sequence[Task], pools: PartnerPools) -> SharedImages | None:
    """Room for whoever may be mixed into an image: every task needs some of all of them."""
    is_one_disk = workshop.directory.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev
    spare_bytes = estimated_bytes(tasks) if is_one_disk else 0  # the shards come first
    return SharedImages.of(pools.population, workshop.pipeline, spare_bytes)


def _sweep(workshop: Workshop) -> None:
    """Removes what killed workers were just writing; they are reaped by the time a pool is anew."""
    for name in (SHARDS_DIRECTORY, RECEIPTS_DIRECTORY):
        sweep_temporaries(workshop.directory / name)


def _outcomes(
    workshop: Workshop,
    tasks: dict[int, Task],
    population_of: Callable[[int], Population],
    crew: Crew,
    pools: PartnerPools | None,
) -> Iterable[tuple[int, _Outcome]]:
    """Each task's outcome as it is done."""
    workers = max(1, min(crew.workers, len(tasks)))
    if workers > 1 and crew.backend != "sequential":
        # Compiled once here, the kernels are loaded from numba's cache by every worker.
        _compile_kernels(workshop, population_of(1))
    jobs = (
        _Job(
            number,
            task,
            rows_of(population_of(task.generation), task),
            pairings_of(workshop, task, population_of(task.generation), pools),
        )
        for number, task in list(tasks.items())
    )
    return spread(partial(_attempt, workshop), jobs, workers=workers, backend=crew.backend)


def _compile_kernels(workshop: Workshop, population: Population) -> None:
    """Runs the pipeline once on one small image.

    Code of others is left out: it need not like such an image, and perhaps nobody allowed it.
    """
    steps = tuple(step for step in workshop.pipeline.steps if not any(user_code_of([step])))
    image = np.zeros((1, 8, 8, population.channels), dtype=population.dtype)
    ids = np.zeros((1, 16), dtype=np.uint8)
    replace(workshop.pipeline, steps=steps).apply(
        image, seed=0, sample_ids=ids, copies=0, value_range=workshop.value_range,
        pool=Pool(image, ids),
    )  # fmt: skip


def pairings_of(
    workshop: Workshop, task: Task, population: Population, pools: PartnerPools | None
) -> dict[int, Pairing]:
    """Whom a task's images are mixed with, by copy; nothing where no step mixes.

    Args:
        workshop: its pipeline and seed.
        task: whose images.
        population: of its generation.
        pools: whom images are mixed with.
    """
    rows = {
        spec.copy: held_rows(population, task.first_row, spec, task.copies)
        for spec in task.specs
        if spec.partners_digest
    }
    if pools is None or not rows:
        return {}
    return pools.pairings(workshop.pipeline, workshop.seed, task.generation, rows)


def _attempt(workshop: Workshop, job: _Job) -> tuple[int, _Outcome]:
    number, task = job.number, job.task
    shards: list[Done] = []
    try:
        shards.extend(run_task(workshop, task, job.rows, job.pairings))
    except (MaterializeError, PipelineError, MemoryError) as error:
        name = task.specs[0].file_name()
        error.add_note(f"while building {name} and the {len(task.specs) - 1} shards with it")
        return number, _Outcome(tuple(shards), error)
    return number, _Outcome(tuple(shards), None)


def _failure(errors: list[Exception]) -> BuildFailedError:
    """One error for all, with the first one's words: causes tend to be shared."""
    others = f" (and {len(errors) - 1} more like it)" if len(errors) > 1 else ""
    failure = BuildFailedError(
        f"{len(errors)} of the tasks failed; finished shards are kept. {errors[0]}{others}. "
        "Remove the cause and run the same command again",
        {"errors": errors},
    )
    failure.__cause__ = ExceptionGroup("tasks that failed", errors)
    return failure


def _killer(
    workshop: Workshop, tasks: Iterable[Task], population_of: Callable[[int], Population]
) -> MaterializeError:
    """The error for a pool that broke again: the image that kills, or a killer from outside."""
    if workshop.source is None:
        return BuildFailedError(
            f"{workshop.directory}: worker processes were killed twice, by the system for want of "
            "memory or by an operator; finished shards are kept. Run the same command again with "
            "fewer workers",
            {"path": str(workshop.directory)},
        )
    suspects = []
    for task in tasks:
        rows = rows_of(population_of(task.generation), task)
        suspects.append(rows.source_index.tolist())
    class_names = population_of(1).class_names
    found = killer_named(ScanTask(workshop.source, class_names, header_only=False), suspects)
    found.add_note("finished shards are kept")
    return found
