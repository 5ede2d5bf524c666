"""Sources of images: folders, tables, arrays, and data sets by name.

`open_source` recognises what it is given; each kind takes the options of its own dataclass. A kind
is one module here and one line in `_opener`.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from materialize.errors import ConfigError, SourceError
from materialize.sources.annotations import AnnotatedSource
from materialize.sources.array_files import npy_source, npz_source
from materialize.sources.arrays import ArrayOptions, ArraySource, memory_source
from materialize.sources.base import DecodedImage, Image, Measurement, Pixels, Record, Source
from materialize.sources.coco import PREFIX as COCO_PREFIX
from materialize.sources.coco import coco_source
from materialize.sources.digits import digits_source
from materialize.sources.folder import FolderOptions, FolderSource
from materialize.sources.idx import idx_source, is_idx_folder
from materialize.sources.keras_datasets import PREFIX as KERAS_PREFIX
from materialize.sources.keras_datasets import keras_source
from materialize.sources.labelme import PREFIX as LABELME_PREFIX
from materialize.sources.labelme import labelme_source
from materialize.sources.table import TableSource
from materialize.sources.table_fields import TableOptions
from materialize.sources.voc import PREFIX as VOC_PREFIX
from materialize.sources.voc import is_voc_folder, voc_source

__all__ = [
    "AnnotatedSource",
    "ArrayOptions",
    "ArraySource",
    "DecodedImage",
    "FolderOptions",
    "FolderSource",
    "Image",
    "Measurement",
    "Pixels",
    "Record",
    "Source",
    "TableOptions",
    "TableSource",
    "open_source",
    "source_from_description",
]


_DIGITS = "digits"
_ACCEPTED = (
    "expected a folder, a .csv, .tsv, .npz or .npy file, keras:NAME, digits, or COCO's .json file"
)


@dataclass(frozen=True, slots=True)
class _NoOptions:
    """The options of a source that has none."""


@dataclass(frozen=True, slots=True)
class AnnotationOptions:
    """How images with annotation files are read."""

    annotations: tuple[str, ...] = ()
    """COCO files: the folder's own, or further ones beside the one that was named."""
    follow_links: bool = False
    """Follow links that leave the folder."""


@dataclass(frozen=True, slots=True)
class _LinkOptions:
    """How a folder that holds its annotations itself is read."""

    follow_links: bool = False


class _Opener(NamedTuple):
    """How one kind of source is opened."""

    options_type: type[Any]
    open: Callable[[Any], Source]


def open_source(spec: object, **options: Any) -> Source:
    """Open whatever ``spec`` is.

    Args:
        spec: a folder of images, of IDX files or of Pascal VOC (also ``voc:PATH``), a .csv or .tsv
            table, an .npz or .npy file, a .json file of COCO's (also ``coco:FILE``),
            ``labelme:PATH``, ``keras:NAME``, ``digits``, or arrays: ``images``,
            ``(images, labels)``, ``((x_train, y_train), (x_test, y_test))``, or a mapping from
            split to one of the first two or to a mapping of ``images``, ``labels``, ``fields``.
        options: the fields of `FolderOptions`, `TableOptions`, `ArrayOptions` or
            `AnnotationOptions`, whichever applies. ``labels`` with a .csv or .tsv file beside a
            folder opens that table over the folder, ``annotations`` with .json files opens these.

    Raises:
        ConfigError: an option does not apply to this kind of source.
        SourceError: it is absent, none of these, or cannot be used.
    """
    if isinstance(spec, str | Path) and Path(spec).is_dir() and "labels" in options:
        # `folder --labels labels.csv` is the table with the folder as its root.
        table = Path(options.pop("labels"))
        return open_source(table, root=str(spec), **options)
    name, opener = _opener(spec, is_annotated="annotations" in options)
    known = [field.name for field in fields(opener.options_type)] if options else []
    for option in options:
        if option not in known:
            nearest = difflib.get_close_matches(option, known, n=1)
            hint = (
                f"did you mean {_typed(nearest[0])}?"
                if nearest
                else f"known: {', '.join(map(_typed, known)) or 'none'}"
            )
            raise ConfigError(
                f"{name} has no option {_typed(option)}; {hint}",
                {"found": option, "expected": known},
            )
    return opener.open(opener.options_type(**options))


