"""Estimates for tests, and the bytes that came of them."""

from materialize.builder import build_dataset
from materialize.estimation.assembly import Inquiry
from materialize.estimation.encoding import Bench
from materialize.estimation.forecasts import Forecast
from materialize.estimation.planner import estimate_build
from materialize.estimation.pools import ScannedPool, census_of
from materialize.estimation.sampling import Effort, draw_sample
from materialize.population import scan
from materialize.recipe import Recipe
from materialize.sources import open_source
from materialize.sources.subset import Subset
from pipelines import load

FEW = Effort(images=320)
"""Less than the digits, so that they are sampled."""


def estimated(recipe, *, source="digits", pipeline="digits", **inquiry):
    """What a build would take."""
    opened = open_source(source) if isinstance(source, str) else source
    return estimate_build(opened, scan(opened), load(pipeline), recipe, Inquiry(**inquiry))


def shard_bytes(directory, recipe, *, source="digits", pipeline="digits"):
    """What a build takes under ``shards``: bytes by file name."""
    opened = open_source(source) if isinstance(source, str) else source
    build_dataset(opened, directory, load(pipeline), recipe)
    return {path.name: path.stat().st_size for path in (directory / "shards").glob("*.h5")}


def forecast(source, pipeline, recipe, codecs, effort):
    """What one sample says of any recipe."""
    population = scan(source)
    census = census_of(population)
    empty = Forecast(census, pipeline, recipe, None)
    sample = draw_sample(
        ScannedPool(source, population), census, empty.layouts(recipe), codecs,
        Bench(pipeline, recipe), effort,
    )  # fmt: skip
    return Forecast(census, pipeline, recipe, sample)


def excerpt(path, count, **options):
    """Some images of a real data set."""
    return Subset(open_source(path, **options), count)


__all__ = ["FEW", "Recipe", "estimated", "excerpt", "forecast", "shard_bytes"]
