"""The sentences above the figures, and how numbers are written in them and in tables."""

from dataclasses import replace

import pytest

from materialize.report import cells, sentences
from tests.report_cases import full_result, minimal_result


def _judged(**changes):
    """A contrast whose only verdict is changed, and that found no sufficient K."""
    verdict = replace(full_result().verdicts[0], copies=4, remark="", difference=-0.02, low=-0.03,
                      high=-0.011, verdict="worse")  # fmt: skip
    return replace(full_result(), smallest_sufficient=None, verdicts=(replace(verdict, **changes),))


def test_the_smallest_sufficient_k_comes_first():
    """With the numbers that say so."""
    assert sentences.verdict(full_result()) == (
        "4 stored copies of each image do as well as augmenting on the fly within 1 point: "
        "−0.2 points (90 % interval −0.5 … +0.2)."
    )


def test_one_copy_is_singular():
    """The sentence is built, not pasted."""
    result = replace(_judged(copies=1), smallest_sufficient=1)
    assert sentences.verdict(result).startswith("1 stored copy of each image does as well")


def test_a_worse_k_is_called_so():
    """The largest K speaks for all."""
    assert sentences.verdict(_judged()) == (
        "No K does as well as augmenting on the fly within 1 point: even K = 4 is worse, "
        "−2.0 points (90 % interval −3.0 … −1.1)."
    )


def test_an_inconclusive_k_says_what_would_tell():
    """How many seeds, or why none would."""
    said = sentences.verdict(_judged(verdict="inconclusive", needed_seeds=9))
    assert said.endswith("K = 4 is inconclusive, −2.0 points (90 % interval −3.0 … −1.1); "
                         "9 seeds would probably tell.")  # fmt: skip
    assert sentences.verdict(minimal_result()).endswith("one seed has no interval: run at least "
                                                        "three.")  # fmt: skip


def test_nothing_is_said_of_copies_that_were_not_trained_on():
    """A contrast may have other arms alone."""
    result = replace(full_result(), verdicts=(), smallest_sufficient=None)
    assert sentences.verdict(result) == (
        "Stored copies were not compared with augmenting on the fly."
    )


def test_what_augmenting_changes_has_the_sign_of_the_change():
    """The result holds the difference the other way round."""
    assert sentences.effect(full_result()) == (
        "Augmenting on the fly changes test accuracy from 66.2 % to 71.8 %, by +5.4 points "
        "(95 % interval +5.1 … +5.7)."
    ).replace("66.2", cells.percent_text(full_result().arms[0].accuracy))


def test_the_proof_gives_two_digests():
    """The beginnings of a pair that is equal, if all are."""
    digest = full_result().proof.pairs[0].weights[:16]
    assert sentences.proven(full_result()) == (
        "Proven. offline K=8: 5 of 5 trainings ended with the weights of on-the-fly, bit for bit. "
        f"offline K=8, seed 0: {digest} = {digest}."
    )


def test_a_proof_that_fails_shows_a_pair_that_differs():
    """Not one of those that happen to be equal."""
    pairs = full_result().proof.pairs
    broken = (*pairs[:4], replace(pairs[4], weights="0" * 64))
    proof = replace(full_result().proof, holds=False, pairs=broken, reason="1 of 5 is other.")
    assert sentences.proven(replace(full_result(), proof=proof)) == (
        f"Not equal. 1 of 5 is other. offline K=8, seed 4: {'0' * 16} ≠ {pairs[4].on_the_fly[:16]}."
    )


def test_a_proof_that_cannot_be_made_says_why():
    """There may be no K as large as the number of epochs."""
    assert sentences.proven(minimal_result()) == (
        "Not testable here. No weights could be compared: no K reaches the 8 epochs."
    )


def test_the_summary_is_one_line():
    """It is what the command prints."""
    line = sentences.summary_line(full_result())
    assert "\n" not in line
    assert line.startswith("Compared on cifar10 (4,000 training images, 10 classes): ")


@pytest.mark.parametrize(
    ("value", "text"), [(0.0123, "+1.2"), (-0.0123, "−1.2"), (0.0004, "0.0"), (-0.0004, "0.0")]
)
def test_differences_have_a_sign_unless_they_round_to_zero(value, text):
    """A minus is a minus, not a hyphen."""
    assert cells.points_text(value) == text


def test_a_p_value_below_the_digits_says_so():
    """0.0000 would be a claim."""
    said = [cells.p_cell(value).text for value in (0.0, 1e-9, 0.04219, None)]
    assert said == ["0", "< 0.0001", "0.0422", ""]


def test_a_number_stays_beside_its_unit():
    """Lines break elsewhere."""
    assert cells.tied("K = 2: 0.3 points (95 % interval −0.1 … +0.7)") == (
        "K\u00a0=\u00a02: 0.3\u00a0points (95\u00a0% interval −0.1\u00a0…\u00a0+0.7)"
    )


@pytest.mark.parametrize(
    ("items", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"),
                        (["a", "b", "c"], "a, b and c")]
)  # fmt: skip
def test_lists_read_as_in_a_sentence(items, text):
    """However many they are."""
    assert cells.listed(items) == text
