"""Which images of a dataset a training sees."""

from dataclasses import dataclass

from materialize.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which images of a dataset are trained on. Other parts are never augmented."""

    copies: int | None = None
    """The first so many copies of each training image; all that are stored unless given."""
    originals: bool = False
    """Train on the untouched images instead."""
    per_epoch: str = "one"
    """``one``: epoch e shows copy e mod K of each image; ``all``: all K of them."""
    fold: int | None = None
    """Train on a fold of the training part, validate on what it holds out; from 0."""
    folds: int | None = None
    """How many folds there are."""
    pinned: str | None = None
    """Digest of the manifest to read instead of the newest."""

    def __post_init__(self) -> None:
        """Checks what goes together.

        Raises:
            ConfigError: a fold without a number of folds or the other way round, or copies of
                untouched images.
        """
        if (self.fold is None) != (self.folds is None):
            raise ConfigError(
                f"fold: expected fold and folds together, got fold {self.fold} and folds "
                f"{self.folds}; such as fold 0 of folds 5",
                {"name": "fold", "found": [self.fold, self.folds]},
            )
        if self.originals and self.copies is not None:
            raise ConfigError(
                f"copies: expected none with originals, got {self.copies}; choose one of the two",
                {"name": "copies", "found": self.copies},
            )


EVERYTHING = Selection()
"""All stored copies of all training images, one copy an epoch."""
