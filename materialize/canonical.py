"""One byte string for one JSON value: what every fingerprint, plan and manifest is hashed from.

Keys are sorted, nothing is spaced, everything outside ASCII is escaped and floats are written by
``repr`` (the shortest text that reads back to the same double), so the bytes depend on the value
alone. What JSON would change silently (a number as a key, NaN) is refused, never coerced.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

Bytes = bytes | bytearray | memoryview
"""Contiguous bytes that are read, never kept."""


def canonical_json(value: Any) -> bytes:
    """The canonical JSON of a value.

    Args:
        value: dicts with string keys, lists or tuples, strings, integers, finite floats, booleans
            and None, nested at will.

    Returns:
        ASCII bytes without a trailing newline; equal values give equal bytes.

    Raises:
        TypeError: a type JSON does not have, or a key that is not a string.
        ValueError: NaN or an infinity.
    """
    _check_keys(value)
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return text.encode("ascii")


def digest(value: Any) -> str:
    """The SHA-256 of a value's canonical JSON, as 64 hex digits."""
    return sha256_hex(canonical_json(value))


def sha256(data: Bytes) -> bytes:
    """The 32 bytes of a SHA-256."""
    return hashlib.sha256(data).digest()


def sha256_hex(data: Bytes) -> str:
    """A SHA-256 as 64 hex digits, as ``sha256sum`` prints it."""
    return hashlib.sha256(data).hexdigest()


def _check_keys(value: Any) -> None:
    """Refuse keys ``json`` would turn into strings: ``{1: …}`` and ``{"1": …}`` must differ."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"JSON keys are strings, found the key {key!r}")
            _check_keys(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_keys(item)
