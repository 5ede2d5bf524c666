"""Children that tests kill: forked from a server that has imported what they need.

A child is a process without the test's threads, locks or files, as one that a shell starts, and
costs a tenth of a second instead of three.
"""

import multiprocessing
import os
import signal
import traceback

from materialize import atomic

_SERVED = multiprocessing.get_context("forkserver")
_SERVED.set_forkserver_preload(
    ["pytest", "sklearn.datasets", "tests.jobs", "materialize.export", "materialize.transcoding"]
)


def started(call, *given):
    """A child that makes this call; both ends must be importable by name."""
    child = _SERVED.Process(target=call, args=given)
    child.start()
    return child


def exit_code(call, *given):
    """How a child ends that makes this call: negative numbers are signals."""
    reads, writes = _SERVED.Pipe(duplex=False)
    child = started(_told, writes, call, given)
    writes.close()
    child.join()
    with reads:
        if child.exitcode == 1 and reads.poll():
            raise AssertionError(reads.recv())
    return child.exitcode


def killed_at(step, part, out, call, *given):
    """Whether a child that makes this call kills itself where it writes.

    Args:
        step: one of `materialize.atomic.STEPS`.
        part: of the path below ``out`` of a file that is written.
    """
    return exit_code(_dying, step, part, out, call, given) == -signal.SIGKILL


def _dying(step, part, out, call, given):
    def kill(reached, path):
        if reached == step and part in str(path.relative_to(out)):
            os.kill(os.getpid(), signal.SIGKILL)

    atomic.on_step = kill
    call(*given)


def _told(writes, call, given):
    try:
        call(*given)
    except BaseException:
        writes.send(traceback.format_exc())
        raise
