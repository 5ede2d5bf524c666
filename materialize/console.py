"""Progress for people and for machines, on standard error; results go to standard output.

On a terminal it is a bar with images per second and the time left. Anywhere else it is JSON lines,
one a second at most and one at the end of each stage:

    {"stage": "build", "done": 30000, "total": 50000, "elapsed_s": 2.1, "images_per_s": 14500.0,
     "left_s": 1.4}
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.progress import TaskID

Progress = Callable[[str, int, int], None]
"""What commands are given: stage, images done, their total."""

_EVERY_S = 1.0
_UNITS = {"repair": "shards", "prove": "runs"}
"""What is counted in stages that do not count images."""


class _Undisturbed:
    """A stream that goes quiet when whoever read it is gone, instead of ending the work."""

    def __init__(self, stream: TextIO, losses: type[OSError]) -> None:
        self._stream = stream
        self._losses = losses
        self._is_lost = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        if not self._is_lost:
            try:
                return self._stream.write(text)
            except self._losses:
                self._lose()
        return len(text)

    def flush(self) -> None:
        if not self._is_lost:
            try:
                self._stream.flush()
            except self._losses:
                self._lose()

    def _lose(self) -> None:
        """What is left in buffers goes nowhere; Python would complain about it when it ends."""
        self._is_lost = True
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:  # noqa: PTH123
            os.dup2(nowhere.fileno(), self._stream.fileno())


def undisturbed(stream: TextIO, losses: type[OSError] = BrokenPipeError) -> TextIO:
    """A stream that writes to another until nobody reads that any more, and then nowhere.

    Args:
        stream: where to write.
        losses: the failures that mean so.
    """
    return cast("TextIO", _Undisturbed(stream, losses))


@contextlib.contextmanager
def streams_undisturbed() -> Iterator[None]:
    """Lets the block finish its work, with its own exit code, when its output is cut off."""
    before = sys.stdout, sys.stderr
    if sys.stdout is not None:
        sys.stdout = undisturbed(sys.stdout)
    if sys.stderr is not None:
        sys.stderr = undisturbed(sys.stderr, OSError)
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before


class Meter:
    """How fast one stage is and how long it still takes.

    What was there when the stage was first heard of, such as shards of an earlier run, is no work
    of this one and does not count into its speed. Images come in shards, so the speed is taken at
    the last change and the time left runs down from there.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is known before the first `update`."""
        self._clock = clock
        self._started: float | None = None
        self._changed = 0.0
        self._first = self._done = self._total = 0

    def update(self, done: int, total: int) -> None:
        """Notes how far the stage is."""
        now = self._clock()
        if self._started is None:
            self._started, self._changed, self._first = now, now, done
        elif done != self._done:
            self._changed = now
        self._done, self._total = done, total

    @property
    def is_done(self) -> bool:
        """Whether nothing is left."""
        return self._done >= self._total

    @property
    def elapsed_s(self) -> float:
        """Seconds since the stage was first heard of."""
        return 0.0 if self._started is None else self._clock() - self._started

    @property
    def images_per_s(self) -> float | None:
        """Speed so far; None before the first change."""
        if self._started is None or self._changed <= self._started:
            return None
        return (self._done - self._first) / (self._changed - self._started)

    @property
    def left_s(self) -> float | None:
        """Seconds to go; None before the first change."""
        speed = self.images_per_s
        if not speed:
            return None
        remaining = (self._total - self._done) / speed
        return max(remaining - (self._clock() - self._changed), 0.0)

    def facts(self, stage: str) -> dict[str, object]:
        """A line of progress as plain data."""
        speed, left = self.images_per_s, self.left_s
        return {
            "stage": stage,
            "done": self._done,
            "total": self._total,
            "elapsed_s": round(self.elapsed_s, 2),
            "images_per_s": None if speed is None else round(speed, 1),
            "left_s": None if left is None else round(left, 1),
        }


@contextlib.contextmanager
def progress_shown(stream: TextIO | None = None) -> Iterator[Progress]:
    """Shows progress while the block runs.

    Args:
        stream: where; standard error by default.

    Yields:
        What to pass as ``progress``.
    """
    stream = stream or sys.stderr
    if stream is None:  # closed before the process began
        yield lambda _stage, _done, _total: None
        return
    stream = undisturbed(stream, OSError)
    if stream.isatty():
        with _bars(stream) as progress:
            yield progress
        return
    lines = JsonLines(stream)
    try:
        yield lines
    finally:
        lines.close()


class JsonLines:
    """Progress as JSON lines.

    Args:
        stream: written and flushed line by line.
        clock: seconds, never going back.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        """Nothing is written before the first call."""
        self._stream = stream
        self._clock = clock
        self._stage = ""
        self._meter = Meter(clock)
        self._counts = self._written = (0, 0)
        self._last = -_EVERY_S

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Notes how far a stage is, and writes it if a line is due."""
        if stage != self._stage:
            self.close()
            self._stage, self._meter, self._written = stage, Meter(self._clock), (-1, -1)
        self._meter.update(done, total)
        self._counts = (done, total)
        if self._meter.is_done or self._clock() - self._last >= _EVERY_S:
            self.close()

    def close(self) -> None:
        """Writes the latest counts, unless that was done."""
        if self._counts == self._written or not self._stage:
            return
        self._stream.write(json.dumps(self._meter.facts(self._stage)) + "\n")
        self._stream.flush()
        self._written, self._last = self._counts, self._clock()


@contextlib.contextmanager
def _bars(stream: TextIO) -> Iterator[Progress]:
    from rich import progress as rich_progress
    from rich.console import Console

    bars = rich_progress.Progress(
        rich_progress.TextColumn("{task.description:>7}"),
        rich_progress.BarColumn(bar_width=None),
        rich_progress.TextColumn("{task.completed:,.0f} of {task.total:,.0f} {task.fields[unit]}"),
        rich_progress.TextColumn("[cyan]{task.fields[speed]}"),
        rich_progress.TextColumn("[dim]{task.fields[left]}"),
        console=Console(file=stream),
        expand=True,
    )
    stages: dict[str, tuple[TaskID, Meter]] = {}

    def progress(stage: str, done: int, total: int) -> None:
        unit = _UNITS.get(stage, "images")
        if stage not in stages:
            task = bars.add_task(stage, total=total, unit=unit, speed="", left="")
            stages[stage] = (task, Meter())
        task, meter = stages[stage]
        meter.update(done, total)
        speed, left = meter.images_per_s, meter.left_s
        bars.update(
            task,
            completed=done,
            total=total,
            speed="" if speed is None else f"{speed:,.0f} {unit}/s",
            left="" if left is None else f"{duration(left)} left",
        )

    with bars:
        yield progress


def duration(seconds: float) -> str:
    """Seconds in words: ``0.8 s``, ``42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(num_bytes: float) -> str:
    """Bytes in words, in powers of 1,000 as disks and bills count: ``3.1 kB``, ``246.0 MB``."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(num_bytes) < 1000:
            return f"{num_bytes:.0f} B" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} PB"
