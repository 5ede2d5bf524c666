"""Runs a whole contrast: builds the dataset, makes the runs that are missing, draws conclusions.

Seeds are the outer loop and arms the inner one, so a contrast that is stopped has whole pairs.
Every finished run is on disk, and the trainer's own checkpoint is for the one under way: the same
call goes on where it stopped and ends with the same result.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

from materialize.atomic import make_directory, sweep_temporaries, write_file
from materialize.canonical import canonical_json
from materialize.contrast.arms import Arm, arms_of
from materialize.contrast.conclusions import conclude
from materialize.contrast.foundation import lay_foundation
from materialize.contrast.jobs import ContrastJob
from materialize.contrast.measurement import Bench, finished_run
from materialize.contrast.modelling import check_model
from materialize.contrast.records import RUNS_DIRECTORY
from materialize.contrast.results import ContrastResult, EnsembleResult
from materialize.progress import Progress
from materialize.training.evaluation import Predictions, score

RESULT_FILE = "contrast.json"


def run_contrast(
    job: ContrastJob,
    work: str | Path,
    *,
    command: str = "",
    progress: Progress | None = None,
) -> ContrastResult:
    """Makes every run of a contrast and says what they show.

    Args:
        job: what to run.
        work: where the dataset, the runs and the result go; created if absent.
        command: what to note as the command that makes this result again.
        progress: called as images are scanned, written and trained on.

    Returns:
        The result, which also stands in ``contrast.json``.

    Raises:
        MaterializeError: whatever prevents a run; those that are finished are kept.
    """
    return run_all(open_bench(job, work, progress), command=command, progress=progress)


def open_bench(job: ContrastJob, work: str | Path, progress: Progress | None = None) -> Bench:
    """Builds the dataset of a contrast, or finds it, and makes room for the runs.

    Args:
        job: what is to be run.
        work: where everything goes; created if absent.
        progress: called as images are scanned and written.

    Raises:
        MaterializeError: whatever prevents the dataset.
    """
    work = Path(work)
    check_model(job)
    # Before anything is written, so that a contrast that cannot begin leaves nothing behind.
    foundation = lay_foundation(job, work, progress)
    for directory in (work, work / RUNS_DIRECTORY):
        make_directory(directory)
        sweep_temporaries(directory)
    return Bench(job, foundation, work)


def run_all(bench: Bench, *, command: str = "", progress: Progress | None = None) -> ContrastResult:
    """Makes the runs that are missing and stores what all of them show; see `run_contrast`."""
    job = bench.job
    arms = list(arms_of(job, bench.foundation))
    todo = list(product(job.training_seeds, arms, _folds(job)))
    runs = []
    for number, (seed, arm, fold) in enumerate(todo, start=1):
        stage = f"{number}/{len(todo)} {arm.name}, seed {seed}"
        stage += "" if fold is None else f", fold {fold}"
        runs.append(finished_run(bench, arm, seed, fold, _named(progress, stage)))
    ensembles = tuple(_ensembles(bench, arms)) if job.folds is not None else ()
    result = conclude(bench, arms, runs, ensembles, command=command)
    write_file(bench.work / RESULT_FILE, canonical_json(result.to_json()) + b"\n")
    return result


def _ensembles(bench: Bench, arms: list[Arm]) -> Iterator[EnsembleResult]:
    """The folds' models of each arm and seed, their probabilities on the test part averaged."""
    samples = bench.foundation.opened.samples("test")
    for arm in arms:
        for seed in bench.job.training_seeds:
            stored = [
                bench.files(arm, seed, fold).read_arrays("probabilities")
                for fold in _folds(bench.job)
            ]
            answers = [arrays[0] for arrays in stored if arrays]
            mean = np.asarray(np.mean(answers, axis=0, dtype=np.float64), np.float32)
            found = score(Predictions(samples.ids, samples.labels, mean), samples.class_names)
            yield EnsembleResult(
                name=arm.name, seed=seed, num_models=len(answers),
                test_accuracy=found.accuracy, test_loss=found.loss,
                num_correct=int(found.confusion.trace()), num_images=len(samples),
                confusion=tuple(tuple(row) for row in found.confusion.tolist()),
            )  # fmt: skip


def _folds(job: ContrastJob) -> list[int | None]:
    return [None] if job.folds is None else list(range(job.folds))


def _named(progress: Progress | None, name: str) -> Progress | None:
    """Progress of one run, under its own name instead of ``train``."""
    if progress is None:
        return None
    return lambda _stage, done, total: progress(name, done, total)
