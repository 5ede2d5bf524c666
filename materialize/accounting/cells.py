"""Which class, split, copy, target and shard the bytes of the shards belong to.

Bytes of pixels and columns belong to images, and images to cells. Rows of a raw shard and of every
column are equally long, so those are exact. An encoded block may hold several classes: its bytes
are shared out among them by largest remainder over their decoded bytes. What the container takes
belongs to no class; it is a cell of its own, of the split and copy of its shard.

Nothing is decoded. Of a raw shard the manifest says all; of an encoded one the file is asked how
long each block is, which takes a look at every byte unless a stamp says that it was read before.
Objects differ from image to image: where a shard has some, it is asked for their offsets.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from materialize.accounting.apportionment import apportion, spread
from materialize.audit.standing import RunKey, StandingDataset, run_key
from materialize.errors import AccountError
from materialize.manifest import Totals, shard_path
from materialize.progress import Progress
from materialize.shards.columns import bytes_of_objects
from materialize.shards.layout import ShardEntry
from materialize.shards.reader import ShardReader
from materialize.sources.base import SPLITS
from materialize.stamps import read_stamps, stamp_of

IMAGE_TARGET, MASK_TARGET, OBJECTS_TARGET = "image", "mask", "objects"
"""What bytes of a shard are: of an image and what stands beside it, of its mask, of its objects."""

UNLABELLED = "(no label)"

_IMAGES, _PIXELS, _COLUMNS = range(3)

_Place = tuple[str, int, str, str]
"""Split, copy, target, shard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """The images of one class, split, copy and target, and what they take; or the container's."""

    class_name: str
    split: str
    copy: int
    """−1 for originals."""
    target: str
    shard: str
    """Its file; empty where cells are summed over the shards."""
    num_images: int
    pixels_bytes: int
    columns_bytes: int
    container_bytes: int

    @property
    def num_bytes(self) -> int:
        """All of them."""
        return self.pixels_bytes + self.columns_bytes + self.container_bytes


@dataclass(frozen=True, slots=True)
class CellAccount:
    """The shards, image by image."""

    cells: tuple[Cell, ...]
    """Sorted by split, copy, target, shard and label; the container's come last in each place."""
    container_name: str
    """What stands for a class there: no class has this name."""
    per_sample: NDArray[np.int64]
    """(samples,) bytes of pixels and columns of all copies, in the order of the populations."""
    per_image: dict[int, int]
    """How many stored images, and masks, take so many bytes; those of one block take equally
    many."""


def account_cells(
    dataset: StandingDataset, *, per_shard: bool = False, progress: Progress | None = None
) -> CellAccount:
    """Accounts for every byte of the shards.

    Memory does not grow with the shards, unless ``per_shard`` asks for a cell in each.

    Args:
        dataset: whose shards to look at.
        per_shard: whether cells are kept apart by shard.
        progress: called with the images that are done.

    Raises:
        AccountError: the blocks of a shard are not as long as the manifest says.
        ShardError: an encoded shard is missing or damaged.
    """
    tally = _Tally(dataset, per_shard=per_shard)
    stamps, done = read_stamps(dataset.directory), 0
    total = Totals.of(dataset.manifest.shards).num_rows
    for entry in dataset.manifest.shards:
        if entry.images_offset is not None:
            tally.add_raw(entry)
        if entry.images_offset is None or entry.spec.objects is not None:
            path = shard_path(dataset.directory, entry.file)
            with ShardReader(path, entry, verified=stamp_of(stamps, entry)) as reader:
                if entry.images_offset is None:
                    tally.add_encoded(entry, *_block_lengths(reader, path))
                if reader.objects is not None:
                    tally.add_objects(entry, bytes_of_objects(reader.objects))
        done += entry.spec.num_images
        if progress is not None:
            progress("account", done, total)
    return tally.result()


