"""How long a consumer of fixed speed waits for its batches: shards beside augmenting on the fly.

A slow model hides a slow loader, so the consumer here is a clock: it takes a batch, is busy for as
long as a device of so many images per second would be, without using a processor, and asks for the
next. The stall is the share of its time that it waits; beside it stands what each image costs in
processor time, which a model on the same processors would have to give up.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from materialize.builder import BuildOptions, build_dataset
from materialize.executor import Crew
from materialize.loader.augmenting import AugmentingLoader, PrefixLoader
from materialize.loader.loader import Loader
from materialize.loader.opening import LoaderOptions
from materialize.loader.stream import StreamingLoader
from materialize.recipe import Recipe
from materialize.sources import Source, open_source
from tests.benchmarks.measure import OUTPUTS, print_table, write_record

BATCH = 128
RATES = (1_000, 3_000, 10_000, 30_000, 100_000)
SIZES = {"32×32×3": (32, 50_000), "224×224×3": (224, 2_000)}
_POINT_S = 1.5
"""Each point is measured for about so long."""


def stall(loader: Loader, rate: float, seconds: float) -> dict[str, float]:
    """What share of its time a consumer of ``rate`` images/s waits.

    Args:
        loader: whose batches are consumed; its first two batches are not counted.
        rate: images/s that the consumer could take.
        seconds: for how long, about.
    """
    waited = busy = 0.0
    images = 0
    cpu = time.process_time()
    epoch = 0
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        batches = loader.epoch(epoch)
        begin = time.perf_counter()
        for batch in batches:
            arrived = time.perf_counter()
            if batch.index > 1:
                waited += arrived - begin
                busy += len(batch) / rate
                images += len(batch)
            elif batch.index == 1:
                cpu = time.process_time() if not images else cpu
            done = arrived + len(batch) / rate
            while (left := done - time.perf_counter()) > 0:
                time.sleep(left)
            begin = max(done, time.perf_counter() - 1e-3)
            if begin > deadline:
                break
        batches.close()  # type: ignore[attr-defined]
        epoch += 1
    spent = time.process_time() - cpu
    return {
        "stall": round(waited / (waited + busy), 4),
        "cpu_us_per_image": round(1e6 * spent / max(images, 1), 3),
    }


def _loaders(source: Source, dataset: Path) -> dict[str, Callable[[], Loader]]:
    """Each feed with one thread ahead of the consumer, and on the fly also with two."""
    one = LoaderOptions(threads=1, prefetch=4)
    two = LoaderOptions(threads=2, prefetch=4)
    return {
        "shards": lambda: StreamingLoader(dataset, batch_size=BATCH, options=one),
        "prefix": lambda: PrefixLoader(dataset, batch_size=BATCH, options=one),
        "on the fly": lambda: AugmentingLoader(source, "cifar10", batch_size=BATCH, options=one),
        "on the fly, 2 threads": lambda: AugmentingLoader(
            source, "cifar10", batch_size=BATCH, options=two
        ),
    }


def _photos(directory: Path, side: int, count: int) -> Source:
    """A folder of JPEG photographs of noise that was blurred, so that decoding has work to do."""
    from PIL import Image, ImageFilter

    generator = np.random.default_rng(0)
    for number in range(count):
        folder = directory / str(number % 10)
        folder.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (side, side, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(2))
        image.save(folder / f"{number}.jpg", quality=90)
    return open_source(directory)


def main(arguments: argparse.Namespace) -> None:
    """Measures every feed at every rate, writes the record and draws the chart."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:2]))
    figures: dict[str, Any] = {}
    for size, (side, count) in SIZES.items():
        work = Path(tempfile.mkdtemp(prefix="stalling-", dir=arguments.directory))
        try:
            if side == 32:
                pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)
                source = open_source((pixels, np.arange(count) % 10))
            else:
                source = _photos(work / "photos", side, count)
            recipe = Recipe(copies=3, originals=True)
            options = BuildOptions(crew=Crew(2))
            build_dataset(source, work / "dataset", "cifar10", recipe, options=options)
            figures[size] = _measured(_loaders(source, work / "dataset"))
        finally:
            shutil.rmtree(work)
        _print(size, figures[size])
    path = write_record("stalling", figures, batch=BATCH, cores=2, seconds_per_point=_POINT_S)
    chart = draw(figures, OUTPUTS / "stalling.png")
    print(f"\nwritten to {path} and {chart}")


def _measured(loaders: dict[str, Callable[[], Loader]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, make in loaders.items():
        with make() as loader:
            for batch in loader.epoch(0):  # warm: shards verified, kernels compiled
                del batch
            found[name] = {str(rate): stall(loader, rate, _POINT_S) for rate in RATES}
    return found


def draw(figures: dict[str, Any], path: Path) -> Path:
    """A chart for each size: stall against the consumer's rate."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(figures), figsize=(11, 4), sharey=True)
    styles = {"shards": "o-", "prefix": "s-", "on the fly": "^--", "on the fly, 2 threads": "v--"}
    for axis, (size, by_feed) in zip(axes, figures.items(), strict=True):
        for name, points in by_feed.items():
            rates = [int(rate) for rate in points]
            stalls = [100 * point["stall"] for point in points.values()]
            axis.plot(rates, stalls, styles[name], label=name)
        axis.set(xscale="log", xlabel="what the consumer could take, images/s", title=size)
        axis.set_ylim(-3, 103)
        axis.grid(visible=True, alpha=0.3)
    axes[0].set_ylabel("time it waits, %")
    axes[0].legend(frameon=False)
    figure.suptitle("Waiting of a consumer of fixed speed, two cores")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    return path


def _print(size: str, by_feed: dict[str, dict[str, Any]]) -> None:
    rows = []
    for name, points in by_feed.items():
        cheapest = min(point["cpu_us_per_image"] for point in points.values())
        stalls = [f"{100 * point['stall']:.1f} %" for point in points.values()]
        rows.append([name, *stalls, f"{cheapest:.1f}"])
    columns = ["feed", *(f"{rate:,}/s" for rate in RATES), "CPU µs an image"]
    print_table(f"{size}: stall of a consumer of so many images per second", columns, rows)
