"""How fast a loader goes."""

from dataclasses import dataclass

from materialize.recipe import whole_number


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
