"""Makes a lost population again from the source, and keeps it only if it is the one that was lost.

What was excluded at the time, and which images came later, is not written anywhere but in the
shards: their ids and class names say which of the source's images belong to a generation.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from materialize.atomic import write_file
from materialize.errors import ManifestError, ShardError, SourceError
from materialize.executor import Crew
from materialize.manifest import Manifest, PopulationEntry, shard_path
from materialize.partners import with_folds
from materialize.planning import population_identity, take_rows
from materialize.plans import Plan, read_plan
from materialize.population import Population, ScanOptions, balanced, scan
from materialize.population.identity import ID_BYTES, byte_order
from materialize.shards.reader import ShardReader
from materialize.sources.base import SPLITS, Source
from materialize.sources.targets import TargetSchema


def recover_population(
    directory: Path,
    manifest: Manifest,
    lost: PopulationEntry,
    others: list[Population],
    source: Source,
    *,
    before: TargetSchema | None = None,
    crew: Crew,
) -> Population:
    """Scans the source again and stores the population that was lost.

    Args:
        directory: the dataset.
        manifest: its newest.
        lost: what the manifest says of the population.
        others: the populations of other generations, as far as they can be read.
        source: where its images are.
        before: what the images of the generation before have besides their class.
        crew: who scans.

    Raises:
        SourceError: the source does not give that population any more.
    """
    class_names, stored = _remains(directory, manifest, lost)
    images = [entry.spec for entry in manifest.shards if not entry.spec.is_mask]
    channels = {p.channels for p in others} | {spec.image_shape[2] for spec in images}
    # Without shards or other generations only the images themselves say what they were brought to.
    color = "auto" if not channels else "grey" if channels == {1} else "rgb"
    plan = _plan(directory, manifest)
    removed, excluded = _left_out(plan, source)
    options = ScanOptions(color=color, allow_split_leaks=True, exclude=excluded)
    found = scan(
        source, options, known_classes=manifest.class_names,
        known_targets=before, n_jobs=crew.workers, backend=crew.backend,
    )  # fmt: skip
    found = _in_stored_splits(found, stored, lost)
    keep = found.labels < max(len(class_names), 1)
    for other in others:
        keep &= ~_among(found.ids, other.ids)
    for code, split in enumerate(SPLITS):
        known = stored.get(split)
        if known is not None and len(known) == lost.counts.get(split, 0):
            keep &= (found.splits != code) | _among(found.ids, known) | _among(found.ids, removed)
    rows = take_rows(found, np.flatnonzero(keep), found.quarantined)
    population = with_folds(replace(rows, class_names=class_names), manifest.folds)
    if plan is not None:  # ranks are those of all that the generation had when it came
        population = balanced(population, plan.recipe.balance, plan.recipe.balance_cap)
    left = np.flatnonzero(~_among(population.ids, removed))
    population = take_rows(population, left, found.quarantined)
    identity = population_identity(population)
    if identity != lost.digest:
        raise SourceError(
            f"{directory / lost.file}: expected population {lost.digest[:16]} of {lost.counts}, "
            f"scanning the source again gives {identity[:16]} of {len(population)} images: images "
            "changed, are gone or were labelled anew. Restore the file from a copy, or name the "
            "source as it was with --source",
            {"path": str(directory / lost.file), "expected": lost.digest, "found": identity},
        )
    write_file(directory / lost.file, population.to_bytes())
    return population


def _plan(directory: Path, manifest: Manifest) -> Plan | None:
    """The plan of the manifest; None where it cannot be read."""
    try:
        return read_plan(directory, manifest.number)
    except ManifestError:
        return None


def _left_out(plan: Plan | None, source: Source) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """(n, 16) removed ids, and excluded locators."""
    if plan is None:
        return np.empty((0, ID_BYTES), np.uint8), ()
    here = {source.record(index).locator for index in range(len(source))}
    removed = np.frombuffer(bytes.fromhex("".join(plan.removed)), np.uint8).reshape(-1, ID_BYTES)
    return removed, tuple(locator for locator in plan.excluded if locator in here)


def _remains(
    directory: Path, manifest: Manifest, lost: PopulationEntry
) -> tuple[tuple[str, ...], dict[str, NDArray[np.uint8]]]:
    """What sound shards tell of a generation: its class names, and by split the ids they hold."""
    class_names = manifest.class_names
    ids: dict[str, dict[int, NDArray[np.uint8]]] = {}
    for entry in manifest.shards:
        spec = entry.spec
        known = ids.setdefault(spec.split, {}).get(spec.run, ())
        if spec.generation != lost.generation or spec.num_rows <= len(known):
            continue
        try:
            with ShardReader(shard_path(directory, entry.file), entry) as reader:
                ids[spec.split][spec.run] = reader.sample_ids
                class_names = reader.class_names
        except (ShardError, OSError):
            continue  # another copy of the run may be sound
    return class_names, {
        split: np.concatenate(list(runs.values())) for split, runs in ids.items() if runs
    }


def _in_stored_splits(
    found: Population, stored: dict[str, NDArray[np.uint8]], lost: PopulationEntry
) -> Population:
    """The scan with the splits that shards name, where the source names none: it was divided."""
    wanted = [lost.counts.get(split, 0) for split in SPLITS]
    if found.splits.any() or not any(wanted[1:]):
        return found
    lacking = [c for c, split in enumerate(SPLITS) if len(stored.get(split, ())) < wanted[c]]
    # Who is in no shard can only be in the split that no shard stores; of two, nobody knows.
    splits = np.full(len(found), lacking[0] if lacking else 0, np.uint8)
    for code, split in enumerate(SPLITS):
        if split in stored:
            splits[_among(found.ids, stored[split])] = code
    order = byte_order(found.ids, splits)
    return take_rows(replace(found, splits=splits), order, found.quarantined)


def _among(ids: NDArray[np.uint8], known: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(n,) whether each id is one of the known."""
    here, there = (np.ascontiguousarray(a).view("V16")[:, 0] for a in (ids, known))
    return np.isin(here, there)
