"""What a pipeline does to images, as one picture to look at before anything is built.

Three kinds: originals beside their copies with the parameters that made them, every step alone, and
a labelled grid of originals with class counts. The copies are the very pixels that a build with the
same seed stores, because they come from the same call.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from materialize.errors import ConfigError
from materialize.partners import with_folds
from materialize.pictures import sheet
from materialize.pictures.captions import captions, options_text
from materialize.pictures.color_key import ColorKey
from materialize.pictures.overlay import Marked, drawn
from materialize.planning import take_rows
from materialize.population import Population, load_images
from materialize.sources import Source
from materialize.sources.base import SPLITS
from materialize.targets import PreparedTargets, move_targets, prepare_targets
from pipelines import Pipeline
from pipelines.rendering import Pool
from pipelines.transform import Canvas, Parameters

KINDS = ("copies", "steps", "grid")
_DRAWS_PER_STEP = 6
"""Two rows of three, as tutorials show a parameter."""
_BAR_PX = 150
_CLASSES_SHOWN = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class GalleryOptions:
    """How much is shown of what."""

    kind: str = "copies"
    """``copies``: originals beside their copies; ``steps``: each step alone; ``grid``: labelled
    originals and class counts."""
    copies: int = 5
    """Copies beside each original."""
    seed: int = 0
    """Of the build whose copies are shown."""
    num_images: int | None = None
    """Originals; 6 beside copies, 1 for steps and 30 in a grid unless given."""
    images: tuple[str, ...] = ()
    """Locators of the originals; by default some of every class in turn."""
    folds: tuple[int, int] | None = None
    """Number and seed of the folds within which the build mixes images; None for none."""

    def __post_init__(self) -> None:
        """Checks the kind and the numbers.

        Raises:
            ConfigError: one is outside its set or interval.
        """
        if self.kind not in KINDS:
            raise ConfigError(
                f"kind: expected one of {', '.join(KINDS)}, got {self.kind!r}",
                {"name": "kind", "expected": KINDS, "found": self.kind},
            )
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
    key: ColorKey

    def rows(self, default: int) -> list[int]:
        """The rows of the population to show."""
        if self.options.images:
            return _rows_at(self.population, self.options.images)
        return some_of_every_class(self.population, self.options.num_images or default)

    def image(self, row: int) -> NDArray[Any]:
        """One original."""
        return load_images(self.source, self.population, (row,))[0]

    def pool(self, row: int) -> "_PoolImages":
        """Whom an image is mixed with, as in a build; others than training images, as if they were.

        Args:
            row: of the image.
        """
        training = self.population.split_rows("train") or range(len(self.population))
        rows, folds = np.array(training), self.population.folds
        if folds is not None and row in training:
            rows = rows[folds[rows] == folds[row]]
        return _PoolImages(self, rows)

    def targets(self, row: int, pipeline: Pipeline) -> PreparedTargets | None:
        """What it shows, as it lies on the prepared image; None where nothing moves."""
        if not self.population.schema.moves:
            return None
        one = take_rows(self.population, np.array([row]))
        return prepare_targets(self.source, pipeline, one)

    def page(self, title: str, subtitle: str, content: Image.Image) -> Image.Image:
        """The finished picture, with what the colours mean that were drawn."""
        said = self.key.legend(content.width)
        parts = [content] if said is None else [said, content]
        return sheet.page(title, subtitle, sheet.stacked(parts, 16))

    def tile(self, marked: Marked, side: int, title: str, caption: str) -> Image.Image:
        """An image with its title and caption beneath, as wide as the image may be."""
        parts = [sheet.framed(drawn(marked, side, self.key))]
        if title:
            parts.append(sheet.text(title, 13, width=side))
        if caption:
            parts.append(sheet.text(caption, 11, ink=sheet.FAINT, width=side))
        return sheet.stacked(parts, 4)

    def label(self, row: int) -> str:
        """Its class, or where it is if it has none."""
        return self.population.label_name(row) or self.population.locators[row]


class _PoolImages(Sequence[NDArray[Any]]):
    """The originals of some rows, each loaded when it is asked for."""

    def __init__(self, material: _Material, rows: NDArray[np.int64]) -> None:
        self._material, self.rows = material, rows

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> NDArray[Any]: ...
    @overload
    def __getitem__(self, place: slice) -> list[NDArray[Any]]: ...
    def __getitem__(self, place: int | slice) -> Any:
        if isinstance(place, slice):
            return [self._material.image(int(row)) for row in self.rows[place]]
        return self._material.image(int(self.rows[place]))


def draw_gallery(
    source: Source,
    population: Population,
    pipeline: Pipeline | None,
    options: GalleryOptions = GalleryOptions(),
) -> Image.Image:
    """A gallery as an RGB picture.

    Args:
        source: where the images are.
        population: what a scan of it gave.
        pipeline: what happens to them; only ``grid`` does without.
        options: what kind, and how much of what.

    Raises:
        ConfigError: there is no pipeline, or an image that is not in the population.
        RecordReadError: an image could not be read.
    """
    if pipeline is not None and pipeline.is_mixing:
        population = with_folds(population, options.folds)
    material = _Material(source, population, options, ColorKey(population.schema))
    if options.kind == "grid":
        return _grid(material)
    if pipeline is None:
        raise ConfigError(
            f"pipeline: expected one to draw {options.kind}, got none; add --pipeline, or --kind "
            "grid to look at the images alone",
            {"name": "pipeline", "found": None},
        )
    return (_steps if options.kind == "steps" else _copies)(material, pipeline)


def some_of_every_class(population: Population, count: int) -> list[int]:
    """Rows of the training split, one of each class in turn; of other splits if that is empty.

    Rows are in the order of their ids, which are hashes: the first ones are a fair sample.
    """
    training = population.split_rows("train")
    rows = np.arange(training.start, training.stop) if training else np.arange(len(population))
    labels = population.labels[rows]
    by_label = np.argsort(labels, kind="stable")
    _, sizes = np.unique(labels, return_counts=True)
    turn = np.empty(len(rows), np.int64)
    turn[by_label] = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
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
    rendered = [_rendered(material, pipeline, row, count) for row in rows]
    side = _side([copy for _, copies, _ in rendered for copy in copies])
    lines = []
    for row, (original, copies, draws) in zip(rows, rendered, strict=True):
        locator = material.population.locators[row]
        title = material.label(row)
        tiles = [material.tile(original, side, title, "" if title == locator else locator)]
        partners = _partners(material, pipeline, row, draws)
        for number, copy in enumerate(copies):
            words = [*captions(pipeline.step_keys, draws, number), *partners[number]]
            said = "\n".join(words) or "unchanged"
            tiles.append(material.tile(copy, side, f"copy {number}", said))
        lines.append(sheet.grid(tiles, len(tiles), 16))
    seed = material.options.seed
    subtitle = f"{len(rows)} originals and the first {count} copies of each, seed {seed}"
    return material.page(f"Pipeline {pipeline.name}", subtitle, sheet.stacked(lines, 22))


def _steps(material: _Material, pipeline: Pipeline) -> Image.Image:
    """Each step alone, on each image in turn."""
    if not pipeline.moving_steps:
        raise ConfigError(
            f"preview steps: expected a pipeline that draws something, found none but a resize in "
            f"{pipeline.name}",
            {"found": pipeline.name},
        )
    parts = [_steps_of_one(material, pipeline, row) for row in material.rows(1)]
    seed = material.options.seed
    subtitle = f"every step alone, its first {_DRAWS_PER_STEP} draws, seed {seed}"
    title = f"Pipeline {pipeline.name}, step by step"
    return material.page(title, subtitle, sheet.stacked(parts, 40))


def _steps_of_one(material: _Material, pipeline: Pipeline, row: int) -> Image.Image:
    """A card for the original and one for each step."""
    cards = []
    head = (pipeline.resize,) if pipeline.resize else ()
    for key, step in ((p.key, p.step) for p in pipeline.placed if p.gate is None):
        # Under the key it has among the others, a step alone draws what it draws there, and so
        # does what it holds.
        alone = replace(pipeline, steps=(*head, replace(step, id=key)))
        original, copies, draws = _rendered(material, alone, row, _DRAWS_PER_STEP)
        side = _side(copies)
        holds = len(alone.step_keys) > 1
        partners = _partners(material, alone, row, draws)
        said = [
            [*captions(alone.step_keys, draws, n, with_key=holds), *partners[n]]
            for n in range(len(copies))
        ]
        tiles = [
            material.tile(copy, side, "", "\n".join(lines) or "unchanged")
            for copy, lines in zip(copies, said, strict=True)
        ]
        cards.append(_card(key.replace("_", " "), options_text(step), sheet.grid(tiles, 3)))
        if len(cards) == 1:
            locator = material.population.locators[row]
            tile = material.tile(original, 2 * side, "", locator)
            cards.insert(0, _card("original", material.label(row), tile))
    return sheet.grid(cards, 3 if len(cards) > 4 else 2, 36)


def _grid(material: _Material) -> Image.Image:
    """Labelled originals, and how many there are of each class."""
    population, rows = material.population, material.rows(30)
    untouched = Pipeline(steps=())
    images = [_marked(material, untouched, row) for row in rows]
    side = _side(images)
    pairs = zip(images, rows, strict=True)
    tiles = [material.tile(image, side, material.label(row), "") for image, row in pairs]
    content = sheet.grid(tiles, 6, 14)
    if population.class_names:
        content = sheet.beside([content, class_chart(population)], 40)
    splits = [f"{len(r):,} {split}" for split in SPLITS if (r := population.split_rows(split))]
    in_splits = f" ({', '.join(splits)})" if len(splits) > 1 else ""
    subtitle = f"{len(rows)} of {len(population):,} images{in_splits}, {_sizes(population)}"
    return material.page("Images and their classes", subtitle, content)


def class_chart(population: Population) -> Image.Image:
    """The number of images of each class, as bars; the first classes where they are many."""
    names = population.class_names
    counts = np.bincount(population.labels, minlength=len(names)).tolist()
    shown = list(zip(names, counts, strict=True))[:_CLASSES_SHOWN]
    labels = [sheet.text(name if len(name) < 24 else f"{name[:20]}…", 12) for name, _ in shown]
    width = max(label.width for label in labels)
    lines = [sheet.text("Images by class", 14, bold=True)]
    for label, (_, count) in zip(labels, shown, strict=True):
        length = round(_BAR_PX * count / max(counts))
        chart = sheet.padded(sheet.bar(length, 10), top=4, right=_BAR_PX - length)
        number = sheet.text(f"{count:,}", 12, ink=sheet.FAINT)
        lines.append(sheet.beside([sheet.padded(label, right=width - label.width), chart, number]))
    if len(names) > len(shown):
        more = f"and {len(names) - len(shown):,} more classes"
        lines.append(sheet.text(more, 12, ink=sheet.FAINT))
    return sheet.stacked(lines, 6)


def _sizes(population: Population) -> str:
    heights, widths = population.heights, population.widths
    kind = "grey" if population.channels == 1 else "colour"
    size = population.uniform_size()
    if size:
        return f"all {size[0]} × {size[1]}, {kind}"
    return f"{heights.min()} × {widths.min()} to {heights.max()} × {widths.max()}, {kind}"


def _marked(material: _Material, pipeline: Pipeline, row: int) -> Marked:
    """The prepared original with what it shows."""
    pixels, targets = pipeline.prepare(material.image(row)), material.targets(row, pipeline)
    if targets is None:
        return Marked(pixels)
    mask = None if targets.masks is None else targets.masks.image(0)
    return Marked(pixels, targets.objects, None if mask is None else mask.astype(np.uint8))


def _rendered(
    material: _Material, pipeline: Pipeline, row: int, count: int
) -> tuple[Marked, list[Marked], list[Parameters]]:
    """The prepared original, its copies, and what was drawn for them."""
    image, seed, copies = material.image(row), material.options.seed, np.arange(count)
    ids = np.repeat(material.population.ids[row : row + 1], count, axis=0)
    pool = None
    if pipeline.is_mixing:
        partners = material.pool(row)
        pool = Pool(partners, material.population.ids[partners.rows])
    rendered = pipeline.apply([image] * count, seed=seed, sample_ids=ids, copies=copies, pool=pool)
    original, words = _marked(material, pipeline, row), pipeline.draw(seed, ids, copies)
    height, width = original.pixels.shape[:2]
    canvas = Canvas(np.full(count, height), np.full(count, width))
    draws = pipeline.parameters(words, canvas)
    targets = material.targets(row, pipeline)
    if targets is None:
        return original, [Marked(copy) for copy in rendered], draws
    every = targets.take(np.zeros(count, np.int64))
    masks, kinds = None, material.population.schema.objects
    if every.masks is not None:
        masks = np.empty((*rendered.shape[:3], every.masks.channels), np.uint8)
    objects = move_targets(pipeline, every, words, kinds=kinds, masks=masks)
    made = [
        Marked(
            rendered[n],
            None if objects is None else objects.take(np.array([n])),
            None if masks is None else masks[n],
        )
        for n in range(count)
    ]
    return original, made, draws


def _partners(
    material: _Material, pipeline: Pipeline, row: int, draws: Sequence[Parameters]
) -> list[list[str]]:
    """For each copy, a line that names whom it is mixed with, or none."""
    mixes, population = pipeline.mixes(draws), material.population
    if mixes is None:
        return [[] for _ in range(material.options.copies + _DRAWS_PER_STEP)]
    rows = material.pool(row).rows
    found = rows[mixes.partner_rows(len(rows))].tolist()
    named = [f"with {population.label_name(r)} {population.locators[r]}" for r in found]
    return [[name] if here else [] for name, here in zip(named, mixes.is_mixed, strict=True)]


def _side(images: Sequence[Marked]) -> int:
    return sheet.side_for(max(max(image.pixels.shape[:2]) for image in images))


def _card(title: str, subtitle: str, content: Image.Image) -> Image.Image:
    """A titled part of a page."""
    head = sheet.text(title, 17, bold=True)
    line = sheet.text(subtitle, 12, ink=sheet.FAINT, width=content.width)
    return sheet.stacked([head, line, content], 6)
