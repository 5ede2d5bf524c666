"""A trainer is killed at random moments: it ends with the weights of one that was not."""

import pytest

from tests.training_kills import finish, killed_digest, start

pytest.importorskip("keras")


def test_a_killed_training_ends_with_the_same_weights(tmp_path):
    """Two kills; `make bench` has twenty."""
    whole = start(tmp_path / "whole")
    digests, kills = killed_digest(tmp_path, kills=2)
    assert kills == 2
    assert set(digests) == {finish(whole)}
