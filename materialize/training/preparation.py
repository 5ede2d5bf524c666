"""What is settled before the first step: that all goes together, and what decides the weights."""

from typing import TYPE_CHECKING, Any

import numpy as np

from materialize.errors import ConfigError
from materialize.loader.loader import Loader
from materialize.training.backend import backend_name, make_deterministic, seed_generators
from materialize.training.evaluation import check_labels
from materialize.training.models import weights_digest
from materialize.training.settings import TrainingSettings

if TYPE_CHECKING:
    import keras


def make_ready(settings: TrainingSettings) -> None:
    """Seeds the generators and, if the settings say so, makes operations deterministic.

    Args:
        settings: their seed and ``deterministic``; once on, determinism stays on in this process.
    """
    seed_generators(settings.seed)
    if settings.deterministic:
        make_deterministic()


def inputs_of(
    model: "keras.Model", training: Loader, validation: Loader | None, settings: TrainingSettings
) -> dict[str, Any]:
    """JSON-ready: everything that decides the weights a training ends with.

    Args:
        model: with its initial weights.
        training: what it is trained on.
        validation: what may stop it or choose its weights.
        settings: how.
    """
    return {
        "backend": backend_name(),
        "initial_weights": weights_digest(model),
        "trainable": [i for i, weight in enumerate(model.weights) if weight.trainable],
        "settings": settings.identity(),
        "training": training.identity(),
        "validation": None if validation is None else validation.identity(),
    }


def check_training(
    model: "keras.Model", training: Loader, validation: Loader | None, settings: TrainingSettings
) -> None:
    """Refuses what would fail later, or train something that was not meant.

    Raises:
        ConfigError: labels, batches, model and settings do not go together.
    """
    check_labels(training)
    if settings.steps_per_epoch is not None and settings.steps_per_epoch > len(training):
        raise ConfigError(
            f"steps_per_epoch: expected at most the {len(training)} batches of an epoch, got "
            f"{settings.steps_per_epoch}; lower it or the batch size",
            {"name": "steps_per_epoch", "expected": len(training),
             "found": settings.steps_per_epoch},
        )  # fmt: skip
    if validation is None and settings.needs_validation:
        raise ConfigError(
            f"monitor: expected a validation part for {settings.monitor}, which stopping, keeping "
            "the best or the plateau schedule asks for; found none: split one off, or monitor "
            "loss or accuracy",
            {"name": "monitor", "expected": "a validation part", "found": settings.monitor},
        )
    if validation is not None:
        check_labels(validation)
        _check_same_classes(training, validation)
    _check_model(model, training)


def _check_same_classes(training: Loader, validation: Loader) -> None:
    expected, found = training.samples.class_names, validation.samples.class_names
    if expected != found:
        raise ConfigError(
            f"validation: expected the training part's {len(expected)} classes in their order, "
            f"found {len(found)} that differ; take both parts from one dataset",
            {"name": "validation", "expected": expected, "found": found},
        )


def _check_model(model: "keras.Model", training: Loader) -> None:
    """One black image tells what a model takes and gives; no weight changes by it."""
    import keras

    wanted, count = tuple(training.image_shape), len(training.samples.class_names)
    taken = tuple(model.input_shape[1:]) if model.inputs else wanted
    if len(taken) != 3 or any(a not in (None, b) for a, b in zip(taken, wanted, strict=True)):
        raise ConfigError(
            f"model: expected one that takes the loader's {wanted} images, got one that takes "
            f"{taken}; make the model for these images, or resize them",
            {"name": "model", "expected": wanted, "found": taken},
        )
    black = np.zeros((1, *wanted), dtype=training.image_dtype)
    answer = np.asarray(keras.ops.convert_to_numpy(model(black, training=False)), dtype=np.float64)
    if answer.shape != (1, count):
        raise ConfigError(
            f"model: expected {count} outputs, one for each class, got {answer.shape[1:]}; end it "
            f"with Dense({count}, activation='softmax')",
            {"name": "model", "expected": (count,), "found": answer.shape[1:]},
        )
    if not np.isclose(answer.sum(), 1.0, atol=1e-2) or (answer < 0).any():
        raise ConfigError(
            f"model: expected outputs that are probabilities, got outputs whose sum is "
            f"{answer.sum():.3g}; end it with a softmax",
            {"name": "model", "expected": 1.0, "found": float(answer.sum())},
        )
