"""What every kind of export is given, and the way files of several images are written."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from materialize.export.items import Part
from materialize.export.ledger import ExportedFile, Ledger
from materialize.export.options import ExportOptions

Advance = Callable[[int, int], None]
"""Called with how many items were done, and how many of them were read and encoded."""


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """An export to be written."""

    parts: tuple[Part, ...]
    """At least one."""
    ledger: Ledger
    options: ExportOptions
    workers: int
    """Threads that read and encode."""
    advance: Advance

    def sharded(
        self, name: Callable[[str, int, int], str], write: Callable[[Part, int, int, str], None]
    ) -> list[ExportedFile]:
        """Writes each split into files of at most so many pixels, whatever their encoding.

        A file that is there is whole, for it got its name when it was; so it is kept.

        Args:
            name: split, number of a file and how many there are → its path.
            write: writes the items [start, stop) of a part to a path of the output, advancing.

        Returns:
            The files in order.
        """
        files = []
        for part in self.parts:
            pieces = list(_pieces(len(part), self.options.max_pixel_bytes // part.row_bytes))
            for number, (start, stop) in enumerate(pieces):
                path = name(part.split, number, len(pieces))
                if (self.ledger.output / path).exists():
                    self.advance(stop - start, 0)
                else:
                    write(part, start, stop, path)
                files.append(ExportedFile.of(self.ledger.output, path, stop - start))
        return files


def _pieces(total: int, at_most: int) -> Iterator[tuple[int, int]]:
    """Pieces of nearly one length, none longer than ``at_most`` (or 1)."""
    num_pieces = -(-total // max(at_most, 1))
    for number in range(num_pieces):
        yield total * number // num_pieces, total * (number + 1) // num_pieces
