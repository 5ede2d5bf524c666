"""How far a build is, read from what is on disk: right for any number of workers anywhere.

Workers report nothing; a thread looks which receipts have appeared. So progress is the same for
threads, processes, other machines and resumed builds.

Looking must stay cheap for a hundred thousand shards on a file server. So one look asks for few
receipts that are not there: the next ones in order, where a build writes, and by turns some of the
others, where resumed builds and other machines do. It pauses longer when nothing is new, or when
looking is slow. The last look asks for all.
"""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from materialize.receipts import receipt_path
from materialize.shards.layout import ShardSpec

Progress = Callable[[str, int, int], None]
"""Called with the stage (``scan`` or ``build``), the images done and their total."""

_SHORTEST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 2.0
_BACK_OFF = 1.5
"""How much longer each pause is after a look that found nothing."""
_PAUSE_PER_LOOK = 19
"""Looking takes at most a twentieth of the time, until pauses are at their longest."""
_MISSES = 256
"""A look ends after so many receipts that are not there; those that are there are met once."""


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
        self._left = {receipt_path(directory, spec.file_name()): spec.num_images for spec in specs}
        self._total = sum(self._left.values())
        self._done = 0
        self._turn = 0
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
            self._remove_found(list(self._left), len(self._left))
            self._report()

    def _run(self) -> None:
        pause = _SHORTEST_PAUSE_S
        while not self._stop.wait(pause):
            before, started = self._done, time.monotonic()
            self._look()
            seconds = time.monotonic() - started
            pause = _SHORTEST_PAUSE_S if self._done > before else pause * _BACK_OFF
            pause = min(max(pause, _PAUSE_PER_LOOK * seconds), _LONGEST_PAUSE_S)
            self._report()

    def _look(self) -> None:
        """Asks for the first receipts that are missing, and for the next turn's of the others."""
        self._remove_found(list(self._left), _MISSES)
        others = list(self._left)[_MISSES:]
        if others:
            # Turns go round; as receipts are found, all that is left comes closer to the front.
            start = self._turn * _MISSES % len(others)
            self._turn += 1
            self._remove_found(others[start:], _MISSES)

    def _remove_found(self, paths: Iterable[Path], misses: int) -> None:
        """Counts and forgets the receipts that are there, until so many are not."""
        for path in paths:
            if path.exists():
                self._done += self._left.pop(path)
            else:
                misses -= 1
                if misses <= 0:
                    return

    def _report(self) -> None:
        if self._progress is not None:
            self._progress("build", self._done, self._total)
