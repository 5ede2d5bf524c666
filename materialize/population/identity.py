"""Who a sample is: an id made of its content, so that renaming or moving it changes nothing.

    content digest = SHA-256(identity bytes)
    sample id      = the first 16 bytes of
                     the content digest                                  first among its equals
                     SHA-256(content digest ‖ k as 8 bytes, LE)          the k-th, k = 1, 2 …
                     SHA-256("id:" ‖ the explicit id in UTF-8)           where the user gave ids

Equals are ordered by the name of their label, not its number, and then by locator: numbers depend
on which classes were known before, names do not.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from materialize.errors import SourceError
from materialize.sources.base import first_few

ID_BYTES = 16
DIGEST_BYTES = 32


def content_digest(content: bytes) -> bytes:
    """The SHA-256 of a record's identity bytes."""
    return hashlib.sha256(content).digest()


def explicit_sample_id(explicit_id: str) -> bytes:
    """The sample id that an id of the user's stands for."""
    return hashlib.sha256(b"id:" + explicit_id.encode("utf-8", "surrogateescape")).digest()[
        :ID_BYTES
    ]


def content_sample_id(digest: bytes, ordinal: int) -> bytes:
    """The sample id of the ``ordinal``-th sample with this content digest, from 0."""
    if ordinal == 0:
        return digest[:ID_BYTES]
    return hashlib.sha256(digest + ordinal.to_bytes(8, "little")).digest()[:ID_BYTES]


def byte_order(rows: NDArray[np.uint8], *more_significant: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The stable order that sorts rows of bytes, after other columns where given.

    Args:
        rows: (n, w), w a multiple of 8.
        more_significant: (n,) columns that come before the bytes, the most significant first.
    """
    words = np.ascontiguousarray(rows).view(">u8").astype(np.uint64)
    # lexsort takes its most significant key last.
    keys = [*words.T[::-1], *more_significant[::-1]]
    return np.lexsort(keys).astype(np.int64)


def rows_of(wanted: NDArray[np.uint8], ids: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Where ids stand among others.

    Args:
        wanted: (m, 16).
        ids: (n, 16) distinct, in any order.

    Returns:
        (m,) the row of each, -1 where it is not there.
    """
    if not len(ids):
        return np.full(len(wanted), -1, np.int64)
    order = byte_order(ids)
    high, low = np.ascontiguousarray(ids[order]).view(">u8").astype(np.uint64).T
    sought_high, sought_low = np.ascontiguousarray(wanted).view(">u8").astype(np.uint64).T
    places = np.searchsorted(high, sought_high)
    while True:  # as often as ids share their first half: hardly ever
        here = np.minimum(places, len(ids) - 1)
        passed = (places < len(ids)) & (high[here] == sought_high) & (low[here] < sought_low)
        if not passed.any():
            break
        places[passed] += 1
    found = (places < len(ids)) & (high[here] == sought_high) & (low[here] == sought_low)
    return np.where(found, order[here], -1)


def equal_rows(rows: NDArray[np.uint8]) -> list[NDArray[np.int64]]:
    """The sets of two or more equal rows, each as ascending row numbers.

    Args:
        rows: (n, w) bytes, w a multiple of 8.
    """
    if len(rows) < 2:
        return []
    order = byte_order(rows)
    # Whether each row in order equals the one before it, with a "no" at both ends.
    is_equal = np.zeros(len(rows) + 1, bool)
    is_equal[1:-1] = True
    for column in np.ascontiguousarray(rows).view(np.uint64)[order].T:
        is_equal[1:-1] &= column[1:] == column[:-1]
    edges = np.flatnonzero(is_equal[1:] != is_equal[:-1]).reshape(-1, 2)
    return [order[first : last + 1] for first, last in edges]


def sample_ids(
    digests: NDArray[np.uint8], label_names: Sequence[str], locators: Sequence[str]
) -> NDArray[np.uint8]:
    """The ids of samples identified by content.

    Args:
        digests: (n, 32) content digests.
        label_names: the name of each sample's label; empty if unlabelled.
        locators: where each sample was found.

    Returns:
        (n, 16) distinct ids.
    """
    ids = digests[:, :ID_BYTES].copy()
    for equals in equal_rows(digests):
        ranked = sorted(equals.tolist(), key=lambda row: (label_names[row], locators[row]))
        for ordinal, row in enumerate(ranked[1:], start=1):
            identity = content_sample_id(digests[row].tobytes(), ordinal)
            ids[row] = np.frombuffer(identity, np.uint8)
    return ids


def check_distinct(ids: NDArray[np.uint8], locators: Sequence[str]) -> None:
    """Refuse samples that share an id: without explicit ids that takes a collision of SHA-256.

    Raises:
        SourceError: two samples have one id; names the first of them.
    """
    shared = equal_rows(ids)
    if shared:
        named = [f"{locators[rows[0]]} = {locators[rows[1]]}" for rows in shared]
        raise SourceError(
            f"{len(shared)} ids are each given to several images: {first_few(named)}; "
            "give every image an id of its own",
            {"pairs": named[:20]},
        )
