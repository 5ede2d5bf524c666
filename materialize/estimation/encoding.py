"""Real copies of real images, encoded as a shard would hold them, and how long that takes.

The same calls as in a build: `materialize.job` decodes and renders, the codec encodes blocks of
neighbouring rows.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize import planning
from materialize.estimation.pools import Drawn
from materialize.job import Workshop, decoded, render
from materialize.partner_images import PartnerImages
from materialize.partners import PartnerPools
from materialize.recipe import Recipe
from materialize.shards.codecs import Codec, decode_block, encode_block, find_codec
from materialize.shards.columns import Column
from materialize.shards.layout import ShardSpec
from materialize.shards.writer import ShardWriter
from pipelines import Pipeline

_DECODED_BYTES = 2**23
"""Of images decoded again, after which speed and loss are known."""


@dataclass(slots=True)
class Speed:
    """Seconds spent on some work, and how much work it was."""

    seconds: float = 0.0
    images: int = 0
    num_bytes: int = 0
    """Decoded."""

    def add(self, began: float, images: int, num_bytes: int = 0) -> None:
        """Notes work that ends now."""
        self.seconds += time.perf_counter() - began
        self.images += images
        self.num_bytes += num_bytes

    @property
    def s_per_image(self) -> float:
        """0 where nothing was done."""
        return self.seconds / self.images if self.images else 0.0

    @property
    def bytes_per_s(self) -> float:
        """Of decoded bytes; 0 where nothing was done."""
        return self.num_bytes / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class CodecTrial:
    """What one codec made of the images it was shown."""

    codec: Codec
    encode: Speed = field(default_factory=Speed)
    decode: Speed = field(default_factory=Speed)
    squared_error: float = 0.0
    """Sum over all values decoded again, of a lossy codec."""
    worst_squared_error: float = 0.0
    """Mean over the values of the block that came out worst."""

    def encoded_bytes(self, images: NDArray[Any], block_rows: int, full_rows: int) -> int:
        """The bytes of some rows in blocks, each encoded once and the first ones decoded.

        Args:
            images: (n, H, W, C).
            block_rows: rows of a block.
            full_rows: rows that a last block of fewer is filled up to, as HDF5 fills its chunks;
                0 for no such filling.
        """
        total = 0
        for start in range(0, len(images), block_rows):
            block = images[start : start + block_rows]
            if len(block) < full_rows and not self.codec.is_picture:
                block = np.concatenate(
                    [block, np.zeros_like(block[:1]).repeat(full_rows - len(block), 0)]
                )
            total += self._tried(block)
        return total

    def _tried(self, block: NDArray[Any]) -> int:
        if not self.encode.images:
            # Machine code is loaded by the first call, which says nothing of the others.
            one = block[:1]
            decode_block(self.codec, encode_block(self.codec, one), Column(one.dtype, one.shape))
        began = time.perf_counter()
        encoded = encode_block(self.codec, block)
        self.encode.add(began, len(block), block.nbytes)
        if self.decode.num_bytes > _DECODED_BYTES:
            return len(encoded)
        began = time.perf_counter()
        again = decode_block(self.codec, encoded, Column(block.dtype, block.shape))
        self.decode.add(began, len(block), block.nbytes)
        if self.codec.is_lossy:
            self._compare(block, again)
        return len(encoded)

    def _compare(self, block: NDArray[Any], again: NDArray[Any]) -> None:
        error = np.square(block.astype(np.float32) - again.astype(np.float32)).reshape(
            len(block), -1
        )
        self.squared_error += float(error.sum(dtype=np.float64))
        self.worst_squared_error = max(self.worst_squared_error, float(error.mean(axis=1).max()))

    @property
    def psnr_db(self) -> float | None:
        """Over all values decoded; None for a lossless codec."""
        return _psnr_db(self.squared_error / self.decode.num_bytes) if self._is_known else None

    @property
    def worst_psnr_db(self) -> float | None:
        """Of the image that came out worst; None for a lossless codec."""
        return _psnr_db(self.worst_squared_error) if self._is_known else None

    @property
    def _is_known(self) -> bool:
        return self.codec.is_lossy and self.decode.num_bytes > 0


@dataclass(frozen=True, slots=True)
class Rendered:
    """One image set as it would be stored."""

    kind: str
    """``copy`` or ``original``."""
    images: NDArray[Any]
    """(n, H, W, C)"""


@dataclass(slots=True)
class Bench:
    """Renders what shards would hold, and notes how long that takes."""

    pipeline: Pipeline
    recipe: Recipe
    load: Speed = field(default_factory=Speed)
    """Reading, checking, decoding and preparing sources."""
    render: Speed = field(default_factory=Speed)
    _writer: ShardWriter = field(default_factory=ShardWriter)

    def rendered(self, drawn: Drawn, kinds: Iterable[str], copies: Sequence[int]) -> list[Rendered]:
        """The originals and some copies of some images, whichever are wanted.

        Args:
            drawn: at least one image.
            kinds: ``copy``, ``original`` or both.
            copies: which copies.
        """
        began = time.perf_counter()
        images = decoded(drawn.source, self.pipeline, drawn.rows)
        self.load.add(began, len(drawn.rows))
        found = []
        if "original" in kinds:
            found.append(
                Rendered("original", np.stack([images.image(i) for i in range(len(images))]))
            )
        if "copy" in kinds:
            workshop = Workshop(
                Path(), drawn.source, self.pipeline, self.recipe.seed, self.recipe.value_range
            )
            spec = self._spec(drawn)
            partners = self._partners(drawn, copies)
            for copy in copies:
                began = time.perf_counter()
                words = self.pipeline.draw(self.recipe.seed, drawn.rows.ids, copy)
                with self._writer.shard(
                    replace(spec, copy=copy), sample_ids=drawn.rows.ids, labels=drawn.rows.labels,
                    class_names=drawn.rows.class_names,
                ) as shard:  # fmt: skip
                    render(workshop, images, words, shard, partners)
                    self.render.add(began, len(drawn.rows), shard.images.nbytes)
                    found.append(Rendered("copy", shard.images.copy()))
        return found

    def _partners(self, drawn: Drawn, copies: Sequence[int]) -> PartnerImages:
        """What the images are mixed with: each other, as good as any."""
        pairings = {}
        if self.pipeline.is_mixing:
            training = replace(drawn.rows, splits=np.zeros_like(drawn.rows.splits))
            rows = np.arange(len(training))
            pairings = PartnerPools.of_one(training).pairings(
                self.pipeline, self.recipe.seed, 1, dict.fromkeys(copies, rows)
            )
        prepare = partial(decoded, drawn.source, self.pipeline)
        return PartnerImages(pairings, self.pipeline, self.recipe.seed, prepare)

    def _spec(self, drawn: Drawn) -> ShardSpec:
        """Of a raw shard with these rows alone, each once, and nothing beside them."""
        options = replace(
            self.recipe, codec="raw", copies=1, storage="pixels", originals=False,
            parameters="none", shard_bytes=2**31,
        )  # fmt: skip
        training = replace(drawn.rows, splits=np.zeros_like(drawn.rows.splits), rates=None)
        specs = [s for task in planning.tasks(self.pipeline, options, training) for s in task.specs]
        return replace(specs[0], targets=None, fields=None, partners_digest="")


def block_rows(codec: str, spec: ShardSpec, run_rows: int) -> int:
    """Rows that a codec encodes together in shards of so many rows; 1 for raw ones."""
    found = find_codec(codec)
    images = Column(spec.images.dtype, (run_rows, *spec.image_shape))
    return 1 if found.is_raw else found.rows_per_block(images)


def _psnr_db(mean_squared_error: float) -> float:
    return (
        float("inf")
        if not mean_squared_error
        else float(10 * np.log10(255**2 / mean_squared_error))
    )
