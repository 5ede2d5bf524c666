"""Noise for every pixel of an image, by address: a key is drawn for the image, and nothing else.

Byte ``i`` of an image hangs on its key and ``i`` alone, so neither the batch nor the number of
threads has an influence. Normal values come from a table of whole numbers, not from libm.
"""

from decimal import Decimal, localcontext
from functools import cache

import numpy as np
from numpy.typing import NDArray

from pipelines.randomness import Words, draw_words, draw_words_reference
from pipelines.transform import Parameters

NORMAL_BITS = 12
"""Tabulated normal values are in units of 2**-12 standard deviations."""

_SMALL_TAIL = 0.075
"""Where the central approximation ends."""
# Numerators and denominators of Wichura's PPND16, highest power first.
_CENTRE = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852545925, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
_TAIL = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177,
     1.27045825245236838258, 3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959,
     1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966,
     0.14810397642748007459, 0.68976733498510000455, 1.6763848301838038494,
     2.05319162663775882187, 1.0),
)  # fmt: skip


def keys_of(parameters: Parameters) -> Words:
    """(n, 2) uint32: the keys among some drawn parameters, ``key_0`` and ``key_1``."""
    return np.stack([parameters["key_0"], parameters["key_1"]], axis=1).astype(np.uint32)


def key_parameters(words: Words) -> Parameters:
    """``key_0`` and ``key_1`` from two words each, kept exactly.

    Args:
        words: (n, 2) uint32.
    """
    return {f"key_{i}": words[:, i].astype(np.float64) for i in range(2)}


def noise_of_images(keys: Words, count: int, *, plain: bool = False) -> NDArray[np.uint8]:
    """Uniform bytes of n images; each row equals `pipelines.randomness.noise_bytes`.

    Args:
        keys: (n, 2) uint32, one for each image.
        count: how many bytes an image takes.
        plain: True for the NumPy twin; the bytes are equal.

    Returns:
        (n, count) uint8.
    """
    blocks = -(-count // 16)
    counter = np.zeros((blocks, 4), dtype=np.uint32)
    counter[:, 0] = np.arange(blocks)
    words = (draw_words_reference if plain else draw_words)(keys, counter)
    by_image = words.reshape(blocks, len(keys), 4).transpose(1, 0, 2).astype("<u4", order="C")
    return by_image.reshape(len(keys), -1).view(np.uint8)[:, :count]


@cache
def normal_quantiles() -> NDArray[np.int16]:
    """(65536,) int16: the normal quantiles at (i + 1/2) / 65536, in units of 2**-12.

    Wichura, "Algorithm AS 241: the percentage points of the normal distribution" (Applied
    Statistics 37, 1988), PPND16, whose relative error is 1e-16; its logarithms come from `decimal`,
    and rounding to whole numbers leaves nothing to the processor. Values reach from −4.32 to 4.32;
    the standard deviation is 0.99999, the excess kurtosis −0.0008.
    """
    fractions = (np.arange(1 << 15) + 0.5) / (1 << 16)
    in_tail = fractions < _SMALL_TAIL
    with localcontext() as context:
        context.prec = 20
        roots = [float((-Decimal(p).ln()).sqrt()) for p in fractions[in_tail].tolist()]
    tail = -_ratio(_TAIL, np.array(roots) - 1.6)
    q = fractions[~in_tail] - 0.5
    lower = np.concatenate([tail, q * _ratio(_CENTRE, 0.180625 - q * q)])
    whole = np.floor(lower * (1 << NORMAL_BITS) + 0.5)
    table = np.concatenate([whole, -whole[::-1]]).astype(np.int16)
    table.flags.writeable = False
    return table


def _ratio(
    coefficients: tuple[tuple[float, ...], tuple[float, ...]], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """One polynomial over another, by Horner's rule."""
    values = []
    for polynomial in coefficients:
        total = np.full_like(at, polynomial[0])
        for coefficient in polynomial[1:]:
            total = total * at + coefficient
        values.append(total)
    return values[0] / values[1]
