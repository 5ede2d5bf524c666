"""Which classes the best arm takes for which, counted over all its trainings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from materialize.contrast.results import ArmSummary, ContrastResult
from materialize.report.cells import percent_text, words
from materialize.report.columns import Column, Table

CLASSES_IN_FULL = 12
"""With more classes the matrix is unreadable and the most frequent confusions are listed."""
_CONFUSIONS_LISTED = 12
_SHORT_NAME = 5
"""Letters of a class name that fit above a column."""

Matrix = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Confusion:
    """The matrix of one arm."""

    arm: ArmSummary
    num_models: int
    class_names: tuple[str, ...]
    counts: Matrix
    """Row: true class, column: predicted class."""

    @property
    def is_in_full(self) -> bool:
        """Whether there are few enough classes to show it as it is."""
        return len(self.class_names) <= CLASSES_IN_FULL

    @property
    def is_abbreviated(self) -> bool:
        """Whether columns are headed by letters, because the names are too long for that."""
        return max(map(len, self.class_names)) > _SHORT_NAME

    @property
    def short_names(self) -> tuple[str, ...]:
        """What stands over the columns."""
        return tuple(ascii_uppercase[: len(self.class_names)]) if self.is_abbreviated else (
            self.class_names)  # fmt: skip

    def share(self, true: int, predicted: int) -> float:
        """How much of a true class was predicted so, in [0, 1]."""
        return self.counts[true][predicted] / max(sum(self.counts[true]), 1)

    def most_frequent(self) -> Table:
        """The most frequent confusions, for many classes."""
        pairs = [
            (self.counts[true][predicted], true, predicted)
            for true in range(len(self.counts))
            for predicted in range(len(self.counts))
            if true != predicted and self.counts[true][predicted]
        ]
        rows = tuple(
            (
                words(self.class_names[true]),
                words(self.class_names[predicted]),
                words(f"{number:,}"),
                words(percent_text(self.share(true, predicted))),
            )
            for number, true, predicted in sorted(pairs, key=lambda p: (-p[0], p[1], p[2]))[
                :_CONFUSIONS_LISTED
            ]
        )
        columns = (
            Column("True class", is_number=False), Column("Taken for", is_number=False),
            Column("Images"), Column("Of the true class, %"),
        )  # fmt: skip
        return Table("The most frequent confusions", columns, rows)


def best_confusion(result: ContrastResult) -> Confusion | None:
    """Of the arm with the highest mean accuracy among those that have a matrix."""
    for arm in sorted(result.arms, key=lambda each: -each.accuracy):
        together = [e.confusion for e in result.ensembles if e.name == arm.name and e.confusion]
        matrices = together or [r.confusion for r in result.runs if r.name == arm.name]
        matrices = [matrix for matrix in matrices if matrix]
        if matrices:
            names = _names(result.dataset.get("class_names", ()), len(matrices[0]))
            return Confusion(arm, len(matrices), names, _sum(matrices))
    return None


def _sum(matrices: Sequence[Matrix]) -> Matrix:
    return tuple(
        tuple(sum(places) for places in zip(*rows, strict=True))
        for rows in zip(*matrices, strict=True)
    )


def _names(names: Iterable[str], number: int) -> tuple[str, ...]:
    named = tuple(map(str, names))
    return named if len(named) == number else tuple(map(str, range(number)))
