"""Room for what is decoded: how much at once, and where it lies."""

import os
import tempfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import StorageError

DECODED_BYTES_IN_MEMORY = 512 * 2**20
"""A task's decoded sources beyond this go to a mapped temporary file."""
PIXELS_AT_ONCE = 2**20
"""Pixels read or rendered per call: programs of a batch stay in cache, and calls stay few."""


def room_for(count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """(count,) zeros, kept until the array is dropped.

    Raises:
        StorageError: the disk for temporary files is too small.
    """
    if count * dtype.itemsize <= DECODED_BYTES_IN_MEMORY:
        return np.zeros(count, dtype=dtype)
    # The name is gone at once; the mapping keeps the space until the array is dropped.
    with tempfile.TemporaryFile(prefix="materialize-decoded-") as file:
        needed = count * dtype.itemsize
        try:
            # Taken now: a mapped page that finds no room on the disk later kills the process.
            os.posix_fallocate(file.fileno(), 0, needed)
        except OSError as error:
            raise StorageError(
                f"{tempfile.gettempdir()}: expected room for {needed:,} bytes of decoded images, "
                f"got {error.strerror}; free some space, point TMPDIR elsewhere, or begin the "
                "pipeline with a resize, which is what is kept then",
                {"path": tempfile.gettempdir(), "expected": needed},
            ) from error
        return np.memmap(file, dtype=dtype, mode="r+", shape=(count,))
