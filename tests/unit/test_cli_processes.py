"""The command line as a process: signals, exit codes, streams, and how soon help is there."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from materialize.exit_codes import ExitCode
from materialize.manifest import load_latest

COMMAND = [sys.executable, "-m", "materialize"]


@pytest.fixture
def source(tmp_path):
    """Images whose build takes a few seconds, in many shards."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "photos.npz", x_train=rng.integers(0, 256, (600, 64, 64, 3), np.uint8))
    return tmp_path / "photos.npz"


def arguments(source, out, copies=20):
    return [
        *COMMAND, "build", "--source", source, "--pipeline", "cifar10", "--copies", str(copies),
        "--workers", "2", "--shard-mb", "1", "--output", out,
    ]  # fmt: skip


def started(source, out, copies=20):
    """A build in a session of its own that has written some shards."""
    process = subprocess.Popen(
        arguments(source, out, copies), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(list(out.glob("receipts/*.json"))) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def living(group):
    """Processes of a group that are not just waiting to be reaped."""
    listed = subprocess.run(
        ["ps", "-eo", "pgid=,stat=,args="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    fields = [line.split(maxsplit=2) for line in listed]
    return [f[2] for f in fields if f[0] == str(group) and not f[1].startswith("Z")]


@pytest.mark.parametrize(
    ("number", "code", "name"),
    [
        (signal.SIGTERM, ExitCode.TERMINATED, "SIGTERM"),
        (signal.SIGINT, ExitCode.INTERRUPTED, "Ctrl-C"),
    ],
)
def test_a_signal_ends_the_workers_keeps_the_shards_and_leaves_no_temporary(
    source, tmp_path, number, code, name
):
    out = tmp_path / "out"
    process = started(source, out)
    os.kill(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert name in said
    assert "Traceback" not in said
    deadline = time.monotonic() + 20
    while (alive := living(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive == []
    assert list(out.rglob(".tmp-*")) == []
    assert len(list(out.glob("receipts/*.json"))) >= 3
    assert not list(out.glob("manifest-*"))


def test_a_terminated_build_goes_on_to_the_same_bytes(source, tmp_path):
    process = started(source, tmp_path / "out", copies=4)
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)
    assert not list((tmp_path / "out").glob("manifest-*"))
    for out in ("out", "whole"):
        subprocess.run(arguments(source, tmp_path / out, 4), check=True, capture_output=True)
    digests = {load_latest(tmp_path / out).digest() for out in ("out", "whole")}
    assert len(digests) == 1


def test_without_a_terminal_progress_is_json_lines_and_results_are_apart(source, tmp_path):
    done = subprocess.run(
        [*arguments(source, tmp_path / "out", copies=2), "--json"], capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert lines[-1]["stage"] == "build"
    assert lines[-1]["done"] == lines[-1]["total"] == 1200
    assert json.loads(done.stdout)["num_images_written"] == 1200


def test_an_error_is_one_line_without_a_traceback(tmp_path):
    done = subprocess.run(
        [*COMMAND, "verify", tmp_path / "absent"], capture_output=True, text=True, check=False
    )
    assert done.returncode == ExitCode.FAILED
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_help_is_there_at_once():
    """numba, h5py and SciPy alone take half a second, after which nobody asks for help."""
    command = [sys.executable, "-X", "importtime", "-m", "materialize", "build", "--help"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "--pipeline" in done.stdout
    loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "materialize.cli" in loaded
    assert not loaded & {"numpy", "numba", "h5py", "scipy", "PIL"}


@pytest.mark.parametrize("redirected", ["| true", "2>&1 | true", ">&-", "2>&-", ">&- 2>&-"])
def test_output_that_nobody_reads_changes_no_exit_code(tmp_path, redirected):
    """A pager that was left, a log that was closed: the work is done, and its code says so."""
    out, images = tmp_path / "out", tmp_path / "images.npy"
    np.save(images, np.zeros((20, 8, 8, 1), np.uint8))
    command = [
        *COMMAND, "build", "--source", str(images), "--pipeline", "digits", "--copies", "1",
        "--workers", "1", "--output", str(out),
    ]  # fmt: skip
    line = f"{shlex.join(command)} {redirected}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == ExitCode.DONE, done.stderr
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert load_latest(out).totals.num_rows == 20
