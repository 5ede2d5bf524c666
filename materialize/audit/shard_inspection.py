"""Checks the shards of one run, anywhere: what a worker of a verification does.

Every check looks only where the one before found nothing: a file that is not the manifest's is not
parsed, and what cannot be parsed is not compared with anything.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.audit.damage import Damage, DamageKind
from materialize.audit.regeneration import Prepared, Regenerator, drawn_columns
from materialize.audit.tracing import LOST
from materialize.errors import (
    ManifestError,
    MaterializeError,
    ShardDamagedError,
    ShardError,
    ShardMissingError,
    ShardUntrustedError,
)
from materialize.manifest import SHARDS_DIRECTORY, shard_path
from materialize.partner_images import PartnerImages
from materialize.partners import Pairing
from materialize.planning import take_rows
from materialize.population.identity import ID_BYTES
from materialize.population.table import Population
from materialize.receipts import RECEIPTS_DIRECTORY, Receipt, receipt_path
from materialize.shards.columns import fields_digest
from materialize.shards.digests import leaf_digests, leaf_ranges
from materialize.shards.layout import ShardEntry, rows_digest
from materialize.shards.mapping import map_file
from materialize.shards.reader import ShardReader
from pipelines.user_code import user_code_of


@dataclass(frozen=True, slots=True, eq=False)
class RunCheck:
    """The shards of one run and what to do with them."""

    entries: tuple[ShardEntry, ...]
    chosen: tuple[NDArray[np.int64], ...]
    """For each shard, the rows to regenerate, ascending."""
    run: Population | None
    """The run's rows, as traced in the source; None if the population is damaged."""
    held: tuple[NDArray[np.int64], ...] = ()
    """For each shard, which of the run's rows it holds; empty if the population is damaged."""
    pairings: Mapping[int, Pairing] = field(default_factory=dict)
    """By copy, whom its rows are mixed with, as traced in the source; empty where that is not
    known."""

    def rows_of(self, place: int) -> Population | None:
        """The rows that one of the shards holds."""
        if self.run is None or len(self.held[place]) == len(self.run):
            return self.run
        return take_rows(self.run, self.held[place])


@dataclass(slots=True)
class Findings:
    """What came of one run; counts as in `VerificationReport`."""

    num_images: int = 0
    """In all its shards: how far the verification got."""
    num_bytes_hashed: int = 0
    num_draws_compared: int = 0
    num_rows_compared: int = 0
    num_rows_skipped: int = 0
    damages: list[Damage] = field(default_factory=list)
    deviations: list[Damage] = field(default_factory=list)
    undecodable: list[tuple[str, str]] = field(default_factory=list)
    """Locator and reason of sources that were found and could not be decoded again."""


