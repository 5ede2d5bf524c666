"""What somebody means to do with a contrast's figures: where to store, how long, how many runs."""

from dataclasses import dataclass
from decimal import Decimal

from materialize.errors import ConfigError

DEFAULT_SERVICE = "s3-standard"


@dataclass(frozen=True, slots=True, kw_only=True)
class CostTerms:
    """What the money lines of a contrast are computed for; the table ``[cost]`` of its job file.

    Raises:
        ConfigError: a number is outside its interval.
    """

    prices: str | None = None
    """A price book; None for the one that comes with the package."""
    service: str = DEFAULT_SERVICE
    """Where the shards are stored; a name in the book."""
    months: Decimal = Decimal(12)
    """How long they are."""
    epochs: int | None = None
    """Of a training run; None for as many as the contrast's had."""
    training_runs: int = 1
    """That share the stored copies."""
    gpu_price_per_hour: Decimal | None = None
    """None takes the book's, if it has one; stalls without a price are unpriced."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "months", Decimal(self.months))
        for name, least in (("months", 0), ("epochs", 1), ("training_runs", 1),
                            ("gpu_price_per_hour", 0)):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not (Decimal(value).is_finite() and value >= least):
                raise ConfigError(
                    f"{name.replace('_', '-')}: expected at least {least}, got {value}",
                    {"name": name, "expected": f"at least {least}", "found": str(value)},
                )
