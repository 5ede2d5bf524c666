"""Powers of the 256 levels by explicit arithmetic: the C library's ``pow`` differs between CPUs.

x ** g = exp(g · ln x). The logarithms of k/255 are computed once with `decimal` (correctly rounded
on every machine); the exponential is a polynomial of + and × and an exact scaling by a power of 2.
"""

from decimal import Decimal, localcontext
from functools import cache

import numpy as np
from numpy.typing import NDArray

_LN2_HIGH = 0.693147180369123816490
"""ln 2 with its low bits cleared, so that k · _LN2_HIGH is exact for small k (Cody and Waite)."""
_LN2_LOW = 1.90821492927058770002e-10
_TERMS = 14


@cache
def _log_levels() -> NDArray[np.float64]:
    """ln(k / 255) for k = 1 … 255, correctly rounded."""
    with localcontext() as context:
        context.prec = 40
        return np.array([float((Decimal(k) / 255).ln()) for k in range(1, 256)])


def exponential(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The exponential e ** x for x in [-700, 0], within 2 units in the last place.

    Args:
        x: any shape, float64, not modified.

    Returns:
        float64 of the same shape.
    """
    k = np.rint(x / (_LN2_HIGH + _LN2_LOW))
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    total = np.ones_like(r)
    for term in range(_TERMS, 0, -1):
        total = 1.0 + total * r / term
    return np.ldexp(total, k.astype(np.int32))


def powers_of_levels(powers: NDArray[np.float64]) -> NDArray[np.float64]:
    """(level / 255) ** power for the 256 levels.

    Args:
        powers: (n,) float64, positive.

    Returns:
        (n, 256) float64 in [0, 1]; level 0 gives 0 and level 255 gives 1.
    """
    table = np.zeros((len(powers), 256))
    table[:, 1:] = exponential(powers[:, None] * _log_levels()[None, :])
    return table
