"""Finished runs on disk, one file each: what a contrast that was killed does not do again.

A file's name holds the digest of everything that decides the run's weights, so options that change
them never meet the runs of others, and more seeds, arms or copies find what is already there.
"""

import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from materialize.atomic import make_directory, write_file
from materialize.canonical import digest
from materialize.contrast.results import RunResult, converted
from materialize.errors import ConfigError

RUNS_DIRECTORY = "runs"


def finished_runs(work: Path) -> int:
    """How many runs a contrast's directory holds."""
    return sum(1 for _ in (work / RUNS_DIRECTORY).glob("*.json"))


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Where one run is kept."""

    directory: Path
    """Of all runs."""
    identity: str
    """Digest of what decides the weights, 64 hex digits."""

    @classmethod
    def of(cls, work: Path, facts: dict[str, Any]) -> "RunFiles":
        """The files of a run in a contrast's directory."""
        return cls(work / RUNS_DIRECTORY, digest(facts))

    @property
    def scratch(self) -> Path:
        """Where the trainer keeps its checkpoint while the run lasts."""
        return self.directory / f"{self.identity[:16]}.unfinished"

    def read(self, name: str) -> RunResult | None:
        """The finished run under the name of its arm, or None.

        Raises:
            ConfigError: the file is damaged.
        """
        path = self._path(".json")
        try:
            facts = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ConfigError(
                f"{path} cannot be read: {error}; delete it, and the run is made again",
                {"path": str(path)},
            ) from error
        run = converted(facts, RunResult, str(path))
        # Two arms that are equal (the only two steps, each without the other) share a file.
        return replace(run, name=name)

    def write(self, run: RunResult) -> None:
        """Stores a finished run; what the trainer needed to go on is removed.

        Raises:
            StorageError: the file system refused.
        """
        text = json.dumps(msgspec.to_builtins(run), indent=1, allow_nan=False)
        write_file(self._path(".json"), text.encode())
        shutil.rmtree(self.scratch, ignore_errors=True)

    def write_arrays(self, kind: str, arrays: Sequence[NDArray[Any]]) -> None:
        """Stores arrays beside the run: ``probabilities`` or ``weights``. Call it before `write`.

        Raises:
            StorageError: the file system refused.
        """
        make_directory(self.directory)
        buffer = io.BytesIO()
        np.savez(buffer, *arrays)
        write_file(self._path(f"-{kind}.npz"), buffer.getbuffer())

    def read_arrays(self, kind: str) -> list[NDArray[Any]] | None:
        """What `write_arrays` stored, or None."""
        path = self._path(f"-{kind}.npz")
        if not path.is_file():
            return None
        with np.load(path, allow_pickle=False) as stored:
            return [stored[f"arr_{number}"] for number in range(len(stored.files))]

    def _path(self, ending: str) -> Path:
        return self.directory / f"{self.identity[:16]}{ending}"
