"""Budgets and choices, by arithmetic."""

from dataclasses import replace
from decimal import Decimal
from math import inf

import numpy as np
import pytest

from materialize.accounting.prices import read_prices
from materialize.builder import build_dataset
from materialize.errors import BudgetError, StorageError
from materialize.estimation.assembly import Inquiry
from materialize.estimation.choices import Wishes, check_budget
from materialize.estimation.intervals import Interval
from materialize.estimation.money import StorageTerms
from materialize.estimation.planner import plan_dataset
from materialize.estimation.sampling import Effort
from materialize.recipe import Recipe

TERMS = StorageTerms(book=read_prices(), service="s3-standard", epochs=20)
EFFORT = Effort(images=320)


@pytest.fixture(scope="module")
def plain():
    """The digits, five raw copies."""
    return planned(Wishes())


def planned(wishes, copies=5, codec="raw", **inquiry):
    asked = Inquiry(terms=TERMS, epochs=20, effort=EFFORT, **inquiry)
    return plan_dataset(
        "digits", "digits", Recipe(copies=copies, codec=codec), asked, wishes=wishes
    )


def test_nothing_is_chosen_where_nothing_is_open(plain):
    """And nothing limits it."""
    assert plain.choice is None


def test_a_budget_of_bytes_allows_as_many_raw_copies_as_fit(plain):
    """Bytes of k copies are k times those of one: the last that fits is chosen."""
    one = plain.estimate.stored_bytes.value / 5
    wishes = Wishes(budget_bytes=int(7.5 * one), are_copies_open=True)
    choice = planned(wishes, copies=20).choice
    assert (choice.codec, choice.copies) == ("raw", 7)
    assert "8 copies would not fit" in choice.sentence


def test_a_budget_of_money_allows_as_many_copies_as_it_pays_for(plain):
    """At $0.023 per GiB-month, so many bytes; k copies are k times those of one."""
    one = plain.estimate.stored_bytes.value / 5
    money = Decimal("0.023") * Decimal(int(3.5 * one)) / 2**30
    wishes = Wishes(budget_money=money, are_copies_open=True)
    assert planned(wishes, copies=20).choice.copies == 3


def test_no_more_copies_are_chosen_than_there_are_epochs():
    """More would never be shown."""
    choice = planned(Wishes(budget_bytes=10**12, are_copies_open=True), copies=20).choice
    assert choice.copies == 20
    assert "one for each epoch" in choice.sentence


def test_with_a_budget_the_codec_that_takes_least_is_chosen():
    """Of those that lose nothing and fit."""
    choice = planned(Wishes(budget_bytes=10**9, is_codec_open=True)).choice
    left = {option.codec: option for option in choice.options if not option.rejected}
    assert choice.codec == min(left, key=lambda name: left[name].stored_bytes.value)
    assert "jpeg-90" not in left


def test_the_estimate_is_of_what_was_chosen(tmp_path):
    """To the byte, where every image was seen, though more copies of them were tried."""
    images = np.random.default_rng(0).integers(0, 4, (120, 12, 12, 1), np.uint8)
    asked = Inquiry(terms=TERMS, epochs=9)
    wishes = Wishes(budget_bytes=60_000, is_codec_open=True, are_copies_open=True)
    report = plan_dataset(images, "digits", Recipe(copies=9), asked, wishes=wishes)
    estimate, choice = report.estimate, report.choice
    assert 1 < choice.copies < 9
    assert (estimate.codec, estimate.copies) == (choice.codec, choice.copies)
    build_dataset(images, tmp_path, "digits", Recipe(copies=choice.copies, codec=choice.codec))
    written = sum(path.stat().st_size for path in tmp_path.glob("shards/*"))
    assert estimate.stored_bytes == Interval.exact(written)
    assert sum(part.value for part in estimate.by_class.values()) == pytest.approx(written)
    assert written <= 60_000


def test_without_a_budget_the_fastest_codec_is_chosen():
    """For the build and all epochs."""
    choice = planned(Wishes(is_codec_open=True)).choice
    left = {option.codec: option for option in choice.options if not option.rejected}
    assert choice.codec == min(left, key=lambda name: left[name].total_s)


def test_a_lossy_codec_is_chosen_only_within_its_fidelity():
    """Its PSNR decides."""
    strict = planned(Wishes(is_codec_open=True)).choice
    loose = planned(Wishes(is_codec_open=True, fidelity_db=10)).choice
    rejected = [
        {option.codec: option.rejected for option in choice.options}["jpeg-90"]
        for choice in (strict, loose)
    ]
    assert "nothing may be lost" in rejected[0]
    assert rejected[1] == ""


def test_a_codec_that_cannot_feed_the_trainer_is_rejected():
    """No codec gives 10^12 images a second."""
    choice = planned(Wishes(is_codec_open=True, trainer_images_per_s=1e12)).choice
    assert choice.codec is None
    rejected = {option.codec: option.rejected for option in choice.options}
    assert "the trainer takes 1,000,000,000,000" in rejected["raw"]


def test_what_fits_nowhere_is_said_with_what_to_do():
    """One byte is too little for anything."""
    choice = planned(Wishes(budget_bytes=1, is_codec_open=True)).choice
    assert choice.codec is None
    assert "ask for fewer copies" in choice.sentence


def test_prices_are_found_where_none_are_named():
    """A budget of bytes needs none, but the choice shows what storage costs."""
    report = plan_dataset("digits", "digits", Recipe(copies=2), wishes=Wishes(budget_bytes=10**9))
    assert report.choice.options[0].month_cost is not None


def test_a_build_within_every_limit_passes(plain):
    """Its own size is the tightest."""
    size = int(plain.estimate.stored_bytes.value)
    check_budget(plain.estimate, budget_bytes=size, budget_money=Decimal(1), free_bytes=size)


def test_a_build_that_does_not_fit_the_disk_is_refused(plain):
    """With both numbers, and what finds a way."""
    with pytest.raises(StorageError, match=r"expected room for .* bytes, found 1,000 free.*plan"):
        check_budget(plain.estimate, free_bytes=1000)


def test_a_build_over_its_budget_is_refused(plain):
    """Bytes and money alike."""
    with pytest.raises(BudgetError, match="budget-gb: expected at most 1,000 bytes"):
        check_budget(plain.estimate, budget_bytes=1000)
    with pytest.raises(BudgetError, match=r"expected at most 0\.0000001 USD a month"):
        check_budget(plain.estimate, budget_money=Decimal("0.0000001"))


def test_a_budget_of_money_without_a_price_is_refused(plain):
    """Nothing is taken to cost nothing."""
    unpriced = replace(plain.estimate, money=None)
    with pytest.raises(BudgetError, match="expected a price"):
        check_budget(unpriced, budget_money=Decimal(100))


def test_a_lossless_codec_keeps_everything(plain):
    """Its fidelity is without end."""
    assert plain.estimate.codec_estimate("raw").fidelity_db == inf
