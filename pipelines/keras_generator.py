"""A drop-in for ``keras.preprocessing.image.ImageDataGenerator``: one import line changes.

    from pipelines.keras_generator import ImageDataGenerator

Parameters, methods, errors and warnings are Keras'; its defects are gone. What is pure lies in
`pipelines.keras_processing`. Batches, files and datasets are the business of `materialize.flows`,
which is imported when a method needs it: the one place where `pipelines` knows what is built upon
it, because users expect these methods on this class.
"""

import warnings
import weakref
from collections.abc import Sequence
from typing import Any

from pipelines.errors import ParameterError
from pipelines.keras_processing import GeneratorProcessing

_ITERATORS = ("DataFrameIterator", "DirectoryIterator", "Iterator", "NumpyArrayIterator")
"""Also importable from here, as they are beside Keras' class."""

_DEPRECATED = {
    "has_ext": "has_ext is deprecated, filenames in the dataframe have to match the exact "
    "filenames in disk.",
    "sort": "sort is deprecated, batches will be created in thesame order than the filenames "
    "provided if `shuffle`is set to `False`.",
    "other": '`class_mode="other"` is deprecated, please use `class_mode="raw"`.',
    "drop_duplicates": "drop_duplicates is deprecated, you can drop duplicates by using the "
    "pandas.DataFrame.drop_duplicates method.",
}
"""In Keras' order and words, missing spaces included."""


