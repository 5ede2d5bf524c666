"""Originals beside the copies that the shards hold, as small pictures for a page.

The copies are what is stored, not what would be drawn again, and every parameter stands in text
under its picture. All rows come from one run, so that each copy opens one shard.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from materialize.audit.standing import StandingDataset
from materialize.errors import MaterializeError
from materialize.feasibility import prepared_canvas
from materialize.manifest import shard_path
from materialize.partners import NOBODY
from materialize.pictures import sheet
from materialize.pictures.captions import captions
from materialize.pictures.color_key import ColorKey
from materialize.pictures.gallery import some_of_every_class
from materialize.pictures.overlay import Marked, drawn
from materialize.planning import take_rows
from materialize.population import Population, load_images
from materialize.report.pages import data_url
from materialize.shards.layout import ShardEntry, ShardSpec
from materialize.shards.reader import ShardReader
from materialize.stock import ORIGINAL
from materialize.whereabouts import find_source

ORIGINALS, COPIES, PICTURES = 6, 5, 24
"""At most so many, so many copies beside each, and so many together."""
LIMIT_BYTES = 300_000
"""Of all pictures together, encoded."""
_SIDE_PX = 168
"""Larger pictures are reduced to it."""
_PIXEL_ART_PX = 64
"""Up to here pixels are stored as they are and shown as squares."""
_QUALITY = 85


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """One picture of the page."""

    url: str
    width: int
    height: int
    title: str
    lines: tuple[str, ...]
    """What was drawn for it, one step each."""
    alternative: str
    """The picture in words."""
    num_bytes: int
    """Encoded, before it became text."""

    @property
    def is_pixel_art(self) -> bool:
        """Whether it is to be enlarged as squares."""
        return max(self.width, self.height) <= _PIXEL_ART_PX


@dataclass(frozen=True, slots=True)
class CopyRow:
    """One original with some of its copies."""

    name: str
    """Its class, or where it is if it has none."""
    sample_id: str
    pictures: tuple[Thumbnail, ...]
    """The original first, where it could be read."""


@dataclass(frozen=True, slots=True)
class StoredCopies:
    """What the page shows of what is stored."""

    rows: tuple[CopyRow, ...] = ()
    legend: tuple[tuple[str, str], ...] = ()
    """What was drawn over the copies: a name and a colour such as ``#d55e00``."""


