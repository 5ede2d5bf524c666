"""Keeps decoded chunks, because neighbouring batches want rows of the same ones.

Bounded in bytes; what was asked for longest ago goes first. A chunk that two threads want at once
is decoded by one of them while the other waits.
"""

import threading
from collections import OrderedDict
from concurrent.futures import Future
from typing import Any

from numpy.typing import NDArray

from materialize.shards.chunk_reader import ChunkReader

Key = tuple[int, int]
"""Which shard, as its user numbers them; which chunk of it."""


class DecodedChunks:
    """Decoded chunks of any number of shards; thread-safe.

    Chunks handed out stay valid after they were dropped here; so the memory is at most
    ``budget_bytes`` and one chunk for each thread that is decoding or still looks at one.

    Args:
        budget_bytes: what the kept chunks may occupy; a chunk larger than that is never kept.
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
        """What the kept chunks occupy now."""
        return self._kept_bytes

    def get(self, key: Key, chunks: ChunkReader) -> NDArray[Any]:
        """A chunk, decoded if it is not kept.

        Args:
            key: number of the shard, the same for every reader of it, and of the chunk.
            chunks: of that shard.

        Returns:
            (rows, H, W, C), read-only; see `ChunkReader.decode`, also for the errors. An error is
            raised in every thread that waits for the chunk, and the next call tries again.
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
            self._decode(key, chunks, pending)
        return pending.result()

    def _decode(self, key: Key, chunks: ChunkReader, pending: Future[NDArray[Any]]) -> None:
        """Fulfil what others may wait for, with the chunk or with its error."""
        try:
            images = chunks.decode(key[1])
        except BaseException as error:  # noqa: BLE001  (raised by `result`, here and elsewhere)
            with self._lock:
                del self._pending[key]
            pending.set_exception(error)
            return
        with self._lock:
            self._keep(key, images, chunks.chunk_bytes)
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
