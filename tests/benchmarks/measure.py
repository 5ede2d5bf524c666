"""Timing in turns, and the record that every figure comes with."""

import datetime
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from materialize.environment import current_environment

OUTPUTS = Path(__file__).resolve().parents[2] / "outputs" / "benchmarks"


def in_turns(
    systems: Mapping[str, Callable[[int], int]], *, rounds: int = 7
) -> dict[str, dict[str, float]]:
    """Images per second of several systems, measured round by round so that drift hits all alike.

    Args:
        systems: by name, a function that handles one round and returns its number of images; it is
            given the round's number. Round -1 is the warm-up.
        rounds: how many rounds count.

    Returns:
        Median, lowest and highest images/s by name.
    """
    for run in systems.values():
        run(-1)
    rates: dict[str, list[float]] = {name: [] for name in systems}
    for number in range(rounds):
        for name, run in systems.items():
            start = time.perf_counter()
            images = run(number)
            rates[name].append(images / (time.perf_counter() - start))
    return {
        name: {
            "images_per_s": round(statistics.median(found), 1),
            "lowest": round(min(found), 1),
            "highest": round(max(found), 1),
        }
        for name, found in rates.items()
    }


def on_one_core() -> None:
    """Keeps this process, and the threads its libraries start, on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def write_record(name: str, figures: Any, **conditions: Any) -> Path:
    """Writes figures with the conditions they were measured under.

    Args:
        name: of the file, without ending.
        figures: JSON-ready.
        conditions: whatever else decides the figures: sizes, rounds, versions of peers.
    """
    environment = current_environment()
    record = {
        "figures": figures,
        "conditions": conditions,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": _commit(),
        "cpu": environment.cpu_model,
        "cpu_count": os.cpu_count(),
        "python": platform.python_version(),
        "packages": environment.packages,
    }
    OUTPUTS.mkdir(parents=True, exist_ok=True)
    path = OUTPUTS / f"{name}.json"
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
    return path


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """Prints a Markdown table."""
    print(f"\n{title}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
