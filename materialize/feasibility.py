"""Whether a pipeline can be applied to these images at all: asked before anything is written.

A build that is going to fail should say so before it claims an output.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ConfigError, SizeMismatchError
from materialize.population.table import Population
from materialize.recipe import MOST_COPIES, Recipe
from materialize.shards.codecs import CODECS, find_codec
from materialize.shards.columns import Column
from materialize.shards.layout import IMAGE_DTYPES
from materialize.sources.base import SPLITS
from pipelines import Pipeline, PipelineError
from pipelines.contract import MAX_SIDE
from pipelines.lowering import taken
from pipelines.rendering import Pool
from pipelines.transform import Canvas, Photometric
from pipelines.user_code import user_code_of

_TRIALS = 4096
"""Addresses whose matrices are tried; with the extremes of every interval beside them."""

Shape = tuple[int, int, int]
"""(H, W, C)"""


def stored_shapes(
    pipeline: Pipeline, recipe: Recipe, population: Population, split: str
) -> dict[str, Shape]:
    """What the recipe stores of one split: the shape of the ``original``, of the ``copy``.

    Raises:
        SizeMismatchError: the images differ in size where they must not.
    """
    rows = population.split_rows(split)
    shapes: dict[str, Shape] = {}
    if len(rows) and recipe.stores_originals:
        shapes["original"] = original_shape(pipeline, population, rows)
    if len(rows) and split == "train" and recipe.stores_copies:
        shapes["copy"] = copy_shape(pipeline, population)
    return shapes


def copy_shape(pipeline: Pipeline, population: Population) -> Shape:
    """The shape of every copy.

    Raises:
        SizeMismatchError: the images differ in size and the pipeline does not bring them to one.
    """
    rows = population.split_rows("train")
    outputs = {pipeline.output_size(*size) for size in _sizes(population, rows)}
    if len(outputs) != 1:
        raise SizeMismatchError(*_size_problem(population, rows, "the pipeline keeps their sizes"))
    return (*outputs.pop(), population.channels)


def original_shape(pipeline: Pipeline, population: Population, rows: range) -> Shape:
    """The shape of a split's untouched images: as they come, or after the pipeline's resize.

    Raises:
        SizeMismatchError: they differ in size and the pipeline has no resize.
    """
    if pipeline.resize:
        return (pipeline.resize.height, pipeline.resize.width, population.channels)
    sizes = _sizes(population, rows)
    if len(sizes) != 1:
        raise SizeMismatchError(*_size_problem(population, rows, "originals are not cropped"))
    return (*sizes.pop(), population.channels)


def prepared_canvas(
    pipeline: Pipeline, population: Population, rows: NDArray[np.int64] | None = None
) -> Canvas:
    """The sizes that images have once they are prepared.

    Args:
        pipeline: its resize decides.
        population: whose images.
        rows: which of them; all where None.
    """
    here = slice(None) if rows is None else rows
    sizes = (population.heights[here], population.widths[here])
    canvas = Canvas(sizes[0].astype(np.int64), sizes[1].astype(np.int64))
    resize = pipeline.resize
    return canvas.resized(resize.height, resize.width) if resize else canvas


def check_feasible(pipeline: Pipeline, recipe: Recipe, population: Population) -> None:
    """Refuses what could only fail later.

    Raises:
        ConfigError: no image is to be augmented, an image is too large, black and white are not
            known, a step cannot work on these images, or the codec cannot hold them.
        SizeMismatchError: the images differ in size where they must not.
    """
    training = population.split_rows("train")
    if not len(training):
        raise ConfigError(
            f"the source: expected training images, got none among {len(population)}; only "
            "training images are augmented, so put some into the split train",
            {"name": "source", "expected": "training images", "found": len(population)},
        )
    _check_sides(population)
    _check_fields(pipeline, population)
    _check_values(pipeline, recipe, population)
    for split in SPLITS:
        for shape in stored_shapes(pipeline, recipe, population, split).values():
            _check_codec(recipe.codec, population.dtype, shape)
    if population.rates is not None:
        most = int(population.rates.num_draws(recipe.copies).max())
        if most > MOST_COPIES:
            raise ConfigError(
                f"balance: expected at most {MOST_COPIES:,} copies of an image, got {most:,}; set "
                "balance-cap, or ask for fewer",
                {"name": "balance", "expected": MOST_COPIES, "found": most},
            )
    copy_shape(pipeline, population)  # also where copies are made at reading
    try:
        if population.schema.moves:
            pipeline.check_targets()
        _try_out(pipeline, recipe, population)
    except PipelineError as error:
        raise ConfigError(f"the pipeline cannot be applied to these images: {error}") from error


def check_code(pipeline: Pipeline) -> None:
    """Refuses to write what a pipeline renders if its code cannot run here, or nowhere else.

    Raises:
        ConfigError: a function has no name that workers and later sessions could import.
        UserCodeError: a function is not there, is not what it was when the pipeline was stored, or
            is named by a dataset and nobody allowed it.
    """
    for step in user_code_of(pipeline.steps):
        if step.foreign_objection:
            raise ConfigError(
                f"{step.title}: expected a function that workers and later sessions can import, "
                f"got one that they cannot: {step.foreign_objection}. Nothing was written",
                {"name": "call", "expected": "package.module:attribute", "found": step.title},
            )
        step.make_ready()


def _try_out(pipeline: Pipeline, recipe: Recipe, population: Population) -> None:
    """Lowers some addresses and the extremes of all intervals, and renders one small image."""
    rows = population.split_rows("train")
    ids = population.ids[rows.start : rows.stop][:_TRIALS]
    words = pipeline.draw(recipe.seed, ids, 0)
    ends = np.array([[0], [2**32 - 1]], dtype=np.uint32) * np.ones(words.shape[1], np.uint32)
    words = np.concatenate([words, ends])
    place = np.minimum(np.arange(len(words)), len(ids) - 1) + rows.start
    if pipeline.resize:
        resize = pipeline.resize
        canvas = Canvas(np.full(len(words), resize.height), np.full(len(words), resize.width))
    else:
        sizes = (population.heights[place], population.widths[place])
        canvas = Canvas(sizes[0].astype(np.int64), sizes[1].astype(np.int64))
    drawn = pipeline.parameters(words, canvas)
    for height, width in canvas.sizes():
        # By size, as images are rendered where a step needs finished ones.
        rows_of_size = np.flatnonzero((canvas.heights == height) & (canvas.widths == width))
        here = Canvas(canvas.heights[rows_of_size], canvas.widths[rows_of_size])
        pipeline.lower(taken(drawn, rows_of_size), here, population.channels)
    if any(user_code_of(pipeline.steps)):
        return  # what others wrote need not like such images; see `materialize.rehearsal`
    image = np.zeros((1, 8, 8, population.channels), dtype=population.dtype)
    pipeline.apply(
        image, seed=recipe.seed, sample_ids=ids[:1], copies=0, value_range=recipe.value_range,
        pool=Pool(image, ids[:1]),
    )  # fmt: skip


def _check_fields(pipeline: Pipeline, population: Population) -> None:
    """Refuses to mix images whose fields nobody knows how to mix; a weight is of the sample."""
    fields = [field.name for field in population.schema.fields if field.kind != "weight"]
    if pipeline.is_mixing and fields:
        raise ConfigError(
            f"{pipeline.name}: expected images with one label each, since a mixed image is stored "
            f"with two classes and a weight, got the fields {', '.join(fields)}; leave the step "
            "that mixes out, or open the source without them",
            {"name": pipeline.name, "expected": "one label", "found": fields},
        )


def _check_sides(population: Population) -> None:
    longest = np.maximum(population.heights, population.widths)
    row = int(longest.argmax())
    if longest[row] > MAX_SIDE:
        raise ConfigError(
            f"{population.locators[row]}: expected sides of at most {MAX_SIDE} pixels, got "
            f"{population.heights[row]}×{population.widths[row]}; make it smaller or --exclude it",
            {"locator": population.locators[row], "expected": MAX_SIDE, "found": int(longest[row])},
        )


def _check_values(pipeline: Pipeline, recipe: Recipe, population: Population) -> None:
    toning = [s.name for s in pipeline.moving_steps if isinstance(s, Photometric)]
    if population.dtype == "float32" and toning and recipe.value_range is None:
        raise ConfigError(
            f"value_range: expected the values that mean black and white, since {toning[0]} "
            "changes the values of float32 images, got none; give value_range, such as 0,1",
            {"name": "value_range", "expected": "black, white", "found": None},
        )


def _check_codec(name: str, dtype: str, shape: Shape) -> None:
    images = Column(IMAGE_DTYPES["float32" if dtype == "float32" else "uint8"], shape)
    problem = find_codec(name).problem(images)
    if problem:
        others = ", ".join(c.name for c in CODECS.values() if not c.problem(images))
        raise ConfigError(
            f"codec: {name} cannot store images of {shape[0]}×{shape[1]}×{shape[2]} {dtype}: "
            f"{problem}; use one of {others}",
            {"name": "codec", "expected": others, "found": name, "shape": shape, "dtype": dtype},
        )


def _sizes(population: Population, rows: range) -> set[tuple[int, int]]:
    here = slice(rows.start, rows.stop)
    pairs = np.stack([population.heights[here], population.widths[here]], axis=1)
    return {(int(height), int(width)) for height, width in np.unique(pairs, axis=0)}


def _size_problem(population: Population, rows: range, why: str) -> tuple[str, dict[str, Any]]:
    heights = population.heights[rows.start : rows.stop]
    widths = population.widths[rows.start : rows.stop]
    differ = np.flatnonzero((heights != heights[0]) | (widths != widths[0]))[:3]
    offenders = [
        f"{population.locators[rows.start + row]} is {heights[row]}×{widths[row]}"
        for row in (0, *differ.tolist())
    ]
    message = (
        f"expected images of one size, got {'; '.join(offenders)} …, and {why}; begin "
        "the pipeline with a resize step, which the option or key resize adds (such as 96x128)"
    )
    return message, {"expected": (int(heights[0]), int(widths[0])), "found": offenders}
