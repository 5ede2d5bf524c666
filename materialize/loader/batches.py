"""What a loader hands out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ConfigError
from pipelines.objects import Objects


class Labelled(Protocol):
    """Some images with their labels."""

    @property
    def labels(self) -> NDArray[np.int32]:
        """(n,) class numbers; -1 for no label."""

    @property
    def partner_labels(self) -> NDArray[np.int32] | None:
        """(n,) of what each image is mixed with, its own where it is not; None without mixing."""

    @property
    def label_weights(self) -> NDArray[np.float32] | None:
        """(n,) in [0, 1], the share of the image's own label; the partner's has the rest."""


@dataclass(frozen=True, slots=True, eq=False)
class Labels:
    """See `Labelled`."""

    labels: NDArray[np.int32]
    partner_labels: NDArray[np.int32] | None = None
    label_weights: NDArray[np.float32] | None = None

    def part(self, here: slice) -> "Labels":
        """Those of some images that follow each other."""
        columns = (self.partner_labels, self.label_weights)
        if columns[0] is None or columns[1] is None:
            return Labels(self.labels[here])
        return Labels(self.labels[here], columns[0][here], columns[1][here])


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Some images of one epoch; the arrays are the receiver's own."""

    images: NDArray[Any]
    """(n, H, W, C) uint8, or float32 where the source holds floats; C-contiguous."""
    labels: NDArray[np.int32]
    """(n,) index into the loader's class names; -1 for no label."""
    rows: NDArray[np.int64]
    """(n,) which rows of the loader's samples these are."""
    copies: NDArray[np.int64]
    """(n,) which copy of each; -1 for the untouched image."""
    epoch: int
    index: int
    """Number of the batch in its epoch, from 0."""
    stop: int
    """How many places of the epoch are done with this batch, over all ranks."""
    masks: NDArray[np.uint8] | None = None
    """(n, H, W, channels) labels, moved as the images; None where images have no mask."""
    objects: Objects | None = None
    """Of the n images, moved as they are; None where images have none. `pipelines.objects.padded`
    makes rectangular arrays of them."""
    fields: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """(n, …) numbers that nothing moves, by name: several labels, values, weights; see
    `materialize.sources.targets.Field`."""
    partner_labels: NDArray[np.int32] | None = None
    """(n,) of what each image is mixed with, its own where it is not; None where no step mixes."""
    label_weights: NDArray[np.float32] | None = None
    """(n,) in [0, 1], the share of the image's own label; the partner's has the rest."""

    def soft_labels(self, num_classes: int) -> NDArray[np.float32]:
        """The share of each class in each image; see `soft_labels`."""
        return soft_labels(self, num_classes)

    def __len__(self) -> int:
        """The number of images."""
        return len(self.images)


def soft_labels(labelled: Labelled, num_classes: int) -> NDArray[np.float32]:
    """The share of each class in each image: a 1 at the class of one that is not mixed.

    Args:
        labelled: n images, all of them with a label.
        num_classes: of the loader.

    Returns:
        (n, num_classes), rows that sum to 1.

    Raises:
        ConfigError: an image has none of so many classes.
    """
    _check_labelled(labelled.labels, num_classes)
    places = np.arange(len(labelled.labels))
    rows = np.zeros((len(places), num_classes), np.float32)
    rows[places, labelled.labels] = 1
    if labelled.partner_labels is not None and labelled.label_weights is not None:
        rows[places, labelled.labels] = labelled.label_weights
        rows[places, labelled.partner_labels] += 1 - labelled.label_weights
    return rows


def _check_labelled(labels: NDArray[np.int32], num_classes: int) -> None:
    """Refuses images that would count as of the last class, or of one that there is not."""
    is_known = (labels >= 0) & (labels < num_classes)
    if not is_known.all():
        raise ConfigError(
            f"labels: expected one of {num_classes} classes for each image, got "
            f"{labels[is_known.argmin()]}; give the source labels, or ask for as many classes as "
            "the loader has names",
            {"name": "labels", "expected": num_classes, "found": int(labels[is_known.argmin()])},
        )


def spread_labels(values: NDArray[np.float32], labelled: Labelled) -> NDArray[np.float32]:
    """What stands for each image, where something stands for each class.

    Args:
        values: (k, …) for the classes.
        labelled: n images, all of them with a label; mixed ones get their share of both classes'.

    Returns:
        (n, …)
    """
    own = values[labelled.labels]
    if labelled.partner_labels is None or labelled.label_weights is None:
        return own
    weights = labelled.label_weights.reshape(-1, *(1,) * (values.ndim - 1))
    mixed: NDArray[np.float32] = weights * own + (1 - weights) * values[labelled.partner_labels]
    return mixed
