"""What a model makes of images it is not trained on: loss, accuracy, confusion, predictions.

All figures are computed in NumPy from the probabilities, batch by batch, so they mean the same on
every backend, and however a model was compiled.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ConfigError
from materialize.loader.loader import Loader
from materialize.training.backend import prepare_predictions
from materialize.training.failures import TrainingError

if TYPE_CHECKING:
    import keras

LEAST_PROBABILITY = 1e-7
"""Smaller ones count as this, as in Keras' cross-entropy: the loss of one image is at most 16.1."""


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What a model said about each image, in the order of the loader's samples."""

    ids: NDArray[np.uint8]
    """(n, 16) sample ids."""
    labels: NDArray[np.int32]
    """(n,) the true classes."""
    probabilities: NDArray[np.float32]
    """(n, k)"""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> NDArray[np.int64]:
        """(n,) the most probable class of each image, the first of equals."""
        classes: NDArray[np.int64] = np.argmax(self.probabilities, axis=1)
        return classes


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """How well one class is told from the others; a ratio without cases is 0."""

    name: str
    precision: float
    """Of the images said to be of the class, the part that is."""
    recall: float
    """Of the images of the class, the part that was said to be."""
    f1: float
    """Their harmonic mean."""
    support: int
    """Images of the class."""


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """The figures of one part."""

    loss: float
    """Mean cross-entropy of the true classes, natural logarithm, without any smoothing."""
    accuracy: float
    """In [0, 1]."""
    confusion: NDArray[np.int64]
    """(k, k): images of class row that were said to be of class column."""
    classes: tuple[ClassFigures, ...]
    predictions: Predictions

    def to_json(self) -> dict[str, Any]:
        """Everything but the single predictions."""
        return {
            "loss": self.loss,
            "accuracy": self.accuracy,
            "num_images": len(self.predictions),
            "confusion": self.confusion.tolist(),
            "classes": [asdict(figures) for figures in self.classes],
        }


def evaluate(
    model: "keras.Model", loader: Loader, *, epoch: int = 0, accepts_copies: bool = False
) -> Evaluation:
    """Asks a model about every image of a loader; memory holds one batch and the answers.

    Args:
        model: from (n, H, W, C) to (n, k) probabilities; not trained, not modified.
        loader: one part, of untouched images.
        epoch: which epoch of the loader.
        accepts_copies: also evaluate augmented copies.

    Raises:
        ConfigError: images are unlabelled, or augmented and not accepted.
        TrainingError: the model answers with something other than numbers.
    """
    check_labels(loader)
    rows, probabilities = [], []
    _prepare(model, loader)
    for batch in _batches(loader, epoch):
        if not accepts_copies and (batch.copies >= 0).any():
            raise ConfigError(
                "evaluation: expected untouched images, got augmented copies (copy "
                f"{int(batch.copies.max())} in batch {batch.index}); give a loader with "
                "copies=(-1,), or accepts_copies=True",
                {"name": "copies", "expected": -1, "found": int(batch.copies.max())},
            )
        rows.append(batch.rows)
        probabilities.append(_answers(model, batch.images, loader.batch_size))
    order = np.argsort(np.concatenate(rows), kind="stable")
    seen = np.concatenate(rows)[order]
    samples = loader.samples
    predictions = Predictions(
        samples.ids[seen], samples.labels[seen], np.concatenate(probabilities)[order]
    )
    return score(predictions, samples.class_names)


def score(predictions: Predictions, class_names: tuple[str, ...]) -> Evaluation:
    """The figures of some predictions, such as an ensemble's mean.

    Args:
        predictions: at least one.
        class_names: k.

    Raises:
        TrainingError: a probability is no number.
    """
    if not np.isfinite(predictions.probabilities).all():
        bad = int((~np.isfinite(predictions.probabilities)).any(axis=1).sum())
        raise TrainingError(
            f"evaluation: expected probabilities, got NaN or infinity for {bad} of "
            f"{len(predictions)} images; lower the learning rate or set clip_norm",
            {"expected": "finite", "found": bad},
        )
    labels, count = predictions.labels, len(class_names)
    of_truth = predictions.probabilities[np.arange(len(labels)), labels].astype(np.float64)
    confusion = np.bincount(labels.astype(np.int64) * count + predictions.classes,
                            minlength=count * count).reshape(count, count)  # fmt: skip
    return Evaluation(
        loss=float(-np.log(np.clip(of_truth, LEAST_PROBABILITY, 1.0)).mean()),
        accuracy=int(confusion.trace()) / len(labels),
        confusion=confusion,
        classes=tuple(_class_figures(name, confusion, row) for row, name in enumerate(class_names)),
        predictions=predictions,
    )


def check_labels(loader: Loader) -> None:
    """Refuses a part without labels, without images, or with a single class.

    Raises:
        ConfigError: it is one.
    """
    labels, names = loader.samples.labels, loader.samples.class_names
    unlabelled = int((labels < 0).sum())
    if unlabelled:
        raise ConfigError(
            f"labels: expected a class for each image, found {unlabelled} of {len(labels)} images "
            "without; give the source labels, such as class folders or a label column",
            {"name": "labels", "expected": 0, "found": unlabelled},
        )
    if len(names) < 2:
        raise ConfigError(
            f"classes: expected at least 2 to tell apart, found {len(names)} "
            f"({', '.join(names) or 'none'}); give the source labels of several classes",
            {"name": "classes", "expected": 2, "found": len(names)},
        )
    if len(loader) < 1:
        raise ConfigError(
            f"batch_size: expected at least one batch, found {len(labels)} images in batches of "
            f"{loader.batch_size} with the remainder left out; choose smaller batches",
            {"name": "batch_size", "expected": len(labels), "found": loader.batch_size},
        )


def _batches(loader: Loader, epoch: int) -> Iterator[Any]:
    with closing(loader.epoch(epoch)) as batches:  # type: ignore[type-var]  # a generator
        yield from batches


def _prepare(model: "keras.Model", loader: Loader) -> None:
    shape = (loader.batch_size, *loader.image_shape)
    prepare_predictions(model, shape, loader.image_dtype.name)


def _answers(model: "keras.Model", images: NDArray[Any], batch_size: int) -> NDArray[np.float32]:
    """(n, k): a short batch is filled up, so that the model is compiled for one shape."""
    count = len(images)
    if count < batch_size:
        images = np.concatenate([images, np.repeat(images[:1], batch_size - count, axis=0)])
    return np.asarray(model.predict_on_batch(images), dtype=np.float32)[:count]


def _class_figures(name: str, confusion: NDArray[np.int64], row: int) -> ClassFigures:
    hits, said, support = confusion[row, row], confusion[:, row].sum(), confusion[row].sum()
    return ClassFigures(
        name,
        precision=float(hits / said) if said else 0.0,
        recall=float(hits / support) if support else 0.0,
        f1=float(2 * hits / (said + support)) if said + support else 0.0,
        support=int(support),
    )
