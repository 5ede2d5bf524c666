"""Rebuilds what is damaged, and nothing else, by the very steps that built it.

A shard is only ever replaced by the bytes that the manifest promises. Where rebuilding gives
others, because a library is of another version, the damaged file stays as it is and the report says
which versions differ: a shard of which some rows can be read is worth more than one that
contradicts its digest throughout.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from materialize.atomic import make_directory, sweep_temporaries
from materialize.audit.damage import REBUILDABLE, Damage, VerificationReport
from materialize.audit.population_recovery import recover_population
from materialize.audit.standing import by_run, run_start, task_of
from materialize.audit.tracing import LOST, LostRecord, trace
from materialize.audit.verification import verify_dataset
from materialize.environment import Environment, current_environment
from materialize.errors import ManifestError
from materialize.executor import Crew, execute
from materialize.feasibility import check_code
from materialize.job import Done, Workshop, standing_shard
from materialize.manifest import SHARDS_DIRECTORY, Manifest, load_latest
from materialize.partners import PartnerPools, pools_of, rows_needed
from materialize.planning import Task, checked_population, held_rows, shared_out
from materialize.population.table import Population
from materialize.progress import Progress
from materialize.receipts import RECEIPTS_DIRECTORY, Receipt
from materialize.shards.layout import ShardEntry
from materialize.sources.base import Source
from materialize.whereabouts import find_source
from pipelines import Pipeline
from pipelines.serialization import from_canonical_text


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A shard that comes out otherwise than the manifest says, and was therefore not replaced."""

    file: str
    expected: str
    """SHA-256 in the manifest."""
    found: str
    """SHA-256 of what was rebuilt here."""
    is_content_equal: bool
    """Whether the decoded arrays are the same, so that only their encoding differs."""
    environment: tuple[str, ...]
    """What differs from the environment in the shard's receipt, such as ``pillow 12.3 there, 12.4
    here``; empty if the receipt is lost or nothing that is recorded differs."""


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What was damaged, and what became of it."""

    directory: Path
    before: VerificationReport
    repaired: tuple[Damage, ...]
    left: tuple[Damage, ...]
    """What still is damaged; each says its remedy."""
    contradictions: tuple[Contradiction, ...]
    lost: tuple[LostRecord, ...]
    """Sources without which shards could not be rebuilt."""
    seconds: float

    @property
    def is_whole(self) -> bool:
        """Whether nothing is damaged any more."""
        return not self.left


def repair_dataset(
    directory: str | Path,
    *,
    source: object | None = None,
    crew: Crew | None = None,
    progress: Progress | None = None,
) -> RepairReport:
    """Rebuilds damaged and missing shards, receipts and populations.

    Args:
        directory: the dataset.
        source: where to look for the images, found by content; where they were last seen by
            default. Not needed if nothing is damaged.
        crew: who works; one worker by default.
        progress: called with the stages ``verify`` and ``repair``.

    Raises:
        ManifestMissingError: there is no dataset.
        ManifestError: the manifest is damaged: without it nobody knows what to rebuild.
        SourceError: the source is not there, or does not give a lost population any more.
        BuildFailedError: rebuilding failed for another reason; finished shards are kept.
    """
    started, place, crew = time.monotonic(), Path(directory), crew or Crew()
    manifest = load_latest(place)
    before = verify_dataset(place, depth="hashes", crew=crew, progress=progress)
    wanted = _rebuildable(before.damages)
    lost_populations = any(damage.kind.startswith("population-") for damage in before.damages)
    if not wanted and not lost_populations:
        spent = time.monotonic() - started
        return RepairReport(place, before, (), before.damages, (), (), spent)
    if wanted:
        check_code(from_canonical_text(manifest.pipeline))
    repair = _Repair(place, manifest, find_source(place, source), crew)
    populations = repair.populations()
    tasks, places, lost = repair.tasks(populations, wanted)
    if progress is not None:
        progress("repair", 0, len(wanted))
    done = repair.rebuild(tasks, places)
    if progress is not None:
        progress("repair", len(done), len(wanted))
    contradictions = tuple(
        _contradiction(place, shard.entry, manifest) for shard in done if not shard.is_stored
    )
    repaired = [damage for damage in before.damages if _is_repaired(place, damage)]
    left = tuple(damage for damage in before.damages if damage not in repaired)
    return RepairReport(
        place, before, tuple(repaired), left, contradictions, lost, time.monotonic() - started
    )


@dataclass(frozen=True, slots=True)
class _Repair:
    """One repair of one dataset."""

    directory: Path
    manifest: Manifest
    source: Source
    crew: Crew

    def populations(self) -> dict[int, Population]:
        """All populations, those that were lost made again."""
        sound: dict[int, Population] = {}
        damaged = []
        for entry in self.manifest.populations:
            try:
                population = checked_population(self.directory / entry.file, entry.digest)
                sound[entry.generation] = population
            except ManifestError:
                damaged.append(entry)
        for entry in damaged:
            before = sound.get(entry.generation - 1)
            sound[entry.generation] = recover_population(
                self.directory, self.manifest, entry, list(sound.values()), self.source,
                before=before.schema if before else None, crew=self.crew,
            )  # fmt: skip
        return sound

    def tasks(
        self, populations: dict[int, Population], wanted: Sequence[ShardEntry]
    ) -> tuple[list[Task], dict[int, Population], tuple[LostRecord, ...]]:
        """What can be rebuilt, the populations with their records' places now, and what is lost."""
        tasks: list[Task] = []
        for (generation, _, _), entries in by_run(wanted).items():
            there = self.manifest.populations[generation - 1]
            population, copies = populations[generation], self.manifest.copies
            first = run_start(population, entries[0].spec, there)
            held = [held_rows(population, first, entry.spec, copies) for entry in entries]
            stop = max(int(rows[-1]) for rows in held) + 1
            tasks.append(task_of(first, stop - first, entries, copies))
        lost: list[LostRecord] = []
        placed = dict(populations)
        is_lost = {g: np.zeros(len(population), bool) for g, population in populations.items()}
        for generation, needed in self._rows_needed(populations, tasks).items():
            population = populations[generation]
            traced = trace(self.source, population, needed, self.crew)
            lost += traced.lost
            index = population.source_index.copy()
            index[needed] = traced.rows.source_index
            placed[generation] = replace(population, source_index=index)
            is_lost[generation] = index == LOST
        whole = [
            task
            for task in tasks
            if not any(
                is_lost[generation][rows].any()
                for generation, rows in self._rows_needed(populations, [task]).items()
            )
        ]
        return whole, placed, tuple(lost)

    def _rows_needed(
        self, populations: dict[int, Population], tasks: Sequence[Task]
    ) -> dict[int, NDArray[np.int64]]:
        """By generation, the rows that shards are made of."""
        pools = self._pools(populations)
        everyone = [populations[entry.generation] for entry in self.manifest.populations]
        return rows_needed(pools, self._pipeline, self.manifest.seed, everyone, tasks)

    def _pools(self, populations: dict[int, Population]) -> PartnerPools | None:
        entries = self.manifest.populations
        everyone = [populations[entry.generation] for entry in entries]
        return pools_of(self._pipeline, entries, everyone)

    @property
    def _pipeline(self) -> Pipeline:
        return from_canonical_text(self.manifest.pipeline)

    def rebuild(self, tasks: Sequence[Task], populations: dict[int, Population]) -> list[Done]:
        """Writes the shards that come out as promised."""
        for name in ("", SHARDS_DIRECTORY, RECEIPTS_DIRECTORY):
            make_directory(self.directory / name)
            sweep_temporaries(self.directory / name)
        workshop = Workshop(
            self.directory,
            self.source,
            self._pipeline,
            self.manifest.seed,
            self.manifest.value_range,
            promised={entry.file: entry.file_sha256 for entry in self.manifest.shards},
        )
        grouped = shared_out(tasks, self.crew.workers)
        pools = self._pools(populations)
        return execute(workshop, grouped, populations.__getitem__, self.crew, pools)


