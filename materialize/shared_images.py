"""Prepared images that everybody needs, each decoded once, by whoever needs it first.

Where images are mixed, every run and every batch is made of images of the whole dataset. They lie
in one mapped temporary file without a name, which all workers of a machine fill and read. It
decides time and never bytes: who cannot map it decodes for itself.
"""

import contextlib
import fcntl
import mmap
import os
import secrets
import stat
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from materialize.feasibility import prepared_canvas
from materialize.population.identity import rows_of
from materialize.population.table import Population
from pipelines import Pipeline
from pipelines.contract import Arena
from pipelines.kernels import SLACK_BYTES

SHARED_BYTES = 4 * 2**30
"""Prepared images of one file, at most."""
_PIXELS_AT_ONCE = 2**18
"""Decoded between looking at what others have done."""
_TOKEN_BYTES = 16
_FREE, _CLAIMED, _THERE = range(3)


class SharedImages:
    """Room for the prepared images of a population, empty at first.

    It may be sent to other processes of the machine while the one that made it lives; where the
    file cannot be found, what arrives is None.

    Args:
        descriptor: of the file, whose owner this becomes.
        address: where other processes find the file.
        num_images: n.
        channels: of every image.
        dtype: of every image.
    """

    def __init__(
        self, descriptor: int, address: str, num_images: int, channels: int, dtype: str
    ) -> None:
        """Map the file."""
        weakref.finalize(self, os.close, descriptor)
        self._descriptor, self._lock = descriptor, threading.Lock()
        self._facts = (address, num_images, channels, dtype)
        mapped = np.frombuffer(mmap.mmap(descriptor, 0), np.uint8)
        self._token = mapped[:_TOKEN_BYTES].tobytes()
        columns, end = [], _TOKEN_BYTES
        for width in (16, 8, 8, 8, 1):
            columns.append(mapped[end : end + width * num_images])
            end += width * num_images
        self._ids, self._states = columns[0].reshape(num_images, 16), columns[-1]
        starts, heights, widths = (column.view(np.int64) for column in columns[1:-1])
        values = mapped[_index_bytes(num_images) :].view(dtype)
        self._images = Arena(values, starts, heights, widths, channels)

    @classmethod
    def of(cls, population: Population, pipeline: Pipeline, spare_bytes: int = 0) -> Self | None:
        """Room for the images of a population, if they fit the budget and the disk.

        Args:
            population: at least one image.
            pipeline: its resize decides how large they are.
            spare_bytes: what has to remain free on the disk for temporary files.
        """
        canvas = prepared_canvas(pipeline, population)
        heights, widths, dtype = canvas.heights, canvas.widths, np.dtype(population.dtype)
        ends = np.cumsum(heights * widths * population.channels)
        starts = ends - heights * widths * population.channels
        behind = int(widths.max()) * population.channels + SLACK_BYTES
        index = _index_bytes(len(population))
        num_bytes = index + (int(ends[-1]) + behind) * dtype.itemsize
        free = os.statvfs(tempfile.gettempdir())
        if num_bytes > min(SHARED_BYTES, free.f_bavail * free.f_frsize - spare_bytes):
            return None
        with tempfile.TemporaryFile(prefix="materialize-decoded-") as file:
            try:
                # Taken now: a mapped page that finds no room on the disk later kills the process.
                os.posix_fallocate(file.fileno(), 0, num_bytes)
            except OSError:
                return None
            file.write(secrets.token_bytes(_TOKEN_BYTES))
            for column in (population.ids, starts, heights, widths):
                file.write(np.ascontiguousarray(column).data)
            file.flush()
            descriptor = os.dup(file.fileno())
        # The file has no name, so that nothing is left of it, whoever is killed; Linux knows it by
        # who holds it.
        address = f"/proc/{os.getpid()}/fd/{descriptor}"
        return cls(descriptor, address, len(population), population.channels, dtype.name)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """The address, and what shows that it is the file."""
        return _mapped, (self._token, *self._facts)

    def places(self, sample_ids: NDArray[np.uint8]) -> NDArray[np.int64]:
        """(m,) where some images are, by id; -1 for those there is no room for."""
        return rows_of(sample_ids, self._ids)

    def prepared(
        self, places: NDArray[np.int64], decode: Callable[[NDArray[np.int64]], Arena]
    ) -> Arena:
        """Some of the images, where they lie: not to be written to.

        What nobody has decoded is decoded here, what others are at only where nothing else is left:
        nobody waits for who may have been killed.

        Args:
            places: (m,) which.
            decode: gives the prepared images of some of the m.

        Raises:
            MaterializeError: whatever ``decode`` raises.
        """
        wanted, rows = np.unique(places, return_index=True)
        taken = self._images.take(wanted)
        at_once = max(_PIXELS_AT_ONCE // int((taken.heights * taken.widths).max(initial=1)), 1)
        done = np.empty(0, np.int64)
        while True:
            with self._alone():
                self._states[wanted[done]] = _THERE
                states = self._states[wanted]
                missing = np.flatnonzero(states != _THERE)
                free = np.flatnonzero(states == _FREE)
                done = (free if len(free) else missing)[:at_once]
                self._states[wanted[done]] = _CLAIMED
            if not len(done):
                return self._images.take(places)
            images = decode(rows[done])
            for number, row in enumerate(done.tolist()):
                taken.image(row)[...] = images.image(number)

    def forget(self) -> None:
        """As if none had been decoded; images that were handed out stay as they are."""
        with self._alone():
            self._states[:] = _FREE

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps other threads and processes away, and lets each see what the one before wrote."""
        with self._lock:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)


def _index_bytes(num_images: int) -> int:
    """Before the pixels: the token, ids, starts, heights, widths and states."""
    return -(-(_TOKEN_BYTES + 41 * num_images) // 64) * 64


def _mapped(token: bytes, address: str, *facts: Any) -> SharedImages | None:
    """The images in another process; None where the file is not within reach."""
    try:
        descriptor = os.open(address, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
    if not is_file or os.pread(descriptor, _TOKEN_BYTES, 0) != token:
        os.close(descriptor)
        return None
    return SharedImages(descriptor, address, *facts)
