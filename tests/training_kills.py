"""A training that is killed at random, and the one that is not: a test and a benchmark count both.

python -m tests.training_kills DIRECTORY    trains there, and prints a line for each step
"""

import contextlib
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

EPOCHS, IMAGES = 4, 44
"""24 steps, each of them saved; the last batch of each epoch is short."""


def train(directory):
    """The training; a line on standard output for each step, and the weights' digest."""
    from materialize.training.fitting import fit
    from tests import training_cases as cases

    result = fit(
        cases.model(), cases.loader(IMAGES),
        cases.settings(EPOCHS, checkpoint_steps=1, keep="best", label_smoothing=0.1),
        validation=cases.held_out(), directory=directory,
        progress=lambda _, done, __: print("step", done, flush=True),
    )  # fmt: skip
    print("weights", result.weights_digest, flush=True)


def start(directory):
    """The training in a process of its own."""
    command = [sys.executable, "-m", "tests.training_kills", str(directory)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip


def finish(process):
    """The digest of the weights a training ends with."""
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return output.split()[-1]


def killed_digest(directory, *, kills, seed=0):
    """The weights after a training was killed so many times, each after a few steps.

    The moment is a number of steps, within one checkpoint of the next, and up to 30 ms, which is
    several steps with their checkpoints: kills hit computing, writing and validation alike. Where
    fewer steps are left than kills, a training is begun anew in another directory.

    Args:
        directory: where it may write.
        kills: how many SIGKILLs.
        seed: of the moments.

    Returns:
        The digests of all trainings that were finished, and how many kills there were.
    """
    random = np.random.default_rng(seed)
    digests, hits, number = [], 0, 0
    while hits < kills:
        number += 1
        while hits < kills:
            process = start(directory / str(number))
            for _ in range(int(random.integers(1, 5))):
                if process.stdout.readline().startswith("weights"):
                    break
            time.sleep(float(random.uniform(0, 0.03)))
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.communicate()
            if process.returncode != -signal.SIGKILL:
                break
            hits += 1
        digests.append(finish(start(directory / str(number))))
    return digests, hits


if __name__ == "__main__":
    train(Path(sys.argv[1]))
