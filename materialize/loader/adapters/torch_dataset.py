"""A loader as PyTorch's two kinds of `Dataset`, here or in the workers of a `DataLoader`.

Open files, locks and threads do not go to another process. What goes there is a recipe: a call that
makes the loader, such as ``functools.partial(StreamingLoader, "dataset", batch_size=128)``.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ConfigError
from materialize.libraries import load_library
from materialize.loader.adapters.targets import Form, Targets, as_names, batch_of, run_of
from materialize.loader.batches import Batch
from materialize.loader.loader import Loader
from materialize.recipe import whole_number

Recipe = Callable[[], Loader]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Form(Form):
    """How images and targets are handed on."""

    channels_first: bool


def torch_batches(
    recipe: Recipe,
    *,
    epochs: int = 1,
    first_epoch: int = 0,
    one_hot: bool = False,
    channels_first: bool = False,
    targets: str | Sequence[str] | None = None,
    max_objects: int | None = None,
) -> Any:
    """Whole batches of some epochs, for a `DataLoader` that does not make any itself.

    ::

        batches = torch_batches(partial(StreamingLoader, "dataset", batch_size=128))
        for epoch in range(3):
            batches.set_epoch(epoch)
            for images, labels in DataLoader(batches, batch_size=None, num_workers=2): ...

    Worker w of n makes batches w, w + n, …, and `DataLoader` takes from its workers in turn, so the
    order is the loader's with any number of them.

    Args:
        recipe: makes the loader, once in each process; it can be pickled unless processes are
            forked. In workers, ``LoaderOptions(threads=0)`` will do.
        epochs: how many one iteration shows.
        first_epoch: the first of them, until ``set_epoch`` names another one.
        one_hot: whether labels are (n, classes) float32 rather than (n,) int64 class numbers,
            the only ones that PyTorch's losses accept.
        channels_first: whether images and masks are (n, C, H, W); the memory stays as it is, which
            is what PyTorch calls ``channels_last``.
        targets: what goes beside the images: a name for one tensor, such as ``"mask"``, several for
            a dict; see `targets.Form`. By default the label alone, or a dict of all there is where
            images have masks or objects.
        max_objects: M, where objects are among them: tensors are padded to it, and what an image
            has beyond it is left out.

    Returns:
        An `IterableDataset` of (images, targets), with weights behind where samples have some, or
        of images where nothing is labelled: tensors over the memory of the batch, which workers
        copy once into shared memory. ``set_epoch(e)`` holds from the next iteration on, in workers
        that persist too; ``close()`` closes the loader of this process.

    Raises:
        ConfigError: an argument is outside its interval, or PyTorch is not installed.
    """
    _check_recipe(recipe)
    whole_number("epochs", epochs, 1, 2**32)
    number = _shared(first_epoch)
    form = _Form(
        one_hot=one_hot, channels_first=channels_first, targets=as_names(targets),
        max_objects=max_objects,
    )  # fmt: skip
    return _torch_batches(recipe, epochs, number, form)


def torch_samples(  # one keyword for each thing that people choose
    recipe: Recipe,
    *,
    epoch: int = 0,
    one_hot: bool = False,
    channels_first: bool = False,
    targets: str | Sequence[str] | None = None,
    max_objects: int | None = None,
) -> Any:
    """The images of an epoch one by one, for code that has a sampler of its own.

    They lie copy by copy, and by sample id within a copy; which come in what order is the
    sampler's, not the loader's. All ranks see all images.

    Args:
        recipe: as in `torch_batches`.
        epoch: whose copies, until ``set_epoch`` names another one.
        one_hot: whether a label is (classes,) float32 rather than an int64 class number.
        channels_first: as in `torch_batches`.
        targets: as in `torch_batches`.
        max_objects: as in `torch_batches`.

    Returns:
        A map-style `Dataset` of (image, target), or of images where nothing is labelled; a
        `DataLoader` fetches the samples of a batch by one call.

    Raises:
        ConfigError: an argument is outside its interval, or PyTorch is not installed.
    """
    _check_recipe(recipe)
    form = _Form(
        one_hot=one_hot, channels_first=channels_first, targets=as_names(targets),
        max_objects=max_objects,
    )  # fmt: skip
    return _torch_samples(recipe, _shared(epoch), form)


def _check_recipe(recipe: Recipe) -> None:
    """Refuses a loader itself, which other adapters take; first of all a missing PyTorch."""
    load_library("torch", "as_torch_dataset")
    if not callable(recipe):
        raise ConfigError(
            "recipe: expected a call that makes the loader, since open files do not go to workers, "
            f"got a {type(recipe).__name__}; give functools.partial(StreamingLoader, …)",
            {"found": type(recipe).__name__},
        )


def _torch_batches(recipe: Recipe, epochs: int, number: Any, form: _Form) -> Any:
    from torch.utils.data import IterableDataset

    return type("TorchBatches", (_Batches, IterableDataset), {})(recipe, epochs, number, form)


def _torch_samples(recipe: Recipe, number: Any, form: _Form) -> Any:
    from torch.utils.data import Dataset

    return type("TorchSamples", (_Samples, Dataset), {})(recipe, number, form)


def _shared(epoch: int) -> Any:
    """A number that all processes see: a persisting worker is never sent the data set again."""
    torch = load_library("torch", "as_torch_dataset")
    number: Any = torch.tensor(whole_number("epoch", epoch, 0, 2**32 - 1))
    return number.share_memory_()


class _Reopened:
    """What both kinds share: a loader of this very process, and the epoch.

    Args:
        recipe: makes the loader.
        number: of the epoch, shared by all processes.
        form: of images and labels.
    """

    def __init__(self, recipe: Recipe, number: Any, form: _Form) -> None:
        """Open nothing yet."""
        self._recipe, self._number, self._form = recipe, number, form
        self._opened: tuple[int, Loader, Targets] | None = None

    @property
    def loader(self) -> Loader:
        """That of this process; made by the recipe when it is first asked for."""
        return self._open()[1]

    @property
    def epoch(self) -> int:
        """What the next iteration, or the next sample, is of."""
        return int(self._number)

    def set_epoch(self, epoch: int) -> None:
        """Names the next epoch, for all workers.

        Raises:
            ConfigError: it is outside [0, 2**32).
        """
        self._number.fill_(whole_number("epoch", epoch, 0, 2**32 - 1))

    def close(self) -> None:
        """Closes the loader of this process; it is made again if it is needed again."""
        if self._opened is not None and self._opened[0] == os.getpid():
            self._opened[1].close()
        self._opened = None

    def _open(self) -> tuple[int, Loader, Targets]:
        if self._opened is None or self._opened[0] != os.getpid():
            loader = self._recipe()
            targets = Targets.of(loader, self._form)
            self._opened = os.getpid(), loader, targets
        return self._opened

    def _tensors(self, batch: Batch) -> Any:
        targets = self._open()[2]
        beside, weights = targets.beside(batch, np.int64), targets.weights(batch)
        tensors: Any = None
        if isinstance(beside, dict):
            tensors = {
                name: self._tensor(array, is_picture=name == "mask")
                for name, array in beside.items()
            }
        elif beside is not None:
            tensors = self._tensor(beside, is_picture=beside is batch.masks)
        shown = self._tensor(batch.images, is_picture=True)
        behind = None if weights is None else self._tensor(weights, is_picture=False)
        return targets.element(shown, tensors, behind)

    def _tensor(self, array: NDArray[Any], *, is_picture: bool) -> Any:
        import torch

        tensor = torch.from_numpy(array)
        return tensor.permute(0, 3, 1, 2) if self._form.channels_first and is_picture else tensor


class _Batches(_Reopened):
    """Batches of some epochs, or one worker's share of them."""

    def __init__(self, recipe: Recipe, epochs: int, number: Any, form: _Form) -> None:
        """Open nothing yet."""
        super().__init__(recipe, number, form)
        self._epochs = epochs

    def __reduce__(self) -> Any:
        """The class exists where PyTorch does, so it is made anew by whoever reads this."""
        return _torch_batches, (self._recipe, self._epochs, self._number, self._form)

    def __len__(self) -> int:
        """Batches of one iteration, over all workers."""
        return len(self.loader) * self._epochs

    def __iter__(self) -> Iterator[Any]:
        """(images, targets) batch by batch."""
        with closing(self._share()) as batches:  # type: ignore[type-var]
            for batch in batches:
                yield self._tensors(batch)

    def _share(self) -> Iterator[Batch]:
        from torch.utils.data import get_worker_info

        worker, loader, first = get_worker_info(), self.loader, self.epoch
        if worker is None or worker.num_workers == 1:
            yield from run_of(loader, range(first, first + self._epochs))
            return
        for number in range(worker.id, len(self), worker.num_workers):
            epoch, index = divmod(number, len(loader))
            yield batch_of(loader, first + epoch, index)


