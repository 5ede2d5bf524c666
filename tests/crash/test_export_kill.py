"""An export that is killed anywhere leaves nothing half-written that looks whole, and goes on."""

import os
import signal
import subprocess
import sys

import pytest

from materialize import export_dataset
from materialize.errors import StorageError
from materialize.export import files, folder, items
from tests.children import exit_code
from tests.export_cases import build, contents


def export_and_die(dataset, output, to):
    """Kills its process after thirty images; a folder's files are safe after every eighth."""

    def progress(_stage, done, _total):
        if done >= 30:
            os.kill(os.getpid(), signal.SIGKILL)

    folder._ON_DISK_EVERY = 8
    items._CHUNK_BYTES = 8 * 192
    export_dataset(dataset, output, to=to, max_mb=0.002, progress=progress)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("export") / "dataset"
    build(directory)
    return directory


@pytest.mark.parametrize("to", ["folder", "npz", "webdataset"])
def test_a_killed_export_goes_on_to_the_bytes_of_one_that_was_not(dataset, tmp_path, to):
    died = exit_code(export_and_die, dataset, tmp_path / "out", to)
    assert died == -signal.SIGKILL
    assert not (tmp_path / "out" / "export.json").exists()
    export_dataset(dataset, tmp_path / "whole", to=to, max_mb=0.002)
    export_dataset(dataset, tmp_path / "out", to=to, max_mb=0.002)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_what_surely_is_on_the_disk_is_not_made_again(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("materialize.export.items._CHUNK_BYTES", 8 * 192)
    monkeypatch.setattr(folder, "_ON_DISK_EVERY", 8)
    output = tmp_path / "out"

    def interrupt(_stage, done, _total):
        if done >= 24:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_dataset(dataset, output, to="folder", progress=interrupt)
    report = export_dataset(dataset, output, to="folder")
    assert report.num_images - report.num_written == 16


@pytest.mark.parametrize(("to", "kept"), [("webdataset", 20), ("npz", 48)])
def test_files_that_are_finished_are_not_written_again(dataset, tmp_path, to, kept):
    output, max_mb = tmp_path / "out", 10 * 192 / 2**20

    def interrupt(_stage, done, _total):
        if done > kept:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_dataset(dataset, output, to=to, max_mb=max_mb, progress=interrupt)
    report = export_dataset(dataset, output, to=to, max_mb=max_mb)
    assert report.num_images - report.num_written >= kept - 2


@pytest.mark.parametrize("to", ["folder", "npz", "webdataset", "tfrecord"])
def test_ctrl_c_leaves_nothing_half_written(dataset, tmp_path, to):
    output = tmp_path / "out"
    if to == "tfrecord":
        pytest.importorskip("tensorflow")

    def interrupt(_stage, _done, _total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_dataset(dataset, output, to=to, workers=2, progress=interrupt)
    there = [path.name for path in output.rglob("*") if path.is_file()]
    assert [n for n in there if not n.endswith(".png")] == ["export-unfinished.json"]


def test_a_full_disk_is_told_in_a_sentence_and_leaves_no_temporary(dataset, tmp_path, monkeypatch):
    def full(_source, _target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.system_calls, "rename", full)
    with pytest.raises(StorageError, match="the disk is full"):
        export_dataset(dataset, tmp_path / "out", to="npz")
    monkeypatch.undo()
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".tmp-")]


def test_temporaries_of_a_killed_export_are_swept_when_it_goes_on(dataset, tmp_path):
    output = tmp_path / "out"

    def interrupt(_stage, _done, _total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_dataset(dataset, output, to="folder", progress=interrupt)
    from materialize.atomic import host_name

    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    folders = [path for path in (output / "train").iterdir() if path.is_dir()]
    left = folders[0] / f".tmp-{host_name()}-{dead.stdout.strip()}-0123456789ab"
    left.write_bytes(os.urandom(8))
    export_dataset(dataset, output, to="folder")
    assert not left.exists()
