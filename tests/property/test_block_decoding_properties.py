"""Whatever a codec encodes, its decoder gives back, as libhdf5 does."""

import tempfile
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  (registers the filters)
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from materialize.shards.codecs import CODECS, decode_block, encode_block, find_codec
from materialize.shards.columns import Column
from materialize.shards.reader import ShardReader
from materialize.shards.writer import ShardWriter
from tests.shard_cases import shard_case

ENCODED = st.sampled_from(sorted(name for name, codec in CODECS.items() if not codec.is_raw))
FILTERED = st.sampled_from(sorted(name for name, codec in CODECS.items() if codec.filter_number))
LOSSLESS = st.sampled_from(sorted(name for name, codec in CODECS.items() if not codec.is_lossy))
WRITER = ShardWriter()


@st.composite
def shard_cases(draw):
    case = shard_case(
        draw(st.integers(1, 60)),
        draw(st.tuples(st.integers(1, 90), st.integers(1, 90), st.integers(1, 4))),
        codec=draw(FILTERED),
        image_dtype=draw(st.sampled_from(["uint8", "float32"])),
    )
    words = np.random.default_rng(draw(st.integers(0, 2**32))).integers(
        0, draw(st.sampled_from([2, 5, 256])), case.images.nbytes, np.uint8
    )
    case.images.reshape(-1).view(np.uint8)[:] = words
    return case


@settings(max_examples=60)
@given(shard_cases())
def test_a_chunk_is_what_libhdf5_reads(case):
    with tempfile.TemporaryDirectory() as directory:
        data, entry = case.write(WRITER)
        path = Path(directory, entry.file)
        path.write_bytes(data)
        with ShardReader(path, entry) as reader, h5py.File(path) as file:
            blocks = reader.blocks
            for block in range(blocks.num_blocks):
                rows = blocks.block_rows(block)
                expected = file["images"][rows.start : rows.stop]
                assert blocks.decode(block).tobytes() == expected.tobytes()
            assert rows.stop == case.spec.num_rows


@settings(max_examples=100)
@given(
    LOSSLESS,
    st.tuples(st.integers(1, 9), st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3])),
    st.sampled_from([2, 5, 256]),
    st.integers(0, 2**32),
)
def test_a_block_encoded_without_a_shard_decodes_to_its_images(codec, shape, levels, seed):
    images = np.random.default_rng(seed).integers(0, levels, shape, np.uint8)
    block = encode_block(find_codec(codec), images)
    decoded = decode_block(find_codec(codec), block, Column(images.dtype, shape))
    np.testing.assert_array_equal(decoded, images)


@settings(max_examples=300)
@given(
    ENCODED,
    st.binary(max_size=200),
    st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])),
    st.sampled_from(["<u1", "<f4"]),
)
def test_arbitrary_bytes_are_an_error_or_of_the_right_shape(codec, block, shape, dtype):
    try:
        decoded = decode_block(find_codec(codec), block, Column(np.dtype(dtype), shape))
    except ValueError:
        return
    assert decoded.shape == shape
