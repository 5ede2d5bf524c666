"""Which image, and which copy of it, stands at each place of an epoch: pure arithmetic.

Every arm takes its order from here, whether it reads shards or augments on the fly, so that two
arms can see the same images in the same batches. The order depends on the seed, the epoch and who
is in the training part, and never on a folder, a codec, the number of stored copies, the layout of
shards or the number of workers.

    item   one image an epoch shows: (row, copy); items lie copy by copy, rows by sample id; where
           classes are balanced, epoch by epoch (see `materialize.loader.turns`)
    place  where in the epoch an item is shown

``global`` permutes all places. ``window`` is for storage that is read in pieces: blocks of
neighbouring items are permuted, and then the places within windows of several blocks. ``none``
shows items as they lie.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ConfigError
from materialize.loader.permutation import NAME, Permutation
from materialize.loader.turns import Round, Turns
from materialize.recipe import whole_number

SHUFFLES = ("global", "window", "none")
VISITS = ("one", "all")
ORIGINAL = -1
"""The copy number of the untouched image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderOptions:
    """How an epoch is put in order."""

    seed: int = 0
    """In [0, 2**64)."""
    shuffle: str = "global"
    block_rows: int = 64
    """Items of a block, for ``window``: neighbours on the disk that are read together."""
    window_blocks: int = 256
    """Blocks of a window: as many as memory may hold."""

    def __post_init__(self) -> None:
        """Checks the options.

        Raises:
            ConfigError: an option is outside its set or interval.
        """
        for name, low, high in (
            ("seed", 0, 2**64 - 1), ("block_rows", 1, 2**31), ("window_blocks", 1, 2**31)
        ):  # fmt: skip
            object.__setattr__(self, name, whole_number(name, getattr(self, name), low, high))
        one_of("shuffle", self.shuffle, SHUFFLES)

    def identity(self) -> dict[str, Any]:
        """JSON-ready: what decides the order, and nothing that does not."""
        facts: dict[str, Any] = {"shuffle": self.shuffle}
        if self.shuffle != "none":
            facts |= {"seed": self.seed, "permutation": NAME}
        if self.shuffle == "window":
            facts |= {"block_rows": self.block_rows, "window_blocks": self.window_blocks}
        return facts


@dataclass(frozen=True, slots=True)
class Visits:
    """Which copies an epoch shows."""

    copies: tuple[int, ...] | None
    """The copies in use, -1 for the original; None for all there can be: copy = epoch."""
    per_epoch: str = "one"
    """``one``: copies[epoch mod K] of each image; ``all``: each of the K copies of each image."""

    def __post_init__(self) -> None:
        """Checks the copies.

        Raises:
            ConfigError: none, one twice, or all of infinitely many.
        """
        one_of("per_epoch", self.per_epoch, VISITS)
        if self.copies is None:
            if self.per_epoch == "all":
                raise ConfigError(
                    "per_epoch: expected 'one' where copies are made as they are asked for, got "
                    "'all'; there is no last copy. Name the copies",
                    {"name": "per_epoch", "expected": "one", "found": "all"},
                )
            return
        for copy in self.copies:
            whole_number("copies", copy, ORIGINAL, 2**32 - 1)
        if not self.copies or len(set(self.copies)) < len(self.copies):
            raise ConfigError(
                f"copies: expected at least one, each once, got {list(self.copies)}",
                {"name": "copies", "found": self.copies},
            )

    def of_epoch(self, epoch: int) -> tuple[int, ...]:
        """The copies that an epoch shows, in the order in which items lie."""
        if self.copies is None:
            return (epoch,)
        return self.copies if self.per_epoch == "all" else (self.copies[epoch % len(self.copies)],)

    @property
    def items_per_row(self) -> int:
        """How often an epoch shows each image."""
        return len(self.copies) if self.copies is not None and self.per_epoch == "all" else 1