def stored_copies(dataset: StandingDataset) -> StoredCopies:
    """A few training images of different classes, each beside its stored copies.

    Args:
        dataset: complete.

    Returns:
        Rows of at most `LIMIT_BYTES` together, none where no copy is stored; and what colours mean.

    Raises:
        ShardError: a shard that is asked for is missing or damaged.
    """
    entries = _shards_of_one_run(dataset.manifest.shards)
    images = [entry for entry in entries if not entry.spec.is_mask]
    masks = {entry.spec.copy: entry for entry in entries if entry.spec.is_mask}
    copies = [entry for entry in images if entry.spec.kind == "copy"][:COPIES]
    if not copies:
        return StoredCopies()
    population = dataset.population_of(copies[0].spec.generation)
    own = take_rows(population, dataset.rows_of(copies[-1].spec))  # who has it has all before it
    rows = np.array(
        some_of_every_class(own, min(ORIGINALS, PICTURES // (len(copies) + 1))), np.int64
    )
    samples = take_rows(own, rows)
    there = dataset.rows_of(copies[-1].spec)[rows]
    pixels = [_read(dataset, entry, there, masks.get(entry.spec.copy)) for entry in copies]
    said = [_captions(dataset, samples, entry.spec, there) for entry in copies]
    originals = _originals(dataset, samples, images, there, masks.get(ORIGINAL))
    key = ColorKey(population.schema)
    found = []
    for i in range(len(rows)):
        name = samples.label_name(i) or samples.locators[i]
        pictures = []
        if originals is not None:
            pictures.append(_thumbnail(originals[i], key, "original", (), name))
        for k, entry in enumerate(copies):
            title = f"copy {entry.spec.copy}"
            pictures.append(_thumbnail(pixels[k][i], key, title, said[k][i], name))
        found.append(CopyRow(name, samples.ids[i].tobytes().hex(), tuple(pictures)))
    legend = [(key.name_of(meaning), f"#{bytes(color).hex()}") for meaning, color in key.shown()]
    return StoredCopies(_within_limit(found), tuple(legend))


def _shards_of_one_run(entries: Sequence[ShardEntry]) -> list[ShardEntry]:
    """The first training run that has copies, its shards by copy: originals first, masks last."""
    keys = [(e.spec.generation, e.spec.run) for e in entries
            if e.spec.split == "train" and e.spec.kind == "copy"]  # fmt: skip
    if not keys:
        return []
    here = [e for e in entries if e.spec.split == "train"
            and (e.spec.generation, e.spec.run) == min(keys)]  # fmt: skip
    return sorted(here, key=lambda entry: (entry.spec.is_mask, entry.spec.copy))


def _read(
    dataset: StandingDataset, entry: ShardEntry, rows: NDArray[np.int64], mask: ShardEntry | None
) -> list[Marked]:
    """Some rows of the population with what they show, wherever in the shard they are."""
    places = np.searchsorted(dataset.rows_of(entry.spec), rows)
    with ShardReader(shard_path(dataset.directory, entry.file), entry) as reader:
        pixels = [np.array(reader.rows(row, row + 1)[0]) for row in places.tolist()]
        there = None if reader.objects is None else reader.objects.take(places)
    masks = [None] * len(pixels) if mask is None else _read(dataset, mask, rows, None)
    return [
        Marked(
            image, None if there is None else there.take(np.array([number])),
            None if shown is None else shown.pixels.astype(np.uint8),
        )
        for number, (image, shown) in enumerate(zip(pixels, masks, strict=True))
    ]  # fmt: skip


def _originals(
    dataset: StandingDataset,
    samples: Population,
    entries: Iterable[ShardEntry],
    rows: NDArray[np.int64],
    mask: ShardEntry | None,
) -> list[Marked] | None:
    """From their own shard, or from the source where it still is what was scanned."""
    for entry in entries:
        if entry.spec.kind == "original":
            return _read(dataset, entry, rows, mask)
    try:
        images = load_images(find_source(dataset.directory), samples, range(len(samples)))
        return [Marked(image) for image in images]
    except (MaterializeError, OSError):
        return None


def _captions(
    dataset: StandingDataset, samples: Population, spec: ShardSpec, rows: NDArray[np.int64]
) -> list[tuple[str, ...]]:
    """What was drawn for a copy of each sample, in words, and whom it is mixed with.

    Args:
        dataset: as it stands.
        samples: the images.
        spec: of the shard that holds their copies.
        rows: theirs in the population of its generation.
    """
    pipeline, copy = dataset.pipeline, spec.copy
    pairing = dataset.pairings(spec.generation, {copy: rows}).get(copy)
    words = pipeline.draw(dataset.manifest.seed, samples.ids, copy)
    draws = pipeline.parameters(words, prepared_canvas(pipeline, samples))
    keys = pipeline.step_keys
    lines = [captions(keys, draws, i) for i in range(len(samples))]
    if pairing is not None:
        there = pairing.population
        for said, row in zip(lines, pairing.rows.tolist(), strict=True):
            said += [] if row == NOBODY else [f"with {there.label_name(row)} {there.locators[row]}"]
    return [tuple(said) or ("unchanged",) for said in lines]


def _thumbnail(
    marked: Marked, key: ColorKey, title: str, lines: tuple[str, ...], name: str
) -> Thumbnail:
    longest = max(marked.pixels.shape[:2])
    is_plain = marked.objects is None and marked.mask is None
    picture = drawn(marked, min(longest, _SIDE_PX), key)
    if marked.pixels.shape[2] == 1 and is_plain:
        picture = picture.convert("L")
    content, kind = _encoded(picture, is_small=longest <= _PIXEL_ART_PX)
    said = f": {'; '.join(lines)}" if lines else ""
    return Thumbnail(
        data_url(content, kind), picture.width, picture.height, title, lines,
        f"{title} of {name}{said}", len(content),
    )  # fmt: skip


def _encoded(picture: Image.Image, *, is_small: bool) -> tuple[bytes, str]:
    """Small ones exactly, larger ones as they look."""
    if is_small:
        return sheet.png_bytes(picture), "image/png"
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=_QUALITY, method=4)
    return buffer.getvalue(), "image/webp"


def _within_limit(rows: Iterable[CopyRow]) -> tuple[CopyRow, ...]:
    """As many rows as there is room for."""
    kept: list[CopyRow] = []
    left = LIMIT_BYTES
    for row in rows:
        left -= sum(picture.num_bytes for picture in row.pictures)
        if left < 0:
            break
        kept.append(row)
    return tuple(kept)
