"""The mean of some measurements, and Student's interval around it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
"""Of the intervals that are reported."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, and its interval where there are enough values for one."""

    mean: float
    low: float | None = None
    high: float | None = None


def estimate(
    values: Sequence[float],
    level: float = LEVEL,
    *,
    within: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """The mean of some values and Student's interval around it.

    Args:
        values: one for each seed, at least one.
        level: of the interval, in (0, 1).
        within: what values can be; an interval that reaches beyond is cut, as accuracies are at
            least 0 and at most 1, whatever Student's t says.
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean)
    error = standard_error(values)
    if error == 0:
        return Estimate(mean, mean, mean)
    from scipy import stats

    low, high = stats.t.interval(level, len(values) - 1, loc=mean, scale=error)
    return Estimate(mean, max(float(low), within[0]), min(float(high), within[1]))


def standard_error(values: Sequence[float]) -> float:
    """Of the mean; exactly 0 where all values are equal, whatever rounding does to their mean."""
    if len(set(values)) == 1:
        return 0.0
    return float(np.std(values, ddof=1)) / math.sqrt(len(values))
