"""Estimates against what came of them: eight real datasets × codecs × two pipelines.

Every dataset is estimated, built and weighed. The bytes of each build are estimated again from
other samples, for one sample says little about how often an interval holds the truth. Raw bytes
are exact and count neither as errors nor as coverage.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from materialize.assembly import resized
from materialize.builder import BuildOptions, build_dataset
from materialize.estimation.assembly import Inquiry
from materialize.estimation.encoding import Bench
from materialize.estimation.forecasts import Forecast
from materialize.estimation.planner import estimate_build
from materialize.estimation.pools import ScannedPool, census_of
from materialize.estimation.sampling import Effort, draw_sample
from materialize.executor import Crew
from materialize.population import scan
from materialize.recipe import Recipe
from materialize.sources import open_source
from materialize.sources.subset import Subset
from pipelines import Pipeline, from_dict, load
from tests.benchmarks.measure import print_table, write_record

DATA = Path(os.environ.get("MATERIALIZE_DATA", Path(__file__).parents[3] / "shared" / "data"))
CODECS = ("raw", "gzip", "blosc2", "png")
SAMPLES = 4
"""Of each compressed case, beside the one that the build's own estimate drew."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """Some images of a real data set, more than a sample of them."""

    name: str
    path: str
    side: int
    """Images are brought to this height and width."""
    images: int
    copies: int
    options: tuple[tuple[str, str], ...] = ()


DATASETS = (
    Dataset("fashion_mnist", "fashion_mnist", 28, 12000, 2),
    Dataset("mnist", "mnist", 28, 12000, 2),
    Dataset("cifar10", "cifar10/cifar10_10k_2k.npz", 32, 7000, 2),
    Dataset("flowers128", "flowers128", 128, 450, 2),
    Dataset("bccd_boxes", "bccd_boxes/BCCD/JPEGImages", 256, 120, 2),
    Dataset(
        "wbc_masks",
        "wbc_masks/Class Labels of Dataset 1.csv",
        160,
        300,
        2,
        (("root", "wbc_masks/dataset1"), ("path_suffix", ".bmp")),
    ),
    Dataset("books73", "books73_512/train", 288, 71, 2),
    Dataset("imagenet_1000", "imagenet_1000_samples", 288, 100, 2),
)


def pipelines(side: int) -> Iterator[tuple[str, Pipeline]]:
    """The pipelines that every dataset is augmented with."""
    yield "moved", resized(load("cifar10"), f"{side}x{side}:cover")
    steps = [
        {"transform": "resized_crop", "height": side, "width": side, "area": [0.35, 1.0]},
        {"transform": "horizontal_flip"},
        {"transform": "brightness", "factor": [0.8, 1.2]},
        {"transform": "contrast", "factor": [0.8, 1.2]},
    ]
    yield "cropped", from_dict({"step": steps}, "estimating")


@dataclass(frozen=True, slots=True)
class Case:
    """One estimate and what came of it."""

    dataset: str
    pipeline: str
    codec: str
    seed: int
    estimated: float
    low: float
    high: float
    actual: int
    num_sampled: int
    num_images: int
    ended_by: str

    @property
    def error(self) -> float:
        """Of the bytes, signed."""
        return self.estimated / self.actual - 1

    @property
    def is_covered(self) -> bool:
        """Whether the interval holds the truth."""
        return self.low <= self.actual <= self.high


@dataclass(frozen=True, slots=True)
class Timing:
    """An estimated and an actual duration."""

    dataset: str
    pipeline: str
    codec: str
    estimated_s: float
    actual_s: float
    estimated_bytes: int
    """Of memory."""


def main(arguments: argparse.Namespace) -> None:
    """Estimates, builds, compares."""
    cases: list[Case] = []
    timings: list[Timing] = []
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=arguments.directory) as place:
        for dataset in DATASETS:
            for name, pipeline in pipelines(dataset.side):
                _measure(dataset, name, pipeline, Path(place), cases, timings)
                print(f"{time.perf_counter() - began:.0f} s: {dataset.name} {name}", flush=True)
    figures = summary(cases, timings)
    _print(cases, timings, figures)
    record = {
        "summary": figures,
        "cases": [asdict(case) | {"error": round(case.error, 5)} for case in cases],
        "timings": [asdict(timing) for timing in timings],
    }
    print(write_record("estimating", record, samples=SAMPLES, codecs=CODECS))


