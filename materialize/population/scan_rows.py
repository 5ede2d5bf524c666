"""One chunk of the scan: hash, decode and measure a run of records, keep columns only."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materialize.errors import RecordReadError, UndecodableImageError
from materialize.population.identity import (
    DIGEST_BYTES,
    ID_BYTES,
    content_digest,
    explicit_sample_id,
)
from materialize.population.table import Quarantined
from materialize.population.target_columns import target_digest
from materialize.population.target_reading import read_targets
from materialize.sources.base import SPLITS, Measurement, Record, Source
from materialize.sources.records import TextColumn
from materialize.sources.targets import schema_of

SCALARS = np.dtype(
    [
        ("source_index", "<i8"),
        ("label", "<i4"),
        ("split", "u1"),
        ("height", "<i4"),
        ("width", "<i4"),
        ("channels", "u1"),
        ("source_bytes", "<i8"),
        ("conversion", "<u2"),
        ("is_float", "?"),
        ("has_explicit_id", "?"),
    ]
)
"""The numbers the scan keeps of a record; ``conversion`` indexes its chunk's kinds."""


@dataclass(frozen=True, slots=True)
class ScannedRows:
    """What is known of the accepted records of a chunk, and which were not accepted."""

    scalars: NDArray[np.void]
    """(m,) of `SCALARS`."""
    digests: NDArray[np.uint8]
    """(m, 32)"""
    explicit_ids: NDArray[np.uint8]
    """(m, 16) sample ids made of explicit ids; zeros where there are none."""
    groups: TextColumn
    locators: TextColumn
    conversion_kinds: tuple[tuple[str, ...], ...]
    quarantined: tuple[Quarantined, ...]
    target_digests: NDArray[np.uint8]
    """(m, 32), or (0, 32) where nothing moves with the pixels."""


def scan_rows(
    source: Source, indices: Sequence[int], class_names: tuple[str, ...], *, header_only: bool
) -> ScannedRows:
    """Scan these records, in this order.

    Args:
        source: where they are.
        indices: record numbers.
        class_names: every class there is, in label order.
        header_only: trust what headers say instead of decoding.

    Raises:
        RecordReadError: a record could not be read, or this machine has too little memory for it.
    """
    gathered = _Gathered(class_names)
    schema = schema_of(source)
    for index in indices:
        record = source.record(index)
        content = source.identity_bytes(index)
        size = source.source_bytes(content)
        try:
            measured = _measured(source, content, index, header_only=header_only)
            targets = _target_digest(source, index, measured) if schema.moves else b""
        except UndecodableImageError as error:
            gathered.refuse(record, size, error)
        except MemoryError as error:
            raise RecordReadError(
                f"this machine has too little memory to decode {record.locator}: this says nothing "
                "about the image, so it was not left out; free memory, or exclude it by name",
                {"locator": record.locator},
            ) from error
        else:
            gathered.accept(index, record, content, size, measured, targets)
    return gathered.as_columns()


class _Gathered:
    """The rows of one chunk while it is scanned."""

    def __init__(self, class_names: tuple[str, ...]) -> None:
        self._label_by_name: dict[str | None, int] = {
            None: -1,
            **{name: label for label, name in enumerate(class_names)},
        }
        self._number_by_conversions: dict[tuple[str, ...], int] = {}
        self._scalars: list[tuple[int | bool, ...]] = []
        self._digests: list[bytes] = []
        self._explicit_ids: list[bytes] = []
        self._groups: list[str] = []
        self._locators: list[str] = []
        self._quarantined: list[Quarantined] = []
        self._target_digests: list[bytes] = []

    def refuse(self, record: Record, size: int, error: UndecodableImageError) -> None:
        self._quarantined.append(
            Quarantined(record.locator, record.split, error.reason, error.detail, size)
        )

    def accept(
        self,
        index: int,
        record: Record,
        content: bytes,
        size: int,
        measured: Measurement,
        targets: bytes,
    ) -> None:
        numbers = self._number_by_conversions
        scalars = (
            index,
            self._label_by_name[record.label],
            SPLITS.index(record.split),
            measured.height,
            measured.width,
            measured.channels,
            size,
            numbers.setdefault(measured.conversions, len(numbers)),
            measured.is_float,
            record.explicit_id is not None,
        )
        explicit = record.explicit_id
        self._scalars.append(scalars)
        self._digests.append(content_digest(content))
        self._explicit_ids.append(
            bytes(ID_BYTES) if explicit is None else explicit_sample_id(explicit)
        )
        self._groups.append(record.group)
        self._locators.append(record.locator)
        self._target_digests.append(targets)

    def as_columns(self) -> ScannedRows:
        digests = np.frombuffer(b"".join(self._digests), np.uint8)
        explicit_ids = np.frombuffer(b"".join(self._explicit_ids), np.uint8)
        targets = np.frombuffer(b"".join(self._target_digests), np.uint8)
        return ScannedRows(
            scalars=np.array(self._scalars, SCALARS),
            digests=digests.reshape(-1, DIGEST_BYTES),
            explicit_ids=explicit_ids.reshape(-1, ID_BYTES),
            groups=TextColumn.of(self._groups),
            locators=TextColumn.of(self._locators),
            conversion_kinds=tuple(self._number_by_conversions),
            quarantined=tuple(self._quarantined),
            target_digests=targets.reshape(-1, DIGEST_BYTES),
        )


def _measured(source: Source, content: bytes, index: int, *, header_only: bool) -> Measurement:
    """The size and conversions of one image."""
    if header_only:
        return source.measure(content, index)
    decoded = source.decode(content, index)
    height, width, channels = decoded.pixels.shape
    is_float = decoded.pixels.dtype.kind == "f"
    return Measurement(height, width, channels, decoded.conversions, is_float)


def _target_digest(source: Source, index: int, measured: Measurement) -> bytes:
    """The digest of one record's masks and objects, once they are known to fit its image."""
    found = read_targets(source, index, (measured.height, measured.width))
    return target_digest(found.names, found.objects, found.mask)
