"""``ImageDataGenerator.flow``: batches of images that lie in an array."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ConfigError
from materialize.flows.image_files import SavedBatches
from materialize.flows.iterator import Indices, Iterator, position_ids
from materialize.flows.processing import Processing, is_augmented
from materialize.flows.recording import (
    Recording,
    RecordingOptions,
    opened_arrays,
    record_copies,
)
from pipelines.keras_pixels import is_unit_range
from pipelines.keras_settings import keras_setting


class NumpyArrayIterator(Iterator):
    """Batches of (images, labels, weights), or what of these there is.

    A sample is known by its row in the array that was given, before any split. The array is kept as
    it is and converted batch by batch.

    Args:
        x: (n, H, W, C) or (n, C, H, W); or a pair of it and one or a list of other arrays of n rows
            that belong to the images.
        y: n labels of any shape; None for images alone.
        image_data_generator: whose parameters.
        batch_size: images of a batch.
        shuffle: whether every epoch has an order of its own.
        sample_weight: n weights.
        seed: see `Iterator`.
        data_format: ``channels_last`` or ``channels_first``.
        save_to_dir: where to save what is shown; None does not.
        save_prefix: of the files' names.
        save_format: ``png``, ``jpeg``, ``bmp`` …
        subset: ``training`` or ``validation``, by the generator's ``validation_split``.
        ignore_class_split: allow the two subsets to have different labels.
        dtype: of the images.

    Raises:
        ValueError: lengths that differ, images not of rank 4, another subset, or subsets whose
            labels differ.
    """

    def __init__(  # noqa: PLR0913  # the arguments of Keras
        self,
        x: Any,
        y: Any,
        image_data_generator: Processing,
        batch_size: int = 32,
        shuffle: bool = False,
        sample_weight: Any = None,
        seed: int | None = None,
        data_format: str | None = None,
        save_to_dir: str | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: str | None = None,
        ignore_class_split: bool = False,
        dtype: Any = None,
    ) -> None:
        """Checks and splits the arrays."""
        self.dtype = keras_setting("floatx", "float32") if dtype is None else dtype
        self.data_format = data_format or keras_setting("image_data_format", "channels_last")
        images, x_misc = _separated(x)
        _check_lengths(images, y, sample_weight)
        images = np.asarray(images)
        _check_rank(images)
        labels = None if y is None else np.asarray(y)
        first, last = _bounds(len(images), image_data_generator.validation_split, subset)
        if subset is not None and labels is not None and not ignore_class_split:
            _check_labels(labels, last if subset == "validation" else first)
        rows = slice(first, last)
        self.x = images[rows]
        self.x_misc = [values[rows] for values in x_misc]
        self.y = None if labels is None else labels[rows]
        # Keras forgets to split the weights; they belong to their images.
        self.sample_weight = None if sample_weight is None else np.asarray(sample_weight)[rows]
        _check_channels(self.x, self.data_format)
        self.image_data_generator = image_data_generator
        self.subset = subset
        self.save_to_dir, self.save_prefix, self.save_format = save_to_dir, save_prefix, save_format
        self._first_row = first
        self._is_unit = _is_unit(image_data_generator, self.x)
        super().__init__(len(self.x), batch_size, shuffle, seed)
        self._saved = saved_batches(self)

    def sample_ids(self, indices: Indices) -> NDArray[np.uint8]:
        """By the row in the array that was given."""
        return position_ids(np.asarray(indices) + self._first_row)

    def materialize(self, output: Any, *, options: RecordingOptions) -> Recording:
        """Writes augmented copies of these images into a dataset; see `record_copies`.

        Raises:
            ConfigError: there are other inputs or weights, which a dataset does not hold.
        """
        if self.x_misc or self.sample_weight is not None:
            raise ConfigError(
                "materialize: expected images and labels, got other inputs or sample weights "
                "beside them; leave them out and join them by sample id when reading",
                {"expected": "images and labels", "found": "other inputs or weights"},
            )
        # As a source of its own: the subset was cut off already, and is not cut again.
        source = opened_arrays(self.image_data_generator, {"train": (self.x, self.y)})
        return record_copies(self.image_data_generator, source, output, options)

    def _get_batches_of_transformed_samples(self, index_array: Indices) -> Any:
        epoch, generator = self.shown_epoch(), self.image_data_generator
        images = self.x[index_array].astype(self.dtype, copy=False)
        if is_augmented(generator, self.subset):
            images = generator.augment_batch(
                images, seed=self.seed, sample_ids=self.sample_ids(index_array), copy=epoch,
                is_unit=self._is_unit,
            )  # fmt: skip
        images = generator.standardize_batch(images).astype(self.dtype, copy=False)
        if self._saved is not None:
            self._saved.save(images, index_array.tolist(), epoch)
        others = [values[index_array] for values in self.x_misc]
        shown = [images, *others] if others else images
        if self.y is None:
            return shown
        if self.sample_weight is None:
            return shown, self.y[index_array]
        return shown, self.y[index_array], self.sample_weight[index_array]


def saved_batches(iterator: Any) -> SavedBatches | None:
    """Where an iterator saves what it shows; None if nowhere."""
    if not iterator.save_to_dir:
        return None
    generator = iterator.image_data_generator
    return SavedBatches(
        directory=Path(iterator.save_to_dir), prefix=iterator.save_prefix,
        format=iterator.save_format, data_format=iterator.data_format, seed=iterator.seed,
        rescale=float((generator and generator.rescale) or 1.0),
    )  # fmt: skip


def _separated(x: Any) -> tuple[Any, list[NDArray[Any]]]:
    """The images, and the other inputs that belong to them."""
    if not isinstance(x, tuple | list):
        return x, []
    images, given = x[0], x[1]
    others = [np.asarray(values) for values in (given if isinstance(given, list) else [given])]
    for values in others:
        if len(images) != len(values):
            raise ValueError(
                "All of the arrays in `x` should have the same length. Found a pair with: "
                f"len(x[0]) = {len(images)}, len(x[?]) = {len(values)}"
            )
    return images, others


def _check_lengths(images: Any, y: Any, sample_weight: Any) -> None:
    for values, name, shape in ((y, "`y` (labels)", "y"), (sample_weight, "`sample_weight`",
                                                            "sample_weight")):  # fmt: skip
        if values is not None and len(images) != len(values):
            raise ValueError(
                f"`x` (images tensor) and {name} should have the same length. Found: "
                f"x.shape = {np.shape(images)}, {shape}.shape = {np.shape(values)}"
            )


def _bounds(count: int, validation_split: float, subset: str | None) -> tuple[int, int]:
    """The rows of a subset."""
    if subset is None:
        return 0, count
    if subset not in {"training", "validation"}:
        raise ValueError(f'Invalid subset name: {subset}; expected "training" or "validation".')
    cut = int(count * validation_split)
    return (0, cut) if subset == "validation" else (cut, count)


def _check_labels(labels: NDArray[Any], cut: int) -> None:
    if not np.array_equal(np.unique(labels[:cut]), np.unique(labels[cut:])):
        raise ValueError(
            "Training and validation subsets have different number of classes after the split. If "
            "your numpy arrays are sorted by the label, you might want to shuffle them."
        )


def _check_rank(images: NDArray[Any]) -> None:
    if images.ndim != 4:
        raise ValueError(
            "Input data in `NumpyArrayIterator` should have rank 4. You passed an array with shape "
            f"{images.shape}"
        )


def _check_channels(images: NDArray[Any], data_format: str) -> None:
    axis = 3 if data_format == "channels_last" else 1
    if images.shape[axis] not in {1, 3, 4}:
        warnings.warn(
            f'NumpyArrayIterator is set to use the data format convention "{data_format}" '
            f"(channels on axis {axis}), i.e. expected either 1, 3, or 4 channels on axis {axis}. "
            f"However, it was passed an array with shape {images.shape} ({images.shape[axis]} "
            "channels).",
            stacklevel=4,
        )


def _is_unit(generator: Processing, images: NDArray[Any]) -> bool:
    """Whether brightness has to take 1 as white, which Keras does not: said once."""
    if generator.brightness_range is None or images.dtype.kind != "f":
        return False
    found = is_unit_range(images)
    if found:
        warnings.warn(
            "brightness_range: the images are floats in [0, 1], so brightness is relative to 1; "
            "Keras would truncate them to black",
            stacklevel=4,
        )
    return found
