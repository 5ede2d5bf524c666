"""Keeps decoded blocks, because neighbouring batches want rows of the same ones.

Bounded in bytes; what was asked for longest ago goes first. A block that two threads want at once
is decoded by one of them while the other waits.
"""

import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import Any

from numpy.typing import NDArray

from materialize.shards.block_reader import BlockReader

Key = tuple[int, int]
"""Which shard, as its user numbers them; which block of it."""


class DecodedBlocks:
    """Decoded blocks of any number of shards; thread-safe.

    Blocks handed out stay valid after they were dropped here; so the memory is at most
    ``budget_bytes`` and one block for each thread that is decoding or still looks at one.

    Args:
        budget_bytes: what the kept blocks may occupy; a block larger than that is never kept.
    """

    def __init__(self, budget_bytes: int) -> None:
        """Nothing is kept yet."""
        self.budget_bytes = budget_bytes
        self._kept: OrderedDict[Key, tuple[NDArray[Any], int]] = OrderedDict()
        self._kept_bytes = 0
        self._pending: dict[Key, Future[NDArray[Any]]] = {}
        self._lock = threading.Lock()

    @property
    def kept_bytes(self) -> int:
        """What the kept blocks occupy now."""
        return self._kept_bytes

    def get(self, key: Key, blocks: BlockReader) -> NDArray[Any]:
        """A block, decoded if it is not kept.

        Args:
            key: number of the shard, the same for every reader of it, and of the block.
            blocks: of that shard.

        Returns:
            (rows, H, W, C), read-only; see `BlockReader.decode`, also for the errors. An error is
            raised in every thread that waits for the block, and the next call tries again.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][0]
            pending = self._pending.get(key)
            is_ours = pending is None
            if pending is None:
                pending = self._pending[key] = Future()
        if is_ours:
            self._decode(key, blocks, pending)
        return pending.result()

    def _decode(self, key: Key, blocks: BlockReader, pending: Future[NDArray[Any]]) -> None:
        """Fulfil what others may wait for, with the block or with its error."""
        try:
            images = blocks.decode(key[1])
        except BaseException as error:  # noqa: BLE001  (raised by `result`, here and elsewhere)
            with self._lock:
                del self._pending[key]
            pending.set_exception(error)
            return
        with self._lock:
            self._keep(key, images, blocks.block_bytes)
            del self._pending[key]
        pending.set_result(images)

    def _keep(self, key: Key, images: NDArray[Any], num_bytes: int) -> None:
        """Make room first, then keep it if there is any."""
        if num_bytes > self.budget_bytes:
            return
        while self._kept_bytes + num_bytes > self.budget_bytes:
            _, (_, freed) = self._kept.popitem(last=False)
            self._kept_bytes -= freed
        self._kept[key] = (images, num_bytes)
        self._kept_bytes += num_bytes