@dataclass(frozen=True, slots=True)
class Inspector:
    """What the checks of all runs share; picklable."""

    directory: Path
    hashes: bool
    """Whether to hash every byte, or only those that hold structure."""
    regenerator: Regenerator | None = None
    """Compares draws and pixels; None to leave that out."""

    def inspect(self, check: RunCheck) -> Findings:
        """Checks the shards of one run, copy by copy."""
        findings = Findings()
        prepared, partners = self._prepared(check, findings), self._partners(check)
        for place, (entry, chosen) in enumerate(zip(check.entries, check.chosen, strict=True)):
            findings.num_images += entry.spec.num_images
            rows = check.rows_of(place)
            sources = prepared
            if prepared is not None:
                sources = prepared.among(check.held[place])
            findings.damages += _receipt_damages(self.directory, entry)
            try:
                with ShardReader(shard_path(self.directory, entry.file), entry) as reader:
                    self._read(reader, findings)
                    pairing = check.pairings.get(entry.spec.copy)
                    compared = self._compare(
                        reader, rows, sources, (pairing, partners), chosen, findings
                    )
                    findings.damages += compared
            except (ShardError, OSError) as error:
                findings.damages.append(self._damage(entry, rows, error))
                findings.num_rows_skipped += len(chosen)
        return findings

    def _prepared(self, check: RunCheck, findings: Findings) -> Prepared | None:
        """The sources of all rows that any of the shards needs."""
        if self.regenerator is None or check.run is None:
            return None
        pairs = zip(check.held, check.chosen, strict=True)
        wanted = np.unique(np.concatenate([held[chosen] for held, chosen in pairs]))
        try:
            return self.regenerator.prepare(check.run, wanted)
        except MaterializeError as error:
            locator = str(error.facts.get("locator", f"one of {len(wanted)} images"))
            findings.undecodable.append((locator, str(error)))
            return None

    def _partners(self, check: RunCheck) -> PartnerImages | None:
        """What the rows are mixed with that any of the shards needs, if it is not lost."""
        if self.regenerator is None:
            return None
        found = {
            copy: pairing.without(pairing.population.source_index == LOST)
            for copy, pairing in check.pairings.items()
        }
        return self.regenerator.partner_images(found)

    def _read(self, reader: ShardReader, findings: Findings) -> None:
        """A shard by itself: its length, its bytes, its structure.

        Raises:
            ShardError: something is not as the manifest says.
        """
        if self.hashes:
            findings.num_bytes_hashed += reader.entry.num_bytes
            reader.verify()
        reader.objects  # noqa: B018  # whoever reads it has them checked
        found = rows_digest(reader.sample_ids, reader.labels, reader.class_names)
        if found != reader.spec.rows_digest:
            raise ShardUntrustedError(
                f"ids and labels: expected digest {reader.spec.rows_digest[:16]}, found "
                f"{found[:16]}",
                {"file": reader.entry.file},
            )
        fields = reader.spec.fields
        if fields is not None and fields_digest(reader.fields) != fields.digest:
            raise ShardUntrustedError(
                f"fields: expected digest {fields.digest[:16]}, found "
                f"{fields_digest(reader.fields)[:16]}",
                {"file": reader.entry.file},
            )

    def _compare(
        self,
        reader: ShardReader,
        run: Population | None,
        prepared: Prepared | None,
        mixed: tuple[Pairing | None, PartnerImages | None],
        chosen: NDArray[np.int64],
        findings: Findings,
    ) -> list[Damage]:
        """What of a sound shard is not what its sources give; ``run``: the rows it holds."""
        if self.regenerator is None:
            return []
        entry = reader.entry
        damages: list[Damage] = []
        pairing, partners = mixed
        is_unknown = bool(entry.spec.partners_digest) and pairing is None
        if run is None or prepared is None or partners is None or is_unknown:
            findings.num_rows_skipped += len(chosen)
            return []
        columns = drawn_columns(
            self.regenerator.pipeline, self.regenerator.seed, run, entry.spec, pairing
        )
        findings.num_draws_compared += entry.spec.num_rows if columns else 0
        damages += _other_columns(reader, run, columns)
        is_lost = run.source_index == LOST
        if pairing is not None:
            is_lost |= pairing.without(pairing.population.source_index == LOST).rows != pairing.rows
        there = chosen[~is_lost[chosen]]
        findings.num_rows_skipped += len(chosen) - len(there)
        try:
            rows = self.regenerator.differing(run, reader, prepared, there, partners)
        except ShardError:
            raise
        except MaterializeError as error:  # a partner's
            findings.undecodable.append((str(error.facts.get("locator", "")), str(error)))
            findings.num_rows_skipped += len(there)
            return damages
        findings.num_rows_compared += len(there)
        if len(rows):
            detail = f"{len(rows)} of {len(there)} regenerated rows have other pixels"
            inexact = [
                s.title for s in user_code_of(self.regenerator.pipeline.steps) if not s.exact
            ]
            if inexact:
                detail += f" here; {' and '.join(inexact)} promised them nowhere else"
            found = _shard_damage("pixels-differ", entry, run, rows, detail)
            (findings.deviations if inexact else damages).append(found)
        rows = self.regenerator.differing_objects(run, reader, prepared, there)
        if len(rows):
            detail = f"the objects of {len(rows)} of {len(there)} regenerated rows are others"
            damages.append(_shard_damage("objects-differ", entry, run, rows, detail))
        return damages

    def _damage(
        self, entry: ShardEntry, run: Population | None, error: ShardError | OSError
    ) -> Damage:
        """What an error of reading a shard says about it."""
        rows = np.arange(entry.spec.num_rows)
        kind: DamageKind = "shard-structure"
        detail = str(error)
        if isinstance(error, ShardMissingError):
            kind, detail = "shard-missing", "expected a file, found none"
        elif isinstance(error, ShardDamagedError) and error.facts["where"] == "its length":
            kind = "shard-length"
            detail = f"expected {error.facts['expected']} bytes, found {error.facts['found']}"
        elif isinstance(error, ShardDamagedError):
            kind = "shard-bytes"
            rows, detail = _damaged_rows(self.directory, entry)
        elif isinstance(error, OSError):
            kind = "shard-unreadable"
        return _shard_damage(kind, entry, run, rows, detail)


