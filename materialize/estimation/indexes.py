"""A stored population as an index of a hundred million images: counted without being loaded.

Its columns are mapped from the disk and counted a part at a time, so memory does not grow with
them. libhdf5 is only asked where the columns lie. The digest behind a large file is not computed:
that alone would take longer than a plan may, and nothing is built from what is read here.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5d
from numpy.typing import NDArray

from materialize.errors import ShardUntrustedError, SourceError
from materialize.estimation.census import Census
from materialize.estimation.pools import Drawn, joined
from materialize.manifest import load_latest
from materialize.population import Population
from materialize.sources.base import SPLITS, Source
from materialize.sources.records import TextColumn

_ROWS_AT_ONCE = 1 << 20
_COUNTED = ("labels", "splits", "heights", "widths")
_DTYPES = {
    "ids": "|u1", "digests": "|u1", "labels": "<i4", "splits": "|u1", "source_index": "<i8",
    "heights": "<i4", "widths": "<i4", "native_channels": "|u1", "source_bytes": "<i8",
    "conversions": "<u2",
}  # fmt: skip
_TEXTS = {"groups": ("|u1", "<i8"), "locators": ("|u1", "<i8")}


@dataclass(frozen=True, slots=True, eq=False)
class IndexFile:
    """The columns of one population file, mapped."""

    path: Path
    columns: dict[str, NDArray[Any]]
    facts: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> "IndexFile":
        """A population file.

        Raises:
            SourceError: there is none.
            ShardUntrustedError: it is something else.
        """
        if not path.is_file():
            raise SourceError(
                f"there is no index {path}; expected a dataset or its population-*.h5",
                {"path": str(path)},
            )
        try:
            with h5py.File(path, "r") as file:
                columns = {name: _mapped(path, file, name, dtype) for name, dtype in _specs()}
                facts = _facts(file)
        except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
            raise ShardUntrustedError(
                f"{path} is no population: {error}; name a dataset, or a population-*.h5 in one",
                {"path": str(path)},
            ) from error
        return cls(path, columns, facts)

    def __len__(self) -> int:
        return len(self.columns["labels"])

    def parts(self) -> Iterator[dict[str, NDArray[Any]]]:
        """The columns that are counted, some rows at a time."""
        for start in range(0, len(self), _ROWS_AT_ONCE):
            here = slice(start, start + _ROWS_AT_ONCE)
            yield {name: self.columns[name][here] for name in _COUNTED}

    def take(self, start: int, stop: int) -> Population:
        """Some neighbouring rows as a population."""
        columns: dict[str, Any] = {
            name: np.array(self.columns[name][start:stop]) for name in _DTYPES
        }
        for name in _TEXTS:
            offsets = np.array(self.columns[f"{name}_offsets"][start : stop + 1])
            values = np.array(self.columns[f"{name}_values"][offsets[0] : offsets[-1]])
            columns[name] = TextColumn(values, offsets - offsets[0])
        return Population(
            **columns,
            conversion_kinds=tuple(tuple(map(str, k)) for k in self.facts["conversion_kinds"]),
            class_names=tuple(map(str, self.facts["class_names"])),
            channels=int(self.facts["channels"]), dtype=str(self.facts["dtype"]),
        )  # fmt: skip

    def split_rows(self, split: str) -> range:
        """Where a split's rows are; they lie together."""
        code = SPLITS.index(split)
        # Of the column's own type: for any other, NumPy converts all of it in memory.
        first, last = np.searchsorted(self.columns["splits"], np.array([code, code + 1], np.uint8))
        return range(int(first), int(last))


@dataclass(frozen=True, slots=True, eq=False)
class IndexPool:
    """The images of an index, in their source."""

    source: Source
    index: IndexFile
    is_ordered: bool = True

    def num_rows(self, split: str) -> int:
        """Its rows."""
        return len(self.index.split_rows(split))

    def take(self, split: str, start: int, stop: int) -> Drawn:
        """The rows themselves."""
        first = self.index.split_rows(split).start
        return Drawn(self.source, self.index.take(first + start, first + stop))


