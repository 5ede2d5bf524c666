"""Transfer learning: a pretrained base under a new head, trained in two phases.

Phase one trains the head alone, because the gradients of a random head would undo what the base has
learnt; phase two trains everything from a named layer on, with the settings' own, lower learning
rate. Both go through `fit`, so a kill costs as little here as anywhere.
"""

import dataclasses
import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from materialize.errors import ConfigError
from materialize.loader.loader import Loader
from materialize.training.backend import seed_generators
from materialize.training.bases import base_from_text, make_base
from materialize.training.fitting import Progress, fit
from materialize.training.models import dtype_policy
from materialize.training.result import TrainingResult
from materialize.training.settings import TrainingSettings

if TYPE_CHECKING:
    import keras

HEAD = "probabilities"
"""The name of the last layer; training from it on trains the head alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What a model begins with, and which of it is trained when."""

    base: str
    """In the words of `base_from_text`."""
    train_from: str = HEAD
    """Phase two trains this layer and all after it: a layer's name, or what it begins with up to
    an underscore, such as ``fire6`` or ``block5``."""
    head_epochs: int = 5
    """Of phase one; 0 leaves it out."""
    head_learning_rate: float = 1e-3
    """Of phase one; phase two has the settings'."""
    dropout: float = 0.5
    """In [0, 1), before the head."""

    def __post_init__(self) -> None:
        """Checks the options; `train_from` is looked up in the model.

        Raises:
            ConfigError: one is outside its interval, or there is no such base.
        """
        base_from_text(self.base)
        for name, interval, is_inside in (
            ("head_epochs", "of at least 0", self.head_epochs >= 0),
            ("head_learning_rate", "above 0", self.head_learning_rate > 0),
            ("dropout", "in [0, 1)", 0 <= self.dropout < 1),
        ):
            if not is_inside:
                found = getattr(self, name)
                raise ConfigError(
                    f"{name}: expected a number {interval}, got {found!r}",
                    {"name": name, "expected": interval, "found": found},
                )

    def head_settings(self, settings: TrainingSettings) -> TrainingSettings:
        """Phase one's: phase two's, for other epochs and at another, constant rate."""
        return dataclasses.replace(
            settings, epochs=self.head_epochs, learning_rate=self.head_learning_rate,
            schedule="constant", warmup_steps=0, patience=None, keep="last",
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class TransferResult:
    """What the phases gave."""

    head: TrainingResult | None
    """None where phase one was left out."""
    tuning: TrainingResult


def make_transfer_model(
    transfer: Transfer,
    image_shape: tuple[int, int, int],
    num_classes: int,
    *,
    seed: int = 0,
    image_dtype: str = "uint8",
    white: float | None = None,
    mixed_precision: bool = False,
) -> "keras.Model":
    """A base under a fresh head, not compiled, with nothing below ``train_from`` to be trained.

    The head is the mean over the feature map, dropout, and one dense layer. The base standardises
    levels itself, as it was trained; the settings' ``standardize`` plays no part.

    Args:
        transfer: base and head.
        image_shape: (H, W, C) with 1 or 3 channels.
        num_classes: at least 2.
        seed: in [0, 2**32), of the head, and of the base if that has fresh weights.
        image_dtype: of the batches, ``uint8`` or ``float32``.
        white: the level that means white; 255 for uint8 and 1 for floats unless given.
        mixed_precision: compute in float16, keep weights in float32.

    Returns:
        A model from (n, H, W, C) to (n, num_classes) float32 probabilities.

    Raises:
        ConfigError: base, weights, images or ``train_from`` do not go together.
    """
    import keras

    seed_generators(seed)
    with dtype_policy("mixed_float16" if mixed_precision else "float32"):
        base = make_base(
            base_from_text(transfer.base), image_shape, image_dtype=image_dtype, white=white
        )
        features = keras.layers.GlobalAveragePooling2D(name="mean")(base.output)
        features = keras.layers.Dropout(transfer.dropout, seed=seed, name="dropout")(features)
        outputs = keras.layers.Dense(num_classes, activation="softmax", dtype="float32", name=HEAD)(
            features
        )
    model = keras.Model(base.input, outputs, name=f"{base.name}_transfer")
    freeze_below(model, transfer.train_from)
    return model


def freeze_below(model: "keras.Model", layer_name: str) -> None:
    """Trains a layer and all after it, and nothing before it.

    Layers count in the model's order, which is that of the computation. A frozen batch
    normalisation uses its stored statistics and does not change them.

    Args:
        model: changed; compile it afterwards, as `fit` does.
        layer_name: a layer's name, or what it begins with up to an underscore: ``fire6`` is
            ``fire6_squeeze1x1``, its first.

    Raises:
        ConfigError: there is no such layer, or none with weights from it on.
    """
    names = [layer.name for layer in model.layers]
    found = [n for n, name in enumerate(names) if name == layer_name]
    found += [n for n, name in enumerate(names) if name.startswith(f"{layer_name}_")]
    if not found or not any(layer.weights for layer in model.layers[found[0] :]):
        there = stages(model)
        close = difflib.get_close_matches(layer_name, [*there, *names], n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"such as {', '.join(there[:12])}"
        raise ConfigError(
            f"train_from: expected a layer of {model.name} that has weights or comes before such, "
            f"got {layer_name!r}; {hint}",
            {"name": "train_from", "expected": there, "found": layer_name},
        )
    for number, layer in enumerate(model.layers):
        layer.trainable = number >= found[0]


def stages(model: "keras.Model") -> tuple[str, ...]:
    """Where training can begin, from the images to the head.

    Neighbours whose names begin alike up to an underscore are one stage: ``fire6``, ``block5``.
    Where that does not divide a model into runs, every layer with weights is one.

    Args:
        model: not modified.
    """
    layers = [layer.name for layer in model.layers if layer.weights]
    begins = [name.partition("_")[0] for name in layers]
    runs = [name for n, name in enumerate(begins) if n == 0 or begins[n - 1] != name]
    return tuple(runs if len(set(runs)) == len(runs) else layers)


def fine_tune(
    model: "keras.Model",
    training: Loader,
    settings: TrainingSettings,
    transfer: Transfer,
    *,
    validation: Loader | None = None,
    directory: Path | None = None,
    progress: Progress | None = None,
) -> TransferResult:
    """Trains the head, then everything from a layer on; called again after a kill, it goes on.

    Each phase begins with epoch 0 of the loaders.

    Args:
        model: from `make_transfer_model`, made the same way each time.
        training: epoch e of a phase is epoch e of the loader.
        settings: of phase two.
        transfer: what else there is to say of the phases.
        validation: untouched images, evaluated after each epoch.
        directory: where the phases' checkpoints go, in ``head`` and ``tuning``.
        progress: called as images are trained on.

    Raises:
        ConfigError: model, loaders and settings do not go together.
        CheckpointError: a checkpoint is damaged or of another training.
        TrainingError: the loss became NaN or infinite.
    """
    head = None
    if transfer.head_epochs:
        head = fit_head(
            model, training, settings, transfer, validation=validation,
            directory=directory, progress=progress,
        )  # fmt: skip
    freeze_below(model, transfer.train_from)
    tuning = fit(
        model, training, settings, validation=validation, progress=progress,
        directory=None if directory is None else directory / "tuning",
    )  # fmt: skip
    return TransferResult(head, tuning)


def fit_head(
    model: "keras.Model",
    training: Loader,
    settings: TrainingSettings,
    transfer: Transfer,
    *,
    validation: Loader | None = None,
    directory: Path | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Phase one alone; see `fine_tune`."""
    freeze_below(model, HEAD)
    return fit(
        model, training, transfer.head_settings(settings), validation=validation,
        progress=progress, directory=None if directory is None else directory / "head",
    )  # fmt: skip
