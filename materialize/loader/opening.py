"""From a dataset on disk to its samples and the feeds over its shards."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.audit.regeneration import Regenerator, drawn_columns, located
from materialize.audit.standing import StandingDataset
from materialize.audit.tracing import trace
from materialize.errors import ConfigError, ShardDamagedError, SourceError
from materialize.executor import Crew
from materialize.feasibility import copy_shape
from materialize.loader.mixing import Mixing, mixing_of
from materialize.loader.order import ORIGINAL, OrderOptions, one_of
from materialize.loader.pace import Pace
from materialize.loader.samples import Samples, fold_samples, split_samples
from materialize.loader.shard_table import ShardTable
from materialize.loader.stored import VERIFY, Reading, StoredFeed
from materialize.loader.stored_targets import StoredTargets
from materialize.planning import joined
from materialize.population import Population
from materialize.shards.columns import columns_of
from materialize.shards.digests import block_digests, content_sha256
from materialize.shards.layout import ShardEntry
from materialize.sources import Source
from materialize.statistics_file import stored_statistics
from materialize.whereabouts import find_source
from pipelines.objects import Objects
from pipelines.standardization import Standardization, standardization_from_text
from pipelines.standardizer import Standardizer
from pipelines.statistics import Statistics

ON_DAMAGE = ("error", "regenerate")

_FITTED_BYTES = 2**24
"""Levels that statistics are fitted on at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderOptions:
    """Everything about a loader but the images, the copies, the batch and the seed."""

    shuffle: str = "global"
    """``global``, ``window`` (for storage read in pieces) or ``none``."""
    block_rows: int = 64
    """For ``window``: neighbours on the disk that are read together."""
    window_blocks: int = 256
    """For ``window``: blocks that are mixed with each other."""
    threads: int = 1
    prefetch: int = 2
    rank: int = 0
    world_size: int = 1
    drop_remainder: bool = False
    """Leave out what does not fill a batch on every rank."""
    verify: str = "first"
    """``first`` checks each leaf of a shard once and remembers it in the dataset, ``always`` once
    an epoch, ``never`` not at all."""
    on_damage: str = "error"
    """``regenerate`` makes a shard that cannot be read again in memory, with a warning."""
    source: object | None = None
    """Where ``regenerate`` looks for the images; where they were last seen by default."""
    cache_bytes: int = 2**30
    """Decoded chunks of compressed shards that are kept."""

    def __post_init__(self) -> None:
        """Checks the policies; the numbers are checked where they are used.

        Raises:
            ConfigError: there is no such policy.
        """
        one_of("verify", self.verify, VERIFY)
        one_of("on_damage", self.on_damage, ON_DAMAGE)

    def order(self, seed: int) -> OrderOptions:
        """How an epoch is put in order."""
        return OrderOptions(
            seed=seed, shuffle=self.shuffle, block_rows=self.block_rows,
            window_blocks=self.window_blocks,
        )  # fmt: skip

    def pace(self) -> Pace:
        """Threads and ranks."""
        return Pace(
            threads=self.threads, prefetch=self.prefetch, rank=self.rank,
            world_size=self.world_size, drop_remainder=self.drop_remainder,
        )  # fmt: skip


