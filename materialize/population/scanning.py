"""The scan: every record hashed, decoded and measured once, before anything is planned.

It decides which images there are. That depends on what their bytes are and on nothing else: not on
the number of workers, their order or their backend, and never on a slow image, a failing disk or a
killed process; those end the scan and name the record.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from materialize.errors import (
    ConfigError,
    QuarantineLimitError,
    RecordReadError,
    SourceError,
    UndecodableImageError,
)
from materialize.population.division import Division, check_undivided, split_codes
from materialize.population.identity import (
    byte_order,
    check_distinct,
    content_digest,
    equal_rows,
    sample_ids,
)
from materialize.population.scan_rows import ScannedRows
from materialize.population.scan_workers import ScanTask, scanned_chunks
from materialize.population.table import Population, sorted_quarantine
from materialize.population.target_columns import TargetColumns, renumbered
from materialize.sources.arrays import ArraySource
from materialize.sources.base import SPLITS, Pixels, Source, first_few
from materialize.sources.colour import with_channels
from materialize.sources.records import TextColumn
from materialize.sources.targets import TargetSchema, field_columns_of, merged, schema_of

COLORS = ("auto", "grey", "rgb")

DEFAULT_MAX_BAD = 0.001
"""One bad image in a thousand is usual in large scraped sets; more is a broken copy."""


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """What the scan is told."""

    exclude: tuple[str, ...] = ()
    """Locators to leave out by order of the user."""
    color: str = "auto"
    """``grey`` or ``rgb`` for every image; ``auto`` is grey only if every accepted image is."""
    trust_source: bool = False
    """Read headers only: many times faster, and an image that is bad after all fails the job."""
    allow_split_leaks: bool = False
    """Accept equal images in different splits: off, as it makes the test set part of training."""
    division: Division | None = None
    """Cut a source without splits of its own into training, validation and test."""

    def __post_init__(self) -> None:
        """Check the values."""
        object.__setattr__(self, "exclude", tuple(self.exclude))
        if self.color not in COLORS:
            raise ConfigError(
                f"color must be one of {', '.join(COLORS)}, not {self.color!r}",
                {"expected": COLORS, "found": self.color},
            )


def scan(
    source: Source,
    options: ScanOptions = ScanOptions(),
    *,
    known_classes: Sequence[str] = (),
    known_targets: TargetSchema | None = None,
    n_jobs: int = 1,
    backend: str = "loky",
    progress: Callable[[int, int], None] | None = None,
) -> Population:
    """The population of a source.

    Images that are bad by their bytes are set aside in ``quarantined``, however many they are;
    `check_quarantine` refuses too many.

    Args:
        source: where the records are.
        options: see `ScanOptions`.
        known_classes: names that keep their numbers; new ones come after them.
        known_targets: of a dataset that grows; the same holds for its names.
        n_jobs: worker processes, -1 for one per processor; changes nothing but the time.
        backend: joblib's name for where they run; changes nothing either.
        progress: called with the number of records done and their total.

    Raises:
        RecordReadError: a record could not be read; it is named.
        SourceError: an excluded locator is not there, nothing is left, explicit ids repeat, only
            some records are labelled, equal images are in different splits, or the source has other
            targets than the dataset.
        ConfigError: joblib has no such backend here, or the source is to be divided and has splits
            of its own.
    """
    indices = included(source, options.exclude)
    # A dict keeps the first place of each name: known classes first, new ones after them.
    class_names = tuple(dict.fromkeys((*known_classes, *source.class_names())))
    schema = merged(known_targets, schema_of(source))
    if isinstance(source, ArraySource):
        n_jobs = 1  # 9 µs a row: sending the arrays to workers takes longer than scanning them
    task = ScanTask(source, class_names, options.trust_source)
    chunks: list[ScannedRows] = []
    done = 0
    for chunk in scanned_chunks(task, indices, n_jobs, backend):
        chunks.append(chunk)
        done += len(chunk.scalars) + len(chunk.quarantined)
        if progress is not None:
            progress(done, len(indices))
    population = _assembled(chunks, class_names, options)
    if schema:
        targets = _targets(source, schema, population, chunks)
        population = replace(population, targets=targets)
    if not options.allow_split_leaks:
        _check_split_leaks(population)
    return population


def _targets(
    source: Source, schema: TargetSchema, population: Population, chunks: Sequence[ScannedRows]
) -> TargetColumns:
    """The fields and digests of the population's rows, with the names that the schema has."""
    rows = population.source_index
    pairs = zip(schema_of(source).fields, schema.fields, field_columns_of(source), strict=True)
    columns = {known.name: renumbered(found, values, known)[rows] for found, known, values in pairs}
    if not schema.moves:
        return TargetColumns(schema, columns, None)
    scanned = np.concatenate([chunk.scalars["source_index"] for chunk in chunks])
    digests = np.concatenate([chunk.target_digests for chunk in chunks])
    order = np.argsort(scanned)
    places = order[np.searchsorted(scanned, rows, sorter=order)]
    return TargetColumns(schema, columns, digests[places])


