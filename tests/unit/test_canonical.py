"""Canonical JSON: one byte string for one value."""

import hashlib
import math

import pytest

from materialize.canonical import canonical_json, digest, sha256_hex


def test_the_order_of_keys_does_not_show():
    assert canonical_json({"b": 1, "a": [1, 2]}) == b'{"a":[1,2],"b":1}'
    assert canonical_json({"a": [1, 2], "b": 1}) == b'{"a":[1,2],"b":1}'


def test_tuples_and_lists_are_the_same_array():
    assert canonical_json((1, (2,))) == canonical_json([1, [2]])


def test_floats_are_the_shortest_text_that_reads_back():
    assert canonical_json([0.1, 1e22, 5e-324]) == b"[0.1,1e+22,5e-324]"


def test_letters_outside_ascii_are_escaped():
    assert canonical_json("é") == b'"\\u00e9"'


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_cannot_say_is_refused(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json([value])


def test_a_number_as_a_key_is_refused_at_any_depth():
    with pytest.raises(TypeError, match="key 1"):
        canonical_json({"a": [({1: 2},)]})


def test_the_digest_is_that_of_the_canonical_bytes():
    assert digest({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()


def test_a_memoryview_is_hashed_like_its_bytes():
    assert sha256_hex(memoryview(b"abc")) == hashlib.sha256(b"abc").hexdigest()
