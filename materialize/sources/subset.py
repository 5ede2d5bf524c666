"""Some records of a source, as a source: enough to try a job on before running all of it."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from materialize.sources.base import DecodedImage, Measurement, Record, Source
from materialize.sources.targets import TargetSchema, TargetSource, field_columns_of, schema_of
from pipelines.objects import Objects


class Subset:
    """Up to ``limit`` records, evenly spread, so that every class of an ordered folder is met.

    Args:
        source: the whole.
        limit: how many records at most; at least 1.
        among: the numbers of the records to choose from; all by default.
    """

    def __init__(self, source: Source, limit: int, among: Sequence[int] | None = None) -> None:
        """Choose the records; nothing is read."""
        self._source = source
        candidates = range(len(source)) if among is None else among
        total = len(candidates)
        count = min(limit, total)
        self._indices = tuple(candidates[place * total // count] for place in range(count))

    def __len__(self) -> int:
        return len(self._indices)

    def record(self, index: int) -> Record:
        """The description of record ``index`` of the subset."""
        return self._source.record(self._indices[index])

    def identity_bytes(self, index: int) -> bytes:
        """As the whole source has them."""
        return self._source.identity_bytes(self._indices[index])

    def source_bytes(self, content: bytes) -> int:
        """As the whole source counts them."""
        return self._source.source_bytes(content)

    def decode(self, content: bytes, index: int) -> DecodedImage:
        """As the whole source decodes it."""
        return self._source.decode(content, self._indices[index])

    def measure(self, content: bytes, index: int) -> Measurement:
        """As the whole source measures it."""
        return self._source.measure(content, self._indices[index])

    def class_names(self) -> tuple[str, ...]:
        """All classes of the whole source."""
        return self._source.class_names()

    def schema(self) -> TargetSchema:
        """That of the whole source."""
        return schema_of(self._source)

    def field_columns(self) -> tuple[NDArray[Any], ...]:
        """Of the records of the subset."""
        chosen = np.array(self._indices, np.int64)
        return tuple(column[chosen] for column in field_columns_of(self._source))

    def objects(self, index: int) -> Objects:
        """As the whole source has them."""
        return cast("TargetSource", self._source).objects(self._indices[index])

    def mask(self, index: int) -> NDArray[np.uint8]:
        """As the whole source has it."""
        return cast("TargetSource", self._source).mask(self._indices[index])

    def describe(self) -> dict[str, Any]:
        """The whole source, and how many of its records."""
        return {"kind": "subset", "of": self._source.describe(), "records": len(self)}
