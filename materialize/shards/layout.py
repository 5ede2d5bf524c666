"""What a shard is: its spec, its name and every dataset and attribute inside the file.

A shard is an HDF5 file (format of HDF5 1.8, so any HDF5 of the last fifteen years reads it) with n
rows. Raw codec, three rows of 2×2×1 pixels, two draw words:

    ┌──────────┬─────────────────────────────────────────────────────────────────────────────┐
    │ head     │ superblock, root group with the attributes below, dataset headers           │
    │          │   labels      (n,)         int32    dataset-local class number, −1 for none │
    │          │   sample_ids  (n, 16)      uint8    128-bit sample id                       │
    │          │   partner_ids, partner_labels, label_weights: of copies that mix, see below │
    │          │   draws       (n, words)   uint32   raw random words   ("draws")            │
    │          │   parameters  (n, names)   float64  applied parameters ("full")             │
    │          │   field_…     (n, …)       as the spec says, one for each field there is    │
    │          │ zeros up to the next multiple of 4,096                                      │
    ├──────────┼─────────────────────────────────────────────────────────────────────────────┤
    │ pixels   │   images      (n, H, W, C) uint8 or float32, contiguous, row order          │
    ├──────────┼─────────────────────────────────────────────────────────────────────────────┤
    │ tail     │ the last link of the root group (50 bytes)                                  │
    └──────────┴─────────────────────────────────────────────────────────────────────────────┘

Filtered codecs chunk `images` along the rows and have no such three parts, nor have picture codecs:
their rows are pictures, several stacked vertically in one or one in each, behind each other:

    image_offsets  (pictures + 1,)  int64  where each begins in `images`; the last: where all end
    images         (total,)         uint8  PNG, WebP or JPEG files, contiguous

Where images show objects, their shards have these columns too: m objects with K keypoints each, and
their polygons. `Objects` says what each means.

    object_offsets  (n + 1,)      int64   row i: [object_offsets[i], object_offsets[i + 1]) of m
    object_labels   (m,)          int32
    object_numbers  (m,)          int32
    object_flags    (m,)          uint8
    boxes           (m, 4)        float32
    keypoints       (m, K, 3)     float32
    ring_offsets    (m + 1,)      int64   the polygons of an object
    point_offsets   (rings + 1,)  int64   the corners of a polygon
    points          (p, 2)        float32

Masks are images: each has a shard of its own beside that of its images, with the same rows, M
channels of uint8 and no draws. What objects, keypoints, channels and labels are called is in spec.

Copies of a pipeline that mixes images have soft labels: ``label_weights`` of the image's own label,
what is left of its partner's. A row that was not mixed is its own partner, with weight 1.

    partner_ids     (n, 16)  uint8    sample id of the partner; left out with parameters "none"
    partner_labels  (n,)     int32    the partner's class number, −1 for none
    label_weights   (n,)     float32  in [0, 1]

All numbers are little-endian. Root attributes: ``format``, ``format_version``, ``spec`` (canonical
JSON), ``kind``, ``split``, ``copy``, ``class_names`` (JSON), ``recipe``; on `draws` or
`parameters`: ``columns`` (JSON). Texts are fixed-length ASCII, so that no variable-length type is
ever needed. Version 1 is that of all codecs: a codec is named in the spec, and a release that does
not know one says so and reads nothing. Nothing about the machine, the time, the path or the
software is inside: that is in the receipts.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from materialize.canonical import canonical_json, digest
from materialize.shards.columns import (
    CLOSING_BYTES,
    OBJECT_COLUMNS,
    Column,
    ObjectCounts,
    field_column,
)
from materialize.sources.targets import Field
from pipelines.objects import ObjectKinds

FORMAT_NAME = "materialize-shard"
FORMAT_VERSION = 1

ID_BYTES = 16
IMAGES = "images"
IMAGE_OFFSETS = "image_offsets"
IMAGE_DTYPES: dict[str, np.dtype[Any]] = {"uint8": np.dtype("|u1"), "float32": np.dtype("<f4")}
LABEL_DTYPE = np.dtype("<i4")
DRAW_DTYPE = np.dtype("<u4")
PARAMETER_DTYPE = np.dtype("<f8")
WEIGHT_DTYPE = np.dtype("<f4")

ROOT_ATTRIBUTES = (
    "format", "format_version", "spec", "kind", "split", "copy", "class_names", "recipe",
)  # fmt: skip
COLUMNS_ATTRIBUTE = "columns"

LATER: dict[str, Any] = {"targets": None, "fields": None, "partners_digest": ""}
"""Fields that came after the first shards, and what they are where nothing is said: left out then,
so that the shards that were there before keep their names and their bytes."""

_SPLIT = re.compile(r"[A-Za-z0-9_]{1,32}")
_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ShardTargets:
    """What moves with the pixels: objects beside them, or a mask in their stead."""

    digest: str
    """SHA-256 over the rows' target digests, in hex: binds what was annotated."""
    objects: ObjectKinds | None = None
    """Of a shard of images that show objects."""
    mask_names: tuple[str, ...] = ()
    """Of a shard of masks: what each channel is."""
    mask_labels: tuple[tuple[int, str], ...] = ()
    """What their numbers mean, in ascending order; left out of the spec where nobody said."""


