"""Words by address: the published vectors, the twin, and what the words become."""

import numpy as np
import pytest

from pipelines.errors import ParameterError
from pipelines.randomness import (
    choose,
    counters,
    draw_words,
    draw_words_reference,
    happens,
    step_keys,
    uniform,
)

# Random123 (Salmon et al., SC 2011), kat_vectors, philox4x32 with 10 rounds.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000",
     "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff",
     "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0",
     "d16cfe09 94fdcceb 5001e420 24126ea1"),
]  # fmt: skip


def words_of(text):
    return np.array([[int(word, 16) for word in text.split()]], dtype=np.uint32)


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN_ANSWERS)
@pytest.mark.parametrize("draw", [draw_words, draw_words_reference])
def test_words_are_those_of_random123(draw, counter, key, expected):
    """Philox4x32-10 as its authors published it."""
    np.testing.assert_array_equal(draw(words_of(key), words_of(counter)), words_of(expected))


def test_compiled_words_equal_the_twin():
    """Many keys and addresses at once, block after block."""
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 2**32, (3, 2), dtype=np.uint32)
    addresses = rng.integers(0, 2**32, (257, 4), dtype=np.uint32)
    drawn = draw_words(keys, addresses)
    np.testing.assert_array_equal(drawn, draw_words_reference(keys, addresses))
    alone = draw_words(keys[1:2], addresses[5:6])
    np.testing.assert_array_equal(drawn[5:6, 4:8], alone)


def test_seed_step_and_block_make_different_keys():
    """No two of them share a key, so that ``seed + step`` coincidences cannot happen."""
    keys = {
        tuple(row)
        for seed in (0, 1, 6, 7, 256, 2**64 - 1)
        for step in ("zoom", "zoom#2", "rotation", "rotation#2", "")
        for row in step_keys(seed, step, 12).tolist()
    }
    assert len(keys) == 6 * 5 * 3


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, True, "7"])
def test_a_seed_outside_its_interval_is_refused(seed):
    """Seeds are whole numbers in [0, 2**64)."""
    with pytest.raises(ParameterError, match="seed"):
        step_keys(seed, "zoom", 1)


@pytest.mark.parametrize("copies", [-1, 2**32, np.array([0, -1])])
def test_a_copy_outside_its_interval_is_refused(copies):
    """A copy number that wrapped round would repeat another copy."""
    with pytest.raises(ParameterError, match="copy"):
        counters(np.zeros((2, 16), np.uint8), copies)


def test_the_counter_is_sample_id_and_copy():
    """96 bits of the id, little-endian, then the copy; the last 4 bytes do not enter."""
    ids = np.arange(16, dtype=np.uint8)[None]
    expected = [[0x03020100, 0x07060504, 0x0B0A0908, 9]]
    assert counters(ids, 9).tolist() == expected
    ids = ids.copy()
    ids[0, 12:] = 255
    assert counters(ids, 9).tolist() == expected


def test_uniform_keeps_to_its_interval():
    """The lower end is reached, the upper end is not."""
    words = np.array([0, 1, 2**31, 2**32 - 1], dtype=np.uint32)
    drawn = uniform(words, -3.0, 5.0)
    assert drawn[0] == -3.0
    assert drawn[2] == 1.0
    assert (drawn < 5.0).all()
    assert (np.diff(drawn) > 0).all()


def test_happens_never_at_0_and_always_at_1():
    """Whatever the word is."""
    words = np.array([0, 1, 2**31, 2**32 - 1], dtype=np.uint32)
    assert not happens(words, 0.0).any()
    assert happens(words, 1.0).all()
    assert happens(words, 0.5).tolist() == [True, True, False, False]


def test_choose_covers_every_choice_evenly():
    """Ends included; 60,000 draws of 7 within five standard deviations."""
    words = draw_words(step_keys(3, "choice", 2), counters(_ids(60_000), 0))[:, :2]
    counts = np.bincount(choose(words, 7), minlength=7)
    assert len(counts) == 7
    spread = np.sqrt(60_000 * (1 / 7) * (6 / 7))
    assert np.abs(counts - 60_000 / 7).max() < 5 * spread
    ends = np.array([[0, 0], [2**32 - 1, 2**32 - 1]], dtype=np.uint32)
    assert choose(ends, 2**31 - 1).tolist() == [0, 2**31 - 2]
    assert choose(ends, np.array([1, 1])).tolist() == [0, 0]


def test_words_look_uniform_and_independent():
    """Neighbouring copies, samples and steps are uncorrelated, bits are fair."""
    keys = np.concatenate([step_keys(1, "a", 4), step_keys(1, "b", 4)])
    words = np.stack([draw_words(keys, counters(_ids(4000), copy)) for copy in (0, 1)])
    unit = words.astype(np.float64) / 2**32
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8))
    assert abs(bits.mean() - 0.5) < 5 * 0.5 / np.sqrt(bits.size)
    columns = np.concatenate([unit[0], unit[1]], axis=1)
    correlations = np.corrcoef(columns, rowvar=False) - np.eye(columns.shape[1])
    assert np.abs(correlations).max() < 5 / np.sqrt(4000)


def _ids(count):
    ids = np.zeros((count, 16), dtype=np.uint8)
    ids[:, :4] = np.arange(count, dtype="<u4").view(np.uint8).reshape(count, 4)
    return ids
