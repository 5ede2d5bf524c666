"""Pixels that are stored already, for shards that hold them in another form.

A shard that only changes its codec, or that loses rows, is made of the shards that stand, and
copies may be made of stored originals: these are the images as they are before anything random
happens, exactly. Rows are found by sample id, and no byte is believed before it was compared with
the manifest. Shards of lossy codecs are no stock: what they decode to is not what was rendered.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ShardDamagedError, ShardUntrustedError
from materialize.manifest import shard_path
from materialize.population.identity import rows_of
from materialize.shards.codecs import find_codec
from materialize.shards.layout import ShardEntry, ShardSpec
from materialize.shards.reader import ShardReader
from pipelines.objects import Objects

ORIGINAL = -1
"""The ``copy`` of an untouched image."""
_BYTES_AT_ONCE = 2**25
"""Decoded at a time, besides the shard that is being filled."""


StockKey = tuple[int, bool]
"""Copy, and whether these are masks."""


def stock_key(spec: ShardSpec) -> StockKey:
    """What of an image a shard holds."""
    return (spec.copy, spec.is_mask)


def is_stock(entry: ShardEntry) -> bool:
    """Whether a shard gives back what was rendered into it."""
    return not find_codec(entry.spec.codec).is_lossy


class Stock:
    """The standing shards that a task may take rows from; a context manager that unmaps them.

    Args:
        directory: the dataset.
        entries: its shards that hold some of the task's rows.
    """

    def __init__(self, directory: Path, entries: Sequence[ShardEntry]) -> None:
        """Open nothing yet."""
        self._directory = directory
        self._entries: dict[StockKey, list[ShardEntry]] = {}
        for entry in entries:
            self._entries.setdefault(stock_key(entry.spec), []).append(entry)
        self._readers: dict[str, ShardReader] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def holds(self, copy: int, *, is_mask: bool = False) -> bool:
        """Whether there are rows of a copy, or untouched images (−1), or their masks."""
        return (copy, is_mask) in self._entries

    def image_shape(self, copy: int, *, is_mask: bool = False) -> tuple[int, int, int]:
        """(H, W, C) of a copy that it holds."""
        return self._entries[copy, is_mask][0].spec.image_shape

    def fill(
        self, copy: int, ids: NDArray[np.uint8], out: NDArray[Any], *, is_mask: bool = False
    ) -> None:
        """Writes the stored pixels of some samples.

        Args:
            copy: which copy; −1 for the untouched images.
            ids: (n, 16) ascending sample ids.
            out: (n, H, W, C), written.
            is_mask: whether masks are wanted, and not images.

        Raises:
            ShardError: a shard is damaged or missing, or a sample is in none of them.
        """
        for entry, reader, here, rows in self._found((copy, is_mask), ids):
            at_once = max(_BYTES_AT_ONCE // entry.spec.row_bytes, 1)
            for span in _spans(rows, here, at_once):
                place, row = here[span.start], rows[span.start]
                out[place : place + len(span)] = reader.rows(row, row + len(span))

    def objects(self, copy: int, ids: NDArray[np.uint8]) -> Objects:
        """The stored objects of some samples.

        Args:
            copy: which copy; −1 for the untouched images.
            ids: (n, 16) ascending sample ids.

        Raises:
            ShardError: a shard is damaged or missing, or a sample is in none of them.
        """
        parts, places = [], []
        for entry, reader, here, rows in self._found((copy, False), ids):
            if reader.objects is None:
                raise ShardUntrustedError(
                    f"{entry.file}: expected objects, found none; run `materialize verify`",
                    {"file": entry.file},
                )
            parts.append(reader.objects.take(rows))
            places.append(here)
        return Objects.joined(parts).take(np.argsort(np.concatenate(places)))

    def _found(
        self, key: StockKey, ids: NDArray[np.uint8]
    ) -> Iterator[tuple[ShardEntry, ShardReader, NDArray[np.int64], NDArray[np.int64]]]:
        """Each shard with samples: which of the ids it has, and in which of its rows.

        Raises:
            ShardUntrustedError: at the end, a sample was in none of them.
        """
        is_found = np.zeros(len(ids), bool)
        for entry in self._entries[key]:
            reader = self._reader(entry)
            rows = rows_of(ids, reader.sample_ids)
            here = np.flatnonzero(rows >= 0)
            is_found[here] = True
            yield entry, reader, here, rows[here]
        if not is_found.all():
            missing = ids[~is_found][0].tobytes().hex()
            files = [entry.file for entry in self._entries[key]]
            raise ShardUntrustedError(
                f"{self._directory}: expected sample {missing} in {files[0]} or the "
                f"{len(files) - 1} shards beside it, found it in none; run `materialize verify`",
                {"files": files, "expected": missing},
            )

    def check(self, spec: ShardSpec, content_sha256: str) -> None:
        """Refuses a shard whose content is not that of the shard it was made of.

        Args:
            spec: of the new shard.
            content_sha256: its content digest.

        Raises:
            ShardDamagedError: it was made of one shard with the same rows, and holds other data.
        """
        for entry in self._entries.get(stock_key(spec), ()):
            if _has_same_rows(entry.spec, spec) and entry.content_sha256 != content_sha256:
                raise ShardDamagedError(
                    f"{spec.file_name()}: expected the content of {entry.file}, "
                    f"{entry.content_sha256[:16]}, got {content_sha256[:16]}; nothing was "
                    "published. Run `materialize verify --deep`: it says which of the two is wrong",
                    {"file": entry.file, "where": "its content",
                     "expected": entry.content_sha256, "found": content_sha256},
                )  # fmt: skip

    def _reader(self, entry: ShardEntry) -> ShardReader:
        if entry.file not in self._readers:
            path = shard_path(self._directory, entry.file)
            self._readers[entry.file] = ShardReader(path, entry)
        return self._readers[entry.file]


def _has_same_rows(one: ShardSpec, other: ShardSpec) -> bool:
    names = (
        "rows_digest", "sources_digest", "recipe", "image_shape", "parameters", "draw_words",
        "targets", "fields", "partners_digest",
    )  # fmt: skip
    return all(getattr(one, name) == getattr(other, name) for name in names)


def _spans(rows: NDArray[np.int64], places: NDArray[np.int64], at_once: int) -> list[range]:
    """Which of ascending rows follow each other, and belong in places that do, some at a time."""
    breaks = (np.diff(rows) != 1) | (np.diff(places) != 1)
    cuts = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(rows)]
    return [
        range(start, min(start + at_once, stop))
        for first, stop in itertools.pairwise(cuts)
        for start in range(first, stop, at_once)
    ]
