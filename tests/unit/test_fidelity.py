"""PSNR is that of all values together."""

import math

import numpy as np
import pytest

from materialize.shards import fidelity
from materialize.shards.fidelity import psnr

ZEROS = np.zeros((3, 4, 5, 3), np.uint8)


def test_equal_images_are_infinitely_close():
    assert psnr(ZEROS, ZEROS.copy()) == math.inf


def test_white_for_black_is_nothing():
    assert psnr(ZEROS, ZEROS + 255) == 0


def test_one_level_everywhere_is_48_decibels():
    """20 · log10(255) = 48.13."""
    assert psnr(ZEROS, ZEROS + 1) == pytest.approx(20 * math.log10(255))
    assert psnr(ZEROS + 1, ZEROS) == pytest.approx(20 * math.log10(255))


def test_images_are_weighed_together_and_not_averaged():
    """One image of three differs by 30 levels: a mean squared difference of 300."""
    other = ZEROS.copy()
    other[0] = 30
    assert psnr(ZEROS, other) == pytest.approx(10 * math.log10(255**2 / 300))


def test_the_pieces_it_is_summed_in_do_not_show(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (7, 9, 9, 3), np.uint8)
    whole = psnr(images, images[::-1])
    monkeypatch.setattr(fidelity, "_ROWS_BYTES", 500)
    assert psnr(images, images[::-1]) == whole


@pytest.mark.parametrize("other", [ZEROS[:2], ZEROS.astype(np.float32)])
def test_other_shapes_and_types_are_refused(other):
    with pytest.raises(ValueError, match="expected uint8 images of one shape"):
        psnr(ZEROS, other)
