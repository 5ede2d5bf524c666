"""What is said of a dataset before it is built; the shape in which it is kept beside it."""

from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec

from materialize.errors import ManifestError
from materialize.estimation.intervals import Interval
from materialize.inventory import ESTIMATE_FILE

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecEstimate:
    """One codec on these images, this machine and this disk."""

    name: str
    is_lossy: bool
    stored_bytes: Interval
    """Everything under ``shards``."""
    ratio: Interval
    """Decoded pixels for each byte they are stored in."""
    encode_bytes_per_s: float | None
    """Decoded bytes on one core; None for raw, which encodes nothing."""
    decode_bytes_per_s: float | None
    build_s: Interval
    """Of the whole build, scan included."""
    epoch_s: float
    """To read one epoch, in the build's number of threads."""
    images_per_s: float
    """That reading can give a trainer."""
    psnr_db: float | None = None
    """Over all pixels seen; None where nothing is lost."""
    worst_psnr_db: float | None = None
    """Of the image that came out worst."""
    month_cost: Interval | None = None
    """Of storing it, in the price book's currency; None where storage is unpriced."""

    @property
    def fidelity_db(self) -> float:
        """The PSNR; infinity where nothing is lost."""
        return float("inf") if self.psnr_db is None else self.psnr_db


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeEstimate:
    """One storage mode in the estimate's codec."""

    name: str
    """``recipe``, ``prefix`` or ``pixels``."""
    stored_bytes: Interval | None
    """Everything under ``shards``; None where the mode is impossible."""
    why_not: str = ""
    month_cost: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MoneyEstimate:
    """What it costs at one service; amounts as decimal text, with every row's arithmetic."""

    service: str
    title: str
    currency: str
    book: str
    per_month: Interval | None
    """Storage alone; None where it is unpriced."""
    build: dict[str, Any]
    """Invoice of building and uploading."""
    month: dict[str, Any]
    """Invoice of one month."""
    epoch: dict[str, Any]
    """Invoice of reading one epoch."""
    run: dict[str, Any]
    """Invoice of building, a run's epochs and the months they take."""
    break_even: dict[str, Any]
    """Against augmenting on the fly; see `materialize.accounting.breakeven`."""
    unpriced: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a build will take."""

    storage: str
    codec: str
    copies: int
    workers: int
    basis: str
    """Where counts come from: ``scan``, ``listing``, ``index`` or ``count``."""
    images: dict[str, int]
    """Sources by split."""
    image_shape: tuple[int, int, int]
    """(H, W, C) of what is stored."""
    stored_bytes: Interval
    """Everything under ``shards``."""
    by_class: dict[str, Interval]
    by_split: dict[str, Interval]
    columns_bytes: int
    """Ids, labels and draws; exact."""
    container_bytes: int
    """HDF5 structure; exact for raw shards and pictures."""
    codecs: tuple[CodecEstimate, ...]
    """The estimate's own first."""
    modes: tuple[ModeEstimate, ...]
    seconds: Interval
    timings_s: dict[str, float]
    """Wall seconds by part: scan, start, load, shards, rest."""
    peak_memory_bytes: int
    """Of all processes together, mapped files not counted."""
    num_shards: int
    num_sampled: int
    """Sources that were looked at; 0 where nothing had to be."""
    num_encoded: int
    """Images that were encoded, over all codecs."""
    sampled_s: float
    ended_by: str
    """Why sampling ended: ``precision``, ``everything seen``, ``images``, ``seconds`` or
    ``nothing to sample``."""
    augment_s: float
    """To load and augment one image on one core, as on-the-fly training does."""
    read_s: float
    """To read one stored image on one core."""
    epochs: int
    """Of a training run."""
    free_bytes: int | None = None
    """On the disk of the output; None where no output was named."""
    money: MoneyEstimate | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def num_images(self) -> int:
        """Sources of all splits."""
        return sum(self.images.values())

    def codec_estimate(self, name: str) -> CodecEstimate:
        """What was found of one codec.

        Raises:
            KeyError: it was not measured.
        """
        by_name = {codec.name: codec for codec in self.codecs}
        return by_name[name]

    def to_json(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        return {"format": FORMAT} | asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> "Estimate":
        """The estimate in a decoded JSON value.

        Raises:
            ManifestError: it is of another version, or no estimate.
        """
        facts = dict(value) if isinstance(value, dict) else {}
        found = facts.pop("format", None)
        if found != FORMAT:
            raise ManifestError(
                f"{ESTIMATE_FILE}: expected format {FORMAT}, found {found}; it only compares an "
                "estimate with what came of it, and can be deleted",
                {"expected": FORMAT, "found": found},
            )
        try:
            return msgspec.convert(facts, cls)
        except msgspec.ValidationError as error:
            raise ManifestError(
                f"{ESTIMATE_FILE}: {error}; it only compares an estimate with what came of it, and "
                "can be deleted",
                {"found": str(error)},
            ) from error
