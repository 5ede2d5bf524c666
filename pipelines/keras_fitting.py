"""``ImageDataGenerator.fit``: mean, std and whitening of a stream of images.

Keras copies the whole array, a second time where it augments, and makes a matrix of all values by
all values. Here images are looked at in blocks; what is kept is a sum per channel, and for ZCA a
matrix up to 4,096 values per image and a few directions above (see `pipelines.whitening`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.moments import LevelSums, Moments, ValueSums
from pipelines.standardization import LOW_RANK_COMPONENTS, MAX_EXACT_VALUES
from pipelines.whitening import CHUNK_IMAGES, ExactFit, LowRankFit, Whitening, chunks

Blocks = Callable[[], Iterator[NDArray[Any]]]
"""Gives (n, H, W, C) uint8 or float32 blocks; called once or twice, the same blocks each time."""

_SMALL_VALUES = 2**22
"""Up to so many values in all (32 MiB as float64) the singular values are taken as Keras does."""


class FactoredMatrix:
    """A whitening matrix of (D, D) that is never whole: ``flat @ matrix`` works, and ``shape``."""

    __array_ufunc__ = None  # NumPy then leaves ``flat @ matrix`` to this class

    def __init__(self, whitening: Whitening) -> None:
        """Keeps the factors."""
        self.whitening = whitening
        size = len(whitening.projection)
        self.shape = (size, size)
        self.dtype = np.dtype(np.float32)

    def __rmatmul__(self, flat: NDArray[Any]) -> NDArray[np.float32]:
        """``flat @ matrix`` of (n, D), as (n, D) float32."""
        images = np.ascontiguousarray(flat, np.float32)
        out = np.empty_like(images)
        self.whitening.apply(images, out)
        return out


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """What was learned of the images."""

    mean: NDArray[np.float64]
    """(C,) of the rescaled images."""
    std: NDArray[np.float64]
    """(C,) likewise, divided by n."""
    matrix: NDArray[np.float64] | FactoredMatrix | None
    """(D, D) whitening, of images flattened as they came; None if it was not asked for."""


@dataclass(frozen=True, slots=True)
class FittingOptions:
    """What is fitted, and how images are laid out."""

    scale: float = 1.0
    """What values are multiplied by before anything else."""
    whitens: bool = False
    epsilon: float = 1e-6
    """Added to every singular value before it is inverted."""
    channels_first: bool = False
    """Whether images are flattened as (C, H, W); blocks are (n, H, W, C) all the same."""


def fit_blocks(blocks: Blocks, num_images: int, options: FittingOptions) -> Fitted:
    """Fits a stream of images.

    Args:
        blocks: the images.
        num_images: how many there are in all.
        options: what to fit.

    Raises:
        ImageContractError: a value is NaN or infinite.

    Exactness: mean and std of uint8 images are correctly rounded, of float32 images summed in
        float64 in their order; Keras sums in its own dtype. The whitening is Keras' within 1e-4 of
        its range up to 4,096 values per image or 2**22 values in all, a low-rank form above.
        Directions in which the images do not vary get the gain 0, where Keras amplifies rounding.
    """
    sums: LevelSums | ValueSums | None = None
    shape: tuple[int, ...] = ()
    for block in blocks():
        if sums is None:
            shape = block.shape[1:]
            sums = (LevelSums if block.dtype == np.uint8 else ValueSums)(shape[2])
        sums.add(np.ascontiguousarray(block))
    if sums is None:
        raise ValueError("fit: expected at least one image, got none; check the split")
    moments = sums.finish()
    scale = options.scale
    matrix = _whitening(blocks, num_images, moments, shape, options) if options.whitens else None
    return Fitted(moments.mean * scale, moments.std * abs(scale), matrix)


def _whitening(
    blocks: Blocks,
    num_images: int,
    moments: Moments,
    shape: tuple[int, ...],
    options: FittingOptions,
) -> NDArray[np.float64] | FactoredMatrix:
    num_values = int(np.prod(shape))
    order: NDArray[np.int64] = np.arange(num_values)
    if options.channels_first:
        order = order.reshape(shape).transpose(2, 0, 1).ravel()
    is_whole = num_values <= MAX_EXACT_VALUES
    if num_images * num_values <= _SMALL_VALUES:
        directions, gains = _decomposed(blocks, moments, options)
        directions = directions[order]
        if is_whole:
            return np.asarray((directions * gains) @ directions.T)
        expansion = (gains[:, None] * directions.T).astype(np.float32)
        return FactoredMatrix(
            Whitening(projection=np.ascontiguousarray(directions, np.float32), expansion=expansion)
        )
    flat = (block.reshape(len(block), -1) for block in blocks())
    first = next(blocks())
    whitening: ExactFit | LowRankFit
    if is_whole:
        whitening, size = ExactFit(num_values, first.dtype), CHUNK_IMAGES
    else:
        whitening = LowRankFit(num_values, LOW_RANK_COMPONENTS)
        size = whitening.chunk_images
    for chunk in chunks(flat, size):
        whitening.add(chunk)
    fitted = whitening.finish(moments, options.scale, options.epsilon)
    if fitted.expansion is None:
        return fitted.projection[np.ix_(order, order)].astype(np.float64)
    rows, columns = fitted.projection[order], fitted.expansion[:, order]
    return FactoredMatrix(
        Whitening(projection=rows, expansion=columns, residual_gain=fitted.residual_gain)
    )


def _decomposed(
    blocks: Blocks, moments: Moments, options: FittingOptions
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Directions (D, r) and their gains (r,), from all images at once, as in Keras."""
    rows = [(block - moments.mean).reshape(len(block), -1) for block in blocks()]
    images = np.concatenate(rows) * options.scale
    directions, roots, _ = np.linalg.svd(images.T, full_matrices=False)
    gains = np.sqrt(len(images)) / (roots + options.epsilon)
    gains[roots <= roots[0] * max(images.shape) * np.finfo(np.float64).eps] = 0.0
    return directions, gains
