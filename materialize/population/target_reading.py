"""Masks and objects of records: read from the source, and checked against what the scan saw."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from materialize.errors import RecordReadError, UndecodableImageError
from materialize.population.table import Population
from materialize.population.target_columns import target_digest
from materialize.sources.base import Source
from materialize.sources.targets import TargetSource, schema_of
from pipelines.objects import Objects


@dataclass(frozen=True, slots=True, eq=False)
class RecordTargets:
    """What moves with the pixels of one record."""

    names: tuple[str, ...]
    """Class names of objects."""
    objects: Objects | None
    """Of one image; None where the source has none."""
    mask: NDArray[np.uint8] | None
    """(H, W, channels); None where the source has none."""


def read_targets(source: Source, index: int, size: tuple[int, int]) -> RecordTargets:
    """The mask and the objects of a record, as its source gives them.

    Args:
        source: one whose schema moves.
        index: the record's number.
        size: (height, width) of its image.

    Raises:
        RecordReadError: they could not be read.
        UndecodableImageError: what is there is no such thing, or the mask has another size.
    """
    schema, found = schema_of(source), cast("TargetSource", source)
    objects = found.objects(index) if schema.objects is not None else None
    mask = found.mask(index) if schema.mask_names else None
    if mask is not None and mask.shape != (*size, len(schema.mask_names)):
        detail = f"its image is {size[0]} x {size[1]} (height x width), its mask {mask.shape}"
        raise UndecodableImageError(
            f"{source.record(index).locator}: {detail}; write a mask of the image's size",
            {"reason": "mask-size", "detail": detail, "format": None},
        )
    return RecordTargets(schema.objects.names if schema.objects else (), objects, mask)


@dataclass(frozen=True, slots=True, eq=False)
class LoadedTargets:
    """What moves with the pixels of some rows."""

    objects: Objects | None
    """Of r images, with the population's numbers of classes; None where it has none."""
    masks: list[NDArray[np.uint8]] | None
    """r arrays (H, W, channels) of the size of their images; None where it has none."""


def load_targets(source: Source, population: Population, rows: Iterable[int]) -> LoadedTargets:
    """The masks and the objects of these rows.

    Args:
        source: the source that was scanned.
        population: what the scan gave; something moves in it.
        rows: rows of the population.

    Raises:
        RecordReadError: they could not be read, or are not what was scanned.
        UndecodableImageError: they are no such thing any more.
    """
    parts = [_loaded(source, population, int(row)) for row in rows]
    kinds, found = population.schema.objects, schema_of(source).objects
    objects = None
    if kinds is not None and found is not None:
        several = [part.objects for part in parts if part.objects is not None]
        none = Objects.none(0, len(kinds.keypoint_names))
        objects = Objects.joined([none, *several])
        # A source may know classes that came later; no object of these rows is of one.
        number = {name: place for place, name in enumerate(kinds.names)}
        numbers = np.array([number.get(name, -1) for name in found.names], np.int32)
        objects = replace(objects, labels=numbers[objects.labels])
    masks = [part.mask for part in parts if part.mask is not None]
    return LoadedTargets(objects, masks if population.schema.mask_names else None)


def _loaded(source: Source, population: Population, row: int) -> RecordTargets:
    index, locator = int(population.source_index[row]), population.locators[row]
    size = (int(population.heights[row]), int(population.widths[row]))
    part = read_targets(source, index, size)
    digest = target_digest(part.names, part.objects, part.mask).hex()
    expected = _expected_digest(population, row)
    if digest != expected:
        raise RecordReadError(
            f"{locator}: its mask or its objects are not what was scanned: expected SHA-256 "
            f"{expected}, found {digest}; restore the annotation, or scan again",
            {"locator": locator, "expected": expected, "found": digest},
        )
    return part


def _expected_digest(population: Population, row: int) -> str:
    digests = population.targets.digests if population.targets is not None else None
    return "" if digests is None else digests[row].tobytes().hex()
