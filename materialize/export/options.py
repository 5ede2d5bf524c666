"""What is exported, in which form: checked before anything is read or written."""

from collections.abc import Sequence
from dataclasses import dataclass

from materialize.errors import ConfigError
from materialize.loader.order import ORIGINAL, one_of
from materialize.recipe import whole_number
from materialize.shards.codecs import find_codec
from materialize.sources.base import SPLITS

FORMS = ("folder", "npz", "tfrecord", "webdataset")
ALL = "all"
ORIGINALS = "originals"
RAW = "raw"
"""Pixels as they lie in memory, which is what NPZ holds anyway."""

_LARGEST_MB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """The options of an export; together with the manifest they decide every byte.

    Raises:
        ConfigError: one is outside its set or interval, or two of them contradict each other.
    """

    to: str
    """``folder``, ``npz``, ``tfrecord`` or ``webdataset``."""
    splits: tuple[str, ...] = ()
    """Which splits, in the order of `SPLITS`; empty for all that have images."""
    copies: str | tuple[int, ...] = ALL
    """Of training images: ``all``, ``originals``, or numbers, -1 being the untouched image. Other
    splits only have untouched images."""
    image_format: str | None = None
    """``png``, ``webp`` (lossless) or ``jpeg-Q``, Q in [1, 100]; ``raw`` for TFRecord. None is
    ``raw`` for NPZ and ``png`` for the others."""
    max_mb: float = 128.0
    """Of TFRecord and WebDataset: pixels of one file at most, in MiB before encoding. Readers take
    100 to 200 MB at once well, and a worker holds no more than a picture of it."""

    def __post_init__(self) -> None:
        """Checks the options."""
        one_of("to", self.to, FORMS)
        for split in self.splits:
            one_of("split", split, SPLITS)
        chosen = tuple(split for split in SPLITS if split in self.splits)
        object.__setattr__(self, "splits", chosen)
        object.__setattr__(self, "copies", _checked_copies(self.copies))
        form = self.image_format or (RAW if self.to == "npz" else "png")
        object.__setattr__(self, "image_format", form)
        _check_format(self.to, form)
        if not 0 < self.max_mb <= _LARGEST_MB:
            raise ConfigError(
                f"max-mb: expected a number in (0, {_LARGEST_MB}], got {self.max_mb}",
                {"name": "max-mb", "expected": [0, _LARGEST_MB], "found": self.max_mb},
            )

    @property
    def form(self) -> str:
        """The image format, named."""
        return self.image_format or RAW

    @property
    def max_pixel_bytes(self) -> int:
        """Pixels of one file at most."""
        return int(self.max_mb * 2**20)


def parse_copies(text: str) -> str | tuple[int, ...]:
    """``all``, ``originals``, or numbers such as ``0,1,2``.

    Raises:
        ConfigError: anything else.
    """
    if text in (ALL, ORIGINALS):
        return text
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError as error:
        raise ConfigError(
            f"copies: expected all, originals or numbers such as 0,1, got {text!r}",
            {"name": "copies", "expected": "all, originals or numbers", "found": text},
        ) from error


def _checked_copies(copies: str | Sequence[int]) -> str | tuple[int, ...]:
    if isinstance(copies, str):
        one_of("copies", copies, (ALL, ORIGINALS))
        return copies
    numbers = tuple(whole_number("copies", copy, ORIGINAL, 2**20 - 1) for copy in copies)
    if not numbers or len(set(numbers)) < len(numbers):
        raise ConfigError(
            f"copies: expected at least one, each once, got {list(numbers)}",
            {"name": "copies", "found": numbers},
        )
    return tuple(sorted(numbers))


def _check_format(to: str, form: str) -> None:
    """Refuses a format that the form has no place for; shards' other codecs are no files."""
    try:
        is_known = form == RAW or find_codec(form).is_picture
    except ConfigError:
        is_known = False
    is_allowed = {"npz": form == RAW, "tfrecord": True}.get(to, form != RAW)
    if not (is_known and is_allowed):
        expected = {"npz": RAW, "tfrecord": f"png, webp, jpeg-1 to jpeg-100 or {RAW}"}.get(
            to, "png, webp or jpeg-1 to jpeg-100"
        )
        raise ConfigError(
            f"image-format: expected {expected} for {to}, got {form!r}",
            {"name": "image-format", "expected": expected, "found": form},
        )
