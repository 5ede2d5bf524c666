"""Whatever the classes and their targets, an epoch shows exactly what was asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materialize.loader.holders import Holders, _count
from materialize.loader.order import EpochOrder, OrderOptions, Visits
from materialize.loader.turns import _MOST_IN_NUMPY, _ROWS_AT_ONCE, Turns
from materialize.population.rates import NO_RANK, Rates

ONE = Visits(None)
SHUFFLES = st.sampled_from(["global", "window", "none"])


@st.composite
def balances(draw):
    """Rates of up to four classes whose images lie mixed, and which of them are left."""
    cells = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 30)), min_size=1, max_size=4))
    periods = np.array([period for period, _ in cells])
    of_row = np.repeat(np.arange(len(cells), dtype=np.int32), periods)
    mixed = of_row[np.random.default_rng(draw(st.integers(0, 99))).permutation(len(of_row))]
    ranks = np.empty(len(mixed), np.int32)
    for cell, period in enumerate(periods):
        ranks[mixed == cell] = np.arange(period)
    rates = Rates(ranks, mixed, periods, np.array([draws for _, draws in cells]))
    left = np.array(draw(st.lists(st.booleans(), min_size=len(mixed), max_size=len(mixed))))
    return rates, left


def epoch(rates, number, *, visits=ONE, shuffle="global"):
    turns = Turns.of(rates, stand_in=visits.per_epoch == "one")
    options = OrderOptions(shuffle=shuffle, block_rows=3, window_blocks=2)
    order = EpochOrder.of(len(rates), "ab", visits, options, number, turns)
    return order.at(0, len(order))


def of_cells(rates, rows):
    return np.bincount(rates.cells[rows], minlength=len(rates.periods))


@given(balances(), st.integers(0, 12), SHUFFLES)
def test_an_epoch_shows_as_many_of_each_class_as_were_asked_for(case, number, shuffle):
    rates, _ = case
    rows, copies = epoch(rates, number, shuffle=shuffle)
    assert of_cells(rates, rows).tolist() == rates.draws.tolist()
    assert len({*zip(rows.tolist(), copies.tolist(), strict=True)}) == len(rows)


@given(balances(), st.integers(0, 12))
def test_so_it_does_where_images_are_missing(case, number):
    rates, left = case
    kept = rates.taken(left)
    rows, copies = epoch(kept, number)
    is_there = of_cells(kept, np.arange(len(kept))) > 0
    assert of_cells(kept, rows).tolist() == np.where(is_there, rates.draws, 0).tolist()
    # None but the very first shows a draw that the whole class would not have come to by then.
    most = np.maximum(kept.num_draws(number + 1), 1)
    assert (copies < most[rows]).all()


@given(balances(), st.integers(0, 12))
def test_who_is_there_shows_what_it_would_have_shown(case, number):
    """Whoever else was removed."""
    rates, left = case
    rows, copies = epoch(rates, number)
    numbers = np.flatnonzero(left)
    kept_rows, kept_copies = epoch(rates.taken(left), number)
    shown = {*zip(numbers[kept_rows].tolist(), kept_copies.tolist(), strict=True)}
    pairs = zip(rows.tolist(), copies.tolist(), strict=True)
    assert {(row, copy) for row, copy in pairs if left[row]} <= shown


@given(balances(), st.integers(0, 12))
def test_numpy_looks_up_what_compiled_code_does(case, number):
    """Which is asked for many items at once."""
    rates, left = case
    here = Turns.of(rates.taken(left), stand_in=True).round(number)
    items = np.resize(np.arange(len(here)), (_MOST_IN_NUMPY + 1) * (len(here) > 0))
    found, expected = np.full((2, len(items)), -7), np.full((2, len(items)), -7)
    here.write(items, 2, *found)  # the first two are another round's
    here.write_in_numpy(items, 2, *expected)
    assert np.array_equal(found, expected)
    assert np.array_equal(found[0] == -7, items < 2)


def test_rows_are_counted_over_the_blocks_they_are_counted_in():
    """More rows than are counted at once; their items are those of each row alone."""
    count = _ROWS_AT_ONCE + 3
    ranks, cells = np.arange(count, dtype=np.int32), np.zeros(count, np.int32)
    rates = Rates(ranks, cells, np.array([count]), np.array([2 * count + 1]))
    here = Turns.of(rates, stand_in=False).round(1)
    counts = rates.num_draws(2) - rates.num_draws(1)
    assert np.array_equal(here.ends, np.cumsum(counts))
    rows, draws = np.empty((2, len(here)), np.int64)
    here.write(np.arange(len(here)), 0, rows, draws)
    assert np.array_equal(rows, np.repeat(np.arange(count), counts))
    assert np.array_equal(np.bincount(rows, draws == rates.num_draws(1)[rows]), np.ones(count))


@given(balances(), st.integers(1, 6))
def test_epochs_partition_the_draws(case, epochs):
    """Draws 0, 1, 2 … of each image, each in one epoch; more epochs add to them."""
    rates, _ = case
    shown = [pair for e in range(epochs) for pair in zip(*epoch(rates, e), strict=True)]
    expected = [(row, k) for row, n in enumerate(rates.num_draws(epochs)) for k in range(n)]
    assert sorted(shown) == expected
    assert (np.diff(rates.num_draws(epochs)[rates.cells == 0]).max(initial=0)) <= 1


@given(balances(), st.integers(1, 5))
def test_all_copies_are_those_of_so_many_epochs(case, epochs):
    rates, left = case
    kept = rates.taken(left)
    rows, copies = epoch(kept, 7, visits=Visits(tuple(range(epochs)), "all"))
    expected = [(row, k) for row, n in enumerate(kept.num_draws(epochs)) for k in range(n)]
    assert sorted(zip(rows.tolist(), copies.tolist(), strict=True)) == expected


@given(balances(), st.integers(0, 12), SHUFFLES)
def test_a_target_of_its_own_size_is_no_balance(case, number, shuffle):
    """The very order of today, place by place."""
    rates = Rates(case[0].ranks, case[0].cells, case[0].periods, case[0].periods)
    options = OrderOptions(shuffle=shuffle, block_rows=3, window_blocks=2)
    plain = EpochOrder.of(len(rates), "ab", Visits(None), options, number)
    rows, copies = plain.at(0, len(plain))
    own_rows, own_copies = epoch(rates, number, shuffle=shuffle)
    assert np.array_equal(rows, own_rows)
    assert np.array_equal(copies, own_copies)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=200), st.integers(0, 199))
def test_holders_count_who_has_a_copy(numbers, first):
    num_copies = np.array(numbers)
    first = min(first, len(numbers) - 1)
    holders = Holders.of(num_copies)
    for copy in range(-1, 5):
        places = np.flatnonzero(num_copies > copy)
        places = places[places >= first]
        asked = (np.full(len(places), first), places, np.full(len(places), copy))
        counts = np.empty(len(places), np.int64)
        assert _count(holders.numbers, holders.bits, holders.before, *asked, counts)
        assert counts.tolist() == list(range(len(places)))
        found, all_have_it = holders.counted_in_numpy(*asked)
        assert all_have_it
        assert np.array_equal(found, counts)


def test_who_lacks_a_copy_is_not_counted():
    holders = Holders.of(np.array([2, 1]))
    for place, copy in ((1, 1), (0, 2)):
        asked = np.array([[0], [place], [copy]])
        assert not holders.counted_in_numpy(*asked)[1]
        assert not _count(holders.numbers, holders.bits, holders.before, *asked, asked[0])
        with pytest.raises(IndexError, match="copies that these rows have"):
            holders.between(*asked)


def test_ranks_outside_training_have_no_draws():
    rates = Rates(
        np.array([0, NO_RANK], np.int32), np.zeros(2, np.int32), np.array([1]), np.array([3])
    )
    assert rates.num_draws(2).tolist() == [6, 0]
