"""A file as read-only memory, without keeping it open.

`mmap.mmap` keeps a descriptor of each file for as long as it is mapped (until Python 3.13), and a
process may often have no more than 1,024 of them: fewer than a large dataset has shards. A mapping
itself needs none.
"""

import ctypes
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PROT_READ = 1
_MAP_SHARED = 1
_MADV_POPULATE_READ = 22
"""Linux 5.14: read pages in and enter them into the page table, 64 MiB in about 0.1 ms."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long
)  # fmt: skip
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_libc.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_FAILED = ctypes.c_void_p(-1).value


class MappedMemory:
    """The bytes of a file; unmapped when no array looks into them any more.

    Args:
        descriptor: of the open file, which may be closed afterwards.
        num_bytes: its length, at least 1.

    Raises:
        OSError: the system refused.
    """

    def __init__(self, descriptor: int, num_bytes: int) -> None:
        """Map the whole file."""
        address = _libc.mmap(None, num_bytes, _PROT_READ, _MAP_SHARED, descriptor, 0)
        if address == _FAILED:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        self._address, self._num_bytes = address, num_bytes

    def __del__(self) -> None:
        if hasattr(self, "_address"):
            _libc.munmap(self._address, self._num_bytes)

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """How NumPy looks at the bytes without copying them."""
        return {
            "data": (self._address, True), "shape": (self._num_bytes,), "typestr": "|u1",
            "version": 3,
        }  # fmt: skip


def as_bytes(memory: MappedMemory) -> NDArray[np.uint8]:
    """(num_bytes,) read-only view that keeps the mapping alive."""
    return np.asarray(memory)


def read_ahead(mapped: NDArray[Any]) -> None:
    """Brings mapped pages into memory and into the page table; where that is unknown, nothing."""
    page = os.sysconf("SC_PAGE_SIZE")
    start = mapped.ctypes.data // page * page
    _libc.madvise(start, mapped.ctypes.data + mapped.nbytes - start, _MADV_POPULATE_READ)
