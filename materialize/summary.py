"""What a build made, as numbers: images, shards, every kind of byte, and where the time went.

The account is exact: what the manifest says of its shards, and what the file system says of the
files. Bytes that are allocated are more than bytes that are stored where files do not fill their
last block, and fewer where the file system compresses.
"""

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from materialize.manifest import Manifest, shard_path
from materialize.population import Population
from materialize.production import BuildReport
from materialize.receipts import RECEIPTS_DIRECTORY
from materialize.shards.layout import ShardEntry
from materialize.sources.base import SPLITS
from materialize.whereabouts import SOURCE_FILE

_METADATA = (
    "manifest-*.json", "plan-*.json", "population-*.h5", SOURCE_FILE,
    f"{RECEIPTS_DIRECTORY}/*.json",
)  # fmt: skip
_BLOCK_BYTES = 512
"""POSIX counts allocated blocks in this unit, whatever the file system's own is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteAccount:
    """Where the bytes are."""

    source_bytes: int
    """What the accepted images occupy in the source."""
    logical_copies_bytes: int
    """The copies' pixels, decoded."""
    logical_originals_bytes: int
    """The stored originals' pixels, decoded."""
    stored_pixels_bytes: int
    """Pixels as they are in the shards."""
    columns_bytes: int
    """Ids, labels and parameters beside the pixels."""
    container_bytes: int
    """HDF5 structure and alignment."""
    metadata_bytes: int
    """Manifests, plans, populations and receipts."""
    allocated_bytes: int
    """What the file system has set aside for all files."""

    @property
    def stored_bytes(self) -> int:
        """All bytes of all files."""
        return (
            self.stored_pixels_bytes
            + self.columns_bytes
            + self.container_bytes
            + self.metadata_bytes
        )

    @property
    def amplification(self) -> float:
        """Stored bytes for each byte of the source."""
        return self.stored_bytes / max(self.source_bytes, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSummary:
    """What is said after a build; JSON-ready but for `directory`."""

    directory: Path
    images_by_split: dict[str, int]
    images_by_class: dict[str, dict[str, int]]
    """Class, then split."""
    conversions: dict[str, int]
    """How many images were brought into form, and how."""
    quarantined: dict[str, int]
    """How many records were left out, by reason."""
    quarantined_first: tuple[str, ...]
    """Some of them, by name."""
    copies: int
    num_images_written: int
    """Rows of all shards of the dataset."""
    num_shards: int
    num_built: int
    """Shards that this call wrote; the others stood already."""
    account: ByteAccount
    seconds: float
    images_per_s: float | None
    """None if this call did not write every shard, for then the time is not that of the images."""
    timings_s: dict[str, float]
    manifest_number: int
    manifest_digest: str
    example_sample_id: str
    """Of the first training image, to try `explain` with."""
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything, with the sums that the account derives."""
        facts = asdict(self) | {"directory": str(self.directory)}
        facts["account"] |= {
            "stored_bytes": self.account.stored_bytes,
            "amplification": round(self.account.amplification, 4),
        }
        return facts


def summarize(report: BuildReport, manifest: Manifest) -> BuildSummary:
    """The summary of a complete dataset.

    Args:
        report: of the call that completed it.
        manifest: of the dataset.
    """
    populations, shards = report.populations, manifest.shards
    quarantined = [item for p in populations for item in p.quarantined]
    rows = sum(entry.spec.num_rows for entry in shards)
    wrote_all = report.num_built == len(shards) and report.seconds > 0
    return BuildSummary(
        directory=report.directory,
        images_by_split={
            split: count
            for split in SPLITS
            if (count := sum(len(p.split_rows(split)) for p in populations))
        },
        images_by_class=_by_class(populations, manifest.class_names),
        conversions=_summed(p.conversion_counts() for p in populations),
        quarantined=dict(Counter(item.reason for item in quarantined)),
        quarantined_first=tuple(f"{item.locator} ({item.reason})" for item in quarantined[:10]),
        copies=manifest.copies,
        num_images_written=rows,
        num_shards=len(shards),
        num_built=report.num_built,
        account=account_of(report.directory, populations, shards),
        seconds=report.seconds,
        images_per_s=rows / report.seconds if wrote_all else None,
        timings_s=dict(report.timings_s),
        manifest_number=manifest.number,
        manifest_digest=manifest.digest(),
        example_sample_id=_first_training_id(populations),
        warnings=report.warnings,
    )


def account_of(
    directory: Path, populations: Iterable[Population], shards: Iterable[ShardEntry]
) -> ByteAccount:
    """Where the bytes of a complete dataset are."""
    entries = tuple(shards)
    shard_files = [shard_path(directory, entry.file) for entry in entries]
    in_shards = [path.stat() for path in shard_files]
    in_metadata = [path.stat() for pattern in _METADATA for path in directory.glob(pattern)]
    pixels = sum(entry.images_stored_bytes for entry in entries)
    container = sum(entry.container_bytes for entry in entries)
    return ByteAccount(
        source_bytes=sum(int(p.source_bytes.sum()) for p in populations),
        logical_copies_bytes=_pixels(e for e in entries if e.spec.kind == "copy"),
        logical_originals_bytes=_pixels(e for e in entries if e.spec.kind == "original"),
        stored_pixels_bytes=pixels,
        columns_bytes=sum(entry.num_bytes for entry in entries) - pixels - container,
        container_bytes=container,
        metadata_bytes=sum(stat.st_size for stat in in_metadata),
        allocated_bytes=sum(map(_allocated, in_shards + in_metadata)),
    )


def _allocated(stat: os.stat_result) -> int:
    """Bytes set aside for a file; its length where the system does not say (Windows)."""
    blocks: int | None = getattr(stat, "st_blocks", None)
    return stat.st_size if blocks is None else blocks * _BLOCK_BYTES


def _pixels(entries: Iterable[ShardEntry]) -> int:
    return sum(entry.spec.images.num_bytes for entry in entries)


def _by_class(
    populations: Iterable[Population], names: tuple[str, ...]
) -> dict[str, dict[str, int]]:
    """Images of each class by split; empty for an unlabelled dataset."""
    counts: dict[str, dict[str, int]] = {name: {} for name in names}
    for population in populations:
        for split in SPLITS:
            rows = population.split_rows(split)
            labels = population.labels[rows.start : rows.stop]
            if not rows or labels[0] < 0:
                continue
            for name, count in zip(names, np.bincount(labels, minlength=len(names)), strict=True):
                counts[name][split] = counts[name].get(split, 0) + int(count)
    return counts


def _summed(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)


def _first_training_id(populations: tuple[Population, ...]) -> str:
    first = populations[0]
    return first.ids[0].tobytes().hex() if len(first) else ""
