"""Draws from a symmetric Beta distribution, the same on every machine.

SciPy's quantiles go through libm, whose last bits differ between processors. Here the quantiles are
computed once per distribution in decimal arithmetic, rounded to 16 bits, and read from a table.
"""

import hashlib
from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipelines.randomness import Words

MAX_ALPHA = 8.0
"""Beyond, the series would need more digits; nobody mixes images so evenly."""
ONE = 1 << 16
"""Weights are whole multiples of 2**-16."""

_INTERVALS_BITS = 10
_FRACTION_BITS = 32 - _INTERVALS_BITS
_DIGITS = 30
_CLOSE_ENOUGH = Decimal("1e-12")
_SMALL_TERM = Decimal("1e-25")


def beta_weights(words: Words, alpha: float) -> NDArray[np.int64]:
    """Weights from Beta(alpha, alpha).

    Between the 1,025 tabulated quantiles the weight is interpolated linearly, so the distribution
    function is exact at every multiple of 1/1024 and off by less than 1/1024 between them.

    Args:
        words: (n,) uint32, one for each weight.
        alpha: in [0.05, 8]; 1 is the uniform distribution.

    Returns:
        (n,) int64 in [0, 65536], in units of 2**-16.
    """
    table = beta_quantiles(alpha)
    wide = words.astype(np.int64)
    interval, fraction = wide >> _FRACTION_BITS, wide & ((1 << _FRACTION_BITS) - 1)
    low, high = table[interval], table[interval + 1]
    weights: NDArray[np.int64] = low + (((high - low) * fraction) >> _FRACTION_BITS)
    return weights


@lru_cache(maxsize=32)
def beta_quantiles(alpha: float) -> NDArray[np.int64]:
    """(1025,) int64: the quantiles at 0, 1/1024, … 1 in units of 2**-16, not decreasing."""
    half = 1 << (_INTERVALS_BITS - 1)
    with localcontext() as context:
        context.prec = _DIGITS
        lower = _lower_quantiles(Decimal(repr(alpha)), half)
        rounded = [int((quantile * ONE).to_integral_value()) for quantile in lower]
    table = np.array([0, *rounded, *(ONE - value for value in reversed(rounded[:-1])), ONE])
    table.flags.writeable = False
    return table


def beta_digest(alpha: float) -> str:
    """SHA-256 of the table, in hex: what the draws hang on besides the words."""
    return hashlib.sha256(beta_quantiles(alpha).astype("<i8").tobytes()).hexdigest()


def _lower_quantiles(alpha: Decimal, half: int) -> list[Decimal]:
    """The quantiles at 1/1024, 2/1024, … 1/2, by Newton's method from the one before."""
    coefficients = _series(alpha)
    whole = 2 * _integral(Decimal("0.5"), alpha, coefficients)
    quantiles: list[Decimal] = []
    # Near 0 the integral is x**alpha / alpha, whose inverse is a start from below.
    x = (whole / (2 * half) * alpha) ** (1 / alpha)
    for number in range(1, half):
        wanted = whole * number / (2 * half)
        x = min(max(x, Decimal("1e-40")), Decimal("0.5"))
        for _ in range(200):
            density = x ** (alpha - 1) * (1 - x) ** (alpha - 1)
            step = (_integral(x, alpha, coefficients) - wanted) / density
            following = x - step
            x = following if 0 < following < 1 else x / 2
            if abs(step) <= _CLOSE_ENOUGH * x:
                break
        quantiles.append(x)
    return [*quantiles, Decimal("0.5")]


def _series(alpha: Decimal) -> list[Decimal]:
    """The coefficients of the integral of t**(alpha−1) · (1−t)**(alpha−1), by binomial series."""
    coefficients, binomial, power = [], Decimal(1), Decimal(1)
    for n in range(2000):
        coefficients.append(binomial / (alpha + n))
        binomial = binomial * (1 - alpha + n) / (n + 1)
        power /= 2
        if abs(binomial) * power < _SMALL_TERM:
            break
    return coefficients


def _integral(x: Decimal, alpha: Decimal, coefficients: list[Decimal]) -> Decimal:
    """The integral from 0 to x, at most 1/2."""
    total, power = Decimal(0), Decimal(1)
    for coefficient in coefficients:
        term = coefficient * power
        total += term
        power *= x
        if power < _SMALL_TERM:
            break
    return total * x**alpha
