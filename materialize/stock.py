"""Pixels that are stored already, for shards that hold them in another form.

A shard that only changes its codec, or that loses rows, is made of the shards that stand, and
copies may be made of stored originals: these are the images as they are before anything random
happens, exactly. Rows are found by sample id, and no byte is believed before it was compared with
the manifest. Shards of lossy codecs are no stock: what they decode to is not what was rendered.
"""

import itertools
from collections.abc import Sequence
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

ORIGINAL = -1
"""The ``copy`` of an untouched image."""
_BYTES_AT_ONCE = 2**25
"""Decoded at a time, besides the shard that is being filled."""


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
        self._entries: dict[int, list[ShardEntry]] = {}
        for entry in entries:
            self._entries.setdefault(entry.spec.copy, []).append(entry)
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

    def holds(self, copy: int) -> bool:
        """Whether there are rows of a copy, or untouched images (−1)."""
        return copy in self._entries

    def image_shape(self, copy: int) -> tuple[int, int, int]:
        """(H, W, C) of a copy that it holds."""
        return self._entries[copy][0].spec.image_shape

    def fill(self, copy: int, ids: NDArray[np.uint8], out: NDArray[Any]) -> None:
        """Writes the stored pixels of some samples.

        Args:
            copy: which copy; −1 for the untouched images.
            ids: (n, 16) ascending sample ids.
            out: (n, H, W, C), written.

        Raises:
            ShardError: a shard is damaged or missing, or a sample is in none of them.
        """
        is_filled = np.zeros(len(ids), bool)
        for entry in self._entries[copy]:
            reader = self._reader(entry)
            rows = rows_of(ids, reader.sample_ids)
            here = np.flatnonzero(rows >= 0)
            is_filled[here] = True
            at_once = max(_BYTES_AT_ONCE // entry.spec.row_bytes, 1)
            for span in _spans(rows[here], at_once):
                place, row = here[span.start], rows[here[span.start]]
                out[place : place + len(span)] = reader.rows(row, row + len(span))
        if not is_filled.all():
            missing = ids[~is_filled][0].tobytes().hex()
            files = [entry.file for entry in self._entries[copy]]
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
        for entry in self._entries.get(spec.copy, ()):
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
    names = ("rows_digest", "sources_digest", "recipe", "image_shape", "parameters", "draw_words")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def _spans(rows: NDArray[np.int64], at_once: int) -> list[range]:
    """Where consecutive rows stand among ascending rows, in spans of a limited length."""
    cuts = [0, *(np.flatnonzero(np.diff(rows) != 1) + 1).tolist(), len(rows)]
    return [
        range(start, min(start + at_once, stop))
        for first, stop in itertools.pairwise(cuts)
        for start in range(first, stop, at_once)
    ]
