"""Shuffled batches of 128 from 80 shards in a warm cache, beside the floor and other loaders.

The floor is copying as many bytes as the batches have from one array in memory, in order. Every
system reads the same images (noise: no codec can cheat) and hands out uint8 batches in an order
shuffled as far as the system can; how far is measured as `mixing`. Peers are in
`tests.benchmarks.streaming_peers`.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from materialize.builder import BuildOptions, build_dataset
from materialize.executor import Crew
from materialize.loader.opening import LoaderOptions
from materialize.loader.stream import StreamingLoader
from materialize.recipe import Recipe
from materialize.sources import open_source
from materialize.stamps import STAMPS_FILE
from tests.benchmarks.measure import in_turns, print_table, write_record

BATCH = 128
SHARDS = 80
SIZES = {"32×32×3": (32, 200_000), "224×224×3": (224, 12_000)}
_MIB = 2**20


def images_of(side: int, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Noise, ordered by class."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return images, np.arange(count) * 10 // count


def built(directory: Path, side: int, count: int) -> Path:
    """One copy of every image, in `SHARDS` shards."""
    shard_bytes = -(-count // SHARDS) * side * side * 3
    recipe = Recipe(copies=1, seed=7, shard_bytes=max(shard_bytes, 4096))
    options = BuildOptions(crew=Crew(2))
    source = open_source(images_of(side, count))
    build_dataset(source, directory, "cifar10", recipe, options=options)
    return directory


def ours(directory: Path, threads: int) -> Callable[[int], int]:
    """Whole epochs, each in an order of its own; a batch is let go before the next is asked for."""
    options = LoaderOptions(threads=threads, prefetch=max(2 * threads, 1))
    loader = StreamingLoader(directory, batch_size=BATCH, seed=1, options=options)

    def run(number: int) -> int:
        return sum(map(len, loader.epoch(number + 1)))

    return run


def floor(side: int, count: int, threads: int) -> Callable[[int], int]:
    """Copying batches in order from memory, the work shared by threads."""
    from concurrent.futures import ThreadPoolExecutor

    images = np.ones((min(count, 2**31 // (side * side * 3)), side, side, 3), np.uint8)
    starts = range(0, len(images) - BATCH + 1, BATCH)
    pool = ThreadPoolExecutor(threads)

    def copy_share(number: int) -> int:
        out = np.empty((BATCH, side, side, 3), np.uint8)
        mine = starts[number::threads]
        for start in mine:
            np.copyto(out, images[start : start + BATCH])
        return len(mine) * BATCH

    def run(_number: int) -> int:
        return copy_share(0) if threads == 1 else sum(pool.map(copy_share, range(threads)))

    return run


def on_cores(count: int) -> None:
    """Keeps this process, and the threads its libraries start from now on, on some cores."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:count]))


_FIRST_BATCH = """
import sys, time
from materialize.loader.stream import StreamingLoader
import materialize.loader.gathering
start = time.perf_counter()
loader = StreamingLoader(sys.argv[1], batch_size=128, seed=1)
batches = loader.epoch(0)  # kept: letting go of it would wait for what is read ahead
batch = next(batches)
print(time.perf_counter() - start)
batches.close()
for batch in loader.epoch(0):
    pass
loader.close()
"""


