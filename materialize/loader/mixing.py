"""Whom the images of a loader are mixed with: one answer for all arms, whatever the pixels are of.

Partners and weights are drawn by address, as they were when the shards were written; nothing is
read for them, and no list of an epoch is kept.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materialize.loader.samples import Samples
from materialize.partners import NOBODY, PartnerPools
from pipelines import Pipeline


@dataclass(frozen=True, slots=True, eq=False)
class Mixed:
    """What m images are mixed with."""

    partners: NDArray[np.int64]
    """(m,) rows of the samples; -1 where an image is not mixed."""
    labels: NDArray[np.int32]
    """(m,) the partners', or the images' own."""
    weights: NDArray[np.float32]
    """(m,) the share of the images' own labels."""


class Mixing:
    """Draws partners for the samples of a loader.

    Args:
        pools: of the dataset.
        samples: of the loader; none of the others is mixed into them.
        pipeline: with a step that mixes.
        seed: of the augmentation.

    Raises:
        ConfigError: others would be mixed into the samples.
    """

    def __init__(
        self, pools: PartnerPools, samples: Samples, pipeline: Pipeline, seed: int
    ) -> None:
        """Draw nothing yet."""
        self._pools, self._samples = pools, samples
        self._pipeline, self._seed = pipeline, seed
        self._rows = pools.sample_rows(samples.ids)
        self._samples_at = np.full(len(pools.population), -1, np.int64)
        self._samples_at[self._rows] = np.arange(len(samples))

    @property
    def digest(self) -> str:
        """Names who may be mixed with whom."""
        return self._pools.digest

    def of(self, rows: NDArray[np.int64], copies: NDArray[np.int64]) -> Mixed:
        """What some images are mixed with.

        Args:
            rows: (m,) of the samples.
            copies: (m,) which copy of each; an untouched image (-1) is not mixed.
        """
        pairing = self._pools.pair(self._pipeline, self._seed, self._rows[rows], copies)
        is_mixed = pairing.rows != NOBODY
        partners = np.where(is_mixed, self._samples_at[pairing.rows], NOBODY)
        labels = self._samples.labels[np.where(is_mixed, partners, rows)]
        return Mixed(partners, labels, pairing.weights)


def mixing_of(
    pools: PartnerPools | None, samples: Samples, pipeline: Pipeline, seed: int
) -> Mixing | None:
    """The mixing of a loader; None where no step mixes, or the samples are never augmented.

    Raises:
        ConfigError: others would be mixed into the samples.
    """
    if pools is None or samples.split != "train":
        return None
    return Mixing(pools, samples, pipeline, seed)
