"""The arithmetic of a two-stage sample, by hand and by simulation."""

import numpy as np
import pytest
from scipy import stats

from materialize.estimation.intervals import (
    Interval,
    Whole,
    clusters_needed,
    total_bytes,
    total_of,
)


def whole(rows=100, clusters=10, copies=1):
    return Whole(num_rows=rows, num_clusters=clusters, num_copies=copies)


def test_what_was_seen_entirely_is_exact():
    """No interval is put around a sum that is known."""
    values = np.array([[3.0, 4.0], [5.0, 7.0]])
    found = total_bytes(values, np.array([10.0, 20.0]), whole(30, 2, 2))
    assert found == Interval.exact(19)


def test_one_stage_is_the_textbook_formula():
    """4 of 10 clusters of 10 rows: 10 · mean ± t(3) · 10 · s · √((1 − 0.4) / 4)."""
    bytes_of = np.array([100.0, 120.0, 90.0, 110.0])
    found = total_bytes(bytes_of[:, None], np.full(4, 10.0), whole())
    half = stats.t.ppf(0.975, 3) * 10 * bytes_of.std(ddof=1) * np.sqrt(0.6 / 4)
    assert found.value == pytest.approx(1050)
    assert found.half == pytest.approx(half)


def test_copies_of_seen_clusters_leave_only_what_copies_differ_by():
    """All 2 clusters, 2 of 4 copies: variance = (2/2) · Σ (1 − 2/4) · s² / 2, twice √ of copies."""
    values = np.array([[10.0, 14.0], [20.0, 20.0]])
    found = total_bytes(values, np.array([5.0, 5.0]), whole(10, 2, 4))
    variance = 0.5 * values[0].var(ddof=1) / 2
    assert found.value == pytest.approx(4 * (12 + 20))
    assert found.half == pytest.approx(stats.t.ppf(0.975, 2) * 4 * np.sqrt(variance))


def test_a_single_cluster_says_nothing_about_its_error():
    """Its interval reaches from nothing to twice the value."""
    found = total_bytes(np.array([[50.0]]), np.array([10.0]), whole())
    assert (found.low, found.value, found.high) == (0, 500, 1000)


def test_clusters_of_other_sizes_count_by_their_rows():
    """Bytes proportional to rows leave no error, however sizes differ."""
    rows = np.array([10.0, 30.0, 20.0])
    found = total_bytes(7 * rows[:, None], rows, whole(1000, 50))
    assert found.value == pytest.approx(7000)
    assert found.half == pytest.approx(0, abs=1e-6)


def test_intervals_hold_the_truth_as_often_as_they_say():
    """Over 600 samples of one skewed population, 95 % of them within what chance allows."""
    generator = np.random.default_rng(0)
    sources = generator.lognormal(0, 0.4, 300)
    truth = sources[:, None] * generator.lognormal(0, 0.1, (300, 3))
    held = 0
    for _ in range(600):
        drawn = generator.choice(300, 40, replace=False)
        copies = np.array([generator.choice(3, 2, replace=False) for _ in drawn])
        values = np.take_along_axis(truth[drawn], copies, axis=1)
        held += total_bytes(values, np.ones(40), whole(300, 300, 3)).contains(truth.sum())
    assert 0.92 <= held / 600 <= 0.98


def test_errors_of_independent_parts_add_as_squares():
    """3 and 4 give 5."""
    total = total_of([Interval.around(10, 3), Interval.around(20, 4)])
    assert total == Interval(30, 25, 35)


def test_half_the_interval_takes_four_times_the_clusters():
    """And a tenth more."""
    assert clusters_needed(Interval.around(100, 8), 10, 0.04) == 44
