"""An endless iterator over batches whose pixels depend on the sample and the epoch alone.

Keras' iterators draw while they run, so that pixels depend on what was drawn before. Here a batch
is a function of (seed, epoch, number): asked for twice, by several workers or in another order, it
is the same. What moves is the epoch: ``next`` begins a new one after the last batch, and
``on_epoch_end`` begins one for whoever asks by number, as ``fit`` does.
"""

import hashlib
import secrets
import threading
from collections import Counter
from collections.abc import Generator
from contextvars import ContextVar
from operator import index
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipelines.randomness import counters, draw_words, step_keys

Indices = NDArray[np.int64]
_SHOWN_EPOCH: ContextVar[int | None] = ContextVar("shown_epoch", default=None)
"""The epoch of the batch that this thread is making: `_get_batches_of_transformed_samples` has
Keras' signature, and ``self.epoch`` may already have moved on."""
_FRESH_SEED_BITS = 32
_JOINED: dict[Any, Any] = {}
"""The class that is also a PyDataset, by its plain form: made once, as pickling and `type` need."""


class Iterator:
    """Batches by number, and one after another without end.

    An instance is also a ``keras.utils.PyDataset`` where Keras is installed: the class that joins
    the two is made when the first instance is, so that nothing here imports Keras before.

    Args:
        n: samples.
        batch_size: samples of a batch; the last one of an epoch may have fewer.
        shuffle: whether every epoch has an order of its own.
        seed: in [0, 2**64); None draws one, which the attribute ``seed`` then names.
        workers: see ``keras.utils.PyDataset``.
        use_multiprocessing: likewise.
        max_queue_size: likewise.
    """

    white_list_formats = ("png", "jpg", "jpeg", "bmp", "ppm", "tif", "tiff")

    def __new__(cls, *_args: Any, **_options: Any) -> Self:
        """An instance of the class that is also a PyDataset."""
        made: Self = object.__new__(_joined(cls))
        return made

    def __init__(
        self,
        n: int,
        batch_size: int,
        shuffle: bool,
        seed: int | None,
        *,
        workers: int = 1,
        use_multiprocessing: bool = False,
        max_queue_size: int = 10,
    ) -> None:
        """At the beginning of epoch 0."""
        self._workers, self._is_begun = workers, True
        self.use_multiprocessing, self.max_queue_size = use_multiprocessing, max_queue_size
        self.n = n
        self.batch_size = batch_size
        self.seed = secrets.randbits(_FRESH_SEED_BITS) if seed is None else index(seed)
        step_keys(self.seed, "order", 1)  # refuses a seed outside its interval
        self.shuffle = shuffle
        self.epoch = 0
        self.batch_index = 0
        self.total_batches_seen = 0
        self.lock = threading.RLock()
        self.index_array: Indices | None = None
        self.index_generator = self._flow_index()
        self._was_shown = False

    def __len__(self) -> int:
        """Batches of an epoch."""
        return (self.n + self.batch_size - 1) // self.batch_size

    def __getitem__(self, idx: int) -> Any:
        """Batch ``idx`` of the current epoch.

        Raises:
            ValueError: there is no such batch.
        """
        number = idx + len(self) if idx < 0 else idx
        if not 0 <= number < len(self):
            raise ValueError(
                f"Asked to retrieve element {idx}, but the Sequence has length {len(self)}"
            )
        with self.lock:
            order, epoch = self._order(), self.epoch
            self.total_batches_seen += 1
            self._was_shown = True
        start = self.batch_size * number
        return self._made(order[start : start + self.batch_size], epoch)

    def __iter__(self) -> Self:
        """Itself: there is no end."""
        return self

    def __next__(self) -> Any:
        """The batch after the one before."""
        with self.lock:
            indices = next(self.index_generator)
            # A generator cannot hand out the epoch beside the indices that Keras promises.
            epoch = self._epoch_of_next
        return self._made(indices, epoch)

    def next(self) -> Any:
        """As ``next(iterator)``."""
        return self.__next__()

    def reset(self) -> None:
        """Back to the first batch of the epoch that ``next`` is in: the same images again."""
        self.batch_index = 0

    @property
    def workers(self) -> int:
        """Threads or processes that ask for batches; see ``keras.utils.PyDataset``.

        Keras' ``fit`` reads it once, before everything else: what it asks for from then until its
        first epoch begins is a trial, and no epoch.
        """
        self._is_begun = False
        return self._workers

    @workers.setter
    def workers(self, value: int) -> None:
        self._workers = value

    def on_epoch_begin(self) -> None:
        """From here on, the batches that are asked for are those of an epoch."""
        self._is_begun = True

    def on_epoch_end(self) -> None:
        """Begins the next epoch, if a batch of the current one was shown."""
        with self.lock:
            if self._was_shown and self._is_begun:
                self._begin(self.epoch + 1)
            self._was_shown, self._is_begun = False, True
            self._order()

    def sample_ids(self, indices: Indices) -> NDArray[np.uint8]:
        """Who samples are, as (n, 16) uint8: their draws and places are addressed by it."""
        return position_ids(indices)

    def shown_epoch(self) -> int:
        """The epoch of the batch that is being made."""
        epoch = _SHOWN_EPOCH.get()
        return self.epoch if epoch is None else epoch

    def _get_batches_of_transformed_samples(self, index_array: Indices) -> Any:
        """The batch of these samples; what a kind of iterator must define."""
        raise NotImplementedError

    def _made(self, indices: Indices, epoch: int) -> Any:
        token = _SHOWN_EPOCH.set(epoch)
        try:
            return self._get_batches_of_transformed_samples(indices)
        finally:
            _SHOWN_EPOCH.reset(token)

    def _begin(self, epoch: int) -> None:
        self.epoch, self.index_array, self._was_shown = epoch, None, False

    def _order(self) -> Indices:
        if self.index_array is None:
            self._set_index_array()
        order: Indices = self.index_array  # type: ignore[assignment]  # it was set
        return order

    def _set_index_array(self) -> None:
        """The samples in the order of the current epoch: of their words at (seed, id, epoch)."""
        order = np.arange(self.n)
        if self.shuffle:
            counter = counters(self.sample_ids(order), self.epoch)
            words = draw_words(step_keys(self.seed, "order", 2), counter)
            order = np.lexsort((words[:, 1], words[:, 0]))
        self.index_array = order

    def _flow_index(self) -> Generator[Indices]:
        """The samples of each batch, one epoch after another."""
        while True:
            if self.batch_index == 0 and self._ended:
                self._begin(self.epoch + 1)
            order = self._order()
            start = self.batch_index * self.batch_size
            self._ended = start + self.batch_size >= self.n
            self.batch_index = 0 if self._ended else self.batch_index + 1
            self.total_batches_seen += 1
            self._was_shown = True
            self._epoch_of_next = self.epoch
            yield order[start : start + self.batch_size]

    _ended = False
    """Whether the last batch of the epoch was handed out by ``next``."""
    _epoch_of_next = 0

    def __reduce__(self) -> tuple[Any, ...]:
        """Without lock and generator, which are made anew; the class is found by its plain form."""
        state = {k: v for k, v in self.__dict__.items() if k not in ("lock", "index_generator")}
        return _restored, (getattr(type(self), "_plain", type(self)), state)


