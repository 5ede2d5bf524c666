"""The ids that a scan's images have in a dataset that exists.

A scan numbers equal images by label and locator, as if it were the first to see them. A dataset
numbered them in the order they came, and an id never moves to another label; so those that are
known keep their number here, matched by label, and newcomers get the next ones. What was removed
from the dataset is no newcomer: neither its id nor its content comes back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from materialize.planning import take_rows
from materialize.population.identity import byte_order, content_sample_id, equal_rows
from materialize.population.table import Population

_Known = Mapping[bytes, list[tuple[str, bytes]]]
"""Content digest → the label and the id of each of its samples."""


def numbered_on(
    found: Population, old: Sequence[Population], removed: Sequence[str] = ()
) -> tuple[Population, int]:
    """The scan with the ids that its images have in the dataset, and how many were left out.

    Args:
        found: the scan.
        old: the generations of the dataset.
        removed: ids, in hex, of samples that were removed from it.
    """
    known: dict[bytes, list[tuple[str, bytes]]] = {}
    for population in old:
        for row in range(len(population)):
            pair = (population.label_name(row), population.ids[row].tobytes())
            known.setdefault(population.digests[row].tobytes(), []).append(pair)
    gone = _Gone(known, frozenset(map(bytes.fromhex, removed)))
    equals = equal_rows(found.digests)
    several = {digest for digest, pairs in known.items() if len(pairs) > 1}
    rows = {row for group in equals for row in group.tolist()}
    rows |= {
        row
        for row in range(len(found))
        if found.digests[row].tobytes() in several or found.ids[row].tobytes() in gone.ids
    }
    ids, keep = found.ids.copy(), np.ones(len(found), bool)
    for row, sample_id in _assigned(found, rows, known, gone):
        keep[row] = sample_id is not None
        if sample_id is not None:
            ids[row] = np.frombuffer(sample_id, np.uint8)
    kept = np.flatnonzero(keep)
    order = kept[byte_order(ids[kept], found.splits[kept])]
    numbered = take_rows(replace(found, ids=ids), order, found.quarantined)
    return numbered, len(found) - len(kept)


class _Gone:
    """Which images were removed."""

    def __init__(self, known: _Known, ids: frozenset[bytes]) -> None:
        self.ids = ids
        self._known = known

    def has_content(self, digest: bytes) -> bool:
        """Whether a sample of this content was removed.

        The numbers of equals have no gaps: each was given to a sample that is known or removed.
        """
        if not self.ids:
            return False
        known = {sample_id for _, sample_id in self._known.get(digest, ())}
        for ordinal in range(len(known) + len(self.ids)):
            sample_id = content_sample_id(digest, ordinal)
            if sample_id in self.ids:
                return True
            if sample_id not in known:
                return False
        return False

    def has_name(self, sample_id: bytes, digest: bytes) -> bool:
        """Whether a sample was removed under an id that the user gave it."""
        if sample_id not in self.ids:
            return False
        most = len(self._known.get(digest, ())) + len(self.ids)
        return all(content_sample_id(digest, ordinal) != sample_id for ordinal in range(most))


def _assigned(
    found: Population, rows: set[int], known: _Known, gone: _Gone
) -> list[tuple[int, bytes | None]]:
    """(row, id) of rows whose id the scan cannot know; no id for those that were removed."""
    free = {digest: list(pairs) for digest, pairs in known.items()}
    result: list[tuple[int, bytes | None]] = []
    late = []
    for row in sorted(rows, key=lambda row: (found.label_name(row), found.locators[row])):
        digest = found.digests[row].tobytes()
        pairs = free.get(digest, [])
        match = next((pair for pair in pairs if pair[0] == found.label_name(row)), None)
        if gone.has_name(found.ids[row].tobytes(), digest):
            result.append((row, None))
        elif match is None:
            late.append(row)
        else:
            pairs.remove(match)
            result.append((row, match[1]))
    counts = {digest: len(pairs) for digest, pairs in known.items()}
    for row in late:
        digest = found.digests[row].tobytes()
        if free.get(digest):  # relabelled since: it is still the same image
            result.append((row, free[digest].pop(0)[1]))
        elif gone.has_content(digest):
            result.append((row, None))
        else:
            result.append((row, content_sample_id(digest, counts.get(digest, 0))))
            counts[digest] = counts.get(digest, 0) + 1
    return result
