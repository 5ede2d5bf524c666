"""``ImageDataGenerator.materialize``: the copies that a generator shows, written into a dataset.

The generator's augmentation becomes a pipeline, its standardisation becomes options for whoever
reads the dataset, and the images become levels: what is stored is what ``flow`` shows before
`standardize`, rounded once to 256 levels where the images have them. A ``preprocessing_function``
is called by `standardize`, so it is part of how the dataset is read, validation images included.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from materialize.api import build
from materialize.errors import ConfigError, UndecodableImageError
from materialize.manifest import Manifest
from materialize.production import BuildOptions, BuildReport
from materialize.sources import ArraySource, Source, open_source
from materialize.sources.base import Record
from materialize.sources.files import FileSource
from materialize.sources.naming import naturally_sorted
from materialize.sources.records import RecordTable
from materialize.sources.values import UNIT_CODE
from pipelines import Pipeline
from pipelines.preprocessing import Preprocessing
from pipelines.resizing import Resize
from pipelines.standardization import Standardization

_WHITE = 255.0


class Translated(Protocol):
    """What a generator must say of itself."""

    data_format: str

    @property
    def validation_split(self) -> float:
        """Fraction of the samples, from the first on, that is the validation part."""

    def to_pipeline(self, *, white: float = 255.0) -> Pipeline:
        """The augmentation."""

    def to_standardization(self, *, white: float = 255.0) -> Standardization:
        """What is done to the levels that are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingOptions:
    """How copies are stored."""

    copies: int
    """Of each training image: copy e is what epoch e shows."""
    seed: int = 0
    target_size: tuple[int, int] | None = None
    """(height, width) to resize to first, antialiased; Keras' ``flow_from_directory`` takes the
    nearest pixels unless told otherwise. None keeps sizes."""
    split: str | None = None
    """As `materialize.build` takes it; None cuts off ``validation_split`` of arrays."""
    workers: int = 1
    codec: str = "raw"
    build: BuildOptions | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What was written, and how it is to be read."""

    report: BuildReport = field(repr=False)
    pipeline: Pipeline
    standardization: Standardization
    """For `OpenDataset.standardizer`: batches are then what ``flow`` shows, but for rounding."""
    quantisation: str
    """What became of the values, in a sentence."""

    @property
    def manifest(self) -> Manifest | None:
        """The dataset's."""
        return self.report.manifest


def record_copies(
    generator: Translated, source: Any, output: Any, options: RecordingOptions
) -> Recording:
    """Writes augmented copies of a source into a dataset.

    Untouched images are stored as well where the standardisation needs statistics, which are fitted
    on them when the dataset is read.

    Args:
        generator: whose parameters.
        source: as `materialize.build` takes it; arrays in the generator's data format.
        output: the dataset's directory.
        options: how many copies, and how they are stored.

    Raises:
        ParameterError: a parameter has no stored form; the sentence says which and what to do.
        UserCodeError: the preprocessing function fails, or gives other values for the same image.
        ConfigError: a path and a ``validation_split`` without ``split``.
        MaterializeError: as `materialize.build`.
    """
    opened = _opened(generator, source, options)
    white, quantisation = _scale_of(opened)
    pipeline = generator.to_pipeline(white=white)
    if options.target_size is not None:
        height, width = options.target_size
        pipeline = replace(pipeline, steps=(Resize(height=height, width=width), *pipeline.steps))
    standardization = generator.to_standardization(white=white)
    function = standardization.preprocessing
    if function is not None:
        _rehearse(function, opened, pipeline)
        quantisation += f"; {function.name} is called with them when they are read"
    report = build(
        opened, output, pipeline=pipeline, copies=options.copies, seed=options.seed,
        codec=options.codec, originals=standardization.needs_statistics,
        value_range=(0.0, _WHITE) if _is_float(opened) else None, split=options.split,
        workers=options.workers, options=options.build,
    )  # fmt: skip
    return Recording(
        report=report, pipeline=pipeline, standardization=standardization,
        quantisation=quantisation,
    )  # fmt: skip


