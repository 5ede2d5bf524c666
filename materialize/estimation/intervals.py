"""Values with their 95 % intervals, and the arithmetic of a two-stage sample.

A dataset's bytes are the sum over its blocks: neighbouring rows of one copy, encoded together. A
cluster is one block's sources with all their copies; some clusters are drawn, and of each some
copies. The source is what differs, so a second copy of the same sources is no second observation:
it only tells how much copies differ among themselves.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import hypot, sqrt

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
"""Of every interval here."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and its 95 % interval; ``low == value == high`` where it is exact."""

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        """Takes NumPy's numbers as Python's, for JSON."""
        for name in ("value", "low", "high"):
            given = getattr(self, name)
            if isinstance(given, np.generic):
                object.__setattr__(self, name, given.item())

    @classmethod
    def exact(cls, value: float) -> "Interval":
        """A value that is known."""
        return cls(value, value, value)

    @classmethod
    def around(cls, value: float, half: float) -> "Interval":
        """A value, give or take; what is counted is never below 0."""
        return cls(value, max(value - half, 0.0), value + half)

    @property
    def is_exact(self) -> bool:
        """Whether the value is known and not estimated."""
        return self.low == self.value == self.high

    @property
    def half(self) -> float:
        """Half the width, on the wider side."""
        return max(self.high - self.value, self.value - self.low)

    @property
    def share(self) -> float:
        """`half` as a share of the value; 0 for a value of 0."""
        return self.half / self.value if self.value else 0.0

    def contains(self, value: float) -> bool:
        """Whether a value lies inside, ends included."""
        return self.low <= value <= self.high

    def scaled(self, factor: float) -> "Interval":
        """The interval of ``factor`` times the value, for a factor of at least 0."""
        return Interval(self.value * factor, self.low * factor, self.high * factor)

    def __add__(self, other: "Interval") -> "Interval":
        """The interval of the sum of two independent values."""
        return Interval(
            self.value + other.value,
            self.value + other.value - hypot(self.value - self.low, other.value - other.low),
            self.value + other.value + hypot(self.high - self.value, other.high - other.value),
        )


def total_of(intervals: Iterable[Interval]) -> Interval:
    """The interval of a sum of independent values; 0 for none."""
    total = Interval.exact(0)
    for interval in intervals:
        total += interval
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """What a sample is drawn from."""

    num_rows: int
    """Sources of the split."""
    num_clusters: int
    """Blocks they lie in; at least as many as were drawn."""
    num_copies: int


def total_bytes(
    values: NDArray[np.float64],
    rows: NDArray[np.float64],
    whole: Whole,
    *,
    domain_rows: float | None = None,
) -> Interval:
    """The bytes of all copies of all sources, estimated from some clusters.

    Args:
        values: (n, m) bytes of m copies of n clusters, all m distinct; of a class alone, that
            class's share of them.
        rows: (n,) sources in each cluster; of a class alone, its sources.
        whole: what they were drawn from.
        domain_rows: sources of the class in the whole split; ``whole.num_rows`` unless given.

    Returns:
        The total with Student's interval; exact where every copy of every cluster was seen, and as
        wide as the value itself where a single cluster was.

    Source: Cochran, "Sampling Techniques", 3rd edition, equations 6.13 (ratio to size) and 10.15
    (two stages, with finite-population corrections of both).
    """
    total_rows = whole.num_rows if domain_rows is None else domain_rows
    drawn, copies = values.shape
    seen = float(rows.sum())
    if not seen or not total_rows:
        return Interval.exact(0)
    means = values.mean(axis=1)
    ratio = float(means.sum()) / seen
    value = ratio * total_rows * whole.num_copies
    is_every_cluster = drawn >= whole.num_clusters
    if is_every_cluster and copies == whole.num_copies:
        # Summed and not computed from the ratio, which would round.
        return Interval.exact(float(values.sum()) if total_rows == seen else value)
    if drawn < 2 and not (is_every_cluster and copies > 1):
        return Interval.around(value, value)
    variance, freedom = _variance(values, means - ratio * rows, whole, is_every_cluster)
    # The clusters that rows stand for, where some clusters are larger than others.
    scale = total_rows / seen * drawn / whole.num_clusters
    return Interval.around(value, _quantile(freedom) * scale * sqrt(variance) * whole.num_copies)


def _variance(
    values: NDArray[np.float64],
    residuals: NDArray[np.float64],
    whole: Whole,
    is_every_cluster: bool,
) -> tuple[float, int]:
    """Of the total of one copy over all clusters, and its degrees of freedom."""
    drawn, copies = values.shape
    clusters = whole.num_clusters
    knows_within = copies > 1 or whole.num_copies == 1
    # Without a second copy what copies differ by cannot be told from what clusters do, and stays.
    unseen = 1 - drawn / clusters if knows_within else 1.0
    variance = 0.0
    if drawn > 1:
        variance = clusters**2 * unseen * float((residuals**2).sum()) / (drawn - 1) / drawn
    if copies > 1:
        within = values.var(axis=1, ddof=1).sum()
        # Of more copies than there will be, those that will be are as good as unseen.
        left_out = 1 - copies / whole.num_copies if copies <= whole.num_copies else 1.0
        variance += clusters / drawn * left_out * float(within) / copies
    return variance, drawn * (copies - 1) if is_every_cluster and copies > 1 else drawn - 1


def _quantile(freedom: int) -> float:
    """Student's quantile of a two-sided interval."""
    from scipy.special import stdtrit  # 0.1 s to import, for those who estimate only

    return float(stdtrit(freedom, (1 + LEVEL) / 2))


def clusters_needed(interval: Interval, drawn: int, wanted_share: float) -> int:
    """How many clusters bring an interval to a share of its value, with a tenth to spare."""
    return int(np.ceil(1.1 * drawn * (interval.share / wanted_share) ** 2))
