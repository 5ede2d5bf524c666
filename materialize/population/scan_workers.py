"""The scan's chunks over worker processes: results in order, and a killed worker named.

joblib retries nothing: one worker that dies takes the whole pool with it. A death is never a reason
to drop an image, because what kills depends on the machine; so the scan fails, and says which
record does it, found by scanning ever smaller runs of the records that were in flight.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from materialize.errors import RecordReadError, SourceError
from materialize.parallel import BrokenProcessPool, spread
from materialize.population.scan_rows import ScannedRows, scan_rows
from materialize.sources.base import Source

_CHUNKS_PER_WORKER = 16
"""So that one slow chunk at the end costs a sixteenth of a worker's time."""
_MAX_CHUNK = 1024
"""Progress is reported per chunk."""


@dataclass(frozen=True, slots=True)
class ScanTask:
    """What every chunk of one scan has in common."""

    source: Source
    class_names: tuple[str, ...]
    header_only: bool

    def run(self, indices: Sequence[int]) -> ScannedRows:
        """Scan these records."""
        return scan_rows(self.source, indices, self.class_names, header_only=self.header_only)


def scanned_chunks(
    task: ScanTask, indices: Sequence[int], n_jobs: int, backend: str
) -> Iterator[ScannedRows]:
    """The chunks that make up ``indices``, in order, whoever scanned them.

    Raises:
        RecordReadError: a record could not be read, or kills the worker that decodes it.
        SourceError: a worker was killed and scanning the same records again kills none.
        ConfigError: joblib has no such backend here.
    """
    size = max(1, min(_MAX_CHUNK, len(indices) // (max(1, n_jobs) * _CHUNKS_PER_WORKER)))
    chunks = [indices[start : start + size] for start in range(0, len(indices), size)]
    done = 0
    try:
        for scanned in spread(task.run, chunks, workers=n_jobs, backend=backend, in_order=True):
            yield scanned
            done += 1
    except BrokenProcessPool as error:
        raise killer_named(task, chunks[done:]) from error


def killer_named(task: ScanTask, chunks: Sequence[Sequence[int]]) -> SourceError:
    """The error that names the first record which kills a worker."""
    for chunk in chunks:
        suspects = chunk
        if not _kills(task, suspects):
            continue
        while len(suspects) > 1:
            half = len(suspects) // 2
            suspects = suspects[:half] if _kills(task, suspects[:half]) else suspects[half:]
        locator = task.source.record(suspects[0]).locator
        return RecordReadError(
            f"decoding {locator} kills the process that does it (out of memory, or a crash in a "
            "codec); what kills depends on the machine, so it was not left out: exclude it by name "
            "to go on without it",
            {"locator": locator},
        )
    return SourceError(
        "a scanning process was killed from outside; scanning the same images again kills none: "
        "run again, with fewer processes if memory is short",
        {},
    )


def _kills(task: ScanTask, indices: Sequence[int]) -> bool:
    """Whether scanning these records kills a process of its own."""
    try:
        # Two workers, because a crew of one works inside this very process.
        list(spread(task.run, [indices], workers=2, backend="loky"))
    except BrokenProcessPool:
        return True
    return False
