"""One model for each fold, and the mean of what they say.

Each fold is a training of its own, the one that `train_dataset` makes for that fold, in a directory
of its own: what is finished is read from its checkpoint, and what was killed goes on. Folds differ
in their images alone; weights, dropout and order begin alike.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from materialize.errors import ConfigError
from materialize.loader.opening import LoaderOptions
from materialize.population.identity import byte_order
from materialize.recipe import whole_number
from materialize.training.directory import write_evaluation, write_json
from materialize.training.evaluation import Evaluation, Predictions, score
from materialize.training.fitting import Progress
from materialize.training.result import TrainingResult
from materialize.training.selection import EVERYTHING, Selection
from materialize.training.settings import TrainingSettings
from materialize.training.trainer import train_dataset
from materialize.training.transfer import Transfer

if TYPE_CHECKING:
    import keras

ENSEMBLE_FILE = "ensemble.json"


@dataclass(frozen=True, slots=True)
class FoldReport:
    """One fold's training."""

    fold: int
    directory: Path
    """With everything a training leaves."""
    result: TrainingResult
    held_out: Evaluation
    """On the untouched images of the fold that were held out."""
    test: Evaluation | None
    """On the test part, if there is one."""


@dataclass(frozen=True, slots=True)
class EnsembleReport:
    """All folds, and what they say together."""

    directory: Path
    folds: tuple[FoldReport, ...]
    held_out: Evaluation
    """Every training image, judged by the one model that was not trained on it."""
    test: Evaluation | None
    """The test part, judged by the mean of all models' probabilities; None without such a part."""

    def to_json(self) -> dict[str, Any]:
        """The figures of each fold and of all together, without single epochs and predictions."""
        return {
            "num_folds": len(self.folds),
            "folds": [_fold_facts(fold) for fold in self.folds],
            "held_out": self.held_out.to_json(),
            "test": None if self.test is None else self.test.to_json(),
        }


def train_folds(  # noqa: PLR0913  # one keyword for each thing that people choose
    dataset: str | Path,
    output: str | Path,
    settings: TrainingSettings,
    *,
    folds: int,
    selection: Selection = EVERYTHING,
    options: LoaderOptions = LoaderOptions(),
    make: Callable[[], "keras.Model"] | None = None,
    transfer: Transfer | None = None,
    flags: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> EnsembleReport:
    """Trains a model for each fold; called again after a kill, it goes on.

    Args:
        dataset: the directory that `materialize.build` wrote, with ``originals=True``.
        output: gets ``fold-0`` … and the figures of all; created if absent.
        settings: of every fold. ``val_…`` figures are those of the images held out.
        folds: how many, at least 2; stratified, with groups and equal images undivided.
        selection: on which copies; its folds are this function's to choose.
        options: of the training parts' loaders.
        make: gives a fresh model, equal at each call; that of the settings unless given.
        transfer: a pretrained base under a new head, for each fold; see `train_dataset`.
        flags: variables of the environment to record; see `record.FLAGS`.
        progress: called with ``fold 1/5`` …, the images trained on and their total.

    Raises:
        ConfigError: the selection names a fold, or settings, dataset and model do not go together.
        SourceError: a class or group is too large for so many folds.
        CheckpointError: the output holds other trainings, or a damaged checkpoint.
        TrainingError: a loss became NaN or infinite.
        ShardError: an image cannot be read.
    """
    import keras

    if selection.fold is not None:
        raise ConfigError(
            f"fold: expected none where all folds are trained, got {selection.fold}; leave it out",
            {"name": "fold", "expected": None, "found": selection.fold},
        )
    directory, reports = Path(output), []
    for fold in range(whole_number("folds", folds, 2, 127)):
        # Otherwise every fold's graph stays in memory until the last one is done.
        keras.backend.clear_session()
        trained = train_dataset(
            dataset, directory / f"fold-{fold}", settings, options=options, flags=flags,
            selection=dataclasses.replace(selection, fold=fold, folds=folds),
            model=None if make is None else make(), transfer=transfer,
            progress=_named(progress, f"fold {fold + 1}/{folds}"),
        )  # fmt: skip
        said = trained.evaluations
        reports.append(
            FoldReport(fold, trained.directory, trained.result, said["val"], said.get("test"))
        )
    report = _together(directory, tuple(reports))
    write_json(directory / ENSEMBLE_FILE, report.to_json())
    write_evaluation(directory, "held-out", report.held_out)
    if report.test is not None:
        write_evaluation(directory, "test", report.test)
    return report


def mean_predictions(answers: Sequence[Predictions]) -> Predictions:
    """What some models say together: the mean of their probabilities, image by image.

    Args:
        answers: of the same images in the same order, at least one.

    Raises:
        ConfigError: they are of different images.
    """
    first = answers[0]
    for number, other in enumerate(answers):
        if not np.array_equal(other.ids, first.ids):
            raise ConfigError(
                f"ensemble: expected answers about the same {len(first)} images, got {len(other)} "
                f"others from model {number}; evaluate all models on one part",
                {"expected": len(first), "found": len(other)},
            )
    stacked = np.stack([answer.probabilities for answer in answers])
    mean = stacked.mean(axis=0, dtype=np.float64).astype(np.float32)
    return Predictions(first.ids, first.labels, mean)


def _together(directory: Path, folds: tuple[FoldReport, ...]) -> EnsembleReport:
    names = tuple(figures.name for figures in folds[0].held_out.classes)
    tests = [fold.test.predictions for fold in folds if fold.test is not None]
    return EnsembleReport(
        directory,
        folds,
        held_out=score(_joined([fold.held_out.predictions for fold in folds]), names),
        test=score(mean_predictions(tests), names) if tests else None,
    )


def _joined(parts: Sequence[Predictions]) -> Predictions:
    """Predictions of disjoint parts, by sample id."""
    ids = np.concatenate([part.ids for part in parts])
    order = byte_order(ids)
    labels = np.concatenate([part.labels for part in parts])
    probabilities = np.concatenate([part.probabilities for part in parts])
    return Predictions(ids[order], labels[order], probabilities[order])


def _fold_facts(report: FoldReport) -> dict[str, Any]:
    """A fold's figures."""
    result = report.result
    return {
        "fold": report.fold,
        "directory": report.directory.name,
        "num_epochs": len(result.epochs),
        "best_epoch": result.best_epoch,
        "weights": result.weights_digest,
        "seconds": result.seconds,
        "held_out": report.held_out.to_json(),
        "test": None if report.test is None else report.test.to_json(),
    }


def _named(progress: Progress | None, name: str) -> Progress | None:
    """Progress of one fold, under its own name."""
    if progress is None:
        return None
    return lambda _stage, done, total: progress(name, done, total)
