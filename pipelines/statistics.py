"""What is learned from the training part before training: mean, std and whitening, in one pass.

Fitted on the originals of the training part of a fold, stored, and read by every arm. Keras'
``fit`` copies all images twice; here a batch is dropped before the next one is asked for.

As in Keras, images are rescaled before anything is computed, and samplewise steps are not applied:
``fit`` ignores them although ``standardize`` takes them first.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ImageContractError
from pipelines.moments import LevelSums, ValueSums
from pipelines.standardization import Standardization
from pipelines.whitening import CHUNK_IMAGES, ExactFit, LowRankFit, Whitening, chunks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Statistics:
    """What a standardisation needs to know of the training part."""

    standardization: str
    """Fingerprint of the options that it was fitted for."""
    num_images: int
    """How many images were seen."""
    image_shape: tuple[int, int, int]
    """(H, W, C) of each."""
    mean: NDArray[np.float64]
    """(C,) float64, of the rescaled images, over all pixels of all images."""
    std: NDArray[np.float64]
    """(C,) float64, likewise; divided by n, without Keras' 1e-6."""
    whitening: Whitening | None = None
    """Present if ``zca`` is asked for."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Every array by name, in the order of the digest."""
        arrays: dict[str, NDArray[Any]] = {"mean": self.mean, "std": self.std}
        if self.whitening is not None:
            arrays["projection"] = self.whitening.projection
            if self.whitening.expansion is not None:
                arrays["expansion"] = self.whitening.expansion
        return arrays

    def digest(self) -> str:
        """SHA-256, in hex, of every number in it and of what it was fitted for."""
        arrays = self.arrays()
        facts = {
            "standardization": self.standardization,
            "num_images": self.num_images,
            "image_shape": list(self.image_shape),
            "residual_gain": 0.0 if self.whitening is None else self.whitening.residual_gain,
            "arrays": [[name, a.dtype.str, list(a.shape)] for name, a in arrays.items()],
        }
        digest = hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode())
        for array in arrays.values():
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def fit_statistics(batches: Iterable[NDArray[Any]], standardization: Standardization) -> Statistics:
    """Fits the statistics of a stream of images, seeing each batch once.

    Memory beside one batch: a few numbers; with ``zca`` about 40 · D² bytes for the exact matrix of
    D ≤ 4,096 values per image (0.4 GiB at 3,072), or 40 · k · D bytes for k directions.

    Args:
        batches: (n, H, W, C) uint8 or float32, C in 1…4, all alike but for n; not modified, not
            kept. With ``zca`` and k directions, or with float32, in a fixed order.
        standardization: what the statistics are for.

    Raises:
        ImageContractError: a batch of another kind, a value that is not finite, or no image at all.

    Exactness: on uint8, mean and std are correctly rounded and depend on the set of images alone,
        never on batches, order or threads. On float32 they depend on the images' order, never on
        batches or threads. For whitening see `pipelines.whitening`.
    """
    stream = _checked(batches)
    first = next(stream, None)
    if first is None:
        raise ImageContractError(
            "statistics: expected at least one training image, got none; check the split",
            {"expected": "at least one image", "found": 0},
        )
    height, width, channels = first.shape[1:]
    sums = (LevelSums if first.dtype == np.uint8 else ValueSums)(channels)
    flat = _summed(first, stream, sums)
    num_values = height * width * channels
    whitening: ExactFit | LowRankFit | None = None
    if standardization.zca:
        kept = standardization.num_components(num_values)
        if kept is None:
            whitening, size = ExactFit(num_values, first.dtype), CHUNK_IMAGES
        else:
            whitening = LowRankFit(num_values, kept)
            size = whitening.chunk_images
        for chunk in chunks(flat, size):
            whitening.add(chunk)
    else:
        for _ in flat:
            pass
    moments = sums.finish()
    scale, epsilon = standardization.scale, standardization.zca_epsilon
    return Statistics(
        standardization=standardization.fingerprint(),
        num_images=moments.num_images,
        image_shape=(height, width, channels),
        mean=moments.mean * scale + standardization.offset,
        std=moments.std * abs(scale),
        whitening=None if whitening is None else whitening.finish(moments, scale, epsilon),
    )


def _checked(batches: Iterable[NDArray[Any]]) -> Iterator[NDArray[Any]]:
    """The batches that hold an image, C-contiguous; every one is like the first."""
    first: NDArray[Any] | None = None
    for number, batch in enumerate(batches):
        alike = first is None or (batch.shape[1:], batch.dtype) == (first.shape[1:], first.dtype)
        good = (
            batch.ndim == 4
            and batch.dtype in (np.dtype(np.uint8), np.dtype(np.float32))
            and 1 <= batch.shape[3] <= 4
            and min(batch.shape[1:3]) >= 1
        )
        if not (good and alike):
            like = "" if first is None else f", here {first.shape[1:]} {first.dtype}"
            expected = f"(n, H, W, C) uint8 or float32, C in 1…4, all alike{like}"
            raise ImageContractError(
                f"statistics: batch {number}: expected {expected}, got {batch.shape} "
                f"{batch.dtype}; convert it first",
                {"batch": number, "expected": expected, "found": (batch.shape, str(batch.dtype))},
            )
        first = batch[:0] if first is None else first
        if len(batch):
            yield np.ascontiguousarray(batch)


def _summed(
    first: NDArray[Any], stream: Iterator[NDArray[Any]], sums: LevelSums | ValueSums
) -> Iterator[NDArray[Any]]:
    """Each batch as (n, D), added to the sums as it passes."""
    batch: NDArray[Any] | None = first
    while batch is not None:
        sums.add(batch)
        yield batch.reshape(len(batch), -1)
        batch = next(stream, None)
