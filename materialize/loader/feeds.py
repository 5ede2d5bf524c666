"""Where the pixels of a batch come from: the one thing in which the arms of a contrast differ."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.objects import ObjectKinds, Objects


class Feed(Protocol):
    """Pixels by row and copy; its methods may be called from several threads at once."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""

    @property
    def image_dtype(self) -> np.dtype[Any]:
        """uint8 or float32."""

    @property
    def spent(self) -> "Spent":
        """Processor time by kind of work."""

    def begin_epoch(self, copies: tuple[int, ...]) -> None:
        """Called before the first batch of an epoch is fetched, with the copies it shows."""

    def end_epoch(self) -> None:
        """Called when nobody asks for batches of the epoch any more."""

    def fetch(self, rows: NDArray[np.int64], copies: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Writes m images.

        Args:
            rows: (m,) rows of the samples.
            copies: (m,) which copy of each; -1 for the untouched image.
            out: (m, H, W, C), C-contiguous; written.
        """

    def close(self) -> None:
        """Let go of files."""


class TargetFeed(Protocol):
    """Masks and objects by row and copy; its methods may be called from several threads at once."""

    @property
    def mask_shape(self) -> tuple[int, int, int] | None:
        """(H, W, channels) of every mask; None where there are none."""

    @property
    def kinds(self) -> ObjectKinds | None:
        """What the objects are; None where there are none."""

    def begin_epoch(self, copies: tuple[int, ...]) -> None:
        """As `Feed.begin_epoch`, and after it."""

    def end_epoch(self) -> None:
        """As `Feed.end_epoch`."""

    def fetch(
        self,
        rows: NDArray[np.int64],
        copies: NDArray[np.int64],
        masks: NDArray[np.uint8] | None,
    ) -> Objects | None:
        """Writes m masks and returns the objects of m images.

        Args:
            rows: (m,) rows of the samples.
            copies: (m,) which copy of each; -1 for the untouched image.
            masks: (m, *mask_shape), C-contiguous, written; None where there are none.
        """

    def close(self) -> None:
        """Let go of files."""


class Spent:
    """Seconds of processor time by kind of work, summed over threads."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    @contextmanager
    def on(self, work: str) -> Iterator[None]:
        """Counts what this thread works inside the block."""
        start = time.thread_time()
        try:
            yield
        finally:
            spent = time.thread_time() - start
            with self._lock:
                self._seconds[work] += spent

    def seconds(self) -> dict[str, float]:
        """By kind of work: ``read`` (shards, or files and their decoding) and ``augment``."""
        with self._lock:
            return {"read": 0.0, "augment": 0.0} | dict(self._seconds)
