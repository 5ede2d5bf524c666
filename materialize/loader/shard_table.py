"""Which shard holds which row and copy of a split, and where in memory its pixels lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ConfigError
from materialize.loader.holders import Holders
from materialize.manifest import Manifest
from materialize.shards.layout import ShardEntry


@dataclass(frozen=True, slots=True, eq=False)
class ShardTable:
    """The shards of some copies of a split: one row for each run, one column for each copy."""

    copies: NDArray[np.int64]
    """(columns,) ascending; -1 for originals."""
    run_starts: NDArray[np.int64]
    """(runs + 1,) first place of each run, and the number of places."""
    entries: tuple[tuple[ShardEntry | None, ...], ...]
    """By run and column; None where no row of the run has the copy."""
    holders: Holders | None = None
    """Who has which copy, where not all have all."""

    @classmethod
    def of(
        cls,
        manifest: Manifest,
        split: str,
        copies: Sequence[int],
        num_copies: NDArray[np.int64] | None = None,
        *,
        is_mask: bool = False,
    ) -> "ShardTable":
        """The table of a dataset.

        Args:
            manifest: of the dataset.
            split: whose shards.
            copies: which copies, -1 for originals; where classes are balanced, of which epochs.
            num_copies: (n,) how many copies there are of the split's rows, of all generations one
                after another; None where all have all.
            is_mask: whether masks are wanted, and not images.

        Raises:
            ConfigError: a copy is not stored, or the images differ in shape or dtype.
        """
        wanted = sorted(copies)
        by_run: dict[tuple[int, int], dict[int, ShardEntry]] = {}
        for entry in manifest.shards:
            spec = entry.spec
            if spec.split == split and spec.is_mask == is_mask:
                by_run.setdefault((spec.generation, spec.run), {})[spec.copy] = entry
        runs = [by_run[key] for key in sorted(by_run)]
        _check_stored(runs, wanted, split, manifest, is_balanced=num_copies is not None)
        holders = None
        if num_copies is not None:
            holders = Holders.of(num_copies)
            drawn = range(int(num_copies.max(initial=0))) if wanted[-1] >= 0 else ()
            wanted = [*(copy for copy in wanted if copy < 0), *drawn]
        entries = tuple(tuple(run.get(copy) for copy in wanted) for run in runs)
        _check_alike([entry for run in entries for entry in run if entry is not None])
        starts = _run_starts(manifest, split, runs)
        return cls(np.array(wanted, np.int64), starts, entries, holders)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self._any.spec.image_shape

    @property
    def image_dtype(self) -> np.dtype[Any]:
        """uint8 or float32."""
        return self._any.spec.images.dtype

    @property
    def row_bytes(self) -> int:
        """Of one decoded image."""
        return self._any.spec.row_bytes

    @property
    def num_keypoints(self) -> int:
        """Of each object beside the images; 0 where there are no objects."""
        kinds = self._any.spec.objects
        return 0 if kinds is None else len(kinds.keypoint_names)

    @property
    def _any(self) -> ShardEntry:
        """One of the shards, which are all alike."""
        return next(entry for run in self.entries for entry in run if entry is not None)

    def entry(self, run: int, column: int) -> ShardEntry:
        """A shard that some row of the run lies in."""
        entry = self.entries[run][column]
        if entry is None:
            raise IndexError(f"run {run} has no copy {self.copies[column]}")
        return entry

    def find(
        self, places: NDArray[np.int64], copies: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Run, column and row within the shard of each place and copy, all (m,).

        Raises:
            IndexError: a place or a copy that the table does not have.
        """
        runs = np.searchsorted(self.run_starts, places, side="right") - 1
        columns = np.searchsorted(self.copies, copies)
        inside = (runs >= 0) & (runs < len(self.entries)) & (columns < len(self.copies))
        if not inside.all() or not (self.copies[columns] == copies).all():
            raise IndexError("expected places and copies of this table, got others")
        if self.holders is None:
            return runs, columns, places - self.run_starts[runs]
        return runs, columns, self.holders.between(self.run_starts[runs], places, copies)


def _run_starts(
    manifest: Manifest, split: str, runs: Sequence[dict[int, ShardEntry]]
) -> NDArray[np.int64]:
    """(runs + 1,) first place of each run, and the number of places."""
    counts = [entry.counts.get(split, 0) for entry in manifest.populations]
    offsets = np.cumsum([0, *counts]).tolist()
    starts = []
    for run in runs:
        spec = next(iter(run.values())).spec
        there = manifest.populations[spec.generation - 1]
        first = there.first_row_of(split, spec.run, spec.first_row)
        starts.append(offsets[spec.generation - 1] + first)
    return np.array([*starts, offsets[-1]], np.int64)


def _check_stored(
    runs: Sequence[dict[int, ShardEntry]],
    wanted: Sequence[int],
    split: str,
    manifest: Manifest,
    *,
    is_balanced: bool,
) -> None:
    if is_balanced and manifest.storage == "pixels":
        # A run need not have every copy, but there are those of as many epochs.
        there = set(range(manifest.copies))
        there |= {-1} if all(-1 in run for run in runs) else set()
        missing = [copy for copy in wanted if copy not in there]
    else:
        missing = [copy for copy in wanted if not runs or any(copy not in run for run in runs)]
    if not missing:
        return
    if manifest.storage == "recipe":
        raise ConfigError(
            "storage: expected a dataset that stores images, found a recipe, which stores none; "
            "make copies with AugmentingLoader from OpenDataset.with_source(), or store them with "
            "`materialize transcode DATASET --storage pixels`",
            {"name": "storage", "expected": "pixels", "found": "recipe", "split": split},
        )
    if manifest.storage == "prefix":
        raise ConfigError(
            f"copies: expected -1, the untouched images of a prefix dataset, got {missing}; read "
            "its copies with PrefixLoader, which makes them, or store them with `materialize "
            "transcode DATASET --storage pixels`",
            {"name": "storage", "expected": "pixels", "found": "prefix", "split": split},
        )
    if missing == [-1]:
        raise ConfigError(
            f"split {split!r}: expected the untouched images in the dataset, found none stored; "
            "build it with --originals",
            {"expected": "originals", "split": split},
        )
    if split != "train":
        raise ConfigError(
            f"split {split!r}: expected copies {missing}, found none: only training images are "
            "augmented. Ask for the originals, which are copies=(-1,)",
            {"expected": missing, "split": split},
        )
    raise ConfigError(
        f"copies: expected some of the {manifest.copies} that are stored, 0 to "
        f"{manifest.copies - 1}, got {missing}; make more with `materialize extend --copies N`",
        {"expected": manifest.copies, "found": missing},
    )


def _check_alike(entries: Sequence[ShardEntry]) -> None:
    kinds = {(entry.spec.image_shape, entry.spec.image_dtype) for entry in entries}
    if len(kinds) > 1:
        raise ConfigError(
            f"expected images of one shape and dtype in a batch, got {sorted(kinds)}; read copies "
            "and originals by two loaders",
            {"found": sorted(kinds)},
        )
