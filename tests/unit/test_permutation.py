"""The keyed permutation: a permutation, its inverse, a good one, and the same one for ever."""

import numpy as np
import pytest
from scipy import stats

from materialize.loader.permutation import Permutation


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 97, 1000, 4097])
def test_every_number_comes_once(size):
    """Whatever the size."""
    numbers = Permutation.of(size, 7).at(np.arange(size))
    assert sorted(numbers.tolist()) == list(range(size))


@pytest.mark.parametrize("size", [1, 2, 3, 97, 4097, 2**40 + 5])
def test_places_of_undoes_at(size):
    """Also where the list of all numbers could never be made."""
    permutation = Permutation.of(size, 7, "x")
    places = np.unique(np.linspace(0, size - 1, 100).astype(np.int64))
    assert np.array_equal(permutation.places_of(permutation.at(places)), places)


def test_a_place_is_computed_alone():
    """No list: the number at one place does not need the others."""
    permutation = Permutation.of(1000, 7)
    whole = permutation.at(np.arange(1000))
    assert permutation.at(np.array([613]))[0] == whole[613]


def test_small_permutations_are_equally_likely():
    """All 24 orders of four numbers, over many keys."""
    orders = [tuple(Permutation.of(4, key).at(np.arange(4)).tolist()) for key in range(4800)]
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 1e-4


def test_a_number_is_anywhere_equally_often():
    """Where number 0 of 50 stands, over many keys."""
    places = [
        int(Permutation.of(50, key).places_of(np.zeros(1, np.int64))[0]) for key in range(5000)
    ]
    assert stats.chisquare(np.bincount(places, minlength=50)).pvalue > 1e-4


def test_neighbours_do_not_stay_together():
    """Differences of neighbours look like those of a random order."""
    numbers = Permutation.of(20000, 1).at(np.arange(20000))
    correlation = np.corrcoef(numbers[:-1], numbers[1:])[0, 1]
    assert abs(correlation) < 4 / np.sqrt(20000)


@pytest.mark.parametrize("place", [-1, 10])
def test_places_outside_are_refused(place):
    """An index past the end would walk for ever, or give a number that is not there."""
    with pytest.raises(IndexError, match=r"not within \[0, 10\)"):
        Permutation.of(10, 1).at(np.array([place]))


def test_the_numbers_never_change():
    """Whoever trained with a seed yesterday must see the same order tomorrow."""
    found = Permutation.of(10, 7, 3, "abc").at(np.arange(10)).tolist()
    assert found == GOLDEN_10
    large = Permutation.of(10**8, 7, 3, "abc").at(np.arange(4)).tolist()
    assert large == GOLDEN_LARGE


GOLDEN_10 = [3, 9, 8, 4, 7, 5, 6, 0, 1, 2]
GOLDEN_LARGE = [58705357, 16988278, 90943117, 23042388]
