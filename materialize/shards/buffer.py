"""Memory that HDF5 takes for a file.

libhdf5 must never write to a disk: when a write fails there, it raises on close, crashes the
process at exit and leaves a file nobody can open. So it writes here, through h5py's file-object
driver, and we write the finished bytes ourselves.

The same memory serves one shard after the other, and no byte of an earlier shard may show in a
later one. HDF5 leaves gaps (alignment, room in headers) that a disk would fill with zeros; so does
this buffer, except in the region the writer reserves for pixels, which HDF5 allocates but never
writes: augmentation renders straight into it, and a shard is assembled without copying a pixel.
"""

import numpy as np
from numpy.typing import NDArray

_GROWTH = 2

_TAIL_ROOM = 1 << 16
"""What HDF5 writes behind the pixels fits in here, so that they are not copied into more memory."""


class ShardBuffer:
    """A growing byte array with the methods h5py asks of a file object.

    Args:
        capacity: bytes to begin with. Memory is only used where something is written, so a
            generous number costs nothing.
    """

    def __init__(self, capacity: int = 1 << 20) -> None:
        """An empty file."""
        # NumPy asks for huge pages: filling 128 MiB for the first time took 12 ms, and 53 to 91 ms
        # in an anonymous mmap.
        self._memory: NDArray[np.uint8] = np.zeros(max(capacity, 1), np.uint8)
        self.reset()

    def reset(self) -> None:
        """Become an empty file; the memory stays. Views handed out before must not be used."""
        self._position = 0
        self._size = 0
        self._settled = 0
        self._hole = range(0)

    @property
    def capacity(self) -> int:
        """Bytes of memory held."""
        return self._memory.size

    @property
    def size(self) -> int:
        """Bytes of the file so far."""
        return self._size

    def reserve(self, hole: range) -> None:
        """Leave a region to the caller: it is neither zeroed nor counted as written.

        Args:
            hole: byte positions; must be told before anything behind them is written.
        """
        self._ensure(hole.stop + _TAIL_ROOM)
        self._hole = hole

    def view(self) -> memoryview:
        """The bytes of the file, read-only, without a copy; valid until `reset`."""
        self._settle(self._size)
        return self._memory[: self._size].data.toreadonly()

    def array(self, region: range) -> NDArray[np.uint8]:
        """The bytes of a region as a writable (len,) array, without a copy; valid until `reset`."""
        return self._memory[region.start : region.stop]

    # What h5py's file-object driver calls; the names and meanings are those of io.RawIOBase.

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move and return the position."""
        self._position = offset + (0, self._position, self._size)[whence]
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Bytes from the position; h5py only looks whether this method exists."""
        end = self._size if size < 0 else min(self._position + size, self._size)
        out = bytearray(max(0, end - self._position))
        self.readinto(memoryview(out))
        return bytes(out)

    def readinto(self, target: memoryview) -> int:
        """Fill ``target`` from the position; what was never written reads as zeros."""
        out = np.frombuffer(target, np.uint8)
        stop = self._position + out.size
        self._ensure(stop)
        self._settle(stop)
        out[:] = self._memory[self._position : stop]
        self._position = stop
        return int(out.size)

    def write(self, data: memoryview) -> int:
        """Write at the position."""
        source = np.frombuffer(data, np.uint8)
        stop = self._position + source.size
        self._ensure(stop)
        self._settle(self._position)
        self._memory[self._position : stop] = source
        self._settled = max(self._settled, stop)
        self._size = max(self._size, stop)
        self._position = stop
        return int(source.size)

    def truncate(self, size: int | None = None) -> int:
        """Set the file's size; growing adds zeros."""
        self._size = self._position if size is None else size
        self._ensure(self._size)
        self._settled = min(self._settled, self._size)
        return self._size

    def flush(self) -> None:
        """Nothing is held back."""

    def _ensure(self, num_bytes: int) -> None:
        """Grow the memory; happens before views are handed out, so none goes stale."""
        if num_bytes > self._memory.size:
            grown = np.zeros(max(num_bytes, _GROWTH * self._memory.size), np.uint8)
            grown[: self._settled] = self._memory[: self._settled]
            self._memory = grown

    def _settle(self, position: int) -> None:
        """Zero what lies unwritten before ``position``, sparing the reserved region."""
        before = min(position, self._hole.start) if self._hole else position
        if self._settled < before:
            self._memory[self._settled : before] = 0
        after = max(self._settled, self._hole.stop)
        if self._hole and after < position:
            self._memory[after:position] = 0
        self._settled = max(self._settled, position)
