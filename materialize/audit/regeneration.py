"""Makes stored rows again from their sources: the same calls as a build, a few rows at a time.

Verification compares what comes out with what is stored, and an explanation shows it. Nothing is
written here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.audit.tracing import LOST, LostRecord, trace
from materialize.executor import Crew
from materialize.job import columns_beside, decoded
from materialize.partner_images import PartnerImages
from materialize.partners import Pairing
from materialize.planning import take_rows
from materialize.population.table import Population
from materialize.room import PIXELS_AT_ONCE
from materialize.shards.codecs import as_read, find_codec
from materialize.shards.layout import ShardSpec
from materialize.shards.reader import ShardReader
from materialize.sources.base import Source
from materialize.targets import PreparedTargets, move_targets, prepare_targets
from pipelines import Pipeline
from pipelines.contract import Arena, Batch
from pipelines.objects import Objects
from pipelines.randomness import Words
from pipelines.user_code import user_code_of


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Sources of some rows of a run, decoded once for all of its copies."""

    rows: NDArray[np.int64]
    """(m,) ascending rows of the run."""
    images: Arena
    """Theirs."""
    targets: PreparedTargets | None = None
    """What moves with their pixels; None where nothing does."""

    def places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where some of the rows are among the images."""
        return np.searchsorted(self.rows, rows)

    def among(self, held: NDArray[np.int64]) -> "Prepared":
        """Those of one shard, numbered by its rows.

        Args:
            held: ascending rows of the run that the shard holds.
        """
        rows = np.flatnonzero(np.isin(held, self.rows))
        places = self.places(held[rows])
        targets = None if self.targets is None else self.targets.take(places)
        return Prepared(rows, self.images.take(places), targets)


def drawn_words(pipeline: Pipeline, seed: int, rows: Population, spec: ShardSpec) -> Words | None:
    """(n, words) of a shard's rows; None for originals."""
    return pipeline.draw(seed, rows.ids, spec.copy) if spec.kind == "copy" else None


def drawn_columns(
    pipeline: Pipeline, seed: int, rows: Population, spec: ShardSpec, pairing: Pairing | None
) -> dict[str, NDArray[Any]]:
    """What should stand beside the pixels of a shard, by dataset name; needs no source.

    Args:
        pipeline: of the dataset.
        seed: of the augmentation.
        rows: the shard's.
        spec: of the shard.
        pairing: whom they are mixed with; None where they are not.
    """
    words = drawn_words(pipeline, seed, rows, spec)
    return columns_beside(pipeline, spec, words, rows, pairing)


def located(
    source: Source, pairings: Mapping[int, Pairing]
) -> tuple[dict[int, Pairing], tuple[LostRecord, ...]]:
    """The same pairings with the places that partners have in a source, and who is not there.

    Args:
        source: where they are looked for.
        pairings: by copy, over one population.
    """
    found: dict[int, Pairing] = {}
    lost: tuple[LostRecord, ...] = ()
    for copy, pairing in pairings.items():
        if not found:
            everyone = np.arange(len(pairing.population))
            traced = trace(source, pairing.population, everyone, Crew())
            lost = traced.lost
        found[copy] = replace(pairing, population=traced.rows)
    return found, lost


