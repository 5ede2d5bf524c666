"""How many images there are, by split and class, and which shards they will fill.

Counts come from a scan, from a listing, from an index or from a number that was given; shards
follow from them by the builder's own arithmetic, in groups of alike ones, so that a hundred million
images take no more memory than a hundred.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from materialize import planning
from materialize.estimation.balanced import BALANCED, counted_shards, epoch_draws, planned_shards
from materialize.feasibility import stored_shapes
from materialize.population import Population
from materialize.recipe import Recipe
from materialize.shards.layout import ShardSpec
from materialize.sources.base import SPLITS
from pipelines import Pipeline


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Census:
    """Who would be in a dataset."""

    rows: NDArray[np.int64]
    """(splits, classes) images; one class of no name if they are unlabelled."""
    class_names: tuple[str, ...]
    example: Population
    """Images of every split that has any, the largest and the smallest among them; all of them
    after a scan."""
    basis: str
    """Where the counts are from: ``scan``, ``listing``, ``index`` or ``count``."""

    @property
    def is_exact(self) -> bool:
        """Whether every image was looked at, or stands in an index."""
        return self.basis in ("scan", "index")

    @property
    def num_images(self) -> int:
        """Of all splits."""
        return int(self.rows.sum())

    def epoch_rows(self, recipe: Recipe) -> int:
        """Training images that an epoch shows."""
        images = self.rows[SPLITS.index("train")]
        return int(epoch_draws(images, self.class_names, recipe).sum())

    def split_rows(self, split: str) -> int:
        """Images of a split."""
        return int(self.rows[SPLITS.index(split)].sum())

    def counted(self, count: int) -> "Census":
        """The same shares of another number of images."""
        return replace(self, rows=shared_out(count, self.rows), basis="count")


@dataclass(frozen=True, slots=True)
class ShardGroup:
    """Shards that differ in nothing that decides how large their structure is."""

    spec: ShardSpec
    """Of one of them."""
    count: int


@dataclass(frozen=True, slots=True)
class SplitLayout:
    """The shards of one kind in one split."""

    kind: str
    """``copy`` or ``original``."""
    split: str
    num_rows: int
    """Sources."""
    run_rows: int
    """Sources of every run but the last."""
    num_copies: int
    """1 for originals."""
    template: ShardSpec
    class_rows: tuple[int, ...]
    """Sources of each class, or what an epoch shows of it."""
    drawn_from: str
    """What of a pool is alike: the split, or the images of a balanced epoch."""
    shards: tuple[ShardGroup, ...] = ()
    """Of balanced copies, which do not all have the same rows: ``num_rows`` then counts the images
    of an epoch and ``run_rows`` is what a shard has on average."""
    sources: tuple[int, int] | None = None
    """And how many images there are, in how many runs."""
    mask: ShardSpec | None = None
    """Template of the shards of their masks; None where there are none."""

    @property
    def num_runs(self) -> int:
        """How many runs the split is cut into."""
        if self.sources is not None:
            return self.sources[1]
        return -(-self.num_rows // self.run_rows)

    @property
    def num_sources(self) -> int:
        """Images that are read."""
        return self.num_rows if self.sources is None else self.sources[0]

    @property
    def num_shards(self) -> int:
        """One per run and copy, where there is something to hold."""
        if self.sources is not None:
            return sum(group.count for group in self.shards) * self._shards_each
        return self.num_runs * self.num_copies * self._shards_each

    @property
    def _shards_each(self) -> int:
        """With one of masks beside each where images have some."""
        return 1 if self.mask is None else 2

    def groups(self) -> Iterator[ShardGroup]:
        """Its shards of images: numbers of as many digits take as many bytes in a head."""
        if self.sources is not None:
            yield from self.shards
            return
        full, rest = divmod(self.num_rows, self.run_rows)
        runs = [(first, stop, self.run_rows) for first, stop in self._same_digits(full)]
        if rest:
            runs.append((full, full + 1, rest))
        copies = [(-1, 0)] if self.kind == "original" else list(_decades(self.num_copies))
        for first, stop, rows in runs:
            for copy, after in copies:
                spec = replace(
                    self.template, run=first, first_row=first * self.run_rows, num_rows=rows,
                    copy=copy,
                )  # fmt: skip
                yield ShardGroup(spec, (stop - first) * (after - copy))

    def _same_digits(self, runs: int) -> Iterator[tuple[int, int]]:
        """[first, stop) of full runs whose number and first row keep their digits."""
        cuts = {0, runs, *(first for first, _ in _decades(runs))}
        cuts |= {-(-row // self.run_rows) for row, _ in _decades(runs * self.run_rows)}
        yield from pairwise(sorted(cut for cut in cuts if cut <= runs))


def layouts(census: Census, pipeline: Pipeline, recipe: Recipe) -> tuple[SplitLayout, ...]:
    """The shards that a recipe makes of these images, split by split.

    Raises:
        SizeMismatchError: the images differ in size where they must not.
    """
    few = replace(_first_of_each_split(census.example), rates=None)
    templates: dict[tuple[str, str, bool], ShardSpec] = {
        (spec.split, spec.kind, spec.is_mask): spec
        for task in planning.tasks(pipeline, replace(recipe, copies=1), few)
        for spec in task.specs
    }
    found = []
    for split in SPLITS:
        rows = census.split_rows(split)
        shapes = stored_shapes(pipeline, recipe, census.example, split) if rows else {}
        if not shapes:
            continue
        here = census.example.split_rows(split)
        run_rows = rows_per_run(pipeline, recipe, census, here, rows, list(shapes.values()))
        for kind in shapes:
            copies = recipe.copies if kind == "copy" else 1
            by_class = tuple(census.rows[SPLITS.index(split)].tolist())
            template, mask = templates[split, kind, False], templates.get((split, kind, True))
            layout = SplitLayout(
                kind, split, rows, run_rows, copies, template, by_class, split, mask=mask
            )
            if kind == "copy" and recipe.balance is not None:
                layout = _balanced(layout, census, pipeline, recipe)
            found.append(layout)
    return tuple(found)


def _balanced(
    layout: SplitLayout, census: Census, pipeline: Pipeline, recipe: Recipe
) -> SplitLayout:
    """The copies of balanced classes."""
    images = census.rows[SPLITS.index(layout.split)]
    draws = epoch_draws(images, census.class_names, recipe)
    if census.basis == "scan":
        shards = planned_shards(census.example, pipeline, recipe)
    else:
        shards = counted_shards(layout.template, images, draws, recipe.copies, layout.num_runs)
    total = recipe.copies * int(draws.sum())
    return replace(
        layout, num_rows=int(draws.sum()), class_rows=tuple(draws.tolist()), drawn_from=BALANCED,
        run_rows=max(total // max(sum(count for _, count in shards), 1), 1),
        shards=tuple(ShardGroup(spec, count) for spec, count in shards),
        sources=(layout.num_rows, layout.num_runs),
    )  # fmt: skip


def rows_per_run(
    pipeline: Pipeline,
    recipe: Recipe,
    census: Census,
    here: range,
    num_rows: int,
    shapes: list[tuple[int, int, int]],
) -> int:
    """As `materialize.planning.rows_per_run`, for as many rows as the census has.

    Args:
        pipeline: its resize decides what a decoded source takes.
        recipe: its ``shard_bytes`` is the limit of a shard.
        census: its example says how large images are.
        here: the split's rows in the example.
        num_rows: the split's rows in the census.
        shapes: of everything the recipe stores of them.
    """
    # Its rows serve to find the largest image and to be counted: so the example's largest, counted
    # as often as there are images.
    sizes = census.example.heights[here.start : here.stop].astype(np.int64)
    sizes = sizes * census.example.widths[here.start : here.stop]
    largest = planning.take_rows(census.example, np.array([here.start + int(sizes.argmax())]))
    return planning.rows_per_run(pipeline, recipe, largest, range(num_rows), shapes)


def shared_out(total: int, weights: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.int64]:
    """A total in integer parts by weight, by largest remainder.

    Args:
        total: at least 0.
        weights: of any shape, with a sum above 0; where they are whole, so is the arithmetic.

    Returns:
        The shape of the weights; sums to the total.
    """
    flat = [int(weight) for weight in np.asarray(weights).ravel().tolist()]
    whole = sum(flat)
    parts = [total * weight // whole for weight in flat]
    by_remainder = sorted(
        range(len(flat)), key=lambda place: (-(total * flat[place] % whole), place)
    )
    for place in by_remainder[: total - sum(parts)]:
        parts[place] += 1
    return np.array(parts, np.int64).reshape(np.shape(weights))


def _first_of_each_split(population: Population) -> Population:
    firsts = [rows.start for split in SPLITS if (rows := population.split_rows(split))]
    return planning.take_rows(population, np.array(firsts, np.int64))


def _decades(stop: int) -> Iterator[tuple[int, int]]:
    """[first, after) of the numbers of one length below ``stop``, such as 10 to 99."""
    first, limit = 0, 10
    while first < stop:
        yield first, min(limit, stop)
        first, limit = limit, limit * 10
