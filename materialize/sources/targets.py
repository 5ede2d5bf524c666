"""What a source knows of its images besides their class.

Two kinds of it. *Fields* are numbers that no augmentation changes: several labels at once, further
label columns, regression targets, sample weights. They are read by the scan and kept in the
population. *Masks and objects* move with the pixels. Like pixels they stay in the source until they
are needed: the scan keeps their digest alone, which becomes part of what a shard is made from.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from materialize.sources.base import Source
from pipelines.objects import ObjectKinds, Objects

FieldKind = Literal["labels", "label", "value", "weight"]


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

    @property
    def width(self) -> int:
        """Numbers per record."""
        return len(self.names) if self.kind in ("labels", "value") else 1

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
    fields: tuple[Field, ...] = field(default=())

    @property
    def moves(self) -> bool:
        """Whether anything moves with the pixels."""
        return self.objects is not None or bool(self.mask_names)


@runtime_checkable
class TargetSource(Source, Protocol):
    """A source whose records have more than a class."""

    def schema(self) -> TargetSchema:
        """What they have."""
        ...

    def field_values(self, index: int) -> tuple[NDArray[Any], ...]:
        """The numbers of one record, (width,) of the field's dtype, in the order of the schema."""
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
    return source.schema() if isinstance(source, TargetSource) else TargetSchema()
