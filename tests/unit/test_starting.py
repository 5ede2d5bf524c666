"""The first batch of a process, made without compiled code: the same bytes, and nothing loaded."""

import subprocess
import sys

import numpy as np

from materialize.loader.gathering import _gather, gather_one_by_one
from materialize.loader.object_gathering import (
    addresses_of,
    gather_objects,
    gather_objects_in_numpy,
    packed,
)
from materialize.loader.permutation import _MOST_IN_NUMPY, Permutation, walk_in_numpy
from tests import loader_cases
from tests.object_cases import objects_of, same_objects
from tests.target_cases import TargetedArrays

_FIRST = """
import hashlib, sys
from materialize.loader.opening import LoaderOptions
from materialize.loader.stream import StreamingLoader
options = LoaderOptions(threads=int(sys.argv[2]))
loader = StreamingLoader(sys.argv[1], batch_size=8, seed=3, options=options)
batch = loader.batch(0, 0)
print("scipy.linalg" in sys.modules, "numba.np.arraymath" in sys.modules)
again = loader.batch(0, 0)
print((batch.images == again.images).all(), (batch.rows == again.rows).all())
print((batch.masks == again.masks).all(), (batch.objects.points == again.objects.points).all())
print("numba.np.arraymath" in sys.modules)
"""


def test_numpy_walks_as_compiled_code_does():
    """For all sizes of halves, in both directions; the compiled walk is asked for many places."""
    for size in (1, 2, 3, 5, 100, 1000, 2**15 + 1, 2**31 + 11, 2**62):
        places = np.arange(_MOST_IN_NUMPY + 1, dtype=np.int64) * 7919 % size
        permutation = Permutation.of(size, "a", 1)
        bits = max(size - 1, 1).bit_length()
        for backward, expected in (
            (False, permutation.at(places)), (True, permutation.places_of(places)),
        ):  # fmt: skip
            found = walk_in_numpy(places, permutation.keys, size, bits, backward)
            assert np.array_equal(found, expected), (size, backward)


def test_rows_are_copied_as_compiled_code_does():
    """Those without an address are left alone."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 300), np.uint8)
    sources = pixels.ctypes.data + 300 * np.array([3, 3, 8, 0, 5])
    sources[2] = 0
    one, other = np.full((2, 5, 300), 7, np.uint8)
    gather_one_by_one(sources, 300, one.ctypes.data)
    _gather(sources, 300, other.ctypes.data)
    assert np.array_equal(one, other)
    assert (one[2] == 7).all()


def test_objects_are_gathered_as_compiled_code_does():
    """Of images without any, and of objects of no polygon and of several; rows may come twice."""
    random = np.random.default_rng(0)
    shards = {key: some_objects(random) for key in (3, 5, 9)}
    keys = random.choice([3, 5, 9], 50)
    for rows in (random.integers(0, 8, 50), np.zeros(50, np.int64)):
        table = np.array([addresses_of(shards[key]) for key in keys.tolist()])
        found = gather_objects(table, rows, 2)
        assert same_objects(found, gather_objects_in_numpy(shards, keys, rows))
    assert len(gather_objects(table[:0], rows[:0], 2)) == 0


def some_objects(random):
    """Of eight images; the first has none."""
    boxes = [random.random((count, 4)).tolist() for count in (0, *random.integers(0, 4, 7))]
    count = sum(map(len, boxes))
    rings = [[random.random((c, 2)) for c in random.integers(3, 6, i % 3)] for i in range(count)]
    keypoints, flags = random.random((count, 2, 3)), random.integers(0, 9, count)
    return packed(objects_of(boxes, keypoints=keypoints, rings=rings, flags=flags))


def test_the_first_batch_of_a_process_loads_no_compiled_code(tmp_path):
    """A quarter of a second of numba and SciPy comes after it, and changes nothing,
    not where classes are balanced, or masks and objects stand beside the images."""
    loader_cases.build(tmp_path / "set", TargetedArrays(count=20), balance=16, shard_bytes=2**15)
    with loader_cases.loader(tmp_path / "set") as loader:
        list(loader.epoch(0))  # verified
    done = subprocess.run(
        [sys.executable, "-c", _FIRST, str(tmp_path / "set"), "0"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["False", "False", *["True"] * 5]


def test_memory_of_a_dropped_batch_is_used_again_at_once(tmp_path):
    """So that large batches stay in the processor's cache; a batch that is held is left alone."""
    images = np.empty((40, 300, 300, 3), np.uint8)
    images[:] = np.arange(40).reshape(-1, 1, 1, 1)
    source = (images, np.arange(40) % 3)
    loader_cases.build(tmp_path / "set", source, shard_bytes=2**22, copies=1)
    with loader_cases.loader(tmp_path / "set", copies=(-1,), batch_size=20) as loader:
        places = []
        for batch in loader:
            places.append(batch.images.ctypes.data)
            del batch
        assert places[0] == places[1]
        held = list(loader)
        assert held[0].images.ctypes.data != held[1].images.ctypes.data
        shown = np.concatenate([batch.images[:, 0, 0, 0] for batch in held])
        assert np.array_equal(np.sort(shown), np.arange(40))
