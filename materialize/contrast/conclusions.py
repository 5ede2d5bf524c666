"""What the runs of a contrast show: arms, verdicts, the proof, the ablation. Nothing is trained."""

import datetime
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from materialize.contrast.arms import Arm
from materialize.contrast.equivalence import prove_equal
from materialize.contrast.jobs import ContrastJob
from materialize.contrast.measurement import Bench
from materialize.contrast.results import (
    REFERENCE,
    AblationRow,
    ArmSummary,
    ContrastResult,
    EnsembleResult,
    KVerdict,
    PublishedFigure,
    RunResult,
)
from materialize.contrast.statistics import (
    differences,
    effect,
    judge,
    smallest_sufficient,
)
from materialize.environment import current_environment
from materialize.intervals import Estimate, estimate
from materialize.training.backend import describe_backend

_INTERVALS = (
    "Intervals are over training seeds (initial weights, dropout, order), given the augmented "
    "images and the test set; other draws or other test images may move all arms."
)
_EARLY = (
    "Early stopping: the runs made different numbers of steps, so equal work is not part of this "
    "contrast."
)
_QUICK = "This is the quick form: fewer images, epochs or seeds than the tutorial had."


def conclude(
    bench: Bench,
    arms: Sequence[Arm],
    runs: Sequence[RunResult],
    ensembles: Sequence[EnsembleResult] = (),
    *,
    command: str = "",
) -> ContrastResult:
    """The result of a contrast.

    Args:
        bench: the job and the dataset.
        arms: in the order of the report.
        runs: all of them, of all arms and seeds.
        ensembles: of all arms and seeds, where there are folds.
        command: what makes the result again.
    """
    job = bench.job
    scores = scores_by_arm(runs, ensembles)
    reported = [arm for arm in arms if arm.variant is None]
    summaries = [_summary(arm, bench, runs, scores) for arm in reported]
    verdicts, smallest = smallest_sufficient(list(_verdicts(job, reported, runs, scores)))
    return ContrastResult(
        title=job.title, experiment=job.experiment, form=job.form, variant=job.variant,
        command=command,
        job=job.to_json(), dataset=bench.foundation.describe(job), environment=_environment(),
        runs=tuple(runs), ensembles=tuple(ensembles), arms=tuple(summaries),
        verdicts=verdicts, smallest_sufficient=smallest, margin=job.margin,
        proof=prove_equal(runs, job.training.epochs),
        ablation=tuple(_ablation(arms, scores)),
        published=tuple(_published(job, summaries)), notes=_notes(job, runs),
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def scores_by_arm(
    runs: Iterable[RunResult], ensembles: Iterable[EnsembleResult] = ()
) -> dict[str, dict[int, float]]:
    """The test accuracy of each seed, by name of the arm; with folds, of the averaged models."""
    scores: dict[str, dict[int, float]] = {}
    for run in runs:
        scores.setdefault(run.name, {})[run.seed] = run.test_accuracy
    for ensemble in ensembles:
        scores[ensemble.name][ensemble.seed] = ensemble.test_accuracy
    return scores


def _summary(
    arm: Arm, bench: Bench, runs: Sequence[RunResult], scores: Mapping[str, Mapping[int, float]]
) -> ArmSummary:
    mine = [run for run in runs if run.name == arm.name]
    accuracy = estimate(list(scores[arm.name].values()), within=(0.0, 1.0))
    paired = _paired(scores, arm.name, REFERENCE)
    validation = [run.val_accuracy for run in mine if run.val_accuracy is not None]
    train = _mean(run.train_accuracy for run in mine)
    against = _mean(validation) if validation else accuracy.mean
    figures = (
        "wall_s", "cpu_s", "augment_s", "read_s", "wait_s", "compute_s", "images_per_s",
        "stall_fraction", "warmup_s", "compile_s",
    )  # fmt: skip
    return ArmSummary(
        name=arm.name, arm=arm.kind, copies=arm.copies, num_seeds=len(scores[arm.name]),
        accuracy=accuracy.mean, accuracy_low=accuracy.low, accuracy_high=accuracy.high,
        difference=None if paired is None else paired.mean,
        difference_low=None if paired is None else paired.low,
        difference_high=None if paired is None else paired.high,
        train_accuracy=train, val_accuracy=_mean(validation) if validation else None,
        gap=train - against, gap_to="validation" if validation else "test",
        extra_scores={
            name: _mean(run.extra_scores[name] for run in mine) for name in mine[0].extra_scores
        },
        stored_bytes=bench.foundation.stored_bytes(arm.kind, arm.copies),
        build_s=bench.foundation.build_seconds(arm.kind, arm.copies),
        num_shards=bench.foundation.num_shards(arm.kind, arm.copies),
        generation_s=bench.foundation.generation_seconds(arm.kind, arm.copies),
        **{name: _mean(getattr(run, name) for run in mine) for name in figures},
    )  # fmt: skip


def _verdicts(
    job: ContrastJob,
    arms: Sequence[Arm],
    runs: Sequence[RunResult],
    scores: Mapping[str, Mapping[int, float]],
) -> Iterator[KVerdict]:
    """One for each K, if there is an on-the-fly arm to compare it with."""
    reference = weights_by_place(runs, REFERENCE)
    for arm in arms:
        if arm.copies is None or not reference:
            continue
        paired = differences(scores[arm.name], scores[REFERENCE])
        identical = weights_by_place(runs, arm.name) == reference
        yield judge(arm.copies, paired, job.margin, are_identical=identical)


def weights_by_place(runs: Iterable[RunResult], name: str) -> dict[tuple[int, int | None], str]:
    """Digest of the final weights of an arm, by seed and fold."""
    return {(run.seed, run.fold): run.weights for run in runs if run.name == name}


def _ablation(
    arms: Sequence[Arm], scores: Mapping[str, Mapping[int, float]]
) -> Iterator[AblationRow]:
    for arm in arms:
        variant = arm.variant
        if variant is None:
            continue
        reference = REFERENCE if variant.kind == "without" else "none"
        accuracy = estimate(list(scores[arm.name].values()), within=(0.0, 1.0))
        paired = _paired(scores, arm.name, reference)
        yield AblationRow(
            label=variant.label, transform=variant.transform, kind=variant.kind,
            num_seeds=len(scores[arm.name]), accuracy=accuracy.mean,
            accuracy_low=accuracy.low, accuracy_high=accuracy.high, reference=reference,
            difference=None if paired is None else paired.mean,
            difference_low=None if paired is None else paired.low,
            difference_high=None if paired is None else paired.high,
            verdict="no clear effect" if paired is None else effect(variant.kind, paired),
        )  # fmt: skip


def _paired(
    scores: Mapping[str, Mapping[int, float]], name: str, reference: str
) -> Estimate | None:
    """An arm minus another, seed by seed; None for itself, or if the other was not run."""
    if name == reference or reference not in scores:
        return None
    return estimate(differences(scores[name], scores[reference]), within=(-1.0, 1.0))


def _published(job: ContrastJob, summaries: Sequence[ArmSummary]) -> Iterator[PublishedFigure]:
    by_name = {summary.name: summary for summary in summaries}
    for figure in job.published:
        summary = by_name.get(figure.arm or "")
        ours = None if summary is None else _figure(summary, figure.measure)
        yield PublishedFigure(
            measure=figure.measure, setting=figure.setting, value=figure.value, arm=figure.arm,
            ours=ours,
        )  # fmt: skip


def _figure(summary: ArmSummary, measure: str) -> float | None:
    """Our figure under the name a tutorial's has."""
    plain = {
        "test accuracy": summary.accuracy,
        "train accuracy": summary.train_accuracy,
        "validation accuracy": summary.val_accuracy,
    }
    return plain.get(measure, summary.extra_scores.get(measure))


def _notes(job: ContrastJob, runs: Sequence[RunResult]) -> tuple[str, ...]:
    notes = [_INTERVALS, *(_capital(caveat) for caveat in job.caveats), *job.notes]
    if job.form == "quick":
        notes.append(_QUICK)
    if len({run.num_steps for run in runs}) > 1:
        notes.append(_EARLY)
    return tuple(notes)


def _capital(caveat: str) -> str:
    return f"{caveat[:1].upper()}{caveat[1:]}."


def _environment() -> dict[str, Any]:
    """JSON-ready: the software and the processors of this process."""
    here, backend = asdict(current_environment()), describe_backend()
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        **here, **backend, "packages": here["packages"] | backend["packages"],
        "num_cpus": cpus, "device": ", ".join(backend["devices"]),
    }  # fmt: skip


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))
