"""A plan for a hundred million images, from an index and from a count: seconds and memory."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5p, h5s, h5t

from materialize.population import scan
from materialize.population.table import Population
from materialize.sources import open_source
from tests.benchmarks.estimating import DATA
from tests.benchmarks.measure import write_record

COUNT = 100_000_000
_ROWS = 1 << 22
_WRITTEN = ("labels", "splits", "heights", "widths")
_PEAK = """
import sys, threading, time
from pathlib import Path
from materialize.cli import main
highest = 0
def watch():
    global highest
    while True:
        text = Path("/proc/self/status").read_text()
        line = next(line for line in text.splitlines() if line.startswith("RssAnon"))
        highest = max(highest, int(line.split()[1]))
        time.sleep(0.02)
threading.Thread(target=watch, daemon=True).start()
code = main(sys.argv[1:])
print(highest, file=sys.stderr)
sys.exit(code)
"""


def write_index(path: Path, few: Population, count: int) -> None:
    """A population file of as many rows, most of its columns holes in a sparse file.

    The columns that are counted are written; rows that a plan may draw are not made to exist.

    Args:
        path: of the file.
        few: gives types, classes and sizes.
        count: rows.
    """
    columns: dict[str, np.ndarray] = {name: getattr(few, name) for name in (
        "ids", "digests", "labels", "splits", "source_index", "heights", "widths",
        "native_channels", "source_bytes", "conversions")}  # fmt: skip
    for name in ("groups", "locators"):
        columns[f"{name}_offsets"] = np.zeros(2, np.int64)
    facts = {
        "format": 1, "class_names": few.class_names, "conversion_kinds": few.conversion_kinds,
        "channels": few.channels, "dtype": few.dtype,
    }  # fmt: skip
    with h5py.File(path, "w", libver=("v108", "v108")) as file:
        file.attrs["facts"] = np.bytes_(json.dumps(facts))
        for name, column in columns.items():
            rows = count + 1 if name.endswith("_offsets") else count
            _hole(file, name, column.dtype, (rows, *column.shape[1:]))
        for name in ("groups", "locators"):
            file.create_dataset(f"{name}_values", data=np.zeros(0, np.uint8))
        for name in _WRITTEN:
            column = columns[name]
            for start in range(0, count, _ROWS):
                stop = min(start + _ROWS, count)
                # Split by split, as populations are.
                file[name][start:stop] = column[np.arange(start, stop) * len(column) // count]


def _hole(file: h5py.File, name: str, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_layout(h5d.CONTIGUOUS)
    creation.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5d.FILL_TIME_NEVER)
    h5d.create(file.id, name.encode(), h5t.py_create(dtype), h5s.create_simple(shape), creation)


def planned(*arguments: str) -> dict[str, Any]:
    """Runs `materialize plan` in a process of its own: seconds, memory and what it said."""
    command = [sys.executable, "-c", _PEAK, "plan", *arguments, "--json", "--workers", "1"]
    began = time.perf_counter()
    child = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - began
    estimate = json.loads(child.stdout)["estimate"]
    return {
        "seconds": round(seconds, 2),
        "peak_rss_anon_mib": round(int(child.stderr.split()[-1]) / 1024, 1),
        "images": sum(estimate["images"].values()),
        "stored_bytes": estimate["stored_bytes"],
        "num_shards": estimate["num_shards"],
        "codecs": len(estimate["codecs"]),
    }


def main(arguments: argparse.Namespace) -> None:
    """Plans from indexes and counts of growing size."""
    source = str(DATA / "flowers128")
    common = ("--pipeline", "cifar10", "--copies", "5")
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=arguments.directory) as place:
        few = scan(open_source(source))
        for count in (COUNT // 100, COUNT):
            path = Path(place) / f"{count}.h5"
            write_index(path, few, count)
            figures[f"index of {count:,}"] = planned("--index", str(path), "--no-compare", *common)
            figures[f"count of {count:,}"] = planned(
                "--source", source, "--count", str(count), "--codec", "auto", *common
            )
    for name, found in figures.items():
        print(f"{name}: {found}")
    print(write_record("estimating-index", figures))
