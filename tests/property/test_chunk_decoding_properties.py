"""Whatever a codec encodes, its decoder gives back, as libhdf5 does."""

import tempfile
from pathlib import Path

import h5py
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from materialize.shards.chunk_reader import ChunkReader
from materialize.shards.codecs import CODECS, find_codec
from materialize.shards.reader import ShardReader
from materialize.shards.writer import ShardWriter
from tests.shard_cases import shard_case

ENCODED = st.sampled_from(sorted(name for name, codec in CODECS.items() if not codec.is_raw))
WRITER = ShardWriter()


@st.composite
def shard_cases(draw):
    case = shard_case(
        draw(st.integers(1, 60)),
        draw(st.tuples(st.integers(1, 90), st.integers(1, 90), st.integers(1, 4))),
        codec=draw(ENCODED),
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
            chunks = ChunkReader(reader)
            for chunk in range(chunks.num_chunks):
                rows = chunks.rows(chunk)
                expected = file["images"][rows.start : rows.stop]
                assert chunks.decode(chunk).tobytes() == expected.tobytes()
            assert rows.stop == case.spec.num_rows


@settings(max_examples=300)
@given(ENCODED, st.binary(max_size=200), st.integers(1, 300), st.sampled_from([1, 4]))
def test_arbitrary_bytes_are_an_error_or_of_the_right_length(codec, chunk, num_values, itemsize):
    num_bytes = num_values * itemsize
    try:
        decoded = find_codec(codec).decode(memoryview(chunk), num_bytes, itemsize)
    except ValueError:
        return
    assert decoded.shape == (num_bytes,)
