"""How far a build is, read from what is on disk: right for any number of workers anywhere.

Workers report nothing; a thread looks which receipts have appeared. So progress is the same for
threads, processes, other machines and resumed builds.
"""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from materialize.receipts import receipt_path
from materialize.shards.layout import ShardSpec

Progress = Callable[[str, int, int], None]
"""Called with the stage (``scan`` or ``build``), the images done and their total."""

_POLL_S = 0.2


def stage(progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    """A progress callback for one stage."""
    if progress is None:
        return None
    return lambda done, total: progress(name, done, total)


class Watch:
    """Calls ``progress`` for the stage ``build`` while its block runs, and once at its end."""

    def __init__(
        self, directory: Path, specs: Sequence[ShardSpec], progress: Progress | None
    ) -> None:
        """Nothing is watched before the block is entered."""
        self._left = {receipt_path(directory, spec.file_name()): spec.num_rows for spec in specs}
        self._total = sum(self._left.values())
        self._progress = progress
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._progress is not None:
            self._thread.join()
            self._look()

    def _run(self) -> None:
        while not self._stop.wait(_POLL_S):
            self._look()

    def _look(self) -> None:
        for path in [path for path in self._left if path.exists()]:
            del self._left[path]
        if self._progress is not None:
            self._progress("build", self._total - sum(self._left.values()), self._total)