def _typed(option: str) -> str:
    """An option as it is typed."""
    return option.replace("_", "-")


def _opener(spec: object, *, is_annotated: bool) -> tuple[str, _Opener]:
    """What to call a source of this kind, and how to open it."""
    if not isinstance(spec, str | Path):
        return "an array source", _Opener(ArrayOptions, lambda o: memory_source(spec, o))
    if spec == _DIGITS and not Path(spec).exists():
        return "digits", _Opener(_NoOptions, lambda _: digits_source())
    if isinstance(spec, str) and spec.startswith(KERAS_PREFIX):
        name = spec.removeprefix(KERAS_PREFIX)
        return spec, _Opener(ArrayOptions, lambda o: keras_source(name, o))
    annotated = _annotated_opener(spec, is_annotated=is_annotated)
    if annotated is not None:
        return annotated
    return _path_opener(spec)


def _path_opener(spec: str | Path) -> tuple[str, _Opener]:
    """As `_opener`, of a folder or a file without annotations."""
    path = Path(spec)
    if path.is_dir():
        if is_idx_folder(path):
            return "an IDX folder", _Opener(ArrayOptions, lambda o: idx_source(path, o))
        return "a folder", _Opener(FolderOptions, lambda o: FolderSource(path, o))
    if not path.exists():
        nearest = difflib.get_close_matches(str(spec), [_DIGITS], n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else "check the path"
        raise SourceError(f"{path} does not exist: {_ACCEPTED}; {hint}", {"path": str(path)})
    match path.suffix.lower():
        case ".csv" | ".tsv":
            return "a table", _Opener(TableOptions, lambda o: TableSource(path, o))
        case ".npz":
            return "an .npz file", _Opener(ArrayOptions, lambda o: npz_source(path, o))
        case ".npy":
            return "an .npy file", _Opener(ArrayOptions, lambda o: npy_source(path, o))
    raise SourceError(
        f"{path} is no source; {_ACCEPTED}",
        {"path": str(path)},
    )


def _annotated_opener(spec: str | Path, *, is_annotated: bool) -> tuple[str, _Opener] | None:
    """As `_opener`, of images that have annotation files; None where these have none."""
    text, path = str(spec), Path(spec)

    def coco(files: tuple[str, ...], root: Path | None, o: AnnotationOptions) -> Source:
        return coco_source(list(map(Path, files)), root, follow_links=o.follow_links)

    if text.startswith(VOC_PREFIX) or is_voc_folder(path):
        root = Path(text.removeprefix(VOC_PREFIX))
        return "a VOC folder", _Opener(_LinkOptions, lambda o: voc_source(root, **asdict(o)))
    if text.startswith(LABELME_PREFIX):
        root = Path(text.removeprefix(LABELME_PREFIX))
        return "a LabelMe folder", _Opener(
            _LinkOptions, lambda o: labelme_source(root, **asdict(o))
        )
    if is_annotated and path.is_dir():
        return "a folder with annotations", _Opener(
            AnnotationOptions, lambda o: coco(o.annotations, path, o)
        )
    file = text.removeprefix(COCO_PREFIX)
    if file != text or (path.suffix.lower() == ".json" and path.is_file()):
        return "a COCO file", _Opener(
            AnnotationOptions, lambda o: coco((file, *o.annotations), None, o)
        )
    return None


def source_from_description(description: Mapping[str, Any]) -> Source:
    """Open a source again from what its `describe` said.

    Raises:
        SourceError: it is not where it was, or it only ever was in memory.
    """
    kind = description.get("kind")
    if kind == "memory":
        raise SourceError(
            "the images were arrays in memory: pass the same arrays again as the source",
            {"kind": kind},
        )
    if kind == "subset":
        raise SourceError(
            "the images were a part of a source, chosen in Python: pass that part again",
            {"kind": kind},
        )
    if kind == "digits":
        return open_source("digits")
    spec = f"{KERAS_PREFIX}{description['name']}" if kind == "keras" else description["path"]
    return open_source(spec, **description.get("options", {}))