def _rebuildable(damages: Sequence[Damage]) -> list[ShardEntry]:
    """The shards to build again, each once."""
    entries = {
        damage.entry.file: damage.entry
        for damage in damages
        if damage.entry is not None and damage.kind in REBUILDABLE
    }
    return list(entries.values())


def _is_repaired(directory: Path, damage: Damage) -> bool:
    """Whether what was damaged is now as the manifest says, by what is on disk."""
    if damage.kind.startswith("population-"):
        return True  # or recovering it would have raised
    if damage.entry is None or damage.kind not in REBUILDABLE:
        return False
    return standing_shard(directory, damage.entry.spec) == damage.entry


def _contradiction(directory: Path, rebuilt: ShardEntry, manifest: Manifest) -> Contradiction:
    promised = next(entry for entry in manifest.shards if entry.file == rebuilt.file)
    try:
        receipt = Receipt.read(directory, rebuilt.file)
    except ManifestError:
        receipt = None
    return Contradiction(
        file=rebuilt.file,
        expected=promised.file_sha256,
        found=rebuilt.file_sha256,
        is_content_equal=rebuilt.content_sha256 == promised.content_sha256,
        environment=_differences(receipt.environment, current_environment()) if receipt else (),
    )


def _differences(there: Environment, here: Environment) -> tuple[str, ...]:
    """What differs between two environments, packages first: they are the usual reason."""
    names = sorted({*there.packages, *here.packages})
    pairs = [(name, there.packages.get(name), here.packages.get(name)) for name in names]
    pairs += [
        (name.replace("_", " "), getattr(there, name), getattr(here, name))
        for name in ("python", "machine", "cpu_model", "platform")
    ]
    return tuple(f"{name} {old} there, {new} here" for name, old, new in pairs if old != new)
