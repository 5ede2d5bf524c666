"""One run of a contrast: an arm with a seed, from initial weights to test figures."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from materialize.atomic import make_directory
from materialize.contrast.arms import Arm, evaluation_loader, training_loader
from materialize.contrast.foundation import Foundation
from materialize.contrast.jobs import ContrastJob
from materialize.contrast.modelling import new_model
from materialize.contrast.records import RunFiles
from materialize.contrast.results import RunResult
from materialize.contrast.scoring import extra_scores, overall
from materialize.loader.loader import Loader
from materialize.loader.samples import Samples
from materialize.planning import population_identity
from materialize.progress import Progress
from materialize.training.backend import describe_backend
from materialize.training.evaluation import Evaluation, evaluate
from materialize.training.fitting import fit
from materialize.training.result import TrainingResult

if TYPE_CHECKING:
    import keras


WORTH_SAVING = 10**8
"""Values of all images of all epochs up to which a run that is killed is made again from its start:
that takes seconds, and saving each of many small epochs would take longer."""


@dataclass(frozen=True, slots=True, eq=False)
class Bench:
    """Where runs are made: one job, one dataset, one directory."""

    job: ContrastJob
    foundation: Foundation
    work: Path

    def parts(self, fold: int | None) -> tuple[Samples, Samples | None]:
        """What is trained on, and what is validated on, if anything is."""
        foundation = self.foundation
        if fold is not None:
            return foundation.fold(fold, self.job)
        train = foundation.opened.samples()
        has_validation = foundation.counts["val"] > 0
        return train, foundation.opened.samples("val") if has_validation else None

    def num_values(self, samples: Samples) -> int:
        """Values that a training on some samples sees, over all epochs."""
        height, width, channels = self.foundation.image_shape
        return self.job.training.epochs * samples.num_shown * height * width * channels

    def files(self, arm: Arm, seed: int, fold: int | None) -> RunFiles:
        """Where a run is kept, by everything that decides its weights."""
        job, foundation = self.job, self.foundation
        train, validation = self.parts(fold)
        facts = {
            "version": 2,
            "arm": arm.identity(foundation),
            "augmentation_seed": job.augmentation_seed,
            "settings": replace(job.training, seed=seed).identity(),
            "base": [job.base, job.train_from],
            "train": train.digest,
            "validation": None if validation is None else validation.digest,
            "test": foundation.opened.samples("test").digest,
            # Contents, labels, classes, sizes and colour of all parts, whatever their ids are.
            "images": population_identity(foundation.population),
            "image_shape": list(foundation.image_shape),
            "resize": repr(foundation.pipeline.resize),
            "value_range": foundation.opened.standing.manifest.value_range,
            "accepted": {place: asdict(kind) for place, kind in foundation.accepted.items()},
            "software": describe_backend(),
        }
        return RunFiles.of(self.work, facts)


def finished_run(
    bench: Bench, arm: Arm, seed: int, fold: int | None = None, progress: Progress | None = None
) -> RunResult:
    """A run: read where it was made before, else trained, tested and stored.

    Args:
        bench: what all runs share.
        arm: where the training batches come from.
        seed: initial weights, dropout, order.
        fold: which fold is held out, where the job has folds.
        progress: called as images are trained on.

    Raises:
        ConfigError: model, data and settings do not go together.
        TrainingError: the loss became NaN or infinite.
    """
    files = bench.files(arm, seed, fold)
    stored, kept = files.read(arm.name), _arrays_kept(bench.job, arm)
    # A run that was made when nobody asked for its weights is made again.
    if stored is not None and all(files.read_arrays(kind) is not None for kind in kept):
        return stored
    settings = replace(bench.job.training, seed=seed)
    train, validation = bench.parts(fold)
    scratch = None
    if bench.num_values(train) > WORTH_SAVING:
        scratch = files.scratch
        make_directory(scratch)
    size = settings.batch_size
    held_out = None
    if validation is not None:
        held_out = evaluation_loader(bench.foundation, validation, size)
    with training_loader(arm, bench.foundation, bench.job, seed, train) as loader:
        model = _fresh_model(bench, arm, seed, fold, loader)
        result = fit(
            model, loader, settings, validation=held_out, directory=scratch,
            progress=progress,
        )  # fmt: skip
    test = evaluation_loader(bench.foundation, bench.foundation.opened.samples("test"), size)
    evaluation = evaluate(model, test)
    for kind in kept:
        is_weights = kind == "weights"
        answers = evaluation.predictions.probabilities
        files.write_arrays(kind, model.get_weights() if is_weights else [answers])
    run = _run_result(bench, arm, settings.seed, fold, result, evaluation)
    files.write(run)
    return run


def _arrays_kept(job: ContrastJob, arm: Arm) -> list[str]:
    """What later steps need of a run besides its figures."""
    kept = ["probabilities"] if job.folds is not None else []  # the folds' models are averaged
    return [*kept, "weights"] if job.warm and arm.kind == "none" else kept


def _fresh_model(
    bench: Bench, arm: Arm, seed: int, fold: int | None, loader: Loader
) -> "keras.Model":
    """A model with the seed's initial weights, or with those the arm ``none`` ended with."""
    import keras

    weights = None
    if arm.is_warm:
        plain = Arm(kind="none")
        finished_run(bench, plain, seed, fold)
        weights = bench.files(plain, seed, fold).read_arrays("weights")
    keras.utils.clear_session()  # what earlier runs left behind grows with every model
    model = new_model(bench.job, bench.foundation, loader, seed)
    if weights is not None:
        model.set_weights(weights)
    return model


def _run_result(  # everything a run left behind
    bench: Bench,
    arm: Arm,
    seed: int,
    fold: int | None,
    result: TrainingResult,
    evaluation: Evaluation,
) -> RunResult:
    # The epoch whose weights the model ended with.
    last = result.epochs[result.best_epoch if bench.job.training.keep == "best" else -1]
    foundation = bench.foundation
    names = foundation.opened.standing.manifest.class_names
    scores = extra_scores(evaluation.predictions, foundation.population, names, foundation.accepted)
    accepted = overall(scores, foundation.accepted)
    return RunResult(
        name=arm.name, arm=arm.kind, copies=arm.copies, seed=seed, fold=fold,
        epochs=result.epochs,
        test_accuracy=evaluation.accuracy if accepted is None else accepted,
        test_loss=evaluation.loss,
        train_accuracy=last.accuracy, val_accuracy=last.val_accuracy,
        initial_weights=result.initial_weights_digest, weights=result.weights_digest,
        num_steps=result.num_steps, wall_s=result.seconds, cpu_s=result.cpu_s,
        augment_s=result.augment_s, read_s=result.read_s, wait_s=result.wait_s,
        compute_s=result.compute_s, compile_s=result.compile_s, warmup_s=result.warmup_s,
        images_per_s=result.images_per_s, stall_fraction=result.stall_fraction,
        stopped_early=result.stopped_early,
        extra_scores=scores,
        confusion=tuple(tuple(row) for row in evaluation.confusion.tolist()),
    )  # fmt: skip
