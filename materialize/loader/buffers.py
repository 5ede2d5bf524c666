"""Memory for batches that is used again as soon as nobody looks at it any more.

Fresh memory is handed out by the system in zeroed pages, which costs as much as filling it. A
loader that reused its memory blindly would change batches behind the back of whoever kept them.
CPython counts references, and a view keeps its array alive, so whether anybody still looks is
known.
"""

import math
import sys
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

_OWN_REFERENCES = 3
"""The list's, the loop variable's and that of the question itself."""
_ALIGNMENT = 64
"""Of the first byte: TensorFlow takes arrays that begin so without copying them."""


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
        self._num_bytes = math.prod(shape) * dtype.itemsize
        self._kept: list[NDArray[np.uint8]] = []
        self._lock = threading.Lock()

    def take(self) -> NDArray[Any]:
        """An array that nobody else looks at, with arbitrary contents."""
        with self._lock:
            for memory in self._kept:
                if sys.getrefcount(memory) == _OWN_REFERENCES:
                    return self._array(memory)
            fresh = np.empty(self._num_bytes + _ALIGNMENT, np.uint8)
            if len(self._kept) < self._keep:
                self._kept.append(fresh)
            return self._array(fresh)

    def _array(self, memory: NDArray[np.uint8]) -> NDArray[Any]:
        start = -memory.ctypes.data % _ALIGNMENT
        return memory[start : start + self._num_bytes].view(self._dtype).reshape(self._shape)
