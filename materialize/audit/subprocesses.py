"""Runs a function in a Python process of its own: to kill it, or to give it another processor.

The function travels by value through the child's standard input, so it may be a closure and its
caller need not be importable. The child begins with its variables, because Python, numba and NumPy
read them only then.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

# joblib's own door to cloudpickle, which it carries along in some releases and requires in others.
from joblib.externals.loky.cloudpickle_wrapper import dumps

from materialize.errors import MaterializeError

_CHILD = """
import json, sys
sys.path[:] = json.loads(sys.stdin.buffer.readline())
import pickle
pickle.load(sys.stdin.buffer)()
"""
_POLL_S = 0.002


def can_kill() -> bool:
    """Whether this system can kill a process together with its workers."""
    return hasattr(os, "killpg")


def run_child(
    function: Callable[[], object], *, environment: Mapping[str, str], deadline_s: float
) -> None:
    """Runs a function in a process of its own and waits for it.

    Args:
        function: what to run; its result is dropped.
        environment: variables of the child, beside those of this process.
        deadline_s: seconds after which it is killed.

    Raises:
        MaterializeError: it failed or was too slow; the last thing it said is in the message.
    """
    with _child(function, environment) as (child, said):
        try:
            child.wait(deadline_s)
        except subprocess.TimeoutExpired:
            _kill(child)
        if child.returncode != 0:
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines() or ["nothing"]
            raise MaterializeError(
                f"a child process ended with {child.returncode}, expected 0; it said: {lines[-1]}",
                {"expected": 0, "found": child.returncode, "said": lines},
            )


def run_and_kill(
    function: Callable[[], object], *, when: Callable[[], bool], deadline_s: float
) -> bool:
    """Runs a function in a process of its own and kills it, with its workers, at some moment.

    Args:
        function: what to run.
        when: asked every few milliseconds; True is the moment.
        deadline_s: seconds after which it is killed in any case.

    Returns:
        True if it was killed, False if it ended before.
    """
    with _child(function, {}) as (child, _):
        give_up = time.monotonic() + deadline_s
        while child.poll() is None and not when() and time.monotonic() < give_up:
            time.sleep(_POLL_S)
        was_running = child.poll() is None
        if was_running:
            _kill(child)
        return was_running


def masked_features(cache: str | Path) -> dict[str, str]:
    """Variables under which numba and NumPy use no instruction beyond their baseline.

    Args:
        cache: a directory for the machine code compiled so: numba's own cache must not mix with it.
    """
    # NumPy has no public way to ask which of its dispatched features this processor has; naming
    # one that it lacks is an error.
    from numpy._core import _multiarray_umath as features  # type: ignore[attr-defined]

    known: Any = features
    present = [name for name in known.__cpu_dispatch__ if known.__cpu_features__[name]]
    return {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_DIR": str(cache),
        "NPY_DISABLE_CPU_FEATURES": " ".join(present),
    }


@contextlib.contextmanager
def _child(
    function: Callable[[], object], environment: Mapping[str, str]
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """A child at work, and the file that takes what it says; killed if the block is left early."""
    # Files, not pipes: a pipe that nobody reads, or a child that dies while it is fed, would hang.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(json.dumps(sys.path).encode() + b"\n")
        given.write(dumps(function))
        given.seek(0)
        child = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            stdin=given,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=os.environ | dict(environment),
            start_new_session=can_kill(),
        )
        try:
            yield child, said
        finally:
            if child.poll() is None:
                _kill(child)


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End a running child and its workers."""
    if can_kill():
        os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.wait()
