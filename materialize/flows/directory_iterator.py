"""``ImageDataGenerator.flow_from_directory``: batches of images in class folders."""

import os
import sys
import warnings
from collections.abc import Iterator as Iterable
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.flows.file_batches import BatchFromFilesMixin
from materialize.flows.iterator import Indices, Iterator, text_ids
from pipelines.keras_settings import keras_setting


class DirectoryIterator(BatchFromFilesMixin, Iterator):
    """Batches of the images in a folder of class folders.

    A sample is known by its path below the folder, so that other files may come and go.

    Args:
        directory: the folder.
        image_data_generator: whose parameters; None leaves images as they are.
        target_size: (height, width) that files are resized to.
        color_mode: ``grayscale``, ``rgb`` or ``rgba``.
        classes: the class folders in the order of their numbers; None: all, sorted.
        class_mode: ``categorical``, ``binary``, ``sparse``, ``input`` or None.
        batch_size: images of a batch.
        shuffle: whether every epoch has an order of its own.
        seed: see `Iterator`.
        data_format: ``channels_last`` or ``channels_first``.
        save_to_dir: where to save what is shown; None does not.
        save_prefix: of the files' names.
        save_format: ``png``, ``jpeg``, ``bmp`` …
        follow_links: follow links to folders.
        subset: ``training`` or ``validation``, by the generator's ``validation_split``: of each
            class the files from the first on are the validation part.
        interpolation: how files are resized; see `materialize.flows.image_files.FILTERS`.
        keep_aspect_ratio: crop about the centre before resizing.
        dtype: of the images and targets.

    Raises:
        ValueError: an unknown class mode, colour mode or subset.
    """

    allowed_class_modes = frozenset({"categorical", "binary", "sparse", "input", None})

    def __init__(  # noqa: PLR0913  # the arguments of Keras
        self,
        directory: Any,
        image_data_generator: Any,
        target_size: tuple[int, int] = (256, 256),
        color_mode: str = "rgb",
        classes: Sequence[str] | None = None,
        class_mode: str | None = "categorical",
        batch_size: int = 32,
        shuffle: bool = True,
        seed: int | None = None,
        data_format: str | None = None,
        save_to_dir: str | None = None,
        save_prefix: str = "",
        save_format: str = "png",
        follow_links: bool = False,
        subset: str | None = None,
        interpolation: str = "nearest",
        keep_aspect_ratio: bool = False,
        dtype: Any = None,
    ) -> None:
        """Lists the files."""
        data_format = data_format or keras_setting("image_data_format", "channels_last")
        self.set_processing_attrs(
            image_data_generator, target_size, color_mode, data_format, save_to_dir, save_prefix,
            save_format, subset, interpolation, keep_aspect_ratio,
        )  # fmt: skip
        self.class_mode = class_mode
        self.check_class_mode()
        self.directory = directory
        self.dtype = keras_setting("floatx", "float32") if dtype is None else dtype
        names = list(classes) if classes else _class_folders(directory)
        self.num_classes = len(names)
        self.class_indices = {name: number for number, name in enumerate(names)}
        self.filenames: list[str] = []
        numbers: list[int] = []
        for name in names:
            files = list(valid_files(Path(directory, name), self.white_list_formats, follow_links))
            chosen = _part(files, self.split)
            self.filenames += [os.path.join(name, file) for file in chosen]  # noqa: PTH118  # text, as Keras has it
            numbers += [self.class_indices[name]] * len(chosen)
        self.samples = len(self.filenames)
        self.classes: NDArray[np.int32] = np.array(numbers, dtype="int32")
        self._filepaths = [os.path.join(directory, file) for file in self.filenames]  # noqa: PTH118  # likewise
        say(f"Found {self.samples} images belonging to {self.num_classes} classes.")
        Iterator.__init__(self, self.samples, batch_size, shuffle, seed)
        self._ids = text_ids([Path(file).as_posix() for file in self.filenames])

    def sample_ids(self, indices: Indices) -> NDArray[np.uint8]:
        """By the path below the folder."""
        ids: NDArray[np.uint8] = self._ids[indices]
        return ids

    @property
    def filepaths(self) -> list[str]:
        """Where each sample's file is."""
        return self._filepaths

    @property
    def labels(self) -> NDArray[np.int32]:
        """(n,) class numbers."""
        return self.classes

    @property
    def sample_weight(self) -> None:
        """None: a folder has no weights."""
        return


def valid_files(folder: Path, formats: tuple[str, ...], follow_links: bool) -> Iterable[str]:
    """The images under a folder, relative to it: sorted by their folder, then by name."""
    found = sorted(os.walk(folder, followlinks=follow_links), key=lambda place: place[0])
    for root, _, files in found:
        for file in sorted(files):
            if file.lower().endswith(".tiff"):
                warnings.warn(
                    'Using ".tiff" files with multiple bands will cause distortion. Please verify '
                    "your output.",
                    stacklevel=4,
                )
            if file.lower().endswith(formats):
                yield str(Path(root, file).relative_to(folder))


def say(sentence: str) -> None:
    """One line on standard output, where Keras says how many images it found."""
    sys.stdout.write(f"{sentence}\n")


def _class_folders(directory: Any) -> list[str]:
    return sorted(path.name for path in Path(directory).iterdir() if path.is_dir())


def _part(files: list[str], split: tuple[float, float] | None) -> list[str]:
    if split is None:
        return files
    return files[int(split[0] * len(files)) : int(split[1] * len(files))]
