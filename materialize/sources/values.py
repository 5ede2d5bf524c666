"""One canonical form for the values of image arrays: uint8 wherever that loses nothing.

The same images come as uint8, as int64 out of a table, as floats that somebody divided by 255. They
are one dataset and take one byte a value, so whatever is provably whole numbers in 0..255, or those
divided by 255, becomes uint8; the conversion code says which, and that is what undoes it. Other
floats stay floats, in 32 bits. Nothing is ever rounded or clipped into place.

Images that hold NaN or infinity are set apart first. They are quarantined by name later, and must
not decide what the others become: a repaired array has to keep the identity of every other image.

    code            found                                   value = uint8 ×
    (none)          uint8                                   1
    from-integers   integers of 32 or 64 bits in 0..255     1
    from-whole      floats, all whole and in 0..255         1
    from-unit       floats, all equal to v / 255            1/255
    from-float64    other floats of 64 bits, now 32         (float32)
    from-float16    other floats of 16 bits, now 32         (float32)
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import SourceError
from materialize.sources.base import Pixels

_BLOCK_VALUES = 1 << 20
"""Values looked at in one go: temporaries stay at a few MiB beside arrays of many GiB."""

UNIT_CODE = "from-unit"
"""The conversion code of arrays that were uint8 divided by 255."""


@dataclass(frozen=True, slots=True)
class CanonicalValues:
    """A stack of images in the form it is hashed, kept and augmented in."""

    values: Pixels
    """(N, H, W, C) uint8 or float32, C-contiguous, little-endian."""
    conversions: tuple[str, ...] = ()
    unfit: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    """The images with NaN or infinity among their values, by row; zeros in ``values``."""


def canonical_values(images: NDArray[Any], name: str) -> CanonicalValues:
    """The images in uint8, exactly, or else in float32.

    Args:
        images: (N, H, W, C); not modified, and not copied if it is contiguous uint8.
        name: what to call the array in a message.

    Raises:
        SourceError: the dtype has no stated meaning as pixels.
    """
    kind, bits = images.dtype.kind, images.dtype.itemsize * 8
    if images.dtype == np.uint8:
        return CanonicalValues(np.ascontiguousarray(images))
    if kind in "iu" and bits >= 32:
        if all(((block >= 0) & (block <= 255)).all() for _, block in _blocks(images)):
            return CanonicalValues(images.astype(np.uint8), ("from-integers",))
        raise _refused(images, name, "whose values leave 0..255: scale them to uint8 first")
    if kind == "f" and bits <= 64:
        return _from_floats(images)
    if kind == "u":
        raise _refused(
            images, name, "which the colour tables do not cover: divide by 257 and round to uint8"
        )
    raise _refused(images, name, "which has no stated meaning as pixels: convert to uint8 first")


def _refused(images: NDArray[Any], name: str, why: str) -> SourceError:
    return SourceError(
        f"{name} are {images.dtype.name}, {why}",
        {"expected": "uint8 or float32", "found": images.dtype.name},
    )


def _blocks(images: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """The stack in runs of whole images, each with its first row."""
    step = max(1, _BLOCK_VALUES // int(np.prod(images.shape[1:])))
    return ((start, images[start : start + step]) for start in range(0, len(images), step))


def _from_floats(images: NDArray[Any]) -> CanonicalValues:
    unfit = _unfit(images)
    # Units before whole numbers: an array of zeros and ones alone is black and white, not two
    # shades of black.
    for code, table in _tables(images.dtype):
        converted = _looked_up(images, table, unfit)
        if converted is not None:
            return CanonicalValues(converted, (code,), unfit)
    with np.errstate(over="ignore"):
        values = np.array(images, dtype="<f4", order="C")
    values[list(unfit)] = 0
    note = () if images.dtype == np.float32 else (f"from-{images.dtype.name}",)
    return CanonicalValues(values, note, unfit)


def _unfit(images: NDArray[Any]) -> dict[int, NDArray[np.float32]]:
    """The images that are not finite in 32 bits."""
    unfit: dict[int, NDArray[np.float32]] = {}
    for start, block in _blocks(images):
        with np.errstate(over="ignore"):
            narrow = block.astype("<f4", copy=False)
        finite = np.isfinite(narrow).all(axis=(1, 2, 3))
        for row in np.flatnonzero(~finite):
            unfit[start + int(row)] = narrow[row].copy()
    return unfit


def _tables(dtype: np.dtype[Any]) -> list[tuple[str, NDArray[Any]]]:
    """The 256 values a level can have, and what they say of the array.

    v / 255 comes in three arithmetics that differ in the last bit: divided in the array's own
    precision, multiplied by 1/255, and divided in 32 bits before widening.
    """
    levels = np.arange(256)
    own = levels.astype(dtype)
    return [
        (UNIT_CODE, own / dtype.type(255)),
        (UNIT_CODE, own * dtype.type(1 / 255)),
        (UNIT_CODE, (levels.astype(np.float32) / np.float32(255)).astype(dtype)),
        ("from-whole", own),
    ]


def _looked_up(
    images: NDArray[Any], table: NDArray[Any], unfit: dict[int, NDArray[np.float32]]
) -> NDArray[np.uint8] | None:
    """Each value's index in the table, if every value of the finite images is in it."""
    converted = np.zeros(images.shape, np.uint8)
    scale = 255 / float(table[-1])
    for start, whole_block in _blocks(images):
        rows = [i for i in range(len(whole_block)) if start + i not in unfit]
        block = whole_block if len(rows) == len(whole_block) else whole_block[rows]
        indices = np.rint(block * scale)
        if not ((indices >= 0) & (indices <= 255)).all():
            return None
        levels = indices.astype(np.uint8)
        if not (table[levels] == block).all():
            return None
        converted[start : start + len(whole_block)][rows] = levels
    return converted
