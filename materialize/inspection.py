"""Checks the shards of one run, anywhere: what a worker of a verification does.

Every step looks only where the step before found nothing: a file that is not the manifest's is not
parsed, and what cannot be parsed is not compared with anything.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from materialize.damage import Damage, DamageKind
from materialize.errors import (
    ManifestError,
    ShardDamagedError,
    ShardError,
    ShardMissingError,
)
from materialize.manifest import SHARDS_DIRECTORY, shard_path
from materialize.population_table import Population
from materialize.receipts import RECEIPTS_DIRECTORY, Receipt, receipt_path
from materialize.regeneration import Redrawn, Regenerator
from materialize.shards.digests import leaf_digests, leaf_ranges
from materialize.shards.layout import ShardEntry, rows_digest
from materialize.shards.mapping import map_file
from materialize.shards.reader import ShardReader
from materialize.standing import StandingDataset
from materialize.tracing import LostRecord

_NO_ROWS = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class RunCheck:
    """The shards of one run and what to do with them."""

    entries: tuple[ShardEntry, ...]
    chosen: tuple[NDArray[np.int64], ...]
    """For each shard, the rows to regenerate."""
    population: Population | None
    """The run's rows, as traced in the source; None if the population is damaged."""


@dataclass(slots=True)
class Findings:
    """What came of one run."""

    num_rows: int = 0
    """Rows of all its shards: how far the verification got."""
    num_bytes_hashed: int = 0
    num_draws_compared: int = 0
    num_rows_compared: int = 0
    num_rows_skipped: int = 0
    damages: list[Damage] = field(default_factory=list)
    lost: list[LostRecord] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Inspector:
    """What the checks of all runs share."""

    dataset: "DatasetPlace"
    hashes: bool
    """Whether to hash every byte, or only what holds structure."""
    regenerator: Regenerator | None
    """Compares draws and pixels; None to leave that out."""

    def inspect(self, run: RunCheck) -> Findings:
        """Checks the shards of one run, copy by copy."""
        findings = Findings()
        inspected = _RunInspection(self, run, findings)
        for entry, chosen in zip(run.entries, run.chosen, strict=True):
            findings.damages += inspected.receipt(entry)
            findings.damages += inspected.shard(entry, chosen)
            findings.num_rows += entry.spec.num_rows
        return findings
