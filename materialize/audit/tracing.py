"""Finds a population's records again in a source that may have been renamed, reordered or changed.

A record is its content: the scan's digest decides, names and places are only where to look first. A
record whose content is nowhere any more is lost, and named; nothing else is ever used in its stead.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from materialize.audit.parallel import unordered
from materialize.errors import RecordReadError, UndecodableImageError
from materialize.executor import Crew
from materialize.planning import take_rows
from materialize.population import load_targets
from materialize.population.identity import DIGEST_BYTES, content_digest
from materialize.population.table import Population
from materialize.sources.base import Source

_CHUNK = 256
"""Records hashed per call: enough to make the call cheap, few enough to keep all workers busy."""

LOST = -1
"""The ``source_index`` of a row whose record is lost."""


@dataclass(frozen=True, slots=True)
class LostRecord:
    """A record of the population that the source no longer has as it was scanned."""

    sample_id: str
    """32 hex digits; empty where only the place is known."""
    locator: str
    """Where the scan saw it."""
    problem: Literal["changed", "gone", "unreadable", "undecodable"]
    detail: str
    """One clause for people."""

    def __str__(self) -> str:
        """Such as ``source changed: cats/1.png (expected SHA-256 …)``."""
        return f"source {self.problem}: {self.locator} ({self.detail})"


@dataclass(frozen=True, slots=True, eq=False)
class Traced:
    """Rows of a population and where their records are now."""

    rows: Population
    """The rows, in the order asked for; ``source_index`` is `LOST` where the record is lost."""
    lost: tuple[LostRecord, ...]


def trace(source: Source, population: Population, rows: NDArray[np.int64], crew: Crew) -> Traced:
    """Looks every row's record up by content: first where the scan saw it, then everywhere.

    Args:
        source: where to look; need not be the source that was scanned.
        population: what the scan gave.
        rows: (n,) rows of it.
        crew: who hashes.
    """
    taken = take_rows(population, rows)
    seen = _Hashed(source)
    first = taken.source_index
    seen.read(np.unique(first[first < len(source)]), crew)
    places = seen.places_of(taken.digests, first)
    if (places == LOST).any():
        seen.read(np.arange(len(source)), crew)
        places = seen.places_of(taken.digests, first)
    lost = np.flatnonzero(places == LOST).tolist()
    records = list(seen.explain(taken, lost)) if lost else []
    found = replace(taken, source_index=places)
    if population.schema.moves:
        found, differing = _with_same_targets(source, found, seen, crew)
        records += differing
    return Traced(found, tuple(records))


def _with_same_targets(
    source: Source, rows: Population, seen: "_Hashed", crew: Crew
) -> tuple[Population, list[LostRecord]]:
    """The rows, those lost whose mask or objects are no longer what the scan saw.

    Of several records of equal content another may have the right ones.
    """
    there = np.flatnonzero(rows.source_index != LOST)
    chunks = (there[start : start + _CHUNK] for start in range(0, len(there), _CHUNK))
    jobs = ((part, take_rows(rows, part)) for part in chunks)
    found = [pair for part in unordered(partial(_differing, source), jobs, crew) for pair in part]
    if found:
        seen.read(np.arange(len(source)), crew)
    index, lost = rows.source_index.copy(), []
    for row, problem in sorted(found):
        one = take_rows(rows, np.array([row]))
        others = (replace(one, source_index=np.array([i])) for i in seen.equals(rows.digests[row]))
        right = next((other for other in others if not _problem(source, other, 0)), None)
        index[row] = LOST if right is None else right.source_index[0]
        if right is None:
            identity = rows.ids[row].tobytes().hex()
            lost.append(LostRecord(identity, rows.locators[row], "changed", problem))
    return replace(rows, source_index=index), lost


class _Hashed:
    """The digests of a source's records, as far as they were read."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._digests: dict[int, bytes] = {}
        self._place: dict[bytes, int] = {}
        self._unreadable: dict[int, str] = {}

    def read(self, indices: NDArray[np.int64], crew: Crew) -> None:
        """Hash these records, except those hashed before."""
        todo = [i for i in indices.tolist() if i not in self._digests and i not in self._unreadable]
        chunks = (todo[start : start + _CHUNK] for start in range(0, len(todo), _CHUNK))
        for chunk in unordered(partial(_hashed, self._source), chunks, crew):
            for index, digest, problem in chunk:
                if problem:
                    self._unreadable[index] = problem
                else:
                    self._digests[index] = digest
                    # The smallest place of equal contents, whoever hashed them first.
                    self._place[digest] = min(index, self._place.get(digest, index))

    def places_of(self, digests: NDArray[np.uint8], hints: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) a record with each digest, the hinted one if it has it, else `LOST`."""
        pairs = zip(map(bytes, digests), hints.tolist(), strict=True)
        found = [
            hint if self._digests.get(hint) == digest else self._place.get(digest, LOST)
            for digest, hint in pairs
        ]
        return np.array(found, dtype=np.int64)

    def equals(self, digest: NDArray[np.uint8]) -> list[int]:
        """All records of one content, as far as they were read."""
        wanted = digest.tobytes()
        return sorted(index for index, found in self._digests.items() if found == wanted)

    def explain(self, rows: Population, lost: Sequence[int]) -> Iterator[LostRecord]:
        """What became of each lost row, by what the source has under its locator now."""
        here = {self._source.record(i).locator: i for i in range(len(self._source))}
        for row in lost:
            identity, locator = rows.ids[row].tobytes().hex(), rows.locators[row]
            expected = rows.digests[row].tobytes().hex()
            index = here.get(locator)
            if index is None:
                yield LostRecord(
                    identity, locator, "gone", f"nothing with SHA-256 {expected} is in the source"
                )
            elif index in self._unreadable:
                yield LostRecord(identity, locator, "unreadable", self._unreadable[index])
            else:
                found = self._digests[index].hex()
                detail = f"expected SHA-256 {expected}, found {found}"
                yield LostRecord(identity, locator, "changed", detail)


def _hashed(source: Source, indices: Sequence[int]) -> list[tuple[int, bytes, str]]:
    """(index, digest, problem) of each record; the problem is empty if it could be read."""
    result = []
    for index in indices:
        try:
            result.append((index, content_digest(source.identity_bytes(index)), ""))
        except RecordReadError as error:
            result.append((index, bytes(DIGEST_BYTES), str(error)))
    return result


def _differing(source: Source, job: tuple[NDArray[np.int64], Population]) -> list[tuple[int, str]]:
    """Which of some rows have other targets now, and why."""
    numbers, rows = job
    problems = [
        (number, _problem(source, rows, row)) for row, number in enumerate(numbers.tolist())
    ]
    return [(number, problem) for number, problem in problems if problem]


def _problem(source: Source, rows: Population, row: int) -> str:
    """Why the mask and the objects of a row are not what was scanned; empty if they are."""
    try:
        load_targets(source, rows, [row])
    except (RecordReadError, UndecodableImageError) as error:
        return str(error)
    return ""
