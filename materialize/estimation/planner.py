"""From a source to a plan: counted as cheaply as may be, sampled, estimated, and a choice made.

Nothing is written but shards that are tried and thrown away. A small source is scanned; of a large
one only the listing is read, and what is drawn from it.
"""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from materialize.accounting.prices import read_prices
from materialize.errors import ConfigError, SourceError
from materialize.estimation.assembly import Inquiry, assemble
from materialize.estimation.census import Census
from materialize.estimation.choices import Choice, Wishes, choose
from materialize.estimation.estimates import Estimate
from materialize.estimation.indexes import IndexPool, open_index
from materialize.estimation.money import StorageTerms
from materialize.estimation.pools import (
    Pool,
    ScannedPool,
    census_of,
    is_quickly_scanned,
    listed_pool,
    scan_seconds,
)
from materialize.feasibility import check_feasible
from materialize.population import Population, ScanOptions, scan
from materialize.progress import Progress, stage
from materialize.recipe import Recipe, whole_number
from materialize.shards.codecs import CODECS, find_codec
from materialize.sources import Source, open_source
from pipelines import Pipeline, load

MOST_IMAGES = 10**12
_SERVICE = "s3-standard"
"""Whose prices are taken where none are named."""


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What a build would take, and what to build."""

    estimate: Estimate
    """Of what was chosen, where something was left open and keeps to the wishes."""
    choice: Choice | None
    """None where nothing was left open and nothing limits it."""

    def to_json(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        choice = None if self.choice is None else self.choice.to_json()
        return {"estimate": self.estimate.to_json(), "choice": choice}


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanExtent:
    """How many images are planned for, where that is not what the source has."""

    count: int | None = None
    """As many as this, of the same kinds."""
    index: Path | None = None
    """As many as stand in a dataset, or in its population file."""

    def __post_init__(self) -> None:
        """Checks the number.

        Raises:
            ConfigError: it is no number of images, or there are two.
        """
        if self.count is not None:
            object.__setattr__(self, "count", whole_number("count", self.count, 1, MOST_IMAGES))
            if self.index is not None:
                raise ConfigError(
                    f"count: expected without an index, got {self.count} beside {self.index}; the "
                    "index says how many images there are, so drop one of the two",
                    {"name": "count", "found": self.count},
                )


def plan_dataset(  # noqa: PLR0913  # what, how far and within what are different things
    source: object | None,
    pipeline: Pipeline | str | Path,
    recipe: Recipe,
    inquiry: Inquiry = Inquiry(),
    *,
    wishes: Wishes = Wishes(),
    scanning: ScanOptions = ScanOptions(),
    extent: PlanExtent = PlanExtent(),
    progress: Progress | None = None,
) -> PlanReport:
    """What a build would take in bytes, time, memory and money, before its first byte.

    Args:
        source: as `materialize.build` takes it; None with an index whose raw pixels need none.
        pipeline: a pipeline, a preset's name or a TOML file.
        recipe: of the build. Where the number of copies is open, the most there may be.
        inquiry: what else is to be said, and how far to go for it.
        wishes: budgets, fidelity, and what is open.
        scanning: how the build would scan.
        extent: as many images as there will be, where the source has others.
        progress: called as images are scanned and drawn.

    Raises:
        ConfigError: the pipeline cannot be applied, or an option is wrong.
        SizeMismatchError: the images differ in size where they must not.
        SourceError: there is no source, and something must be encoded to be known.
        RecordReadError: a record could not be read.
    """
    used = pipeline if isinstance(pipeline, Pipeline) else load(pipeline)
    is_open = wishes.is_codec_open or wishes.are_copies_open or wishes.has_budget
    if is_open and inquiry.terms is None:
        inquiry = replace(inquiry, terms=StorageTerms(book=read_prices(), service=_SERVICE))
    if wishes.is_codec_open:
        inquiry = replace(inquiry, codecs=tuple(dict.fromkeys((*inquiry.codecs, *CODECS))))
    needs = [name for name in (recipe.codec, *inquiry.codecs) if not find_codec(name).is_raw]
    opened = None
    if source is not None:
        opened = source if hasattr(source, "identity_bytes") else open_source(source)
    elif needs:
        raise SourceError(
            f"source: expected images to encode in {needs[0]}, found none; name the source, or "
            "plan for --codec raw",
            {"name": "source", "found": None},
        )
    pool, census, scan_s = _counted(opened, scanning, extent, inquiry, progress)  # type: ignore[arg-type]
    kernels_s = _kernels_seconds(used, recipe, census)
    assembly = assemble(
        pool,
        census,
        used,
        recipe,
        inquiry,
        before_s={"scan": scan_s, "start": kernels_s},
        progress=progress,
    )
    estimate, choice = assembly.estimate(), None
    if is_open and inquiry.terms is not None:
        choice = choose(estimate, assembly.forecast, wishes, inquiry.terms)
        if choice.codec is not None:
            estimate = assembly.estimate(codec=choice.codec, copies=choice.copies)
    return PlanReport(estimate, choice)


def estimate_build(
    source: Source,
    population: Population,
    pipeline: Pipeline,
    recipe: Recipe,
    inquiry: Inquiry = Inquiry(),
    *,
    scan_s: float = 0.0,
    progress: Progress | None = None,
) -> Estimate:
    """What a build that has scanned its source is about to take.

    Raw pixels are computed; of other codecs as much is encoded as it takes to know.

    Args:
        source: that was scanned.
        population: what the scan gave.
        pipeline: of the build.
        recipe: of the build.
        inquiry: its crew and output above all.
        scan_s: what the scan took.
        progress: called as images are drawn.

    Raises:
        SizeMismatchError: the images differ in size where they must not.
        RecordReadError: a record changed since the scan, or cannot be read.
    """
    pool = ScannedPool(source, population)
    return assemble(
        pool,
        census_of(population),
        pipeline,
        recipe,
        inquiry,
        before_s={"scan": scan_s},
        progress=progress,
    ).estimate()


def _counted(
    source: Source | None,
    scanning: ScanOptions,
    extent: PlanExtent,
    inquiry: Inquiry,
    progress: Progress | None,
) -> tuple[Pool | None, Census, float]:
    """Where to draw from, who there is, and how long the build's own scan would take."""
    workers = inquiry.crew.workers
    if extent.index is not None:
        index, census = open_index(extent.index)
        return (None if source is None else IndexPool(source, index)), census, 0.0
    if source is None:
        raise SourceError(
            "source: expected one, found neither a source nor an index; name one with --source, or "
            "a dataset with --index",
            {"name": "source", "found": None},
        )
    listed, census = listed_pool(source, scanning, seed=inquiry.effort.seed)
    pool: Pool = listed
    num_records = census.num_images
    scan_s = scan_seconds(listed, extent.count or num_records, workers)
    if is_quickly_scanned(listed, num_records, workers):
        options = replace(scanning, allow_split_leaks=True)
        began = time.perf_counter()
        population = scan(
            source, options, n_jobs=workers, backend=inquiry.crew.backend,
            progress=stage(progress, "scan"),
        )  # fmt: skip
        took = time.perf_counter() - began
        pool, census = ScannedPool(source, population), census_of(population)
        scan_s = took * (extent.count or num_records) / num_records
    if extent.count is not None:
        census = census.counted(extent.count)
    return pool, census, scan_s


def _kernels_seconds(pipeline: Pipeline, recipe: Recipe, census: Census) -> float:
    """To load the compiled kernels, which the build's process will do as this one does.

    Raises:
        ConfigError: the pipeline cannot be applied to these images.
    """
    began = time.perf_counter()
    check_feasible(pipeline, recipe, census.example)
    first = time.perf_counter() - began
    began = time.perf_counter()
    check_feasible(pipeline, recipe, census.example)
    return max(first - (time.perf_counter() - began), 0.0)