def _other_columns(
    reader: ShardReader, run: Population, columns: Mapping[str, NDArray[Any]]
) -> Iterator[Damage]:
    """What beside the pixels is not what it should be.

    Args:
        reader: a shard.
        run: the rows it holds.
        columns: what should stand there, by name.
    """
    for name, expected in columns.items():
        is_other = (reader.columns[name] != expected).reshape(len(expected), -1).any(axis=1)
        if is_other.any():
            detail = f"{name} are not those that pipeline, seed and sample id give"
            rows = np.flatnonzero(is_other)
            yield _shard_damage("draws-differ", reader.entry, run, rows, detail)


def _damaged_rows(directory: Path, entry: ShardEntry) -> tuple[NDArray[np.int64], str]:
    """All rows that damaged leaves touch, and the leaves in words."""
    data, _ = map_file(shard_path(directory, entry.file), entry)
    pixels = range(0)
    if entry.images_offset is not None:
        pixels = range(entry.images_offset, entry.images_offset + entry.images_stored_bytes)
    leaves = leaf_ranges(entry.num_bytes, pixels)
    found = leaf_digests(data.data, leaves)
    bad = [
        leaf
        for leaf, digest, expected in zip(leaves, found, entry.leaves, strict=True)
        if digest.hex() != expected
    ]
    first = f"bytes {bad[0].start} to {bad[0].stop - 1}" if bad else "its SHA-256"
    detail = f"{first} and {len(bad) - 1} more parts differ" if len(bad) > 1 else f"{first} differ"
    affected = np.zeros(entry.spec.num_rows, bool)
    for leaf in bad:
        if leaf.start in pixels:
            row_bytes = entry.spec.row_bytes
            begin, end = leaf.start - pixels.start, leaf.stop - pixels.start
            affected[begin // row_bytes : -(-end // row_bytes)] = True
        else:
            affected[:] = True  # headers or columns: every row depends on them
    return np.flatnonzero(affected | (not bad)), detail


def _shard_damage(
    kind: DamageKind,
    entry: ShardEntry,
    run: Population | None,
    rows: NDArray[np.int64],
    detail: str,
) -> Damage:
    ids = np.empty((0, ID_BYTES), np.uint8) if run is None else run.ids[rows]
    return Damage(kind, f"{SHARDS_DIRECTORY}/{entry.file}", detail, entry, rows, ids)


def _receipt_damages(directory: Path, entry: ShardEntry) -> list[Damage]:
    file = f"{RECEIPTS_DIRECTORY}/{receipt_path(directory, entry.file).name}"
    try:
        receipt = Receipt.read(directory, entry.file)
    except (ManifestError, OSError) as error:
        return [Damage("receipt-damaged", file, str(error), entry)]
    if receipt is None:
        return [Damage("receipt-missing", file, "expected a file, found none", entry)]
    if receipt.entry != entry:
        detail = "it describes another build of the shard than the manifest"
        return [Damage("receipt-damaged", file, detail, entry)]
    return []
