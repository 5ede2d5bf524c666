"""How fast a loader goes."""

from collections.abc import Iterator
from dataclasses import dataclass

from materialize.recipe import whole_number


@dataclass(frozen=True, slots=True)
class Piece:
    """One rank's part of one global batch: the places [start, stop) of an epoch."""

    index: int
    start: int
    stop: int
    global_stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What decides how fast batches come, and on which rank, but never what is in them."""

    threads: int = 1
    """That fetch; 0 fetches in the thread that asks."""
    prefetch: int = 2
    """Calls ahead of the receiver; each is at least one batch and about 4 MiB."""
    rank: int = 0
    world_size: int = 1
    drop_remainder: bool = False
    """Leave out what does not fill a batch on every rank; otherwise the ranks share it evenly, the
    first ones getting less, and those that get nothing have one batch fewer."""

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            ConfigError: one is outside its interval.
        """
        for name, low, high in (
            ("threads", 0, 1024), ("prefetch", 0, 2**16), ("world_size", 1, 2**20),
            ("rank", 0, self.world_size - 1),
        ):  # fmt: skip
            object.__setattr__(self, name, whole_number(name, getattr(self, name), low, high))

    def pieces(self, batch_size: int, num_places: int, start: int) -> Iterator[Piece]:
        """This rank's part of each batch of all ranks, from a place of an epoch on.

        Args:
            batch_size: images of a batch, on each rank.
            num_places: of the epoch.
            start: the first place.
        """
        step = batch_size * self.world_size
        for first in range(start, num_places, step):
            stop, index = min(first + step, num_places), first // step
            count = stop - first
            if count == step:
                mine = first + self.rank * batch_size
                yield Piece(index, mine, mine + batch_size, stop)
            elif not self.drop_remainder:
                begin = first + count * self.rank // self.world_size
                end = first + count * (self.rank + 1) // self.world_size
                if begin < end:
                    yield Piece(index, begin, end, stop)
