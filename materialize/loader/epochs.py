"""The orders of a loader's epochs, one after another."""

from typing import Any

from materialize.loader.order import EpochOrder, OrderOptions, Visits
from materialize.loader.samples import Samples
from materialize.loader.turns import Turns


class Epochs:
    """Gives the order of any epoch; that of the last one asked for is kept.

    Args:
        samples: what epochs show.
        visits: which copies of them.
        options: how an epoch is put in order.
    """

    def __init__(self, samples: Samples, visits: Visits, options: OrderOptions) -> None:
        """Know how many images an epoch shows."""
        self._samples, self._visits, self._options = samples, visits, options
        self._turns = None
        if samples.rates is not None:
            self._turns = Turns.of(samples.rates, stand_in=visits.per_epoch == "one")
        self._last = (0, self._made(0))
        self.num_places = len(self._last[1])

    def order(self, epoch: int) -> EpochOrder:
        """What stands where in an epoch, from 0."""
        number, order = self._last
        if number != epoch:
            order = self._made(epoch)
            self._last = (epoch, order)
        return order

    def identity(self) -> dict[str, Any]:
        """JSON-ready: what a state belongs to."""
        visits = self._visits
        copies = None if visits.copies is None else list(visits.copies)
        return {
            "samples": self._samples.digest,
            "order": self._options.identity(),
            "copies": copies,
            "per_epoch": visits.per_epoch,
            **({} if self._turns is None else {"balance": self._turns.digest()}),
        }

    def _made(self, epoch: int) -> EpochOrder:
        size, digest = len(self._samples), self._samples.digest
        return EpochOrder.of(size, digest, self._visits, self._options, epoch, self._turns)
