"""What a training leaves behind as numbers: one row an epoch, and the whole of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochFigures:
    """One epoch; a row of ``history.csv``."""

    epoch: int
    """From 0."""
    loss: float
    """Mean over the epoch's images while they were trained on, with smoothed and weighted labels
    if the settings say so."""
    accuracy: float
    """In [0, 1], over the same images at the same moments."""
    val_loss: float | None = None
    """Plain cross-entropy after the epoch; None without a validation part."""
    val_accuracy: float | None = None
    learning_rate: float
    """At the end of the epoch."""
    num_images: int
    num_steps: int
    seconds: float
    """Wall clock, with validation and checkpoints."""
    wait_s: float
    """Waiting for batches, once the loader is warm."""
    compute_s: float
    """In training steps, up to the numbers they return; without ``compile_s``."""
    compile_s: float = 0.0
    """In steps that compile the model: the first of each process, and of each size of batch."""

    def to_json(self) -> dict[str, Any]:
        """By field."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """A finished training; seconds are summed over all processes that took part in it."""

    epochs: tuple[EpochFigures, ...]
    initial_weights_digest: str
    weights_digest: str
    """Of the weights the model ends with: the last, or the best if the settings say so."""
    best_epoch: int
    """By the settings' monitor; by the training loss where there is no validation part."""
    stopped_early: bool
    num_steps: int
    num_images: int
    seconds: float
    wait_s: float
    compute_s: float
    compile_s: float
    cpu_s: float
    """CPU seconds of the process, loader threads and validation included."""
    read_s: float = 0.0
    """CPU seconds of the training's loader: shards, or files and their decoding."""
    augment_s: float = 0.0
    """CPU seconds of the training's loader: drawing and rendering."""
    warmup_s: float = 0.0
    """Before the first batch of each process: the loader loads compiled code and reads one image.
    No part of any other figure."""

    @property
    def images_per_s(self) -> float:
        """Images trained on per second of waiting and computing."""
        return self.num_images / max(self.wait_s + self.compute_s, 1e-9)

    @property
    def stall_fraction(self) -> float:
        """The part of waiting and computing that was waiting, in [0, 1]."""
        return self.wait_s / max(self.wait_s + self.compute_s, 1e-9)

    def to_json(self) -> dict[str, Any]:
        """Everything, epochs included, as JSON has it."""
        facts = asdict(self)
        facts["epochs"] = [figures.to_json() for figures in self.epochs]
        return facts | {"images_per_s": self.images_per_s, "stall_fraction": self.stall_fraction}


def history_csv(epochs: Sequence[EpochFigures]) -> str:
    """The epochs as a CSV table with a header; absent figures are empty."""
    names = list(EpochFigures.__dataclass_fields__)
    rows = [
        ["" if value is None else repr(value) for value in asdict(figures).values()]
        for figures in epochs
    ]
    return "".join(",".join(row) + "\n" for row in [names, *rows])
