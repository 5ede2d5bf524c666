"""The options of a build that decide bytes."""

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from materialize.errors import ConfigError
from materialize.population.balancing import Balance
from materialize.shards.codecs import find_codec

DEFAULT_SHARD_BYTES = 64 * 2**20
"""Large enough that an object store's request is cheap, small enough for a worker's memory."""
MOST_COPIES = 2**20
"""Of one image."""
_MOST_DRAWS = 2**31
PARAMETER_MODES = ("none", "draws", "full")
STORAGE_MODES = ("pixels", "prefix", "recipe")
"""What of an image is stored: its copies; the image as it is before anything random happens; or
nothing but how to make both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The options that decide bytes; everything else about a build only decides time."""

    copies: int
    """Augmented copies of each training image, at least 1; copy e is what epoch e shows."""
    seed: int = 0
    """In [0, 2**64)."""
    codec: str = "raw"
    shard_bytes: int = DEFAULT_SHARD_BYTES
    """Decoded pixels of one shard, at most."""
    storage: str = "pixels"
    """``pixels``: the copies are stored. ``prefix``: the untouched images of every split, decoded
    and resized, and copies are made at reading. ``recipe``: no image at all."""
    originals: bool = False
    """Also store the untouched images, of every split, where copies are."""
    parameters: str = "draws"
    """What stands beside each copy: ``none``, the random words (``draws``), or ``full``: the drawn
    parameters as numbers."""
    value_range: tuple[float, float] | None = None
    """For float32 images, the values that mean black and white; needed where a step changes
    values."""
    balance: Balance | None = None
    """How many training images of each class an epoch shows: ``max``, as many as there are of the
    largest class; a number; or a number for each class. None shows every image once."""
    balance_cap: int | None = None
    """Most draws of an image in an epoch, on average over its class; None for no limit."""
    folds: tuple[int, int] | None = None
    """Number and seed of the folds that will be trained on: a step that mixes images then takes
    partners from an image's own fold, so that none that is held out is mixed into another. None
    mixes all training images with each other."""

    def __post_init__(self) -> None:
        """Checks the options.

        Raises:
            ConfigError: an option is outside its set or interval.
        """
        for name, low, high in (
            ("copies", 1, MOST_COPIES), ("seed", 0, 2**64 - 1), ("shard_bytes", 2**12, 2**31)
        ):  # fmt: skip
            # NumPy's integers are written to plans as Python's.
            object.__setattr__(self, name, whole_number(name, getattr(self, name), low, high))
        find_codec(self.codec)
        for name, known in (("parameters", PARAMETER_MODES), ("storage", STORAGE_MODES)):
            if (found := getattr(self, name)) not in known:
                raise ConfigError(
                    f"{name}: expected one of {list(known)}, got {found!r}",
                    {"name": name, "expected": known, "found": found},
                )
        if self.value_range is not None:
            black, white = map(float, self.value_range)
            if not black < white:
                raise ConfigError(
                    f"value_range: expected black below white, got {self.value_range}",
                    {"name": "value_range", "found": self.value_range},
                )
            # Plans are compared byte for byte, where 0 and 0.0 differ.
            object.__setattr__(self, "value_range", (black, white))
        object.__setattr__(self, "balance", _checked_balance(self.balance))
        if self.balance_cap is not None:
            if self.balance is None:
                raise ConfigError(
                    f"balance-cap: expected with balance, got {self.balance_cap} without; add "
                    "balance, or leave the cap out",
                    {"name": "balance-cap", "found": self.balance_cap},
                )
            cap = whole_number("balance-cap", self.balance_cap, 1, MOST_COPIES)
            object.__setattr__(self, "balance_cap", cap)

        if self.folds is not None:
            number, seed = self.folds
            number = whole_number("folds", number, 2, 127)
            object.__setattr__(
                self, "folds", (number, whole_number("fold_seed", seed, 0, 2**64 - 1))
            )

    @property
    def stores_copies(self) -> bool:
        """Whether there are shards of copies."""
        return self.storage == "pixels"

    @property
    def stores_originals(self) -> bool:
        """Whether there are shards of untouched images."""
        return self.storage == "prefix" or (self.storage == "pixels" and self.originals)


def whole_number(name: str, value: Any, low: int, high: int) -> int:
    """An option that counts, as Python's integer; NumPy's are accepted, truth values are not.

    Raises:
        ConfigError: it is no integer, or outside [low, high].
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or not low <= number <= high:
        raise ConfigError(
            f"{name}: expected a whole number in [{low}, {high}], got {value!r}",
            {"name": name, "expected": [low, high], "found": value},
        )
    return number


def _checked_balance(balance: Any) -> Balance | None:
    """What a balance is to reach, in the one form in which plans have it.

    Raises:
        ConfigError: it is nothing of the kind.
    """
    if balance is None:
        return None
    if balance == "max":
        return "max"
    if isinstance(balance, Mapping | tuple | list) and balance:
        pairs = sorted(dict(balance).items())
        return tuple((n, whole_number(f"balance of {n!r}", d, 1, _MOST_DRAWS)) for n, d in pairs)
    if isinstance(balance, str | Mapping | tuple | list):
        raise ConfigError(
            f"balance: expected 'max', a number, or a number for each class, got {balance!r}",
            {"name": "balance", "expected": "max, N or classes", "found": balance},
        )
    return whole_number("balance", balance, 1, _MOST_DRAWS)