def included(source: Source, exclude: Iterable[str]) -> Sequence[int]:
    """The numbers of the records that are not excluded.

    Args:
        source: where the records are.
        exclude: locators.

    Raises:
        SourceError: a locator is not there, or no record is left.
    """
    unwanted = set(exclude)
    if not unwanted:
        return range(len(source))
    indices = []
    for index in range(len(source)):
        locator = source.record(index).locator
        if locator in unwanted:
            unwanted.discard(locator)
        else:
            indices.append(index)
    if unwanted:
        raise SourceError(
            f"exclude names {first_few(sorted(unwanted))}, which the source does not have: correct "
            "the names, which are relative to the source",
            {"unknown": sorted(unwanted)},
        )
    if not indices:
        raise SourceError(
            f"exclude names all {len(source)} images of the source: leave some of them in",
            {"expected": "at least 1 image", "found": 0},
        )
    return indices


def _assembled(
    chunks: Sequence[ScannedRows], class_names: tuple[str, ...], options: ScanOptions
) -> Population:
    """The chunks as one table, with ids, in the order of (split, id)."""
    scalars = np.concatenate([chunk.scalars for chunk in chunks])
    digests = np.concatenate([chunk.digests for chunk in chunks])
    locators = TextColumn.joined([chunk.locators for chunk in chunks])
    groups = TextColumn.joined([chunk.groups for chunk in chunks])
    conversions, kinds = _conversions(chunks)
    labels = scalars["label"]
    _check_labelled_throughout(labels, locators)
    ids = sample_ids(digests, _LabelNames(labels, class_names), locators)
    explicit = np.concatenate([chunk.explicit_ids for chunk in chunks])
    ids[scalars["has_explicit_id"]] = explicit[scalars["has_explicit_id"]]
    check_distinct(ids, locators)
    splits = scalars["split"]
    if options.division is not None:
        check_undivided(splits, locators)
        splits = split_codes(ids, labels, groups, digests, division=options.division)
    order = byte_order(ids, splits)
    native = scalars["channels"][order]
    grey = options.color == "grey" or (options.color == "auto" and bool((native == 1).all()))
    return Population(
        ids=ids[order],
        digests=digests[order],
        labels=labels[order],
        splits=splits[order],
        source_index=scalars["source_index"][order],
        heights=scalars["height"][order],
        widths=scalars["width"][order],
        native_channels=native,
        source_bytes=scalars["source_bytes"][order],
        conversions=conversions[order],
        groups=groups.taken(order),
        locators=locators.taken(order),
        conversion_kinds=kinds,
        class_names=class_names,
        channels=1 if grey else 3,
        dtype="float32" if bool(scalars["is_float"].any()) else "uint8",
        quarantined=sorted_quarantine([bad for chunk in chunks for bad in chunk.quarantined]),
    )


def _check_labelled_throughout(labels: NDArray[np.int32], locators: TextColumn) -> None:
    unlabelled = np.flatnonzero(labels < 0)
    if 0 < len(unlabelled) < len(labels):
        raise SourceError(
            f"{len(unlabelled)} of {len(labels)} images are not labelled: "
            f"{locators[int(unlabelled[0])]} …; label all of them or none",
            {"locator": locators[int(unlabelled[0])]},
        )


