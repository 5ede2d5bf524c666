"""Pixels made as they are asked for: copy e of an image, from the image itself.

These are the very calls of a build, so what epoch e shows on the fly is, byte for byte, what copy e
has on the disk.
"""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from materialize.canonical import sha256_hex
from materialize.errors import ConfigError
from materialize.job import decoded
from materialize.loader.feeds import Feed, Spent, TargetFeed
from materialize.loader.mixing import Mixing
from materialize.loader.order import ORIGINAL
from materialize.loader.samples import Samples
from materialize.planning import take_rows
from materialize.population.identity import rows_of
from materialize.population.table import Population
from materialize.room import PIXELS_AT_ONCE
from materialize.shared_images import SharedImages
from materialize.sources.base import Source
from materialize.targets import PreparedTargets, prepare_targets
from pipelines import Pipeline
from pipelines.contract import Arena, blank, view
from pipelines.kernels import SLACK_BYTES
from pipelines.transform import Canvas
from pipelines.user_code import naming_images, user_code_of


class Prepared(Protocol):
    """Images as they are before anything random happens to them."""

    @property
    def spent(self) -> Spent:
        """Processor time by kind of work."""

    @property
    def image_dtype(self) -> np.dtype[Any]:
        """uint8 or float32."""

    def begin_epoch(self) -> None:
        """Called before the first images of an epoch are asked for."""

    def end_epoch(self) -> None:
        """Called when nobody asks for images of the epoch any more."""

    def prepared(self, rows: NDArray[np.int64]) -> Arena:
        """The images of some rows of the samples, decoded and resized."""

    def close(self) -> None:
        """Let go of files."""


class PreparedFromSource:
    """Images decoded from the source each time, or once and kept.

    Args:
        source: that was scanned.
        population: what the scan gave.
        samples: whose rows are asked for; found in the population by id.
        pipeline: its resize is applied.
        keep: whether decoded images are kept, in memory or, beyond 512 MiB, in a mapped temporary
            file: what a trainer does that holds its arrays in memory.
        share: whether an image that was decoded is kept to the end of the epoch, where all of them
            fit a mapped temporary file of `SHARED_BYTES`: for epochs that ask for images more than
            once.
    """

    def __init__(
        self,
        source: Source,
        population: Population,
        samples: Samples,
        pipeline: Pipeline,
        *,
        keep: bool,
        share: bool = False,
    ) -> None:
        """Decode nothing yet, unless all is kept.

        Raises:
            ConfigError: a sample is not in the population.
        """
        self._source, self._pipeline = source, pipeline
        rows = rows_of(samples.ids, population.ids)
        if (rows < 0).any():
            raise ConfigError(
                f"samples: expected images of this source, found {int((rows < 0).sum())} of "
                f"{len(rows)} that are not in it; take samples and source of one dataset",
                {"expected": len(population), "found": int((rows < 0).sum())},
            )
        self._population = take_rows(population, rows)
        self.spent = Spent()
        self.image_dtype = np.dtype(population.dtype)
        self._kept = self._decoded(self._population) if keep else None
        self._shared = SharedImages.of(self._population, pipeline) if share else None
        moves = keep and population.schema.moves
        self._kept_targets = self._read_targets(self._population) if moves else None

    def begin_epoch(self) -> None:
        """Every epoch decodes its images anew."""
        if self._shared is not None:
            self._shared.forget()

    def end_epoch(self) -> None:
        """Nothing to stop."""

    def prepared(self, rows: NDArray[np.int64]) -> Arena:
        """The images of some rows of the samples, decoded and resized.

        Raises:
            RecordReadError: a record changed since the scan, or cannot be read.
        """
        if self._kept is not None:
            return self._kept.take(rows)
        if self._shared is not None:
            return self._shared.prepared(rows, lambda some: self._decoded_at(rows[some]))
        return self._decoded_at(rows)

    def targets(self, rows: NDArray[np.int64]) -> PreparedTargets:
        """The masks and objects of some rows of the samples, as they lie on the prepared images.

        Raises:
            RecordReadError: an annotation changed since the scan, or cannot be read.
        """
        if self._kept_targets is not None:
            return self._kept_targets.take(rows)
        return self._read_targets(take_rows(self._population, rows))

    def targets_digest(self) -> str | None:
        """SHA-256, in hex, of what was annotated; None where nothing moves."""
        columns = self._population.targets
        if columns is None or columns.digests is None:
            return None
        return sha256_hex(np.ascontiguousarray(columns.digests).data)

    def contents_digest(self) -> str:
        """SHA-256, in hex, of what the samples are made from, whatever their ids are."""
        return sha256_hex(np.ascontiguousarray(self._population.digests).data)

    def close(self) -> None:
        """Let go of what is kept."""
        self._kept = self._kept_targets = self._shared = None

    def _read_targets(self, rows: Population) -> PreparedTargets:
        with self.spent.on("read"):
            return prepare_targets(self._source, self._pipeline, rows)

    def _decoded_at(self, rows: NDArray[np.int64]) -> Arena:
        return self._decoded(take_rows(self._population, rows))

    def _decoded(self, rows: Population) -> Arena:
        with self.spent.on("read"):
            return decoded(self._source, self._pipeline, rows)


