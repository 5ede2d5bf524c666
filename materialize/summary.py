"""What a build made, as numbers: images, shards, every kind of byte, and where the time went.

The bytes are the sums of `materialize.accounting`, those that need no shard opened; `materialize
storage` has the whole account.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from materialize.accounting.foresight import Foresight, read_foresight
from materialize.accounting.kinds import account_files
from materialize.accounting.measures import conversions, logical_sizes, source_sizes
from materialize.manifest import Manifest
from materialize.plans import read_plan
from materialize.population import ClassRate, Population, class_rates
from materialize.production import BuildReport
from materialize.sources.base import SPLITS


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
    """Manifests, plans, populations, receipts and whatever else is no shard."""
    allocated_bytes: int
    """What the file system has set aside for the dataset's files."""

    @property
    def stored_bytes(self) -> int:
        """All bytes of the dataset's files."""
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
    balance: tuple[ClassRate, ...]
    """How often an epoch shows each class; empty where every image is shown once."""
    conversions: dict[str, int]
    """How many images were brought into form, and how."""
    quarantined: dict[str, int]
    """How many records were left out, by reason."""
    quarantined_first: tuple[str, ...]
    """Some of them, by name."""
    copies: int
    num_images_written: int
    """Rows of all shards of the dataset but those of masks."""
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
    foresight: Foresight
    """What was expected before the first byte, against what came of it."""
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
    rows = sum(entry.spec.num_images for entry in shards)
    wrote_all = report.num_built == len(shards) and report.seconds > 0
    return BuildSummary(
        directory=report.directory,
        images_by_split={
            split: count
            for split in SPLITS
            if (count := sum(len(p.split_rows(split)) for p in populations))
        },
        images_by_class=_by_class(populations, manifest.class_names),
        balance=class_rates(
            populations,
            read_plan(report.directory, manifest.number).recipe.balance,
            manifest.copies,
        ),
        conversions=conversions(populations),
        quarantined=dict(Counter(item.reason for item in quarantined)),
        quarantined_first=tuple(f"{item.locator} ({item.reason})" for item in quarantined[:10]),
        copies=manifest.copies,
        num_images_written=rows,
        num_shards=len(shards),
        num_built=report.num_built,
        account=byte_account(report.directory, populations, manifest),
        seconds=report.seconds,
        images_per_s=rows / report.seconds if wrote_all else None,
        timings_s=dict(report.timings_s),
        manifest_number=manifest.number,
        manifest_digest=manifest.digest(),
        foresight=read_foresight(report.directory, manifest, manifest.totals.num_bytes),
        example_sample_id=_first_training_id(populations),
        warnings=report.warnings,
    )


def byte_account(
    directory: Path, populations: Iterable[Population], manifest: Manifest
) -> ByteAccount:
    """The sums of a complete dataset, without opening a shard.

    Raises:
        ShardMissingError: a shard is not there.
        AccountError: the sums do not agree with the manifest.
    """
    # A build that is run again after an extension ends with the manifest it began with.
    files = account_files(directory, manifest, may_be_older=True)
    logical = logical_sizes(manifest)
    return ByteAccount(
        source_bytes=source_sizes(populations)["source_bytes"],
        **logical,
        stored_pixels_bytes=files.kinds["pixels"],
        columns_bytes=files.kinds["columns"],
        container_bytes=files.kinds["container"],
        metadata_bytes=files.stored_bytes - files.shards_bytes,
        allocated_bytes=files.allocated_bytes,
    )


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


def _first_training_id(populations: tuple[Population, ...]) -> str:
    first = populations[0]
    return first.ids[0].tobytes().hex() if len(first) else ""
