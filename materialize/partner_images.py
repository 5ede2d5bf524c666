"""The images that a run's images are mixed with, decoded as seldom as memory allows.

Partners are scattered over the whole dataset. Those of all copies of a run are decoded once where
they fit the budget, else those of one copy, else those of one batch: never more at a time, and to
the same bytes.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from materialize.feasibility import prepared_canvas
from materialize.partners import NOBODY, Pairing
from materialize.planning import take_rows
from materialize.population.table import Population
from pipelines import Pipeline
from pipelines.contract import Arena
from pipelines.randomness import Words

PARTNER_BYTES = 512 * 2**20
"""Decoded partners that are kept at a time."""


class PartnerImages:
    """Prepared partners by copy and row; not for concurrent use.

    Args:
        pairings: of a run, by copy, over one population.
        pipeline: that draws and prepares.
        seed: of the augmentation.
        prepare: decodes and prepares some rows of that population.
    """

    def __init__(
        self,
        pairings: Mapping[int, Pairing],
        pipeline: Pipeline,
        seed: int,
        prepare: Callable[[Population], Arena],
    ) -> None:
        """Decode nothing yet."""
        self._pairings, self._pipeline, self._seed = pairings, pipeline, seed
        self._prepare = prepare
        self._images: Arena | None = None
        self._places = np.empty(0, np.int64)
        if pairings:
            population = next(iter(pairings.values())).population
            canvas = prepared_canvas(pipeline, population)
            value_bytes = population.channels * np.dtype(population.dtype).itemsize
            self._bytes = canvas.heights * canvas.widths * value_bytes
            self._everyone = _distinct(np.concatenate([p.rows for p in pairings.values()]))
            self._places = np.full(len(population), NOBODY, np.int64)

    def fetch(self, copy: int, rows: NDArray[np.int64]) -> tuple[Arena, Words] | tuple[None, None]:
        """The partners of some rows of a copy, and what is drawn for them; None where nobody mixes.

        Args:
            copy: which copy; one without a pairing is not mixed.
            rows: (m,) of the run.

        Returns:
            m images, that of anybody where a row is not mixed, and (m, words) uint32.

        Raises:
            MaterializeError: whatever decoding raises.
        """
        pairing = self._pairings.get(copy)
        if pairing is None:
            return None, None
        partners = pairing.rows[rows]
        is_mixed = partners != NOBODY
        if not is_mixed.any():
            return None, None
        partners = np.where(is_mixed, partners, partners[is_mixed.argmax()])
        images = self._images
        if images is None or (self._places[partners] == NOBODY).any():
            images = self._load(pairing, partners)
        ids = pairing.population.ids[partners]
        words = self._pipeline.draw(self._seed, ids, copy)
        return images.take(self._places[partners]), words

    def _load(self, pairing: Pairing, partners: NDArray[np.int64]) -> Arena:
        """Decodes as many as there is room for, and these at least."""
        wanted = self._everyone
        for narrower in (pairing.rows, partners):
            if self._bytes[wanted].sum() > PARTNER_BYTES:
                wanted = _distinct(narrower)
        self._images = None  # before the next ones take memory
        images = self._prepare(take_rows(pairing.population, wanted))
        self._places[:] = NOBODY
        self._places[wanted] = np.arange(len(wanted))
        self._images = images
        return images


def _distinct(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """(m,) ascending, without `NOBODY`."""
    return np.unique(rows[rows != NOBODY])
