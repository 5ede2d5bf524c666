"""The loader: an order, a feed, and threads in between.

    place of an epoch ──order──▶ (row, copy) ──feed──▶ pixels ──▶ batch

Every arm is this class with another feed. What is in a batch depends on the samples, the seed, the
epoch and the copies in use, and never on threads, prefetching, or where an earlier process stopped.
"""

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from materialize.canonical import sha256_hex
from materialize.errors import ConfigError
from materialize.loader.batches import Batch, Labels
from materialize.loader.buffers import BufferPool
from materialize.loader.epochs import Epochs
from materialize.loader.feeds import Feed, TargetFeed
from materialize.loader.mixing import Mixing
from materialize.loader.order import EpochOrder, OrderOptions, Visits
from materialize.loader.pace import Pace, Piece
from materialize.loader.prefetch import ahead
from materialize.loader.samples import Samples
from materialize.loader.starting import note_images
from materialize.recipe import whole_number
from pipelines.objects import Objects
from pipelines.standardizer import Standardizer

_SLAB_BYTES = 4 * 2**20
"""Pixels fetched per call: small batches share one, so that what a call costs is shared too."""


class Loader:
    """Batches of an epoch, in order, with constant memory.

    Iterating gives the rest of the current epoch and then moves on to the next one, so that
    ``for epoch in range(n): for batch in loader:`` trains n epochs, also after `load_state_dict`.
    Memory is used again when nobody holds a batch of it any more: a loop over large images that
    ends with ``del batch`` is faster for it, as the same memory stays in the processor's cache.

    Args:
        feed: where the pixels come from.
        samples: whose images.
        visits: which copies of them an epoch shows.
        batch_size: images of a batch, on each rank.
        order: how an epoch is put in order.
        pace: threads and ranks.
        source: JSON-ready, what decides the pixels: goes into `identity`.
        standardizer: turns levels into numbers as they are read, so that batches are float32; None
            hands out the levels, four times smaller, for a model that does so in its first layer.
        targets: where masks and objects come from; None where nothing moves with the pixels.
        mixing: whom the images are mixed with; None where they are not.
    """

    def __init__(  # noqa: PLR0913  # whoever makes one has all of these at hand
        self,
        feed: Feed,
        samples: Samples,
        visits: Visits,
        *,
        batch_size: int,
        order: OrderOptions,
        pace: Pace,
        source: dict[str, Any],
        standardizer: Standardizer | None = None,
        targets: TargetFeed | None = None,
        mixing: Mixing | None = None,
    ) -> None:
        """At the beginning of epoch 0."""
        self.batch_size = whole_number("batch_size", batch_size, 1, 2**31)
        self.samples, self.visits = samples, visits
        self.image_shape = feed.image_shape
        self.image_dtype = feed.image_dtype if standardizer is None else np.dtype(np.float32)
        self._feed, self._pace, self._source = feed, pace, source
        self._standardizer, self._mixing = standardizer, mixing
        row_bytes = int(np.prod(self.image_shape)) * self.image_dtype.itemsize
        self._batches_per_slab = max(_SLAB_BYTES // (row_bytes * self.batch_size), 1)
        shape = (self._batches_per_slab * self.batch_size, *self.image_shape)
        keep = pace.prefetch + pace.threads + 2
        self._pool = BufferPool(shape, self.image_dtype, keep=keep)
        self._targets = targets
        self.mask_shape = None if targets is None else targets.mask_shape
        self.object_kinds = None if targets is None else targets.kinds
        self._mask_pool = None
        if self.mask_shape is not None:
            self._mask_pool = BufferPool((shape[0], *self.mask_shape), np.dtype(np.uint8), keep)
        self._epochs = Epochs(samples, visits, order)
        self._epoch = self._place = 0
        self._entered = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __len__(self) -> int:
        """Batches of a whole epoch on this rank."""
        step = self.batch_size * self._pace.world_size
        whole, rest = divmod(self.num_places, step)
        return whole + sum(
            1 for _ in self._pace.pieces(self.batch_size, self.num_places, self.num_places - rest)
        )

    def __iter__(self) -> Iterator[Batch]:
        """The rest of the current epoch; then the loader stands at the next one."""
        epoch = self._epoch
        with closing(self.epoch(epoch, place=self._place)) as batches:  # type: ignore[type-var]
            for batch in batches:
                self._place = batch.stop
                handed = [batch]
                del batch  # memory is used again as soon as nobody holds it
                yield handed.pop()
        self._epoch, self._place = epoch + 1, 0

    @property
    def class_names(self) -> tuple[str, ...]:
        """In label order."""
        return self.samples.class_names

    @property
    def num_places(self) -> int:
        """Images that an epoch shows, over all ranks."""
        return self._epochs.num_places

    def epoch(self, number: int, *, first_batch: int = 0, place: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, without moving the loader: `state_dict` stays as it is.

        Args:
            number: of the epoch, from 0.
            first_batch: how many batches to leave out.
            place: instead, how many places of the epoch, over all ranks, are done already: where
                `Batch.stop` of the last batch was, whatever its size.

        Raises:
            ShardError: pixels cannot be read; see the feed.
        """
        number = whole_number("epoch", number, 0, 2**32 - 1)
        order = self.order(number)
        place += first_batch * self.batch_size * self._pace.world_size
        pieces = self._pace.pieces(self.batch_size, len(order), min(place, len(order)))
        self._entered = number
        self._begin(order.copies)
        size = self._batches_per_slab
        groups = iter(lambda: tuple(islice(pieces, size)), ())
        calls = (partial(self._slab, number, order, group) for group in groups)
        slabs = ahead(calls, threads=self._pace.threads, ahead=self._pace.prefetch)
        try:
            with closing(slabs):  # type: ignore[type-var]
                for slab in slabs:
                    slab.reverse()
                    while slab:
                        yield slab.pop()  # held by the receiver alone from here on
        finally:
            self._feed.end_epoch()
            if self._targets is not None:
                self._targets.end_epoch()

    def enter_epoch(self, number: int) -> None:
        """Tells the feed that an epoch begins, for who asks for single batches or images.

        With ``verify="always"`` each epoch checks what it reads anew. `epoch` and `batch` do this
        by themselves.

        Args:
            number: of the epoch; entering the one that was entered last does nothing.
        """
        if number != self._entered:
            self._entered = number
            self._begin(self.order(number).copies)

    def _begin(self, copies: tuple[int, ...]) -> None:
        self._feed.begin_epoch(copies)
        if self._targets is not None:
            self._targets.begin_epoch(copies)

    def batch(self, epoch: int, index: int) -> Batch:
        """One batch by itself, fetched in this thread.

        Args:
            epoch: from 0.
            index: of the batch, in [0, len(self)).

        Raises:
            IndexError: the epoch has no such batch.
            ShardError: pixels cannot be read; see the feed.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index}: expected a number in [0, {len(self)})")
        order = self.order(whole_number("epoch", epoch, 0, 2**32 - 1))
        self.enter_epoch(epoch)
        pieces = self._pace.pieces(
            self.batch_size, len(order), index * self.batch_size * self._pace.world_size
        )
        return self._slab(epoch, order, (next(pieces),))[0]

    def images(self, rows: NDArray[np.int64], copies: NDArray[np.int64]) -> NDArray[Any]:
        """Images by row and copy, whatever the order.

        Args:
            rows: (m,) rows of `samples`, in [0, len(samples)).
            copies: (m,) which copy of each; -1 for the untouched image.

        Returns:
            (m, H, W, C) a new array.

        Raises:
            IndexError: there is no such row, or this loader has no such copy.
            ShardError: pixels cannot be read; see the feed.
        """
        if len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < len(self.samples):
            raise IndexError(f"rows: expected numbers in [0, {len(self.samples)})")
        images = np.empty((len(rows), *self.image_shape), self.image_dtype)
        self._fetch(rows, copies, images)
        note_images()
        return images

    def targets(
        self, rows: NDArray[np.int64], copies: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8] | None, Objects | None]:
        """Masks and objects by row and copy, as `images`.

        Args:
            rows: (m,) rows of `samples`, in [0, len(samples)).
            copies: (m,) which copy of each; -1 for the untouched image.

        Returns:
            (m, *mask_shape) a new array, and the objects of m images; None what there is not.

        Raises:
            ShardError: they cannot be read; see the feed.
        """
        if self._targets is None:
            return None, None
        masks = None
        if self.mask_shape is not None:
            masks = np.empty((len(rows), *self.mask_shape), np.uint8)
        return masks, self._targets.fetch(rows, copies, masks)

    def order(self, epoch: int) -> EpochOrder:
        """What stands where in an epoch, from 0."""
        return self._epochs.order(epoch)

    @property
    def is_mixing(self) -> bool:
        """Whether images have soft labels."""
        return self._mixing is not None

    def labels(self, rows: NDArray[np.int64], copies: NDArray[np.int64]) -> Labels:
        """Labels by row and copy: of mixed images also their partners', and the shares.

        Args:
            rows: (m,) rows of `samples`.
            copies: (m,) which copy of each; -1 for the untouched image.
        """
        own = self.samples.labels[rows]
        if self._mixing is None:
            return Labels(own)
        with self._feed.spent.on("augment"):
            mixed = self._mixing.of(rows, copies)
        return Labels(own, mixed.labels, mixed.weights)

    def warm_up(self, epoch: int = 0) -> None:
        """Does what a process does once, such as loading compiled code, and hands nothing out.

        Args:
            epoch: whose first image is fetched for it.

        Raises:
            ShardError: pixels cannot be read; see the feed.
        """
        for _ in range(2):  # the first images of a process are made without compiled code
            rows, copies = self.order(epoch).at(0, min(self.num_places, 1))
            self.images(rows, copies)
            self.targets(rows, copies)

    @property
    def is_even(self) -> bool:
        """Whether every batch has `batch_size` images."""
        step = self.batch_size * self._pace.world_size
        return self._pace.drop_remainder or self.num_places % step == 0

    def state_dict(self) -> dict[str, Any]:
        """JSON-ready: where the loader stands; batches handed out count as done."""
        return {"epoch": self._epoch, "place": self._place, **self._epochs.identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where another loader stood, maybe with other batches, threads or ranks.

        Args:
            state: from `state_dict` of any rank.

        Raises:
            ConfigError: that loader had other samples or another order.
        """
        expected = {"balance": None, **self._epochs.identity()}
        differing = [key for key, value in expected.items() if state.get(key) != value]
        if differing:
            key = differing[0]
            raise ConfigError(
                f"state: expected {key} {expected[key]}, got {state.get(key)}; it is the state of "
                "another run: give this loader the same samples, seed, shuffle and copies",
                {"name": key, "expected": expected[key], "found": state.get(key)},
            )
        self._epoch = whole_number("epoch", state.get("epoch"), 0, 2**32 - 1)
        self._place = whole_number("place", state.get("place"), 0, self.num_places)

    def identity(self) -> dict[str, Any]:
        """JSON-ready: everything that decides the batches."""
        ranks = {"rank": self._pace.rank, "world_size": self._pace.world_size}
        remainder = {"drop_remainder": self._pace.drop_remainder}
        weight = self.samples.schema.weight
        weighted = {}
        if weight is not None:
            values = np.ascontiguousarray(self.samples.fields[weight], "<f4")
            weighted = {"sample_weights": sha256_hex(values.data)}
        return weighted | {
            "batch_size": self.batch_size, **self._epochs.identity(), **ranks, **remainder,
            "source": self._source,
            "labels": sha256_hex(np.ascontiguousarray(self.samples.labels, "<i4").data),
            "class_names": list(self.class_names),
            "standardizer": None if self._standardizer is None else self._standardizer.identity(),
        }  # fmt: skip

    def spent(self) -> dict[str, float]:
        """Seconds of processor time so far, over all threads: ``read`` and ``augment``."""
        return self._feed.spent.seconds()

    def close(self) -> None:
        """Lets go of files; batches that were handed out stay good."""
        self._feed.close()
        if self._targets is not None:
            self._targets.close()

    def _slab(self, epoch: int, order: EpochOrder, pieces: tuple[Piece, ...]) -> list[Batch]:
        """Some batches, fetched by one call into one piece of memory."""
        if self._pace.world_size == 1:  # neighbours all: one call
            rows, copies = order.at(pieces[0].start, pieces[-1].stop)
        else:
            parts = [order.at(piece.start, piece.stop) for piece in pieces]
            rows, copies = (np.concatenate(column) for column in zip(*parts, strict=True))
        images = self._pool.take()[: len(rows)]
        self._fetch(rows, copies, images)
        masks, objects = None, None
        if self._targets is not None:
            masks = None if self._mask_pool is None else self._mask_pool.take()[: len(rows)]
            objects = self._targets.fetch(rows, copies, masks)
        note_images()
        labels = self.labels(rows, copies)
        fields = {name: values[rows] for name, values in self.samples.fields.items()}
        batches, begin = [], 0
        for piece in pieces:
            end = begin + piece.stop - piece.start
            here = slice(begin, end)
            part = labels.part(here)
            batches.append(
                Batch(images[here], part.labels, rows[here], copies[here], epoch, piece.index,
                      piece.global_stop, masks=None if masks is None else masks[here],
                      objects=None if objects is None else objects.part(begin, end),
                      fields={name: values[here] for name, values in fields.items()},
                      partner_labels=part.partner_labels, label_weights=part.label_weights)
            )  # fmt: skip
            begin = end
        return batches

    def _fetch(
        self, rows: NDArray[np.int64], copies: NDArray[np.int64], images: NDArray[Any]
    ) -> None:
        """Writes (m, H, W, C) images as levels, or as numbers."""
        if self._standardizer is None:
            self._feed.fetch(rows, copies, images)
        else:
            levels = np.empty(images.shape, self._feed.image_dtype)
            self._feed.fetch(rows, copies, levels)
            with self._feed.spent.on("read"):
                self._standardizer.apply(levels, images)