@dataclass(frozen=True, slots=True)
class ShardFields:
    """Numbers that rows have besides their label, and that nothing moves."""

    digest: str
    """See `materialize.shards.columns.fields_digest`."""
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class ShardSpec:
    """Everything that decides a shard's bytes; equal specs give equal files.

    Raises:
        ValueError: a field is outside its set or interval, or two fields contradict each other.
    """

    kind: Literal["copy", "original"]
    generation: int
    """Of the population the rows come from, from 1."""
    split: str
    run: int
    """Index of the run of samples within generation and split, from 0."""
    first_row: int
    """Position of the first row within generation and split."""
    num_rows: int
    copy: int
    """Index of the copy, from 0; −1 for originals."""
    image_shape: tuple[int, int, int]
    """(H, W, C)."""
    image_dtype: Literal["uint8", "float32"]
    codec: str
    parameters: Literal["none", "draws", "full"]
    """What stands beside each row: nothing, the random words, or the applied parameters."""
    recipe: str
    """Hex digest of pipeline and seed; empty for originals."""
    rows_digest: str
    """See `rows_digest`: binds the ids, the labels and the class names."""
    sources_digest: str
    """SHA-256 over the rows' content digests, in hex: binds what the images are made from, also
    where ids were given by the user."""
    draw_words: tuple[str, ...] = ()
    """Column names of `draws`, or of `parameters` for ``full``; empty for ``none``."""
    targets: ShardTargets | None = None
    """None for images that have a class alone."""
    fields: ShardFields | None = None
    """None where there are none, and in shards of masks: these stand beside the images."""
    partners_digest: str = ""
    """Binds the images that these are mixed with, and their labels, in hex; empty where no step
    mixes. See `materialize.partners`."""

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise ValueError(f"this is not a possible shard: {problem}")

    def _problems(self) -> list[str]:
        """What is wrong, most basic first."""
        rules = {
            f"generation must be at least 1, found {self.generation}": self.generation >= 1,
            f"run and first_row must be at least 0, found {self.run} and {self.first_row}": (
                min(self.run, self.first_row) >= 0
            ),
            f"num_rows must be at least 1, found {self.num_rows}": self.num_rows >= 1,
            f"image_shape must be three sizes of at least 1, found {self.image_shape}": (
                len(self.image_shape) == 3 and min(self.image_shape) >= 1
            ),
            f"split must be 1 to 32 letters, digits or _, found {self.split!r}": bool(
                _SPLIT.fullmatch(self.split)
            ),
            f"rows_digest and sources_digest must be 64 hex digits, found {self.rows_digest!r} and "
            f"{self.sources_digest!r}": bool(
                _HEX_DIGEST.fullmatch(self.rows_digest)
                and _HEX_DIGEST.fullmatch(self.sources_digest)
            ),
            f"a copy has copy ≥ 0 and a recipe of 64 hex digits, found copy {self.copy} and recipe "
            f"{self.recipe!r}": self.kind != "copy"
            or (self.copy >= 0 and bool(_HEX_DIGEST.fullmatch(self.recipe))),
            f"an original has copy −1, no recipe and no parameters, found copy {self.copy}, recipe "
            f"{self.recipe!r} and parameters {self.parameters!r}": self.kind != "original"
            or (self.copy == -1 and not self.recipe and self.parameters == "none"),
            f"draw_words must name columns exactly if parameters are kept, found "
            f"{self.draw_words} with parameters {self.parameters!r}": (
                bool(self.draw_words) == (self.parameters != "none")
            ),
            f"targets must have a digest of 64 hex digits and either objects or a mask, a mask "
            f"uint8 pixels of as many channels as names and no parameters, found {self.targets} in "
            f"{self.image_shape} {self.image_dtype}": self.targets is None
            or self._fits(self.targets),
            f"fields must be some, with a digest of 64 hex digits and names of their own, beside "
            f"images, found {self.fields}": self.fields is None
            or (
                bool(self.fields.fields)
                and bool(_HEX_DIGEST.fullmatch(self.fields.digest))
                and len({field.name for field in self.fields.fields}) == len(self.fields.fields)
                and not self.is_mask
            ),
            f"only a copy has a partners_digest, of 64 hex digits, found {self.partners_digest!r} "
            f"of an {self.kind}": not self.partners_digest
            or (self.kind == "copy" and bool(_HEX_DIGEST.fullmatch(self.partners_digest))),
        }
        return [problem for problem, holds in rules.items() if not holds]

    def _fits(self, targets: ShardTargets) -> bool:
        """Whether the targets are possible in such a shard."""
        names = targets.mask_names
        is_mask_shaped = self.image_dtype == "uint8" and self.image_shape[2] == len(names)
        return (
            bool(_HEX_DIGEST.fullmatch(targets.digest))
            and (targets.objects is None) == bool(names)
            and (not names or (is_mask_shaped and self.parameters == "none"))
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dict with every field, but for those that came later, at rest."""
        facts = asdict(self)
        if self.targets is not None and not self.targets.mask_labels:
            del facts["targets"]["mask_labels"]
        return {k: v for k, v in facts.items() if k not in LATER or v != LATER[k]}

    @classmethod
    def from_json(cls, value: Any) -> "ShardSpec":
        """The spec in a decoded JSON value.

        Raises:
            msgspec.ValidationError: a field is missing, of another type or impossible
                (a ValueError).
        """
        return msgspec.convert(value, cls)

    def digest(self) -> str:
        """64 hex digits; the first 16 are in the file name."""
        return digest(self.to_json())

    def file_name(self) -> str:
        """Such as ``copy-g0001-train-r00003-c00002-<16 hex digits of the digest>.h5``.

        That of a shard of masks begins with ``copy-mask-``.
        """
        kind = f"{self.kind}-mask" if self.is_mask else self.kind
        copy = "" if self.kind == "original" else f"c{self.copy:05d}-"
        return (
            f"{kind}-g{self.generation:04d}-{self.split}-r{self.run:05d}-{copy}"
            f"{self.digest()[:16]}.h5"
        )

    @property
    def is_mask(self) -> bool:
        """Whether the pixels are masks."""
        return self.targets is not None and bool(self.targets.mask_names)

    @property
    def num_images(self) -> int:
        """How many images there are: as many as rows, and none where the rows are masks."""
        return 0 if self.is_mask else self.num_rows

    @property
    def objects(self) -> ObjectKinds | None:
        """What the objects are that stand beside the pixels; None where there are none."""
        return None if self.targets is None else self.targets.objects

    def columns(self) -> dict[str, Column]:
        """The datasets beside the pixels, in the order they are written, without objects."""
        columns = {
            "labels": Column(LABEL_DTYPE, (self.num_rows,)),
            "sample_ids": Column(np.dtype("|u1"), (self.num_rows, ID_BYTES)),
        }
        if self.partners_digest:
            if self.parameters != "none":
                columns["partner_ids"] = columns["sample_ids"]
            columns["partner_labels"] = columns["labels"]
            columns["label_weights"] = Column(WEIGHT_DTYPE, (self.num_rows,))
        shape = (self.num_rows, len(self.draw_words))
        if self.parameters == "draws":
            columns["draws"] = Column(DRAW_DTYPE, shape)
        elif self.parameters == "full":
            columns["parameters"] = Column(PARAMETER_DTYPE, shape)
        for field in self.fields.fields if self.fields is not None else ():
            columns[field_column(field.name)] = Column(field.dtype, (self.num_rows, *field.shape))
        return columns

    @property
    def column_names(self) -> tuple[str, ...]:
        """All datasets beside the pixels, in the order they are written."""
        return (*self.columns(), *(OBJECT_COLUMNS if self.objects is not None else ()))

    @property
    def images(self) -> Column:
        """The pixels."""
        return Column(IMAGE_DTYPES[self.image_dtype], (self.num_rows, *self.image_shape))

    @property
    def row_bytes(self) -> int:
        """Decoded bytes of one image."""
        return self.images.num_bytes // self.num_rows


@dataclass(frozen=True, slots=True)
class ShardEntry:
    """What the manifest says about one shard: enough to check every byte before it is parsed."""

    file: str
    """Name inside the directory ``shards``."""
    spec: ShardSpec
    num_bytes: int
    file_sha256: str
    """SHA-256 of the file, as ``sha256sum`` prints it."""
    content_sha256: str
    """Digest of the arrays before they were encoded; see `materialize.shards.digests`."""
    images_offset: int | None
    """Where the pixels begin in a raw shard; None for other codecs."""
    images_stored_bytes: int
    """Bytes of the file that are pixels; what is left is columns and container."""
    leaves: tuple[str, ...]
    """SHA-256 of each leaf; see `materialize.shards.digests`."""
    decoded_sha256: str | msgspec.UnsetType = msgspec.UNSET
    """Digest of what a lossy shard decodes to, by `picture_coding.JPEG_DECODER`; unset for
    lossless ones, which decode to ``content_sha256``, and then absent from manifests."""
    objects: ObjectCounts | msgspec.UnsetType = msgspec.UNSET
    """Unset where there are none, and then absent from manifests."""

    def __post_init__(self) -> None:
        if self.file != self.spec.file_name():
            raise ValueError(f"{self.file} is not the name of its spec, {self.spec.file_name()}")
        end = (self.images_offset or 0) + self.images_stored_bytes
        if min(self.images_offset or 0, self.images_stored_bytes) < 0 or end > self.num_bytes:
            raise ValueError(f"{self.file}: its pixels end at {end} of {self.num_bytes} bytes")
        if (
            self.images_offset is not None
            and self.images_stored_bytes != self.spec.images.num_bytes
        ):
            raise ValueError(f"{self.file}: the size of its pixels contradicts their shape")
        counts = self.objects
        if isinstance(counts, msgspec.UnsetType) != (self.spec.objects is None):
            raise ValueError(f"{self.file}: its spec contradicts that it has {counts}")
        if not isinstance(counts, msgspec.UnsetType):
            least = min(counts.num_objects, counts.num_rings, counts.num_points)
            if least < 0 or self._columns_bytes > self.num_bytes:
                raise ValueError(f"{self.file}: {counts} do not fit into {self.num_bytes} bytes")

    def columns(self) -> dict[str, Column]:
        """The datasets beside the pixels."""
        columns = self.spec.columns()
        if self.spec.objects is not None and not isinstance(self.objects, msgspec.UnsetType):
            columns |= self.objects.columns(self.spec.num_rows, self.spec.objects)
        return columns

    @property
    def reading_sha256(self) -> str:
        """Digest of the arrays as they are read: of the decoded ones where the codec is lossy."""
        decoded = self.decoded_sha256
        return self.content_sha256 if isinstance(decoded, msgspec.UnsetType) else decoded

    @property
    def container_bytes(self) -> int:
        """Bytes that are neither pixels nor columns: headers, chunk index, offsets, alignment."""
        closing = 0 if self.spec.objects is None else CLOSING_BYTES
        return self.num_bytes - self.images_stored_bytes - self._columns_bytes + closing

    @property
    def _columns_bytes(self) -> int:
        return sum(column.num_bytes for column in self.columns().values())


def rows_digest(
    sample_ids: NDArray[np.uint8], labels: NDArray[np.int32], class_names: Sequence[str]
) -> str:
    """What identifies the rows of a shard, as 64 hex digits.

    The class names take part because they are in the file: a dataset whose class map grew since
    must still rebuild an old shard to the same bytes, with the names of that shard's generation.

    Args:
        sample_ids: (n, 16) uint8.
        labels: (n,) int32.
        class_names: in label order.
    """
    hasher = hashlib.sha256(b"materialize-rows-1\0")
    hasher.update(len(labels).to_bytes(8, "little"))
    hasher.update(np.ascontiguousarray(sample_ids, dtype=np.uint8).data)
    hasher.update(np.ascontiguousarray(labels, dtype=LABEL_DTYPE).data)
    hasher.update(canonical_json(list(class_names)))
    return hasher.hexdigest()
