"""What was predicted before the first byte, against what came of it.

`build` leaves its estimate beside the dataset, outside every digest. It is a note, as stamps are:
where it is missing, damaged or of another state of the dataset, that is said, and nothing fails.
"""

import datetime
from dataclasses import dataclass
from pathlib import Path

import msgspec

from materialize.errors import ManifestError
from materialize.inventory import ESTIMATE_FILE
from materialize.manifest import Manifest, manifest_name
from materialize.receipts import Receipt

_CLOCK_S = 1.0
"""Receipts tell whole seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One number as it was predicted, with its 95 % interval, and as it came."""

    value: float
    low: float
    high: float
    actual: float | None
    """None where it is not known."""

    @property
    def error(self) -> float | None:
        """(predicted − actual) ÷ actual; None where there is nothing to compare."""
        return (self.value - self.actual) / self.actual if self.actual else None

    @property
    def is_covered(self) -> bool | None:
        """Whether the interval holds what came; None where that is not known."""
        return None if self.actual is None else self.low <= self.actual <= self.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """An estimate and what came of it."""

    shards_bytes: Prediction | None
    """Of everything under ``shards``; None without an estimate."""
    seconds: Prediction | None
    """From the estimate to the manifest; an interruption counts. None without an estimate."""
    remark: str
    """What there is not, and why; empty where all is there."""


class _Interval(msgspec.Struct, frozen=True):
    value: float
    low: float
    high: float


class _Estimate(msgspec.Struct, frozen=True):
    """The part of an estimate that is read here; whatever else it says is skipped."""

    stored_bytes: _Interval
    seconds: _Interval | None = None
    copies: int | None = None
    codec: str | None = None
    storage: str | None = None
    images: dict[str, int] | None = None


def read_foresight(directory: Path, manifest: Manifest, shards_bytes: int) -> Foresight:
    """The estimate beside a dataset, against the dataset.

    Args:
        directory: of the dataset.
        manifest: its newest one.
        shards_bytes: what its shards take.
    """
    try:
        estimate = msgspec.json.decode((directory / ESTIMATE_FILE).read_bytes(), type=_Estimate)
    except FileNotFoundError:
        return _without("no estimate was made before this dataset was built")
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        return _without(f"{ESTIMATE_FILE} cannot be read: {error}")
    differing = _differences(estimate, manifest)
    if differing:
        remark = f"the estimate is of another state: {differing}"
        return _foreseen(estimate, None, None, remark)
    seconds = _seconds(directory, manifest)
    remark = "" if seconds is not None else "the files do not tell how long the build took"
    return _foreseen(estimate, shards_bytes, seconds, remark)


def _foreseen(
    estimate: _Estimate, num_bytes: float | None, seconds: float | None, remark: str
) -> Foresight:
    return Foresight(
        shards_bytes=_prediction(estimate.stored_bytes, num_bytes),
        seconds=None if estimate.seconds is None else _prediction(estimate.seconds, seconds),
        remark=remark,
    )


def _prediction(interval: _Interval, actual: float | None) -> Prediction:
    return Prediction(value=interval.value, low=interval.low, high=interval.high, actual=actual)


def _without(remark: str) -> Foresight:
    return Foresight(shards_bytes=None, seconds=None, remark=remark)


def _differences(estimate: _Estimate, manifest: Manifest) -> str:
    """In what an estimate was made for something else, in words."""
    pairs: dict[str, tuple[object, object]] = {
        "copies": (estimate.copies, manifest.copies),
        "codec": (estimate.codec, manifest.codec),
        "storage": (estimate.storage, manifest.storage),
    }
    # In the first manifest they may differ by the bad ones, which an estimate need not know.
    if estimate.images is not None and manifest.number > 1:
        found = sum(sum(entry.counts.values()) for entry in manifest.populations)
        pairs["images"] = (sum(estimate.images.values()), found)
    differing = [
        f"{name} {made_for} then and {now} now"
        for name, (made_for, now) in pairs.items()
        if made_for not in (None, now)
    ]
    return ", ".join(differing)


def _seconds(directory: Path, manifest: Manifest) -> float | None:
    """From the estimate to the first manifest, by the times of these files.

    A dataset that was copied has other times. So they are believed only where the receipts of the
    first and the last shard lie between them.
    """
    if manifest.number > 1 or not manifest.shards:
        return None
    try:
        started = (directory / ESTIMATE_FILE).stat().st_mtime
        ended = (directory / manifest_name(1)).stat().st_mtime
        receipts = [Receipt.read(directory, manifest.shards[at].file) for at in (0, -1)]
        finished = [
            datetime.datetime.fromisoformat(receipt.finished_at).timestamp()
            for receipt in receipts
            if receipt is not None
        ]
    except (OSError, ValueError, ManifestError):
        return None
    lies_between = all(started - _CLOCK_S <= time <= ended + _CLOCK_S for time in finished)
    return ended - started if finished and lies_between and ended > started else None
