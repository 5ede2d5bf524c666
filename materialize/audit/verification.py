"""Verifies a dataset at three depths; damage is reported, never raised.

    structure   the manifests follow from one another, plan, populations and receipts are there and
                theirs, every shard has its length and holds exactly the structure of its spec
    hashes      besides, every byte of every shard is the manifest's
    pixels      besides, draws are drawn again and rows are made again from their sources, and both
                are what is stored

The sources are found by content wherever they lie now. One that changed or is gone is named and is
no damage: the dataset still holds what was made of it.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from materialize.audit.damage import Damage, DamageKind, VerificationReport
from materialize.audit.parallel import unordered
from materialize.audit.regeneration import Regenerator
from materialize.audit.shard_inspection import Findings, Inspector, RunCheck
from materialize.audit.standing import RunKey, by_run, run_start
from materialize.audit.tracing import LostRecord, trace
from materialize.errors import ConfigError, ManifestError, ManifestMissingError
from materialize.executor import Crew
from materialize.manifest import Manifest, Totals, load_latest
from materialize.partners import NOBODY, PartnerPools, pools_of
from materialize.planning import checked_population, held_rows, take_rows
from materialize.plans import plan_name, read_plan
from materialize.population.table import Population
from materialize.progress import Progress
from materialize.shards.layout import ShardEntry
from materialize.sources.base import Source
from materialize.whereabouts import find_source
from pipelines.serialization import from_canonical_text

DEPTHS = ("structure", "hashes", "pixels")


def verify_dataset(
    directory: str | Path,
    *,
    depth: str = "hashes",
    rows: int | None = None,
    source: object | None = None,
    crew: Crew | None = None,
    progress: Progress | None = None,
) -> VerificationReport:
    """What is damaged in a dataset.

    Args:
        directory: the dataset.
        depth: ``structure``, ``hashes`` or ``pixels``; see the module.
        rows: for ``pixels``, how many rows to make again, spread evenly over the dataset and the
            same ones every time; all by default.
        source: for ``pixels``, where to look for the images; where they were last seen by default.
        crew: who checks; one worker by default.
        progress: called with the stage ``verify``.

    Raises:
        ConfigError: ``depth`` or ``rows`` is outside its set or interval.
        ManifestMissingError: there is no dataset.
        SourceError: for ``pixels``, there is no source to compare with.
    """
    started, place = time.monotonic(), Path(directory)
    _check_options(depth, rows)
    try:
        manifest = load_latest(place)
    except ManifestMissingError:
        raise
    except ManifestError as error:
        file = Path(str(error.facts.get("file", place))).name
        damage = Damage("manifest-damaged", file, str(error))
        spent = time.monotonic() - started
        return VerificationReport(place, depth, None, 0, 0, 0, 0, 0, (damage,), (), spent)
    opened = find_source(place, source) if depth == "pixels" else None
    verification = _Verification(place, manifest, depth, opened, crew or Crew())
    return verification.run(rows, started, progress)


@dataclass(frozen=True, slots=True)
class _Verification:
    """One verification of one manifest."""

    directory: Path
    manifest: Manifest
    depth: str
    source: Source | None
    crew: Crew

    def run(
        self, rows: int | None, started: float, progress: Progress | None
    ) -> VerificationReport:
        populations, damages = self._populations()
        damages = [*self._plan_damages(), *damages]
        regenerator = None
        if self.source is not None:
            pipeline = from_canonical_text(self.manifest.pipeline)
            regenerator = Regenerator(
                self.source, pipeline, self.manifest.seed, self.manifest.value_range
            )
        checks, lost = self._checks(populations, rows)
        inspector = Inspector(self.directory, self.depth != "structure", regenerator)
        findings, done, total = [], 0, Totals.of(self.manifest.shards).num_rows
        for found in unordered(inspector.inspect, checks, self.crew):
            findings.append(found)
            done += found.num_images
            if progress is not None:
                progress("verify", done, total)
        return self._report(findings, damages, lost, time.monotonic() - started)

    def _report(
        self,
        findings: Sequence[Findings],
        damages: Sequence[Damage],
        lost: Sequence[LostRecord],
        seconds: float,
    ) -> VerificationReport:
        found = [damage for one in findings for damage in one.damages]
        undecodable = {pair for one in findings for pair in one.undecodable}
        deviations = [deviation for one in findings for deviation in one.deviations]
        refused = [LostRecord("", place, "undecodable", why) for place, why in sorted(undecodable)]
        return VerificationReport(
            directory=self.directory,
            depth=self.depth,
            manifest_digest=self.manifest.digest(),
            num_shards=len(self.manifest.shards),
            num_bytes_hashed=sum(one.num_bytes_hashed for one in findings),
            num_draws_compared=sum(one.num_draws_compared for one in findings),
            num_rows_compared=sum(one.num_rows_compared for one in findings),
            num_rows_skipped=sum(one.num_rows_skipped for one in findings),
            # In the order of the files, which is not the order in which workers came back.
            damages=(*damages, *sorted(found, key=lambda damage: (damage.file, damage.kind))),
            lost=(*lost, *refused),
            seconds=seconds,
            deviations=tuple(sorted(deviations, key=lambda deviation: deviation.file)),
        )

    def _plan_damages(self) -> list[Damage]:
        name = plan_name(self.manifest.number)
        try:
            found = read_plan(self.directory, self.manifest.number).fingerprint()
        except ManifestMissingError:
            return [Damage("plan-missing", name, "expected a file, found none")]
        except ManifestError as error:
            return [Damage("plan-damaged", name, str(error))]
        if found != self.manifest.plan:
            detail = f"expected fingerprint {self.manifest.plan[:16]}, found {found[:16]}"
            return [Damage("plan-damaged", name, detail)]
        return []

    def _populations(self) -> tuple[dict[int, Population], list[Damage]]:
        """The populations that can be read, by generation, and what is wrong with the others."""
        populations, damages = {}, []
        for entry in self.manifest.populations:
            path = self.directory / entry.file
            try:
                populations[entry.generation] = checked_population(path, entry.digest)
            except ManifestError as error:
                there = path.exists()
                kind: DamageKind = "population-damaged" if there else "population-missing"
                detail = str(error.__cause__ or error) if there else "expected a file, found none"
                damages.append(Damage(kind, entry.file, detail))
        return populations, damages

    def _checks(
        self, populations: dict[int, Population], rows: int | None
    ) -> tuple[Iterator[RunCheck], list[LostRecord]]:
        """What is to be done run by run, with the sources found."""
        runs = by_run(self.manifest.shards)
        chosen = chosen_rows(self.manifest, rows) if self.source is not None else {}
        traced = dict(populations)
        lost: list[LostRecord] = []
        partners = self._partner_rows(populations, runs, chosen)
        for generation, population in populations.items():
            wanted = self._wanted_rows(population, runs, chosen, generation)
            wanted = np.union1d(wanted, partners.get(generation, wanted))
            if self.source is not None and len(wanted):
                found = trace(self.source, population, wanted, self.crew)
                index = population.source_index.copy()
                index[wanted] = found.rows.source_index
                traced[generation] = replace(population, source_index=index)
                lost += found.lost
        pools = self._pools(traced)
        checks = (
            self._check(traced.get(key[0]), entries, chosen, pools) for key, entries in runs.items()
        )
        return checks, lost

    def _check(
        self,
        population: Population | None,
        entries: Sequence[ShardEntry],
        chosen: dict[str, NDArray[np.int64]],
        pools: PartnerPools | None,
    ) -> RunCheck:
        """What is to be done about the shards of one run."""
        wanted = tuple(chosen.get(entry.file, np.empty(0, np.int64)) for entry in entries)
        if population is None:
            return RunCheck(tuple(entries), wanted, None)
        held = [self._held(population, entry) for entry in entries]
        rows = np.unique(np.concatenate(held))
        places = tuple(np.searchsorted(rows, here) for here in held)
        mixed = {
            e.spec.copy: r for e, r in zip(entries, held, strict=True) if e.spec.partners_digest
        }
        pairings = {}
        if pools is not None and mixed:
            pipeline, generation = (
                from_canonical_text(self.manifest.pipeline),
                entries[0].spec.generation,
            )
            pairings = pools.pairings(pipeline, self.manifest.seed, generation, mixed)
        return RunCheck(tuple(entries), wanted, take_rows(population, rows), places, pairings)

    def _held(self, population: Population, entry: ShardEntry) -> NDArray[np.int64]:
        """The rows of its generation's population that a shard holds."""
        there = self.manifest.populations[entry.spec.generation - 1]
        first = run_start(population, entry.spec, there)
        return held_rows(population, first, entry.spec, self.manifest.copies)

    def _pools(self, populations: dict[int, Population]) -> PartnerPools | None:
        """Whom images are mixed with; None where nobody is, or where that is not known."""
        if self.source is None or len(populations) < len(self.manifest.populations):
            return None
        pipeline = from_canonical_text(self.manifest.pipeline)
        everyone = [populations[entry.generation] for entry in self.manifest.populations]
        return pools_of(pipeline, self.manifest.populations, everyone)

    def _partner_rows(
        self,
        populations: dict[int, Population],
        runs: dict[RunKey, list[ShardEntry]],
        chosen: dict[str, NDArray[np.int64]],
    ) -> dict[int, NDArray[np.int64]]:
        """By generation, the rows that chosen rows are mixed with."""
        pools = self._pools(populations)
        if pools is None:
            return {}
        found = np.zeros(len(pools.population), bool)
        pipeline, seed = from_canonical_text(self.manifest.pipeline), self.manifest.seed
        for (generation, _, _), entries in runs.items():
            for entry in entries:
                if entry.spec.partners_digest:
                    held = self._held(populations[generation], entry)
                    rows = pools.rows_at(generation, held[chosen[entry.file]])
                    drawn = pools.pair(pipeline, seed, rows, entry.spec.copy).rows
                    found[drawn[drawn != NOBODY]] = True
        return pools.by_generation(found)

    def _wanted_rows(
        self,
        population: Population,
        runs: dict[RunKey, list[ShardEntry]],
        chosen: dict[str, NDArray[np.int64]],
        generation: int,
    ) -> NDArray[np.int64]:
        """The rows of a population that any shard needs to have made again.

        Without shards all are needed: a recipe is worth what its sources are.
        """
        if not self.manifest.shards:
            return np.arange(len(population))
        wanted = np.zeros(len(population), bool)
        for key, entries in runs.items():
            for entry in entries:
                if key[0] == generation and entry.file in chosen:
                    wanted[self._held(population, entry)[chosen[entry.file]]] = True
        return np.flatnonzero(wanted)