def _rehearse(function: Preprocessing, source: Source, pipeline: Pipeline) -> None:
    """Calls a function with the first image that can be read, before anything is written."""
    for row in range(len(source)):
        try:
            image = source.decode(source.identity_bytes(row), row).pixels
        except UndecodableImageError:
            continue  # the scan counts and names it
        function.rehearse(pipeline.prepare(image))
        return


class ListedFiles(FileSource):
    """Image files that an iterator lists, with their classes."""

    def __init__(self, paths: Sequence[str], labels: Sequence[str] | None) -> None:
        """Take files anywhere on one file system tree."""
        resolved = [os.path.abspath(path) for path in paths]  # noqa: PTH100  # links stay links
        root = Path(os.path.commonpath([os.path.dirname(path) for path in resolved]))  # noqa: PTH120
        names = labels if labels is not None else [None] * len(paths)
        records = [
            Record(Path(path).relative_to(root).as_posix(), label=name, split="train")
            for path, name in zip(resolved, names, strict=True)
        ]
        super().__init__(root, RecordTable.of(records, naturally_sorted(set(labels or ()))))

    def describe(self) -> dict[str, Any]:
        """Chosen in Python: whoever needs the files again passes them again."""
        return {"kind": "subset", "path": str(self.root), "records": len(self)}


def _opened(generator: Translated, source: Any, options: RecordingOptions) -> Source:
    if isinstance(source, str | Path):
        if generator.validation_split and options.split is None:
            raise ConfigError(
                f"validation_split: expected split beside a source on disk, got {source} alone; "
                f"pass split='{1 - generator.validation_split:g}/{generator.validation_split:g}', "
                "which cuts by content",
                {"name": "split", "found": None},
            )
        return open_source(source)
    if hasattr(source, "identity_bytes"):
        opened: Source = source
        return opened
    parts = _parts(source)
    cut = generator.validation_split
    if cut and options.split is None and list(parts) == ["train"]:
        images, labels = parts["train"]
        first = int(len(images) * cut)
        parts = {
            "train": (images[first:], None if labels is None else labels[first:]),
            "val": (images[:first], None if labels is None else labels[:first]),
        }
    return opened_arrays(generator, parts)


def opened_arrays(generator: Translated, parts: Mapping[str, tuple[Any, Any]]) -> Source:
    """The source over arrays.

    Args:
        generator: whose data format the images are in.
        parts: images, and labels or None, by split.
    """
    last = {name: _last(generator, part) for name, part in parts.items()}
    return open_source(
        {name: images if labels is None else (images, labels)
         for name, (images, labels) in last.items()}
    )  # fmt: skip


def _parts(source: Any) -> dict[str, tuple[Any, Any]]:
    """Images and labels by split, of what `open_source` takes for arrays."""
    if isinstance(source, Mapping):
        return {name: part if isinstance(part, tuple) else (part, None)
                for name, part in source.items()}  # fmt: skip
    if isinstance(source, tuple) and len(source) == 2:
        if isinstance(source[0], tuple):
            return {"train": source[0], "test": source[1]}
        return {"train": source}
    return {"train": (source, None)}


def _last(generator: Translated, part: tuple[Any, Any]) -> tuple[Any, Any]:
    """A part with its channels last."""
    images = np.asarray(part[0])
    if generator.data_format == "channels_first" and images.ndim == 4:
        images = np.ascontiguousarray(np.moveaxis(images, 1, 3))
    return images, part[1]


def _scale_of(source: Source) -> tuple[float, str]:
    """What white is in the images as the generator gets them, and what storing does to them."""
    if not isinstance(source, ArraySource):
        return _WHITE, "copies are uint8: each value is rounded once to one of 256 levels"
    conversions = {code for codes in source.describe()["conversions"].values() for code in codes}
    if UNIT_CODE in conversions:
        return 1.0, (
            "the images are levels divided by 255, and copies are stored as uint8: each value is "
            "rounded once to one of 256 levels, and the standardisation divides by 255"
        )
    if _is_float(source):
        return _WHITE, "copies are float32, as the images are: nothing is rounded"
    return _WHITE, "copies are uint8: each value is rounded once to one of 256 levels"


def _is_float(source: Source) -> bool:
    if not isinstance(source, ArraySource):
        return False
    return bool(source.decode(source.identity_bytes(0), 0).pixels.dtype.kind == "f")
