"""The population: every accepted image with its identity, class, split and size, as columns.

It is what the plan, the epochs and the loader count on: published before the first shard, and
ordered by split and sample id, so that renaming or reordering the files changes no row's place.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ShardUntrustedError
from materialize.population.column_file import ColumnSpec, columns_from_bytes, columns_to_bytes
from materialize.population.identity import DIGEST_BYTES, ID_BYTES, equal_rows
from materialize.population.rates import NO_RANK, Rates
from materialize.population.target_columns import FACT as TARGETS_FACT
from materialize.population.target_columns import TargetColumns, column_specs
from materialize.sources.base import SPLITS
from materialize.sources.records import TextColumn
from materialize.sources.targets import NO_TARGETS, TargetSchema

FORMAT = 1
"""Version of `Population.to_bytes`."""

_ARRAYS = {
    "ids": ColumnSpec("|u1", ID_BYTES),
    "digests": ColumnSpec("|u1", DIGEST_BYTES),
    "labels": ColumnSpec("<i4"),
    "splits": ColumnSpec("|u1"),
    "source_index": ColumnSpec("<i8"),
    "heights": ColumnSpec("<i4"),
    "widths": ColumnSpec("<i4"),
    "native_channels": ColumnSpec("|u1"),
    "source_bytes": ColumnSpec("<i8"),
    "conversions": ColumnSpec("<u2"),
}
_TEXTS = ("groups", "locators")
_QUARANTINE_TEXTS = ("locator", "split", "reason", "detail")
_SPECS = {
    **_ARRAYS,
    **{
        f"{name}_{part}": ColumnSpec(dtype)
        for name in (*_TEXTS, *(f"quarantined_{field}" for field in _QUARANTINE_TEXTS))
        for part, dtype in (("values", "|u1"), ("offsets", "<i8"))
    },
    "quarantined_bytes": ColumnSpec("<i8"),
}


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An input that is no image we accept, by what its bytes are."""

    locator: str
    split: str
    reason: str
    """A short stable code, such as ``truncated``."""
    detail: str
    source_bytes: int


@dataclass(frozen=True, slots=True)
class LabelConflict:
    """Images of equal content under different labels."""

    locators: tuple[str, ...]
    labels: tuple[str, ...]
    """The class name of each."""


