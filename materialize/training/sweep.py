"""How much of a pretrained base to train: one training for each layer to begin at, and repeats.

The head of a repeat is trained once, and every layer's training begins from it. A row is stored as
soon as it is known, so a sweep that is killed loses one training at most; a checkpoint of each
would take gigabytes with a large base.
"""

import contextlib
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from materialize.atomic import make_directory, sweep_temporaries
from materialize.canonical import digest
from materialize.errors import ConfigError
from materialize.loader.loader import Loader
from materialize.training.bases import base_from_text, weights_sha256
from materialize.training.directory import write_json
from materialize.training.evaluation import evaluate
from materialize.training.failures import RunConflictError
from materialize.training.fitting import Progress, fit
from materialize.training.settings import TrainingSettings
from materialize.training.transfer import (
    HEAD,
    Transfer,
    fit_head,
    freeze_below,
    make_transfer_model,
    stages,
)

if TYPE_CHECKING:
    import keras

ROWS_DIRECTORY = "rows"
SWEEP_FILE = "sweep.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRow:
    """One training."""

    train_from: str
    seed: int
    num_trainable: int
    """Parameters that were trained in phase two."""
    train_accuracy: float
    """Of the last epoch, while it was trained on."""
    accuracy: dict[str, float]
    """By part that was not trained on, such as ``val`` and ``test``."""
    loss: dict[str, float]
    """By part."""
    num_epochs: int
    seconds: float
    """Of phase two."""
    weights: str
    """Digest of the weights it ended with."""


