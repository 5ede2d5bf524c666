"""A loader as a `keras.utils.PyDataset`: item i is batch i of the current epoch.

What Keras 3.15 does with one is not what its documentation suggests, and decides this module:

- ``fit`` shuffles the numbers of the batches unless it is told not to.
- With TensorFlow, batches 0 and 1 are asked for before anything else, to learn their shapes.
- A model that is not built yet is built from a trial pass, given up after one batch (JAX, PyTorch,
  and TensorFlow under a distribution strategy); by then TensorFlow has asked for some more, of a
  short epoch for all.
- Before the first epoch, and before each evaluation, ``on_epoch_end`` is called although no epoch
  ended.
- ``fit``, ``evaluate`` and ``predict`` read ``workers`` once, before everything else: so a pass
  that an error or Ctrl-C cut short is told from one that goes on.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

from materialize.errors import ConfigError
from materialize.libraries import load_library
from materialize.loader.adapters.targets import Form, Targets, as_names, batch_of
from materialize.loader.batches import Batch
from materialize.loader.loader import Loader
from materialize.recipe import whole_number


def keras_dataset(
    loader: Loader,
    *,
    one_hot: bool = True,
    first_epoch: int = 0,
    targets: str | Sequence[str] | None = None,
    max_objects: int | None = None,
) -> Any:
    """Batches for ``fit``, which must be told not to touch their order.

    ::

        model.fit(keras_dataset(loader), epochs=3, shuffle=False)

    Each epoch of ``fit`` shows the next one of the loader, and another ``fit`` with the same object
    goes on behind it; an epoch that was interrupted is shown again from its beginning. The
    attribute ``epoch`` says which is next. Evaluate on an object of its own, for that moves on too.

    Args:
        loader: whose batches; its own place is neither looked at nor moved.
        one_hot: whether labels are (n, classes) float32 rather than (n,) int32 class numbers.
        first_epoch: which epoch comes first: ``fit(initial_epoch=e)`` resumes with the same one.
        targets: what goes beside the images: a name for one array, such as ``"mask"``, several for
            a dict; see `targets.Form`. By default the label alone, or a dict of all there is where
            images have masks or objects: for a model with outputs of these names.
        max_objects: M, where objects are among them: arrays are padded to it, and what an image has
            beyond it is left out.

    Returns:
        A `keras.utils.PyDataset` of (images, targets), with weights behind where samples have
        some, or of images where nothing is labelled.
        Images are those of the batch, not copied; TensorFlow copies those that do not lie at a
        multiple of 64 bytes. ``close()`` stops the threads of an epoch that was not finished.

    Raises:
        ConfigError: an argument is outside its interval, or Keras is not installed. Also from
            ``fit``, if it asks for batches in another order; TensorFlow wraps that in an error of
            its own.
    """
    kinds = (_CurrentEpoch, load_library("keras.utils", "as_keras_dataset").PyDataset)
    made = type("LoaderDataset", kinds, {"__doc__": _CurrentEpoch.__doc__})
    form = Form(one_hot=one_hot, targets=as_names(targets), max_objects=max_objects)
    return made(loader, Targets.of(loader, form), first_epoch)


class _CurrentEpoch:
    """The batches of the current epoch of a loader, by number.

    Between ``on_epoch_begin`` and ``on_epoch_end`` they are asked for in order and come from a
    stream; otherwise any may be asked for, any number of times.
    """

    def __init__(self, loader: Loader, targets: Targets, first_epoch: int) -> None:
        """At the beginning of an epoch."""
        super().__init__()  # that of PyDataset
        self.epoch = whole_number("first_epoch", first_epoch, 0, 2**32 - 1)
        self._loader, self._targets = loader, targets
        self._stream: Iterator[Batch] | None = None
        self._next = 0
        self._is_within = False
        self._is_new = True
        self._lock = threading.RLock()  # TensorFlow asks from threads of its own

    def __len__(self) -> int:
        """Batches of an epoch."""
        return len(self._loader)

    def __getitem__(self, index: int) -> Any:
        """Batch ``index`` of the current epoch.

        Raises:
            ConfigError: the order of the batches was changed.
            IndexError: there is no such batch.
        """
        with self._lock:
            batch = self._streamed(index) if self._is_within else None
            if batch is None:
                batch = batch_of(self._loader, self.epoch, index)
        found = self._targets
        return found.element(batch.images, found.beside(batch), found.weights(batch))

    @property
    def workers(self) -> int:
        """1: the loader has threads of its own. Asking for it begins a new use of this object."""
        with self._lock:
            self._is_new, self._is_within = True, False
            self._restart()
        return 1

    @property
    def use_multiprocessing(self) -> bool:
        """False: another process would have to send every pixel back."""
        return False

    def on_epoch_begin(self) -> None:
        """From here on, batches are asked for in order."""
        with self._lock:
            self._is_within = True

    def on_epoch_end(self) -> None:
        """Moves to the next epoch, if one ended."""
        with self._lock:
            is_whole = self._is_within and self._next == len(self)
            if is_whole and not self._is_new:
                self.epoch += 1
            if is_whole or self._is_new or not self._is_within:
                self._restart()  # otherwise, fit(steps_per_epoch=…) goes on from here
            self._is_new = self._is_within = False

    def close(self) -> None:
        """Stops reading; the loader stays open."""
        with self._lock:
            self._restart()

    def _streamed(self, index: int) -> Batch:
        if index != self._next:
            raise ConfigError(
                f"epoch {self.epoch}: expected to be asked for batch {self._next}, got "
                f"{index}; the order of the batches is the loader's, so pass shuffle=False to fit",
                {"name": "shuffle", "expected": self._next, "found": index},
            )
        if self._stream is None:
            self._stream = self._loader.epoch(self.epoch, first_batch=index)
        batch = next(self._stream)
        self._next += 1
        if self._next == len(self):
            self._stop()
        return batch

    def _restart(self) -> None:
        self._stop()
        self._next = 0

    def _stop(self) -> None:
        if self._stream is not None:
            self._stream.close()  # type: ignore[attr-defined]  # it is a generator
            self._stream = None
