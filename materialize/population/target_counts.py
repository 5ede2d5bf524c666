"""What there is of targets in a population, counted for people: `check` prints it."""

from collections import Counter
from dataclasses import dataclass
from typing import cast

import numpy as np

from materialize.population.table import Population
from materialize.sources.base import Source
from materialize.sources.targets import TargetNote, TargetSource, notes_of, schema_of

_MASKS_READ = 20_000
"""Masks beyond so many are not looked at: their labels repeat."""


@dataclass(frozen=True, slots=True)
class TargetCounts:
    """The targets of all images that were accepted."""

    objects: dict[str, int]
    """By class, in label order; empty where there are no objects."""
    images_without_objects: int
    mask_labels: dict[int, int]
    """In how many images each label of the masks is; empty where there are no masks."""
    fields: dict[str, dict[str, float]]
    """By field: how many images have each label; of values and weights their least and greatest."""
    notes: tuple[TargetNote, ...]
    """What was read in another way than it was written."""
    mask_label_names: dict[int, str]
    """What labels of masks mean, where somebody said."""

    def lines(self) -> list[str]:
        """One for each kind of target."""
        lines = []
        if self.objects:
            named = ", ".join(f"{count:,} {name}" for name, count in self.objects.items())
            lines.append(
                f"{sum(self.objects.values()):,} objects: {named}; {self.images_without_objects:,} "
                "images without any"
            )
        if self.mask_labels:
            names = self.mask_label_names
            named = ", ".join(
                f"{label}{f' {names[label]}' if label in names else ''} in {n:,}"
                for label, n in self.mask_labels.items()
            )
            lines.append(f"masks: labels {named} images")
        for name, counts in self.fields.items():
            named = ", ".join(f"{label} {number:,.6g}" for label, number in counts.items())
            lines.append(f"field {name}: {named}")
        return lines


def count_targets(source: Source, population: Population) -> TargetCounts | None:
    """The targets of a population; None where there are none.

    Args:
        source: what was scanned.
        population: what the scan gave.

    Raises:
        RecordReadError: a mask or an annotation could not be read.
    """
    if population.targets is None:
        return None
    schema, found = schema_of(source), cast("TargetSource", source)
    records = population.source_index.tolist()
    objects, without = {}, 0
    if schema.objects is not None:
        labels = [found.objects(index).labels for index in records]
        together = np.concatenate([np.empty(0, np.int32), *labels])
        counts = np.bincount(together, minlength=len(schema.objects.names)).tolist()
        objects = dict(zip(schema.objects.names, counts, strict=True))
        without = sum(not len(one) for one in labels)
    seen: Counter[int] = Counter()
    for index in records[:_MASKS_READ] if schema.mask_names else ():
        seen.update(np.unique(found.mask(index)).tolist())
    masks = {label: seen[label] for label in sorted(seen)}
    return TargetCounts(
        objects, without, masks, _fields(population), notes_of(source), dict(schema.mask_labels)
    )


def _fields(population: Population) -> dict[str, dict[str, float]]:
    columns = {} if population.targets is None else population.targets.fields
    counted: dict[str, dict[str, float]] = {}
    for field in population.schema.fields:
        values = columns[field.name]
        if field.kind == "labels":
            pairs = zip(field.names, values.sum(axis=0, dtype=np.int64).tolist(), strict=True)
            counted[field.name] = dict(pairs)
        elif field.kind == "label":
            numbers = np.bincount(values, minlength=len(field.names)).tolist()
            counted[field.name] = dict(zip(field.names, numbers, strict=True))
        elif len(values):
            least, most = float(values.min()), float(values.max())
            counted[field.name] = {"from": least, "to": most}
    return counted
