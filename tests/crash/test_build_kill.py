"""A build is killed, interrupted or starved: nothing is half-written, and the next one goes on."""

import multiprocessing
import os
import platform
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import psutil
import pytest

from materialize.atomic import STEPS, TEMPORARY_PREFIX
from materialize.builder import BuildOptions, build_dataset
from materialize.errors import RecordReadError, StorageError
from materialize.executor import Crew
from materialize.extension import extend_dataset
from materialize.manifest import manifest_name
from materialize.population import ScanOptions
from materialize.recipe import Recipe
from tests import children
from tests.children import killed_at
from tests.jobs import (
    DeadlyPhotos,
    SlowPhotos,
    build_digits,
    build_photos,
    contents,
    leftovers,
    photos,
)

PREAMBLE = """
import sys
from pathlib import Path
from tests.jobs import LOKY, SlowPhotos, build_photos
out = Path(sys.argv[1])
"""

SLOW = """
build_photos(SlowPhotos(Path(sys.argv[2])), out, crew=LOKY)
"""

LIMITED = """
from materialize.errors import BuildFailedError
try:
    build_photos(Path(sys.argv[2]), out)
except BuildFailedError as error:
    print(error)
    sys.exit(3)
"""

# Every step of the first kind of file it applies to, and every kind of file at some step.
MOMENTS = [
    *((step, "shards/") for step in STEPS if step != "linked"),
    ("linked", "plan"), ("linked", "population"), ("written", "receipts/"),
    ("renamed", "receipts/"), ("synced", "manifest"), ("linked", "manifest"),
]  # fmt: skip


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The digits, built without a disturbance."""
    directory = tmp_path_factory.mktemp("undisturbed") / "out"
    build_digits(directory)
    return contents(directory)


def command(code, *arguments):
    return [sys.executable, "-c", PREAMBLE + code, *map(str, arguments)]


def environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def run(code, *arguments, **options):
    return subprocess.run(
        command(code, *arguments), check=False, capture_output=True, text=True, env=environment(),
        **options,
    )  # fmt: skip


@contextmanager
def started(code, *arguments):
    """A child in a session of its own, whose group is ended at last."""
    child = subprocess.Popen(
        command(code, *arguments), env=environment(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield child
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()


def wait_for(condition, seconds=60.0):
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "this did not happen in time"
        time.sleep(0.005)


def num_receipts(out):
    return len(list(out.glob("receipts/*.json")))


@pytest.mark.parametrize(("step", "part"), MOMENTS)
def test_killed_at_any_step_the_same_call_ends_with_the_same_bytes(tmp_path, expected, step, part):
    out = tmp_path / "out"
    assert killed_at(step, part, out, build_digits, out)
    is_published = (step, part) == ("linked", "manifest")
    assert (out / manifest_name(1)).exists() == is_published
    report = build_digits(out)
    assert report.num_built == 16 - sum(
        (step, part) == moment for moment in [("renamed", "receipts/")]
    ) - 16 * (part == "manifest")
    assert contents(out) == expected
    assert leftovers(out) == []


def to_three_copies(directory):
    extend_dataset(directory, copies=3)


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """Two copies of the digits, and what they are once extended to three."""
    directory = tmp_path_factory.mktemp("grown")
    build_digits(directory / "two")
    shutil.copytree(directory / "two", directory / "three")
    to_three_copies(directory / "three")
    return directory / "two", contents(directory / "three")


@pytest.mark.parametrize(
    ("step", "part"),
    [("linked", "plan-000002"), ("written", "shards/"), ("renamed", "receipts/"),
     ("synced", "manifest-000002")],
)  # fmt: skip
def test_an_extension_killed_at_any_step_goes_on_to_the_same_bytes(tmp_path, grown, step, part):
    two, expected = grown
    out = tmp_path / "out"
    shutil.copytree(two, out)
    assert killed_at(step, part, out, to_three_copies, out)
    to_three_copies(out)
    assert contents(out) == expected
    assert leftovers(out) == []


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_killed_at_any_time_the_same_call_ends_with_the_same_bytes(tmp_path, expected, share):
    out = tmp_path / "out"
    child = children.started(build_digits, out)
    wait_for(lambda: num_receipts(out) >= 16 * share or not child.is_alive())
    time.sleep(share / 1000)
    child.kill()
    child.join()
    build_digits(out, crew=Crew(2, "threading"))
    assert contents(out) == expected
    assert leftovers(out) == []


@pytest.fixture
def slow(tmp_path):
    """Forty pictures that take their time, and what becomes of them undisturbed."""
    root = photos(tmp_path / "source", 40)
    build_photos(root, tmp_path / "undisturbed")
    return SlowPhotos(root), contents(tmp_path / "undisturbed")


def test_a_killed_worker_does_not_end_the_build(tmp_path, slow):
    source, undisturbed = slow
    out, killed = tmp_path / "out", []

    def kill_one():
        wait_for(lambda: num_receipts(out) > 2)
        worker = multiprocessing.active_children()[0]
        # What a worker leaves behind that is killed while it writes.
        name = f"{TEMPORARY_PREFIX}{platform.node()}-{worker.pid}-0a1b"
        (out / "shards" / name).write_bytes(b"half")
        os.kill(worker.pid, signal.SIGKILL)
        killed.append(worker.pid)

    killer = threading.Thread(target=kill_one)
    killer.start()
    build_photos(source, out, crew=Crew(2, "loky"))
    killer.join()
    assert killed
    assert contents(out) == undisturbed
    assert leftovers(out) == []


def test_an_image_that_kills_is_named_and_nothing_is_published(tmp_path):
    source = DeadlyPhotos(photos(tmp_path / "source"))
    options = BuildOptions(crew=Crew(2, "loky"), scan=ScanOptions(trust_source=True))
    recipe = Recipe(copies=2, shard_bytes=4096)
    with pytest.raises(RecordReadError, match=r"a/004\.png kills") as caught:
        build_dataset(source, tmp_path / "out", "cifar10", recipe, options=options)
    assert caught.value.locator == "a/004.png"
    assert not list((tmp_path / "out").glob("manifest-*"))
    assert leftovers(tmp_path / "out") == []
    without = ScanOptions(trust_source=True, exclude=("a/004.png",))
    crew = Crew(2, "loky")
    build_photos(source, tmp_path / "without", crew=crew, scan=without)
    assert list((tmp_path / "without").glob("manifest-*"))


def workers_of(child):
    return psutil.Process(child.pid).children(recursive=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminate"])
def test_a_signal_ends_a_build_with_its_workers_and_the_next_goes_on(tmp_path, slow, number):
    source, undisturbed = slow
    out = tmp_path / "out"
    with started(SLOW, out, source.root) as child:
        wait_for(lambda: num_receipts(out) > 2)
        workers = workers_of(child)
        child.send_signal(number)
        assert child.wait(30) != 0
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []
    assert not list(out.glob("manifest-*"))
    build_photos(source, out)
    assert contents(out) == undisturbed
    assert leftovers(out) == []


def test_a_killed_build_leaves_no_worker_behind(tmp_path, slow):
    source, undisturbed = slow
    out = tmp_path / "out"
    with started(SLOW, out, source.root) as child:
        wait_for(lambda: num_receipts(out) > 2)
        workers = workers_of(child)
        child.kill()
        child.wait()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []
    build_photos(source, out)
    assert contents(out) == undisturbed
    assert leftovers(out) == []


def test_a_file_size_limit_is_told_and_leaves_nothing_half_written(tmp_path):
    # One picture is larger than the population of all.
    source = photos(tmp_path / "source", size=(64, 64))
    out = tmp_path / "out"

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))

    result = run(LIMITED, out, source, preexec_fn=limit)
    assert result.returncode == 3, result.stderr
    assert "ulimit -f" in result.stdout
    assert leftovers(out) == []
    assert list(out.glob("shards/*")) == []
    build_photos(source, out)
    build_photos(source, tmp_path / "undisturbed")
    assert contents(out) == contents(tmp_path / "undisturbed")


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 1 MiB, where mounting is allowed."""
    mount = tmp_path / "disk"
    mount.mkdir()
    make = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)]
    try:
        done = subprocess.run(make, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        done = False
    if not done:
        pytest.skip("mounting a small file system needs privileges this run does not have")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(tiny_disk):
    (tiny_disk / "ballast").write_bytes(bytes(800_000))
    with pytest.raises(StorageError, match="nothing was written"):
        build_digits(tiny_disk / "out")
    assert not (tiny_disk / "out").exists()


def test_a_disk_that_fills_up_is_told_and_the_build_goes_on_once_there_is_room(
    tiny_disk, expected, monkeypatch
):
    out, ballast = tiny_disk / "out", tiny_disk / "ballast"
    ballast.write_bytes(bytes(700_000))
    with monkeypatch.context() as patch:
        # The room was there when the build looked, and somebody else took it.
        patch.setattr("materialize.builder.check_room", lambda *_: None)
        with pytest.raises(Exception, match="the disk is full") as caught:
            build_digits(out)
    causes = caught.value.errors
    assert all(isinstance(error, StorageError) for error in causes)
    assert leftovers(out) == []
    assert not (out / manifest_name(1)).exists()
    ballast.unlink()
    report = build_digits(out)
    assert 0 < report.num_built < 16
    assert contents(out) == expected
