"""What the iterators ask of a generator: its parameters, and pixels by address."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from materialize.flows.recording import Translated


class Processing(Translated, Protocol):
    """A `pipelines.keras_generator.ImageDataGenerator`, or a subclass of it."""

    dtype: Any
    rescale: float | None
    brightness_range: Any
    augment_validation: bool

    def augment_batch(
        self,
        x: NDArray[Any],
        *,
        seed: int,
        sample_ids: NDArray[np.uint8],
        copy: int,
        is_unit: bool = False,
    ) -> NDArray[Any]:
        """The transformed images at n addresses."""

    def standardize_batch(self, x: NDArray[Any]) -> NDArray[Any]:
        """Standardises each image of a batch, which is overwritten."""


def is_augmented(generator: Processing, subset: str | None) -> bool:
    """Whether the images of a subset are transformed."""
    return subset != "validation" or generator.augment_validation
