"""What a loader hands out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.objects import Objects


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

    def __len__(self) -> int:
        """The number of images."""
        return len(self.images)
