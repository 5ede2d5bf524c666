"""Images that lie in NumPy arrays: given from Python, or in .npz and .npy files.

An array source is a few parts, one per split, each with (N, H, W, C) pixels in uint8 or float32 and
one label per image; the values of all parts are on one scale. The identity of an image is a line
that says its dtype and shape, then its values: nothing of the file it lay in, so the same images
give the same sample ids from an .npz, an .npy or memory. Arrays stay whole in memory (or mapped,
for .npy); joblib maps large ones into workers instead of copying them.
"""

import bisect
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ConfigError, SourceError, UndecodableImageError
from materialize.sources.array_fields import array_fields
from materialize.sources.base import SPLITS, DecodedImage, Measurement, Pixels, Record
from materialize.sources.labels import label_columns
from materialize.sources.targets import TargetSchema
from materialize.sources.values import CanonicalValues, canonical_values
from pipelines.objects import Objects


@dataclass(frozen=True, slots=True)
class ArrayOptions:
    """How arrays are read."""

    labels: str | None = None
    """The .npy file with the labels that belong to an .npy of images."""
    images_key: str | None = None
    """The name of the images inside an .npz that holds them under an unusual one."""
    labels_key: str | None = None
    """The name of their labels."""
    class_names: tuple[str, ...] = ()
    """Names for integer labels 0, 1, 2 …; the numbers themselves by default."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(self.class_names))
        if len(set(self.class_names)) < len(self.class_names):
            raise ConfigError(
                f"class_names repeats a name: {', '.join(self.class_names)}",
                {"found": self.class_names},
            )


@dataclass(frozen=True, slots=True)
class RawPart:
    """One split as it came: images, and labels or None."""

    images: NDArray[Any]
    labels: NDArray[Any] | None
    fields: Mapping[str, Any] = field(default_factory=dict)
    """Further arrays by name; see `array_fields`."""


@dataclass(frozen=True, slots=True)
class _Part:
    """One split, in canonical form."""

    split: str
    canonical: CanonicalValues
    labels: NDArray[np.int32] | None
    """(N,) class numbers."""

    def __len__(self) -> int:
        return len(self.canonical.values)

    def identity_bytes(self, row: int) -> bytes:
        """A line with dtype and shape, then the values in C order, little-endian."""
        image: Pixels = self.canonical.unfit.get(row, self.canonical.values[row])
        name = b"float32" if image.dtype.kind == "f" else b"uint8"  # dtype.name takes 3 µs
        height, width, channels = image.shape
        return b"array %s %d %d %d\n" % (name, height, width, channels) + image.tobytes()


class ArraySource:
    """Images in memory.

    Args:
        parts: images and labels by split; ``train`` alone for a single array.
        description: the ``kind`` and what else `describe` should say.
        class_names: see `ArrayOptions.class_names`.

    Raises:
        SourceError: an array is no stack of images or its labels do not fit.
    """

    def __init__(
        self,
        parts: Mapping[str, RawPart],
        description: Mapping[str, Any],
        class_names: Sequence[str] = (),
    ) -> None:
        """Bring the arrays into canonical form and number the classes."""
        if not parts or not sum(len(raw.images) for raw in parts.values()):
            raise SourceError("there is no image in these arrays", {"splits": list(parts)})
        ordered = {split: parts[split] for split in SPLITS if split in parts}
        labels, names = label_columns(
            {split: raw.labels for split, raw in ordered.items()}, class_names
        )
        self._class_names = names
        stacks = {
            _name(split, ordered): _stack(split, raw, labels[split], _name(split, ordered))
            for split, raw in ordered.items()
        }
        self._parts = tuple(
            _Part(split, canonical, labels[split])
            for split, canonical in zip(ordered, canonical_values(stacks), strict=True)
        )
        self._starts = [0, *itertools.accumulate(map(len, self._parts))]
        lengths = {part.split: len(part) for part in self._parts}
        fields = {split: raw.fields for split, raw in ordered.items()}
        found, self._field_columns = array_fields(fields, lengths)
        self._target_schema = TargetSchema(fields=found)
        self._description = dict(description)

    def __len__(self) -> int:
        return self._starts[-1]

    def _at(self, index: int) -> tuple[_Part, int]:
        """The part that holds a record, and the record's row there."""
        if not 0 <= index < len(self):
            raise IndexError(f"record {index} is not in [0, {len(self)})")
        number = bisect.bisect_right(self._starts, index) - 1
        return self._parts[number], index - self._starts[number]

    def record(self, index: int) -> Record:
        """``row:17``, or ``test/row:17`` where there are several splits."""
        part, row = self._at(index)
        prefix = f"{part.split}/" if len(self._parts) > 1 else ""
        label = None if part.labels is None else self._class_names[part.labels[row]]
        return Record(f"{prefix}row:{row}", label, part.split)

    def identity_bytes(self, index: int) -> bytes:
        """A line with dtype and shape, then the values in C order, little-endian."""
        part, row = self._at(index)
        return part.identity_bytes(row)

    def source_bytes(self, content: bytes) -> int:
        """The length of the values."""
        return len(content) - _header_bytes(content)

    def decode(self, content: bytes, index: int) -> DecodedImage:
        """The values, unless some of them are no numbers.

        Raises:
            UndecodableImageError: NaN or infinity among the values.
        """
        part, row = self._at(index)
        canonical = part.canonical
        if row in canonical.unfit:
            count = np.count_nonzero(~np.isfinite(canonical.unfit[row]))
            detail = f"{count} values are NaN or infinite"
            raise UndecodableImageError(
                f"not an image that is accepted (not-finite): {detail}",
                {"reason": "not-finite", "detail": detail, "format": "array"},
            )
        pixels = np.empty_like(canonical.values[row])
        flat = np.frombuffer(content, pixels.dtype, offset=_header_bytes(content))
        pixels[...] = flat.reshape(pixels.shape)
        return DecodedImage(pixels, canonical.conversions)

    def measure(self, content: bytes, index: int) -> Measurement:
        """As `decode`: an array has no cheaper way to be measured."""
        decoded = self.decode(content, index)
        height, width, channels = decoded.pixels.shape
        is_float = decoded.pixels.dtype.kind == "f"
        return Measurement(height, width, channels, decoded.conversions, is_float)

    def class_names(self) -> tuple[str, ...]:
        """The class names in label order."""
        return self._class_names

    def schema(self) -> TargetSchema:
        """The fields there are."""
        return self._target_schema

    def field_columns(self) -> tuple[NDArray[Any], ...]:
        """(n, *field.shape) for each field."""
        return self._field_columns

    def objects(self, index: int) -> Objects:  # noqa: ARG002 - arrays have none
        """No objects."""
        return Objects.none(1)

    def mask(self, index: int) -> NDArray[np.uint8]:
        """No mask: (H, W, 0)."""
        part, row = self._at(index)
        return np.zeros((*part.canonical.values[row].shape[:2], 0), np.uint8)

    def describe(self) -> dict[str, Any]:
        """How to find the arrays again, and what was made of their values."""
        return {
            **self._description,
            "shapes": {part.split: list(part.canonical.values.shape) for part in self._parts},
            "conversions": {part.split: list(part.canonical.conversions) for part in self._parts},
        }


