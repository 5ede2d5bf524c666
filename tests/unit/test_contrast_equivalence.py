"""What the proof of a contrast compares, and what it says."""

from materialize.contrast.equivalence import prove_equal
from tests.contrast_cases import run

EPOCHS = 3


def test_enough_copies_with_equal_weights_hold():
    """And the sentence counts the pairs."""
    proof = prove_equal([run("on-the-fly"), run("offline K=3"), run("offline K=4")], EPOCHS)
    assert (proof.holds, proof.copies, len(proof.pairs)) == (True, 3, 2)
    assert "2 of 2" in proof.reason


def test_enough_copies_with_other_weights_fail():
    """The first of them is named."""
    runs = [run("on-the-fly", 1), run("offline K=3", 1, weights="b")]
    proof = prove_equal(runs, EPOCHS)
    assert proof.holds is False
    assert "offline K=3, seed 1" in proof.reason


def test_too_few_copies_prove_nothing_about_weights():
    """But the epochs that saw the same images are compared."""
    runs = [run("on-the-fly"), run("offline K=2", weights="b", losses=(1.0, 0.5, 0.3))]
    proof = prove_equal(runs, EPOCHS)
    assert proof.holds is None
    assert "all 2 epochs" in proof.reason


def test_an_epoch_that_saw_the_same_images_with_another_loss_fails():
    """Even where no weights are compared."""
    runs = [run("on-the-fly"), run("offline K=2", weights="b", losses=(1.0, 0.4, 0.3))]
    proof = prove_equal(runs, EPOCHS)
    assert proof.holds is False
    assert "offline K=2, seed 0, epoch 1" in proof.reason


def test_the_prefix_arm_is_compared_whatever_k_is():
    """It always shows what on-the-fly shows."""
    proof = prove_equal([run("on-the-fly"), run("prefix")], EPOCHS)
    assert (proof.holds, proof.copies) == (True, None)


def test_folds_are_compared_with_their_own():
    """A fold is a training of its own."""
    runs = [
        run("on-the-fly", fold=0), run("on-the-fly", fold=1, weights="b"),
        run("prefix", fold=0), run("prefix", fold=1, weights="b"),
    ]  # fmt: skip
    assert prove_equal(runs, EPOCHS).holds is True


def test_without_on_the_fly_there_is_nothing_to_compare():
    """The reason says so."""
    proof = prove_equal([run("offline K=3"), run("prefix")], EPOCHS)
    assert proof.holds is None
    assert "on-the-fly was not run" in proof.reason


def test_warm_starts_and_ablations_are_not_compared():
    """They have names of their own."""
    runs = [
        run("on-the-fly"), run("on-the-fly, warm", arm="on-the-fly", weights="b"),
        run("without zoom", arm="on-the-fly", weights="c"), run("prefix"),
    ]  # fmt: skip
    assert len(prove_equal(runs, EPOCHS).pairs) == 1
