"""A build from end to end: where its time goes, its memory, and its cost per image as it grows.

The images are random, so that no codec and no file system can cheat; they come from memory, so that
the parts of a build show and not a decoder.
"""

import argparse
import os
import shutil
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from materialize.builder import BuildOptions, build_dataset
from materialize.executor import Crew
from materialize.planning import tasks
from materialize.population import Population, scan
from materialize.recipe import Recipe
from materialize.sources import open_source
from pipelines import load
from tests.benchmarks.measure import print_table, write_record

_MIB = 2**20


def run_build(
    images: np.ndarray, output: Path, copies: int, workers: int, shard_mib: int = 64
) -> dict[str, Any]:
    """Builds once and says how long it took, doing what, in how much memory."""
    shutil.rmtree(output, ignore_errors=True)
    labels = np.arange(len(images)) % 10
    recipe = Recipe(copies=copies, seed=7, shard_bytes=shard_mib * _MIB)
    with PeakMemory() as peak:
        start = time.perf_counter()
        report = build_dataset(
            (images, labels), output, "cifar10", recipe,
            options=BuildOptions(crew=Crew(workers)),
        )  # fmt: skip
        wall = time.perf_counter() - start
    parts = {step: round(seconds, 3) for step, seconds in report.timings_s.items()}
    total = len(images) * copies
    build_s = report.seconds
    manifest = report.manifest
    shutil.rmtree(output)
    return {
        "images": total,
        "workers": workers,
        "wall_s": round(wall, 3),
        "images_per_s": round(total / wall, 1),
        "microseconds_per_image": round(1e6 * wall / total, 3),
        "parts_s": parts,
        "sum_of_parts_over_wall": round(sum(parts.values()) / workers / build_s, 3),
        "stored_bytes": manifest.totals.num_bytes if manifest else 0,
        "peak_rss_anon_mib_of_one_process": round(peak.highest / _MIB, 1),
    }


class PeakMemory:
    """The largest anonymous memory of this process or any child, looked up twice a second."""

    def __init__(self) -> None:
        """Nothing is watched before the block is entered."""
        self.highest = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.25):
            # The parent holds the source itself; the workers are what must stay small.
            for process in me.children(recursive=True) or [me]:
                self.highest = max(self.highest, _anonymous_bytes(process.pid))


def _anonymous_bytes(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    line = next((line for line in text.splitlines() if line.startswith("RssAnon")), "RssAnon: 0 kB")
    return int(line.split()[1]) * 1024


def planning(copies: int) -> dict[str, float]:
    """Seconds and memory to plan many copies of a million images from their ids."""
    few = scan(open_source("digits"))
    count = 1_000_000
    rows = np.sort(np.random.default_rng(0).integers(0, 2**63, (count, 2)).view(">u8"), axis=0)
    columns = {
        name: np.repeat(getattr(few, name)[:1], count, axis=0)
        for name in ("digests", "labels", "splits", "source_index", "heights", "widths",
                     "native_channels", "source_bytes", "conversions")
    }  # fmt: skip
    columns["heights"][:], columns["widths"][:] = 32, 32
    population: Population = replace(few, ids=rows.view(np.uint8), channels=3, **columns)
    before = _anonymous_bytes(os.getpid())
    start = time.perf_counter()
    shards = 0
    for task in tasks(load("cifar10"), Recipe(copies=copies), population):
        shards += len(task.specs)
    return {
        "copies_of_images": count * copies,
        "shards": shards,
        "seconds": round(time.perf_counter() - start, 3),
        "grown_mib": round((_anonymous_bytes(os.getpid()) - before) / _MIB, 1),
    }


def main(arguments: argparse.Namespace) -> None:
    """Measures builds of growing size, one and two workers, and large shards."""
    source = np.random.default_rng(0).integers(0, 256, (10_000, 32, 32, 3), dtype=np.uint8)
    photos = np.random.default_rng(0).integers(0, 256, (1_000, 224, 224, 3), dtype=np.uint8)
    figures: dict[str, Any] = {"growth": [], "workers": [], "large_shards": []}
    with tempfile.TemporaryDirectory(dir=arguments.directory) as place:
        output = Path(place) / "dataset"
        run_build(source[:1000], output, 4, 2)  # compiles, and starts the workers
        for copies in (1, 10, 100):
            figures["growth"].append(run_build(source, output, copies, 2))
        for workers in (1, 2):
            figures["workers"].append(run_build(source, output, 40, workers))
        for copies in (4, 16):
            figures["large_shards"].append(run_build(photos, output, copies, 2, shard_mib=128))
    figures["planning"] = planning(100)
    columns = ["images", "workers", "images/s", "µs/image", "parts ÷ wall", "peak MiB"]
    for title in ("growth", "workers", "large_shards"):
        rows = [
            [f"{f['images']:,}", str(f["workers"]), f"{f['images_per_s']:,.0f}",
             str(f["microseconds_per_image"]), str(f["sum_of_parts_over_wall"]),
             str(f["peak_rss_anon_mib_of_one_process"])]
            for f in figures[title]
        ]  # fmt: skip
        print_table(title, columns, rows)
        print(f"\nseconds by step: {figures[title][-1]['parts_s']}")
    print(f"\nplanning: {figures['planning']}")
    print(write_record("building", figures, directory_is="a temporary one on this disk"))
