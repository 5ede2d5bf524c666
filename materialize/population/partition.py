"""How images are shared out among splits or folds, and the proof that nothing lies in two of them.

The proof knows nothing of how the parts came about: it compares contents and groups themselves, so
that it holds for splits that a source brought along as well as for those that were cut here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materialize.population.identity import equal_rows
from materialize.population.table import Population


@dataclass(frozen=True, slots=True)
class Partition:
    """Images by class and part, and what was found in several parts."""

    names: tuple[str, ...]
    """Of the parts, such as ``train`` or ``fold 0``."""
    class_names: tuple[str, ...]
    """Of the rows of ``counts``; one empty name for unlabelled images."""
    counts: tuple[tuple[int, ...], ...]
    """Images by class and part."""
    num_contents: int
    """Distinct contents that were compared."""
    num_groups: int
    """Distinct groups that were compared."""
    torn_contents: tuple[str, ...]
    """Equal images in several parts, such as ``a/1.png (train) = b/2.png (test)``; sorted."""
    torn_groups: tuple[str, ...]
    """Groups in several parts, such as ``patient 7 (train, test)``; sorted."""

    @property
    def is_whole(self) -> bool:
        """Whether no content and no group is in two parts."""
        return not self.torn_contents and not self.torn_groups

    @property
    def totals(self) -> tuple[int, ...]:
        """Images by part."""
        return tuple(map(sum, zip(*self.counts, strict=True)))


def partition_of(
    population: Population,
    rows: NDArray[np.int64],
    parts: NDArray[np.integer],
    names: Sequence[str],
) -> Partition:
    """Looks at a division of images.

    Args:
        population: the images.
        rows: (n,) those that are divided.
        parts: (n,) the part of each, an index into ``names``.
        names: of the parts.
    """
    class_names = population.class_names or ("",)
    # Unlabelled images are -1 throughout: one class.
    cells = np.maximum(population.labels[rows], 0) * len(names) + parts
    counts = np.bincount(cells, minlength=len(class_names) * len(names))
    table = counts.reshape(-1, len(names)).tolist()
    repeated = equal_rows(population.digests[rows])
    members, locators = _members(population, rows), population.locators.taken(rows)
    return Partition(
        names=tuple(names),
        class_names=class_names,
        counts=tuple(map(tuple, table)),
        num_contents=len(rows) - sum(len(equal) - 1 for equal in repeated),
        num_groups=len(members),
        torn_contents=tuple(sorted(_torn_contents(repeated, parts, names, locators))),
        torn_groups=tuple(sorted(_torn_groups(members, parts, names))),
    )


def _torn_contents(
    repeated: Sequence[NDArray[np.int64]],
    parts: NDArray[np.integer],
    names: Sequence[str],
    locators: Sequence[str],
) -> Iterator[str]:
    for equal in repeated:
        if len(np.unique(parts[equal])) > 1:
            places = (f"{locators[place]} ({names[parts[place]]})" for place in equal.tolist())
            yield " = ".join(sorted(places))


def _torn_groups(
    members: dict[str, list[int]], parts: NDArray[np.integer], names: Sequence[str]
) -> Iterator[str]:
    for group, places in members.items():
        found = np.unique(parts[places])
        if len(found) > 1:
            yield f"{group} ({', '.join(names[part] for part in found)})"


def _members(population: Population, rows: NDArray[np.int64]) -> dict[str, list[int]]:
    """The places of each group; images of no group are in none."""
    members: dict[str, list[int]] = {}
    if len(population.groups.values):
        for place, row in enumerate(rows.tolist()):
            if group := population.groups[row]:
                members.setdefault(group, []).append(place)
    return members
