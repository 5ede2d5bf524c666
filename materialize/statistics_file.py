"""Statistics on disk: fitted once for a training part, read by everybody else.

The name is a digest of what they are fitted on (which samples, how they are standardised, how they
are resized), so another fold, another option or another size is another file. The first caller
fits and publishes; whoever comes second, or loses the race, reads what is there. Last bits of a
whitening matrix depend on the machine's BLAS, so nobody fits what is already stored.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize import atomic, canonical
from materialize.errors import ShardUntrustedError
from materialize.population.column_file import ColumnSpec, columns_from_bytes, columns_to_bytes
from pipelines.standardization import Standardization
from pipelines.statistics import Statistics, fit_statistics
from pipelines.whitening import Whitening

_FORMAT = "statistics/1"
_DTYPES = {"mean": "<f8", "std": "<f8", "projection": "<f4", "expansion": "<f4"}
_SPECS = {name: ColumnSpec(dtype) for name, dtype in _DTYPES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticsKey:
    """What statistics are fitted on; equal keys share one file."""

    samples: str
    """Digest of the training part's samples, in hex."""
    standardization: str
    """Fingerprint of the options, in hex."""
    resize: str = ""
    """What was done to the originals before, such as the resize step as text."""

    def file_name(self) -> str:
        """``statistics-<16 hex>.h5``."""
        facts = [_FORMAT, self.samples, self.standardization, self.resize]
        return f"statistics-{canonical.digest(facts)[:16]}.h5"


def stored_statistics(
    directory: Path,
    standardization: Standardization,
    batches: Callable[[], Iterable[NDArray[Any]]],
    *,
    samples: str,
    resize: str = "",
) -> Statistics:
    """The statistics of a training part: read if they are stored, otherwise fitted and stored.

    Args:
        directory: where the file is or will be; created if need be.
        standardization: what they are for.
        batches: gives the training part's originals, (n, H, W, C), in the order of the samples;
            called only if nothing is stored.
        samples: digest of the training part's samples, in hex.
        resize: what was done to the originals before, as text.

    Raises:
        ImageContractError: the stream holds no image, or images of different kinds.
        ShardUntrustedError: the stored file is damaged or belongs to something else.
        StorageError: the file system refused.

    Exactness: every caller gets the bytes that the first one published.
    """
    key = StatisticsKey(
        samples=samples, standardization=standardization.fingerprint(), resize=resize
    )
    path = directory / key.file_name()
    if not path.exists():
        fitted = fit_statistics(batches(), standardization)
        atomic.make_directory(directory)
        try:
            atomic.publish_file(path, statistics_to_bytes(fitted, key))
        except atomic.AlreadyPublishedError as error:
            if error.claimed:  # another writer has not finished, or was killed: the message says so
                raise
    return read_statistics(path, key)


def read_statistics(path: Path, key: StatisticsKey) -> Statistics:
    """The statistics in a file.

    Raises:
        ShardUntrustedError: it is damaged, or was fitted on something other than ``key`` says.
        FileNotFoundError: it is not there.
    """
    try:
        return statistics_from_bytes(path.read_bytes(), key)
    except ShardUntrustedError as error:
        raise ShardUntrustedError(
            f"{path}: expected the statistics of samples {key.samples[:16]}: {error.found}; delete "
            f"the file and run again, they are then fitted anew",
            {"path": str(path), "expected": key.samples, "found": error.found},
        ) from error


def samples_of(path: Path) -> str | None:
    """The digest of the samples that a file's statistics were fitted on; None if it is damaged."""
    try:
        facts = columns_from_bytes(path.read_bytes(), _SPECS)[1]
    except (OSError, ShardUntrustedError):
        return None
    return str(facts.get("samples"))


def statistics_to_bytes(statistics: Statistics, key: StatisticsKey) -> bytes:
    """The file of some statistics: the same bytes for the same statistics and key."""
    arrays = statistics.arrays()
    columns = {
        name: arrays[name].astype(dtype, copy=False).reshape(-1)
        if name in arrays
        else np.zeros(0, dtype)
        for name, dtype in _DTYPES.items()
    }
    whitening = statistics.whitening
    facts = {
        "format": _FORMAT,
        "samples": key.samples,
        "standardization": key.standardization,
        "resize": key.resize,
        "num_images": statistics.num_images,
        "image_shape": list(statistics.image_shape),
        "residual_gain": 0.0 if whitening is None else whitening.residual_gain,
        "digest": statistics.digest(),
    }
    return columns_to_bytes(columns, facts)


def statistics_from_bytes(data: bytes, key: StatisticsKey) -> Statistics:
    """The statistics in the bytes that `statistics_to_bytes` made for this key.

    Raises:
        ShardUntrustedError: damaged, of another format, or fitted on something else.
    """
    columns, facts = columns_from_bytes(data, _SPECS)
    expected = {
        "format": _FORMAT,
        "samples": key.samples,
        "standardization": key.standardization,
        "resize": key.resize,
    }
    found = {name: facts.get(name) for name in expected}
    if found != expected:
        raise _untrusted(f"it was fitted on {found}")
    try:
        statistics = _assembled(columns, facts)
    except (KeyError, TypeError, ValueError) as error:
        raise _untrusted(f"its numbers do not go together: {error}") from error
    if statistics.digest() != facts.get("digest"):
        raise _untrusted("its numbers are not those of its digest")
    return statistics


def _assembled(columns: dict[str, NDArray[Any]], facts: dict[str, Any]) -> Statistics:
    height, width, channels = map(int, facts["image_shape"])
    num_values = height * width * channels
    whitening = None
    if len(columns["projection"]):
        whole = not len(columns["expansion"])
        whitening = Whitening(
            projection=columns["projection"].reshape(num_values, -1),
            expansion=None if whole else columns["expansion"].reshape(-1, num_values),
            residual_gain=float(facts["residual_gain"]),
        )
    return Statistics(
        standardization=str(facts["standardization"]),
        num_images=int(facts["num_images"]),
        image_shape=(height, width, channels),
        mean=columns["mean"].reshape(channels),
        std=columns["std"].reshape(channels),
        whitening=whitening,
    )


def _untrusted(why: str) -> ShardUntrustedError:
    return ShardUntrustedError(
        f"these are not the statistics asked for: {why}; delete the file and run again",
        {"found": why},
    )