def position_ids(positions: Indices) -> NDArray[np.uint8]:
    """(n, 16) uint8: each position as a little-endian number."""
    ids = np.zeros((len(positions), 2), "<u8")
    ids[:, 0] = positions
    return ids.view(np.uint8)


def text_ids(texts: list[str]) -> NDArray[np.uint8]:
    """(n, 16) uint8: from each text's SHA-256, and its ordinal among equal ones."""
    ordinals: Counter[str] = Counter()
    digests = bytearray()
    for text in texts:
        content = f"{text}\0{ordinals[text]}".encode("utf-8", "surrogateescape")
        digests += hashlib.sha256(content).digest()[:16]
        ordinals[text] += 1
    return np.frombuffer(bytes(digests), np.uint8).reshape(len(texts), 16)


def _restored(plain: type[Iterator], state: dict[str, Any]) -> Iterator:
    made: Iterator = object.__new__(_joined(plain))
    made.__dict__.update(state)
    made.lock = threading.RLock()
    made.index_generator = made._flow_index()
    return made


def _joined(plain: Any) -> Any:
    """The class that is also a PyDataset; the class itself where Keras is not installed."""
    made = _JOINED.get(plain)
    if made is None:
        made = _JOINED.setdefault(plain, _join(plain))
    return made


def _join(plain: Any) -> Any:
    try:
        from keras.utils import PyDataset
    except ImportError:
        return plain
    if issubclass(plain, PyDataset):
        return plain
    names = {"__doc__": plain.__doc__, "__module__": plain.__module__, "_plain": plain}
    return type(plain.__name__, (plain, PyDataset), names)
