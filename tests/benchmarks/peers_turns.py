"""Systems in processes of their own that take turns: while one is timed, the others stand still.

Peers keep threads and workers that read ahead. In one process with ours, or running beside it,
they would take its cores and its interpreter lock, and ours theirs.
"""

import atexit
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from tests.benchmarks import streaming, streaming_peers
from tests.benchmarks.measure import in_turns


class Contender:
    """A process group that runs only while it is asked something."""

    def __init__(self, *setting: Any) -> None:
        """Starts it.

        Args:
            setting: work directory, side, count, cores and the peer; None for the floor and ours.
        """
        command = [sys.executable, "-W", "ignore", "-m", __spec__.name, json.dumps(setting)]
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "TQDM_DISABLE": "1"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            start_new_session=True, env={**os.environ, **quiet},
        )  # fmt: skip
        self.names: list[str] = self._answer()

    def system(self, name: str) -> Callable[[int], int]:
        """One of its systems, for `in_turns`."""
        return lambda number: self.ask("round", name, number)

    def ask(self, *question: Any) -> Any:
        """Wakes the group for one answer."""
        os.killpg(self._process.pid, signal.SIGCONT)
        questions = _pipe(self._process.stdin)
        questions.write(json.dumps(question) + "\n")
        questions.flush()
        return self._answer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        """Ends the group; its leader first may undo what it holds in shared memory."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGCONT)
            _pipe(self._process.stdin).close()
            try:
                self._process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answer(self) -> Any:
        line = _pipe(self._process.stdout).readline()
        if not line:
            raise ChildProcessError(f"it ended with exit status {self._process.wait()}")
        answer = json.loads(line)
        if isinstance(answer, dict) and "error" in answer:
            raise ChildProcessError(answer["error"])
        os.killpg(self._process.pid, signal.SIGSTOP)
        return answer


def compare(work: Path, side: int, count: int, cores: int, rounds: int, peer: str) -> Any:
    """Images per second of the floor, ours and the variants of one peer, in the same rounds.

    Raises:
        ChildProcessError: the peer failed, and how.
    """
    with ExitStack() as stack:
        setting = (str(work), side, count, cores)
        theirs = stack.enter_context(Contender(*setting, peer))
        ours = stack.enter_context(Contender(*setting, None))
        systems = {name: who.system(name) for who in (ours, theirs) for name in who.names}
        rates: dict[str, Any] = dict(in_turns(systems, rounds=rounds))
        for name in theirs.names:
            rates[name] |= theirs.ask("facts", name)
    return rates


def _serve(work: str, side: int, count: int, cores: int, peer: str | None) -> None:
    """The process of a contender: a line per question, a line per answer."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not pass for an answer

    def say(answer: Any) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    try:
        streaming.on_cores(cores)
        found: dict[str, Any] = {}
        if peer is not None:
            found = streaming_peers.systems(Path(work), peer, side, count, cores)
        ours = streaming.systems(Path(work), side, count, cores) if peer is None else {}
        runs = ours | {name: system.run for name, system in found.items()}
        say(list(runs))
        for line in sys.stdin:
            what, name, *number = json.loads(line)
            say(runs[name](*number) if what == "round" else found[name].facts())
    except Exception as error:  # noqa: BLE001 - whatever stops a peer, the others go on
        say({"error": f"{type(error).__name__}: {str(error)[:300]}"})
    finally:
        atexit._run_exitfuncs()  # ends workers and frees shared memory
        os._exit(0)  # threads of peers may never end


def _pipe(stream: IO[str] | None) -> IO[str]:
    if stream is None:
        raise ValueError("the process was started without pipes")
    return stream


if __name__ == "__main__":
    _serve(*json.loads(sys.argv[1]))
