"""From a dataset on disk to a trained model and its record: `materialize.train`."""

import contextlib
import dataclasses
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from materialize.atomic import make_directory, write_file
from materialize.errors import ConfigError
from materialize.libraries import load_library
from materialize.loader.loader import Loader
from materialize.loader.opening import LoaderOptions, OpenDataset
from materialize.loader.order import ORIGINAL
from materialize.loader.samples import Samples
from materialize.loader.stream import StreamingLoader
from materialize.training.curves import draw_curves
from materialize.training.directory import (
    CURVES_FILE,
    MODEL_FILE,
    WEIGHTS_FILE,
    write_evaluation,
    write_history,
    write_weights,
)
from materialize.training.evaluation import Evaluation, check_labels, evaluate
from materialize.training.first_layers import first_layers
from materialize.training.fitting import Progress, fit
from materialize.training.models import make_model
from materialize.training.preparation import inputs_of
from materialize.training.record import RunRecord, describe_model
from materialize.training.result import EpochFigures, TrainingResult
from materialize.training.selection import EVERYTHING, Selection
from materialize.training.settings import TrainingSettings
from materialize.training.transfer import Transfer, fit_head, freeze_below, make_transfer_model

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """A finished training of a dataset."""

    directory: Path
    """With everything in it; see `materialize.training.directory`."""
    model: "keras.Model"
    """With the weights the settings keep."""
    result: TrainingResult
    evaluations: Mapping[str, Evaluation]
    """By part: ``val`` and ``test``, as far as there are such images."""

    def to_json(self) -> dict[str, Any]:
        """Everything but the weights and the single predictions."""
        evaluations = {name: e.to_json() for name, e in self.evaluations.items()}
        return {
            "directory": str(self.directory),
            "result": self.result.to_json(),
            "evaluations": evaluations,
        }


