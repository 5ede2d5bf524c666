"""What can be read off populations and a manifest without opening a shard."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materialize.audit.standing import run_key
from materialize.manifest import Manifest
from materialize.population.table import Population
from materialize.shards.layout import IMAGE_DTYPES, ShardEntry

_EXAMPLES = 20


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Records that are not in the dataset, for one reason."""

    num_records: int
    num_bytes: int
    """In the source."""
    examples: tuple[str, ...]
    """Some of them, by their place in the source."""


def source_sizes(populations: Iterable[Population]) -> dict[str, int]:
    """``source_bytes`` and ``decoded_source_bytes`` of some populations."""
    source = decoded = 0
    for population in populations:
        pixels = population.heights.astype(np.int64) * population.widths
        itemsize = IMAGE_DTYPES[population.dtype].itemsize
        source += int(population.source_bytes.sum())
        decoded += int(pixels.sum()) * population.channels * itemsize
    return {"source_bytes": source, "decoded_source_bytes": decoded}


def logical_sizes(manifest: Manifest) -> dict[str, int]:
    """``logical_copies_bytes`` and ``logical_originals_bytes`` of a manifest's shards."""
    sizes = {"logical_copies_bytes": 0, "logical_originals_bytes": 0}
    for entry in manifest.shards:
        kind = "originals" if entry.spec.kind == "original" else "copies"
        sizes[f"logical_{kind}_bytes"] += entry.spec.images.num_bytes
    return sizes


def sum_entries(entries: Iterable[ShardEntry], key: Callable[[ShardEntry], str]) -> dict[str, int]:
    """Bytes of shards by what ``key`` says of each."""
    sums: Counter[str] = Counter()
    for entry in entries:
        sums[key(entry)] += entry.num_bytes
    return dict(sums)


def levels(sizes: NDArray[np.int64]) -> dict[str, int]:
    """The smallest sizes that half, 95 % and all of them do not exceed."""
    values, counts = np.unique(sizes, return_counts=True)
    return weighted_levels(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def weighted_levels(counts: dict[int, int]) -> dict[str, int]:
    """The same of sizes with their number, ascending."""
    if not counts:
        return {}
    sizes, reached = list(counts), np.cumsum(list(counts.values()))
    places = {"p50": (50, 100), "p95": (95, 100), "max": (100, 100)}
    return {
        name: sizes[int(np.searchsorted(reached * whole, int(reached[-1]) * part))]
        for name, (part, whole) in places.items()
    }


def last_shards_room(shards: Iterable[ShardEntry]) -> int:
    """What the last shards of generations and splits hold less than the longest there."""
    rows: dict[tuple[int, str], dict[int, int]] = {}
    row_bytes: Counter[tuple[int, str, int]] = Counter()
    for entry in shards:
        generation, split, run = run_key(entry.spec)
        runs = rows.setdefault((generation, split), {})
        runs[run] = max(runs.get(run, 0), entry.spec.num_rows)
        row_bytes[generation, split, run] += entry.spec.row_bytes
    return sum(
        (max(runs.values()) - runs[last]) * row_bytes[*place, last]
        for place, runs in rows.items()
        for last in [max(runs)]
    )


def left_out(populations: Iterable[Population]) -> dict[str, LeftOut]:
    """Quarantined records by reason."""
    found: dict[str, list[tuple[str, int]]] = {}
    for population in populations:
        for item in population.quarantined:
            found.setdefault(item.reason, []).append((item.locator, item.source_bytes))
    return {
        reason: LeftOut(
            len(items), sum(size for _, size in items), tuple(n for n, _ in items[:_EXAMPLES])
        )
        for reason, items in sorted(found.items())
    }


def conversions(populations: Iterable[Population]) -> dict[str, int]:
    """How many images were brought into form, and how."""
    total: Counter[str] = Counter()
    for population in populations:
        total.update(population.conversion_counts())
    return dict(total)
