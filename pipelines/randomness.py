"""Randomness by address: the words of (seed, step, sample id, copy), with no generator state.

Every random word is one output of Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random
numbers: as easy as 1, 2, 3", SC 2011). The key is hashed from the seed and the step; the counter is
the first 96 bits of the sample id and the 32 bits of the copy number. So a word can be computed
alone, in any order, on any worker, and two steps, two samples or two copies never share one:

    key     (2 × 32 bit) = SHA-256(RNG_NAME, seed, block, step)[:8]
    counter (4 × 32 bit) = sample id[0:4], sample id[4:8], sample id[8:12], copy

This module must never hold state, and its words must never change: `RNG_NAME` is part of every
pipeline's fingerprint, and a golden file pins the words.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from pipelines.compiled import compiled
from pipelines.errors import ParameterError

RNG_NAME = "philox4x32-10/1"
WORDS_PER_BLOCK = 4
MAX_SEED = 2**64
MAX_COPY = 2**32

Words = NDArray[np.uint32]
"""(n, num_words) uint32: the raw draws of n addresses."""

_MULTIPLIER_0, _MULTIPLIER_1 = 0xD2511F53, 0xCD9E8D57
_WEYL_0, _WEYL_1 = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10
_TO_UNIT = 2.0**-32


def step_keys(seed: int, step: str, num_words: int) -> Words:
    """The Philox keys that give ``num_words`` words to one step.

    Args:
        seed: in [0, 2**64).
        step: the step's key inside its pipeline, such as ``rotation`` or ``rotation#2``.
        num_words: how many words the step draws per address.

    Returns:
        (ceil(num_words / 4), 2) uint32.

    Raises:
        ParameterError: the seed is not an integer in its interval.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < MAX_SEED:
        raise ParameterError(
            f"seed: expected an integer in [0, 2**64), got {seed!r}; choose another seed",
            {"name": "seed", "expected": "[0, 2**64)", "found": seed},
        )
    blocks = -(-num_words // WORDS_PER_BLOCK)
    digests = [
        hashlib.sha256(
            b"\0".join((RNG_NAME.encode(), seed.to_bytes(8, "little"), block.to_bytes(4, "little")))
            + b"\0"
            + step.encode()
        ).digest()[:8]
        for block in range(blocks)
    ]
    return np.frombuffer(b"".join(digests), dtype="<u4").astype(np.uint32).reshape(blocks, 2)


def counters(sample_ids: NDArray[np.uint8], copies: NDArray[np.integer] | int) -> Words:
    """The Philox counters of n addresses.

    Args:
        sample_ids: (n, 16) uint8.
        copies: (n,) integers or one integer, in [0, 2**32).

    Returns:
        (n, 4) uint32.

    Raises:
        ParameterError: ids of another shape, or a copy outside its interval.
    """
    if sample_ids.ndim != 2 or sample_ids.shape[1] != 16 or sample_ids.dtype != np.uint8:
        raise ParameterError(
            f"sample ids: expected (n, 16) uint8, got {sample_ids.shape} {sample_ids.dtype}",
            {"name": "sample_ids", "expected": "(n, 16) uint8", "found": sample_ids.shape},
        )
    wanted = np.asarray(copies)
    if wanted.size and not (int(wanted.min()) >= 0 and int(wanted.max()) < MAX_COPY):
        raise ParameterError(
            f"copy: expected [0, 2**32), got {int(wanted.min())} to {int(wanted.max())}",
            {"name": "copy", "expected": "[0, 2**32)", "found": int(wanted.max())},
        )
    result = np.empty((len(sample_ids), 4), dtype=np.uint32)
    result[:, :3] = np.ascontiguousarray(sample_ids[:, :12]).view("<u4")
    result[:, 3] = wanted
    return result


@compiled
def draw_words(keys: Words, counter: Words) -> Words:
    """The words of n addresses under k keys, as (n, 4 k) uint32; equals `draw_words_reference`."""
    num_addresses, num_keys = counter.shape[0], keys.shape[0]
    out = np.empty((num_addresses, 4 * num_keys), dtype=np.uint32)
    low = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    for block in range(num_keys):
        for row in range(num_addresses):
            key_0, key_1 = np.uint64(keys[block, 0]), np.uint64(keys[block, 1])
            word_0, word_1 = np.uint64(counter[row, 0]), np.uint64(counter[row, 1])
            word_2, word_3 = np.uint64(counter[row, 2]), np.uint64(counter[row, 3])
            for _ in range(_ROUNDS):
                product_0 = np.uint64(_MULTIPLIER_0) * word_0
                product_1 = np.uint64(_MULTIPLIER_1) * word_2
                word_0 = (product_1 >> shift) ^ word_1 ^ key_0
                word_1 = product_1 & low
                word_2 = (product_0 >> shift) ^ word_3 ^ key_1
                word_3 = product_0 & low
                key_0 = (key_0 + np.uint64(_WEYL_0)) & low
                key_1 = (key_1 + np.uint64(_WEYL_1)) & low
            out[row, 4 * block] = word_0
            out[row, 4 * block + 1] = word_1
            out[row, 4 * block + 2] = word_2
            out[row, 4 * block + 3] = word_3
    return out


def draw_words_reference(keys: Words, counter: Words) -> Words:
    """`draw_words` in plain NumPy: the definition."""
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    key_0, key_1 = (keys[None, :, i].astype(np.uint64) for i in range(2))
    shape = (len(counter), len(keys))
    word_0, word_1, word_2, word_3 = (
        np.broadcast_to(counter[:, i, None].astype(np.uint64), shape) for i in range(4)
    )
    for _ in range(_ROUNDS):
        product_0 = np.uint64(_MULTIPLIER_0) * word_0
        product_1 = np.uint64(_MULTIPLIER_1) * word_2
        word_0, word_1 = (product_1 >> shift) ^ word_1 ^ key_0, product_1 & low
        word_2, word_3 = (product_0 >> shift) ^ word_3 ^ key_1, product_0 & low
        key_0 = (key_0 + np.uint64(_WEYL_0)) & low
        key_1 = (key_1 + np.uint64(_WEYL_1)) & low
    words = np.stack([word_0, word_1, word_2, word_3], axis=-1)
    return words.reshape(len(counter), 4 * len(keys)).astype(np.uint32)


def noise_bytes(key_0: int, key_1: int, count: int, *, plain: bool = False) -> NDArray[np.uint8]:
    """Uniform bytes of one image, from a key that was drawn for it.

    Args:
        key_0: in [0, 2**32): the first word of the key.
        key_1: the second.
        count: how many bytes.
        plain: True for the NumPy twin; the bytes are equal.

    Returns:
        (count,) uint8: the words of counters 0, 1, 2 …, little-endian.
    """
    counter = np.zeros((-(-count // 16), 4), dtype=np.uint32)
    counter[:, 0] = np.arange(len(counter))
    keys = np.array([[key_0, key_1]], dtype=np.uint32)
    words = (draw_words_reference if plain else draw_words)(keys, counter)
    return words.astype("<u4", copy=False).reshape(-1).view(np.uint8)[:count]


def uniform(words: Words, low: float, high: float) -> NDArray[np.float64]:
    """Maps words to [low, high): low + (high - low) · word / 2**32, exact to IEEE rounding.

    Args:
        words: any shape, uint32.
        low: lower end, included.
        high: upper end, excluded (reached only by rounding when the interval is tiny).

    Returns:
        float64 of the same shape.
    """
    return low + (high - low) * (words.astype(np.float64) * _TO_UNIT)


def happens(words: Words, probability: float) -> NDArray[np.bool_]:
    """True with the given probability: never at 0, always at 1.

    Args:
        words: any shape, uint32.
        probability: in [0, 1]; resolved to 2**-32.
    """
    return words.astype(np.float64) * _TO_UNIT < probability


def choose(words: Words, num_choices: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """An integer in [0, num_choices) from two words each.

    The two words are one 64-bit fraction that is multiplied by the number of choices. Its bias is
    below ``num_choices`` · 2**-64, far under anything a test could see; unlike rejection it needs a
    fixed number of words, so that every draw keeps its address.

    Args:
        words: (n, 2) uint32.
        num_choices: in [1, 2**31), one for all or (n,).

    Returns:
        (n,) int64.
    """
    count = np.asarray(num_choices).astype(np.uint64)
    high, low = words[:, 0].astype(np.uint64), words[:, 1].astype(np.uint64)
    carry = (low * count) >> np.uint64(32)
    return ((high * count + carry) >> np.uint64(32)).astype(np.int64)
