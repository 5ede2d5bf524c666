"""A complete dataset as it stands: its manifest, its populations, and whose rows a shard has.

What verifies, repairs or explains starts here. Nothing is built and no source is needed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ManifestMissingError
from materialize.manifest import (
    Manifest,
    PopulationEntry,
    load_latest,
    manifest_name,
    shard_path,
)
from materialize.partners import Pairing, PartnerPools, pools_of
from materialize.planning import Task, checked_population, held_rows
from materialize.population.table import Population
from materialize.shards.layout import ShardEntry, ShardSpec
from pipelines import Pipeline
from pipelines.serialization import from_canonical_text

RunKey = tuple[int, str, int]
"""Generation, split and run: the shards of one run hold the same rows."""


@dataclass(frozen=True, eq=False)
class StandingDataset:
    """A dataset whose manifest and populations were read and checked."""

    directory: Path
    manifest: Manifest
    populations: tuple[Population, ...]
    """By generation, from the first."""
    pipeline: Pipeline

    @classmethod
    def open(cls, directory: Path, *, pinned: str | None = None) -> "StandingDataset":
        """The dataset in a directory.

        Args:
            directory: the dataset.
            pinned: digest of the manifest to read instead of the newest.

        Raises:
            ManifestMissingError: there is none, or the pinned one was superseded and collected.
            ManifestError: the manifest or a population is damaged.
        """
        manifest = load_latest(directory, pinned=pinned)
        _check_not_collected(directory, manifest)
        populations = tuple(
            checked_population(directory / entry.file, entry.digest)
            for entry in manifest.populations
        )
        return cls(
            directory,
            manifest,
            populations,
            from_canonical_text(manifest.pipeline),
        )

    def rows_of(self, spec: ShardSpec) -> NDArray[np.int64]:
        """(num_rows,) the rows of its generation's population that a shard holds, ascending."""
        population = self.population_of(spec.generation)
        entry = self.manifest.populations[spec.generation - 1]
        first = run_start(population, spec, entry)
        return held_rows(population, first, spec, self.manifest.copies)

    def run_of(self, entries: Iterable[ShardEntry]) -> NDArray[np.int64]:
        """The rows that any of a run's shards holds, ascending."""
        held = [self.rows_of(entry.spec) for entry in entries]
        return np.unique(np.concatenate(held))

    def pairings(
        self, generation: int, rows: Mapping[int, NDArray[np.int64]]
    ) -> dict[int, Pairing]:
        """Whom some images are mixed with, by copy; nothing where no step mixes.

        Args:
            generation: of the images.
            rows: by copy, rows of its population; untouched images and other splits are not mixed.
        """
        training = self.population_of(generation).split_rows("train")
        mixed = {
            copy: here for copy, here in rows.items()
            if copy >= 0 and len(here) and int(here[0]) in training
        }  # fmt: skip
        if self.pools is None or not mixed:
            return {}
        return self.pools.pairings(self.pipeline, self.manifest.seed, generation, mixed)

    @cached_property
    def pools(self) -> PartnerPools | None:
        """Whom training images are mixed with; None where no step mixes."""
        return pools_of(self.pipeline, self.manifest.populations, self.populations)

    def first_trained_population(self) -> Population:
        """That of the first generation with training images: removal may have emptied others."""
        trained = (p for p in self.populations if p.split_rows("train"))
        return next(trained, self.populations[0])

    def population_of(self, generation: int) -> Population:
        """The population of a generation, from 1."""
        return self.populations[generation - 1]


def run_key(spec: ShardSpec) -> RunKey:
    """Which run a shard belongs to."""
    return (spec.generation, spec.split, spec.run)


def by_run(entries: Iterable[ShardEntry]) -> dict[RunKey, list[ShardEntry]]:
    """Shards gathered by run, whose sources are then read once for all of its copies."""
    runs: dict[RunKey, list[ShardEntry]] = {}
    for entry in entries:
        runs.setdefault(run_key(entry.spec), []).append(entry)
    return runs


def run_start(population: Population, spec: ShardSpec, entry: PopulationEntry) -> int:
    """The row of its generation's population where a shard's run begins.

    Args:
        population: of the generation.
        spec: of the shard; its ``first_row`` is where the run began when it was cut.
        entry: what the manifest says of the population: the runs, where images were removed since.
    """
    first = population.split_rows(spec.split).start
    return first + entry.first_row_of(spec.split, spec.run, spec.first_row)


def task_of(first: int, num_rows: int, entries: Iterable[ShardEntry], copies: int) -> Task:
    """The task that writes these shards of one run again.

    Args:
        first: where the run begins in the population of its generation.
        num_rows: from there to the last row that any of the shards holds.
        entries: at least one.
        copies: of the dataset.
    """
    specs = tuple(entry.spec for entry in entries)
    return Task(first, num_rows, specs, specs[0].generation, copies)


def _check_not_collected(directory: Path, manifest: Manifest) -> None:
    """Says of a superseded manifest that its files are gone, before somebody misses one.

    Raises:
        ManifestMissingError: `materialize gc` took some of them.
    """
    if not (directory / manifest_name(manifest.number + 1)).exists():
        return
    shards = (shard_path(directory, entry.file) for entry in manifest.shards)
    populations = (directory / entry.file for entry in manifest.populations)
    missing = next((path for path in (*populations, *shards) if not path.exists()), None)
    if missing is not None:
        newest = load_latest(directory)
        raise ManifestMissingError(
            f"{directory}: manifest {manifest.number} ({manifest.digest()[:16]}) was superseded, "
            f"and `materialize gc` has collected its files, such as {missing.name}; read the "
            f"newest, which is manifest {newest.number} ({newest.digest()[:16]})",
            {"path": str(missing), "expected": manifest.digest(), "found": newest.digest()},
        )
