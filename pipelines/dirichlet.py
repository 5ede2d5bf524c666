"""Weights from a symmetric Dirichlet distribution, the same on every machine.

A stick is broken: the first of k weights is a share of it drawn from Beta(alpha, (k - 1) alpha),
the second such a share of the rest, and the last what is left. The quantiles of those distributions
are tabulated like those of `pipelines.beta`: in decimal arithmetic, rounded to 16 bits.
"""

from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from pipelines.beta import ONE
from pipelines.randomness import Words

_INTERVALS_BITS = 10
_FRACTION_BITS = 32 - _INTERVALS_BITS
_DIGITS = 34
_CLOSE_ENOUGH = Decimal("1e-9")
_SMALL_TERM = Decimal("1e-28")
_SMALLEST = Decimal("1e-60")
_HALF = Decimal("0.5")


def break_stick(words: Words, alpha: float, whole: NDArray[np.int64]) -> NDArray[np.int64]:
    """Weights from Dirichlet(alpha, …, alpha), times what is to be divided.

    Args:
        words: (n, k - 1) uint32.
        alpha: in [0.05, 8].
        whole: (n,) in [0, 65536], in units of 2**-16.

    Returns:
        (n, k) int64 of the same units; each row sums to ``whole``.
    """
    count, breaks = words.shape
    weights = np.empty((count, breaks + 1), np.int64)
    rest = whole
    for number in range(breaks):
        share = _read(share_quantiles(alpha, breaks - number), words[:, number])
        weights[:, number] = (rest * share + ONE // 2) >> 16
        rest = rest - weights[:, number]
    weights[:, breaks] = rest
    return weights


@lru_cache(maxsize=32)
def share_quantiles(alpha: float, others: int) -> NDArray[np.int64]:
    """(1025,) int64: quantiles of Beta(alpha, others · alpha) at 0, 1/1024, … 1, times 2**16.

    Args:
        alpha: in [0.05, 8].
        others: how many equal shares stand against this one, at least 1.
    """
    with localcontext() as context:
        context.prec = _DIGITS
        own = Decimal(repr(alpha))
        rest = own * others
        below, above = _Tail(own, rest), _Tail(rest, own)
        total = below.half + above.half
        quantiles, low, high = [], _SMALLEST, _HALF
        for number in range(1, 1 << _INTERVALS_BITS):
            wanted = total * number / (1 << _INTERVALS_BITS)
            if wanted <= below.half:
                low = below.inverse(wanted, low)
                quantiles.append(low)
            else:
                high = above.inverse(total - wanted, high)
                quantiles.append(1 - high)
        rounded = [int((quantile * ONE).to_integral_value()) for quantile in quantiles]
    table = np.array([0, *rounded, ONE])
    table.flags.writeable = False
    return table


class _Tail:
    """The integral of t**(a − 1) · (1 − t)**(b − 1) from 0 to x, at most 1/2, and its inverse."""

    def __init__(self, a: Decimal, b: Decimal) -> None:
        self.a, self.b = a, b
        self.coefficients = _series(a, b)
        self.half = self(_HALF)

    def __call__(self, x: Decimal) -> Decimal:
        total, power = Decimal(0), Decimal(1)
        for coefficient in self.coefficients:
            total += coefficient * power
            power *= x
            if power < _SMALL_TERM:
                break
        return total * x**self.a

    def inverse(self, wanted: Decimal, start: Decimal) -> Decimal:
        """Where the integral is ``wanted``, by Newton's method."""
        if start == _SMALLEST:  # near 0 the integral is x**a / a
            start = (wanted * self.a) ** (1 / self.a)
        x = min(max(start, _SMALLEST), _HALF)
        for _ in range(200):
            density = x ** (self.a - 1) * (1 - x) ** (self.b - 1)
            step = (self(x) - wanted) / density
            following = x - step
            x = following if 0 < following <= _HALF else (x / 2 if step > 0 else (x + _HALF) / 2)
            if abs(step) <= _CLOSE_ENOUGH * x:
                break
        return x


def _series(a: Decimal, b: Decimal) -> list[Decimal]:
    """The coefficients of the integral, by the binomial series of (1 − t)**(b − 1)."""
    coefficients, binomial, power = [], Decimal(1), Decimal(1)
    for n in range(2000):
        coefficients.append(binomial / (a + n))
        binomial = binomial * (n + 1 - b) / (n + 1)
        power /= 2
        if abs(binomial) * power < _SMALL_TERM:
            break
    return coefficients


def _read(table: NDArray[np.int64], words: NDArray[np.uint32]) -> NDArray[np.int64]:
    """The table at words / 2**32, between its quantiles linearly."""
    wide = words.astype(np.int64)
    interval, fraction = wide >> _FRACTION_BITS, wide & ((1 << _FRACTION_BITS) - 1)
    low, high = table[interval], table[interval + 1]
    value: NDArray[np.int64] = low + (((high - low) * fraction) >> _FRACTION_BITS)
    return value
