"""What the iterators over files share: from the samples of a batch to images and targets."""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ConfigError
from materialize.flows.array_iterator import saved_batches
from materialize.flows.image_files import SavedBatches, load_image, to_array
from materialize.flows.iterator import Indices
from materialize.flows.processing import Processing, is_augmented
from materialize.flows.recording import ListedFiles, Recording, RecordingOptions, record_copies

_CHANNELS = {"rgb": 3, "rgba": 4, "grayscale": 1}


class BatchFromFilesMixin:
    """Reads, augments and standardises the files of a batch."""

    allowed_class_modes: ClassVar[frozenset[str | None]]
    dtype: Any
    class_mode: str | None
    class_indices: dict[str, int]
    classes: Any
    seed: int

    def set_processing_attrs(  # noqa: PLR0913  # the arguments of Keras
        self,
        image_data_generator: Processing,
        target_size: Any,
        color_mode: str,
        data_format: str,
        save_to_dir: str | None,
        save_prefix: str,
        save_format: str,
        subset: str | None,
        interpolation: str,
        keep_aspect_ratio: bool,
    ) -> None:
        """Keeps how files become batches.

        Raises:
            ValueError: an unknown colour mode or subset.
        """
        self.image_data_generator = image_data_generator
        self.target_size: tuple[int, int] = tuple(target_size)
        self.keep_aspect_ratio = keep_aspect_ratio
        if color_mode not in _CHANNELS:
            raise ValueError(
                f'Invalid color mode: {color_mode}; expected "rgb", "rgba", or "grayscale".'
            )
        self.color_mode = color_mode
        self.data_format = data_format
        channels = (_CHANNELS[color_mode],)
        is_last = data_format == "channels_last"
        self.image_shape = self.target_size + channels if is_last else channels + self.target_size
        self.save_to_dir, self.save_prefix, self.save_format = save_to_dir, save_prefix, save_format
        self.interpolation = interpolation
        self.split = None
        if subset is not None:
            if subset not in {"training", "validation"}:
                raise ValueError(
                    f'Invalid subset name: {subset};expected "training" or "validation"'
                )
            cut = image_data_generator.validation_split
            self.split = (0, cut) if subset == "validation" else (cut, 1)
        self.subset = subset
        self._saved: SavedBatches | None = None

    def check_class_mode(self) -> None:
        """Refuses a class mode that this iterator does not have.

        Raises:
            ValueError: says which it has, in an order that does not change from run to run.
        """
        if self.class_mode not in self.allowed_class_modes:
            raise ValueError(
                f"Invalid class_mode: {self.class_mode}; expected one of: "
                f"{{{', '.join(sorted(map(repr, self.allowed_class_modes)))}}}"
            )

    @property
    def filepaths(self) -> list[str]:
        """Where each sample's file is."""
        raise NotImplementedError(f"`filepaths` is not defined by {type(self).__name__}.")

    @property
    def labels(self) -> Any:
        """The targets of every sample."""
        raise NotImplementedError(f"`labels` is not defined by {type(self).__name__}.")

    @property
    def sample_weight(self) -> NDArray[Any] | None:
        """The weight of every sample, if they have some."""
        raise NotImplementedError(f"`sample_weight` is not defined by {type(self).__name__}.")

    def materialize(self, output: Any, *, options: RecordingOptions) -> Recording:
        """Writes augmented copies of these files into a dataset; see `record_copies`.

        Files are decoded by `materialize.sources`, at this iterator's size unless the options name
        one: antialiased, whatever ``interpolation`` says.

        Raises:
            ConfigError: the targets are not one class for each image.
        """
        if options.target_size is None:
            options = replace(options, target_size=self.target_size)
        source = ListedFiles(self.filepaths, self._class_names())
        return record_copies(self.image_data_generator, source, output, options)

    def _class_names(self) -> list[str] | None:
        """The class of each file; None where there are none."""
        if self.class_mode in ("input", None):
            return None
        is_single = self.class_mode in {"binary", "sparse", "categorical"}
        if not is_single or self.sample_weight is not None or any(map(np.ndim, self.classes)):
            raise ConfigError(
                f"materialize: expected one class for each image and no weights, got class_mode "
                f"{self.class_mode!r}; use a class mode of single classes and join other targets "
                "by sample id when reading",
                {"expected": "one class for each image", "found": self.class_mode},
            )
        names = list(self.class_indices)
        return [names[number] for number in self.classes]

    def _get_batches_of_transformed_samples(self, index_array: Indices) -> Any:
        epoch: int = self.shown_epoch()  # type: ignore[attr-defined]  # of Iterator
        images = self._images(index_array, epoch)
        if self.save_to_dir:
            self._saved = self._saved or saved_batches(self)
            if self._saved is not None:
                self._saved.save(images, index_array.tolist(), epoch)
        if self.class_mode is None:
            return images
        targets = self._targets_of(index_array, images)
        weights = self.sample_weight
        return (images, targets) if weights is None else (images, targets, weights[index_array])

    def _images(self, index_array: Indices, epoch: int) -> NDArray[Any]:
        """(n, …) in the iterator's dtype."""
        images = np.zeros((len(index_array), *self.image_shape), dtype=self.dtype)
        paths = self.filepaths
        for row, index in enumerate(index_array):
            image = load_image(
                paths[index], self.color_mode, self.target_size, self.interpolation,
                self.keep_aspect_ratio,
            )  # fmt: skip
            images[row] = to_array(image, self.data_format, self.dtype)
        generator = self.image_data_generator
        if not generator:
            return images
        if is_augmented(generator, self.subset):
            ids = self.sample_ids(index_array)  # type: ignore[attr-defined]  # of Iterator
            images = generator.augment_batch(images, seed=self.seed, sample_ids=ids, copy=epoch)
        return generator.standardize_batch(images).astype(self.dtype, copy=False)

    def _targets_of(self, index_array: Indices, images: NDArray[Any]) -> Any:
        if self.class_mode == "input":
            return images.copy()
        if self.class_mode in {"binary", "sparse"}:
            return np.array([self.classes[index] for index in index_array], dtype=self.dtype)
        if self.class_mode == "categorical":
            one_hot = np.zeros((len(index_array), len(self.class_indices)), dtype=self.dtype)
            for row, index in enumerate(index_array):
                one_hot[row, self.classes[index]] = 1.0  # several, where the class is a list
            return one_hot
        if self.class_mode == "multi_output":
            return [output[index_array] for output in self.labels]
        return self.labels[index_array]
