"""The first batch of a process, which does not wait for compiled code.

numba takes a quarter of a second to load its first function, most of it importing SciPy. So what
the first images need is done by NumPy, to the same bytes, and compiled code is loaded for the next
ones, while the receiver works on the first.
"""

import threading

_first_images = threading.Event()


def is_started() -> bool:
    """Whether this process has read images, so that compiled code is worth its loading."""
    return _first_images.is_set()


def note_images() -> None:
    """Says that images were read."""
    _first_images.set()
