"""What a pipeline does to images, as one picture to look at before anything is built.

Three kinds: originals beside their copies with the parameters that made them, every step alone, and
a labelled grid of originals with class counts. The copies are the very pixels that a build with the
same seed stores, because they come from the same call.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from materialize import sheet
from materialize.captions import captions, options_text
from materialize.errors import ConfigError
from materialize.population import Population, load_images
from materialize.sources import Source
from materialize.sources.base import SPLITS
from pipelines import Pipeline
from pipelines.transform import Canvas

KINDS = ("copies", "steps", "grid")
_DRAWS_PER_STEP = 6
"""Two rows of three, as tutorials show a parameter."""
_BAR_PX = 150
_CLASSES_SHOWN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryOptions:
    """How much is shown of what."""

    copies: int = 5
    """Copies beside each original."""
    seed: int = 0
    """Of the build whose copies are shown."""
    num_images: int | None = None
    """Originals; 6 beside copies, 1 for steps and 30 in a grid unless given."""
    images: tuple[str, ...] = ()
    """Locators of the originals; by default some of every class in turn."""

    def __post_init__(self) -> None:
        """Checks the numbers.

        Raises:
            ConfigError: one is not positive.
        """
        for name in ("copies", "num_images"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= 1000:
                raise ConfigError(
                    f"{name}: expected a number in [1, 1000], got {value}",
                    {"name": name, "expected": "[1, 1000]", "found": value},
                )


@dataclass(frozen=True, slots=True)
class _Material:
    """What every kind of gallery is drawn from."""

    source: Source
    population: Population
    options: GalleryOptions

    def rows(self, default: int) -> list[int]:
        """The rows of the population to show."""
        if self.options.images:
            return _rows_at(self.population, self.options.images)
        return some_of_every_class(self.population, self.options.num_images or default)

    def image(self, row: int) -> NDArray[Any]:
        """One original."""
        return load_images(self.source, self.population, (row,))[0]

    def label(self, row: int) -> str:
        """Its class, or where it is if it has none."""
        return self.population.label_name(row) or self.population.locators[row]


def draw_gallery(
    kind: str,
    source: Source,
    population: Population,
    pipeline: Pipeline | None,
    options: GalleryOptions = GalleryOptions(),
) -> Image.Image:
    """A gallery as an RGB picture.

    Args:
        kind: one of `KINDS`.
        source: where the images are.
        population: what a scan of it gave.
        pipeline: what happens to them; only ``grid`` does without.
        options: how much of what.

    Raises:
        ConfigError: unknown kind, no pipeline, or an image that is not in the population.
        RecordReadError: an image could not be read.
    """
    material = _Material(source, population, options)
    if kind == "grid":
        return _grid(material)
    if kind not in KINDS or pipeline is None:
        wanted = "a pipeline" if kind in KINDS else f"one of {', '.join(KINDS)}"
        raise ConfigError(
            f"preview {kind}: expected {wanted}, got none; add --pipeline, or --kind grid to look "
            "at the images alone",
            {"found": kind, "expected": wanted},
        )
    draw: Callable[[_Material, Pipeline], Image.Image] = _steps if kind == "steps" else _copies
    return draw(material, pipeline)


def some_of_every_class(population: Population, count: int) -> list[int]:
    """Rows of the training split, one of each class in turn; of other splits if that is empty.

    Rows are in the order of their ids, which are hashes: the first ones are a fair sample.
    """
    training = population.split_rows("train")
    rows = np.arange(training.start, training.stop) if training else np.arange(len(population))
    labels = population.labels[rows]
    by_label = np.argsort(labels, kind="stable")
    _, first, sizes = np.unique(labels, return_index=True, return_counts=True)
    del first
    turn = np.empty(len(rows), np.int64)
    turn[by_label] = np.concatenate([np.arange(size) for size in sizes.tolist()] or [[]])
    order = np.lexsort((labels, turn))[:count]
    return [int(row) for row in rows[order]]


def _rows_at(population: Population, wanted: Sequence[str]) -> list[int]:
    """The rows of named images."""
    row_by_locator = {population.locators[row]: row for row in range(len(population))}
    for locator in wanted:
        if locator not in row_by_locator:
            near = difflib.get_close_matches(locator, row_by_locator, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(
                f"image {locator!r}: expected a path relative to the source, found no accepted "
                f"image there{hint}",
                {"found": locator},
            )
    return [row_by_locator[locator] for locator in wanted]


def _copies(material: _Material, pipeline: Pipeline) -> Image.Image:
    """Originals, each with its copies beside it."""
    rows, count = material.rows(6), material.options.copies
    shown = [_rendered(material, pipeline, row, count) for row in rows]
    longest = max(max(image.shape[:2]) for images, _ in shown for image in images)
    lines = []
    for row, (images, texts) in zip(rows, shown, strict=True):
        first = _tile(images[0], longest, material.label(row), material.population.locators[row])
        copies = [
            _tile(image, longest, f"copy {number}", caption)
            for number, (image, caption) in enumerate(zip(images[1:], texts, strict=True))
        ]
        lines.append([first, *copies])
    width = max(tile.width for line in lines for tile in line)
    content = sheet.stacked([_aligned(line, width) for line in lines], 20)
    subtitle = f"{len(rows)} originals and copies 0 to {count - 1} of each, seed {material.options.seed}"
    return sheet.page(f"Pipeline {pipeline.name}", subtitle, content)


def _steps(material: _Material, pipeline: Pipeline) -> Image.Image:
    """Each step alone: six draws of it, with the words it has in the whole pipeline."""
    cards = []
    for row in material.rows(1):
        original = material.image(row)
        for key, step in zip(pipeline.step_keys, pipeline.moving_steps, strict=True):
            head = (pipeline.resize,) if pipeline.resize else ()
            # Under the key it has among the others, a step alone draws what it draws there.
            alone = replace(pipeline, steps=(*head, replace(step, id=key)))
            images, texts = _rendered(material, alone, row, _DRAWS_PER_STEP)
            longest = max(max(image.shape[:2]) for image in images)
            tiles = [_tile(i, longest, "", t) for i, t in zip(images[1:], texts, strict=True)]
            gallery = sheet.grid(tiles, 3)
            title = sheet.text(key.replace("_", " "), 17, bold=True)
            options = sheet.text(options_text(step), 12, ink=sheet.FAINT, width=gallery.width)
            cards.append(sheet.stacked([title, options, gallery], 6))
        cards.insert(0, _original_card(material, row, original)) if len(cards) else None
    if not cards:
        raise ConfigError(
            f"preview steps: expected a pipeline that draws something, found no step in "
            f"{pipeline.name} but a resize",
            {"found": pipeline.name},
        )
    content = sheet.grid(cards, 3 if len(cards) > 4 else 2, 36)
    subtitle = f"every step alone, {_DRAWS_PER_STEP} draws each, seed {material.options.seed}"
    return sheet.page(f"Pipeline {pipeline.name}, step by step", subtitle, content)


def _original_card(material: _Material, row: int, image: NDArray[Any]) -> Image.Image:
    title = sheet.text("original", 17, bold=True)
    where = sheet.text(material.label(row), 12, ink=sheet.FAINT)
    tile = _tile(image, max(image.shape[:2]), "", material.population.locators[row])
    return sheet.stacked([title, where, tile], 6)


def _grid(material: _Material) -> Image.Image:
    """Labelled originals, and how many there are of each class."""
    population, rows = material.population, material.rows(30)
    images = [material.image(row) for row in rows]
    longest = max(max(image.shape[:2]) for image in images)
    tiles = [_tile(i, longest, material.label(r), "") for i, r in zip(images, rows, strict=True)]
    content = sheet.grid(tiles, 6, 14)
    if population.class_names:
        content = sheet.beside([content, _class_chart(population)], 40)
    subtitle = f"{len(rows)} of {len(population):,} images, {_sizes(population)}"
    return sheet.page("Images and their classes", subtitle, content)


def _class_chart(population: Population) -> Image.Image:
    """A bar for each class, split by split."""
    parts = [
        np.bincount(
            population.labels[rows.start : rows.stop], minlength=len(population.class_names)
        )
        for split in SPLITS
        if (rows := population.split_rows(split))
    ]
    counts = sum(parts, start=np.zeros(len(population.class_names), np.int64))
    lines = [sheet.text("images by class", 13, bold=True)]
    for name, count in list(zip(population.class_names, counts.tolist(), strict=True))[:_CLASSES_SHOWN]:
        length = round(_BAR_PX * count / max(int(counts.max()), 1))
        cell = sheet.padded(sheet.bar(length, 10), top=4, right=_BAR_PX - length)
        number = sheet.text(f"{count:,}", 12, ink=sheet.FAINT)
        lines.append(sheet.beside([sheet.text(_short(name), 12, width=130), cell, number], 10))
    if len(population.class_names) > _CLASSES_SHOWN:
        more = len(population.class_names) - _CLASSES_SHOWN
        lines.append(sheet.text(f"and {more} more classes", 12, ink=sheet.FAINT))
    return sheet.stacked(lines, 5)


def _short(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:17]}…"


def _sizes(population: Population) -> str:
    size = population.uniform_size()
    kind = "grey" if population.channels == 1 else "colour"
    if size:
        return f"all {size[0]} × {size[1]}, {kind}"
    heights, widths = population.heights, population.widths
    return (
        f"{heights.min()} × {widths.min()} to {heights.max()} × {widths.max()}, {kind}"
    )


def _rendered(
    material: _Material, pipeline: Pipeline, row: int, count: int
) -> tuple[list[NDArray[Any]], list[str]]:
    """The prepared original and its copies, and the copies' captions."""
    image = material.image(row)
    ids = np.repeat(material.population.ids[row : row + 1], count, axis=0)
    copies, seed = np.arange(count), material.options.seed
    rendered = pipeline.apply([image] * count, seed=seed, sample_ids=ids, copies=copies)
    prepared = pipeline.prepare(image)
    canvas = Canvas(np.full(count, prepared.shape[0]), np.full(count, prepared.shape[1]))
    drawn = pipeline.parameters(pipeline.draw(seed, ids, copies), canvas)
    texts = ["\n".join(captions(pipeline.step_keys, drawn, n)) for n in range(count)]
    return [prepared, *rendered], [text or "unchanged" for text in texts]


def _tile(image: NDArray[Any], longest: int, title: str, caption: str) -> Image.Image:
    """An image with its title and caption beneath, all as wide as the image may be."""
    picture = sheet.framed(sheet.shown(image, longest))
    width = max(picture.width, sheet.SMALLEST_PX + 24)
    parts = [picture]
    if title:
        parts.append(sheet.text(title, 13, width=width))
    if caption:
        parts.append(sheet.text(caption, 11, ink=sheet.FAINT, width=width))
    return sheet.stacked(parts, 4)


def _aligned(tiles: Sequence[Image.Image], width: int) -> Image.Image:
    """A row of tiles, each as wide as the widest of the page."""
    return sheet.beside([sheet.padded(tile, right=width - tile.width) for tile in tiles])
