"""Pixels from shards: mapped and gathered where they are raw, decoded where they are not.

Nothing is trusted before it is checked. The leaves a row lies in are hashed when the row is first
asked for; a shard of which all were found right is noted, and no later process hashes it while its
file is unchanged. A shard that cannot be read is an error that names rows and remedy, or is made
again in memory from the recipe while training goes on.
"""

import os
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import (
    ConfigError,
    DamageWarning,
    ManifestError,
    ShardError,
    ShardMissingError,
)
from materialize.loader.feeds import Spent
from materialize.loader.gathering import gather
from materialize.loader.object_gathering import (
    NUM_COLUMNS,
    addresses_of,
    gather_objects,
    gather_objects_in_numpy,
)
from materialize.loader.order import one_of
from materialize.loader.samples import Samples
from materialize.loader.shard_table import ShardTable
from materialize.loader.starting import is_started
from materialize.loader.stored_shard import EncodedShard, MappedShard, RemadeShard, StoredShard
from materialize.manifest import load_latest, shard_path
from materialize.shards.block_cache import DecodedBlocks
from materialize.shards.layout import ShardEntry
from materialize.shards.mapping import Stamp
from materialize.shards.reader import ShardReader
from materialize.stamps import note_stamps, read_stamps, stamp_of
from pipelines.objects import Objects

VERIFY = ("first", "always", "never")

MakeAgain = Callable[[ShardEntry], tuple[NDArray[Any], Objects | None]]
"""Entry of a shard → (n, H, W, C) what it should hold, and the objects of these images."""

_MOST_OF_MEMORY = 0.5
"""Reading ahead what does not fit would push out what was read before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How shards are read."""

    verify: str = "first"
    """``first`` checks each leaf once and remembers it in the dataset, ``always`` once an epoch,
    ``never`` not at all."""
    make_again: MakeAgain | None = None
    """What to do about a shard that cannot be read; None raises."""
    cache_bytes: int = 2**30
    """Decoded chunks of compressed shards that are kept."""

    def __post_init__(self) -> None:
        """Checks the policy.

        Raises:
            ConfigError: there is no such policy.
        """
        one_of("verify", self.verify, VERIFY)


