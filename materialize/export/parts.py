"""From a dataset and options to the parts of an export, and where their pixels come from.

Pixels come from the shards. What is not stored is made of what is: copies of the stored originals,
and anything of the source, if it is still there.
"""

from dataclasses import replace

import numpy as np

from materialize.audit.tracing import trace
from materialize.errors import SourceError
from materialize.executor import Crew
from materialize.export.items import Part
from materialize.export.options import ALL, ORIGINALS, ExportOptions
from materialize.feasibility import copy_shape, original_shape, prepared_canvas
from materialize.loader.feeds import Feed, TargetFeed
from materialize.loader.mixing import Mixing
from materialize.loader.opening import OpenDataset
from materialize.loader.order import ORIGINAL
from materialize.loader.rendered import PreparedFromShards, PreparedFromSource, RenderedFeed
from materialize.loader.rendered_targets import RenderedTargets
from materialize.loader.samples import Samples
from materialize.planning import take_rows
from materialize.population import Population
from materialize.sources.base import SPLITS
from materialize.whereabouts import find_source


def parts_of(dataset: OpenDataset, options: ExportOptions, *, workers: int = 1) -> tuple[Part, ...]:
    """The parts of an export, in the order of `SPLITS`.

    Args:
        dataset: opened; its ``options.source`` is where images that are not stored are looked for.
        options: what is exported.
        workers: how many threads may look for the source's images.

    Raises:
        ConfigError: a copy is not there.
        SourceError: a split has no images, or images that are not stored cannot be made again.
    """
    populations = dataset.standing.populations
    there = [split for split in SPLITS if any(p.split_rows(split) for p in populations)]
    parts = []
    for split in options.splits or there:
        samples = dataset.samples(split)
        copies = _copies(dataset, split, options)
        mixing = dataset.mixing(samples) if set(copies) != {ORIGINAL} else None
        rows = take_rows(_joined(populations, split), samples.places)
        feed, targets = _feeds(dataset, samples, copies, rows, workers, mixing)
        parts.append(
            Part(
                samples=samples,
                copies=copies,
                feed=feed,
                locators=rows.locators,
                canvas=prepared_canvas(dataset.standing.pipeline, rows),
                pipeline=dataset.standing.pipeline,
                seed=dataset.standing.manifest.seed,
                mixing=mixing,
                targets=targets,
            )
        )
    return tuple(parts)


def _copies(dataset: OpenDataset, split: str, options: ExportOptions) -> tuple[int, ...]:
    """Which copies of a split: only training images have any."""
    if split != "train" or options.copies == ORIGINALS:
        return (ORIGINAL,)
    if options.copies == ALL:
        return tuple(range(dataset.standing.manifest.copies)) or (ORIGINAL,)
    return tuple(map(int, options.copies))


def _feeds(
    dataset: OpenDataset,
    samples: Samples,
    copies: tuple[int, ...],
    rows: Population,
    workers: int,
    mixing: Mixing | None,
) -> tuple[Feed, TargetFeed | None]:
    """What gives the pixels of some copies, and what moves with them."""
    manifest, pipeline = dataset.standing.manifest, dataset.standing.pipeline
    stored = {e.spec.copy for e in manifest.shards if e.spec.split == samples.split}
    drawn = [copy for copy in copies if copy != ORIGINAL]
    is_stored_whole = any(copy >= 0 for copy in stored)
    if set(copies) <= stored or (drawn and is_stored_whole and max(drawn) >= manifest.copies):
        stored_feed = dataset.feed(samples, copies)  # which says what is missing
        return stored_feed, dataset.targets(samples, copies, stored_feed)
    images: PreparedFromShards | PreparedFromSource
    if ORIGINAL in stored:
        originals = dataset.feed(samples, (ORIGINAL,))
        stored_targets = dataset.targets(samples, (ORIGINAL,), originals)
        images = PreparedFromShards(originals, stored_targets)
    else:
        images = _from_source(dataset, samples, rows, workers)
    here = replace(rows, splits=np.zeros_like(rows.splits))  # shapes are asked for by split
    shape = (
        copy_shape(pipeline, here) if drawn else original_shape(pipeline, here, range(len(here)))
    )
    feed = RenderedFeed(
        images, samples, pipeline, seed=manifest.seed, image_shape=shape,
        value_range=manifest.value_range, mixing=mixing,
    )  # fmt: skip
    targets = None
    if samples.schema.moves:
        targets = RenderedTargets.of(
            images, samples, pipeline, seed=manifest.seed, size=(shape[0], shape[1])
        )
    return feed, targets


def _from_source(
    dataset: OpenDataset, samples: Samples, rows: Population, workers: int
) -> PreparedFromSource:
    """The images, decoded from wherever the source has them now."""
    source = find_source(dataset.standing.directory, dataset.options.source)
    traced = trace(source, rows, np.arange(len(rows)), Crew(workers, "threading"))
    if traced.lost:
        raise SourceError(
            f"split {samples.split!r}: expected images that are not stored in the source, found "
            f"{len(traced.lost)} of {len(rows)} lost: {traced.lost[0]}; name the source with "
            "--source, or build with --originals",
            {"expected": len(rows), "lost": [str(lost) for lost in traced.lost[:20]]},
        )
    return PreparedFromSource(source, traced.rows, samples, dataset.standing.pipeline, keep=False)


def _joined(populations: tuple[Population, ...], split: str) -> Population:
    """The rows of a split over all generations, one after another, as `Samples.places` counts."""
    parts = []
    for population in populations:
        rows = population.split_rows(split)
        parts.append(take_rows(population, np.arange(rows.start, rows.stop)))
    return Population.concatenated(parts)
