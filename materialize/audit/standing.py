"""A complete dataset as it stands: its manifest, its populations, and whose rows a shard has.

What verifies, repairs or explains starts here. Nothing is built and no source is needed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from materialize.manifest import Manifest, load_latest
from materialize.planning import Task, checked_population
from materialize.population.table import Population
from materialize.shards.layout import ShardEntry, ShardSpec
from pipelines import Pipeline
from pipelines.serialization import from_canonical_text

RunKey = tuple[int, str, int]
"""Generation, split and run: the shards of one run hold the same rows."""


@dataclass(frozen=True, slots=True, eq=False)
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
            ManifestMissingError: there is none.
            ManifestError: the manifest or a population is damaged.
        """
        manifest = load_latest(directory, pinned=pinned)
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


def rows_in_population(population: Population, spec: ShardSpec) -> range:
    """The rows of its generation's population that a shard holds."""
    first = population.split_rows(spec.split).start + spec.first_row
    return range(first, first + spec.num_rows)


def task_of(population: Population, entries: Iterable[ShardEntry]) -> Task:
    """The task that writes these shards of one run again.

    Args:
        population: of their generation.
        entries: at least one.
    """
    specs = tuple(entry.spec for entry in entries)
    rows = rows_in_population(population, specs[0])
    return Task(rows.start, len(rows), specs, specs[0].generation)