class StoredFeed:
    """Reads copies of some samples from the shards of a dataset.

    Args:
        directory: the dataset.
        table: the shards to read.
        samples: whose rows are asked for.
        reading: how.
    """

    def __init__(
        self, directory: Path, table: ShardTable, samples: Samples, reading: Reading
    ) -> None:
        """Map nothing yet; shards are mapped when they are first asked for."""
        self._directory, self._table, self._samples = directory, table, samples
        self._reading = reading
        size = (len(table.entries), len(table.copies))
        self._shards: dict[tuple[int, int], StoredShard] = {}
        self._retired: list[StoredShard | None] = []
        self._addresses = np.zeros(size, np.int64)
        self._object_addresses = np.zeros((size[0] * size[1], NUM_COLUMNS), np.int64)
        self._is_ready = np.zeros(size, np.bool_)
        self._stamps = read_stamps(directory) if reading.verify == "first" else {}
        self._found: dict[str, tuple[str, Stamp]] = {}
        self._chunks = DecodedBlocks(reading.cache_bytes)
        self._lock = threading.RLock()
        self._is_closed = False
        self._reader_ahead: threading.Thread | None = None
        self.spent = Spent()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""
        return self._table.image_shape

    @property
    def image_dtype(self) -> np.dtype[Any]:
        """uint8 or float32."""
        return self._table.image_dtype

    def begin_epoch(self, copies: tuple[int, ...]) -> None:
        """Forgets what was checked if every epoch checks anew, and reads ahead what was."""
        if self._reading.verify == "always":
            with self._lock:
                self._is_ready[:] = False
                self._object_addresses[:] = 0
                dropped = self._shards
                self._shards = {
                    key: shard for key, shard in dropped.items() if isinstance(shard, RemadeShard)
                }
                for key in self._shards:
                    self._is_ready[key] = True
        elif self._fits_memory(len(copies)):
            columns = np.flatnonzero(np.isin(self._table.copies, copies)).tolist()
            reader_ahead = threading.Thread(target=self._read_ahead, args=(columns,), daemon=True)
            self._reader_ahead = reader_ahead  # before it starts: it goes on only while it is this
            reader_ahead.start()

    def end_epoch(self) -> None:
        """Stops reading ahead."""
        self._reader_ahead = None

    def fetch(self, rows: NDArray[np.int64], copies: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Writes m images; see `Feed.fetch`.

        Raises:
            ShardDamagedError: bytes are not those of the manifest; names the rows.
            ShardMissingError: a shard is not there.
            ShardUntrustedError: a shard's structure is not that of its spec.
        """
        self._check_open()
        with self.spent.on("read"):
            runs, columns, within = self._table.find(self._samples.places[rows], copies)
            addresses, held = self._prepared(runs, columns, within)
            sources = np.where(addresses, addresses + within * self._table.row_bytes, 0)
            gather(sources, self._table.row_bytes, out.ctypes.data)
            if not addresses.all():
                self._read_encoded(np.flatnonzero(addresses == 0), runs, columns, within, out)
        del held

    def objects(self, rows: NDArray[np.int64], copies: NDArray[np.int64]) -> Objects:
        """The objects of m images.

        Args:
            rows: (m,) rows of the samples, whose images show objects.
            copies: (m,) which copy of each; -1 for the untouched image.

        Raises:
            ShardError: as `fetch`.
        """
        self._check_open()
        with self.spent.on("read"):
            runs, columns, within = self._table.find(self._samples.places[rows], copies)
            keys = runs * len(self._table.copies) + columns
            if not is_started():
                parts = {key: self._objects_of(key) for key in np.unique(keys).tolist()}
                return gather_objects_in_numpy(parts, keys, within)
            addresses, held = self._objects_prepared(keys)
            found = gather_objects(addresses, within, self._table.num_keypoints)
        del held
        return found

    def _objects_prepared(
        self, keys: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], Mapping[tuple[int, int], StoredShard]]:
        """(m, 9) where the objects of shards begin, and what keeps them there; as `_prepared`."""
        while True:
            held = self._shards
            for key in np.unique(keys[self._object_addresses[keys, 0] == 0]).tolist():
                self._objects_of(key)
            with self._lock:
                self._check_open()
                addresses = self._object_addresses[keys]
                if held is self._shards and addresses[:, 0].all():
                    return addresses, held

    def _objects_of(self, key: int) -> Objects:
        """Those of all rows of a shard; notes where they lie."""
        run, column = divmod(key, len(self._table.copies))
        try:
            shard = self._opened(run, column)
            found = shard.objects
        except ShardError as error:
            shard = self._remake(run, column, error)
            found = shard.objects
        if found is None or found.keypoints.shape[1] != self._table.num_keypoints:
            entry = self._table.entry(run, column)
            raise ConfigError(
                f"{entry.file}: expected objects beside its images, found none",
                {"file": entry.file},
            )
        with self._lock:
            if self._shards.get((run, column)) is shard:  # and not of an epoch that is over
                self._object_addresses[key] = addresses_of(found)
        return found

    def close(self) -> None:
        """Notes what was found whole and lets go of the files."""
        self._is_closed = True
        reader_ahead = self._reader_ahead
        if reader_ahead is not None:
            reader_ahead.join()  # it is at its last shard
        with self._lock:
            found, self._found = self._found, {}
            shards, self._shards = self._shards, {}
            self._is_ready[:] = False
            self._addresses[:] = 0
            self._object_addresses[:] = 0
        if found:
            note_stamps(self._directory, found)
        for shard in shards.values():
            shard.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ValueError("this loader is closed; make another one")

    def _prepared(
        self, runs: NDArray[np.int64], columns: NDArray[np.int64], within: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], Mapping[tuple[int, int], StoredShard]]:
        """(m,) where the pixels of checked shards begin, and what keeps those addresses alive.

        Addresses keep nothing alive by themselves: only as long as the shards are held does no
        mapping that was looked up go away, whatever other threads do. Another epoch may have begun
        meanwhile; then everything is looked up again.
        """
        while True:
            held = self._shards
            self._prepare(runs, columns, within)
            with self._lock:
                self._check_open()
                if held is self._shards:
                    return self._addresses[runs, columns], held

    def _prepare(
        self, runs: NDArray[np.int64], columns: NDArray[np.int64], within: NDArray[np.int64]
    ) -> None:
        """Opens and checks what these rows lie in."""
        unready = ~self._is_ready[runs, columns]
        if not unready.any():
            return
        for run, column in set(zip(runs[unready].tolist(), columns[unready].tolist(), strict=True)):
            rows = within[(runs == run) & (columns == column)]
            try:
                shard = self._opened(run, column)
                shard.check(rows)
            except ShardError as error:
                self._remake(run, column, error)
            else:
                self._mark_ready(run, column, shard)

    def _mark_ready(self, run: int, column: int, shard: StoredShard) -> None:
        """Notes that no row of a shard needs a check any more, if so."""
        if not shard.is_checked or self._is_ready[run, column]:
            return
        entry = self._table.entry(run, column)
        with self._lock:
            if self._shards.get((run, column)) is not shard:
                return  # of an epoch that is over
            if isinstance(shard, MappedShard | EncodedShard) and shard.reader.is_verified:
                self._found[entry.file] = (entry.file_sha256, shard.reader.stamp)
            self._is_ready[run, column] = True

    def _opened(self, run: int, column: int) -> StoredShard:
        """The shard, opened by whoever comes first."""
        with self._lock:
            self._check_open()
            shard = self._shards.get((run, column))
            if shard is None:
                shard = self._open(self._table.entry(run, column), run, column)
                self._shards[run, column] = shard
                self._addresses[run, column] = shard.address
            return shard

    def _open(self, entry: ShardEntry, run: int, column: int) -> StoredShard:
        path = shard_path(self._directory, entry.file)
        try:
            reader = ShardReader(path, entry, verified=stamp_of(self._stamps, entry))
        except ShardMissingError as error:
            raise self._collected(path, entry) or error from None
        if entry.images_offset is not None:
            return MappedShard(reader, is_trusted=self._reading.verify == "never")
        return EncodedShard(reader, self._chunks, run * len(self._table.copies) + column)

    def _collected(self, path: Path, entry: ShardEntry) -> ShardMissingError | None:
        """The error for a shard that no longer belongs to the dataset; None if it does."""
        try:
            newest = load_latest(self._directory)
        except ManifestError:
            return None
        if any(other.file == entry.file for other in newest.shards):
            return None
        return ShardMissingError(
            f"{path} is not there: manifest {newest.number} does not name it, so it was superseded "
            "and collected since this dataset was opened; open the dataset again",
            {"file": str(path), "rows": (0, entry.spec.num_rows), "newest": newest.number},
        )

    def _read_encoded(
        self,
        wanted: NDArray[np.int64],
        runs: NDArray[np.int64],
        columns: NDArray[np.int64],
        within: NDArray[np.int64],
        out: NDArray[Any],
    ) -> None:
        """Fills the wanted rows of a batch from shards that are not mapped."""
        keys = runs[wanted] * len(self._table.copies) + columns[wanted]
        for key in np.unique(keys).tolist():
            run, column = divmod(key, len(self._table.copies))
            here = wanted[keys == key]
            images = np.empty((len(here), *out.shape[1:]), out.dtype)
            try:
                self._opened(run, column).read(within[here], images)
            except ShardError as error:
                self._remake(run, column, error).read(within[here], images)
            out[here] = images

    def _remake(self, run: int, column: int, error: ShardError) -> StoredShard:
        """The shard made again in memory, or the error if nobody can."""
        if self._reading.make_again is None:
            raise error
        with self._lock:
            known = self._shards.get((run, column))
            if isinstance(known, RemadeShard):
                return known
            entry = self._table.entry(run, column)
            shard = RemadeShard(*self._reading.make_again(entry))
            self._retired.append(known)  # another thread may be reading there
            self._shards[run, column] = shard
            self._addresses[run, column] = shard.address
            self._is_ready[run, column] = True
        warnings.warn(f"{error}. Its images were made again in memory", DamageWarning, stacklevel=2)
        return shard

    def _fits_memory(self, num_copies: int) -> bool:
        num_bytes = int(self._table.run_starts[-1]) * self._table.row_bytes * num_copies
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return num_bytes <= _MOST_OF_MEMORY * memory

    def _read_ahead(self, columns: list[int]) -> None:
        """Brings shards that need no check into memory before their rows are asked for."""
        for run in range(len(self._table.entries)):
            for column in columns:
                if self._reader_ahead is not threading.current_thread():
                    return  # another epoch has begun
                if self._is_ready[run, column] or self._table.entries[run][column] is None:
                    continue
                try:
                    shard = self._opened(run, column)
                except (ShardError, OSError):
                    continue  # whoever needs its rows says what is wrong
                except ValueError:
                    return  # closed
                if isinstance(shard, MappedShard) and shard.is_checked:
                    shard.read_ahead()
                    self._mark_ready(run, column, shard)
