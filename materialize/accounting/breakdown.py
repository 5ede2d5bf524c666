"""The bytes of the shards along any of their dimensions, crossed as one likes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from materialize.accounting.account import ORIGINALS, StorageAccount
from materialize.accounting.cells import IMAGE_TARGET, Cell


def copy_name(copy: int) -> str:
    """``copy 3``, or ``originals``."""
    return "originals" if copy == ORIGINALS else f"copy {copy}"


DIMENSIONS: Mapping[str, Callable[[Cell], str]] = {
    "class": lambda cell: cell.class_name,
    "split": lambda cell: cell.split,
    "copy": lambda cell: copy_name(cell.copy),
    "target": lambda cell: cell.target,
    "shard": lambda cell: cell.shard,
}
"""By name, what a cell says of it. ``shard`` needs cells that are kept apart by shard."""


@dataclass(frozen=True, slots=True)
class Line:
    """All cells that agree along some dimensions."""

    names: tuple[str, ...]
    """One for each dimension."""
    num_images: int
    pixels_bytes: int
    columns_bytes: int
    container_bytes: int

    @property
    def num_bytes(self) -> int:
        """All of them."""
        return self.pixels_bytes + self.columns_bytes + self.container_bytes


def break_down(account: StorageAccount, dimensions: Sequence[str]) -> tuple[Line, ...]:
    """The bytes of the shards along some dimensions; the lines sum to ``account.shards_bytes``.

    Args:
        account: of a dataset; with cells apart by shard if that is a dimension.
        dimensions: names in `DIMENSIONS`, at least one.

    Returns:
        In the account's own order along each dimension, the first one slowest.

    Raises:
        KeyError: there is no such dimension.
    """
    keys = [DIMENSIONS[name] for name in dimensions]
    sums: dict[tuple[str, ...], list[int]] = {}
    for cell in account.cells:
        line = sums.setdefault(tuple(key(cell) for key in keys), [0, 0, 0, 0])
        if cell.target == IMAGE_TARGET or "target" in dimensions:
            line[0] += cell.num_images  # masks and objects are of images that are counted already
        line[1] += cell.pixels_bytes
        line[2] += cell.columns_bytes
        line[3] += cell.container_bytes
    ranks = [_ranks(account, name) for name in dimensions]
    ordered = sorted(sums, key=lambda names: [r[n] for r, n in zip(ranks, names, strict=True)])
    return tuple(Line(names, *sums[names]) for names in ordered)


def _ranks(account: StorageAccount, dimension: str) -> dict[str, int]:
    """The place of each name along a dimension."""
    names: dict[str, Iterable[str]] = {
        "class": account.by_class,
        "split": account.by_split,
        "copy": map(copy_name, account.by_copy),
        "target": account.by_target,
        "shard": account.by_shard,
    }
    return {name: rank for rank, name in enumerate(names[dimension])}
