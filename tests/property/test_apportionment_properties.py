"""Sharing out whole numbers: exact sums, and nobody off by a unit."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialize.accounting.apportionment import apportion, spread

TOTALS = st.integers(0, 2**40)
WEIGHTS = st.lists(st.integers(0, 2**18), min_size=1, max_size=8).filter(any)


def share_out(total, weights):
    return apportion(np.array([total]), np.array([weights]))[0].tolist()


@given(TOTALS, WEIGHTS)
def test_shares_sum_to_the_total(total, weights):
    """No unit is lost or made."""
    assert sum(share_out(total, weights)) == total


@given(TOTALS, WEIGHTS)
def test_each_share_is_within_one_unit_of_its_proportion(total, weights):
    """The error of a share is less than 1, in exact arithmetic."""
    for share, weight in zip(share_out(total, weights), weights, strict=True):
        assert abs(share - Fraction(total * weight, sum(weights))) < 1


@given(TOTALS, WEIGHTS)
def test_no_weight_gets_nothing(total, weights):
    """A class that is not in a block takes none of its bytes."""
    shares = share_out(total, [*weights, 0])
    assert shares[-1] == 0


@given(TOTALS, WEIGHTS)
def test_a_larger_weight_never_gets_less(total, weights):
    """Shares keep the order of their weights."""
    pairs = sorted(zip(weights, share_out(total, weights), strict=True))
    heavier = [(a, b) for a, b in itertools.pairwise(pairs) if a[0] < b[0]]
    assert all(light[1] <= heavy[1] for light, heavy in heavier)


@given(st.lists(st.tuples(TOTALS, st.lists(st.integers(1, 99), min_size=3, max_size=3))))
def test_rows_are_shared_out_independently(rows):
    """Many blocks at once give what each gives alone."""
    totals = np.array([total for total, _ in rows], np.int64)
    weights = np.array([weights for _, weights in rows], np.int64).reshape(-1, 3)
    alone = [share_out(total, weights) for total, weights in rows]
    assert apportion(totals, weights).tolist() == alone


@given(st.lists(st.tuples(TOTALS, st.integers(1, 9))))
def test_a_spread_of_each_total_sums_to_it(blocks):
    """The images of a block take all of its bytes, and equally many but for one."""
    totals = np.array([total for total, _ in blocks], np.int64)
    counts = np.array([count for _, count in blocks], np.int64)
    shares, start = spread(totals, counts), 0
    assert len(shares) == counts.sum()
    for total, count in blocks:
        part = shares[start : start + count]
        assert part.sum() == total
        assert part.max() - part.min() <= 1
        start += count


def test_a_tie_goes_to_the_first():
    """Equal remainders are settled by place, so an account is the same every time."""
    assert share_out(5, [1, 1, 1]) == [2, 2, 1]


@pytest.mark.parametrize(
    ("total", "weights"), [(1, [0, 0]), (-1, [1]), (1, [-1, 2]), (2**40, [2**30])]
)
def test_what_cannot_be_shared_out_exactly_is_refused(total, weights):
    """Nothing to share by, a negative number, or products that do not fit 64 bits."""
    with pytest.raises(ValueError, match="expected"):
        share_out(total, weights)
