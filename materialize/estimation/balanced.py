"""What balanced classes mean before anything is built: draws, and the shards of each copy.

Of a scanned source the plan itself is asked, so its shards are exact. Of a listing or an index the
classes are counted, so images are exact and only their spread over runs is evened out.
"""

from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from materialize import planning
from materialize.population import Population, balanced, wanted_draws
from materialize.recipe import Recipe
from materialize.shards.layout import ShardSpec
from pipelines import Pipeline

BALANCED = "train, balanced"
"""What a pool is asked for instead of a split: the images of an epoch."""


def epoch_draws(
    images: NDArray[np.int64], class_names: tuple[str, ...], recipe: Recipe
) -> NDArray[np.int64]:
    """(classes,) how many training images of each class an epoch shows.

    Args:
        images: (classes,) in training.
        class_names: in label order; empty if unlabelled.
        recipe: its balance and cap.

    Raises:
        ConfigError: the images have no classes, or one is named that they do not have.
    """
    if recipe.balance is None:
        return images
    draws = wanted_draws(recipe.balance, class_names, images)
    return draws if recipe.balance_cap is None else np.minimum(draws, recipe.balance_cap * images)


def planned_shards(
    population: Population, pipeline: Pipeline, recipe: Recipe
) -> list[tuple[ShardSpec, int]]:
    """The shards of a scanned source's copies: one of each kind of alike ones, and how many."""
    if population.rates is None:
        population = balanced(population, recipe.balance, recipe.balance_cap)
    counts: Counter[tuple[int, ...]] = Counter()
    examples: dict[tuple[int, ...], ShardSpec] = {}
    for task in planning.tasks(pipeline, recipe, population):
        for spec in task.specs:
            if spec.kind == "copy" and not spec.is_mask:  # masks stand beside images
                numbers = (spec.run, spec.first_row, spec.copy)
                key = (spec.num_rows, *(len(str(number)) for number in numbers))
                counts[key] += 1
                examples[key] = spec
    return [(examples[key], count) for key, count in counts.items()]


def counted_shards(
    template: ShardSpec,
    images: NDArray[np.int64],
    draws: NDArray[np.int64],
    copies: int,
    num_runs: int,
) -> list[tuple[ShardSpec, int]]:
    """The same of images that were only counted, each copy's rows spread evenly over its runs.

    Args:
        template: a spec of a copy.
        images: (classes,) in training.
        draws: (classes,) shown in an epoch.
        copies: as many epochs.
        num_runs: of the split.
    """
    found = []
    most = -(-copies * draws // np.maximum(images, 1))
    for copy in range(int(most.max(initial=0))):
        rows = int(np.clip(copies * draws - copy * images, 0, images).sum())
        each, more = divmod(rows, num_runs)
        for size, count in ((each + 1, more), (each, num_runs - more)):
            if size and count:
                found.append((replace(template, copy=copy, num_rows=size), count))
    return found
