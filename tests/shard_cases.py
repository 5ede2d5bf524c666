"""Small shards for tests: what goes in is derived from the arguments, so two calls agree."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.atomic import write_file
from materialize.shards.layout import ShardEntry, ShardSpec, rows_digest
from materialize.shards.writer import ShardWriter
from pipelines.objects import ObjectKinds, Objects


@dataclass(frozen=True)
class ShardCase:
    """A spec and everything that belongs into its shard."""

    spec: ShardSpec
    columns: dict[str, NDArray[Any]]
    class_names: tuple[str, ...]
    images: NDArray[Any]
    objects: Objects | None = None

    def write(self, writer: ShardWriter | None = None, step: int = 2) -> tuple[bytes, ShardEntry]:
        """The shard's bytes and its entry, rendered ``step`` rows at a time."""
        opened = (writer or ShardWriter()).shard(
            self.spec, class_names=self.class_names, objects=self.objects, **self.columns
        )
        with opened as shard:
            for start in range(0, self.spec.num_rows, step):
                stop = min(start + step, self.spec.num_rows)
                shard.rows(start, stop)[...] = self.images[start:stop]
            image = shard.finish()
            return bytes(image.data), image.entry()

    def store(self, directory: Path) -> tuple[Path, ShardEntry]:
        """Write the shard into a directory."""
        data, entry = self.write()
        write_file(directory / entry.file, data)
        return directory / entry.file, entry


def shard_case(
    num_rows: int = 5,
    shape: tuple[int, int, int] = (4, 3, 3),
    *,
    class_names: Sequence[str] = ("bird", "cat", "Ünicorn"),
    objects: Objects | None = None,
    **fields: Any,
) -> ShardCase:
    """A case with arbitrary but fixed contents; ``fields`` override those of the spec."""
    counter = np.arange(num_rows * int(np.prod(shape)), dtype=np.int64)
    spec = ShardSpec(
        kind="copy", generation=1, split="train", run=3, first_row=15, num_rows=num_rows, copy=2,
        image_shape=shape, image_dtype="uint8", codec="raw", parameters="draws", recipe="5e" * 32,
        rows_digest="0" * 64, sources_digest="c7" * 32, draw_words=("rotate.angle", "flip"),
    )  # fmt: skip
    spec = replace(spec, **fields)
    columns: dict[str, NDArray[Any]] = {
        "sample_ids": (np.arange(num_rows * 16) * 37 % 251).astype(np.uint8).reshape(-1, 16),
        "labels": (np.arange(num_rows) % len(class_names)).astype(np.int32),
    }
    values = np.arange(num_rows * len(spec.draw_words)).reshape(num_rows, -1)
    if spec.parameters == "draws":
        columns["draws"] = (values * 2654435761 % 2**32).astype(np.uint32)
    elif spec.parameters == "full":
        columns["parameters"] = values / 7
    if spec.partners_digest:
        columns["partner_ids"] = columns["sample_ids"][::-1].copy()
        columns["partner_labels"] = columns["labels"][::-1].copy()
        columns["label_weights"] = (np.arange(num_rows) / num_rows).astype(np.float32)
    digest = rows_digest(columns["sample_ids"], columns["labels"], class_names)
    pixels = (counter * counter * 31 % 257 % 256).reshape(num_rows, *shape)
    images = pixels.astype(spec.images.dtype)
    spec = replace(spec, rows_digest=digest)
    return ShardCase(spec, columns, tuple(class_names), images, objects)


def objects_case(num_images: int, kinds: ObjectKinds) -> Objects:
    """Arbitrary but fixed objects, none in the first image, with up to two polygons each."""
    counts = np.arange(num_images) % 3
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    m = int(offsets[-1])
    rings = np.concatenate([[0], np.cumsum(np.arange(m) % 3)]).astype(np.int64)
    points = np.arange(int(rings[-1]) + 1, dtype=np.int64) * 3
    values = np.arange(4 * m, dtype=np.float32).reshape(m, 4) / 7
    keypoints = np.arange(m * len(kinds.keypoint_names) * 3, dtype=np.float32) % 3
    return Objects(
        offsets, (np.arange(m) % len(kinds.names)).astype(np.int32), np.arange(m, dtype=np.int32),
        (np.arange(m) % 16).astype(np.uint8), values, keypoints.reshape(m, -1, 3), rings, points,
        np.arange(2 * points[-1], dtype=np.float32).reshape(-1, 2) / 3,
    )  # fmt: skip
