"""Intervals over seeds, paired differences, and the tests that find the smallest sufficient K.

Every interval is over training seeds (initial weights, dropout, order), given the augmented images
and the test set: it says nothing about other draws or other test images. Arms are compared seed by
seed, because arms of one seed start from the same weights and see the samples in the same order.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from materialize.contrast.results import KVerdict
from materialize.intervals import Estimate, estimate, standard_error

ALPHA = 0.05
"""Of each one-sided test of equivalence."""
POWER = 0.8
"""With which ``needed_seeds`` would decide."""
MOST_SEEDS = 1000
"""Beyond this, more seeds are no advice."""
_TWO = "two seeds say next to nothing: run at least three"


def differences(
    values_by_seed: Mapping[int, float], reference_by_seed: Mapping[int, float]
) -> list[float]:
    """Value minus reference for each seed that both have, in the order of the seeds."""
    shared = sorted(values_by_seed.keys() & reference_by_seed.keys())
    return [values_by_seed[seed] - reference_by_seed[seed] for seed in shared]


def judge(
    copies: int, paired: Sequence[float], margin: float, *, are_identical: bool = False
) -> KVerdict:
    """One equivalence test: two one-sided paired t-tests against the margin.

    ``equivalent`` if both reject, which is when the 90 % interval lies inside the margin; ``worse``
    if that interval lies wholly below it; else ``inconclusive``.

    Args:
        copies: K, for the verdict.
        paired: offline minus on-the-fly for each seed, at least one.
        margin: above 0, as a fraction.
        are_identical: whether every pair ended with the same weights. Then there is nothing left
            to test, with one seed as with many.

    Source: D. J. Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987), 657-680.
    """
    interval = estimate(paired, 1 - 2 * ALPHA)
    seen = KVerdict(
        copies=copies, verdict="inconclusive", difference=interval.mean, low=interval.low,
        high=interval.high, remark="",
    )  # fmt: skip
    if are_identical:
        return _told(seen, "equivalent", "the weights are identical, seed by seed", p_value=0.0)
    if len(paired) < 2:
        return _told(seen, "inconclusive", "one seed has no interval: run at least three")
    error = standard_error(paired)
    if error == 0:
        return _told(
            seen, "inconclusive",
            "the differences do not vary at all: the test set is too small to tell",
        )  # fmt: skip
    from scipy import stats

    freedom = len(paired) - 1
    not_below = float(stats.t.sf((interval.mean + margin) / error, freedom))
    not_above = float(stats.t.cdf((interval.mean - margin) / error, freedom))
    p_value = max(not_below, not_above)
    caveat = _TWO if len(paired) == 2 else ""
    if p_value < ALPHA:
        return _told(seen, "equivalent", caveat, p_value=p_value)
    if float(stats.t.cdf((interval.mean + margin) / error, freedom)) < ALPHA:
        return _told(seen, "worse", caveat, p_value=p_value)
    needed = needed_seeds(interval.mean, error * math.sqrt(len(paired)), margin)
    why = "; ".join(filter(None, (_why_undecided(interval, margin, needed), caveat)))
    return _told(
        seen, "inconclusive", why,
        p_value=p_value, needed=None if needed is None else max(needed, len(paired) + 1),
    )  # fmt: skip


def needed_seeds(mean: float, deviation: float, margin: float) -> int | None:
    """How many seeds would decide with a power of 80 %, if mean and deviation stay as they are.

    Decide means ``equivalent`` if the mean lies inside the margin, ``worse`` if it lies below.

    Args:
        mean: of the paired differences.
        deviation: their standard deviation, above 0.
        margin: of equivalence.

    Returns:
        At least 2; None if the mean lies on or above the margin, or a thousand are not enough.

    Source: power by the noncentral t distribution; K. F. Phillips, J. Pharmacokinet. Biopharm. 18
    (1990), 137-144, whose two terms are an approximation from below.
    """
    from scipy import stats

    numbers = np.arange(2, MOST_SEEDS + 1)
    error = deviation / np.sqrt(numbers)
    critical = stats.t.isf(ALPHA, numbers - 1)
    below, above = (mean + margin) / error, (mean - margin) / error
    if mean >= margin:
        return None
    if mean < -margin:
        power = stats.nct.cdf(-critical, numbers - 1, below)
    else:
        power = stats.nct.sf(critical, numbers - 1, below) - stats.nct.sf(
            -critical, numbers - 1, above
        )
    enough = np.flatnonzero(power >= POWER)  # NaN, far out in a tail, compares as not enough
    return int(numbers[enough[0]]) if len(enough) else None


def smallest_sufficient(
    verdicts: Sequence[KVerdict],
) -> tuple[tuple[KVerdict, ...], int | None]:
    """Walks from the largest K downward and stops at the first that is not equivalent.

    Testing in a fixed sequence keeps the whole chance of a false ``equivalent`` at 5 %, without
    a correction for the number of K's.

    Args:
        verdicts: one for each K, in any order.

    Returns:
        The verdicts from the largest K downward, those after the stop marked as not tested; and
        the last K that was found equivalent, None if not even the largest was.

    Source: W. Maurer, L. A. Hothorn, W. Lehmacher, Biometrie in der chemisch-pharmazeutischen
    Industrie 6 (1995), 3-18.
    """
    smallest, goes_on = None, True
    walked = []
    for verdict in sorted(verdicts, key=lambda v: -v.copies):
        walked.append(replace(verdict, is_tested=goes_on))
        goes_on = goes_on and verdict.verdict == "equivalent"
        if goes_on:
            smallest = verdict.copies
    return tuple(walked), smallest


def effect(kind: str, difference: Estimate) -> str:
    """Whether a transform helps, from what leaving it out or having it alone does.

    Args:
        kind: ``without`` (against all transforms) or ``alone`` (against none).
        difference: of accuracy, with its 95 % interval.

    Returns:
        ``helps``, ``hurts`` or ``no clear effect``: zero is inside the interval, or there is none.
    """
    if difference.low is None or difference.high is None or difference.low == difference.high:
        return "no clear effect"
    sign = -1 if kind == "without" else 1
    low, high = sorted((sign * difference.low, sign * difference.high))
    return "helps" if low > 0 else "hurts" if high < 0 else "no clear effect"


def _told(
    seen: KVerdict,
    verdict: str,
    remark: str,
    *,
    p_value: float | None = None,
    needed: int | None = None,
) -> KVerdict:
    return replace(seen, verdict=verdict, remark=remark, p_value=p_value, needed_seeds=needed)


def _why_undecided(interval: Estimate, margin: float, needed: int | None) -> str:
    if interval.low is not None and interval.low > -margin and interval.mean >= margin:
        return "not worse than on-the-fly, and perhaps better by more than the margin"
    if needed is None:
        return f"the difference is so close to the margin that {MOST_SEEDS} seeds might not decide"
    return ""