def chosen_rows(manifest: Manifest, rows: int | None) -> dict[str, NDArray[np.int64]]:
    """The rows to make again, by shard file.

    One row is taken from each of ``rows`` equal stretches of the dataset, at a place that the
    manifest's digest decides: the choice is the same every time, reaches every part, and has no
    period that could coincide with runs or copies.

    Args:
        manifest: whose rows, counted over its shards in order.
        rows: how many; None for all.
    """
    sizes = [entry.spec.num_rows for entry in manifest.shards]
    total = sum(sizes)
    if rows is None or rows >= total:
        places = np.arange(total)
    else:
        edges = np.arange(rows + 1) * total // rows
        noise = hashlib.shake_256(manifest.digest().encode()).digest(8 * rows)
        offsets = np.frombuffer(noise, "<u8") % np.diff(edges).astype(np.uint64)
        places = edges[:-1] + offsets.astype(np.int64)
    ends = np.cumsum(sizes, dtype=np.int64)
    cuts = np.split(places, np.searchsorted(places, ends[:-1]))
    pairs = zip(manifest.shards, cuts, ends - sizes, strict=bool(sizes))
    return {entry.file: cut - start for entry, cut, start in pairs}


def _check_options(depth: str, rows: int | None) -> None:
    if depth not in DEPTHS:
        raise ConfigError(
            f"depth: expected one of {list(DEPTHS)}, got {depth!r}",
            {"name": "depth", "expected": DEPTHS, "found": depth},
        )
    if rows is not None and rows < 1:
        raise ConfigError(
            f"rows: expected at least 1, or None for all, got {rows}",
            {"name": "rows", "expected": "at least 1", "found": rows},
        )
