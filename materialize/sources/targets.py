"""What a source knows of its images besides their class.

Two kinds of it. *Fields* are numbers that no augmentation changes: several labels at once, further
label columns, regression targets, sample weights. They are read by the scan and kept in the
population. *Masks and objects* move with the pixels. Like pixels they stay in the source until they
are needed: the scan keeps their digest alone, which becomes part of what a shard is made from.
"""

import re
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec
import numpy as np
from numpy.typing import NDArray

from materialize.errors import ConfigError, SourceError
from materialize.sources.base import Source, first_few
from pipelines.objects import ObjectKinds, Objects

FieldKind = Literal["labels", "label", "value", "weight"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")
_TAKEN = ("label", "mask", "object_labels", "boxes", "keypoints")
"""Names under which frameworks are given other targets."""


@dataclass(frozen=True, slots=True)
class Field:
    """Numbers that every record has, under one name."""

    name: str
    """Lower-case letters, digits and _: the name of a dataset in shards."""
    kind: FieldKind
    """``labels``: which of ``names`` apply, any number of them; ``label``: one of ``names``;
    ``value``: regression targets, one for each of ``names``; ``weight``: of the sample."""
    names: tuple[str, ...] = ()
    """Of the classes, or of the targets; empty for a weight."""

    def __post_init__(self) -> None:
        """Checks the name, and that there are names where numbers are to be named.

        Raises:
            ConfigError: it is no name, or ``names`` does not fit the kind.
        """
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"field {self.name!r}: expected a name of lower-case letters, digits and _ that "
                "begins with a letter, 48 at most; rename it",
                {"name": self.name, "expected": _NAME.pattern},
            )
        if self.name in _TAKEN:
            raise ConfigError(
                f"field {self.name!r}: expected another name than {', '.join(_TAKEN)}, under which "
                "models are given other targets; rename it",
                {"name": self.name, "expected": f"none of {', '.join(_TAKEN)}"},
            )
        if bool(self.names) == (self.kind == "weight") or len(set(self.names)) < len(self.names):
            raise ConfigError(
                f"field {self.name!r}: expected distinct names, and none for a weight, got "
                f"{', '.join(self.names[:5]) or 'none'} for {self.kind}",
                {"name": self.name, "found": self.names},
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one record's numbers: () for a label or a weight, otherwise one for each name."""
        return (len(self.names),) if self.kind in ("labels", "value") else ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """uint8 (0 or 1) for ``labels``, int32 for ``label``, float32 for the others."""
        return np.dtype({"labels": "|u1", "label": "<i4"}.get(self.kind, "<f4"))


@dataclass(frozen=True, slots=True)
class TargetSchema:
    """What every record of a source has besides its class."""

    objects: ObjectKinds | None = None
    mask_names: tuple[str, ...] = ()
    """One name for each channel of the masks; empty where there are no masks."""
    fields: tuple[Field, ...] = ()
    mask_labels: tuple[tuple[int, str], ...] = ()
    """Numbers in masks and what they mean, in ascending order; empty where nobody said."""

    def __post_init__(self) -> None:
        """Checks that no two fields share a name.

        Raises:
            ConfigError: some do.
        """
        names = [field.name for field in self.fields]
        if len(set(names)) < len(names):
            raise ConfigError(
                f"fields {', '.join(names)}: expected distinct names; rename one",
                {"name": "fields", "found": names},
            )

    @property
    def weight(self) -> str | None:
        """The name of the field that says what each image counts, if there is one."""
        return next((field.name for field in self.fields if field.kind == "weight"), None)

    @property
    def moves(self) -> bool:
        """Whether anything moves with the pixels."""
        return self.objects is not None or bool(self.mask_names)

    def __bool__(self) -> bool:
        """Whether there is anything at all."""
        return self.moves or bool(self.fields)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict; what numbers in masks mean only where it is known."""
        facts = asdict(self)
        return facts if self.mask_labels else {k: facts[k] for k in facts if k != "mask_labels"}

    @classmethod
    def from_json(cls, value: Any) -> "TargetSchema":
        """The schema in a decoded JSON value.

        Raises:
            ValueError: it is no schema.
        """
        return msgspec.convert(value, cls)


@dataclass(frozen=True, slots=True)
class TargetNote:
    """What was read in another way than it was written."""

    what: str
    """Such as ``boxes without an area, left out``."""
    where: tuple[str, ...]
    """Each of them, such as ``a.jpg (cat)``."""

    def __str__(self) -> str:
        """How many of what, and the first of them."""
        return f"{len(self.where)} {self.what}: {first_few(self.where)}"


NO_TARGETS = TargetSchema()
"""Of a source whose records have a class at most."""


@runtime_checkable
class TargetSource(Source, Protocol):
    """A source whose records have more than a class."""

    def schema(self) -> TargetSchema:
        """What they have."""
        ...

    def field_columns(self) -> tuple[NDArray[Any], ...]:
        """(len(self), *field.shape) of the field's dtype, in the order of the schema's fields."""
        ...

    def objects(self, index: int) -> Objects:
        """The objects of one record, in pixels of its image as ``decode`` gives it.

        Raises:
            RecordReadError: they could not be read.
            UndecodableImageError: what is there is no such thing.
        """
        ...

    def mask(self, index: int) -> NDArray[np.uint8]:
        """(H, W, len(mask_names)) labels, of the size of the image as ``decode`` gives it.

        Raises:
            RecordReadError: it could not be read.
            UndecodableImageError: what is there is no such thing.
        """
        ...


def schema_of(source: Source) -> TargetSchema:
    """What the records of any source have besides their class."""
    return source.schema() if isinstance(source, TargetSource) else NO_TARGETS


def field_columns_of(source: Source) -> tuple[NDArray[Any], ...]:
    """The numbers of any source's fields, (len(source), *field.shape) each."""
    return source.field_columns() if isinstance(source, TargetSource) else ()


def notes_of(source: Source) -> tuple[TargetNote, ...]:
    """What any source read in another way than it was written."""
    notes = getattr(source, "notes", None)
    return notes() if callable(notes) else ()


def merged(known: TargetSchema | None, found: TargetSchema) -> TargetSchema:
    """The schema of a dataset that grows: names are only ever appended, like classes.

    Args:
        known: of the dataset; None where there is none yet.
        found: of the source that new images come from.

    Raises:
        SourceError: the source has other kinds of targets, keypoints or fields.
    """
    if known is None:
        return found
    objects, fields = known.objects, known.fields
    _check_same("masks", known.mask_names, found.mask_names)
    _check_same("mask_labels", known.mask_labels, found.mask_labels)
    _check_same("objects", objects is not None, found.objects is not None)
    if objects is not None and found.objects is not None:
        for what in ("keypoint_names", "keypoint_swaps"):
            _check_same(what, getattr(objects, what), getattr(found.objects, what))
        objects = replace(objects, names=_appended(objects.names, found.objects.names))
    _check_same(
        "fields", [(f.name, f.kind) for f in fields], [(f.name, f.kind) for f in found.fields]
    )
    grown = []
    for field, new in zip(fields, found.fields, strict=True):
        if field.kind == "label":
            grown.append(replace(field, names=_appended(field.names, new.names)))
            continue
        if field.kind == "value" or not set(new.names) <= set(field.names):
            _check_same(f"names of field {field.name}", field.names, new.names)
        grown.append(field)
    return TargetSchema(objects, known.mask_names, tuple(grown), known.mask_labels)


def _appended(known: tuple[str, ...], found: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*known, *found)))


def _check_same(what: str, expected: Any, found: Any) -> None:
    if expected != found:
        raise SourceError(
            f"the {what} of the source: expected {expected!r} as the dataset has them, found "
            f"{found!r}; open the source with the same options, or build another dataset",
            {"expected": expected, "found": found},
        )