@dataclass(frozen=True, eq=False)
class Population:
    """The accepted images, one row each, sorted by (split, sample id)."""

    ids: NDArray[np.uint8]
    """(n, 16) sample ids, distinct."""
    digests: NDArray[np.uint8]
    """(n, 32) SHA-256 of each record's identity bytes."""
    labels: NDArray[np.int32]
    """(n,) index into ``class_names``; -1 throughout an unlabelled population."""
    splits: NDArray[np.uint8]
    """(n,) index into `SPLITS`."""
    source_index: NDArray[np.int64]
    """(n,) the record's number in the source that was scanned."""
    heights: NDArray[np.int32]
    widths: NDArray[np.int32]
    native_channels: NDArray[np.uint8]
    """(n,) 1 or 3, as decoded; what the population is brought to is ``channels``."""
    source_bytes: NDArray[np.int64]
    """(n,) what each record occupies in the source."""
    conversions: NDArray[np.uint16]
    """(n,) index into ``conversion_kinds``."""
    groups: TextColumn
    locators: TextColumn
    conversion_kinds: tuple[tuple[str, ...], ...]
    """The distinct sets of conversions, such as ``("exif-rotated",)``."""
    class_names: tuple[str, ...]
    """In label order, which is append-only; empty if unlabelled."""
    channels: int
    """1 or 3: what every image is brought to."""
    dtype: str
    """``uint8``, or ``float32`` where the source holds floats that are no 8-bit levels."""
    folds: NDArray[np.int8] | None = None
    """(n,) the fold that holds each training image out, -1 for others, where images are mixed
    within their folds; None where they are mixed with all training images, or not at all."""
    quarantined: tuple[Quarantined, ...] = ()
    """Sorted by split and locator."""
    targets: TargetColumns | None = None
    """What is known of the images besides their class; None where there is no such thing."""
    rates: Rates | None = None
    """Of a population whose classes are balanced; a cell is a class then."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def schema(self) -> TargetSchema:
        """What the images have besides their class."""
        return NO_TARGETS if self.targets is None else self.targets.schema

    def taken(self, rows: NDArray[np.int64]) -> "Population":
        """Some rows, in their order, with all that was quarantined.

        Args:
            rows: (m,) in [0, n).
        """
        columns: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                columns[field.name] = value[rows]
            elif isinstance(value, TextColumn | TargetColumns | Rates):
                columns[field.name] = value.taken(rows)
        return replace(self, **columns)

    @classmethod
    def concatenated(cls, parts: Sequence["Population"]) -> "Population":
        """The rows of several, one after the other, whatever order that gives.

        Args:
            parts: at least one; the last one knows all classes and says what is no column.
        """
        columns: dict[str, Any] = {}
        for field in fields(cls):
            values = [getattr(part, field.name) for part in parts]
            if isinstance(values[0], np.ndarray):
                columns[field.name] = np.concatenate(values)
            elif isinstance(values[0], TextColumn | TargetColumns | Rates):
                columns[field.name] = type(values[0]).joined(values)
        kinds = [kind for part in parts for kind in part.conversion_kinds]
        offsets = np.cumsum([0, *(len(part.conversion_kinds) for part in parts)])
        columns["conversions"] += np.repeat(offsets[:-1], list(map(len, parts))).astype("<u2")
        return replace(parts[-1], **columns, conversion_kinds=tuple(kinds))

    def content_keys(self) -> NDArray[np.void]:
        """(n,) what each row's image and its targets are made of, to be compared for equality."""
        parts = [self.digests]
        if self.targets is not None and self.targets.digests is not None:
            parts.append(self.targets.digests)
        keys = np.ascontiguousarray(np.concatenate(parts, axis=1))
        items: NDArray[np.void] = keys.view(f"V{keys.shape[1]}")[:, 0]
        return items

    def split_rows(self, split: str) -> range:
        """The rows of one split, which lie together."""
        code = SPLITS.index(split)
        # Of the column's own type: a list would have the whole column converted first.
        first, last = np.searchsorted(self.splits, np.array([code, code + 1], self.splits.dtype))
        return range(int(first), int(last))

    def digest(self) -> str:
        """SHA-256, in hex, over the training ids in order: what every epoch's order hangs on."""
        training = self.split_rows("train")
        hashed = hashlib.sha256(b"materialize population 1\0")
        hashed.update(self.ids[training.start : training.stop].tobytes())
        return hashed.hexdigest()

    def uniform_size(self) -> tuple[int, int] | None:
        """(height, width) where all images agree on it."""
        if not len(self):
            return None
        height, width = int(self.heights[0]), int(self.widths[0])
        agree = (self.heights == height).all() and (self.widths == width).all()
        return (height, width) if agree else None

    @cached_property
    def label_conflicts(self) -> tuple[LabelConflict, ...]:
        """Equal images under different labels, sorted by locator."""
        conflicts = []
        for rows in equal_rows(self.digests):
            if len(np.unique(self.labels[rows])) > 1:
                named = sorted((self.locators[row], self.label_name(row)) for row in rows)
                locators, labels = zip(*named, strict=True)
                conflicts.append(LabelConflict(locators, labels))
        return tuple(sorted(conflicts, key=lambda conflict: conflict.locators))

    def label_name(self, row: int) -> str:
        """The class name of a row; empty if unlabelled."""
        label = int(self.labels[row])
        return self.class_names[label] if label >= 0 else ""

    def conversion_counts(self) -> dict[str, int]:
        """How many images each conversion was applied to."""
        images_by_kind = np.bincount(self.conversions, minlength=len(self.conversion_kinds))
        counts: Counter[str] = Counter()
        for kind, images in zip(self.conversion_kinds, images_by_kind.tolist(), strict=True):
            counts.update(dict.fromkeys(kind, images))
        return {code: counts[code] for code in sorted(counts)}

    def to_bytes(self) -> bytes:
        """The population as a column file: the same bytes for the same population."""
        columns: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in _ARRAYS}
        texts: dict[str, TextColumn] = {name: getattr(self, name) for name in _TEXTS}
        for field in _QUARANTINE_TEXTS:
            texts[f"quarantined_{field}"] = TextColumn.of(
                getattr(item, field) for item in self.quarantined
            )
        for name, text in texts.items():
            columns[f"{name}_values"], columns[f"{name}_offsets"] = text.values, text.offsets
        columns["quarantined_bytes"] = np.array([q.source_bytes for q in self.quarantined], "<i8")
        facts: dict[str, Any] = {
            "format": FORMAT,
            "class_names": self.class_names,
            "conversion_kinds": self.conversion_kinds,
            "channels": self.channels,
            "dtype": self.dtype,
        }
        if self.targets is not None:
            columns |= self.targets.columns()
            facts[TARGETS_FACT] = self.schema.to_json()
        if self.rates is not None:
            columns["ranks"] = self.rates.ranks
            facts |= self.rate_facts()
        if self.folds is not None:
            columns["folds"], facts["folds"] = self.folds, True
        return columns_to_bytes(columns, facts)

    def rate_facts(self) -> dict[str, Any]:
        """JSON-ready: by class, images when the rates were made, and draws in an epoch."""
        if self.rates is None:
            return {}
        periods, draws = self.rates.periods.tolist(), self.rates.draws.tolist()
        return {"rates": [list(pair) for pair in zip(periods, draws, strict=True)]}

    @classmethod
    def from_bytes(cls, data: bytes) -> "Population":
        """The population in what `to_bytes` gave.

        Raises:
            ShardUntrustedError: these bytes are anything else, or contradict themselves.
        """
        columns, facts = columns_from_bytes(data, _SPECS, further=_further_specs)
        texts = {
            name.removesuffix("_offsets"): _text(columns, name.removesuffix("_offsets"))
            for name in columns
            if name.endswith("_offsets")
        }
        quarantine = [texts[f"quarantined_{field}"] for field in _QUARANTINE_TEXTS]
        sizes = columns["quarantined_bytes"].tolist()
        _require(all(len(column) == len(sizes) for column in quarantine), "quarantine lengths")
        _require(facts.get("format") == FORMAT, "format version")
        _require(facts.get("channels") in (1, 3), "channels")
        _require(facts.get("dtype") in ("uint8", "float32"), "dtype")
        in_rows: dict[str, Any] = {name: columns[name] for name in _ARRAYS}
        in_rows.update((name, texts[name]) for name in _TEXTS)
        population = cls(
            **in_rows,
            conversion_kinds=tuple(tuple(map(str, kind)) for kind in facts["conversion_kinds"]),
            class_names=tuple(map(str, facts["class_names"])),
            channels=facts["channels"],
            dtype=facts["dtype"],
            quarantined=tuple(map(Quarantined, *quarantine, sizes)),
            targets=(
                TargetColumns.of_columns(_schema(facts), columns) if TARGETS_FACT in facts else None
            ),
            rates=_rates(columns, facts),
            folds=columns.get("folds"),
        )
        population._check()
        return population

    def _check(self) -> None:
        """Refuse columns that contradict each other, before anybody indexes with them."""
        lengths = {len(getattr(self, name)) for name in (*_ARRAYS, *_TEXTS)}
        _require(lengths == {len(self)}, "column lengths")
        bounds = {
            "labels": (-1, len(self.class_names)),
            "splits": (0, len(SPLITS)),
            "conversions": (0, len(self.conversion_kinds)),
            "source_index": (0, np.iinfo(np.int64).max),
            "source_bytes": (0, np.iinfo(np.int64).max),
            "heights": (1, np.iinfo(np.int32).max),
            "widths": (1, np.iinfo(np.int32).max),
        }
        for name, (low, high) in bounds.items():
            values = getattr(self, name)
            _require(bool(((values >= low) & (values < high)).all()), name)
        _require(bool(np.isin(self.native_channels, (1, 3)).all()), "native_channels")
        if self.targets is not None:
            problem = self.targets.problem()
            _require(not problem, problem)
            _require(len(self.targets) == len(self), "lengths of target columns")
        _require(self._is_ascending(), "row order")
        if self.folds is not None:
            trained = self.splits == SPLITS.index("train")
            _require(len(self.folds) == len(self), "lengths of columns")
            _require(bool((trained == (self.folds >= 0)).all()), "folds")
        if self.rates is not None:
            trained = self.splits == SPLITS.index("train")
            _require(bool((trained == (self.rates.ranks != NO_RANK)).all()), "ranks")
            _require(len(self.rates.periods) == len(self.class_names), "rates")
            _require(bool((self.labels >= 0).all()) and self.rates.is_possible(), "rates")
        # Within a split, ascending ids are distinct.
        is_one_split = not len(self) or self.splits[0] == self.splits[-1]
        _require(is_one_split or not equal_rows(self.ids), "ids")

    def _is_ascending(self) -> bool:
        """Whether each row comes after the one before it, by split and id; without sorting."""
        high, low = np.ascontiguousarray(self.ids).view(">u8").astype(np.uint64).T
        ascends = (high[:-1] < high[1:]) | ((high[:-1] == high[1:]) & (low[:-1] < low[1:]))
        splits = self.splits
        ascends &= splits[:-1] == splits[1:]
        return bool((ascends | (splits[:-1] < splits[1:])).all())


