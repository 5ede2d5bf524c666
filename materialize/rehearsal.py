"""Users' code is called with real images before anything is written, and made to repeat itself.

A build calls it with one image; a check calls it with several, in other orders, with other global
generators, and in two processes that hash texts differently.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.audit.subprocesses import run_child
from materialize.errors import ConfigError, MaterializeError
from materialize.job import decoded
from materialize.planning import take_rows
from materialize.population.table import Population
from materialize.recipe import Recipe
from materialize.sources.base import Source
from pipelines import Pipeline, UserCodeError
from pipelines.lowering import canvas_after
from pipelines.rendering import Rendering, render
from pipelines.repeatability import Irregularity, irregularity, outcomes
from pipelines.transform import Canvas, Parameters
from pipelines.user_code import UserCode, naming_images, user_code_of

_IMAGES = 4
"""Of a check."""
_HASH_SEEDS = ("1", "2")
"""Under which Python puts the same set of texts into different orders."""
_DEADLINE_S = 300.0
_OTHERS = "another process gives others: sets of texts, hash() or its environment"
_LOOK = "sort what comes out of sets, use no hash(), and look at the image alone"


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A step of users' code, and some images as they reach it."""

    key: str
    """Of the step in its pipeline."""
    step: UserCode
    images: NDArray[Any]
    """(n, H, W, C)"""
    parameters: Parameters
    """Drawn for these images."""
    words: NDArray[np.uint32]
    """(n, words) of the whole pipeline."""
    locators: tuple[str, ...]

    def irregularity(self) -> Irregularity | None:
        """What the pixels depend on in this process, and must not.

        Raises:
            UserCodeError: the code broke its contract; the image is named.
        """
        with naming_images(self.words, lambda row: f"{self.locators[row]}, copy 0"):
            return irregularity(self.step, self.images, self.parameters)

    def outcomes(self) -> NDArray[Any]:
        """(n, H, W, C) what this process makes of the images, one by one."""
        return outcomes(self.step, self.images, self.parameters, np.arange(len(self.images)))


def rehearse(source: Source, pipeline: Pipeline, recipe: Recipe, population: Population) -> None:
    """Calls users' code with the first training image, some times over.

    Raises:
        UserCodeError: it broke its contract.
        ConfigError: it gave different pixels for the same draws.
    """
    for scene in scenes(source, pipeline, recipe, population, count=1):
        found = scene.irregularity()
        if found is not None:
            raise ConfigError(
                f"{scene.step.title}: expected the same pixels again for {scene.locators[0]}, got "
                f"others: {found.message}; {found.advice}",
                {"step": scene.key, "function": scene.step.title, "found": found.message},
            )


def rehearsed(
    source: Source, pipeline: Pipeline, recipe: Recipe, population: Population
) -> Iterator[tuple[str, str, str]]:
    """What is wrong with users' code: the step's key, what was seen, and what to do."""
    try:
        called = list(scenes(source, pipeline, recipe, population, count=_IMAGES))
        found = [scene.irregularity() for scene in called]
    except UserCodeError as error:
        message, _, advice = str(error).rpartition("; ")
        yield str(error.facts.get("step", "pipeline")), message, advice
        return
    steady = [scene for scene, one in zip(called, found, strict=True) if one is None]
    elsewhere = _between_processes(steady) if steady else []
    for scene, one in (*zip(called, found, strict=True), *zip(steady, elsewhere, strict=True)):
        if one is not None:
            message = (
                f"{scene.step.title} gives different pixels for the same image and draws "
                f"({scene.locators[one.row]}): {one.message}"
            )
            yield scene.key, message, one.advice


def scenes(
    source: Source, pipeline: Pipeline, recipe: Recipe, population: Population, *, count: int
) -> Iterator[Scene]:
    """The steps of users' code with training images, all of one size.

    Args:
        source: where the images come from.
        pipeline: whose steps are called.
        recipe: its seed, and what black and white are.
        population: of the source.
        count: how many images at most, spread over those of the first one's size.
    """
    if not any(user_code_of(pipeline.steps)):
        return
    training = np.array(population.split_rows("train"))
    sizes = np.stack([population.heights[training], population.widths[training]], axis=1)
    alike = training[(sizes == sizes[:1]).all(axis=1)]
    rows = take_rows(population, alike[np.unique(np.arange(count) * len(alike) // count)])
    images = decoded(source, pipeline, rows)
    words = pipeline.draw(recipe.seed, rows.ids, 0)
    canvas = Canvas(images.heights, images.widths)
    drawn = pipeline.parameters(words, canvas)
    how = Rendering(value_range=recipe.value_range)
    for place, placed in enumerate(pipeline.placed):
        if isinstance(placed.step, UserCode):
            placed.step.make_ready()
            height, width = canvas.sizes()[0]
            out = np.empty((len(rows), height, width, images.channels), images.values.dtype)
            with naming_images(words, lambda row: f"{rows.locators[row]}, copy 0"):
                render(pipeline, drawn, images, out, how, partners_of=place)
            yield Scene(placed.key, placed.step, out, drawn[place], words, tuple(rows.locators))
        canvas = canvas_after(placed.step, canvas)


def _between_processes(called: Sequence[Scene]) -> list[Irregularity | None]:
    """What differs, by scene, where texts are hashed otherwise."""
    expected = [scene.outcomes() for scene in called]
    found: list[Irregularity | None] = [None] * len(called)
    with tempfile.TemporaryDirectory(prefix="materialize-rehearsal-") as place:
        for seed in _HASH_SEEDS:
            file = Path(place) / f"{seed}.npz"
            call = partial(_record, tuple(called), str(file))
            try:
                run_child(call, environment={"PYTHONHASHSEED": seed}, deadline_s=_DEADLINE_S)
            except MaterializeError as error:
                message = f"another process cannot call it: {error.facts['said'][-1]}"
                advice = "move what it needs to a module, and import that"
                return [Irregularity(0, message, advice)] * len(called)
            with np.load(file) as made:
                for number, pixels in enumerate(expected):
                    differs = (made[f"arr_{number}"] != pixels).any(axis=(1, 2, 3))
                    if differs.any() and found[number] is None:
                        found[number] = Irregularity(int(differs.argmax()), _OTHERS, _LOOK)
    return found


def _record(called: Sequence[Scene], path: str) -> None:
    """Keeps what this process makes of the images in a file."""
    np.savez(path, *(scene.outcomes() for scene in called))
