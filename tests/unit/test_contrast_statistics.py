"""Intervals, paired differences, equivalence tests and the walk from the largest K downward."""

import numpy as np
import pytest
from scipy import stats

from materialize.contrast.results import KVerdict
from materialize.contrast.statistics import (
    differences,
    effect,
    judge,
    needed_seeds,
    smallest_sufficient,
)
from materialize.intervals import Estimate, estimate

MARGIN = 0.01


def test_the_interval_is_students():
    """Three values with mean 2 and standard deviation 1: 2 ± 4.3027 / √3, from any table."""
    found = estimate([1, 2, 3])
    assert (found.low, found.high) == pytest.approx((2 - 2.4841, 2 + 2.4841), abs=1e-4)


def test_one_seed_has_no_interval():
    """Nothing is known of its spread."""
    assert estimate([0.9]) == Estimate(0.9)


def test_equal_values_have_an_interval_of_one_point():
    """Even where rounding would leave a deviation of 1e-17."""
    assert estimate([0.1, 0.1, 0.1]) == Estimate(*[pytest.approx(0.1)] * 3)


def test_differences_are_taken_seed_by_seed():
    """Seeds that one arm lacks are left out."""
    assert differences({2: 0.5, 1: 0.75, 3: 0.1}, {1: 0.25, 2: 0.5}) == [0.5, 0.0]


def test_small_differences_with_little_spread_are_equivalent():
    """The 90 % interval lies inside the margin."""
    verdict = judge(4, [0.001, -0.002, 0.003, 0.0], MARGIN)
    assert verdict.verdict == "equivalent"
    assert -MARGIN < verdict.low < verdict.high < MARGIN


def test_the_p_value_is_the_larger_of_two_t_tests():
    """As SciPy's one-sample tests against both margins give it."""
    paired = [0.004, -0.001, 0.006, 0.002, -0.003]
    below = stats.ttest_1samp(paired, -MARGIN, alternative="greater").pvalue
    above = stats.ttest_1samp(paired, MARGIN, alternative="less").pvalue
    assert judge(1, paired, MARGIN).p_value == pytest.approx(max(below, above))


def test_a_difference_surely_below_the_margin_is_worse():
    """The whole interval lies below minus one point."""
    assert judge(1, [-0.03, -0.022, -0.027], MARGIN).verdict == "worse"


def test_a_wide_interval_is_inconclusive_and_says_how_many_seeds_it_needs():
    """More than there are."""
    verdict = judge(2, [-0.013, 0.012, -0.007], MARGIN)
    assert verdict.verdict == "inconclusive"
    assert verdict.needed_seeds > 3


def test_an_arm_that_is_better_by_more_than_the_margin_is_not_called_equivalent():
    """It says so, and no number of seeds would change it."""
    verdict = judge(2, [0.05, 0.051, 0.052], MARGIN)
    assert (verdict.verdict, verdict.needed_seeds) == ("inconclusive", None)
    assert "not worse" in verdict.remark


def test_one_seed_is_inconclusive():
    """However small the difference."""
    verdict = judge(2, [0.0], MARGIN)
    assert (verdict.verdict, verdict.needed_seeds) == ("inconclusive", None)


def test_differences_that_do_not_vary_are_no_proof():
    """Twelve test images give the same accuracy to models that differ."""
    verdict = judge(2, [0.0, 0.0, 0.0], MARGIN)
    assert verdict.verdict == "inconclusive"
    assert "too small" in verdict.remark


def test_identical_weights_are_equivalent():
    """With one seed as with many."""
    assert judge(2, [0.0], MARGIN, are_identical=True).verdict == "equivalent"


@pytest.mark.parametrize(("mean", "verdict"), [(0.002, "equivalent"), (-0.02, "worse")])
def test_the_needed_seeds_decide_in_four_of_five_contrasts(mean, verdict):
    """Drawn from normal differences; one seed fewer would be below 80 %."""
    deviation = 0.01
    count = needed_seeds(mean, deviation, MARGIN)
    drawn = np.random.default_rng(0).normal(mean, deviation, (500, count))
    hits = np.mean([judge(1, list(row), MARGIN).verdict == verdict for row in drawn])
    assert 0.76 < hits < 0.92


def test_a_difference_on_the_margin_needs_more_than_a_thousand_seeds():
    """Which is no advice."""
    assert needed_seeds(-0.01, 0.01, MARGIN) is None


def _verdicts(*words):
    return [
        KVerdict(copies=2**place, verdict=word, difference=0.0) for place, word in enumerate(words)
    ]


@pytest.mark.parametrize(
    ("words", "smallest"),
    [
        (["worse", "equivalent", "equivalent"], 2),
        (["equivalent", "inconclusive", "equivalent"], 4),
        (["equivalent", "equivalent", "inconclusive"], None),
        (["equivalent"], 1),
        ([], None),
    ],
)
def test_the_walk_stops_at_the_first_k_that_is_not_equivalent(words, smallest):
    """What a smaller K shows after that was not tested, or chance would be counted twice."""
    walked, found = smallest_sufficient(_verdicts(*words))
    assert found == smallest
    assert [verdict.copies for verdict in walked] == sorted(
        (verdict.copies for verdict in walked), reverse=True
    )


def test_verdicts_after_the_stop_are_marked():
    """They are description."""
    walked, _ = smallest_sufficient(_verdicts("equivalent", "inconclusive", "equivalent"))
    assert [verdict.is_tested for verdict in walked] == [True, True, False]


@pytest.mark.parametrize(
    ("kind", "low", "high", "word"),
    [
        ("without", 0.01, 0.03, "hurts"),
        ("without", -0.03, -0.01, "helps"),
        ("alone", 0.01, 0.03, "helps"),
        ("alone", -0.03, -0.01, "hurts"),
        ("alone", -0.03, 0.01, "no clear effect"),
        ("alone", None, None, "no clear effect"),
    ],
)
def test_leaving_a_harmful_transform_out_raises_accuracy(kind, low, high, word):
    """And having it alone lowers it."""
    assert effect(kind, Estimate(0.0, low, high)) == word
