"""Shares a whole number out by weights, to the last unit.

Where a block of bytes holds images of several classes, each class gets the whole part of its
proportional share, and the units that are left go to the largest remainders, one each; among equals
to the first. So shares are whole, their sum is exact, and none is off by a unit or more.

Source: the method of Hamilton and Hare-Niemeyer, as seats are shared out.
"""

import numpy as np
from numpy.typing import NDArray

_INT64_BITS = 63


def apportion(totals: NDArray[np.int64], weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Shares each total out by its own weights.

    Args:
        totals: (b,) at least 0.
        weights: (b, k) at least 0; not all 0 where the total is not. A total times the sum of its
            weights is below 2^63.

    Returns:
        (b, k) shares; those of a row sum to its total, each differs from total · weight ÷ sum of
        the weights by less than 1, and weight 0 gets nothing.

    Raises:
        ValueError: a number is negative, a product is too large, or there is nothing to share by.
    """
    sums = weights.sum(axis=1)
    _check(totals, weights, sums)
    divisors = np.maximum(sums, 1)[:, None]
    shares, remainders = np.divmod(totals[:, None] * weights, divisors)
    left = totals - shares.sum(axis=1)
    order = np.argsort(-remainders, axis=1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(weights.shape[1])[None, :], axis=1)
    result: NDArray[np.int64] = shares + (ranks < left[:, None])
    return result


def spread(totals: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Shares each total out among so many equals, and gives all shares in turn.

    Args:
        totals: (b,) at least 0.
        counts: (b,) at least 1.

    Returns:
        (sum of ``counts``,) the shares of the first total, then of the second …; within one they
        differ by 1 at most, the larger ones first.
    """
    shares, left = np.divmod(totals, counts)
    starts = np.cumsum(counts) - counts
    places = np.arange(int(counts.sum())) - np.repeat(starts, counts)
    result: NDArray[np.int64] = np.repeat(shares, counts) + (places < np.repeat(left, counts))
    return result


def _check(totals: NDArray[np.int64], weights: NDArray[np.int64], sums: NDArray[np.int64]) -> None:
    if totals.min(initial=0) < 0 or weights.min(initial=0) < 0:
        raise ValueError("expected totals and weights of at least 0, got a negative one")
    if ((sums == 0) & (totals > 0)).any():
        raise ValueError("expected a weight above 0 wherever there is something to share, got none")
    largest = int(totals.max(initial=0)).bit_length() + int(sums.max(initial=0)).bit_length()
    if largest > _INT64_BITS:
        raise ValueError(f"expected totals times weights below 2^63, got about 2^{largest}")
