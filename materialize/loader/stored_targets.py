"""Masks and objects from shards: masks have their own, objects stand beside the images."""

import numpy as np
from numpy.typing import NDArray

from materialize.loader.stored import StoredFeed
from pipelines.objects import ObjectKinds, Objects


class StoredTargets:
    """Reads what moved with the copies of some samples.

    Args:
        images: the feed of the images, beside which their objects stand.
        masks: the feed of their masks; None where there are none.
        kinds: what the objects are; None where there are none.
    """

    def __init__(
        self, images: StoredFeed, masks: StoredFeed | None, kinds: ObjectKinds | None
    ) -> None:
        """Map nothing yet."""
        self._images, self._masks, self.kinds = images, masks, kinds
        self.mask_shape = None if masks is None else masks.image_shape
        if masks is not None:
            masks.spent = images.spent

    def begin_epoch(self, copies: tuple[int, ...]) -> None:
        """As the masks' shards do; those of the images are begun by whoever reads images."""
        if self._masks is not None:
            self._masks.begin_epoch(copies)

    def end_epoch(self) -> None:
        """As the masks' shards do."""
        if self._masks is not None:
            self._masks.end_epoch()

    def fetch(
        self,
        rows: NDArray[np.int64],
        copies: NDArray[np.int64],
        masks: NDArray[np.uint8] | None,
    ) -> Objects | None:
        """Writes m masks and returns the objects of m images; see `TargetFeed.fetch`.

        Raises:
            ShardError: a shard is damaged or missing.
        """
        if self._masks is not None and masks is not None:
            self._masks.fetch(rows, copies, masks)
        return None if self.kinds is None else self._images.objects(rows, copies)

    def close(self) -> None:
        """Lets go of the masks' shards."""
        if self._masks is not None:
            self._masks.close()