def train_dataset(  # noqa: PLR0913  # one keyword for each thing that people choose
    dataset: str | Path,
    output: str | Path,
    settings: TrainingSettings,
    *,
    selection: Selection = EVERYTHING,
    options: LoaderOptions = LoaderOptions(),
    model: "keras.Model | None" = None,
    transfer: Transfer | None = None,
    flags: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> TrainingReport:
    """Trains a model on a dataset; called again after a kill, it goes on.

    Args:
        dataset: the directory that `materialize.build` wrote. Validation and test images are
            untouched ones, which are stored with ``originals=True``; without, a warning says that
            nothing is scored on them.
        output: the run's directory; created if absent.
        settings: how it is trained.
        selection: on which images.
        options: of the training part's loader.
        model: any model from the dataset's images to probabilities, which standardises them itself
            and is made the same way each time; that of the settings unless given.
        transfer: a pretrained base under a new head instead of the settings' model: its head is
            trained first, into ``head``, and then everything from its layer on.
        flags: variables of the environment to record; see `record.FLAGS`.
        progress: called as images are trained on.

    Returns:
        The figures, and the model with the weights the settings keep.

    Raises:
        ConfigError: settings, dataset and model do not go together, or Keras is missing.
        CheckpointError: the output holds another training, or a damaged checkpoint.
        TrainingError: the loss became NaN or infinite.
        ShardError: an image cannot be read.
    """
    load_library("keras", "training")
    directory = Path(output)
    parts = _Parts(OpenDataset.open(dataset, options, pinned=selection.pinned), settings, options)
    with contextlib.ExitStack() as open_loaders:
        samples = parts.samples(selection)
        training = open_loaders.enter_context(parts.training(samples.pop("train"), selection))
        held_out = parts.held_out(samples)
        for loader in held_out.values():
            open_loaders.enter_context(loader)
        validation = held_out.get("val")
        check_labels(training)
        if model is None:
            model = parts.model(training, transfer)
        if transfer is not None:
            if transfer.head_epochs:
                fit_head(
                    model, training, settings, transfer, validation=validation,
                    directory=directory, progress=progress,
                )  # fmt: skip
            freeze_below(model, transfer.train_from)
        facts = {
            "dataset": str(dataset),
            "model": describe_model(model),
            "transfer": None if transfer is None else dataclasses.asdict(transfer),
            "inputs": inputs_of(model, training, validation, settings)
            | {"test": held_out["test"].identity() if "test" in held_out else None},
        }
        record = RunRecord(directory, facts, flags)

        def on_epoch(epochs: tuple[EpochFigures, ...]) -> None:
            record.begin()
            write_history(directory, epochs)

        result = fit(
            model, training, settings, validation=validation, directory=directory,
            progress=progress, on_epoch=on_epoch,
        )  # fmt: skip
        evaluations = {name: evaluate(model, part) for name, part in held_out.items()}
    _store(directory, model, result, evaluations)
    record.end(result, evaluations)
    return TrainingReport(directory, model, result, evaluations)


@dataclass(frozen=True, slots=True)
class _Parts:
    """The loaders of a training, over one manifest."""

    opened: OpenDataset
    settings: TrainingSettings
    options: LoaderOptions

    def training(self, samples: Samples, selection: Selection) -> Loader:
        """What is trained on."""
        copies = (ORIGINAL,) if selection.originals else selection.copies
        return self._loader(
            samples, self.options, copies=copies, seed=self.settings.seed,
            per_epoch=selection.per_epoch,
        )  # fmt: skip

    def untouched(self, samples: Samples) -> Loader:
        """Untouched images in the order of the samples: all of them, on every rank."""
        in_order = dataclasses.replace(
            self.options, shuffle="none", drop_remainder=False, rank=0, world_size=1
        )
        return self._loader(samples.each_once(), in_order, copies=(ORIGINAL,))

    def held_out(self, samples: Mapping[str, Samples]) -> dict[str, Loader]:
        """The parts that are scored; those that are not stored are left out, with a warning.

        Raises:
            ConfigError: a part is not stored that something is decided by.
        """
        loaders, absent = {}, []
        for name, part in samples.items():
            try:
                loaders[name] = self.untouched(part)
            except ConfigError as error:
                is_fold, decides = part.split == "train", self.settings.needs_validation
                if error.facts.get("expected") != "originals" or is_fold or decides:
                    raise
                absent.append(name)
        if absent:
            warnings.warn(
                f"{self.opened.standing.directory} has no stored images of {' and '.join(absent)}, "
                "so nothing is scored on them: originals were not asked for when it was built; "
                "build it with --originals for figures on images that were not trained on",
                UserWarning, stacklevel=3,
            )  # fmt: skip
        return loaders

    def samples(self, selection: Selection) -> dict[str, Samples]:
        """``train``, and ``val`` and ``test`` as far as there are such images."""
        populations = self.opened.standing.populations
        samples = {
            split: self.opened.samples(split)
            for split in ("train", "val", "test")
            if split == "train" or any(p.split_rows(split) for p in populations)
        }
        if selection.fold is not None and selection.folds is not None:
            trained, held_out = self.opened.fold(selection.fold, folds=selection.folds)
            samples |= {"train": trained, "val": held_out}
        return samples

    def _loader(self, samples: Samples, options: LoaderOptions, **chosen: Any) -> Loader:
        standing = self.opened.standing
        return StreamingLoader(
            standing.directory, batch_size=self.settings.batch_size, split=samples.split,
            samples=samples, pinned=standing.manifest.digest(), options=options, **chosen,
        )  # fmt: skip

    def model(self, training: Loader, transfer: Transfer | None) -> "keras.Model":
        """The settings' model for these images, or a base under a new head."""
        settings, value_range = self.settings, self.opened.standing.manifest.value_range
        if transfer is not None:
            return make_transfer_model(
                transfer, training.image_shape, len(training.samples.class_names),
                seed=settings.seed, image_dtype=training.image_dtype.name,
                white=None if value_range is None else value_range[1],
                mixed_precision=settings.mixed_precision,
            )  # fmt: skip
        layers = first_layers(settings.standardize, training, self.opened)
        return make_model(
            settings.model, training.image_shape, len(training.samples.class_names),
            seed=settings.seed, first_layers=layers, image_dtype=training.image_dtype.name,
            mixed_precision=settings.mixed_precision,
        )  # fmt: skip


def _store(
    directory: Path,
    model: "keras.Model",
    result: TrainingResult,
    evaluations: Mapping[str, Evaluation],
) -> None:
    make_directory(directory)
    write_weights(directory / WEIGHTS_FILE, model)
    write_weights(directory / MODEL_FILE, model)
    title = (
        f"{model.name}: {result.images_per_s:,.0f} images/s, {result.stall_fraction:.1%} waiting"
    )
    write_file(directory / CURVES_FILE, draw_curves(result.epochs, result.best_epoch, title=title))
    for name, evaluation in evaluations.items():
        write_evaluation(directory, name, evaluation)
