"""A keyed permutation of 0 … n − 1 that is computed place by place and never stored.

A shuffled epoch of a hundred million images would need a list of as many numbers. Here the number
at any place is computed alone, so an epoch costs no memory, begins at once, and can be entered in
the middle.

    key          12 × 32 bit = SHA-512(name, what decides the order)
    permutation  12 Feistel rounds over the smallest power of two that holds n, round function
                 MurmurHash3's 32-bit finaliser of (half ⊕ round key)
    n            numbers outside [0, n) are permuted again until they are inside (cycle walking)

Source: J. Black and P. Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002 (cycle
walking); the use for shuffling as in R. Mitchell et al., "Bandwidth-optimal random shuffling for
GPUs", ACM TOPC 2022.

The order of every epoch hangs on this module: its numbers must never change, and a golden test pins
them.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materialize.canonical import canonical_json
from materialize.loader.starting import is_started
from pipelines.compiled import Array, Int, compiled

NAME = "feistel12-murmur3/1"

_ROUNDS = 12
_MAX_BITS = 62
_MIX_1, _MIX_2 = 0x85EBCA6B, 0xC2B2AE35
_MOST_IN_NUMPY = 2**14
"""Places that NumPy walks in the time in which compiled code would not even have been loaded."""


@dataclass(frozen=True, slots=True, eq=False)
class Permutation:
    """One permutation of [0, ``size``)."""

    size: int
    keys: NDArray[np.uint32]
    """(12,) round keys."""

    @classmethod
    def of(cls, size: int, *decided_by: str | int) -> "Permutation":
        """The permutation that some names and numbers decide.

        Args:
            size: in [0, 2**62].
            decided_by: such as a seed, an epoch and the digest of a population.
        """
        if not 0 <= size <= 2**_MAX_BITS:
            raise ValueError(f"size: expected [0, 2**{_MAX_BITS}], got {size}")
        secret = hashlib.sha512(canonical_json([NAME, size, *decided_by])).digest()
        return cls(size, np.frombuffer(secret, "<u4")[:_ROUNDS].astype(np.uint32))

    def at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The numbers at some places.

        Args:
            places: (m,) in [0, size).

        Returns:
            (m,) distinct where the places are.
        """
        return self._walked(places, backward=False)

    def places_of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """The inverse of `at`."""
        return self._walked(numbers, backward=True)

    def _walked(self, values: NDArray[np.int64], *, backward: bool) -> NDArray[np.int64]:
        if len(values) and (int(values.min()) < 0 or int(values.max()) >= self.size):
            raise IndexError(
                f"places {values.min()} to {values.max()} are not within [0, {self.size})"
            )
        bits = max(self.size - 1, 1).bit_length()
        is_early = not is_started() and len(values) <= _MOST_IN_NUMPY
        walk = walk_in_numpy if is_early else _walk
        result: NDArray[np.int64] = walk(values, self.keys, self.size, bits, backward)
        return result


@compiled
def _walk(values: Array, keys: Array, size: Int, bits: Int, backward: bool) -> Array:
    """(m,) each value permuted over [0, 2**bits) until it is below ``size`` again.

    The number is two halves. An even round changes the upper half by the lower one, an odd round
    the lower by the upper, so halves may differ in length by one bit. Backward, the same rounds in
    reverse undo them, as x ⊕ f ⊕ f = x.
    """
    low_bits = np.uint64(bits // 2)
    low_mask = (np.uint64(1) << low_bits) - np.uint64(1)
    high_mask = (np.uint64(1) << np.uint64(bits - bits // 2)) - np.uint64(1)
    out = np.empty(len(values), np.int64)
    limit = np.uint64(size)
    for index in range(len(values)):
        value = np.uint64(values[index])
        while True:
            low, high = value & low_mask, value >> low_bits
            for step in range(_ROUNDS):
                number = _ROUNDS - 1 - step if backward else step
                is_even = (number & 1) == 0
                mixed = np.uint32((low if is_even else high) ^ np.uint64(keys[number]))
                mixed = np.uint32(mixed ^ (mixed >> np.uint32(16)))
                mixed = np.uint32(mixed * np.uint32(_MIX_1))
                mixed = np.uint32(mixed ^ (mixed >> np.uint32(13)))
                mixed = np.uint32(mixed * np.uint32(_MIX_2))
                mixed = np.uint32(mixed ^ (mixed >> np.uint32(16)))
                if is_even:
                    high ^= np.uint64(mixed) & high_mask
                else:
                    low ^= np.uint64(mixed) & low_mask
            value = (high << low_bits) | low
            if value < limit:
                break
        out[index] = np.int64(value)
    return out


def walk_in_numpy(
    values: NDArray[np.int64], keys: NDArray[np.uint32], size: int, bits: int, backward: bool
) -> NDArray[np.int64]:
    """What the compiled walk gives, for the first places of a process; forty times slower.

    Args:
        values: (m,) in [0, size); not modified.
        keys: (12,) round keys.
        size: at most 2**bits.
        bits: of a value.
        backward: whether the rounds are undone.
    """
    low_bits, mask_bits = np.uint64(bits // 2), np.uint64(bits - bits // 2)
    low_mask, high_mask = ((np.uint64(1) << n) - np.uint64(1) for n in (low_bits, mask_bits))
    steps = range(_ROUNDS - 1, -1, -1) if backward else range(_ROUNDS)
    out = values.astype(np.uint64)
    outside: NDArray[np.int64] = np.arange(len(out))
    while len(outside):
        low, high = out[outside] & low_mask, out[outside] >> low_bits
        for number in steps:
            if number % 2 == 0:
                high ^= _mixed(low, keys[number]) & high_mask
            else:
                low ^= _mixed(high, keys[number]) & low_mask
        out[outside] = (high << low_bits) | low
        outside = outside[out[outside] >= np.uint64(size)]
    return out.astype(np.int64)


def _mixed(half: NDArray[np.uint64], key: np.uint32) -> NDArray[np.uint64]:
    """MurmurHash3's finaliser of (half ⊕ key), modulo 2**32."""
    mixed = half.astype(np.uint32) ^ key
    mixed ^= mixed >> np.uint32(16)
    mixed *= np.uint32(_MIX_1)
    mixed ^= mixed >> np.uint32(13)
    mixed *= np.uint32(_MIX_2)
    return (mixed ^ (mixed >> np.uint32(16))).astype(np.uint64)
