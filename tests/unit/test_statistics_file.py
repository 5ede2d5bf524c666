"""Statistics on disk: fitted once, checked at every reading."""

import dataclasses
import errno

import numpy as np
import pytest

from materialize import atomic, system_calls
from materialize.errors import ShardUntrustedError, StorageError
from materialize.statistics_file import (
    StatisticsKey,
    read_statistics,
    statistics_from_bytes,
    statistics_to_bytes,
    stored_statistics,
)
from pipelines.standardization import Standardization, standardization_from_text
from pipelines.statistics import fit_statistics
from tests.standardization_cases import levels

IMAGES = levels((40, 4, 3, 3))
ZCA = standardization_from_text("unit+zca")
SAMPLES = "ab" * 32


def key_of(standardization=ZCA, samples=SAMPLES, resize=""):
    return StatisticsKey(
        samples=samples, standardization=standardization.fingerprint(), resize=resize
    )


def never():
    pytest.fail("fitted again")


@pytest.mark.parametrize("standardization", [
    standardization_from_text("featurewise"), ZCA,
    Standardization(featurewise_center=True, zca=True, zca_components=5),
], ids=("featurewise", "zca", "low rank"))  # fmt: skip
def test_statistics_survive_their_file(standardization):
    """Every number, and the digest over them."""
    fitted = fit_statistics([IMAGES], standardization)
    key = key_of(standardization)
    again = statistics_from_bytes(statistics_to_bytes(fitted, key), key)
    assert again.digest() == fitted.digest()
    assert {n: a.tobytes() for n, a in again.arrays().items()} == {
        n: a.tobytes() for n, a in fitted.arrays().items()
    }


def test_equal_statistics_are_equal_bytes():
    """Nothing in the file is of the moment it was made in."""
    made = [statistics_to_bytes(fit_statistics([IMAGES], ZCA), key_of()) for _ in range(2)]
    assert made[0] == made[1]


def test_the_second_caller_reads(tmp_path):
    """It does not even ask for the images."""
    first = stored_statistics(tmp_path / "new", ZCA, lambda: [IMAGES], samples=SAMPLES)
    second = stored_statistics(tmp_path / "new", ZCA, never, samples=SAMPLES)
    assert first.digest() == second.digest()
    assert [path.name for path in (tmp_path / "new").iterdir()] == [key_of().file_name()]


@pytest.mark.parametrize("change", [
    {"samples": "cd" * 32}, {"resize": "64x64"},
    {"standardization": standardization_from_text("zca")},
], ids=("samples", "resize", "options"))  # fmt: skip
def test_another_key_is_another_file(change):
    """Another fold, another size, other options."""
    assert key_of(**change).file_name() != key_of().file_name()


def test_a_file_of_another_key_is_refused(tmp_path):
    """Also under the right name."""
    wrong = dataclasses.replace(key_of(), samples="cd" * 32)
    path = tmp_path / key_of().file_name()
    path.write_bytes(statistics_to_bytes(fit_statistics([IMAGES], ZCA), wrong))
    with pytest.raises(ShardUntrustedError, match="delete the file"):
        stored_statistics(tmp_path, ZCA, never, samples=SAMPLES)


@pytest.mark.parametrize("place", [0.0, 0.2, 0.5, 0.8, 0.999])
def test_a_flipped_byte_is_noticed(place, tmp_path):
    """And the error names the file."""
    path = tmp_path / "statistics.h5"
    data = bytearray(statistics_to_bytes(fit_statistics([IMAGES], ZCA), key_of()))
    data[int(place * len(data))] ^= 1
    path.write_bytes(data)
    with pytest.raises(ShardUntrustedError, match=r"statistics\.h5"):
        read_statistics(path, key_of())


def test_a_file_cut_short_is_noticed(tmp_path):
    """An empty one too."""
    path = tmp_path / "statistics.h5"
    data = statistics_to_bytes(fit_statistics([IMAGES], ZCA), key_of())
    for length in (0, 31, 32, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ShardUntrustedError):
            read_statistics(path, key_of())


def test_numbers_that_do_not_go_together_are_noticed():
    """A mean of two channels in a file that says three, sealed all the same."""
    fitted = fit_statistics([IMAGES], ZCA)
    broken = dataclasses.replace(fitted, mean=np.zeros(2))
    with pytest.raises(ShardUntrustedError, match="go together"):
        statistics_from_bytes(statistics_to_bytes(broken, key_of()), key_of())


def test_who_loses_the_race_takes_what_is_there(tmp_path):
    """Also where its own last bits differ: all arms read one file."""
    other = fit_statistics([levels((40, 4, 3, 3), seed=9)], ZCA)

    def overtaken():
        atomic.publish_file(tmp_path / key_of().file_name(), statistics_to_bytes(other, key_of()))
        return [IMAGES]

    found = stored_statistics(tmp_path, ZCA, overtaken, samples=SAMPLES)
    assert found.digest() == other.digest()


def test_a_claim_that_nobody_finished_is_an_error(tmp_path):
    """On a file system without hard links a killed writer leaves an empty file."""

    def overtaken():
        (tmp_path / key_of().file_name()).touch()
        return [IMAGES]

    with pytest.raises(StorageError, match="claimed"):
        stored_statistics(tmp_path, ZCA, overtaken, samples=SAMPLES)


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    """The next call fits anew."""

    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(system_calls, "write", full)
        with pytest.raises(StorageError, match="full"):
            stored_statistics(tmp_path, ZCA, lambda: [IMAGES], samples=SAMPLES)
    assert not list(tmp_path.iterdir())
    assert stored_statistics(tmp_path, ZCA, lambda: [IMAGES], samples=SAMPLES).num_images == 40
