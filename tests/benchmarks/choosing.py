"""The codec that a plan names against the best one measured: every codec built and streamed.

End to end is the build and all epochs of a training that takes images as fast as they come. Raw
shards win wherever they fit the page cache, so the choice among the others is measured too.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from materialize.accounting.prices import read_prices
from materialize.assembly import resized
from materialize.builder import BuildOptions, build_dataset
from materialize.estimation.assembly import Inquiry
from materialize.estimation.choices import Choice, Wishes
from materialize.estimation.money import StorageTerms
from materialize.estimation.planner import plan_dataset
from materialize.executor import Crew
from materialize.loader.opening import LoaderOptions
from materialize.loader.stream import StreamingLoader
from materialize.recipe import Recipe
from materialize.shards.codecs import CODECS
from materialize.sources import Source, open_source
from materialize.sources.subset import Subset
from pipelines import Pipeline, load
from tests.benchmarks.estimating import DATA
from tests.benchmarks.measure import print_table, write_record

DATASETS = (
    ("fashion_mnist", "fashion_mnist", 28, 20000),
    ("cifar10", "cifar10/cifar10_10k_2k.npz", 32, 8000),
    ("flowers128", "flowers128", 96, 1200),
    ("bccd_boxes", "bccd_boxes/BCCD/JPEGImages", 224, 200),
    ("imagenet_1000", "imagenet_1000_samples", 224, 100),
)
COPIES = 2
EPOCHS = 4
BATCH = 64
LOSSLESS = tuple(name for name, codec in CODECS.items() if not codec.is_lossy)


def main(arguments: argparse.Namespace) -> None:
    """Plans, then builds and streams with every codec."""
    figures: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=arguments.directory) as place:
        for name, path, side, count in DATASETS:
            source = Subset(open_source(str(DATA / path)), count)
            pipeline = resized(load("cifar10"), f"{side}x{side}:cover")
            figures.append({"dataset": name} | _compared(source, pipeline, Path(place)))
    rows = [
        [f["dataset"], f["chosen"], f"{f['chosen_s']:.2f}", f["best"], f"{f['best_s']:.2f}",
         f"{f['over']:.0%}", f["encoded_chosen"], f["encoded_best"], f"{f['encoded_over']:.0%}"]
        for f in figures
    ]  # fmt: skip
    columns = ["dataset", "chosen", "s", "best", "s", "over", "chosen, not raw", "best", "over"]
    print_table(f"build and {EPOCHS} epochs", columns, rows)
    print(write_record("choosing", figures, copies=COPIES, epochs=EPOCHS, batch=BATCH))


def _compared(source: Source, pipeline: Pipeline, place: Path) -> dict[str, Any]:
    """What is chosen, and what every codec takes."""
    recipe = Recipe(copies=COPIES, seed=7)
    terms = StorageTerms(book=read_prices(), service="s3-standard", epochs=EPOCHS)
    inquiry = Inquiry(terms=terms, epochs=EPOCHS, output=place / "dataset", crew=Crew(1))
    wishes = Wishes(is_codec_open=True)
    planned = plan_dataset(source, pipeline, recipe, inquiry, wishes=wishes).choice
    if planned is None:
        raise RuntimeError("nothing was chosen")
    measured = {}
    for codec in LOSSLESS:
        with tempfile.TemporaryDirectory(dir=place) as output:
            measured[codec] = _end_to_end(
                source, pipeline, replace(recipe, codec=codec), Path(output)
            )
    predicted = {option.codec: option.total_s for option in planned.options}
    chosen, encoded = _first(planned, ()), _first(planned, ("raw",))
    best = min(measured, key=lambda codec: measured[codec])
    encoded_best = min(set(measured) - {"raw"}, key=lambda codec: measured[codec])
    return {
        "chosen": chosen, "chosen_s": measured[chosen], "best": best, "best_s": measured[best],
        "over": measured[chosen] / measured[best] - 1,
        "encoded_chosen": encoded, "encoded_best": encoded_best,
        "encoded_over": measured[encoded] / measured[encoded_best] - 1,
        "measured_s": {codec: round(seconds, 3) for codec, seconds in measured.items()},
        "predicted_s": {codec: round(predicted[codec], 3) for codec in measured},
    }  # fmt: skip


def _first(choice: Choice, without: tuple[str, ...]) -> str:
    """The fastest option that was not rejected."""
    left = [o for o in choice.options if not o.rejected and o.codec not in without]
    return min(left, key=lambda option: option.total_s).codec


def _end_to_end(source: Source, pipeline: Pipeline, recipe: Recipe, output: Path) -> float:
    """Seconds of a build and of the epochs after it."""
    began = time.perf_counter()
    build_dataset(source, output, pipeline, recipe, options=BuildOptions(crew=Crew(1)))
    loader = StreamingLoader(output, batch_size=BATCH, seed=1, options=LoaderOptions(threads=1))
    for epoch in range(EPOCHS):
        for _ in loader.epoch(epoch):
            pass
    return time.perf_counter() - began
