"""Near duplicates: the same picture encoded again, resized or slightly cropped.

Their bytes differ, so no digest sees them, and one of them in training makes a test of the other
worthless. Every image becomes a grey thumbnail and the perceptual hash of it; pairs whose hashes
differ in few bits are found by bands and confirmed by the thumbnails, because hashes of simple
images (digits, clothes) agree by the thousand. Nothing is decided here: pairs are for people to
look at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from materialize.errors import ConfigError
from materialize.parallel import spread
from materialize.population.scanning import load_images
from materialize.population.table import Population
from materialize.sources.base import Pixels, Source

Thumbnails = NDArray[np.uint8]
"""(n, 32, 32)"""

SIDE = 32
"""Of a thumbnail: what the perceptual hash is made of."""
FAR_BITS = 10
"""Hashes may differ in so many of 64 bits: on photographs 0 to 4 after JPEG at quality 30 or
halving, 0 to 10 after cropping 3 %; 5 % crops are beyond it one time in eight, 10 % mostly."""
NEAR_BITS = 6
"""The same for sets of small images only, which are not searched for crops."""
LARGE_PX = 48
"""Shorter side from which a crop can be told from a similar image by its thumbnail."""
SAME_SHAPE = 0.005
"""1 - correlation of thumbnails that are the same picture: JPEG at quality 30 gives up to 0.003. As
close come no two of 70,000 MNIST images or the digits, and 87 pairs of Fashion-MNIST."""
SAME_PICTURE = 0.03
"""The same for large images, in the best of some alignments: 3 and 5 % crops give up to 0.033."""

_BANDS, _BAND_BITS = 4, 16
_AT_ONCE = 2**20
"""Pairs looked at in one step."""
_ALIGNED_AT_ONCE = 2**12
_QUICK_IMAGES, _QUICK_PIXELS = 10_000, 2**28
"""5,000 photographs of 230 x 230, or 340 of a megapixel: some 5 s on one core."""
_CHUNK = 64
"""Images per call of a worker."""
_SCALES = (0.98, 0.96, 0.94, 0.92)
_PLACES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Crops that are tried: sides, and where they lie along an axis."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """Two images that are nearly the same."""

    first: int
    """Row of the population; less than ``second``."""
    second: int
    differing_bits: int
    """Of the 64 of their perceptual hashes."""
    difference: float
    """1 - correlation of their thumbnails, where they agree best."""


def is_quickly_searched(population: Population) -> bool:
    """Whether `near_duplicates` takes seconds: all of it is decoded once more."""
    pixels = int(population.heights.astype(np.int64) @ population.widths.astype(np.int64))
    return len(population) <= _QUICK_IMAGES and pixels <= _QUICK_PIXELS


def near_duplicates(
    source: Source, population: Population, *, workers: int = 1, backend: str = "loky"
) -> tuple[Likeness, ...]:
    """The pairs of images that are nearly the same, the most alike first.

    Of equal images only the first row is looked at; images of one colour are alike to nothing.

    Args:
        source: what was scanned.
        population: what the scan gave.
        workers: processes that decode; changes nothing but the time.
        backend: joblib's name for where they run.

    Raises:
        ConfigError: ImageHash is not installed.
        RecordReadError: a record could not be read, or is not what was scanned.
    """
    digests = np.ascontiguousarray(population.digests).view("V32")[:, 0]
    _, rows = np.unique(digests, return_index=True)
    rows = np.sort(rows)
    thumbnails, hashes = _seen(source, population, rows, workers, backend)
    telling = np.flatnonzero(thumbnails.reshape(-1, SIDE * SIDE).std(axis=1) >= 1)
    rows, thumbnails, hashes = rows[telling], thumbnails[telling], hashes[telling]
    is_large = np.minimum(population.heights, population.widths)[rows] >= LARGE_PX
    limit = FAR_BITS if is_large.any() else NEAR_BITS
    found: list[Likeness] = []
    for first, second in close_pairs(hashes, limit):
        difference = _differences(thumbnails, first, second, is_large[first] & is_large[second])
        alike = np.flatnonzero(np.isfinite(difference))
        first, second = first[alike], second[alike]
        bits = np.bitwise_count(hashes[first] ^ hashes[second])
        columns = (rows[first], rows[second], bits, difference[alike])
        found += map(Likeness, *(column.tolist() for column in columns))
    return tuple(sorted(found, key=lambda pair: (pair.difference, pair.first, pair.second)))


def perceptual_hashes(thumbnails: Thumbnails) -> NDArray[np.uint64]:
    """(n,) 64 bits each: the signs of low frequencies against their median.

    Raises:
        ConfigError: ImageHash is not installed.

    Source: ``imagehash.phash`` of the library ImageHash.
    """
    try:
        import imagehash
    except ImportError as error:
        raise ConfigError(
            "near-duplicates: expected the library ImageHash, found none; `pip install ImageHash`, "
            "or drop the option",
            {"name": "near-duplicates", "expected": "ImageHash", "found": None},
        ) from error
    bits = [imagehash.phash(Image.fromarray(thumbnail)).hash for thumbnail in thumbnails]
    packed = np.packbits(np.array(bits, bool).reshape(len(bits), 64), axis=1)
    return packed.view(">u8")[:, 0].astype(np.uint64)


def thumbnail_of(pixels: Pixels) -> NDArray[np.uint8]:
    """(32, 32) grey levels of an image; floats are brought to [0, 255] by their own extremes."""
    levels = pixels
    if pixels.dtype != np.uint8:
        low, high = float(pixels.min()), float(pixels.max())
        levels = np.rint((pixels - low) * (255 / ((high - low) or 1))).astype(np.uint8)
    picture = Image.fromarray(levels[:, :, 0] if levels.shape[2] == 1 else levels).convert("L")
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def close_pairs(
    hashes: NDArray[np.uint64], max_bits: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """All pairs of hashes that differ in at most so many bits, each once, in bounded portions.

    Two hashes that differ in m bits differ in at most m / 4 of the 16 bits of some quarter; so
    every hash is looked up by each quarter and by all its neighbours that near.

    Args:
        hashes: (n,) of 64 bits.
        max_bits: in [0, 15].

    Returns:
        (first, second) rows of portions of pairs, first < second.
    """
    radius = max_bits // _BANDS
    codes = [
        ((hashes >> np.uint64(band * _BAND_BITS)) & np.uint64(2**_BAND_BITS - 1)).astype(np.int64)
        for band in range(_BANDS)
    ]
    for band, code in enumerate(codes):
        order = np.argsort(code, kind="stable")
        starts = np.searchsorted(code[order], np.arange(2**_BAND_BITS + 1))
        for mask in _masks(radius):
            low, high = starts[code ^ mask], starts[(code ^ mask) + 1]
            for first, places in _expanded(low, high):
                second = order[places]
                differing = np.bitwise_count(hashes[first] ^ hashes[second])
                fits = (first < second) & (differing <= max_bits)
                first, second = first[fits], second[fits]
                # A pair that an earlier quarter has found is not given again.
                new = np.ones(len(first), bool)
                for earlier in codes[:band]:
                    new &= np.bitwise_count(earlier[first] ^ earlier[second]) > radius
                if new.any():
                    yield first[new], second[new]


def _masks(radius: int) -> list[int]:
    """All ways to flip up to so many bits of a quarter."""
    return [
        sum(1 << bit for bit in bits)
        for count in range(radius + 1)
        for bits in combinations(range(_BAND_BITS), count)
    ]


def _expanded(
    low: NDArray[np.int64], high: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """(row, place) for every place in [low, high) of each row, some rows at a time."""
    counts = high - low
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        done = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _AT_ONCE, side="right")))
        here = counts[start:stop]
        rows = np.repeat(np.arange(start, stop), here)
        if len(rows):
            shifts = np.repeat(low[start:stop] - (ends[start:stop] - here - done), here)
            yield rows, np.arange(len(rows)) + shifts
        start = stop


def _seen(
    source: Source, population: Population, rows: NDArray[np.int64], workers: int, backend: str
) -> tuple[Thumbnails, NDArray[np.uint64]]:
    """The thumbnails and hashes of these rows."""
    chunks = [rows[start : start + _CHUNK] for start in range(0, len(rows), _CHUNK)]
    look = partial(_looked_at, source, population)
    seen = list(spread(look, chunks, workers=workers, backend=backend, in_order=True))
    thumbnails = [np.empty((0, SIDE, SIDE), np.uint8), *(thumbs for thumbs, _ in seen)]
    hashes = [np.empty(0, np.uint64), *(hashed for _, hashed in seen)]
    return np.concatenate(thumbnails), np.concatenate(hashes)


def _looked_at(
    source: Source, population: Population, rows: Sequence[int]
) -> tuple[Thumbnails, NDArray[np.uint64]]:
    images = (load_images(source, population, [row])[0] for row in rows)
    thumbnails = np.stack([thumbnail_of(image) for image in images])
    return thumbnails, perceptual_hashes(thumbnails)


def _differences(
    thumbnails: Thumbnails,
    first: NDArray[np.int64],
    second: NDArray[np.int64],
    is_large: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """(m,) 1 - correlation of each pair where they agree best; infinite if that is too much."""
    result = np.full(len(first), np.inf)
    for start in range(0, len(first), _ALIGNED_AT_ONCE):
        here = slice(start, start + _ALIGNED_AT_ONCE)
        one, other = (thumbnails[rows[here]].astype(np.float32) for rows in (first, second))
        straight = _apart(one, other)
        accepted = straight <= np.where(is_large[here], SAME_PICTURE, SAME_SHAPE)
        crooked = np.flatnonzero(is_large[here] & ~accepted)
        if len(crooked):
            straight[crooked] = _apart_aligned(one[crooked], other[crooked])
            accepted[crooked] = straight[crooked] <= SAME_PICTURE
        result[here] = np.where(accepted, straight, np.inf)
    return result


def _apart(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float64]:
    """(m,) 1 - correlation of (m, 32, 32) pairs."""
    correlation = (_unit(one) * _unit(other)).sum(axis=1)
    return np.asarray(1 - correlation, np.float64)


def _apart_aligned(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float64]:
    """(m,) the least of it, if either were a crop of the other."""
    least = np.full(len(one), np.inf)
    for whole, crop in ((one, other), (other, one)):
        for scale in _SCALES:
            matrices = [_enlarging(scale, place) for place in _PLACES]
            for rows in matrices:
                enlarged = rows @ whole
                for columns in matrices:
                    least = np.minimum(least, _apart(enlarged @ columns.T, crop))
    return least


def _unit(images: NDArray[np.floating]) -> NDArray[np.float32]:
    flat = images.reshape(len(images), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(norms, np.float32(1e-6)), np.float32)


def _enlarging(scale: float, place: float) -> NDArray[np.float32]:
    """(32, 32) linear interpolation of a part of an axis, from its start (0) to its end (1)."""
    centres = (np.arange(SIDE) + 0.5) * scale + place * (1 - scale) * SIDE - 0.5
    left = np.clip(np.floor(centres), 0, SIDE - 2).astype(np.int64)
    weight = np.clip(centres - left, 0, 1)
    matrix = np.zeros((SIDE, SIDE), np.float32)
    matrix[np.arange(SIDE), left] = 1 - weight
    matrix[np.arange(SIDE), left + 1] = weight
    return matrix


__all__ = [
    "FAR_BITS", "LARGE_PX", "NEAR_BITS", "SAME_PICTURE", "SAME_SHAPE", "SIDE", "Likeness",
    "close_pairs", "is_quickly_searched", "near_duplicates", "perceptual_hashes", "thumbnail_of",
]  # fmt: skip
