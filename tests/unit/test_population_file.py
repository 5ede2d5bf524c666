"""A population as bytes: read back as it was written, or refused."""

import hashlib
import io
import pickle
import time

import h5py
import numpy as np
import pytest

from materialize.errors import ShardUntrustedError
from materialize.population import Population, scan
from materialize.sources import open_source
from tests.image_files import png_bytes, write_tree

PNGS = [png_bytes(seed) for seed in range(8)]


def source_of(tmp_path, contents):
    return open_source(write_tree(tmp_path, contents))


@pytest.fixture
def four(tmp_path):
    paths = ("cat/a.png", "cat/b.png", "dog/p/c.png", "dog/d.png")
    return source_of(tmp_path, dict(zip(paths, PNGS, strict=False)))


def test_a_population_comes_back_from_its_bytes(tmp_path):
    contents = {"a/p/x.png": PNGS[0], "b/y.png": b"junk", "b/\udcff.png": PNGS[1]}
    population = scan(source_of(tmp_path, contents))
    again = Population.from_bytes(population.to_bytes())
    assert again.to_bytes() == population.to_bytes()
    assert again.quarantined == population.quarantined
    assert list(again.locators) == list(population.locators)
    assert again.digest() == population.digest()


def test_an_empty_population_comes_back_too(tmp_path):
    population = scan(source_of(tmp_path, {"a/x.png": b"junk"}))
    assert len(Population.from_bytes(population.to_bytes())) == 0


def test_the_bytes_do_not_depend_on_when_they_are_written(four):
    population = scan(four)
    first = population.to_bytes()
    time.sleep(2.1)
    assert population.to_bytes() == first


def test_a_population_survives_pickling(four):
    population = scan(four)
    assert pickle.loads(pickle.dumps(population)).to_bytes() == population.to_bytes()


def tampered(data: bytes, change) -> bytes:
    """A forgery: changed inside, with a digest that fits."""
    buffer = io.BytesIO(data[:-32])
    with h5py.File(buffer, "r+") as file:
        change(file)
    return buffer.getvalue() + hashlib.sha256(buffer.getvalue()).digest()


def replaced(name, value):
    def change(file):
        del file[name]
        file[name] = value

    return change


def extern(file):
    del file["labels"]
    file["labels"] = h5py.ExternalLink("/etc/passwd", "x")


def stored_elsewhere(file):
    del file["labels"]
    file.create_dataset("labels", (4,), "<i4", external=[("/etc/passwd", 0, 16)])


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.create_dataset("more", data=[1]),
        lambda file: file.pop("labels"),
        extern,
        stored_elsewhere,
        lambda file: file.__delitem__("labels") or file.create_group("labels"),
        replaced("labels", np.zeros(4, "<i8")),
        replaced("labels", np.zeros(3, "<i4")),
        replaced("labels", np.full(4, 7, "<i4")),
        replaced("splits", np.full(4, 3, "u1")),
        replaced("ids", np.zeros((4, 16), "u1")),
        replaced("heights", np.zeros(4, "<i4")),
        replaced("locators_offsets", np.array([0, 9, 3, 9, 9], "<i8")),
        replaced("locators_offsets", np.array([0, 9, 9, 9, 9**9], "<i8")),
        lambda file: file.attrs.__setitem__("facts", np.bytes_(b"[]")),
        lambda file: file.attrs.__setitem__("facts", np.bytes_(b'{"format":2}')),
        lambda file: file.attrs.__setitem__("more", 1),
    ],
)
def test_a_population_that_was_tampered_with_is_refused(four, change):
    with pytest.raises(ShardUntrustedError):
        Population.from_bytes(tampered(scan(four).to_bytes(), change))


def test_every_flipped_or_missing_byte_of_a_population_is_noticed(four):
    """And before libhdf5 sees it, which some of these flips would make abort the process."""
    data = scan(four).to_bytes()
    for at in range(0, len(data), 13):
        flipped = bytearray(data)
        flipped[at] ^= 0xFF
        for damaged in (bytes(flipped), data[:at]):
            with pytest.raises(ShardUntrustedError, match="damaged or was cut short"):
                Population.from_bytes(damaged)