def open_index(path: Path) -> tuple[IndexFile, Census]:
    """The largest population of a dataset, or one population file, and the counts of all.

    Args:
        path: a dataset or a population file.

    Raises:
        SourceError: it is neither, or no image is in it.
        MaterializeError: the dataset's manifest cannot be read.
    """
    files = [IndexFile.open(file) for file in _files(path)]
    index = max(files, key=len)
    if not len(index):
        raise SourceError(f"{path}: expected images, found none", {"path": str(path)})
    names = files[-1].facts["class_names"]
    rows = np.zeros((len(SPLITS), max(len(names), 1)), np.int64)
    for file in files:
        for part in file.parts():
            labels = np.maximum(part["labels"], 0).astype(np.int64)
            keys = labels + part["splits"].astype(np.int64) * rows.shape[1]
            rows += np.bincount(keys, minlength=rows.size).reshape(rows.shape)
    census = Census(
        rows=rows, class_names=tuple(map(str, names)), example=_example(index), basis="index"
    )
    return index, census


def _files(path: Path) -> Sequence[Path]:
    if not path.is_dir():
        return [path]
    return [path / entry.file for entry in load_latest(path).populations]


def _example(index: IndexFile) -> Population:
    """The largest and the smallest image of every split, as one population."""
    wanted: list[int] = []
    for split in SPLITS:
        here = index.split_rows(split)
        if here:
            wanted += _extremes(index, here)
    return joined([index.take(row, row + 1) for row in sorted(set(wanted))])


def _extremes(index: IndexFile, here: range) -> list[int]:
    best: dict[str, tuple[int, int]] = {}
    for start in range(here.start, here.stop, _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, here.stop)
        heights = index.columns["heights"][start:stop].astype(np.int64)
        widths = index.columns["widths"][start:stop]
        for name, values in (
            ("pixels", heights * widths), ("height", heights), ("width", np.asarray(widths)),
        ):  # fmt: skip
            for sign in (1, -1):
                row = int((sign * values).argmax())
                key = f"{name}{sign}"
                if key not in best or sign * int(values[row]) > best[key][0]:
                    best[key] = (sign * int(values[row]), start + row)
    return [row for _, row in best.values()]


def _specs() -> Iterator[tuple[str, str]]:
    yield from _DTYPES.items()
    for name, (values, offsets) in _TEXTS.items():
        yield f"{name}_values", values
        yield f"{name}_offsets", offsets


def _mapped(path: Path, file: h5py.File, name: str, dtype: str) -> NDArray[Any]:
    """A column where it lies.

    Raises:
        ValueError: it is a link, of another type, not contiguous or reaches beyond the file.
    """
    is_there = isinstance(file.get(name, getlink=True), h5py.HardLink)
    if not is_there:
        raise ValueError(f"it has no column {name}")
    dataset = file[name]
    properties = dataset.id.get_create_plist()
    plain = properties.get_layout() == h5d.CONTIGUOUS and not properties.get_external_count()
    if dataset.dtype.str != dtype or not plain:
        raise ValueError(f"its {name} are {dataset.dtype.str}, or not contiguous")
    if not dataset.size:
        return np.empty(dataset.shape, dataset.dtype)
    offset = dataset.id.get_offset()
    if offset is None or offset + dataset.nbytes > path.stat().st_size:
        raise ValueError(f"its {name} reach beyond the file")
    return np.memmap(path, dtype=dataset.dtype, mode="r", offset=offset, shape=dataset.shape)


def _facts(file: h5py.File) -> dict[str, Any]:
    facts = json.loads(file.attrs["facts"])
    if not isinstance(facts, dict) or not {"class_names", "channels", "dtype"} <= facts.keys():
        raise ValueError("it does not say what its images are")
    return facts
