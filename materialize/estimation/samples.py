"""What was seen of a dataset that is not there yet, and what that says about all of it."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from materialize.estimation.encoding import Bench, CodecTrial
from materialize.estimation.intervals import Interval, Whole, total_bytes, total_of

_FEW_ROWS = 8
"""Images of a class, seen, from which its own bytes are told; below, those of all classes are."""


@dataclass(slots=True)
class Seen:
    """The bytes of one kind of image in one codec."""

    values: list[list[float]] = field(default_factory=list)
    """By cluster and copy."""
    correction: float = 1.0
    """Bytes of whole blocks for each byte of the parts that were encoded."""

    @property
    def table(self) -> NDArray[np.float64]:
        """(clusters, copies) bytes."""
        return np.array(self.values, np.float64) * self.correction


@dataclass(slots=True)
class SplitSample:
    """What was seen of one split."""

    split: str
    num_rows: int
    """Sources of the split."""
    num_clusters: int
    """That the sample was drawn from."""
    num_copies: int
    is_entire: bool
    """Whether every copy of every cluster is seen, copies in order."""
    labels: list[NDArray[np.int64]] = field(default_factory=list)
    """(classes,) images of each class, by cluster."""
    seen: dict[tuple[str, str], Seen] = field(default_factory=dict)
    """By codec and kind."""

    @property
    def drawn(self) -> int:
        """Clusters so far."""
        return len(self.labels)

    @property
    def rows(self) -> NDArray[np.float64]:
        """(clusters,) sources in each."""
        return np.array([counts.sum() for counts in self.labels], np.float64)

    def total(self, codec: str, kind: str, copies: int | None = None) -> Interval:
        """Encoded bytes of one kind of image.

        Args:
            codec: its name.
            kind: ``copy`` or ``original``.
            copies: of another number of copies than the sample was drawn for.
        """
        whole = self._whole(kind, copies)
        return total_bytes(self._table(codec, kind, whole), self.rows, whole)

    def class_totals(
        self, codec: str, kind: str, num_rows: NDArray[np.int64], copies: int | None = None
    ) -> list[Interval]:
        """Encoded bytes of every class: its share, by images, of every block it is in.

        Args:
            codec: its name.
            kind: ``copy`` or ``original``.
            num_rows: (classes,) images in the split.
            copies: of another number of copies than the sample was drawn for.
        """
        rows, labels = self.rows, np.stack(self.labels).astype(np.float64)
        whole = self._whole(kind, copies)
        table = self._table(codec, kind, whole)
        spread = float((table.mean(axis=1) / rows).std()) * whole.num_copies
        found = []
        for count, here in zip(num_rows.tolist(), labels.T, strict=True):
            if here.sum() < min(_FEW_ROWS, count):
                # Of so few, all that is known is what images take in general.
                general = total_bytes(table, rows, whole, domain_rows=count)
                half = max(general.half, 2 * spread * count)
                found.append(Interval.around(general.value, half))
            else:
                shares = table * (here / rows)[:, None]
                found.append(total_bytes(shares, here, whole, domain_rows=count))
        return found

    def _table(self, codec: str, kind: str, whole: Whole) -> NDArray[np.float64]:
        """(clusters, copies) bytes; of the first copies alone where all were seen, in order."""
        table = self.seen[codec, kind].table
        return table[:, : whole.num_copies] if self.is_entire else table

    def _whole(self, kind: str, copies: int | None) -> Whole:
        copies = (copies or self.num_copies) if kind == "copy" else 1
        clusters = max(self.num_clusters, self.drawn)
        return Whole(num_rows=self.num_rows, num_clusters=clusters, num_copies=copies)


@dataclass(slots=True)
class Sample:
    """Everything that was seen."""

    bench: Bench
    trials: dict[str, CodecTrial]
    splits: dict[str, SplitSample] = field(default_factory=dict)
    num_images: int = 0
    """Sources that were drawn."""
    seconds: float = 0.0
    ended_by: str = ""
    """``precision``, ``everything seen``, ``images`` or ``seconds``."""

    def total(self, codec: str, kind: str, copies: int | None = None) -> Interval:
        """Encoded bytes of one kind of image in all splits that have it; see `SplitSample`."""
        return total_of(
            split.total(codec, kind, copies)
            for split in self.splits.values()
            if (codec, kind) in split.seen
        )
