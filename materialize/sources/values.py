"""One canonical form for the values of image arrays: uint8 wherever that loses nothing.

The same images come as uint8, as int64 out of a table, as floats that somebody divided by 255. They
are one dataset and take one byte a value, so whatever is provably whole numbers in 0..255, or those
divided by 255, becomes uint8; the conversion code says which, and that is what undoes it. Other
floats stay floats, in 32 bits. Nothing is ever rounded or clipped into place.

The splits of one dataset share one scale, or a model would be tested on another than it was trained
on. So the form is decided over all of them together: the first of the list that fits every split,
and where none does, the numbers of every split as they came.

Images that hold NaN or infinity are set apart first. They are quarantined by name later, and must
not decide what the others become: a repaired array has to keep the identity of every other image.

    form      what each split is                          code            value =
    units     floats, all equal to v / 255                from-unit       uint8 / 255
    levels    uint8                                       (none)          uint8
              integers of 32 or 64 bits in 0..255         from-integers   uint8
              floats, all whole and in 0..255             from-whole      uint8
    floats    float32                                     (none)          float32
              any other of these types                    from-<type>     float32
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import SourceError
from materialize.sources.base import Pixels

_BLOCK_VALUES = 1 << 20
"""Values looked at in one go: temporaries stay at a few MiB beside arrays of many GiB."""

_Unfit = dict[int, NDArray[np.float32]]
"""Images with NaN or infinity among their values, by row."""

UNIT_CODE = "from-unit"
"""The conversion code of arrays that were uint8 divided by 255."""


@dataclass(frozen=True, slots=True)
class CanonicalValues:
    """A stack of images in the form it is hashed, kept and augmented in."""

    values: Pixels
    """(N, H, W, C) uint8 or float32, C-contiguous, little-endian."""
    conversions: tuple[str, ...] = ()
    unfit: _Unfit = field(default_factory=dict)
    """The images with NaN or infinity among their values, by row; zeros in ``values``."""


def canonical_values(stacks: Mapping[str, NDArray[Any]]) -> list[CanonicalValues]:
    """The images of one dataset in uint8, exactly, or else all of them in float32 as they are.

    Args:
        stacks: (N, H, W, C) each, by what to call it in a message; not modified, and not copied
            where all are uint8 and contiguous.

    Returns:
        One per stack, in order.

    Raises:
        SourceError: a dtype has no stated meaning as pixels.
    """
    for name, images in stacks.items():
        _check_meaning(images, name)
    given = [(images, _unfit(images)) for images in stacks.values()]
    if any(images.dtype != np.uint8 for images in stacks.values()):
        # Units before whole numbers: arrays of zeros and ones alone are black and white, not two
        # shades of black.
        units = _all_or_none(_from_units, given)
        if units is not None:
            return units
    levels = _all_or_none(_from_levels, given)
    return levels if levels is not None else [_as_floats(*one) for one in given]


def _check_meaning(images: NDArray[Any], name: str) -> None:
    """Refuse what cannot be pixels in whichever form."""
    kind, bits = images.dtype.kind, images.dtype.itemsize * 8
    if images.dtype == np.uint8 or (kind == "f" and bits <= 64):
        return
    if kind in "iu" and bits >= 32:
        if all(((block >= 0) & (block <= 255)).all() for _, block in _blocks(images)):
            return
        raise _refused(images, name, "whose values leave 0..255: scale them to uint8 first")
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


def _all_or_none(
    form: Callable[[NDArray[Any], _Unfit], CanonicalValues | None],
    given: Sequence[tuple[NDArray[Any], _Unfit]],
) -> list[CanonicalValues] | None:
    """Every stack in this form, if it fits every stack."""
    fitted = []
    for images, unfit in given:
        values = form(images, unfit)
        if values is None:
            return None
        fitted.append(values)
    return fitted


def _from_units(images: NDArray[Any], unfit: _Unfit) -> CanonicalValues | None:
    """The levels of floats that were divided by 255."""
    if not len(images):
        return CanonicalValues(np.zeros(images.shape, np.uint8))
    if images.dtype.kind != "f":
        return None
    for table in _unit_tables(images.dtype):
        converted = _looked_up(images, table, unfit)
        if converted is not None:
            return CanonicalValues(converted, (UNIT_CODE,), unfit)
    return None


def _from_levels(images: NDArray[Any], unfit: _Unfit) -> CanonicalValues | None:
    """The levels as they are, in whatever type they came."""
    if images.dtype == np.uint8:
        return CanonicalValues(np.ascontiguousarray(images))
    if images.dtype.kind != "f":
        return CanonicalValues(images.astype(np.uint8, order="C"), ("from-integers",))
    converted = _looked_up(images, np.arange(256).astype(images.dtype), unfit)
    return None if converted is None else CanonicalValues(converted, ("from-whole",), unfit)


def _as_floats(images: NDArray[Any], unfit: _Unfit) -> CanonicalValues:
    """The same numbers in 32 bits, on the scale they came in."""
    with np.errstate(over="ignore"):
        values = np.array(images, dtype="<f4", order="C")
    values[list(unfit)] = 0
    note = () if images.dtype == np.float32 else (f"from-{images.dtype.name}",)
    return CanonicalValues(values, note, unfit)


def _unfit(images: NDArray[Any]) -> _Unfit:
    """The images that are not finite in 32 bits."""
    unfit: _Unfit = {}
    if images.dtype.kind != "f":
        return unfit
    for start, block in _blocks(images):
        with np.errstate(over="ignore"):
            narrow = block.astype("<f4", copy=False)
        finite = np.isfinite(narrow).all(axis=(1, 2, 3))
        for row in np.flatnonzero(~finite):
            unfit[start + int(row)] = narrow[row].copy()
    return unfit


def _unit_tables(dtype: np.dtype[Any]) -> list[NDArray[Any]]:
    """What v / 255 can be for each of the 256 levels v.

    It comes in three arithmetics that differ in the last bit: divided in the array's own precision,
    multiplied by 1/255, and divided in 32 bits before widening.
    """
    levels = np.arange(256)
    own = levels.astype(dtype)
    return [
        own / dtype.type(255),
        own * dtype.type(1 / 255),
        (levels.astype(np.float32) / np.float32(255)).astype(dtype),
    ]


def _looked_up(
    images: NDArray[Any], table: NDArray[Any], unfit: _Unfit
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