class PreparedFromShards:
    """Images read from the stored originals, which are decoded and resized already.

    Args:
        originals: a feed of copy -1.
        targets: of the masks and objects of these; None where nothing moves.
    """

    def __init__(self, originals: Feed, targets: TargetFeed | None = None) -> None:
        """Read nothing yet."""
        self._originals, self._targets = originals, targets
        self.spent = originals.spent
        self.image_dtype = originals.image_dtype

    def begin_epoch(self) -> None:
        """As the shards do."""
        self._originals.begin_epoch((ORIGINAL,))
        if self._targets is not None:
            self._targets.begin_epoch((ORIGINAL,))

    def end_epoch(self) -> None:
        """As the shards do."""
        self._originals.end_epoch()
        if self._targets is not None:
            self._targets.end_epoch()

    def prepared(self, rows: NDArray[np.int64]) -> Arena:
        """The images of some rows of the samples."""
        shape = self._originals.image_shape
        size = int(np.prod(shape))
        # The kernels may look at one more row behind the last image.
        room = np.zeros(len(rows) * size + shape[1] * shape[2] + SLACK_BYTES, self.image_dtype)
        images = room[: len(rows) * size].reshape(len(rows), *shape)
        self._originals.fetch(rows, np.full(len(rows), ORIGINAL, np.int64), images)
        arena = view(images)
        return Arena(room, arena.starts, arena.heights, arena.widths, arena.channels)

    def targets(self, rows: NDArray[np.int64]) -> PreparedTargets:
        """The masks and objects of some rows of the samples.

        Raises:
            ShardError: a shard is damaged or missing.
        """
        height, width, _ = self._originals.image_shape
        canvas = Canvas(np.full(len(rows), height), np.full(len(rows), width))
        if self._targets is None:
            return PreparedTargets(canvas, None, None)
        copies, shape = np.full(len(rows), ORIGINAL, np.int64), self._targets.mask_shape
        if shape is None:
            return PreparedTargets(canvas, self._targets.fetch(rows, copies, None), None)
        masks = blank(canvas.heights, canvas.widths, shape[2], np.dtype(np.uint8))
        flat: NDArray[Any] = masks.values[: len(rows) * int(np.prod(shape))]
        out = flat.reshape(len(rows), *shape)
        return PreparedTargets(canvas, self._targets.fetch(rows, copies, out), masks)

    def close(self) -> None:
        """Let go of the shards."""
        self._originals.close()
        if self._targets is not None:
            self._targets.close()


