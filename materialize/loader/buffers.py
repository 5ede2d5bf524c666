"""Memory for batches that is used again as soon as nobody looks at it any more.

Fresh memory is handed out by the system in zeroed pages, which costs as much as filling it. A
loader that reused its memory blindly would change batches behind the back of whoever kept them.
CPython counts references, and a view keeps its array alive, so whether anybody still looks is
known.
"""

import sys
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

_OWN_REFERENCES = 3
"""The list's, the loop variable's and that of the question itself."""


class BufferPool:
    """Arrays of one shape; thread-safe.

    Args:
        shape: of each.
        dtype: of each.
        keep: how many are kept for use again, at most.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], keep: int) -> None:
        """Without memory; it is taken as it is asked for."""
        self._shape, self._dtype, self._keep = shape, dtype, keep
        self._arrays: list[NDArray[Any]] = []
        self._lock = threading.Lock()

    def take(self) -> NDArray[Any]:
        """An array that nobody else looks at, with arbitrary contents."""
        with self._lock:
            for array in self._arrays:
                if sys.getrefcount(array) == _OWN_REFERENCES:
                    return array
            fresh = np.empty(self._shape, self._dtype)
            if len(self._arrays) < self._keep:
                self._arrays.append(fresh)
            return fresh