class ImageDataGenerator(GeneratorProcessing):
    """Batches of augmented, standardised images, as Keras' class of this name gives them.

    The parameters of Keras have Keras' meanings, ranges in pixels or fractions included. What is
    different, on purpose:

    * An image that ``flow`` shows is a function of (parameters, seed, sample, epoch) alone. Batch
      size, order of access, workers and NumPy's global state do not enter. Without a seed, an
      iterator draws one when it is made, and its attribute ``seed`` says which.
    * The subset ``"validation"`` is standardised and not augmented, unless ``augment_validation``.
    * ``save_to_dir`` writes the levels that the model sees, without stretching each image, under
      names that do not collide.
    * ``fit`` copies no array, and whitens images of any size in bounded memory.
    * Brightness of floats in [0, 1] is relative to 1; Keras makes such images black. A warning
      says so.
    * An argument of ``flow_from_dataframe`` that nobody knows is an error; Keras ignores it.
    * Integers can be standardised, and images of any number of channels brightened.
    * `materialize` writes the augmented copies into a dataset; `to_pipeline` is the augmentation,
      `to_standardization` the rest.

    Args:
        featurewise_center: subtract the mean of the training images, by channel; needs `fit`.
        samplewise_center: subtract each image's own mean.
        featurewise_std_normalization: divide by the training images' std, by channel.
        samplewise_std_normalization: divide by each image's own std.
        zca_whitening: whiten with the training images' directions.
        zca_epsilon: added to every singular value.
        rotation_range: degrees, either way.
        width_shift_range: a float below 1 is a fraction of the width, other floats are pixels, an
            int n is one of the whole numbers of pixels below n, a list one of its values; either
            way. As in Keras 3 it moves rows, and ``height_shift_range`` columns.
        height_shift_range: likewise.
        brightness_range: two factors to draw from.
        shear_range: degrees, either way.
        zoom_range: z for [1 - z, 1 + z], or two factors.
        channel_shift_range: what is added to all channels, either way, clipped to the image's
            range.
        fill_mode: ``constant``, ``nearest``, ``reflect`` or ``wrap``.
        cval: the value outside for ``constant``.
        horizontal_flip: mirror every other image left and right.
        vertical_flip: mirror every other image top and bottom.
        rescale: what values are multiplied by after the augmentation.
        preprocessing_function: called with each image after the augmentation; it returns an image,
            or a number that stands for all of its values. `materialize` asks for one that can be
            imported.
        data_format: ``channels_last`` or ``channels_first``; None: what Keras is set to where it
            is imported, else ``channels_last``.
        validation_split: fraction of the samples, from the first on, that is the validation part.
        interpolation_order: of the splines that read between pixels, 0 to 5. 0 and 1 run in the
            compiled engine, within 1e-4 of the range of Keras' values; 2 to 5 in SciPy, as there.
        dtype: of the batches; None: what Keras is set to, else ``float32``.
        augment_validation: augment the subset ``"validation"`` as Keras does.

    Raises:
        ValueError: a parameter is not what Keras takes.
    """

    def flow(  # noqa: PLR0913  # the arguments of Keras
        self,
        x: Any,
        y: Any = None,
        batch_size: int = 32,
        shuffle: bool = True,
        sample_weight: Any = None,
        seed: int | None = None,
        save_to_dir: str | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        ignore_class_split: bool = False,
        subset: str | None = None,
    ) -> Any:
        """Batches of images in an array; see `materialize.flows.array_iterator`."""
        made = _flows("NumpyArrayIterator")(
            x, y, self, batch_size=batch_size, shuffle=shuffle, sample_weight=sample_weight,
            seed=seed, data_format=self.data_format, save_to_dir=save_to_dir,
            save_prefix=save_prefix, save_format=save_format, subset=subset,
            ignore_class_split=ignore_class_split, dtype=self.dtype,
        )  # fmt: skip
        return self._noted(made)

    def flow_from_directory(  # noqa: PLR0913  # the arguments of Keras
        self,
        directory: Any,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        save_to_dir: str | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
    ) -> Any:
        """Batches of images in class folders; see `materialize.flows.directory_iterator`."""
        made = _flows("DirectoryIterator")(
            directory, self, target_size=target_size, color_mode=color_mode, classes=classes,
            class_mode=class_mode, batch_size=batch_size, shuffle=shuffle, seed=seed,
            data_format=self.data_format, save_to_dir=save_to_dir, save_prefix=save_prefix,
            save_format=save_format, follow_links=follow_links, subset=subset,
            interpolation=interpolation, keep_aspect_ratio=keep_aspect_ratio, dtype=self.dtype,
        )  # fmt: skip
        return self._noted(made)

    def flow_from_dataframe(  # noqa: PLR0913  # the arguments of Keras
        self,
        dataframe: Any,
        directory: Any = None,
        x_col: str = "filename",
        y_col: Any = "class",
        weight_col: str | None = None,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        save_to_dir: str | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: str | None = None,
        interpolation: str = "nearest",
        validate_filenames: bool = True,
        **deprecated: Any,
    ) -> Any:
        """Batches of images that a table names; see `materialize.flows.frame_iterator`.

        Also takes ``keep_aspect_ratio``, and warns of the arguments that Keras has deprecated.
        """
        keep_aspect_ratio = bool(deprecated.pop("keep_aspect_ratio", False))
        unknown = sorted(deprecated.keys() - (_DEPRECATED.keys() - {"other"}))
        if unknown:  # Keras swallows them, misspelled ones too
            raise TypeError(f"flow_from_dataframe() got unexpected keyword arguments: {unknown}")
        for name, message in _DEPRECATED.items():
            if name in deprecated or name == class_mode == "other":
                warnings.warn(message, DeprecationWarning, stacklevel=2)
        class_mode = "raw" if class_mode == "other" else class_mode
        made = _flows("DataFrameIterator")(
            dataframe, directory, self, x_col=x_col, y_col=y_col, weight_col=weight_col,
            target_size=target_size, color_mode=color_mode, classes=classes,
            class_mode=class_mode, batch_size=batch_size, shuffle=shuffle, seed=seed,
            data_format=self.data_format, save_to_dir=save_to_dir, save_prefix=save_prefix,
            save_format=save_format, subset=subset, interpolation=interpolation,
            keep_aspect_ratio=keep_aspect_ratio, validate_filenames=validate_filenames,
            dtype=self.dtype,
        )  # fmt: skip
        return self._noted(made)

    def materialize(  # noqa: PLR0913  # what a build is asked for
        self,
        output: Any,
        *,
        copies: int,
        seed: int = 0,
        source: Any = None,
        target_size: tuple[int, int] | None = None,
        split: str | None = None,
        workers: int = 1,
        codec: str = "raw",
    ) -> Any:
        """Writes augmented copies of a source into a dataset.

        Args:
            output: the dataset's directory.
            copies: of each training image, at least 1; copy e is what epoch e shows.
            seed: in [0, 2**64).
            source: a folder, a file or arrays, as `materialize.build` takes them; None takes what
                the latest iterator of this generator reads.
            target_size: (height, width) to resize to first, antialiased.
            split: how to cut off other parts, such as ``0.8/0.2``; None takes the first
                ``validation_split`` of arrays.
            workers: processes that write at once.
            codec: as `materialize.build` takes it.

        Returns:
            A `materialize.flows.recording.Recording`: the report, the pipeline, how to standardise
            what is read, and what became of the values.

        Raises:
            ValueError: there is no source, or a parameter has no stored form (``cval`` outside
                [0, 255], a spline order above 1 …).
            UserCodeError: the ``preprocessing_function`` fails, or gives something else for the
                same image.
        """
        from materialize.flows.recording import RecordingOptions, record_copies

        options = RecordingOptions(
            copies=copies, seed=seed, target_size=target_size, split=split, workers=workers,
            codec=codec,
        )  # fmt: skip
        if source is not None:
            return record_copies(self, source, output, options)
        latest = None if self._latest is None else self._latest()
        if latest is None:
            raise ParameterError(
                "materialize: expected a source, got none, and no iterator of this generator is "
                "alive; pass source=, such as source=(x_train, y_train) or a folder",
                {"name": "source", "expected": "a source", "found": None},
            )
        return latest.materialize(output, options=options)

    _latest: weakref.ref[Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the latest iterator: it is this process'."""
        return {name: value for name, value in self.__dict__.items() if name != "_latest"}

    def _noted(self, iterator: Any) -> Any:
        self._latest = weakref.ref(iterator)
        return iterator


def _flows(name: str) -> Any:
    """An iterator class."""
    import materialize.flows

    return getattr(materialize.flows, name)


def __getattr__(name: str) -> Any:
    """The iterators, imported on first use."""
    if name in _ITERATORS:
        return _flows(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
