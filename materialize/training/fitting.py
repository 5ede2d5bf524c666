"""The training loop: batches in the loader's order, one step each, and little lost by a kill.

Every arm of a contrast and every backend is fed here and in no other way: a batch from
``loader.epoch(e)``, its images as they are, its labels as rows of soft labels, one
``train_on_batch``. Between the request for a batch and its arrival the model waits; between the
step's call and the numbers it returns the model computes; both are timed. What a process does once
is timed apart, or the first of several trainings would pay for all: the loader warms up before the
first request, and a step that compiles the model is no computing.

What decides the weights is the loader's identity, the settings and the initial weights. It stands
in the checkpoint, and a training that differs in any of it is refused.
"""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from materialize.atomic import make_directory, sweep_temporaries
from materialize.loader.batches import Batch, spread_labels
from materialize.loader.loader import Loader
from materialize.training.checkpoint import (
    CHECKPOINT_FILE,
    Standing,
    Sums,
    check_inputs,
    read_checkpoint,
    restore,
    taken,
    write_checkpoint,
)
from materialize.training.compilation import (
    class_weights,
    compile_model,
    current_rate,
    soft_labels,
)
from materialize.training.directory import BEST_FILE, write_weights
from materialize.training.evaluation import evaluate
from materialize.training.failures import TrainingError
from materialize.training.history import best_epoch, is_over, plateau_rate
from materialize.training.models import weights_digest
from materialize.training.preparation import check_training, inputs_of, make_ready
from materialize.training.result import EpochFigures, TrainingResult
from materialize.training.settings import TrainingSettings

if TYPE_CHECKING:
    import keras

Progress = Callable[[str, int, int], None]
"""Called with ``train``, the images trained on and their total."""
OnEpoch = Callable[[tuple[EpochFigures, ...]], None]
"""Called with all epochs so far."""


def fit(
    model: "keras.Model",
    training: Loader,
    settings: TrainingSettings,
    *,
    validation: Loader | None = None,
    directory: Path | None = None,
    progress: Progress | None = None,
    on_epoch: OnEpoch | None = None,
) -> TrainingResult:
    """Trains a model; called again after a kill, it goes on and ends with the same weights.

    Args:
        model: from the loader's images to (n, k) probabilities; whatever it was compiled with is
            replaced. It ends with the weights of the last or of the best epoch, as
            ``settings.keep`` says. After a kill, make it as it was made before.
        training: epoch e of the training is epoch e of the loader. Where its images have weights of
            their own, the loss counts them so, times the weight of the class.
        settings: how it is trained. Their model, batch size and standardisation have become the
            model and the loader; here they are only compared with a checkpoint's.
        validation: untouched images, evaluated after each epoch; each counts once.
        directory: where the checkpoint and the best weights go; nothing is written without one.
        progress: called as images are trained on.
        on_epoch: called before the first step, and after each epoch once it is saved.

    Raises:
        ConfigError: model, loaders and settings do not go together.
        CheckpointError: the directory's checkpoint is damaged or of another training.
        TrainingError: the loss became NaN or infinite.
    """
    check_training(model, training, validation, settings)
    make_ready(settings)
    steps = settings.steps_per_epoch or len(training)
    compile_model(model, settings, steps)
    run = _run(model, training, validation, settings, steps, directory)
    run.resume()
    run.warm_up()
    if on_epoch is not None:
        on_epoch(tuple(run.standing.history))
    while not is_over(run.standing.history, settings):
        run.train_epoch(progress)
        run.end_epoch()
        if on_epoch is not None:
            on_epoch(tuple(run.standing.history))
    return run.finish()


def _run(  # the parts of a training, put together
    model: "keras.Model",
    training: Loader,
    validation: Loader | None,
    settings: TrainingSettings,
    steps: int,
    directory: Path | None,
) -> "_Run":
    samples, inputs = training.samples, inputs_of(model, training, validation, settings)
    count = len(samples.class_names)
    return _Run(
        model, training, validation, settings, steps, directory,
        targets=soft_labels(count, settings.label_smoothing),
        weights=class_weights(settings, samples.labels, count),
        weight_field=samples.schema.weight,
        inputs=inputs,
        standing=Standing(initial_weights_digest=inputs["initial_weights"]),
    )  # fmt: skip


