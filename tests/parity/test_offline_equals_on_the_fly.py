"""The proof: from stored copies, on the fly and from prefixes, trainings end with equal weights."""

import pytest

from materialize.contrast.running import run_contrast
from tests.contrast_cases import small_job

pytest.importorskip("tensorflow")


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """Three epochs of every arm on the digits, from real shards, through TensorFlow."""
    job = small_job(
        arms=("none", "offline", "on-the-fly", "prefix"), copies=(2, 3), epochs=3,
        more='ablation = ["without"]',
    )  # fmt: skip
    return run_contrast(job, tmp_path_factory.mktemp("contrast"))


@pytest.fixture(scope="module")
def weights(result):
    """Digest of the final weights by arm."""
    return {run.name: run.weights for run in result.runs}


def test_as_many_copies_as_epochs_end_with_the_weights_of_on_the_fly(weights):
    """Equal bytes in equal order through equal steps: a hash that matches, not a similar number."""
    assert weights["offline K=3"] == weights["on-the-fly"]


def test_the_prefix_arm_ends_with_the_weights_of_on_the_fly(weights):
    """Where an image is decoded and resized does not matter."""
    assert weights["prefix"] == weights["on-the-fly"]


def test_fewer_copies_than_epochs_end_with_other_weights(weights):
    """The third epoch repeats the first one's images, and the digest notices."""
    assert weights["offline K=2"] != weights["on-the-fly"]


def test_untouched_images_end_with_other_weights(weights):
    """Without augmentation the images differ from the first step on."""
    assert weights["none"] != weights["on-the-fly"]


def test_leaving_a_step_out_ends_with_other_weights(weights):
    """An ablation trains from other images."""
    assert weights["without rotation"] != weights["on-the-fly"]


def test_all_arms_start_from_equal_weights(result):
    """Initial weights depend on the seed alone."""
    assert len({run.initial_weights for run in result.runs}) == 1


def test_all_arms_make_equally_many_steps(result):
    """180 images in batches of 64, three times."""
    assert {run.num_steps for run in result.runs} == {9}


def test_an_epoch_that_saw_equal_images_has_an_equal_loss(result):
    """K=2 repeats from the third epoch on; the first two are those of on-the-fly."""
    losses = {run.name: [epoch.loss for epoch in run.epochs] for run in result.runs}
    assert losses["offline K=2"][:2] == losses["on-the-fly"][:2]
    assert losses["offline K=2"][2] != losses["on-the-fly"][2]


def test_the_report_says_so(result):
    """K=3 and the prefix arm: two pairs, and K=2's first two epochs are compared as well."""
    proof = result.proof
    assert (proof.holds, proof.copies, len(proof.pairs)) == (True, 3, 2)
    assert "all 8 epochs" in proof.reason


def test_equal_weights_are_equivalent_with_one_seed(result):
    """There is nothing left to test."""
    verdict = {verdict.copies: verdict for verdict in result.verdicts}[3]
    assert (verdict.verdict, verdict.difference) == ("equivalent", 0.0)
