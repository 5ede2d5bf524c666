"""What can be wrong with a dataset, as data: which file, which rows, and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from materialize.audit.tracing import LostRecord
from materialize.population.identity import ID_BYTES
from materialize.shards.layout import ShardEntry

DamageKind = Literal[
    "manifest-damaged", "plan-missing", "plan-damaged", "population-missing", "population-damaged",
    "shard-missing", "shard-unreadable", "shard-length", "shard-bytes", "shard-structure",
    "receipt-missing", "receipt-damaged", "draws-differ", "pixels-differ", "objects-differ",
]  # fmt: skip

_REBUILD = "run `materialize repair`: it rebuilds this shard alone"
_ELSEWHERE = (
    "the bytes are those of the manifest, so a repair would keep them: compare the receipt's "
    "library versions with the ones here, and verify with those of the receipt"
)
_PLAN = "run the first `materialize build` command again, which writes it; reading does not need it"

REMEDIES: dict[DamageKind, str] = {
    "manifest-damaged": "restore it from a copy; its digest is the parent in the next manifest",
    "plan-missing": _PLAN,
    "plan-damaged": f"delete it and {_PLAN}",
    "population-missing": "run `materialize repair`: it scans the source again",
    "population-damaged": "run `materialize repair`: it scans the source again",
    "shard-missing": _REBUILD,
    "shard-unreadable": "repair the storage or the permissions, then verify again",
    "shard-length": _REBUILD,
    "shard-bytes": _REBUILD,
    "shard-structure": "it was not written for this manifest: find out where both came from",
    "receipt-missing": "run `materialize repair`; reading does not need it",
    "receipt-damaged": "run `materialize repair`; reading does not need it",
    "draws-differ": _ELSEWHERE,
    "pixels-differ": _ELSEWHERE,
    "objects-differ": _ELSEWHERE,
}

REBUILDABLE = (
    "shard-missing", "shard-length", "shard-bytes", "receipt-missing", "receipt-damaged",
)  # fmt: skip
"""Damage that building the shard again removes."""

_UNREAD = ("plan-missing", "plan-damaged", "receipt-missing", "receipt-damaged")
"""Damage to files that no reader of the data opens."""


@dataclass(frozen=True, slots=True, eq=False)
class Damage:
    """One thing that is not as the manifest says."""

    kind: DamageKind
    file: str
    """Relative to the dataset."""
    detail: str
    """Where in the file, what was expected and what was found."""
    entry: ShardEntry | None = None
    """The shard it concerns; None for files of the whole dataset."""
    rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """(n,) the affected rows of the shard."""
    sample_ids: NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, ID_BYTES), np.uint8))
    """(n, 16) theirs; empty if the population is damaged too."""

    @property
    def copy(self) -> int | None:
        """The copy the shard holds, −1 for originals; None if this is not about a shard."""
        return self.entry.spec.copy if self.entry else None

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return REMEDIES[self.kind]

    def __str__(self) -> str:
        """One line that says all of it."""
        where = f" ({_spans(self.rows)} of copy {self.copy})" if len(self.rows) else ""
        return f"{self.kind}: {self.file}{where}: {self.detail}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class VerificationReport:
    """What was checked and what was found; damage is in here, never raised."""

    directory: Path
    depth: str
    manifest_digest: str | None
    """Pins the dataset; None if the manifest itself is damaged."""
    num_shards: int
    num_bytes_hashed: int
    num_draws_compared: int
    """Rows whose stored draws or parameters were compared with redrawn ones."""
    num_rows_compared: int
    """Rows whose pixels were compared with regenerated ones."""
    num_rows_skipped: int
    """Rows that were to be regenerated and could not: damaged, or their source is lost."""
    damages: tuple[Damage, ...]
    lost: tuple[LostRecord, ...]
    """Sources that changed or are gone: no damage to the dataset."""
    seconds: float
    deviations: tuple[Damage, ...] = ()
    """Rows that steps which are not declared exact make otherwise here than where they were stored:
    a difference of libraries or machines, and no damage."""

    @property
    def is_intact(self) -> bool:
        """Whether nothing at all is damaged."""
        return not self.damages

    @property
    def is_readable(self) -> bool:
        """Whether everything that readers open is as it was written, so far as was checked."""
        return all(damage.kind in _UNREAD for damage in self.damages)


def _spans(rows: NDArray[np.int64], shown: int = 3) -> str:
    """Ascending rows in words, such as ``rows 3–7, 12``."""
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    spans: Sequence[NDArray[np.int64]] = np.split(rows, breaks)
    parts = [str(s[0]) if len(s) == 1 else f"{s[0]}–{s[-1]}" for s in spans[:shown]]
    more = f" and {len(rows) - sum(map(len, spans[:shown]))} more" if len(spans) > shown else ""
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(parts)}{more}"