@dataclass(slots=True)
class _Run:
    """One process' part of a training."""

    model: "keras.Model"
    training: Loader
    validation: Loader | None
    settings: TrainingSettings
    steps: int
    """Batches of an epoch that are trained on."""
    directory: Path | None
    targets: NDArray[np.float32]
    """(k, k) soft label of each class."""
    weights: NDArray[np.float32] | None
    """(k,) what an image of each class counts."""
    weight_field: str | None
    """Which field of a batch says what each image counts besides."""
    inputs: dict[str, Any]
    """What decides the weights."""
    standing: Standing
    best: list[NDArray[Any]] = field(default_factory=list)
    """The best weights so far, where they are kept."""
    compiled: set[int] = field(default_factory=set)
    """The sizes of batches this process has trained on."""
    marked: tuple[float, float] = (0.0, 0.0)
    """Wall clock and processor time up to which `standing` has counted."""
    spent: dict[str, float] = field(default_factory=dict)
    """What the loader had spent by then."""
    saved_at: float = 0.0

    def resume(self) -> None:
        """Goes to where the directory's checkpoint was taken, or to the start."""
        self.marked = time.perf_counter(), time.process_time()
        self.spent = self.training.spent()
        self.saved_at = self.marked[0]
        if self.directory is None:
            return
        make_directory(self.directory)
        sweep_temporaries(self.directory)
        path = self.directory / CHECKPOINT_FILE
        found = read_checkpoint(path)
        if found is not None:
            check_inputs(found.inputs, self.inputs, path)
            restore(self.model, found, path)
            self.standing, self.best = found.standing, found.best

    def warm_up(self) -> None:
        """Lets the loader do what it does once in a process, if there is anything left to train.

        No other figure counts it: loading code is neither waiting nor augmenting.
        """
        if is_over(self.standing.history, self.settings):
            return
        start = time.perf_counter()
        self.training.warm_up(self.standing.epoch)
        self.standing.warmup_s += time.perf_counter() - start
        self.marked = time.perf_counter(), time.process_time()
        self.spent = self.training.spent()

    def train_epoch(self, progress: Progress | None) -> None:
        """Trains the epoch under way, from the batch on that is next."""
        standing, sums = self.standing, self.standing.sums
        if self.settings.schedule == "plateau":
            rate = plateau_rate(standing.history, self.settings)
            self.model.optimizer.learning_rate = rate
        batches = self.training.epoch(standing.epoch, first_batch=standing.batch)
        with closing(batches):  # type: ignore[type-var]  # a generator
            while standing.batch < self.steps:
                asked = time.perf_counter()
                batch = next(batches)
                arrived = time.perf_counter()
                loss, accuracy = self.step(batch)
                sums.add(len(batch), loss, accuracy)
                is_compiled = len(batch) in self.compiled
                sums.add_times(arrived - asked, time.perf_counter() - arrived, is_compiled)
                self.compiled.add(len(batch))
                del batch  # the loader fills its memory again
                standing.batch += 1
                if self.is_time_to_save():
                    self.save()
                if progress is not None:
                    progress("train", *self.num_images())

    def step(self, batch: Batch) -> tuple[float, float]:
        """Trains on one batch; gives its mean loss and its accuracy."""
        weights = None if self.weights is None else spread_labels(self.weights, batch)
        if self.weight_field is not None:
            own = batch.fields[self.weight_field]
            weights = own if weights is None else weights * own
        loss, accuracy = self.model.train_on_batch(
            batch.images, spread_labels(self.targets, batch), weights
        )
        if not math.isfinite(loss):
            raise TrainingError(
                f"epoch {batch.epoch}, batch {batch.index}: expected a loss that is a number, got "
                f"{loss}; lower the learning rate ({self.settings.learning_rate:g}) or set "
                "clip_norm",
                {"epoch": batch.epoch, "batch": batch.index, "found": float(loss)},
            )
        return float(loss), float(accuracy)

    def end_epoch(self) -> None:
        """Evaluates, keeps the weights if they are the best, and saves."""
        standing, sums = self.standing, self.standing.sums
        validation = None if self.validation is None else evaluate(self.model, self.validation)
        self.mark()
        figures = EpochFigures(
            epoch=standing.epoch,
            loss=sums.loss / sums.num_images,
            accuracy=sums.num_correct / sums.num_images,
            val_loss=None if validation is None else validation.loss,
            val_accuracy=None if validation is None else validation.accuracy,
            learning_rate=current_rate(self.model),
            num_images=sums.num_images,
            num_steps=self.steps,
            seconds=sums.seconds,
            wait_s=sums.wait_s,
            compute_s=sums.compute_s,
            compile_s=sums.compile_s,
        )
        standing.history.append(figures)
        if self.settings.keep == "best" and self.best_epoch() == standing.epoch:
            self.best = self.model.get_weights()
            if self.directory is not None:
                write_weights(self.directory / BEST_FILE, self.model)
        standing.epoch, standing.batch, standing.sums = standing.epoch + 1, 0, Sums()
        self.save()

    def finish(self) -> TrainingResult:
        """Gives the model the weights it is to end with, and sums everything up."""
        if self.best:
            self.model.set_weights(self.best)
        history = self.standing.history
        return TrainingResult(
            epochs=tuple(history),
            initial_weights_digest=self.standing.initial_weights_digest,
            weights_digest=weights_digest(self.model),
            best_epoch=self.best_epoch(),
            stopped_early=len(history) < self.settings.epochs,
            num_steps=sum(figures.num_steps for figures in history),
            num_images=sum(figures.num_images for figures in history),
            seconds=math.fsum(figures.seconds for figures in history),
            wait_s=math.fsum(figures.wait_s for figures in history),
            compute_s=math.fsum(figures.compute_s for figures in history),
            compile_s=math.fsum(figures.compile_s for figures in history),
            cpu_s=self.standing.cpu_s,
            read_s=self.standing.read_s,
            augment_s=self.standing.augment_s,
            warmup_s=self.standing.warmup_s,
        )

    def best_epoch(self) -> int:
        """The best epoch so far."""
        return best_epoch(self.standing.history, self.settings.monitor)

    def is_time_to_save(self) -> bool:
        """Whether a checkpoint is due within an epoch."""
        settings, standing = self.settings, self.standing
        steps, seconds = settings.checkpoint_steps, settings.checkpoint_s
        step = standing.epoch * self.steps + standing.batch
        is_late = seconds is not None and time.perf_counter() - self.saved_at >= seconds
        return is_late or (steps is not None and step % steps == 0)

    def save(self) -> None:
        """Writes a checkpoint, if there is a directory for it."""
        self.mark()
        if self.directory is not None:
            checkpoint = taken(self.model, self.standing, self.inputs, self.best)
            write_checkpoint(self.directory / CHECKPOINT_FILE, checkpoint)
        self.saved_at = time.perf_counter()

    def mark(self) -> None:
        """Counts the time since the last mark."""
        wall, cpu = time.perf_counter(), time.process_time()
        self.standing.sums.seconds += wall - self.marked[0]
        self.standing.cpu_s += cpu - self.marked[1]
        self.marked = wall, cpu
        spent = self.training.spent()
        self.standing.read_s += spent["read"] - self.spent["read"]
        self.standing.augment_s += spent["augment"] - self.spent["augment"]
        self.spent = spent

    def num_images(self) -> tuple[int, int]:
        """Images trained on, and those of the whole training."""
        standing = self.standing
        an_epoch = min(self.steps * self.training.batch_size, self.training.num_places)
        return standing.epoch * an_epoch + standing.sums.num_images, self.settings.epochs * an_epoch
