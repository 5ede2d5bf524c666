"""Chunks are decoded once while they are kept, and never more is kept than was allowed."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from materialize.errors import ShardDamagedError
from materialize.shards.chunk_cache import DecodedChunks
from materialize.shards.chunk_reader import ChunkReader
from materialize.shards.reader import ShardReader
from tests.shard_cases import shard_case

CASE = shard_case(30, (224, 224, 3), codec="zstd")


class CountedChunks(ChunkReader):
    """Notes what is decoded; decodes only while `gate` is open."""

    def __init__(self, reader):
        super().__init__(reader)
        self.decoded = []
        self.gate = threading.Event()
        self.gate.set()

    def decode(self, chunk):
        self.decoded.append(chunk)
        assert self.gate.wait(60)
        return super().decode(chunk)


@pytest.fixture
def chunks(tmp_path):
    """Five chunks of six rows."""
    with ShardReader(*CASE.store(tmp_path)) as reader:
        return CountedChunks(reader)


def test_a_chunk_is_what_its_reader_decodes(chunks):
    cache = DecodedChunks(2**30)
    np.testing.assert_array_equal(cache.get((0, 1), chunks), CASE.images[6:12])


def test_a_kept_chunk_is_not_decoded_again(chunks):
    cache = DecodedChunks(2**30)
    assert cache.get((0, 1), chunks) is cache.get((0, 1), chunks)
    assert chunks.decoded == [1]


def test_chunks_of_other_shards_are_other_chunks(chunks):
    cache = DecodedChunks(2**30)
    assert cache.get((0, 1), chunks) is not cache.get((1, 1), chunks)


def test_what_was_used_longest_ago_goes_first(chunks):
    cache = DecodedChunks(2 * chunks.chunk_bytes)
    for chunk in (0, 1, 0, 2, 0, 1):
        cache.get((0, chunk), chunks)
    assert chunks.decoded == [0, 1, 2, 1]


@pytest.mark.parametrize("room", [0.5, 1, 2.5, 4])
def test_the_budget_is_never_exceeded(chunks, room):
    """A chunk larger than all of it is not kept at all."""
    cache = DecodedChunks(int(room * chunks.chunk_bytes))
    for chunk in range(5):
        cache.get((0, chunk), chunks)
        assert cache.kept_bytes == min(int(room), chunk + 1) * chunks.chunk_bytes


def test_two_threads_that_want_one_chunk_decode_it_once(chunks):
    cache = DecodedChunks(2**30)
    chunks.gate.clear()
    with ThreadPoolExecutor(4) as threads:
        wanted = [threads.submit(cache.get, (0, 3), chunks) for _ in range(4)]
        chunks.gate.set()
        images = [future.result() for future in wanted]
    assert chunks.decoded == [3]
    assert all(image is images[0] for image in images)


def test_threads_decode_different_chunks_at_the_same_time(chunks):
    """Nobody holds the lock of the cache while decoding."""
    cache = DecodedChunks(2**30)
    both = threading.Barrier(2, timeout=60)
    chunks.gate.wait = lambda _: both.wait() is not None
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda chunk: cache.get((0, chunk), chunks), [0, 1]))
    assert sorted(chunks.decoded) == [0, 1]


def test_an_error_reaches_every_thread_that_waits_and_is_not_kept(chunks, monkeypatch):
    cache = DecodedChunks(2**30)
    chunks.gate.clear()

    def fail(_self, chunk):
        chunks.decoded.append(chunk)
        assert chunks.gate.wait(60)
        raise ShardDamagedError("damaged", {"rows": (0, 6)})

    with monkeypatch.context() as patch:
        patch.setattr(CountedChunks, "decode", fail)
        with ThreadPoolExecutor(3) as threads:
            wanted = [threads.submit(cache.get, (0, 0), chunks) for _ in range(3)]
            chunks.gate.set()
        assert all(isinstance(future.exception(), ShardDamagedError) for future in wanted)
    np.testing.assert_array_equal(cache.get((0, 0), chunks), CASE.images[:6])


def test_many_threads_and_little_room_give_the_right_chunks(chunks):
    cache = DecodedChunks(2 * chunks.chunk_bytes)
    order = np.random.default_rng(0).integers(0, 5, 200).tolist()
    with ThreadPoolExecutor(8) as threads:
        found = threads.map(lambda chunk: cache.get((0, chunk), chunks), order)
        for chunk, images in zip(order, found, strict=True):
            np.testing.assert_array_equal(images, CASE.images[6 * chunk : 6 * chunk + 6])
    assert cache.kept_bytes <= cache.budget_bytes
