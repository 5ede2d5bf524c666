"""Everything that the page of a dataset says, gathered before anything is drawn.

The facts are the account of its bytes, its receipts, its manifest and the bill for it; the page,
the JSON and the CSV are three ways to write the same ones.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from materialize.accounting.account import StorageAccount, account_dataset
from materialize.accounting.bills import DatasetBill, bill_dataset
from materialize.accounting.focus import focus_rows
from materialize.accounting.invoices import Invoice
from materialize.accounting.prices import PriceBook
from materialize.audit.standing import StandingDataset
from materialize.environment import Environment
from materialize.plans import Plan, read_plan
from materialize.population import Population
from materialize.receipts import Receipt
from materialize.report.stored_copies import StoredCopies, stored_copies
from materialize.sources.base import SPLITS

_BINS = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildTimes:
    """What the receipts of the live shards say together."""

    num_shards: int
    """With a receipt."""
    num_images: int
    """Rows of these."""
    timings_s: dict[str, float]
    """Worker seconds by step, in the order of the work."""
    images_per_s: dict[str, float]
    """By step: rows ÷ worker seconds; without steps that took no time."""
    first_finished: str
    last_finished: str
    """UTC, ISO 8601."""
    environment: Environment
    """Of the newest receipt."""
    num_environments: int
    """How many different ones there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Histogram:
    """How many images lie in which interval of sizes."""

    edges: tuple[float, ...]
    """In bytes, one more than there are counts, equally far apart in powers of ten."""
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFacts:
    """A dataset as its page shows it."""

    dataset: StandingDataset
    account: StorageAccount
    plan: Plan
    build: BuildTimes | None
    """None where no receipt is left."""
    source_sizes: Histogram | None
    """Of the accepted images as they lie in the source."""
    book: PriceBook
    month: DatasetBill
    """One month."""
    bill: DatasetBill
    """As many months as were asked for, and one epoch."""
    copies: StoredCopies
    """Pictures; not in the JSON, which has numbers."""

    @property
    def populations(self) -> tuple[Population, ...]:
        """By generation."""
        return self.dataset.populations

    @property
    def name(self) -> str:
        """Of the directory."""
        return self.dataset.directory.resolve().name

    @property
    def images_by_split(self) -> dict[str, int]:
        """Of all generations."""
        entries = self.dataset.manifest.populations
        total = {split: sum(entry.counts.get(split, 0) for entry in entries) for split in SPLITS}
        return {split: number for split, number in total.items() if number}

    def to_json(self) -> dict[str, Any]:
        """Every number of the page, and what it was made from."""
        manifest = self.dataset.manifest
        facts = msgspec.to_builtins(manifest)
        return {
            "format": "materialize-dataset-report",
            "version": 1,
            "name": self.name,
            "manifest": {**{k: facts[k] for k in _MANIFEST_KEYS}, "digest": manifest.digest()},
            "images_by_split": self.images_by_split,
            "shards": [
                {"file": entry.file, "rows": entry.spec.num_rows, "bytes": entry.num_bytes,
                 "sha256": entry.file_sha256}
                for entry in manifest.shards
            ],
            "account": self.account.to_json(),
            "build": None if self.build is None else msgspec.to_builtins(self.build),
            "source_sizes": msgspec.to_builtins(self.source_sizes),
            "month": self.month.to_json(),
            "bill": self.bill.to_json(),
        }  # fmt: skip

    def focus(self) -> list[dict[str, str]]:
        """Every charge of the bill as a row under FOCUS' column names."""
        return [
            row
            for service in self.bill.services
            for part, found in (
                ("storage", service.storage),
                ("writing", service.writing),
                ("reading", service.reading),
            )
            for row in focus_rows(
                found,
                resource_id=self.bill.manifest_digest,
                tags={"part": part, "service": service.service},
            )
        ]


_MANIFEST_KEYS = ("number", "parent", "plan", "pipeline_fingerprint", "seed", "copies", "codec",
                  "class_names")  # fmt: skip


def gather_facts(
    directory: Path, book: PriceBook, services: Sequence[str] = (), months: Decimal = Decimal(12)
) -> DatasetFacts:
    """The facts of a dataset at this moment.

    Args:
        directory: of a complete dataset.
        book: of prices.
        services: names in it; all of them unless given.
        months: that the bill is for.

    Raises:
        ManifestMissingError: there is no dataset.
        ManifestError: the manifest or a population is damaged.
        ShardError: a shard that the gallery shows is missing or damaged.
        ConfigError: the book has no such service.
    """
    dataset = StandingDataset.open(directory)
    names = tuple(services) or None
    return DatasetFacts(
        dataset=dataset,
        account=account_dataset(directory),
        plan=read_plan(directory, dataset.manifest.number),
        build=_build_times(directory, [entry.file for entry in dataset.manifest.shards]),
        source_sizes=_histogram(p.source_bytes for p in dataset.populations),
        book=book,
        month=bill_dataset(directory, book, services=names),
        bill=bill_dataset(directory, book, services=names, months=months),
        copies=stored_copies(dataset),
    )


def _build_times(directory: Path, files: Iterable[str]) -> BuildTimes | None:
    found = (Receipt.read(directory, file) for file in files)
    receipts = [receipt for receipt in found if receipt is not None]
    if not receipts:
        return None
    seconds: Counter[str] = Counter()
    for receipt in receipts:
        seconds.update(receipt.timings_s)
    rows = sum(receipt.entry.spec.num_rows for receipt in receipts)
    newest = max(receipts, key=lambda receipt: receipt.finished_at)
    return BuildTimes(
        num_shards=len(receipts),
        num_images=rows,
        timings_s={step: seconds[step] for step in sorted(seconds, key=_order_of)},
        images_per_s={step: rows / spent for step, spent in seconds.items() if spent},
        first_finished=min(receipt.finished_at for receipt in receipts),
        last_finished=newest.finished_at,
        environment=newest.environment,
        num_environments=len({msgspec.json.encode(r.environment) for r in receipts}),
    )


_STEPS = ("decode", "draw", "assemble", "render", "encode", "digest", "write", "sha256")


def _order_of(step: str) -> tuple[int, str]:
    return (_STEPS.index(step) if step in _STEPS else len(_STEPS), step)


def _histogram(columns: Iterable[Any]) -> Histogram | None:
    """Of positive sizes; None where they are all equal, which a sentence says better."""
    sizes = np.concatenate(list(columns))
    sizes = sizes[sizes > 0]
    if len(sizes) == 0 or sizes.min() == sizes.max():
        return None
    edges = np.geomspace(sizes.min(), sizes.max(), _BINS + 1)
    counts, _ = np.histogram(np.log(sizes), np.log(edges))
    return Histogram(edges=tuple(edges.round(1).tolist()), counts=tuple(counts.tolist()))


def storage_cost(found: Invoice) -> Decimal | None:
    """What storing alone costs; None where a part of it has no price."""
    has_price = all(c.is_priced for c in found.charges if c.what.startswith("storage"))
    return found.cost_of("storage") if has_price else None