def _in_order(feed: StoredFeed, count: int) -> Iterator[NDArray[Any]]:
    """The untouched images of all samples, some at a time."""
    step = max(_FITTED_BYTES // int(np.prod(feed.image_shape)), 1)
    for start in range(0, count, step):
        rows = np.arange(start, min(start + step, count))
        images = np.empty((len(rows), *feed.image_shape), feed.image_dtype)
        feed.fetch(rows, np.full(len(rows), ORIGINAL, np.int64), images)
        yield images
    feed.close()


@dataclass(frozen=True, slots=True)
class _Again:
    """Makes a shard again in memory from its sources."""

    dataset: StandingDataset
    source: object | None

    def __call__(self, entry: ShardEntry) -> tuple[NDArray[Any], Objects | None]:
        """(n, H, W, C) what the shard should hold, and the objects of these images.

        Raises:
            SourceError: the source cannot be found, or lacks images of the shard.
            ShardDamagedError: this machine makes other pixels than those that were stored.
        """
        manifest, spec = self.dataset.manifest, entry.spec
        population = self.dataset.population_of(spec.generation)
        rows = self.dataset.rows_of(spec)
        source = find_source(self.dataset.directory, self.source)
        traced = trace(source, population, rows, Crew())
        if traced.lost:
            raise ShardDamagedError(
                f"{entry.file} cannot be read, nor be made again: {traced.lost[0]} and "
                f"{len(traced.lost) - 1} more are not in the source; name it with source=",
                {"file": entry.file, "lost": traced.lost},
            )
        regenerator = Regenerator(
            source, self.dataset.pipeline, manifest.seed, manifest.value_range
        )
        all_rows = np.arange(spec.num_rows)
        pairings, lost = located(source, self.dataset.pairings(spec.generation, {spec.copy: rows}))
        if lost:
            raise ShardDamagedError(
                f"{entry.file} cannot be read, nor be made again: {lost[0]} and {len(lost) - 1} "
                "more that its images are mixed with are not in the source; name it with source=",
                {"file": entry.file, "lost": lost},
            )
        partners = regenerator.partner_images(pairings)
        prepared = regenerator.prepare(traced.rows, all_rows)
        images = regenerator.render(traced.rows, spec, prepared, all_rows, partners)
        objects = regenerator.objects(traced.rows, spec, prepared, all_rows)
        columns: dict[str, NDArray[Any]] = {
            "labels": traced.rows.labels,
            "sample_ids": traced.rows.ids,
            **drawn_columns(
                self.dataset.pipeline, manifest.seed, traced.rows, spec, pairings.get(spec.copy)
            ),
            **({} if objects is None else columns_of(objects)),
        }
        if content_sha256(spec, columns, block_digests(images.data)) != entry.reading_sha256:
            raise ShardDamagedError(
                f"{entry.file} cannot be read, and making it again on this machine gives other "
                "pixels than were stored (`materialize verify --deep` names the libraries that "
                "differ); restore the file",
                {"file": entry.file, "expected": entry.reading_sha256},
            )
        return images, objects


@dataclass(frozen=True, slots=True, eq=False)
class OpenDataset:
    """A complete dataset, and what loaders are made of."""

    standing: StandingDataset
    options: LoaderOptions = field(default_factory=LoaderOptions)

    @classmethod
    def open(
        cls,
        directory: str | Path,
        options: LoaderOptions = LoaderOptions(),
        *,
        pinned: str | None = None,
    ) -> "OpenDataset":
        """The dataset in a directory.

        Args:
            directory: the dataset.
            options: of the loaders.
            pinned: digest of the manifest to read instead of the newest.

        Raises:
            ManifestMissingError: there is none.
            ManifestError: the manifest or a population is damaged.
        """
        return cls(StandingDataset.open(Path(directory), pinned=pinned), options)

    def samples(self, split: str = "train") -> Samples:
        """The images of a split."""
        return split_samples(self.standing.populations, split)

    def fold(self, fold: int, *, folds: int, seed: int = 0) -> tuple[Samples, Samples]:
        """What one fold of the training part is trained on, and what is held out.

        Raises:
            ConfigError: there is no such fold, or images are mixed across these folds.
        """
        standing = self.standing
        dealt = standing.manifest.folds
        if standing.pipeline.is_mixing and dealt != (folds, seed):
            built = "as a whole" if dealt is None else f"within {dealt[0]} folds of seed {dealt[1]}"
            raise ConfigError(
                f"folds: expected those that {standing.directory} mixes its images within, got "
                f"{folds} of seed {seed}; its images are mixed {built}, so some that are held out "
                f"would be trained on. Build with --folds {folds} --fold-seed {seed}",
                {"name": "folds", "expected": dealt, "found": (folds, seed)},
            )
        is_dealt = dealt == (folds, seed)
        return fold_samples(standing.populations, fold, folds=folds, seed=seed, is_dealt=is_dealt)

    def mixing(self, samples: Samples) -> Mixing | None:
        """Whom some samples are mixed with; None where they are not.

        Raises:
            ConfigError: others would be mixed into the samples.
        """
        standing = self.standing
        return mixing_of(standing.pools, samples, standing.pipeline, standing.manifest.seed)

    def statistics(
        self, standardization: Standardization, samples: Samples | None = None
    ) -> Statistics | None:
        """What a standardisation needs to know of a training part; None if that is nothing.

        Fitted once, on the untouched images, and kept in the dataset: every arm and every model
        reads the same numbers.

        Args:
            standardization: what is done.
            samples: the training part, such as a fold's; all training images by default.

        Raises:
            ConfigError: the untouched images are not stored.
        """
        if not standardization.needs_statistics:
            return None
        trained = self.samples() if samples is None else samples
        feed = self.feed(trained, (ORIGINAL,))
        resize = self.standing.pipeline.resize
        return stored_statistics(
            self.standing.directory, standardization, lambda: _in_order(feed, len(trained)),
            samples=trained.digest, resize="" if resize is None else repr(resize),
        )  # fmt: skip

    def standardizer(
        self, standardization: Standardization | str, samples: Samples | None = None
    ) -> Standardizer:
        """Turns levels into numbers as they are read, with the `statistics` of a training part.

        Args:
            standardization: what is done, or its text: ``unit``, ``symmetric``, ``featurewise``,
                ``samplewise``, ``zca``, or two of them such as ``unit+featurewise``.
            samples: the training part; all training images by default.

        Raises:
            ConfigError: statistics are needed and the untouched images are not stored.
            ParameterError: another text.
        """
        wanted = standardization
        if isinstance(wanted, str):
            value_range = self.standing.manifest.value_range or (0.0, 255.0)
            wanted = standardization_from_text(wanted, value_range=value_range)
        standing = self.standing
        shape = copy_shape(standing.pipeline, standing.first_trained_population())
        return Standardizer(wanted, self.statistics(wanted, samples), shape)

    def with_source(self, source: object | None = None) -> tuple[Source, Population]:
        """The source and the dataset's images in it, for an `AugmentingLoader`.

        What the dataset does not have is not in the population: images that were removed, or that
        came to the source since.

        Args:
            source: where to look; where it was last seen by default.

        Raises:
            SourceError: the source cannot be found, or lacks images of the dataset.
        """
        directory = self.standing.directory
        opened, population = find_source(directory, source), joined(self.standing.populations)
        traced = trace(opened, population, np.arange(len(population)), Crew())
        if traced.lost:
            raise SourceError(
                f"{directory}: expected all of its images in the source: {traced.lost[0]}, and "
                f"{len(traced.lost) - 1} more are not there; name it with source=",
                {"path": str(directory), "missing": len(traced.lost)},
            )
        return opened, traced.rows

    def targets(
        self, samples: Samples, copies: Sequence[int], images: StoredFeed
    ) -> StoredTargets | None:
        """Reads the masks and objects of what a feed reads; None where nothing moves.

        Raises:
            ConfigError: as `feed`.
        """
        schema = self.standing.populations[-1].schema
        if not schema.moves:
            return None
        masks = self.feed(samples, copies, is_mask=True) if schema.mask_names else None
        return StoredTargets(images, masks, schema.objects)

    def feed(self, samples: Samples, copies: Sequence[int], *, is_mask: bool = False) -> StoredFeed:
        """Reads some copies of some samples, -1 for the untouched images, or their masks.

        Where classes are balanced, the copies that so numbered epochs show.

        Raises:
            ConfigError: a copy is not stored, or the samples are of another dataset.
        """
        manifest, directory = self.standing.manifest, self.standing.directory
        num_copies = self._num_copies(samples, copies)
        table = ShardTable.of(manifest, samples.split, copies, num_copies, is_mask=is_mask)
        there = self.samples(samples.split)
        by_place = np.empty_like(there.ids)
        by_place[there.places] = there.ids
        places = samples.places
        fits = not len(places) or int(places.max()) < len(by_place)
        if not fits or not np.array_equal(by_place[places], samples.ids):
            raise ConfigError(
                f"samples: expected some of the {len(there)} of split {samples.split!r} in "
                f"{directory}, got {len(samples)} of another dataset; take them from this one",
                {"expected": there.digest, "found": samples.digest},
            )
        again = _Again(self.standing, self.options.source)
        reading = Reading(
            verify=self.options.verify,
            make_again=again if self.options.on_damage == "regenerate" else None,
            cache_bytes=self.options.cache_bytes,
        )
        return StoredFeed(directory, table, samples, reading)

    def _num_copies(self, samples: Samples, copies: Sequence[int]) -> NDArray[np.int64] | None:
        """(places,) how many copies there are of each of a split's rows; None where all have all.

        Raises:
            ConfigError: of a class, no sample has a copy.
        """
        standing = self.standing
        parts = [
            population.rates.taken(np.array(population.split_rows("train")))
            for population in standing.populations
            if population.rates is not None
        ]
        if not parts or samples.split != "train":
            return None
        stored = np.concatenate([part.num_draws(standing.manifest.copies) for part in parts])
        if samples.rates is not None and max(copies, default=0) >= 0:
            most = np.full(len(samples.rates.periods), -1, np.int64)
            np.maximum.at(most, samples.rates.cells, stored[samples.places])
            if (most == 0).any():
                label = samples.labels[samples.rates.cells == int(np.argmax(most == 0))][0]
                raise ConfigError(
                    f"{standing.directory}: expected a stored copy of class "
                    f"{samples.class_names[label]!r} among these samples, found none: its epochs "
                    "show fewer images than it has; make more with `materialize extend --copies N`",
                    {"name": "balance", "found": 0},
                )
        return stored
