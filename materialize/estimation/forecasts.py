"""The bytes of any dataset that could be made of some images: any codec, copies, storage mode.

One sample serves them all. What is exact is computed, and only what must be encoded to be known is
estimated.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from materialize.errors import SizeMismatchError
from materialize.estimation.census import Census, SplitLayout, layouts, shared_out
from materialize.estimation.intervals import Interval, total_of
from materialize.estimation.samples import Sample
from materialize.estimation.structure import columns_bytes, container_bytes, pixel_bytes
from materialize.estimation.target_sizes import TargetSizes, target_bytes
from materialize.recipe import Recipe
from materialize.shards.codecs import find_codec
from materialize.sources.base import SPLITS
from pipelines import Pipeline

_ALIKE_SHARE = 0.04
"""Half the interval of balanced copies, at least, as a share of the value."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is known of images, and what follows."""

    census: Census
    pipeline: Pipeline
    recipe: Recipe
    sample: Sample | None
    """None where only raw pixels are asked about."""
    sizes: TargetSizes = field(default_factory=TargetSizes)
    """Of masks and objects."""
    _known: dict[Recipe, tuple[SplitLayout, ...]] = field(default_factory=dict, compare=False)

    def layouts(self, recipe: Recipe) -> tuple[SplitLayout, ...]:
        """The shards of a recipe.

        Raises:
            SizeMismatchError: the images differ in size where they must not.
        """
        if recipe not in self._known:
            self._known[recipe] = layouts(self.census, self.pipeline, recipe)
        return self._known[recipe]

    def stored_bytes(self, recipe: Recipe) -> Interval:
        """Everything under ``shards``.

        Raises:
            SizeMismatchError: the images differ in size where they must not.
        """
        return total_of(self.split_bytes(recipe).values())

    def split_bytes(self, recipe: Recipe) -> dict[str, Interval]:
        """Everything under ``shards``, by split."""
        found: dict[str, Interval] = {}
        for layout in self.layouts(recipe):
            size = self.pixels(layout, recipe) + Interval.exact(self.structure(layout, recipe))
            size += self.targets(layout, recipe)
            found[layout.split] = found.get(layout.split, Interval.exact(0)) + size
        return found

    def class_bytes(self, recipe: Recipe) -> dict[str, Interval]:
        """Everything under ``shards``, by class; the values sum to that of `stored_bytes`.

        A block that mixes classes, and structure, is shared out by images.
        """
        names = self.census.class_names or ("",)
        found = [Interval.exact(0)] * len(names)
        for layout in self.layouts(recipe):
            rows = np.array(layout.class_rows, np.int64)
            total = self.pixels(layout, recipe)
            if find_codec(recipe.codec).is_raw:
                pixels = [Interval.exact(part) for part in shared_out(int(total.value), rows)]
            else:
                split = self._seen.splits[layout.drawn_from]
                copies = layout.num_copies if layout.kind == "copy" else None
                pixels = split.class_totals(recipe.codec, layout.kind, rows, copies)
                known = sum(interval.value for interval in pixels)
                pixels = [interval.scaled(total.value / known) for interval in pixels]
            beside = shared_out(self.structure(layout, recipe), rows)
            targets = self.targets(layout, recipe)
            for place, part in enumerate(beside.tolist()):
                found[place] += pixels[place] + Interval.exact(part)
                found[place] += targets.scaled(int(rows[place]) / int(rows.sum()))
        return dict(zip(names, found, strict=True))

    def pixels(self, layout: SplitLayout, recipe: Recipe) -> Interval:
        """Encoded pixels of a layout's shards."""
        if find_codec(recipe.codec).is_raw:
            return Interval.exact(pixel_bytes(layout))
        split = self._seen.splits[layout.drawn_from]
        total = split.total(recipe.codec, layout.kind, layout.num_copies)
        if layout.drawn_from == layout.split:
            return total
        # What was seen is like what will be stored, and not the same copies in the same blocks.
        return Interval.around(total.value, max(total.half, _ALIKE_SHARE * total.value))

    def targets(self, layout: SplitLayout, recipe: Recipe) -> Interval:
        """Masks and objects of a layout's images."""
        return target_bytes(layout, recipe.codec, self.census.class_names, self.sizes)

    def structure(self, layout: SplitLayout, recipe: Recipe) -> int:
        """What stands beside the pixels of a layout's shards."""
        names = self.census.class_names
        each = self.sizes.objects_per_image
        return columns_bytes(layout) + container_bytes(layout, recipe.codec, names, each)

    def ratio(self, recipe: Recipe) -> Interval:
        """Decoded pixels for each byte they are stored in."""
        there = self.layouts(recipe)
        decoded = sum(pixel_bytes(layout) for layout in there)
        stored = total_of(self.pixels(layout, recipe) for layout in there)
        if not stored.value:
            return Interval.exact(1)
        low = decoded / stored.high
        return Interval(decoded / stored.value, low, decoded / max(stored.low, 1))

    def mode(self, recipe: Recipe, storage: str) -> tuple[Interval | None, str]:
        """The bytes of a storage mode, or why it is impossible."""
        try:
            return self.stored_bytes(replace(recipe, storage=storage, originals=False)), ""
        except SizeMismatchError as error:
            return None, str(error)
        except KeyError:
            return None, "not measured"

    @property
    def _seen(self) -> Sample:
        if self.sample is None:
            raise KeyError("nothing was sampled")
        return self.sample


def measured_layouts(
    census: Census, pipeline: Pipeline, recipe: Recipe, *, with_modes: bool
) -> tuple[SplitLayout, ...]:
    """What a sample has to cover.

    Args:
        census: who is in it.
        pipeline: of the build.
        recipe: of the build.
        with_modes: also what the other storage modes would store, where they are possible.

    Raises:
        SizeMismatchError: the recipe itself is impossible.
    """
    needed = layouts(census, pipeline, recipe)
    if not with_modes:
        return needed
    for everything in (
        replace(recipe, storage="pixels", originals=True),
        replace(recipe, storage="pixels", originals=False),
    ):
        try:
            return layouts(census, pipeline, everything)
        except SizeMismatchError:
            continue
    return needed


def image_shape(forecast: Forecast) -> tuple[int, int, int]:
    """Of what the recipe stores, or would store as pixels."""
    there = forecast.layouts(forecast.recipe)
    if not there:
        there = forecast.layouts(replace(forecast.recipe, storage="pixels"))
    height, width, channels = there[-1].template.image_shape
    return int(height), int(width), int(channels)


def images_by_split(census: Census) -> dict[str, int]:
    """Sources of every split that has any."""
    counts = np.asarray(census.rows).sum(axis=1).tolist()
    return {split: count for split, count in zip(SPLITS, counts, strict=True) if count}