@dataclass(frozen=True, eq=False)
class EpochOrder:
    """The order of one epoch."""

    num_rows: int
    copies: tuple[int, ...]
    """The copies shown, of every row."""
    options: OrderOptions
    decided_by: tuple[str | int, ...]
    """Seed, epoch and digest of the samples."""
    rounds: tuple[Round | None, ...] = ()
    """Where classes are balanced, one after another; None shows every untouched image once."""
    are_untouched: bool = False
    """Whether rounds show untouched images."""

    @classmethod
    def of(
        cls,
        num_rows: int,
        samples_digest: str,
        visits: Visits,
        options: OrderOptions,
        epoch: int,
        turns: Turns | None = None,
    ) -> "EpochOrder":
        """The order of an epoch.

        Args:
            num_rows: images of the training part.
            samples_digest: of who is in it.
            visits: which copies are shown.
            options: seed and kind of shuffle.
            epoch: from 0.
            turns: of samples whose classes are balanced.
        """
        decided_by = (options.seed, epoch, samples_digest)
        epochs = visits.of_epoch(epoch)
        if turns is None:
            return cls(num_rows, epochs, options, decided_by)
        if visits.per_epoch == "one" and epochs == (ORIGINAL,):
            return cls(num_rows, epochs, options, decided_by, (turns.round(epoch),), True)
        rounds = tuple(None if number == ORIGINAL else turns.round(number) for number in epochs)
        copies = {ORIGINAL} if ORIGINAL in epochs else set()
        copies.update(*(turns.copies(number) for number in epochs if number != ORIGINAL))
        return cls(num_rows, tuple(sorted(copies)), options, decided_by, rounds)

    def __len__(self) -> int:
        """The number of places."""
        return int(self._ends[-1])

    def at(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """What stands at the places [start, stop).

        Returns:
            (m,) rows and (m,) copies.
        """
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"places {start} to {stop} are not within [0, {len(self)})")
        return self.shown(self.items(start, stop))

    def items(self, start: int, stop: int) -> NDArray[np.int64]:
        """(m,) numbers of the items at the places [start, stop)."""
        return self._items(np.arange(start, stop, dtype=np.int64))

    def shown(self, items: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(m,) rows and (m,) copies of some items, in [0, len(self))."""
        if self.rounds:
            return self._of_rounds(items)
        if len(self.copies) == 1:
            return items, np.full(len(items), self.copies[0], np.int64)
        number, rows = np.divmod(items, self.num_rows)
        return rows, np.array(self.copies, np.int64)[number]

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        """(rounds + 1,) where items of each begin, and their number; of copies all in one."""
        if not self.rounds:
            return np.array([0, self.num_rows * len(self.copies)])
        sizes = [self.num_rows if one is None else len(one) for one in self.rounds]
        return np.cumsum([0, *sizes])

    def _of_rounds(self, items: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        rows, copies = np.empty(len(items), np.int64), np.empty(len(items), np.int64)
        for one, first in zip(self.rounds, self._ends.tolist(), strict=False):
            if one is None:
                here = (items >= first) & (items < first + self.num_rows)
                rows[here], copies[here] = items[here] - first, ORIGINAL
            else:
                one.write(items, first, rows, copies)
        if self.are_untouched:
            copies[:] = ORIGINAL
        return rows, copies

    def _items(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        if self.options.shuffle == "none" or not len(places):
            return places
        if self.options.shuffle == "global":
            return self._permutation.at(places)
        return self._blocks(self._within_windows(places))

    @cached_property
    def _permutation(self) -> Permutation:
        return Permutation.of(len(self), *self.decided_by)

    @cached_property
    def _block_permutation(self) -> Permutation:
        blocks = -(-len(self) // self.options.block_rows)
        return Permutation.of(blocks, "blocks", *self.decided_by)

    def _within_windows(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The places of ascending, neighbouring places before each window was mixed."""
        length = self.options.block_rows * self.options.window_blocks
        parts = []
        for window in range(int(places[0]) // length, int(places[-1]) // length + 1):
            first = window * length
            here = places[(places >= first) & (places < first + length)]
            size = min(length, len(self) - first)
            permutation = Permutation.of(size, "window", window, *self.decided_by)
            parts.append(permutation.at(here - first) + first)
        return np.concatenate(parts)

    def _blocks(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The items at places where whole blocks are permuted.

        The last block may be short. Places behind it are shifted by what it lacks, so that the
        block at each is again a plain division.
        """
        size = self.options.block_rows
        blocks = self._block_permutation
        lacking = blocks.size * size - len(self)
        short = int(blocks.places_of(np.array([blocks.size - 1]))[0])
        shifted = places + lacking * (places >= (short + 1) * size - lacking)
        number, within = np.divmod(shifted, size)
        return blocks.at(number) * size + within


def mixing(order: EpochOrder, batch_size: int, num_batches: int = 256) -> float:
    """How much of the spread of all items a batch has: 1 for a perfect shuffle, 0 for none.

    The spread is the standard deviation of the items' numbers, that is, of where they lie; that of
    a batch drawn at random from n items is n/√12. A set that is ordered by class trains well only
    if every batch is spread over all of it.

    Args:
        order: of an epoch.
        batch_size: of the batches looked at, at least 2.
        num_batches: how many are looked at, evenly over the epoch.
    """
    total = len(order)
    batch_size = min(batch_size, total)
    starts = np.linspace(0, total - batch_size, num_batches).astype(np.int64)
    spreads = [
        np.std(order.items(start, start + batch_size), ddof=1)
        for start in np.unique(starts).tolist()
    ]
    return float(np.sqrt(np.mean(np.square(spreads))) / (total / np.sqrt(12.0)))


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """Refuses a value outside a set.

    Raises:
        ConfigError: it is none of the allowed ones.
    """
    if value not in allowed:
        raise ConfigError(
            f"{name}: expected one of {', '.join(allowed)}, got {value!r}",
            {"name": name, "expected": allowed, "found": value},
        )
