"""Blocks are decoded once while they are kept, and never more is kept than was allowed."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from materialize.errors import ShardDamagedError
from materialize.shards.block_cache import DecodedBlocks
from materialize.shards.block_reader import BlockReader
from materialize.shards.reader import ShardReader
from tests.shard_cases import shard_case

CASE = shard_case(30, (224, 224, 3), codec="zstd")


class CountedBlocks(BlockReader):
    """Notes what is decoded; decodes only while `gate` is open."""

    def __init__(self, reader):
        super().__init__(reader.spec, reader.path, reader._regions, reader.checked_bytes)
        self.decoded = []
        self.gate = threading.Event()
        self.gate.set()

    def decode(self, block):
        self.decoded.append(block)
        assert self.gate.wait(60)
        return super().decode(block)


@pytest.fixture
def blocks(tmp_path):
    """Five blocks of six rows."""
    with ShardReader(*CASE.store(tmp_path)) as reader:
        return CountedBlocks(reader)


def test_a_block_is_what_its_reader_decodes(blocks):
    cache = DecodedBlocks(2**30)
    np.testing.assert_array_equal(cache.get((0, 1), blocks), CASE.images[6:12])


def test_a_kept_block_is_not_decoded_again(blocks):
    cache = DecodedBlocks(2**30)
    assert cache.get((0, 1), blocks) is cache.get((0, 1), blocks)
    assert blocks.decoded == [1]


def test_blocks_of_other_shards_are_other_blocks(blocks):
    cache = DecodedBlocks(2**30)
    assert cache.get((0, 1), blocks) is not cache.get((1, 1), blocks)


def test_what_was_used_longest_ago_goes_first(blocks):
    cache = DecodedBlocks(2 * blocks.block_bytes)
    for block in (0, 1, 0, 2, 0, 1):
        cache.get((0, block), blocks)
    assert blocks.decoded == [0, 1, 2, 1]


@pytest.mark.parametrize("room", [0.5, 1, 2.5, 4])
def test_the_budget_is_never_exceeded(blocks, room):
    """A block larger than all of it is not kept at all."""
    cache = DecodedBlocks(int(room * blocks.block_bytes))
    for block in range(5):
        cache.get((0, block), blocks)
        assert cache.kept_bytes == min(int(room), block + 1) * blocks.block_bytes


def test_two_threads_that_want_one_block_decode_it_once(blocks):
    cache = DecodedBlocks(2**30)
    blocks.gate.clear()
    with ThreadPoolExecutor(4) as threads:
        wanted = [threads.submit(cache.get, (0, 3), blocks) for _ in range(4)]
        blocks.gate.set()
        images = [future.result() for future in wanted]
    assert blocks.decoded == [3]
    assert all(image is images[0] for image in images)


def test_threads_decode_different_blocks_at_the_same_time(blocks):
    """Nobody holds the lock of the cache while decoding."""
    cache = DecodedBlocks(2**30)
    both = threading.Barrier(2, timeout=60)
    blocks.gate.wait = lambda _: both.wait() is not None
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda block: cache.get((0, block), blocks), [0, 1]))
    assert sorted(blocks.decoded) == [0, 1]


def test_an_error_reaches_every_thread_that_waits_and_is_not_kept(blocks, monkeypatch):
    cache = DecodedBlocks(2**30)
    blocks.gate.clear()

    def fail(_self, block):
        blocks.decoded.append(block)
        assert blocks.gate.wait(60)
        raise ShardDamagedError("damaged", {"rows": (0, 6)})

    with monkeypatch.context() as patch:
        patch.setattr(CountedBlocks, "decode", fail)
        with ThreadPoolExecutor(3) as threads:
            wanted = [threads.submit(cache.get, (0, 0), blocks) for _ in range(3)]
            blocks.gate.set()
        assert all(isinstance(future.exception(), ShardDamagedError) for future in wanted)
    np.testing.assert_array_equal(cache.get((0, 0), blocks), CASE.images[:6])


def test_many_threads_and_little_room_give_the_right_blocks(blocks):
    cache = DecodedBlocks(2 * blocks.block_bytes)
    order = np.random.default_rng(0).integers(0, 5, 200).tolist()
    with ThreadPoolExecutor(8) as threads:
        found = threads.map(lambda block: cache.get((0, block), blocks), order)
        for block, images in zip(order, found, strict=True):
            np.testing.assert_array_equal(images, CASE.images[6 * block : 6 * block + 6])
    assert cache.kept_bytes <= cache.budget_bytes