def _measure(
    dataset: Dataset,
    name: str,
    pipeline: Pipeline,
    place: Path,
    cases: list[Case],
    timings: list[Timing],
) -> None:
    """All codecs of one dataset and pipeline."""
    options = dict(dataset.options)
    if "root" in options:
        options["root"] = str(DATA / options["root"])
    source = Subset(open_source(str(DATA / dataset.path), **options), dataset.images)
    began = time.perf_counter()
    population = scan(source)
    scan_s = time.perf_counter() - began
    actual: dict[str, int] = {}
    for codec in CODECS:
        recipe = Recipe(copies=dataset.copies, seed=7, codec=codec)
        output = place / "dataset"
        inquiry = Inquiry(crew=Crew(1), output=output)
        estimate = estimate_build(source, population, pipeline, recipe, inquiry, scan_s=scan_s)
        report = build_dataset(source, output, pipeline, recipe, options=BuildOptions(crew=Crew(1)))
        actual[codec] = sum(path.stat().st_size for path in (output / "shards").iterdir())
        shutil.rmtree(output)
        seconds = estimate.seconds.value, report.seconds
        timings.append(Timing(dataset.name, name, codec, *seconds, estimate.peak_memory_bytes))
        found = estimate.stored_bytes
        facts = actual[codec], estimate.num_sampled, len(population), estimate.ended_by
        cases.append(Case(dataset.name, name, codec, 0, found.value, found.low, found.high, *facts))
    cases += _sampled(dataset, name, pipeline, ScannedPool(source, population), actual)


def _sampled(
    dataset: Dataset, name: str, pipeline: Pipeline, pool: ScannedPool, actual: dict[str, int]
) -> Iterator[Case]:
    """The bytes of every compressed codec, from several samples."""
    census = census_of(pool.population)
    recipe = Recipe(copies=dataset.copies, seed=7)
    compressed = [codec for codec in CODECS if codec != "raw"]
    empty = Forecast(census, pipeline, recipe, None)
    for seed in range(1, SAMPLES + 1):
        bench = Bench(pipeline, recipe)
        effort = Effort(seed=seed)
        sample = draw_sample(pool, census, empty.layouts(recipe), compressed, bench, effort)
        forecast = Forecast(census, pipeline, recipe, sample)
        for codec in compressed:
            found = forecast.stored_bytes(replace(recipe, codec=codec))
            yield Case(
                dataset.name, name, codec, seed, found.value, found.low, found.high,
                actual[codec], sample.num_images, len(pool.population), sample.ended_by,
            )  # fmt: skip


def summary(cases: list[Case], timings: list[Timing]) -> dict[str, Any]:
    """The figures that are judged."""
    compressed = [case for case in cases if case.codec != "raw"]
    errors = [abs(case.error) for case in compressed]
    partly = [case for case in compressed if case.num_sampled < case.num_images]
    ratios = [timing.estimated_s / timing.actual_s for timing in timings]
    within = [abs(ratio - 1) <= 0.25 for ratio in ratios]
    raw = [case for case in cases if case.codec == "raw"]
    return {
        "cases": len(compressed),
        "median_error": round(statistics.median(errors), 5),
        "error_p95": round(float(np.quantile(errors, 0.95)), 5),
        "largest_error": round(max(errors), 5),
        "covered": round(statistics.mean(case.is_covered for case in compressed), 4),
        "partly_seen": len(partly),
        "covered_of_partly_seen": round(statistics.mean(case.is_covered for case in partly), 4),
        "median_half_width": round(
            statistics.median((case.high - case.low) / 2 / case.estimated for case in compressed), 5
        ),
        "raw_exact": f"{sum(case.estimated == case.actual for case in raw)} of {len(raw)}",
        "builds": len(timings),
        "time_ratio_median": round(statistics.median(ratios), 3),
        "time_within_a_quarter": round(statistics.mean(within), 3),
        "time_error_median": round(statistics.median(abs(ratio - 1) for ratio in ratios), 3),
        "ended_by": dict(Counter(case.ended_by for case in cases)),
    }


def _print(cases: list[Case], timings: list[Timing], figures: dict[str, Any]) -> None:
    rows = []
    for dataset in DATASETS:
        for codec in CODECS:
            here = [case for case in cases if (case.dataset, case.codec) == (dataset.name, codec)]
            errors = [abs(case.error) for case in here]
            covered = sum(case.is_covered for case in here)
            times = [
                timing.estimated_s / timing.actual_s
                for timing in timings
                if (timing.dataset, timing.codec) == (dataset.name, codec)
            ]
            rows.append(
                [dataset.name, codec, f"{here[0].num_sampled} of {here[0].num_images}",
                 f"{statistics.median(errors):.2%}", f"{max(errors):.2%}",
                 f"{covered} of {len(here)}", " ".join(f"{ratio:.2f}" for ratio in times)]
            )  # fmt: skip
    columns = ["dataset", "codec", "sampled", "median error", "largest", "covered", "time ratio"]
    print_table("estimated against actual", columns, rows)
    print()
    for name, value in figures.items():
        print(f"{name}: {value}")