def first_batch_s(directory: Path) -> dict[str, float]:
    """Seconds from the constructor to the first batch in a fresh process, imports done."""

    def measured() -> float:
        command = [sys.executable, "-c", _FIRST_BATCH, str(directory)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return float(done.stdout)

    def unverified() -> float:
        (directory / STAMPS_FILE).unlink(missing_ok=True)
        return measured()

    ever = statistics.median(unverified() for _ in range(3))
    verified = statistics.median(measured() for _ in range(5))
    return {"first_ever": round(ever, 4), "once_verified": round(verified, 4)}


def memory_over_an_epoch(directory: Path, gigabytes: float) -> dict[str, float]:
    """RssAnon of this process while an epoch of many gigabytes goes by, by its tenths."""
    side = 224
    count = round(gigabytes * 1e9 / (side * side * 3))
    block = images_of(side, 4000)[0]
    repeats = -(-count // 4000)
    recipe = Recipe(copies=repeats, seed=7)
    build_dataset(
        open_source((block, np.zeros(4000, np.int64))), directory, "cifar10", recipe,
        options=BuildOptions(crew=Crew(2)),
    )  # fmt: skip
    process = psutil.Process()
    with StreamingLoader(directory, batch_size=BATCH, seed=1, per_epoch="all") as loader:
        tenth = len(loader) // 10
        marks = [_rss_anon(process.pid) for batch in loader.epoch(0) if batch.index % tenth == 0]
    return {
        "gigabytes": round(count * side * side * 3 / 1e9, 2),
        "first_tenth_mib": round(marks[1] / _MIB, 1),
        "last_tenth_mib": round(marks[-1] / _MIB, 1),
        "grown_mib": round((max(marks[1:]) - marks[1]) / _MIB, 1),
    }


def _rss_anon(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def systems(work: Path, side: int, count: int, cores: int) -> dict[str, Callable[[int], int]]:
    """The floor and ours, in this process."""
    directory = work / f"ours-{side}"
    found = {"floor": floor(side, count, cores)}
    found["ours"] = ours(directory, 0 if cores == 1 else cores)
    if cores == 1:
        found["ours, one thread ahead"] = ours(directory, 1)
    return found


def _measured(work: Path, side: int, count: int, cores: int, rounds: int) -> dict[str, Any]:
    """Images per second at one size on some cores, in this process."""
    on_cores(cores)
    return in_turns(systems(work, side, count, cores), rounds=rounds)


def _in_child(module: str, function: str, work: Path, *arguments: Any) -> Any:
    """A function in a process of its own: affinity, threads and large libraries are for ever."""
    code = (
        f"import json, sys; from pathlib import Path; from tests.benchmarks import {module}; "
        f"result = {module}.{function}(Path(sys.argv[1]), *json.loads(sys.argv[2])); "
        "print(); print(json.dumps(result))"
    )
    command = [sys.executable, "-W", "ignore", "-c", code, str(work), json.dumps(arguments)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TQDM_DISABLE": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def _beside_peers(work: Path, side: int, count: int, rounds: int) -> dict[str, Any]:
    """Every peer beside the floor and ours, one peer after another: they would fill the disk."""
    from tests.benchmarks import peers_turns, streaming_peers

    figures: dict[str, Any] = {"prepared": {}, "1 cores": {}, "2 cores": {}}
    np.save(work / "images.npy", images_of(side, count)[0])
    for peer in streaming_peers.PEERS:
        facts = _in_child("streaming_peers", "prepare", work, peer)
        try:
            for cores in (1, 2) if "unavailable" not in facts else ():
                found = peers_turns.compare(work, side, count, cores, rounds, peer)
                figures[f"{cores} cores"][peer] = found
        except ChildProcessError as error:
            facts["unavailable"] = f"reading: {error}"
        print(f"{side} px, {peer}: {facts}", flush=True)
        figures["prepared"][peer] = facts
        streaming_peers.discard(work, peer)
    return figures


def main(arguments: argparse.Namespace) -> None:
    """Measures every size on one core and on two, and writes the record."""
    work = Path(tempfile.mkdtemp(prefix="streaming-", dir=arguments.directory))
    figures: dict[str, Any] = {}
    try:
        for size, (side, count) in SIZES.items():
            directory = built(work / f"ours-{side}", side, count)
            if arguments.peers:
                figures[size] = _beside_peers(work, side, count, arguments.rounds)
                for cores in (1, 2):
                    _print_peers(size, cores, figures[size][f"{cores} cores"])
            else:
                figures[size] = {"first_batch_s": first_batch_s(directory)}
                for cores in (1, 2):
                    rates = _in_child(
                        "streaming", "_measured", work, side, count, cores, arguments.rounds
                    )
                    figures[size][f"{cores} cores"] = {"rates": rates}
                    _print(size, cores, rates)
        if not arguments.peers:
            figures["memory"] = memory_over_an_epoch(work / "large", 10.0)
            print("\nRssAnon over an epoch of 10 GB:", figures["memory"])
    finally:
        shutil.rmtree(work)
    name = "streaming-peers" if arguments.peers else "streaming"
    path = write_record(name, figures, batch=BATCH, shards=SHARDS, rounds=arguments.rounds)
    print(f"\nwritten to {path}")


def _print(size: str, cores: int, rates: dict[str, Any]) -> None:
    base = rates["floor"]["images_per_s"]
    rows = [
        [name, f"{rate['images_per_s']:,.0f}", f"{rate['images_per_s'] / base:.2f}"]
        for name, rate in sorted(rates.items(), key=lambda pair: -pair[1]["images_per_s"])
    ]
    print_table(f"{size}, {cores} core(s)", ["system", "images/s", "of the floor"], rows)


def _print_peers(size: str, cores: int, rates_of: dict[str, dict[str, Any]]) -> None:
    """A row for every peer's every variant, each beside the floor and ours of its own rounds."""
    rows = []
    for rates in rates_of.values():
        ours = max(rate["images_per_s"] for name, rate in rates.items() if "ours" in name)
        rows += [
            (rate["images_per_s"], rates["floor"]["images_per_s"], ours, name, rate["mixing"])
            for name, rate in rates.items()
            if "mixing" in rate
        ]
    print_table(
        f"{size}, {cores} core(s)",
        ["peer", "images/s", "ours", "ours ÷ peer", "floor", "mixing"],
        [[name, f"{rate:,.0f}", f"{ours:,.0f}", f"{ours / rate:.1f}", f"{base:,.0f}", str(mixing)]
         for rate, base, ours, name, mixing in sorted(rows, reverse=True)],
    )  # fmt: skip
