"""Where the images of a sample come from: a scanned population, or a source nobody scanned yet.

A plan must not read all of a large source. Where nothing is scanned, records are read by index, in
an order of chance, and each is scanned as it is drawn.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from materialize.errors import SourceError
from materialize.estimation.census import Census, shared_out
from materialize.planning import take_rows
from materialize.population import Population, ScanOptions, scan
from materialize.population.division import Division
from materialize.population.scanning import included
from materialize.sources.base import SPLITS, Source
from materialize.sources.subset import Subset

PROBED = 128
"""Records looked at before it is decided whether to look at all."""
_SCAN_S = 4.0
"""A scan that takes no longer than this is made: exact counts are worth as much."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Some images, ready to be loaded."""

    source: Source
    """What ``rows.source_index`` counts in."""
    rows: Population


class Pool(Protocol):
    """Where images can be drawn from."""

    @property
    def is_ordered(self) -> bool:
        """Whether positions are those of the dataset's rows, so that blocks are its own blocks."""
        ...

    def num_rows(self, split: str) -> int:
        """How many positions a split has."""
        ...

    def take(self, split: str, start: int, stop: int) -> Drawn:
        """The images at positions [start, stop) of a split.

        Raises:
            RecordReadError: a record could not be read.
        """
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ScannedPool:
    """The images of a population."""

    source: Source
    population: Population
    is_ordered: bool = True

    def num_rows(self, split: str) -> int:
        """Its rows."""
        return len(self.population.split_rows(split))

    def take(self, split: str, start: int, stop: int) -> Drawn:
        """The rows themselves."""
        first = self.population.split_rows(split).start
        rows = np.arange(first + start, first + stop)
        return Drawn(self.source, take_rows(self.population, rows))


@dataclass(slots=True, eq=False)
class ListedPool:
    """Records of a source, read and scanned as they are drawn; positions are places in a shuffle.

    What is bad by its bytes is left out of what `take` gives, and counted.
    """

    source: Source
    options: ScanOptions
    """How images are brought to one form; colour decided."""
    indices: dict[str, NDArray[np.int64]]
    """By split, the records in an order of chance."""
    num_read: int = 0
    num_bad: int = 0
    scan_s: float = 0.0
    """Spent on scanning what was drawn."""
    is_ordered: bool = field(default=False, init=False)

    def num_rows(self, split: str) -> int:
        """Its records."""
        return len(self.indices[split])

    def take(self, split: str, start: int, stop: int) -> Drawn:
        """The records at these places, scanned."""
        chosen = self.indices[split][start:stop].tolist()
        part = Subset(self.source, len(chosen), chosen)
        began = time.perf_counter()
        rows = scan(part, self.options)
        self.scan_s += time.perf_counter() - began
        self.num_read += len(chosen)
        self.num_bad += len(rows.quarantined)
        # Splits are the listing's or, for a source that is still to be cut, all one.
        return Drawn(part, rows)


def listed_pool(
    source: Source, options: ScanOptions, *, seed: int = 0
) -> tuple[ListedPool, Census]:
    """A source's records without reading more than a few of them.

    Args:
        source: what would be scanned.
        options: how it would be.
        seed: which order of chance.

    Returns:
        What to draw from, and the counts of the listing: of a source that is still to be cut into
        splits, what the cut would leave.

    Raises:
        SourceError: nothing that can be decoded was found among the first records.
    """
    records = np.array(included(source, options.exclude), np.int64)
    order = np.random.Generator(np.random.Philox(key=seed)).permutation(len(records))
    records = records[order]
    splits, labels, names = _listed(source, records)
    probing = replace(options, exclude=(), allow_split_leaks=True, division=None)
    pool = ListedPool(source, probing, {SPLITS[0]: records})
    probe = pool.take(SPLITS[0], 0, min(PROBED, len(records))).rows
    if not len(probe):
        raise SourceError(
            f"none of {min(PROBED, len(records))} records can be decoded, such as "
            f"{probe.quarantined[0].locator} ({probe.quarantined[0].reason}); run "
            "`materialize check` to see them all",
            {"quarantined": probe.quarantined},
        )
    pool.options = replace(probing, color="grey" if probe.channels == 1 else "rgb")
    by_split = [records[splits == code] for code in range(len(SPLITS))]
    pool.indices = dict(zip(SPLITS, by_split, strict=True))
    rows = np.zeros((len(SPLITS), max(len(names), 1)), np.int64)
    np.add.at(rows, (splits, np.maximum(labels, 0)), 1)
    example = probe
    for code in np.unique(splits).tolist():
        if not probe.split_rows(SPLITS[code]):
            few = pool.take(SPLITS[code], 0, 4).rows
            example = joined([example, few])
    if options.division is not None:
        rows, example = _cut(rows, example, options.division)
        # Who comes into which split is chance: any record stands for any of them.
        pool.indices = dict.fromkeys(SPLITS, records)
    census = Census(rows=rows, class_names=names, example=example, basis="listing")
    return pool, census


def scan_seconds(pool: ListedPool, num_records: int, workers: int) -> float:
    """How long scanning so many records would take."""
    return pool.scan_s / max(pool.num_read, 1) * num_records / workers


def is_quickly_scanned(pool: ListedPool, num_records: int, workers: int) -> bool:
    """Whether looking at every record is cheap enough to do so."""
    return scan_seconds(pool, num_records, workers) <= _SCAN_S


def census_of(population: Population) -> Census:
    """The counts of a scanned population."""
    classes = max(len(population.class_names), 1)
    rows = np.zeros((len(SPLITS), classes), np.int64)
    np.add.at(rows, (population.splits, np.maximum(population.labels, 0)), 1)
    return Census(rows=rows, class_names=population.class_names, example=population, basis="scan")


def _listed(
    source: Source, records: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int32], tuple[str, ...]]:
    """Split and label of records, as the listing says, and the class names."""
    names = tuple(dict.fromkeys(source.class_names()))
    number = {name: place for place, name in enumerate(names)}
    splits = np.zeros(len(records), np.uint8)
    labels = np.full(len(records), -1, np.int32)
    for place, index in enumerate(records.tolist()):
        record = source.record(index)
        splits[place] = SPLITS.index(record.split)
        labels[place] = -1 if record.label is None else number[record.label]
    return splits, labels, names


def _cut(
    rows: NDArray[np.int64], example: Population, division: Division
) -> tuple[NDArray[np.int64], Population]:
    """Counts after a division: every class shared out. The example stands for every split."""
    parts = np.stack([shared_out(int(n), np.array(division.weights)) for n in rows.sum(axis=0)])
    with_rows = [code for code in range(len(SPLITS)) if parts[:, code].sum()]
    repeated = take_rows(example, np.tile(np.arange(len(example)), len(with_rows)))
    splits = np.repeat(np.array(with_rows, np.uint8), len(example))
    return parts.T.copy(), replace(repeated, splits=splits)


def joined(parts: Sequence[Population]) -> Population:
    """Rows of one source in the order of splits; for their sizes and types, so ids may repeat."""
    together = Population.concatenated(parts)
    return together.taken(np.argsort(together.splits, kind="stable"))
