"""The options of a training: everything that decides its weights, and how often it is saved.

Two trainings with equal settings, equal loaders and an equal environment end with equal weights,
so what stands here goes into the run record and into every checkpoint, which refuses others.
"""

import dataclasses
import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from materialize.errors import ConfigError
from materialize.recipe import whole_number

OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop", "nadam", "lion")
SCHEDULES = ("constant", "cosine", "exponential", "plateau")
MONITORS = ("val_loss", "val_accuracy", "loss", "accuracy")
KEEPS = ("last", "best")

_MOST = 2**31
_PACE = ("checkpoint_steps", "checkpoint_s")
"""Fields that decide when something is saved, and no weight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How a model is trained. Epochs count from 0, as copies do."""

    epochs: int
    model: str = "resnet"
    """A name of `materialize.training.models.MODELS`; only a label where a model is passed."""
    batch_size: int = 32
    """For the loaders that are made from these settings; a loader that is passed has its own."""
    steps_per_epoch: int | None = None
    """Batches of each epoch that are trained on; all of them unless given."""

    optimizer: str = "adam"
    learning_rate: float = 1e-3
    momentum: float = 0.0
    """In [0, 1); for ``sgd`` and ``rmsprop``."""
    weight_decay: float | None = None
    """Decoupled, at least 0; the optimiser's own unless given (0.004 for ``adamw``, else none)."""
    clip_norm: float | None = None
    """The largest norm of all gradients together, above 0."""
    schedule: str = "constant"
    """``cosine`` goes to 0 over the whole training, ``exponential`` multiplies by
    ``schedule_factor`` each epoch, ``plateau`` does after ``schedule_patience`` epochs in which
    ``monitor`` did not get better."""
    warmup_steps: int = 0
    """Steps over which ``cosine`` rises from 0."""
    schedule_factor: float = 0.5
    """In (0, 1]."""
    schedule_patience: int = 5

    label_smoothing: float = 0.0
    """In [0, 1): so much of each training label is spread over all classes."""
    class_weights: str | tuple[float, ...] | None = None
    """``balanced`` (images / (classes × images of the class)), or a weight above 0 per class."""

    patience: int | None = None
    """Stop after so many epochs in which ``monitor`` did not get better; never unless given."""
    monitor: str = "val_loss"
    keep: str = "last"
    """Which weights the model ends with: those of the ``last`` epoch, or of the ``best`` by
    ``monitor``."""

    standardize: str = "unit"
    """How levels become floats in the model's first layers, in the words of
    `pipelines.standardization`: ``unit`` gives [0, 1]."""
    mixed_precision: bool = False
    """Compute in float16 and keep weights in float32; worth it on a GPU alone."""
    seed: int = 0
    """In [0, 2**32): initial weights, dropout, and the order of epochs."""
    deterministic: bool = True
    """Only operations that give the same bits twice; slower on some GPUs."""

    checkpoint_steps: int | None = None
    """Also save every so many steps; at the end of an epoch it is always done."""
    checkpoint_s: float | None = None
    """Also save as soon as so many seconds have passed."""

    def __post_init__(self) -> None:
        """Checks the options.

        Raises:
            ConfigError: an option is outside its set or interval.
        """
        for name, low, high in (
            ("epochs", 1, _MOST), ("batch_size", 1, _MOST), ("steps_per_epoch", 1, _MOST),
            ("warmup_steps", 0, _MOST), ("schedule_patience", 1, _MOST), ("patience", 1, _MOST),
            ("checkpoint_steps", 1, _MOST), ("seed", 0, 2**32 - 1),
        ):  # fmt: skip
            if getattr(self, name) is not None or name in ("epochs", "batch_size", "seed"):
                self._set(name, whole_number(name, getattr(self, name), low, high))
        for name, interval, is_inside in _INTERVALS:
            if (value := getattr(self, name)) is not None:
                self._set(name, _number(name, value, interval, is_inside))
        for name, choices in (
            ("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("monitor", MONITORS),
            ("keep", KEEPS),
        ):  # fmt: skip
            if (found := getattr(self, name)) not in choices:
                close = difflib.get_close_matches(str(found), choices, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                _refuse(name, f"one of {', '.join(choices)}", found, hint)
        if self.momentum and self.optimizer not in ("sgd", "rmsprop"):
            _refuse("momentum", f"0 with {self.optimizer} (it is for sgd and rmsprop)",
                    self.momentum)  # fmt: skip
        if self.warmup_steps and self.schedule != "cosine":
            _refuse("warmup_steps", f"0 with schedule {self.schedule} (it is for cosine)",
                    self.warmup_steps)  # fmt: skip
        self._set("class_weights", _class_weights(self.class_weights))

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @property
    def needs_validation(self) -> bool:
        """Whether something is decided by a figure that only a validation part has."""
        decides = self.patience or self.keep == "best" or self.schedule == "plateau"
        return bool(decides) and self.monitor.startswith("val_")

    def identity(self) -> dict[str, Any]:
        """JSON-ready: what decides the weights, and nothing that does not."""
        facts = dataclasses.asdict(self)
        if isinstance(self.class_weights, tuple):
            facts["class_weights"] = list(self.class_weights)
        return {name: value for name, value in facts.items() if name not in _PACE}


_INTERVALS = (
    ("learning_rate", "above 0", lambda value: value > 0),
    ("momentum", "in [0, 1)", lambda value: 0 <= value < 1),
    ("weight_decay", "of at least 0", lambda value: value >= 0),
    ("clip_norm", "above 0", lambda value: value > 0),
    ("schedule_factor", "in (0, 1]", lambda value: 0 < value <= 1),
    ("label_smoothing", "in [0, 1)", lambda value: 0 <= value < 1),
    ("checkpoint_s", "of at least 0", lambda value: value >= 0),
)


def _number(name: str, value: Any, interval: str, is_inside: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or not is_inside(number):
        _refuse(name, f"a number {interval}", value)
    return number


def _class_weights(value: Any) -> str | tuple[float, ...] | None:
    if value is None or value == "balanced":
        return value  # type: ignore[no-any-return]  # one of the two
    if isinstance(value, str) or not isinstance(value, Sequence):
        _refuse("class_weights", "'balanced' or one number for each class", value)
    return tuple(_number("class_weights", item, "above 0", lambda v: v > 0) for item in value)


def _refuse(name: str, expected: str, found: Any, hint: str = "") -> None:
    raise ConfigError(
        f"{name}: expected {expected}, got {found!r}{hint}",
        {"name": name, "expected": expected, "found": found},
    )
