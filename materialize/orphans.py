"""Worker processes end with the process that started them, however that one ended.

loky's workers wait five minutes for another task before they look around. A build that is killed
would leave them there, each with the memory of its last shard; so every task makes sure that a
thread of its worker watches for the day its parent is another one.
"""

import multiprocessing
import os
import threading
from functools import cache

_POLL_S = 0.5


def end_with_parent() -> None:
    """Makes this worker process end soon after its parent; in other processes, does nothing."""
    # A process that a user started may well outlive its parent; joblib's workers are named so.
    if multiprocessing.current_process().name.startswith("LokyProcess"):
        _watch()


@cache
def _watch() -> None:
    """Starts the watch once per process."""
    threading.Thread(target=_wait, args=(os.getppid(),), name="parent-watch", daemon=True).start()


def _wait(parent: int) -> None:
    pause = threading.Event()
    while os.getppid() == parent:
        pause.wait(_POLL_S)
    # Nobody is left to take a result; what is half-written has a temporary's name and is swept.
    os._exit(1)