@dataclass(frozen=True, slots=True)
class SweepResult:
    """All rows: seeds within layers, layers from the images to the head."""

    base: str
    layers: tuple[str, ...]
    rows: tuple[SweepRow, ...]

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that were scored."""
        return tuple(self.rows[0].accuracy)

    def accuracies(self, layer: str, part: str) -> list[float]:
        """One for each seed."""
        return [row.accuracy[part] for row in self.rows if row.train_from == layer]

    def to_json(self) -> dict[str, Any]:
        """Everything."""
        return asdict(self)


def sweep(
    loaders: Callable[[int], Mapping[str, Loader]],
    settings: TrainingSettings,
    transfer: Transfer,
    *,
    seeds: Sequence[int],
    layers: Sequence[str] | None = None,
    directory: Path,
    progress: Progress | None = None,
) -> SweepResult:
    """Trains from each layer on, once for each seed; called again after a kill, it goes on.

    Args:
        loaders: gives the parts for a seed, by name: ``train``, and untouched ones, of which
            ``val`` is also what phase two may stop by. They are closed here.
        settings: of phase two; their seed is replaced.
        transfer: the base and phase one; its ``train_from`` is replaced.
        seeds: one repeat each: of the head's weights, dropout and the order.
        layers: to begin at; `stages` of the model unless given.
        directory: gets ``rows/`` and ``sweep.json``; created if absent.
        progress: called with ``1/20 fire6, seed 0`` …, the images trained on and their total.

    Raises:
        ConfigError: no part is scored, or no such layer.
        RunConflictError: a row is of another sweep.
        TrainingError: a loss became NaN or infinite.
    """
    make_directory(directory / ROWS_DIRECTORY)
    sweep_temporaries(directory / ROWS_DIRECTORY)
    rows: list[SweepRow] = []
    for number, seed in enumerate(seeds):
        with contextlib.ExitStack() as open_loaders:
            parts = {n: open_loaders.enter_context(part) for n, part in loaders(seed).items()}
            seeded = dataclasses.replace(settings, seed=seed)
            repeat = _Repeat(parts, seeded, transfer, directory, progress)
            names = tuple(layers) if layers else stages(repeat.new_model())
            for place, layer in enumerate(names, start=number * len(names) + 1):
                rows.append(repeat.row(layer, f"{place}/{len(names) * len(seeds)}"))
    ordered = [row for layer in names for row in rows if row.train_from == layer]
    result = SweepResult(transfer.base, names, tuple(ordered))
    write_json(directory / SWEEP_FILE, result.to_json())
    return result


@dataclass(slots=True)
class _Repeat:
    """The trainings of one seed."""

    parts: Mapping[str, Loader]
    settings: TrainingSettings
    transfer: Transfer
    directory: Path
    progress: Progress | None
    head: list[NDArray[Any]] = field(default_factory=list)
    """Every variable as phase one left it; empty until a row needs it."""

    def __post_init__(self) -> None:
        """Checks the parts.

        Raises:
            ConfigError: there is nothing to score.
        """
        if len(self.parts) < 2 or "train" not in self.parts:
            raise ConfigError(
                f"sweep: expected a part train and one to score, got {', '.join(self.parts)}; "
                "build the dataset with --split 0.8/0.1/0.1 --originals",
                {"expected": ("train", "val"), "found": tuple(self.parts)},
            )

    def row(self, layer: str, place: str) -> SweepRow:
        """A layer's figures, from its file or from a training."""
        path = self.directory / ROWS_DIRECTORY / f"seed-{self.settings.seed}-{layer}.json"
        inputs = digest(self.inputs(layer))
        if (stored := _read_row(path, inputs)) is not None:
            return stored
        row = self.train(layer, f"{place} {layer}, seed {self.settings.seed}")
        write_json(path, {"inputs": inputs, "row": asdict(row)})
        return row

    def train(self, layer: str, stage: str) -> SweepRow:
        """One training from a layer on."""
        progress, settings, parts = _named(self.progress, stage), self.settings, self.parts
        model = self.with_head(progress)
        freeze_below(model, layer)
        trained = fit(
            model, parts["train"], settings, validation=parts.get("val"), progress=progress
        )
        scores = {name: evaluate(model, part) for name, part in parts.items() if name != "train"}
        return SweepRow(
            train_from=layer,
            seed=settings.seed,
            num_trainable=sum(int(np.prod(v.shape)) for v in model.trainable_variables),
            train_accuracy=trained.epochs[-1].accuracy,
            accuracy={name: found.accuracy for name, found in scores.items()},
            loss={name: found.loss for name, found in scores.items()},
            num_epochs=len(trained.epochs),
            seconds=trained.seconds,
            weights=trained.weights_digest,
        )

    def with_head(self, progress: Progress | None) -> "keras.Model":
        """A model as phase one leaves it; trained once, then copied with its dropout's state."""
        model = self.new_model()
        if self.head:
            for variable, array in zip(model.variables, self.head, strict=True):
                variable.assign(array)
        elif self.transfer.head_epochs:
            fit_head(
                model, self.parts["train"], self.settings, self.transfer,
                validation=self.parts.get("val"), progress=progress,
            )  # fmt: skip
            self.head = [np.array(variable.numpy()) for variable in model.variables]
        return model

    def new_model(self) -> "keras.Model":
        """Fresh; the graphs of earlier ones are let go of."""
        import keras

        keras.backend.clear_session()
        training = self.parts["train"]
        return make_transfer_model(
            dataclasses.replace(self.transfer, train_from=HEAD), training.image_shape,
            len(training.class_names), seed=self.settings.seed,
            image_dtype=training.image_dtype.name, mixed_precision=self.settings.mixed_precision,
        )  # fmt: skip

    def inputs(self, layer: str) -> dict[str, Any]:
        """JSON-ready: what decides a row, as far as it is known without training."""
        base = base_from_text(self.transfer.base)
        return {
            "settings": self.settings.identity(),
            "transfer": asdict(self.transfer)
            | {"train_from": layer, "base": [base.name, weights_sha256(base)]},
            "parts": {name: part.identity() for name, part in self.parts.items()},
        }


def _read_row(path: Path, inputs: str) -> SweepRow | None:
    """A stored row; None if there is none."""
    try:
        stored = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    if stored.get("inputs") != inputs:
        raise RunConflictError(
            f"{path.parent.parent} holds another sweep: {path.name} was made with other settings, "
            "another base or other images; go on with those, or sweep into another directory",
            {"path": str(path), "expected": inputs, "found": stored.get("inputs")},
        )
    return msgspec.convert(stored["row"], SweepRow)


def _named(progress: Progress | None, name: str) -> Progress | None:
    """Progress of one training, under its own name."""
    if progress is None:
        return None
    return lambda _stage, done, total: progress(name, done, total)