class RenderedFeed:
    """Draws and renders copies of some samples as they are asked for.

    Args:
        images: the samples before anything random.
        samples: whose rows are asked for.
        pipeline: what happens to each copy.
        seed: of the augmentation.
        image_shape: (H, W, C) of every copy.
        value_range: for float32 images, the values that mean black and white.
        mixing: whom the images are mixed with; None where they are not.
    """

    def __init__(  # a feed is made in one place
        self,
        images: Prepared,
        samples: Samples,
        pipeline: Pipeline,
        *,
        seed: int,
        image_shape: tuple[int, int, int],
        value_range: tuple[float, float] | None,
        mixing: Mixing | None = None,
    ) -> None:
        """Render nothing yet.

        Raises:
            UserCodeError: the pipeline calls code that is not there, or that nobody allowed.
        """
        for step in user_code_of(pipeline.steps):
            step.make_ready()
        self._images, self._samples, self._pipeline = images, samples, pipeline
        self._seed, self._value_range, self._mixing = seed, value_range, mixing
        self.image_shape, self.image_dtype = image_shape, images.image_dtype
        self.spent = images.spent

    def begin_epoch(
        self,
        copies: tuple[int, ...],  # noqa: ARG002  # every copy is made of the same images
    ) -> None:
        """Passes the word to what the images come from."""
        self._images.begin_epoch()

    def end_epoch(self) -> None:
        """Passes the word to what the images come from."""
        self._images.end_epoch()

    def fetch(self, rows: NDArray[np.int64], copies: NDArray[np.int64], out: NDArray[Any]) -> None:
        """Writes m images; see `Feed.fetch`."""
        height, width, _ = self.image_shape
        step = max(PIXELS_AT_ONCE // (height * width), 1)
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            images = self._images.prepared(rows[part])
            partners = self._partners(rows[part], copies[part])
            with self.spent.on("augment"):
                self._render(images, rows[part], copies[part], out[part], partners)

    def close(self) -> None:
        """Let go of what the images come from."""
        self._images.close()

    def _partners(
        self, rows: NDArray[np.int64], copies: NDArray[np.int64]
    ) -> tuple[Arena, NDArray[np.int64]] | None:
        """The images that some are mixed with, anybody's where they are not, and whose they are."""
        if self._mixing is None:
            return None
        partners = self._mixing.of(rows, copies).partners
        is_mixed = partners >= 0
        if not is_mixed.any():
            return None
        distinct, places = np.unique(partners[is_mixed], return_inverse=True)
        theirs = np.zeros(len(rows), np.int64)
        theirs[is_mixed] = places
        return self._images.prepared(distinct).take(theirs), distinct[theirs]

    def _render(
        self,
        images: Arena,
        rows: NDArray[np.int64],
        copies: NDArray[np.int64],
        out: NDArray[Any],
        partners: tuple[Arena, NDArray[np.int64]] | None,
    ) -> None:
        originals = np.flatnonzero(copies == ORIGINAL)
        for place in originals.tolist():
            out[place] = images.image(place)
        if len(originals) == len(rows):
            return
        if len(originals):
            drawn = np.flatnonzero(copies != ORIGINAL)
            made = np.empty((len(drawn), *out.shape[1:]), out.dtype)
            theirs = None if partners is None else (partners[0].take(drawn), partners[1][drawn])
            self._render(images.take(drawn), rows[drawn], copies[drawn], made, theirs)
            out[drawn] = made
            return
        words = self._pipeline.draw(self._seed, self._samples.ids[rows], copies)
        beside: dict[str, Any] = {}
        if partners is not None:
            drawn_for = self._samples.ids[partners[1]]
            beside["partners"] = partners[0]
            beside["partner_words"] = self._pipeline.draw(self._seed, drawn_for, copies)
        ids = self._samples.ids[rows]
        with naming_images(
            words, lambda row: f"sample {ids[row].tobytes().hex()}, copy {copies[row]}"
        ):
            self._pipeline.augment(images, words, out, value_range=self._value_range, **beside)
