"""Joins a model with its optimiser and its loss, the same way for every arm of a contrast.

The loss is always categorical cross-entropy over soft labels, one row of weights per class, so that
whole labels, smoothed labels and mixed labels train through one form.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ConfigError
from materialize.training.settings import TrainingSettings

if TYPE_CHECKING:
    import keras


def compile_model(model: "keras.Model", settings: TrainingSettings, steps_per_epoch: int) -> None:
    """Gives a model a fresh optimiser, the loss and the accuracy.

    Args:
        model: built; an optimiser it has is replaced.
        settings: which optimiser and schedule.
        steps_per_epoch: of the training, for schedules.
    """
    import keras

    model.compile(
        optimizer=make_optimizer(settings, steps_per_epoch),
        loss=keras.losses.CategoricalCrossentropy(),
        metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
    )
    model.optimizer.build(model.trainable_variables)


def make_optimizer(
    settings: TrainingSettings, steps_per_epoch: int
) -> "keras.optimizers.Optimizer":
    """The optimiser of some settings.

    Args:
        settings: its name and options.
        steps_per_epoch: for schedules.
    """
    import keras

    classes = {
        "adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW,
        "sgd": keras.optimizers.SGD, "rmsprop": keras.optimizers.RMSprop,
        "nadam": keras.optimizers.Nadam, "lion": keras.optimizers.Lion,
    }  # fmt: skip
    options: dict[str, Any] = {"global_clipnorm": settings.clip_norm}
    if settings.weight_decay is not None:
        options["weight_decay"] = settings.weight_decay
    if settings.optimizer in ("sgd", "rmsprop"):
        options["momentum"] = settings.momentum
    rate = learning_rate(settings, steps_per_epoch)
    return classes[settings.optimizer](learning_rate=rate, **options)


def learning_rate(settings: TrainingSettings, steps_per_epoch: int) -> Any:
    """A number, or Keras' schedule, which is a function of the optimiser's step counter alone."""
    import keras

    schedules, rate = keras.optimizers.schedules, settings.learning_rate
    if settings.schedule == "exponential":
        return schedules.ExponentialDecay(
            rate, steps_per_epoch, settings.schedule_factor, staircase=True
        )
    if settings.schedule == "cosine":
        steps = settings.epochs * steps_per_epoch
        if settings.warmup_steps >= steps:
            raise ConfigError(
                f"warmup_steps: expected fewer than the {steps} steps of the training, got "
                f"{settings.warmup_steps}",
                {"name": "warmup_steps", "expected": steps, "found": settings.warmup_steps},
            )
        if not settings.warmup_steps:
            return schedules.CosineDecay(rate, steps)
        return schedules.CosineDecay(
            0.0, steps - settings.warmup_steps, warmup_target=rate,
            warmup_steps=settings.warmup_steps,
        )  # fmt: skip
    return rate


def current_rate(model: "keras.Model") -> float:
    """The learning rate of a compiled model's next step."""
    import keras

    rate = model.optimizer.learning_rate
    is_variable = isinstance(rate, keras.Variable)  # otherwise what a schedule gives
    rate = rate.numpy() if is_variable else keras.ops.convert_to_numpy(rate)
    return float(str(np.float32(rate)))  # the shortest number that is this one


def soft_labels(num_classes: int, smoothing: float) -> NDArray[np.float32]:
    """(k, k) float32: row c is the label of class c, with ``smoothing`` spread over all classes."""
    rows = np.eye(num_classes) * (1 - smoothing) + smoothing / num_classes
    return rows.astype(np.float32)


def class_weights(
    settings: TrainingSettings, labels: NDArray[np.int32], num_classes: int
) -> NDArray[np.float32] | None:
    """(k,) float32: what an image of each class counts; None if all count 1.

    Args:
        settings: how they are weighted.
        labels: (n,) of the training part, in [0, k).
        num_classes: k.

    Raises:
        ConfigError: there are not as many weights as classes.
    """
    wanted = settings.class_weights
    if wanted is None:
        return None
    if isinstance(wanted, tuple):
        if len(wanted) != num_classes:
            raise ConfigError(
                f"class_weights: expected {num_classes} numbers, one for each class, got "
                f"{len(wanted)}",
                {"name": "class_weights", "expected": num_classes, "found": len(wanted)},
            )
        return np.array(wanted, dtype=np.float32)
    counts = np.bincount(labels, minlength=num_classes)
    # A class without images has no weight that would ever be used.
    return (len(labels) / (num_classes * np.maximum(counts, 1))).astype(np.float32)
