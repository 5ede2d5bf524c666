"""Masks and objects made as they are asked for, as `rendered` makes the pixels they belong to."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from materialize.loader.feeds import Spent
from materialize.loader.order import ORIGINAL
from materialize.loader.samples import Samples
from materialize.targets import PreparedTargets, move_targets
from pipelines import Pipeline
from pipelines.objects import ObjectKinds, Objects


class PreparesTargets(Protocol):
    """Masks and objects as they are before anything random happens to them."""

    @property
    def spent(self) -> Spent:
        """Processor time by kind of work."""

    def targets(self, rows: NDArray[np.int64]) -> PreparedTargets:
        """Those of some rows of the samples."""

    def close(self) -> None:
        """Let go of files."""


class RenderedTargets:
    """Moves the masks and objects of some samples as their copies are asked for.

    Args:
        prepared: where they come from; closed by whoever renders the images.
        samples: whose rows are asked for.
        pipeline: what happens to each copy.
        seed: of the augmentation.
        mask_shape: (H, W, channels) of every copy's mask; None where there are none.
        kinds: what the objects are; None where there are none.
    """

    def __init__(  # a feed is made in one place
        self,
        prepared: PreparesTargets,
        samples: Samples,
        pipeline: Pipeline,
        *,
        seed: int,
        mask_shape: tuple[int, int, int] | None,
        kinds: ObjectKinds | None,
    ) -> None:
        """Move nothing yet."""
        self._prepared, self._samples, self._pipeline = prepared, samples, pipeline
        self._seed, self.mask_shape, self.kinds = seed, mask_shape, kinds

    @classmethod
    def of(
        cls,
        prepared: PreparesTargets,
        samples: Samples,
        pipeline: Pipeline,
        *,
        seed: int,
        size: tuple[int, int],
    ) -> "RenderedTargets":
        """Everything that moves with the pixels of some samples.

        Args:
            prepared: where it comes from.
            samples: whose rows are asked for.
            pipeline: what happens to each copy.
            seed: of the augmentation.
            size: height and width of every copy.
        """
        schema = samples.schema
        shape = (*size, len(schema.mask_names)) if schema.mask_names else None
        return cls(prepared, samples, pipeline, seed=seed, mask_shape=shape, kinds=schema.objects)

    def begin_epoch(self, copies: tuple[int, ...]) -> None:
        """Nothing to prepare."""

    def end_epoch(self) -> None:
        """Nothing to stop."""

    def fetch(
        self,
        rows: NDArray[np.int64],
        copies: NDArray[np.int64],
        masks: NDArray[np.uint8] | None,
    ) -> Objects | None:
        """Writes m masks and returns the objects of m images; see `TargetFeed.fetch`."""
        targets = self._prepared.targets(rows)
        with self._prepared.spent.on("augment"):
            parts, places = [], []
            for here in (np.flatnonzero(copies == ORIGINAL), np.flatnonzero(copies != ORIGINAL)):
                if not len(here):
                    continue
                words = None
                if copies[here[0]] != ORIGINAL:
                    ids = self._samples.ids[rows[here]]
                    words = self._pipeline.draw(self._seed, ids, copies[here])
                own = targets.take(here)
                made = None if masks is None else np.empty((len(here), *masks.shape[1:]), np.uint8)
                objects = move_targets(self._pipeline, own, words, kinds=self.kinds, masks=made)
                if masks is not None and made is not None:
                    masks[here] = made
                if objects is not None:
                    parts.append(objects)
                    places.append(here)
            if self.kinds is None:
                return None
            return Objects.joined(parts).take(np.argsort(np.concatenate(places)))

    def close(self) -> None:
        """Nothing is open."""
