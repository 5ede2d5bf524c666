"""ZCA whitening: its matrix, and how it is fitted in one pass over images that never lie together.

Keras takes the singular values s and directions u of the centred training images X (one row per
image) and whitens with ``W = U · diag(√n / (s + ε)) · Uᵀ``. Here s² and U are the eigenvalues and
eigenvectors of XᵀX, which is a sum over images; above 4,096 values per image XᵀX itself would be
too large, and only the leading directions are followed. Nothing here is compiled: it is BLAS.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.moments import Moments

CHUNK_IMAGES = 1024
"""Images per product, whatever the batch size of the stream. Levels less 128 are at most 128 in
size, so a product over 1,024 images sums integers up to 2**24: exact in float32, in any order."""
LEVEL_SHIFT = 128.0
"""Subtracted from uint8 levels: it halves the numbers, and centring then cancels less."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Whitening:
    """The matrix W, whole or as factors: ``W = projection · expansion + residual_gain · I``."""

    projection: NDArray[np.float32]
    """(D, D) float32: W itself; or (D, k): the kept directions."""
    expansion: NDArray[np.float32] | None = None
    """(k, D) float32: the kept directions times (gain - residual gain); None beside a whole W."""
    residual_gain: float = 0.0
    """What everything outside the kept directions is multiplied by."""

    def apply(self, images: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        """Whitens flattened images.

        Args:
            images: (n, D) float32, centred; not modified.
            out: (n, D) float32, another array; overwritten.

        Exactness: float32 products by BLAS: the same on one machine, last bits differ between
            processors.
        """
        if self.expansion is None:
            np.matmul(images, self.projection, out=out)
            return
        np.matmul(images @ self.projection, self.expansion, out=out)
        out += np.float32(self.residual_gain) * images


class ExactFit:
    """XᵀX, summed by chunks.

    Exactness: on uint8, XᵀX before centring is exact, whatever the order of images and the BLAS:
    a chunk sums integers up to 2**24 in float32, the chunks sum integers up to n · 2**14 in
    float64, exact for n < 2**39 images. On float32 sources it is float64 arithmetic in chunks of
    1,024 images: the same for every batch size, last bits follow the order of images and the BLAS.
    """

    def __init__(self, num_values: int, dtype: np.dtype[Any]) -> None:
        """Begins with no images of ``num_values`` values, uint8 or float32."""
        self._gram = np.zeros((num_values, num_values), np.float64)
        self._sums = np.zeros(num_values, np.float64)
        self._is_uint8 = dtype == np.uint8

    def add(self, chunk: NDArray[Any]) -> None:
        """Adds (m, D) uint8 or float32 images, m ≤ 1,024; not modified."""
        if self._is_uint8:
            shifted: NDArray[Any] = chunk.astype(np.float32) - np.float32(LEVEL_SHIFT)
        else:
            shifted = chunk.astype(np.float64)
        self._gram += shifted.T @ shifted
        self._sums += shifted.sum(axis=0, dtype=np.float64)

    def finish(self, moments: Moments, scale: float, epsilon: float) -> Whitening:
        """The whitening of the rescaled images; the sums are spent.

        Args:
            moments: of the same images.
            scale: what levels are multiplied by.
            epsilon: added to the singular values.

        Exactness: eigenvectors are LAPACK's: the same on one machine, last bits differ between
            processors. Directions whose singular value is below √(D · 2⁻⁵²) of the largest are
            rounding noise and get the gain 0; Keras does that only where n < D and amplifies the
            noise by √n/ε otherwise.
        """
        gram, num_values = self._gram, len(self._gram)
        shift = LEVEL_SHIFT if self._is_uint8 else 0.0
        repeats = num_values // len(moments.mean)
        mean = np.tile(moments.mean - shift, repeats)
        half = self._sums - 0.5 * moments.num_images * mean
        for row in range(num_values):  # no D × D temporaries
            gram[row] -= half[row] * mean + mean[row] * half
        values, directions = np.linalg.eigh(gram)
        roots = np.sqrt(np.maximum(values, 0.0))
        floor = roots[-1] * math.sqrt(num_values * np.finfo(np.float64).eps)
        gains = _gains(roots * abs(scale), moments.num_images, epsilon)
        gains[roots <= floor] = 0.0
        matrix = (directions * gains) @ directions.T
        return Whitening(projection=matrix.astype(np.float32))


class LowRankFit:
    """The k leading directions of X, in one pass and O(k · D) memory.

    What is approximated: directions that are not among the leading k of what was seen so far are
    dropped at every chunk, so the trailing ones of the k are less certain than the leading ones
    (none is approximated where k ≥ the rank of X). Everything outside the k directions is scaled by
    one gain, √n / (s̄ + ε) with s̄² the mean of the remaining squared singular values, which is known
    exactly, because all squared singular values sum to the sum of squares of X: the remainder has
    the right total variance, not the right variance in each direction.

    Source: D. Ross, J. Lim, R.-S. Lin, M.-H. Yang, "Incremental Learning for Robust Visual
    Tracking", IJCV 77 (2008), figure 1 without forgetting; as in scikit-learn's IncrementalPCA.

    Exactness: float64 in chunks of a fixed number of images: the same for every batch size, but
    dependent on the order of the images, which callers therefore fix.
    """

    def __init__(self, num_values: int, num_components: int) -> None:
        """Begins with no images."""
        self._num_components = num_components
        self._rows = np.zeros((0, num_values), np.float64)
        self._mean = np.zeros(num_values, np.float64)
        self._count = 0

    @property
    def chunk_images(self) -> int:
        """How many images each `add` takes; the last may have fewer."""
        return min(max(self._num_components, 64), CHUNK_IMAGES)

    def add(self, chunk: NDArray[Any]) -> None:
        """Adds (m, D) uint8 or float32 images; not modified."""
        count, added = self._count, len(chunk)
        centred = chunk.astype(np.float64)
        mean = centred.mean(axis=0)
        centred -= mean
        bridge = math.sqrt(count / (count + added) * added) * (self._mean - mean)
        rows = np.concatenate([self._rows, centred, bridge[None]])
        self._mean += (mean - self._mean) * (added / (count + added))
        self._count = count + added
        self._rows = leading_rows(rows, self._num_components)

    def finish(self, moments: Moments, scale: float, epsilon: float) -> Whitening:
        """The whitening of the rescaled images, as factors; see `ExactFit.finish`."""
        channels = len(moments.mean)
        repeats = len(self._mean) // channels
        # The rows are centred on each value's own mean; Keras centres on the channel's.
        bridge = math.sqrt(self._count) * (self._mean - np.tile(moments.mean, repeats))
        rows = leading_rows(np.concatenate([self._rows, bridge[None]]), self._num_components)
        roots = np.linalg.norm(rows, axis=1)
        directions = rows / roots[:, None]
        total = float((moments.std**2).sum()) * self._count * repeats
        remaining = total - float((roots**2).sum())
        dimensions = min(self._count, len(self._mean)) - len(roots)
        residual = 0.0
        if dimensions > 0 and remaining > total * 1e-12:  # below, it is what rounding left
            root = np.array([math.sqrt(remaining / dimensions)])
            residual = float(_gains(root * abs(scale), self._count, epsilon)[0])
        gains = _gains(roots * abs(scale), self._count, epsilon)
        return Whitening(
            projection=np.ascontiguousarray(directions.T, np.float32),
            expansion=((gains - residual)[:, None] * directions).astype(np.float32),
            residual_gain=float(np.float32(residual)),
        )


def leading_rows(rows: NDArray[np.float64], limit: int) -> NDArray[np.float64]:
    """At most ``limit`` orthogonal rows R with RᵀR ≈ rowsᵀ·rows: singular values times directions.

    Through the small product rows · rowsᵀ, which costs a fifth of a singular value decomposition
    and loses singular values below 10⁻⁷ of the largest; those are dropped.

    Args:
        rows: (m, D) float64; not modified.
        limit: how many to keep.

    Returns:
        (k, D) float64, k ≤ limit, largest first; none where all rows are 0.
    """
    values, mixes = np.linalg.eigh(rows @ rows.T)
    largest_first = np.argsort(-values, kind="stable")[:limit]
    kept = largest_first[values[largest_first] > max(values[-1], 0.0) * 1e-14]
    return np.asarray(mixes[:, kept].T @ rows, np.float64)


def chunks(images: Iterator[NDArray[Any]], size: int) -> Iterator[NDArray[Any]]:
    """Regroups (n, D) arrays into (size, D) ones, the last perhaps shorter.

    The buffer is used again: a chunk is valid until the next one is asked for.
    """
    buffer: NDArray[Any] | None = None
    filled = 0
    for batch in images:
        if buffer is None:
            buffer = np.empty((size, batch.shape[1]), batch.dtype)
        start = 0
        while start < len(batch):
            taken = min(size - filled, len(batch) - start)
            buffer[filled : filled + taken] = batch[start : start + taken]
            filled, start = filled + taken, start + taken
            if filled == size:
                yield buffer
                filled = 0
    if buffer is not None and filled:
        yield buffer[:filled]


def _gains(roots: NDArray[np.float64], num_images: int, epsilon: float) -> NDArray[np.float64]:
    """√n / (s + ε) for singular values s of the rescaled images."""
    return np.asarray(math.sqrt(num_images) / (roots + epsilon), np.float64)