class _Tally:
    """Sums, shard by shard."""

    def __init__(self, dataset: StandingDataset, *, per_shard: bool) -> None:
        self._dataset = dataset
        self._per_shard = per_shard
        self._num_classes = len(dataset.manifest.class_names) + 1  # the first: no label
        self._sums: dict[_Place, NDArray[np.int64]] = {}
        self._containers: Counter[_Place] = Counter()
        self._per_sample = [np.zeros(len(p), np.int64) for p in dataset.populations]
        self._per_image: Counter[int] = Counter()
        self._run: _Run | None = None
        self._pending: tuple[str, NDArray[np.int64]] | None = None

    def add_raw(self, entry: ShardEntry) -> None:
        """A shard all of whose images take equally many bytes."""
        run, row_bytes, beside = self._run_of(entry), entry.spec.row_bytes, _beside(entry)
        self._note(entry, run.counts * row_bytes, run.counts * beside)
        self._count(entry, np.full(len(run.rows), row_bytes + beside))

    def add_encoded(
        self, entry: ShardEntry, lengths: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> None:
        """A shard in blocks of known lengths."""
        run, beside = self._run_of(entry), _beside(entry)
        self._note(entry, self._pixels_by_class(run.codes, lengths, rows), run.counts * beside)
        self._count(entry, spread(lengths, rows) + beside)

    def add_objects(self, entry: ShardEntry, sizes: NDArray[np.int64]) -> None:
        """The objects of a shard's images, (rows,) bytes each."""
        run = self._run_of(entry)
        columns = np.zeros(self._num_classes, np.int64)
        np.add.at(columns, run.codes, sizes)
        sums = self._sums_of(entry, OBJECTS_TARGET)
        sums[_IMAGES] += run.counts
        sums[_COLUMNS] += columns
        self._count(entry, sizes)

    def _count(self, entry: ShardEntry, sizes: NDArray[np.int64]) -> None:
        """Notes what each image of a shard takes, or more of it."""
        rows = self._run_of(entry).rows
        self._per_sample[entry.spec.generation - 1][rows] += sizes
        if self._pending is not None and self._pending[0] == entry.file:
            sizes = sizes + self._pending[1]
        else:
            self._settle()
        self._pending = (entry.file, sizes)

    def _settle(self) -> None:
        """Counts the images of the last shard by their size, all of which is known now."""
        if self._pending is not None:
            for size, count in zip(*np.unique(self._pending[1], return_counts=True), strict=True):
                self._per_image[int(size)] += int(count)
        self._pending = None

    def result(self) -> CellAccount:
        """What was added up."""
        self._settle()
        names = [UNLABELLED, *self._dataset.manifest.class_names]
        container = "(container)"
        while container in names:
            container = f"({container})"
        return CellAccount(
            tuple(self._cells(names, container)),
            container,
            np.concatenate([np.zeros(0, np.int64), *self._per_sample]),
            dict(sorted(self._per_image.items())),
        )

    def _cells(self, names: list[str], container: str) -> Iterator[Cell]:
        for place in sorted(self._sums, key=lambda place: (SPLITS.index(place[0]), *place[1:])):
            split, copy, target, shard = place
            sums = self._sums[place]
            for code in np.flatnonzero(sums[_IMAGES]).tolist():
                images, pixels, columns = sums[:, code].tolist()
                yield Cell(
                    class_name=names[code], split=split, copy=copy, target=target, shard=shard,
                    num_images=images, pixels_bytes=pixels, columns_bytes=columns,
                    container_bytes=0,
                )  # fmt: skip
            if target == OBJECTS_TARGET:
                continue  # they stand in the container of their images
            yield Cell(
                class_name=container, split=split, copy=copy, target=target, shard=shard,
                num_images=0, pixels_bytes=0, columns_bytes=0,
                container_bytes=self._containers[place],
            )  # fmt: skip

    def _note(
        self, entry: ShardEntry, pixels: NDArray[np.int64], columns: NDArray[np.int64]
    ) -> None:
        target = MASK_TARGET if entry.spec.is_mask else IMAGE_TARGET
        sums = self._sums_of(entry, target)
        sums[_IMAGES] += self._run_of(entry).counts
        sums[_PIXELS] += pixels
        sums[_COLUMNS] += columns
        self._containers[self._place(entry, target)] += entry.container_bytes

    def _sums_of(self, entry: ShardEntry, target: str) -> NDArray[np.int64]:
        place = self._place(entry, target)
        if place not in self._sums:
            self._sums[place] = np.zeros((3, self._num_classes), np.int64)
        return self._sums[place]

    def _place(self, entry: ShardEntry, target: str) -> _Place:
        spec = entry.spec
        return (spec.split, spec.copy, target, entry.file if self._per_shard else "")

    def _pixels_by_class(
        self, codes: NDArray[np.int64], lengths: NDArray[np.int64], rows: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """(classes,) bytes; images of a shard are equally large, so they weigh the same."""
        pixels = np.zeros(self._num_classes, np.int64)
        if len(rows) == len(codes):  # nothing is mixed
            np.add.at(pixels, codes, lengths)
            return pixels
        found, dense = np.unique(codes, return_inverse=True)
        blocks = np.repeat(np.arange(len(rows)), rows)
        counts = np.bincount(blocks * len(found) + dense, minlength=len(rows) * len(found))
        shares = apportion(lengths, counts.reshape(len(rows), len(found)).astype(np.int64))
        pixels[found] = shares.sum(axis=0)
        return pixels

    def _run_of(self, entry: ShardEntry) -> "_Run":
        """The run of a shard; copies of one run follow each other in a manifest."""
        key = (run_key(entry.spec), entry.spec.num_rows)  # who has a copy has all before it
        if self._run is None or self._run.key != key:
            rows = self._dataset.rows_of(entry.spec)
            population = self._dataset.population_of(entry.spec.generation)
            codes = population.labels[rows].astype(np.int64) + 1
            counts = np.bincount(codes, minlength=self._num_classes)
            self._run = _Run(key, rows, codes, counts)
        return self._run


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """What copies of a run have in common that hold the same rows."""

    key: tuple[RunKey, int]
    """The run, and how many of its rows these copies hold."""
    rows: NDArray[np.int64]
    """(rows,) where they stand in their population."""
    codes: NDArray[np.int64]
    """(rows,) the class of each, from 1; 0 for none."""
    counts: NDArray[np.int64]
    """(classes,) how many rows each has."""


def _beside(entry: ShardEntry) -> int:
    """What stands beside the pixels of one image."""
    return sum(column.num_bytes for column in entry.spec.columns().values()) // entry.spec.num_rows


def _block_lengths(reader: ShardReader, path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each block its encoded bytes and its rows.

    Raises:
        AccountError: they are not what the manifest says in all.
    """
    blocks = reader.blocks
    numbers = range(blocks.num_blocks)
    lengths = np.array([len(blocks.region(block)) for block in numbers], np.int64)
    rows = np.array([len(blocks.block_rows(block)) for block in numbers], np.int64)
    found, expected = int(lengths.sum()), reader.entry.images_stored_bytes
    if found != expected:
        raise AccountError(
            f"{path}: expected blocks of {expected:,} bytes in all as the manifest says, found "
            f"{found:,}; run `materialize verify`",
            {"path": str(path), "expected": expected, "found": found},
        )
    return lengths, rows
