"""What a source of images is to the rest of the package.

A source knows how to find records and how to read one of them; it never decides what happens to an
image, and it is picklable, because workers carry it. Reading a record gives its identity bytes
(what the sample id is hashed from) and its pixels; whether an image is fit to use is decided by the
scan, and only by what the bytes are.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""(H, W, C) uint8, C-contiguous, C = 1 (grey) or 3 (RGB)."""

Pixels = NDArray[np.uint8] | NDArray[np.float32]
"""An Image, or the same shape in float32 where the source itself holds floats."""

SPLITS = ("train", "val", "test")
"""The splits there are; a split's code is its place here."""


@dataclass(frozen=True, slots=True)
class Record:
    """One input item, as the source describes it before anything is read."""

    locator: str
    """Where it is inside the source: a path relative to the root, with ``/``, or ``row:17``.

    No two records of a source share one.
    """
    label: str | None
    """Its class name; None for an unlabelled source (every record or none)."""
    split: str = "train"
    """``train``, ``val`` or ``test``."""
    group: str = ""
    """Records of one group stay together in splits and folds; empty for no group."""
    explicit_id: str | None = None
    """The value of the id column, where the user named one; replaces the content as identity."""


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """The pixels of one record and how they were come by."""

    pixels: Pixels
    """(H, W, C), C-contiguous and writable: the caller owns it."""
    conversions: tuple[str, ...] = ()
    """Stable short codes of the conversions applied, such as ``cmyk-to-rgb``, ``exif-rotated``."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the header of one record says its decoded image will be."""

    height: int
    width: int
    channels: int
    """1 or 3."""
    conversions: tuple[str, ...] = ()
    """The conversions the header lets foresee."""
    is_float: bool = False
    """Whether the pixels are float32 rather than uint8."""


class Source(Protocol):
    """Random access to labelled images. Deterministic, picklable, safe to read from threads."""

    def __len__(self) -> int:
        """Number of records."""
        ...

    def record(self, index: int) -> Record:
        """The description of record ``index`` in [0, len)."""
        ...

    def identity_bytes(self, index: int) -> bytes:
        """The bytes whose SHA-256 is the record's identity: the file, or dtype + shape + values.

        Raises:
            RecordReadError: the bytes could not be read.
        """
        ...

    def source_bytes(self, content: bytes) -> int:
        """What a record occupies in the source: the length of its file, or of its values.

        Args:
            content: what ``identity_bytes`` returned for it.
        """
        ...

    def decode(self, content: bytes, index: int) -> DecodedImage:
        """The pixels in ``content``, which is what ``identity_bytes(index)`` returned.

        Raises:
            UndecodableImageError: the bytes are not an image that is accepted.
        """
        ...

    def measure(self, content: bytes, index: int) -> Measurement:
        """What ``decode`` would give, from the header alone.

        Raises:
            UndecodableImageError: the header already shows that the image is not accepted.
        """
        ...

    def class_names(self) -> tuple[str, ...]:
        """The class names in label order; empty for an unlabelled source."""
        ...

    def describe(self) -> dict[str, Any]:
        """JSON-ready facts to find this source again (kind, path, options); kept in a sidecar."""
        ...


def first_few(items: Iterable[Any], shown: int = 3) -> str:
    """The first items of a list for an error message, and how many more there are."""
    listed = [str(item) for item in items]
    more = f" and {len(listed) - shown} more" if len(listed) > shown else ""
    return ", ".join(listed[:shown]) + more