def _text(columns: dict[str, NDArray[Any]], name: str) -> TextColumn:
    """A text column whose offsets are known to stay inside its bytes."""
    values, offsets = columns[f"{name}_values"], columns[f"{name}_offsets"]
    _require(len(offsets) > 0 and offsets[0] == 0 and offsets[-1] == len(values), f"{name} offsets")
    _require(bool((np.diff(offsets) >= 0).all()), f"{name} offsets")
    return TextColumn(values, offsets)


def _schema(facts: Mapping[str, Any]) -> TargetSchema:
    """The schema in the facts of a population file.

    Raises:
        ValueError: it is none.
    """
    schema = TargetSchema.from_json(facts[TARGETS_FACT])
    if not schema:
        raise ValueError("an empty schema of targets")
    return schema


def _further_specs(facts: Mapping[str, Any]) -> dict[str, ColumnSpec]:
    """The columns that a population has by its facts alone."""
    specs = dict(column_specs(_schema(facts))) if TARGETS_FACT in facts else {}
    specs |= {"ranks": ColumnSpec("<i4")} if "rates" in facts else {}
    return specs | ({"folds": ColumnSpec("|i1")} if "folds" in facts else {})


def _rates(columns: dict[str, NDArray[Any]], facts: dict[str, Any]) -> Rates | None:
    """The rates of a balanced population, a cell for each class."""
    if "rates" not in facts:
        return None
    pairs = facts["rates"]
    _require(isinstance(pairs, list) and all(map(_is_pair, pairs)), "rates")
    table = np.array(pairs, np.int64).reshape(-1, 2)
    return Rates(columns["ranks"], columns["labels"], table[:, 0], table[:, 1])


def _is_pair(value: Any) -> bool:
    """Whether it is two whole numbers."""
    return isinstance(value, list) and len(value) == 2 and all(type(n) is int for n in value)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise ShardUntrustedError(
            f"this population contradicts itself in its {what}: it was not written by to_bytes; "
            "get it again from where it was built",
            {"found": what},
        )


def sorted_quarantine(items: list[Quarantined]) -> tuple[Quarantined, ...]:
    """Quarantined inputs in an order that is not the order they were met in."""
    return tuple(sorted(items, key=lambda item: (SPLITS.index(item.split), *astuple(item))))
