"""What splits and folds must hold for arbitrary labels, groups and repeated contents."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from materialize.population import Division, fold_numbers
from materialize.population.division import UNCUT, cluster_numbers, split_codes
from tests.unit.test_division import table

records = st.lists(
    st.tuples(
        st.integers(0, 4),  # class
        st.sampled_from(["", "", "", "p", "q", "r", "s"]),  # group
        st.integers(0, 60),  # content
    ),
    min_size=1,
    max_size=60,
)
shares = st.sampled_from(["0.8/0.1/0.1", "0.5/0.5", "0.34/0.33/0.33", "1/0/0", "0.9/0/0.1"])
divisions = st.builds(Division.parse, shares, st.integers(0, 3))


def columns_of(rows):
    """ids, labels, groups, digests; equal contents have different ids."""
    digests = [hashlib.sha256(str(content).encode()).digest() for _, _, content in rows]
    ids = [
        hashlib.sha256(digest + bytes([digests[:row].count(digest)])).digest()[:16]
        for row, digest in enumerate(digests)
    ]
    return (
        np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 16),
        np.array([label for label, _, _ in rows], np.int32),
        [group for _, group, _ in rows],
        np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32),
    )


def taken(columns, order):
    ids, labels, groups, digests = columns
    return ids[order], labels[order], [groups[row] for row in order], digests[order]


def is_undivided(columns, parts):
    pairs = set(zip(cluster_numbers(columns[3], columns[2]).tolist(), parts.tolist(), strict=True))
    return len(pairs) == len({cluster for cluster, _ in pairs})


@given(records, divisions)
def test_no_content_and_no_group_is_in_two_splits(rows, division):
    columns = columns_of(rows)
    assert is_undivided(columns, split_codes(*columns, division=division))


@given(records, divisions)
def test_a_split_without_a_share_gets_nothing(rows, division):
    codes = split_codes(*columns_of(rows), division=division)
    assert all(division.weights[code] for code in np.unique(codes))


@given(records, divisions, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_the_numbers_of_classes_change_nothing(rows, division, shuffler):
    columns = columns_of(rows)
    order = list(range(len(rows)))
    shuffler.shuffle(order)
    renumbered = np.array(shuffler.sample(range(5), 5), np.int32)
    ids, labels, groups, digests = taken(columns, order)
    shuffled = split_codes(ids, renumbered[labels], groups, digests, division=division)
    np.testing.assert_array_equal(shuffled, split_codes(*columns, division=division)[order])


@given(records, st.integers(2, 6), st.integers(0, 3), st.randoms(use_true_random=False))
def test_folds_divide_no_cluster_and_do_not_depend_on_order(rows, folds, seed, shuffler):
    columns = columns_of(rows)
    if len(np.unique(cluster_numbers(columns[3], columns[2]))) < folds:
        return
    numbers = fold_numbers(*columns, folds=folds, seed=seed)
    assert is_undivided(columns, numbers)
    assert set(numbers.tolist()) <= set(range(folds))
    order = list(range(len(rows)))
    shuffler.shuffle(order)
    shuffled = fold_numbers(*taken(columns, order), folds=folds, seed=seed)
    np.testing.assert_array_equal(shuffled, numbers[order])


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), divisions)
def test_images_of_their_own_are_shared_out_to_within_one(sizes, division):
    """Two of training's, where a class is so small that it is served first."""
    rows = [
        (label, "", 1000 * label + number)
        for label, size in enumerate(sizes)
        for number in range(size)
    ]
    columns = columns_of(rows)
    counts = table(columns[1], split_codes(*columns, division=division), 3)
    total = sum(division.weights)
    exact = np.outer(sizes, division.weights) / total
    assert (np.abs(counts - exact) <= 1).all()
    assert counts[:, 0].min() >= 1


@given(records, divisions, st.integers(0, 59))
def test_what_stands_never_moves(rows, division, cut):
    columns = columns_of(rows)
    first = split_codes(*taken(columns, list(range(min(cut, len(rows))))), division=division)
    standing = np.full(len(rows), UNCUT, np.int8)
    standing[: len(first)] = first
    again = split_codes(*columns, division=division, standing=standing)
    np.testing.assert_array_equal(again[: len(first)], first)
