"""What a framework is given beside the images."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from materialize.errors import ConfigError
from materialize.loader.batches import Batch
from materialize.loader.loader import Loader


@dataclass(frozen=True, slots=True)
class Targets:
    """How labels are handed on. Smoothing is left to the losses: all frameworks' have it."""

    num_classes: int
    """0 where nothing is labelled: then images go alone."""
    one_hot: bool

    @classmethod
    def of(cls, loader: Loader, *, one_hot: bool) -> "Targets":
        """The targets of a loader.

        Raises:
            ConfigError: some of its images are labelled and some are not.
        """
        unlabelled = int(np.count_nonzero(loader.samples.labels < 0))
        if 0 < unlabelled < len(loader.samples):
            raise ConfigError(
                f"labels: expected all of the {len(loader.samples)} images of split "
                f"{loader.samples.split!r} to have one, or none, found {unlabelled} without; take "
                "the labelled ones with samples=",
                {"name": "labels", "expected": [0, len(loader.samples)], "found": unlabelled},
            )
        return cls(0 if unlabelled else len(loader.class_names), one_hot)

    def of_labels(
        self, labels: NDArray[np.int32], dtype: DTypeLike = np.int32
    ) -> NDArray[Any] | None:
        """The targets of a batch.

        Args:
            labels: (n,) in [0, num_classes), or -1 throughout.
            dtype: of class numbers.

        Returns:
            (n,) class numbers, (n, num_classes) float32 with a 1 at each class, or None where
            nothing is labelled.
        """
        if not self.num_classes:
            return None
        if not self.one_hot:
            return labels.astype(dtype, copy=False)
        rows = np.zeros((len(labels), self.num_classes), np.float32)
        rows[np.arange(len(labels)), labels] = 1
        return rows


def run_of(loader: Loader, epochs: range) -> Iterator[Batch]:
    """The batches of some epochs, one after another; closing it stops the loader's threads."""
    for epoch in epochs:
        with closing(loader.epoch(epoch)) as batches:  # type: ignore[type-var]
            yield from batches


def batch_of(loader: Loader, epoch: int, index: int) -> Batch:
    """One batch by itself, whatever was asked for before.

    Raises:
        IndexError: the epoch has no such batch.
    """
    return loader.batch(epoch, index)
