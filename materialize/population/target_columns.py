"""What a population keeps of targets: the numbers of every field, and a digest of what moves.

    target digest = SHA-256(what the objects say, with names instead of numbers ‖ the mask)

Masks and objects themselves stay in the source, like pixels; the digest says whether they are
still what the scan saw. Names enter it instead of numbers, which depend on what was known before.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.canonical import canonical_json
from materialize.population.column_file import ColumnSpec
from materialize.population.identity import DIGEST_BYTES
from materialize.sources.targets import Field, TargetSchema
from pipelines.objects import Objects

FACT = "targets"
"""Under which a population's facts hold the schema."""

_DIGESTS = "target_digests"
_DIGESTED = ("flags", "boxes", "keypoints", "ring_offsets", "point_offsets", "points")


@dataclass(frozen=True, slots=True, eq=False)
class TargetColumns:
    """The targets of n records, as far as the population keeps them."""

    schema: TargetSchema
    """Not empty; names are append-only from generation to generation."""
    fields: dict[str, NDArray[Any]]
    """(n, *field.shape) by name, in the order of the schema."""
    digests: NDArray[np.uint8] | None
    """(n, 32) what `target_digest` gives; None where nothing moves."""

    def __len__(self) -> int:
        """The number of records; there is always a column."""
        return len(next(iter(self.columns().values())))

    def columns(self) -> dict[str, NDArray[Any]]:
        """Every column under its name in a column file."""
        columns = {f"field_{name}": values for name, values in self.fields.items()}
        return columns if self.digests is None else {**columns, _DIGESTS: self.digests}

    @classmethod
    def of_columns(
        cls, schema: TargetSchema, columns: Mapping[str, NDArray[Any]]
    ) -> "TargetColumns":
        """What `columns` gave, among others, with its schema."""
        values = {field.name: columns[f"field_{field.name}"] for field in schema.fields}
        return cls(schema, values, columns[_DIGESTS] if schema.moves else None)

    def taken(self, rows: NDArray[np.integer]) -> "TargetColumns":
        """Some rows, in their order.

        Args:
            rows: (m,) in [0, n).
        """
        columns = {name: values[rows] for name, values in self.columns().items()}
        return TargetColumns.of_columns(self.schema, columns)

    @classmethod
    def joined(cls, parts: Sequence["TargetColumns"]) -> "TargetColumns":
        """The rows of several, one after the other; the last one knows all names."""
        schema = parts[-1].schema
        several = [part.columns() for part in parts]
        columns = {name: np.concatenate([c[name] for c in several]) for name in several[-1]}
        return cls.of_columns(schema, columns)

    def problem(self) -> str:
        """What is impossible about the numbers; empty if nothing is."""
        for field in self.schema.fields:
            if not is_possible(field, self.fields[field.name]):
                return f"field {field.name}"
        lengths = set(map(len, self.columns().values()))
        return "" if len(lengths) == 1 else "lengths of target columns"


def column_specs(schema: TargetSchema) -> dict[str, ColumnSpec]:
    """What a population file holds for a schema."""
    specs = {
        f"field_{field.name}": ColumnSpec(field.dtype.str, *field.shape) for field in schema.fields
    }
    return {**specs, _DIGESTS: ColumnSpec("|u1", DIGEST_BYTES)} if schema.moves else specs


def is_possible(field: Field, values: NDArray[Any]) -> bool:
    """Whether every number is one that the field can have.

    Args:
        field: what they are.
        values: (n, *field.shape) of its dtype.
    """
    if field.kind == "labels":
        return not len(values) or int(values.max()) <= 1
    if field.kind == "label":
        return bool(((values >= 0) & (values < len(field.names))).all())
    finite = bool(np.isfinite(values).all())
    return finite and (field.kind != "weight" or bool((values >= 0).all()))


def renumbered(field: Field, values: NDArray[Any], known: Field) -> NDArray[Any]:
    """A field's numbers with the names that a dataset has for it.

    Args:
        field: what the source says, whose names are all in ``known``.
        values: (n, *field.shape).
        known: what the dataset says.
    """
    if field.names == known.names or field.kind not in ("label", "labels"):
        return values
    numbers = np.array([known.names.index(name) for name in field.names])
    if field.kind == "label":
        result: NDArray[Any] = numbers.astype(field.dtype)[values]
        return result
    placed = np.zeros((len(values), *known.shape), field.dtype)
    placed[:, numbers] = values
    return placed


def target_digest(
    names: Sequence[str], objects: Objects | None, mask: NDArray[np.uint8] | None
) -> bytes:
    """The SHA-256 of a record's objects and mask.

    Args:
        names: class names of objects, in the order of the source's numbers.
        objects: of one record, as its source gives them.
        mask: (H, W, channels), as its source gives it.
    """
    hashed = hashlib.sha256(b"materialize targets 1\0")
    if objects is not None:
        facts: dict[str, Any] = {"names": [names[label] for label in objects.labels.tolist()]}
        columns = {name: getattr(objects, name) for name in _DIGESTED}
        facts |= {name: list(values.shape) for name, values in columns.items()}
        hashed.update(canonical_json(facts))
        for values in columns.values():
            hashed.update(values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())
    if mask is not None:
        hashed.update(canonical_json({"mask": list(mask.shape)}))
        hashed.update(np.ascontiguousarray(mask).data)
    return hashed.digest()