class _Samples(_Reopened):
    """Images of one epoch by number."""

    def __reduce__(self) -> Any:
        """The class exists where PyTorch does, so it is made anew by whoever reads this."""
        return _torch_samples, (self._recipe, self._number, self._form)

    def __len__(self) -> int:
        """Images of an epoch, over all ranks."""
        return self.loader.num_places

    def __getitem__(self, number: int) -> Any:
        """(image, target) of one sample.

        Raises:
            IndexError: there is no such sample.
        """
        return self.__getitems__([number])[0]

    def __getitems__(self, numbers: Sequence[int]) -> list[Any]:
        """(image, target) of some samples, fetched by one call."""
        loader, found = self.loader, np.asarray(numbers, np.int64)
        if len(found) and not 0 <= int(found.min()) <= int(found.max()) < len(self):
            raise IndexError(f"sample: expected a number in [0, {len(self)}), got {list(numbers)}")
        rows, copies = loader.order(self.epoch).shown(found)
        loader.enter_epoch(self.epoch)
        labels, fields = loader.labels(rows, copies), loader.samples.fields
        masks, objects = loader.targets(rows, copies)
        images = loader.images(rows, copies)
        made = self._tensors(
            Batch(images, labels.labels, rows, copies, self.epoch, 0, len(self),
                  partner_labels=labels.partner_labels, label_weights=labels.label_weights,
                  masks=masks, objects=objects, fields={n: v[rows] for n, v in fields.items()})
        )  # fmt: skip
        if not isinstance(made, tuple):
            return list(made)
        shown, beside, *weights = made
        if isinstance(beside, dict):
            names = range(len(shown))
            beside = [{name: values[i] for name, values in beside.items()} for i in names]
        return list(zip(shown, beside, *weights, strict=True))
