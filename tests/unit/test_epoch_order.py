"""The order of an epoch: everything once, by seed, epoch and samples alone, and well mixed."""

from dataclasses import replace

import numpy as np
import pytest

from materialize.errors import ConfigError
from materialize.loader.order import EpochOrder, OrderOptions, Visits, mixing

ONE = Visits(None)
SMALL = OrderOptions(block_rows=8, window_blocks=4)


def order(num_rows=1000, visits=ONE, epoch=0, digest="ab", **options):
    return EpochOrder.of(num_rows, digest, visits, replace(SMALL, **options), epoch)


def rows_of(found):
    return found.at(0, len(found))[0].tolist()


@pytest.mark.parametrize("shuffle", ["global", "window", "none"])
@pytest.mark.parametrize("num_rows", [1, 7, 8, 31, 32, 33, 1000])
@pytest.mark.parametrize("visits", [ONE, Visits((0, 1, 2), "all"), Visits((-1,))])
def test_every_item_comes_once(shuffle, num_rows, visits):
    """With a last block and a last window that are not full, too."""
    found = order(num_rows, visits, shuffle=shuffle)
    rows, copies = found.at(0, len(found))
    assert len(set(zip(rows.tolist(), copies.tolist(), strict=True))) == len(found)
    assert len(found) == num_rows * visits.items_per_row


@pytest.mark.parametrize("shuffle", ["global", "window", "none"])
def test_a_part_of_an_epoch_is_a_part_of_it(shuffle):
    """Entered anywhere, in steps of any size."""
    found = order(333, shuffle=shuffle)
    whole = found.at(0, 333)[0]
    parts = [found.at(start, min(start + 7, 333))[0] for start in range(0, 333, 7)]
    assert np.array_equal(np.concatenate(parts), whole)


def test_another_epoch_has_another_order():
    """Else a model would see the same batches every epoch."""
    assert rows_of(order(epoch=0)) != rows_of(order(epoch=1))


def test_another_seed_has_another_order():
    """Which is what seeds are for."""
    assert rows_of(order(seed=0)) != rows_of(order(seed=1))


def test_other_samples_have_another_order():
    """The order belongs to who is in the training part."""
    assert rows_of(order(digest="ab")) != rows_of(order(digest="cd"))


def test_the_copy_is_the_epoch_on_the_fly():
    """There is no last copy."""
    assert set(order(epoch=17).at(0, 10)[1].tolist()) == {17}


def test_stored_copies_come_round_again():
    """Epoch e shows copy e mod K, in the order of epoch e."""
    stored = order(epoch=7, visits=Visits((0, 1, 2)))
    assert set(stored.at(0, 10)[1].tolist()) == {1}
    assert rows_of(stored) == rows_of(order(epoch=7))


def test_a_global_shuffle_mixes_perfectly():
    """Mixing of at least 0.98: every batch is spread over all there is."""
    assert mixing(order(100_000), 128) >= 0.98


def test_a_window_mixes_as_far_as_its_blocks_reach():
    """256 blocks of 64 from all over are as good as all."""
    assert mixing(order(100_000, shuffle="window", block_rows=64, window_blocks=256), 128) >= 0.98


def test_no_shuffle_does_not_mix():
    """The measure tells the difference."""
    assert mixing(order(100_000, shuffle="none"), 128) < 0.01


def test_a_window_reads_only_its_own_blocks():
    """Thirty-two places in a row come from four blocks of eight."""
    rows = np.array(rows_of(order(1000, shuffle="window"))[:32])
    assert len(np.unique(rows // 8)) == 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shuffle": "globel"}, "expected one of global, window, none"),
        ({"seed": -1}, "seed: expected a whole number"),
        ({"block_rows": 0}, "block_rows: expected a whole number"),
    ],
)
def test_impossible_options_are_refused(wrong, message):
    """By name, with what is possible."""
    with pytest.raises(ConfigError, match=message):
        OrderOptions(**wrong)


@pytest.mark.parametrize(
    ("copies", "per_epoch"), [((), "one"), ((1, 1), "one"), ((-2,), "one"), (None, "all")]
)
def test_impossible_copies_are_refused(copies, per_epoch):
    """None, one twice, one below the original, or all of infinitely many."""
    with pytest.raises(ConfigError):
        Visits(copies, per_epoch)