@dataclass(frozen=True, slots=True)
class _LabelNames(Sequence[str]):
    """Class names by row, looked up only for the few rows that are asked for."""

    labels: NDArray[np.int32]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> str:  # type: ignore[override]  # no slices are asked for
        label = int(self.labels[row])
        return self.class_names[label] if label >= 0 else ""


def _conversions(
    chunks: Sequence[ScannedRows],
) -> tuple[NDArray[np.uint16], tuple[tuple[str, ...], ...]]:
    """Each row's conversions under one numbering, which does not depend on the chunks."""
    kinds = tuple(sorted({kind for chunk in chunks for kind in chunk.conversion_kinds}))
    number = {kind: code for code, kind in enumerate(kinds)}
    columns = [np.empty(0, np.uint16)]
    for chunk in chunks:
        translation = np.array([number[kind] for kind in chunk.conversion_kinds], np.uint16)
        columns.append(translation[chunk.scalars["conversion"]])
    return np.concatenate(columns), kinds


def _check_split_leaks(population: Population) -> None:
    """Equal images share a split, or what is tested on was trained on."""
    leaks = []
    for rows in equal_rows(population.digests):
        if len(np.unique(population.splits[rows])) > 1:
            places = [f"{population.locators[r]} ({SPLITS[population.splits[r]]})" for r in rows]
            leaks.append(" = ".join(sorted(places)))
    if leaks:
        raise SourceError(
            f"{len(leaks)} images are in several splits: {first_few(sorted(leaks))}; exclude all "
            "but one of each, or accept it with the option allow-split-leaks",
            {"leaks": sorted(leaks)[:100]},
        )


def check_quarantine(population: Population, max_bad: float = DEFAULT_MAX_BAD) -> None:
    """Refuse a population with too many bad images.

    Args:
        population: a scanned population.
        max_bad: the largest accepted fraction, in [0, 1], of all records scanned; 0 accepts none.

    Raises:
        QuarantineLimitError: there are more, or no image is left.
    """
    bad = population.quarantined
    total = len(population) + len(bad)
    if len(bad) <= max_bad * total and len(population):
        return
    listed = first_few((f"{item.locator} ({item.reason})" for item in bad), shown=10)
    none_left = "" if len(population) else ", and none is left"
    raise QuarantineLimitError(
        f"{len(bad)} of {total} images are bad, more than the {100 * max_bad:.4g} % that the "
        f"option max-bad accepts{none_left}: {listed or 'the source is empty'}; "
        "repair or remove them, exclude them by name, or raise max-bad",
        {"quarantined": bad, "total": total, "max_bad": max_bad},
    )


def load_images(source: Source, population: Population, rows: Iterable[int]) -> list[Pixels]:
    """The images of these rows, in the population's channels.

    Args:
        source: the source that was scanned.
        population: what the scan gave.
        rows: rows of the population.

    Returns:
        (H, W, C) arrays of ``population.dtype``, each the caller's own.

    Raises:
        RecordReadError: a record could not be read, or is not what was scanned.
        UndecodableImageError: only after a scan that trusted the source; names the record.
    """
    return [_loaded(source, population, int(row)) for row in rows]


def _loaded(source: Source, population: Population, row: int) -> Pixels:
    index, locator = int(population.source_index[row]), population.locators[row]
    content = source.identity_bytes(index)
    expected, found = population.digests[row].tobytes().hex(), content_digest(content).hex()
    if found != expected:
        raise RecordReadError(
            f"{locator} is not what was scanned: expected SHA-256 {expected}, found {found}; "
            "restore it, or scan again",
            {"locator": locator, "expected": expected, "found": found},
        )
    try:
        pixels = source.decode(content, index).pixels
    except UndecodableImageError as error:
        raise UndecodableImageError(
            f"{locator}: {error}; scan without the option trust-source to set such images aside",
            {**error.facts, "locator": locator},
        ) from error
    size = (int(population.heights[row]), int(population.widths[row]))
    if pixels.shape[:2] != size:
        detail = f"its header says {size[0]} x {size[1]}, its pixels are {pixels.shape[:2]}"
        raise UndecodableImageError(
            f"{locator}: {detail}; scan without the option trust-source",
            {"reason": "header-differs", "detail": detail, "format": None, "locator": locator},
        )
    return with_channels(pixels, population.channels)