@dataclass(frozen=True, slots=True)
class Regenerator:
    """What a copy is made from."""

    source: Source
    pipeline: Pipeline
    seed: int
    value_range: tuple[float, float] | None = None
    """For float32 images, the values that mean black and white."""

    def __post_init__(self) -> None:
        """Finds the code of others that the pipeline calls.

        Raises:
            UserCodeError: it is not there, is not what it was, or nobody allowed it.
        """
        for step in user_code_of(self.pipeline.steps):
            step.make_ready()

    def partner_images(self, pairings: Mapping[int, Pairing]) -> PartnerImages:
        """What images are mixed with.

        Args:
            pairings: by copy, over images as traced in the source, none of them lost.
        """
        prepare = partial(decoded, self.source, self.pipeline)
        return PartnerImages(pairings, self.pipeline, self.seed, prepare)

    def prepare(self, run: Population, rows: NDArray[np.int64]) -> Prepared:
        """Reads and decodes the sources of some rows.

        Args:
            run: the run's rows, as traced in the source.
            rows: (n,) ascending rows of the run; those whose source is lost are left out.

        Raises:
            RecordReadError: a record changed since it was traced, or cannot be read.
            UndecodableImageError: this machine's decoder refuses it, or decodes another size.
        """
        found = rows[run.source_index[rows] != LOST]
        if not len(found):
            empty = np.empty(0, np.int64)
            nothing = Arena(np.empty(0, run.dtype), empty, empty, empty, run.channels)
            return Prepared(found, nothing)
        there = take_rows(run, found)
        targets = prepare_targets(self.source, self.pipeline, there) if run.schema.moves else None
        return Prepared(found, decoded(self.source, self.pipeline, there), targets)

    def render(
        self,
        run: Population,
        spec: ShardSpec,
        prepared: Prepared,
        rows: NDArray[np.int64],
        partners: PartnerImages,
    ) -> Batch:
        """(n, H, W, C) what reading a shard's rows should give.

        A lossy codec takes part: its rows are encoded and decoded, as those of the shard were.

        Args:
            run: the run's rows.
            spec: of the shard.
            prepared: sources of at least ``rows``.
            rows: (n,) ascending rows of the run.
            partners: what the run is mixed with.
        """
        images = prepared.images.take(prepared.places(rows))
        out = np.empty((len(rows), *spec.image_shape), dtype=spec.images.dtype)
        words = drawn_words(self.pipeline, self.seed, take_rows(run, rows), spec)
        if spec.is_mask and prepared.targets is not None:
            targets = prepared.targets.take(prepared.places(rows))
            move_targets(self.pipeline, targets, words, masks=out)
        elif words is None:
            for place in range(len(rows)):
                out[place] = images.image(place)
        else:
            theirs, their_words = partners.fetch(spec.copy, rows)
            self.pipeline.augment(
                images, words, out, value_range=self.value_range, partners=theirs,
                partner_words=their_words,
            )  # fmt: skip
        return as_read(find_codec(spec.codec), out)

    def objects(
        self, run: Population, spec: ShardSpec, prepared: Prepared, rows: NDArray[np.int64]
    ) -> Objects | None:
        """What stands beside a shard's pixels of some rows; None where there are no objects.

        Args:
            run: the run's rows.
            spec: of the shard.
            prepared: sources of at least ``rows``.
            rows: (n,) ascending rows of the run.
        """
        if spec.objects is None or prepared.targets is None:
            return None
        words = drawn_words(self.pipeline, self.seed, take_rows(run, rows), spec)
        targets = prepared.targets.take(prepared.places(rows))
        return move_targets(self.pipeline, targets, words, kinds=spec.objects)

    def differing_objects(
        self,
        run: Population,
        reader: ShardReader,
        prepared: Prepared,
        rows: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """The rows whose stored objects are not what their annotations give; see `differing`."""
        expected = self.objects(run, reader.spec, prepared, rows)
        if expected is None or reader.objects is None:
            return np.empty(0, np.int64)
        return rows[expected.differing(reader.objects.take(rows))]

    def differing(
        self,
        run: Population,
        reader: ShardReader,
        prepared: Prepared,
        rows: NDArray[np.int64],
        partners: PartnerImages,
    ) -> NDArray[np.int64]:
        """The rows whose stored pixels are not what their sources give.

        Args:
            run: the run's rows.
            reader: the shard.
            prepared: sources of at least ``rows``.
            rows: (n,) ascending rows of the shard.
            partners: what the run is mixed with.

        Raises:
            ShardDamagedError: the stored bytes are not the manifest's.
        """
        bad = [np.empty(0, np.int64)]
        for batch in _batches(rows, reader.spec):
            expected = self.render(run, reader.spec, prepared, batch, partners)
            equal = (expected == stored_rows(reader, batch)).reshape(len(batch), -1).all(axis=1)
            bad.append(batch[~equal])
        return np.concatenate(bad)


def stored_rows(reader: ShardReader, rows: NDArray[np.int64]) -> Batch:
    """(n, H, W, C) stored pixels of ascending rows; whole runs are read at once."""
    first, stop = int(rows[0]), int(rows[-1]) + 1
    if stop - first == len(rows):
        return reader.rows(first, stop)
    return np.concatenate([reader.rows(row, row + 1) for row in rows.tolist()])


def _batches(rows: NDArray[np.int64], spec: ShardSpec) -> Iterator[NDArray[np.int64]]:
    height, width, _ = spec.image_shape
    size = max(PIXELS_AT_ONCE // (height * width), 1)
    return (rows[start : start + size] for start in range(0, len(rows), size))
