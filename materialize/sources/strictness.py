"""Pillow's process-wide switches, held at their strict setting while any thread decodes.

Warnings filters and ``LOAD_TRUNCATED_IMAGES`` are global to the process, and
`warnings.catch_warnings` is not safe when two threads overlap: the one that leaves last restores
what the other had set. Here the first to enter sets the switches and the last to leave restores
them, so what one image does can depend neither on another thread nor on the caller's settings.
"""

import ctypes
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import PIL
from PIL import Image, ImageFile


class _Switches:
    """The saved settings and the number of threads that rely on them being replaced."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holders = 0
        self._warnings = warnings.catch_warnings()
        self._load_truncated = False

    def acquire(self) -> None:
        with self._lock:
            if self._holders == 0:
                self._load_truncated = ImageFile.LOAD_TRUNCATED_IMAGES
                ImageFile.LOAD_TRUNCATED_IMAGES = False
                self._warnings = warnings.catch_warnings()
                self._warnings.__enter__()
                # By module, so that other threads keep hearing their own warnings.
                warnings.filterwarnings("ignore", module=r"PIL\.")
                warnings.simplefilter("error", Image.DecompressionBombWarning)
            self._holders += 1

    def release(self) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders == 0:
                self._warnings.__exit__(None, None, None)
                ImageFile.LOAD_TRUNCATED_IMAGES = self._load_truncated


_SWITCHES = _Switches()


@contextmanager
def strict_pillow() -> Iterator[None]:
    """Refuse truncated files and decompression bombs, and keep Pillow's warnings to ourselves."""
    _quieten_libtiff()
    _SWITCHES.acquire()
    try:
        yield
    finally:
        _SWITCHES.release()


@cache
def _quieten_libtiff() -> None:
    """Keep libtiff from writing to standard error, hundreds of lines for one damaged file.

    What is wrong with a file reaches the scan as an exception all the same. Pillow's wheels carry
    their own libtiff beside the package; where there is none, nothing is changed.
    """
    for library in (Path(PIL.__file__).parents[1] / "pillow.libs").glob("libtiff*.so*"):
        try:
            libtiff = ctypes.CDLL(str(library))
            for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
                set_handler = getattr(libtiff, name)
                set_handler.restype, set_handler.argtypes = None, [ctypes.c_void_p]
                set_handler(None)
        except (OSError, AttributeError):
            continue
