"""``ImageDataGenerator.flow_from_dataframe``: batches of images that a pandas table names.

pandas is the caller's: nothing here imports it.
"""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.flows.directory_iterator import say
from materialize.flows.file_batches import BatchFromFilesMixin
from materialize.flows.frame_columns import check_columns, kept_classes
from materialize.flows.iterator import Indices, Iterator, text_ids

_UNCLASSED = ("input", "multi_output", "raw", None)


class DataFrameIterator(BatchFromFilesMixin, Iterator):
    """Batches of the images that the rows of a DataFrame name.

    A sample is known by the text in ``x_col``, and rows of equal text by their order among them.

    Args:
        dataframe: a pandas DataFrame; not modified.
        directory: what paths are relative to; None: they are absolute, or relative to where the
            program runs.
        image_data_generator: whose parameters; None leaves images as they are.
        x_col: the column of paths.
        y_col: the column of targets, or several for ``multi_output`` and ``raw``.
        weight_col: the column of weights.
        target_size: (height, width) that files are resized to.
        color_mode: ``grayscale``, ``rgb`` or ``rgba``.
        classes: the classes in the order of their numbers; None: all, sorted. Rows of others are
            left out.
        class_mode: ``binary``, ``categorical``, ``sparse``, ``input``, ``multi_output``, ``raw`` or
            None.
        batch_size: images of a batch.
        shuffle: whether every epoch has an order of its own.
        seed: see `Iterator`.
        data_format: ``channels_last`` or ``channels_first``.
        save_to_dir: where to save what is shown; None does not.
        save_prefix: of the files' names.
        save_format: ``png``, ``jpeg``, ``bmp`` …
        subset: ``training`` or ``validation``, by the generator's ``validation_split``: the rows
            from the first on are the validation part.
        interpolation: how files are resized; see `materialize.flows.image_files.FILTERS`.
        keep_aspect_ratio: crop about the centre before resizing.
        dtype: of the images and targets.
        validate_filenames: leave out rows whose file is no image or not there, with a warning.

    Raises:
        ValueError: an unknown class mode, colour mode or subset, or not two classes for ``binary``.
        TypeError: a column does not hold what its role asks for.
    """

    allowed_class_modes = frozenset(
        {"binary", "categorical", "input", "multi_output", "raw", "sparse", None}
    )

    def __init__(  # noqa: PLR0913  # the arguments of Keras
        self,
        dataframe: Any,
        directory: Any = None,
        image_data_generator: Any = None,
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
        data_format: str = "channels_last",
        save_to_dir: str | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
        dtype: Any = "float32",
        validate_filenames: bool = True,
    ) -> None:
        """Checks the columns and picks the rows."""
        self.set_processing_attrs(
            image_data_generator, target_size, color_mode, data_format, save_to_dir, save_prefix,
            save_format, subset, interpolation, keep_aspect_ratio,
        )  # fmt: skip
        self.directory = directory or ""
        self.class_mode = class_mode
        self.dtype = dtype
        self.check_class_mode()
        rows = dataframe.copy()
        check_columns(rows, class_mode, x_col, y_col, weight_col, classes)
        if validate_filenames:
            rows = self._valid(rows, x_col)
        rows = self._classed(rows, y_col, classes)
        self.filenames: list[str] = rows[x_col].tolist()
        self._sample_weight = rows[weight_col].to_numpy() if weight_col else None
        if class_mode == "multi_output":
            self._targets: Any = [np.array(rows[column].tolist()) for column in y_col]
        if class_mode == "raw":
            self._targets = rows[y_col].to_numpy()
        self.samples = len(self.filenames)
        self._filepaths = [os.path.join(self.directory, file) for file in self.filenames]  # noqa: PTH118  # text, as Keras has it
        self._say(validate_filenames)
        Iterator.__init__(self, self.samples, batch_size, shuffle, seed)
        self._ids = text_ids(self.filenames)

    def sample_ids(self, indices: Indices) -> NDArray[np.uint8]:
        """By the text in the column of paths."""
        return self._ids[indices]

    @property
    def filepaths(self) -> list[str]:
        """Where each sample's file is."""
        return self._filepaths

    @property
    def labels(self) -> Any:
        """The targets of every sample: class numbers, or the values of the columns."""
        return self._targets if self.class_mode in {"multi_output", "raw"} else self.classes

    @property
    def sample_weight(self) -> NDArray[Any] | None:
        """The weight of every sample, if there is a column of them."""
        return self._sample_weight

    def _valid(self, rows: Any, x_col: str) -> Any:
        """The rows whose file is there and named like an image."""
        is_valid = [
            file.lower().endswith(self.white_list_formats) and Path(self.directory, file).is_file()
            for file in rows[x_col]
        ]
        num_invalid = is_valid.count(False)
        if num_invalid:
            warnings.warn(
                f'Found {num_invalid} invalid image filename(s) in x_col="{x_col}". These '
                "filename(s) will be ignored.",
                stacklevel=4,
            )
        return rows[np.array(is_valid, dtype=bool)]

    def _classed(self, rows: Any, y_col: Any, classes: Sequence[str] | None) -> Any:
        """The rows of the classes and the subset; sets what is known of classes."""
        names: list[str] | None = None
        if self.class_mode not in _UNCLASSED:
            rows, names = kept_classes(rows, y_col, classes)
            self.class_indices = {name: number for number, name in enumerate(names)}
        if self.split:
            first, last = (int(share * len(rows)) for share in self.split)
            rows = rows.iloc[first:last, :]
        if names is not None:
            self.classes = self.get_classes(rows, y_col)
        return rows

    def get_classes(self, df: Any, y_col: str) -> list[Any]:
        """The class number of each row; a list of numbers where a row has several."""
        number = self.class_indices
        return [
            [number[name] for name in label] if isinstance(label, list | tuple) else number[label]
            for label in df[y_col]
        ]

    def _say(self, is_validated: bool) -> None:
        kind = "validated" if is_validated else "non-validated"
        sentence = f"Found {self.samples} {kind} image filenames"
        if self.class_mode not in _UNCLASSED:
            sentence += f" belonging to {len(self.class_indices)} classes"
        say(f"{sentence}.")
