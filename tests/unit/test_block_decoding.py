"""Blocks decoded outside libhdf5 are what libhdf5 would have read, or an error."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import h5py
import lz4.block
import numpy as np
import pytest
import zstandard

from materialize.errors import ShardDamagedError, ShardError, ShardUntrustedError
from materialize.shards.codecs import CODECS, decode_block, encode_block, find_codec
from materialize.shards.columns import Column
from materialize.shards.digests import leaf_ranges
from materialize.shards.reader import ShardReader
from tests.shard_cases import shard_case

ENCODED = sorted(name for name, codec in CODECS.items() if not codec.is_raw)
LOSSLESS = sorted(name for name in ENCODED if not CODECS[name].is_lossy)
FILTERED = sorted(name for name, codec in CODECS.items() if codec.filter_number)

SHAPES = {
    "many rows in a block": (1000, (32, 32, 3)),
    "grey": (3000, (28, 28, 1)),
    "a last block with fewer rows": (11, (224, 224, 3)),
    "several blocks and a rest of three values": (2, (601, 601, 3)),
    "one value": (1, (1, 1, 1)),
    "fewer values than a group of eight": (1, (7, 1, 1)),
    "a group of eight": (1, (8, 1, 1)),
    "one block exactly": (1, (512, 512, 1)),
    "a block and a rest of one value": (1, (65537, 2, 2)),
}


def everything(blocks):
    return np.concatenate([blocks.decode(block) for block in range(blocks.num_blocks)])


@pytest.mark.parametrize("image_dtype", ["uint8", "float32"])
@pytest.mark.parametrize(("num_rows", "shape"), SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("codec", FILTERED)
def test_chunks_are_what_libhdf5_reads(tmp_path, codec, num_rows, shape, image_dtype):
    num_rows = num_rows if image_dtype == "uint8" else -(-num_rows // 4)
    path, entry = shard_case(num_rows, shape, codec=codec, image_dtype=image_dtype).store(tmp_path)
    with h5py.File(path) as file:
        expected = file["images"][...]
    with ShardReader(path, entry) as reader:
        found = everything(reader.blocks)
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("codec", LOSSLESS)
def test_noise_which_no_codec_makes_smaller_decodes(tmp_path, codec):
    case = shard_case(300, (32, 32, 3), codec=codec)
    case.images[...] = np.random.default_rng(0).integers(0, 256, case.images.shape)
    with ShardReader(*case.store(tmp_path)) as reader:
        np.testing.assert_array_equal(everything(reader.blocks), case.images)


@pytest.mark.parametrize("num_values", [1, 2, 255, 256, 65536, 100_000, 131072, 300_000])
@pytest.mark.parametrize("codec", FILTERED)
def test_a_blank_image_decodes(tmp_path, codec, num_values):
    """Its frame may be no longer than ten bytes."""
    case = shard_case(1, (num_values, 1, 1), codec=codec)
    case.images[...] = 7
    with ShardReader(*case.store(tmp_path)) as reader:
        assert (everything(reader.blocks) == 7).all()
        assert (reader.images == 7).all()


@pytest.mark.parametrize("codec", LOSSLESS)
def test_real_photographs_decode(tmp_path, real_data, codec):
    photographs = np.load(real_data / "cifar10" / "cifar10_10k_2k.npz")["x_test"]
    case = shard_case(len(photographs), (32, 32, 3), codec=codec)
    case.images[...] = photographs
    with ShardReader(*case.store(tmp_path)) as reader:
        np.testing.assert_array_equal(everything(reader.blocks), photographs)


@pytest.mark.parametrize("codec", FILTERED)
def test_every_bit_pattern_of_a_float_survives(tmp_path, codec):
    """Infinities, subnormals and each payload of a NaN are bits like others."""
    case = shard_case(64, (32, 32, 1), codec=codec, image_dtype="float32")
    bits = np.random.default_rng(0).integers(0, 2**32, case.images.shape, np.uint32)
    case.images.view(np.uint32)[...] = bits
    with ShardReader(*case.store(tmp_path)) as reader:
        np.testing.assert_array_equal(everything(reader.blocks).view(np.uint32), bits)


@pytest.fixture
def small(tmp_path):
    """A shard of 11 rows in blocks of 6."""
    return shard_case(11, (224, 224, 3), codec="bitshuffle-zstd").store(tmp_path)


def test_a_block_knows_its_rows(small):
    with ShardReader(*small) as reader:
        blocks = reader.blocks
    assert (blocks.num_blocks, blocks.rows_per_block) == (2, 6)
    assert blocks.block_bytes == 6 * 224 * 224 * 3
    assert [blocks.block_rows(block) for block in range(2)] == [range(6), range(6, 11)]
    assert [blocks.decode(block).shape for block in range(2)] == [
        (6, 224, 224, 3), (5, 224, 224, 3)
    ]  # fmt: skip


@pytest.mark.parametrize("block", [-1, 2])
def test_a_block_that_is_not_there_is_refused(small, block):
    with ShardReader(*small) as reader, pytest.raises(IndexError, match=r"\[0, 2\)"):
        reader.blocks.decode(block)


@pytest.mark.parametrize("codec", ENCODED)
def test_decoded_pixels_are_read_only_and_contiguous(tmp_path, codec):
    """They may be shared by all who ask for the same block."""
    with ShardReader(*shard_case(codec=codec).store(tmp_path)) as reader:
        images = reader.blocks.decode(0)
    assert not images.flags.writeable
    assert images.flags.c_contiguous


def test_decoding_asks_libhdf5_for_nothing(small, monkeypatch):
    """Also after the reader was closed, and while another thread holds the lock of libhdf5."""
    with ShardReader(*small) as reader:
        blocks = reader.blocks
    decoded = []
    with h5py._hl.base.phil:
        thread = threading.Thread(target=lambda: decoded.append(blocks.decode(1)))
        thread.start()
        thread.join(timeout=60)
    assert len(decoded) == 1


@pytest.mark.parametrize("codec", ENCODED)
def test_threads_decode_the_same_as_one(tmp_path, codec):
    path, entry = shard_case(30, (224, 224, 3), codec=codec).store(tmp_path)
    with ShardReader(path, entry) as reader:
        blocks = reader.blocks
        alone = [blocks.decode(block) for block in range(blocks.num_blocks)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(blocks.decode, list(range(blocks.num_blocks)) * 4))
    for index, images in enumerate(together):
        np.testing.assert_array_equal(images, alone[index % blocks.num_blocks])


def test_a_raw_shard_has_no_blocks(tmp_path):
    with (
        ShardReader(*shard_case().store(tmp_path)) as reader,
        pytest.raises(TypeError, match="raw"),
    ):
        _ = reader.blocks


def test_a_raw_shard_whose_manifest_hides_its_pixels_is_refused(tmp_path):
    """So that libhdf5 is never asked for blocks that are not there."""
    path, entry = shard_case().store(tmp_path)
    data = path.read_bytes()
    hidden = with_digests(replace(entry, images_offset=None), data)
    with ShardReader(path, hidden) as reader, pytest.raises(ShardUntrustedError):
        _ = reader.blocks


@pytest.mark.parametrize("codec", ENCODED)
def test_damage_is_found_before_anything_is_decoded(tmp_path, codec):
    path, entry = shard_case(codec=codec).store(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with ShardReader(path, entry) as reader, pytest.raises(ShardDamagedError, match="rows 0 to 4"):
        _ = reader.blocks


def test_what_changes_while_the_shard_is_open_is_damage_that_names_the_rows(small):
    """The bytes were right when they were compared: they are compared again."""
    path, entry = small
    with ShardReader(path, entry) as reader:
        blocks = reader.blocks
        region = reader.blocks.region(1)
    with path.open("r+b") as file:
        file.seek(region.start)
        file.write(bytes(len(region)))
    with pytest.raises(ShardDamagedError, match="rows 6 to 10") as caught:
        blocks.decode(1)
    assert caught.value.facts["rows"] == (6, 11)


# Hostile blocks: the digests are right, so whoever wrote the block also wrote the manifest.


def with_digests(entry, data):
    """The entry of a file with these bytes."""
    leaves = leaf_ranges(len(data), range(0))
    digests = (hashlib.sha256(data[leaf.start : leaf.stop]).hexdigest() for leaf in leaves)
    sha256 = hashlib.sha256(data).hexdigest()
    return replace(entry, num_bytes=len(data), file_sha256=sha256, leaves=tuple(digests))


@pytest.mark.parametrize("codec", ENCODED)
def test_a_flipped_byte_with_valid_digests_is_an_error_or_other_pixels(tmp_path, codec):
    case = shard_case(3, (4, 5, 3), codec=codec)
    path, entry = case.store(tmp_path)
    data = path.read_bytes()
    with ShardReader(path, entry) as reader:
        region = reader.blocks.region(0)
    outcomes = set()
    for offset in region:
        broken = bytearray(data)
        broken[offset] ^= (0x01, 0x80, 0xFF)[offset % 3]
        path.write_bytes(broken)
        try:
            with ShardReader(path, with_digests(entry, broken)) as reader:
                outcomes.add(reader.blocks.decode(0).shape)
        except ShardError as error:
            outcomes.add(type(error))
    assert ShardUntrustedError in outcomes
    rows = find_codec(codec).rows_per_block(case.spec.images)
    assert outcomes <= {ShardUntrustedError, (rows, 4, 5, 3)}


def encoded(codec, shape=(600, 600, 1)):
    """(block, what it decodes to, codec) of one image."""
    found = find_codec(codec)
    images = shard_case(1, shape).images
    block = encode_block(found, images)
    return block, decode_block(found, block, Column(images.dtype, images.shape)), found


@pytest.mark.parametrize("codec", LOSSLESS)
def test_a_block_decodes_from_its_bytes_alone(codec):
    _, images, _ = encoded(codec)
    np.testing.assert_array_equal(images, shard_case(1, (600, 600, 1)).images)


@pytest.mark.parametrize("codec", ENCODED)
def test_no_beginning_of_a_block_decodes(codec):
    block, images, codec = encoded(codec, (5, 5, 3))
    for length in range(len(block)):
        with pytest.raises(ValueError, match=r"."):
            decode_block(codec, block[:length], Column(images.dtype, images.shape))


@pytest.mark.parametrize("codec", ENCODED)
def test_a_block_with_something_behind_it_does_not_decode(codec):
    block, images, codec = encoded(codec)
    for more in (b"\0", bytes(8), block):
        with pytest.raises(ValueError, match=r"."):
            decode_block(codec, block + more, Column(images.dtype, images.shape))


@pytest.mark.parametrize("height", [1, 599, 601, 1200])
@pytest.mark.parametrize("codec", ENCODED)
def test_a_block_of_another_size_does_not_decode(codec, height):
    block, images, codec = encoded(codec)
    with pytest.raises(ValueError, match="expected"):
        decode_block(codec, block, Column(images.dtype, (1, height, 600, 1)))


def frame(num_bytes):
    return zstandard.ZstdCompressor().compress(bytes(num_bytes))


COLUMN = Column(np.dtype("u1"), (1, 2**18 + 8, 1, 1))


def bitshuffled(*blocks, num_bytes=2**18 + 8):
    """A block of two blocks, the second of eight bytes, made of these frames."""
    parts = [num_bytes.to_bytes(8, "big"), (2**18).to_bytes(4, "big")]
    for block in blocks:
        parts += [len(block).to_bytes(4, "big"), block]
    return memoryview(b"".join(parts))


def test_a_block_made_by_hand_decodes():
    """So that what the next tests change is all that is wrong with theirs."""
    decode = find_codec("bitshuffle-zstd").decode
    assert not decode(bitshuffled(frame(2**18), frame(8)), COLUMN).any()


HOSTILE = {
    "a short block": bitshuffled(frame(2**18 - 1), frame(8)),
    "a long block": bitshuffled(frame(2**18 + 1), frame(8)),
    "a short last block": bitshuffled(frame(2**18), frame(7)),
    "a long last block": bitshuffled(frame(2**18), frame(2**20)),
    "an empty block": bitshuffled(frame(2**18), b""),
    "no second block": bitshuffled(frame(2**18)),
    "a third block": bitshuffled(frame(2**18), frame(8), frame(8)),
    "two frames in a block": bitshuffled(frame(2**18) + frame(2**18), frame(8)),
    "a frame of another kind": bitshuffled(frame(2**18), b"\x50\x2a\x4d\x18" + bytes(12)),
    "a frame that tells no length": bitshuffled(
        frame(2**18), zstandard.ZstdCompressor(write_content_size=False).compress(bytes(8))
    ),
    "a block longer than the block": memoryview(
        bytes(bitshuffled())[:12] + (2**32 - 1).to_bytes(4, "big") + frame(2**18)
    ),
}


@pytest.mark.parametrize("block", HOSTILE.values(), ids=HOSTILE)
def test_blocks_that_lie_about_their_length_do_not_decode(block):
    """The compiled code behind them checks no index."""
    with pytest.raises(ValueError, match=r"."):
        find_codec("bitshuffle-zstd").decode(block, COLUMN)


def test_a_frame_that_declares_an_exbibyte_takes_no_memory():
    """0xE0: eight bytes of length, one segment."""
    block = b"\x28\xb5\x2f\xfd\xe0" + (2**60).to_bytes(8, "little") + bytes(20)
    with pytest.raises(ValueError, match="expected a frame of 100 bytes"):
        find_codec("zstd").decode(memoryview(block), Column(COLUMN.dtype, (1, 10, 10, 1)))


def lz4_parts(*parts, num_bytes=2**20 + 8):
    """A chunk of two parts, the second of eight bytes, made of these."""
    whole = [num_bytes.to_bytes(8, "big"), (2**20).to_bytes(4, "big")]
    for part in parts:
        whole += [len(part).to_bytes(4, "big"), part]
    return memoryview(b"".join(whole))


def packed(num_bytes):
    return lz4.block.compress(bytes(num_bytes), store_size=False)


LZ4_COLUMN = Column(np.dtype("u1"), (1, 2**20 + 8, 1, 1))

HOSTILE_LZ4 = {
    "a short part": lz4_parts(packed(2**20 - 1), bytes(8)),
    "a long part": lz4_parts(packed(2**20 + 1), bytes(8)),
    "an empty part": lz4_parts(packed(2**20), b""),
    "no second part": lz4_parts(packed(2**20)),
    "a third part": lz4_parts(packed(2**20), bytes(8), bytes(8)),
    "a distance before the beginning": lz4_parts(b"\x0f\xff\xff" + b"\xff" * 4000, bytes(8)),
    "a part longer than the chunk": memoryview(
        bytes(lz4_parts())[:12] + (2**32 - 1).to_bytes(4, "big") + packed(2**20)
    ),
}


def test_lz4_parts_made_by_hand_decode():
    """So that what the next tests change is all that is wrong with theirs."""
    decoded = find_codec("lz4").decode(lz4_parts(packed(2**20), bytes(8)), LZ4_COLUMN)
    assert not decoded.any()


@pytest.mark.parametrize("block", HOSTILE_LZ4.values(), ids=HOSTILE_LZ4)
def test_lz4_parts_that_lie_do_not_decode(block):
    """libhdf5's filter believes their lengths."""
    with pytest.raises(ValueError, match=r"."):
        find_codec("lz4").decode(block, LZ4_COLUMN)


def test_no_byte_around_the_parts_of_a_bytedelta_frame_may_be_another():
    """The heads, where the parts start, and the end: other readers would believe them."""
    codec = find_codec("blosc2")
    images = shard_case(1, (200, 200, 1)).images
    block = encode_block(codec, images)
    num_parts = 2
    for offset in [*range(97 + 32 + 4 * num_parts), *range(len(block) - 75, len(block))]:
        broken = bytearray(block)
        broken[offset] ^= 1
        with pytest.raises(ValueError, match=r"."):
            decode_block(codec, bytes(broken), Column(images.dtype, images.shape))