def _name(split: str, parts: Mapping[str, RawPart]) -> str:
    return f"the {split} images" if len(parts) > 1 else "the images"


def _stack(split: str, raw: RawPart, labels: NDArray[np.int32] | None, name: str) -> NDArray[Any]:
    """One split's images as (N, H, W, C), checked."""
    images = np.asanyarray(raw.images)
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape[1:]:
        raise SourceError(
            f"{name} have shape {np.shape(raw.images)}: expected (N, H, W), (N, H, W, 1) or "
            "(N, H, W, 3), channels last",
            {"found": np.shape(raw.images), "split": split},
        )
    if labels is not None and len(labels) != len(images):
        raise SourceError(
            f"{name} are {len(images)}, their labels {len(labels)}",
            {"expected": len(images), "found": len(labels), "split": split},
        )
    return images


def _header_bytes(content: bytes) -> int:
    return content.index(b"\n") + 1


def memory_source(arrays: object, options: ArrayOptions) -> ArraySource:
    """The source over arrays given from Python.

    Args:
        arrays: ``images``, ``(images, labels)``, Keras' ``((x_train, y_train), (x_test, y_test))``,
            a mapping from split to images or a pair or, where there are fields, to a mapping with
            ``images``, ``labels`` and ``fields`` (arrays by name; see `array_fields`); the latter
            may also stand alone.
        options: only ``class_names`` applies.

    Raises:
        SourceError: none of these.
    """
    return ArraySource(_given_parts(arrays), {"kind": "memory"}, options.class_names)


def _given_parts(arrays: object) -> dict[str, RawPart]:
    if isinstance(arrays, Mapping) and "images" in arrays:
        return {"train": _given_part(arrays)}
    if isinstance(arrays, Mapping):
        unknown = sorted(str(split) for split in arrays if split not in SPLITS)
        if unknown:
            raise SourceError(
                f"{unknown[0]!r} is no split: use train, val or test", {"found": unknown}
            )
        return {split: _given_part(part) for split, part in arrays.items()}
    if isinstance(arrays, tuple) and len(arrays) == 2 and isinstance(arrays[0], tuple):
        return {"train": _given_part(arrays[0]), "test": _given_part(arrays[1])}
    return {"train": _given_part(arrays)}


def _given_part(part: object) -> RawPart:
    if isinstance(part, np.ndarray):
        return RawPart(part, None)
    if isinstance(part, tuple) and len(part) == 2 and isinstance(part[0], np.ndarray):
        images, labels = part
        return RawPart(images, None if labels is None else np.asarray(labels))
    if isinstance(part, Mapping) and set(part) <= {"images", "labels", "fields"}:
        labels = part.get("labels")
        fields = part.get("fields") or {}
        if isinstance(part.get("images"), np.ndarray) and isinstance(fields, Mapping):
            labels = None if labels is None else np.asarray(labels)
            return RawPart(part["images"], labels, fields)
    raise SourceError(
        "expected an array of images, a pair (images, labels), or a mapping of images, labels and "
        f"fields, found {type(part).__name__}",
        {"found": type(part).__name__},
    )


def options_given(options: ArrayOptions) -> dict[str, Any]:
    """The options that were set, JSON-ready, for a description."""
    given = {**asdict(options), "class_names": list(options.class_names)}
    return {name: value for name, value in given.items() if value}
