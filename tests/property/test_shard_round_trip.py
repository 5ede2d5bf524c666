"""Whatever is written is read, whatever the shape, the codec and the order of rendering."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from materialize.canonical import canonical_json
from materialize.shards.codecs import CODECS
from materialize.shards.digests import LEAF_BYTES, leaf_ranges
from materialize.shards.layout import ShardSpec
from materialize.shards.reader import ShardReader
from materialize.shards.writer import ShardWriter
from tests.shard_cases import shard_case

WRITER = ShardWriter()
"""One for all examples: the memory an earlier shard left must never show."""

PARAMETERS = st.sampled_from([("none", ()), ("draws", ("a",)), ("draws", ("a", "b", "ç")),
                              ("full", ("angle", "zoom"))])  # fmt: skip


@st.composite
def shard_cases(draw):
    parameters, words = draw(PARAMETERS)
    codec = draw(st.sampled_from(sorted(CODECS)))
    dtypes = ["uint8"] if CODECS[codec].is_picture else ["uint8", "float32"]
    return shard_case(
        draw(st.integers(1, 40)),
        draw(st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]))),
        class_names=draw(st.lists(st.text(max_size=5), min_size=1, max_size=4)),
        codec=codec,
        image_dtype=draw(st.sampled_from(dtypes)),
        copy=draw(st.integers(0, 10**6)),
        parameters=parameters,
        draw_words=words,
    )


@settings(deadline=None, max_examples=60)
@given(shard_cases())
def test_a_shard_reads_back(case):
    with tempfile.TemporaryDirectory() as directory:
        data, entry = case.write(WRITER)
        path = Path(directory, entry.file)
        path.write_bytes(data)
        with ShardReader(path, entry) as reader:
            if not CODECS[case.spec.codec].is_lossy:
                np.testing.assert_array_equal(reader.images, case.images)
            for name, expected in case.columns.items():
                np.testing.assert_array_equal(reader.columns[name], expected)
            assert reader.class_names == case.class_names
            reader.verify_content()
            assert reader.is_verified


@settings(deadline=None, max_examples=60)
@given(shard_cases(), st.integers(1, 40))
def test_a_reused_writer_writes_the_bytes_of_a_new_one(case, step):
    assert case.write(WRITER, step) == case.write()


@settings(deadline=None)
@given(shard_cases())
def test_a_spec_survives_json(case):
    spec = case.spec
    assert ShardSpec.from_json(spec.to_json()) == spec
    assert ShardSpec.from_json(spec.to_json()).digest() == spec.digest()


@given(
    st.integers(0, 5 * LEAF_BYTES), st.integers(0, 5 * LEAF_BYTES), st.integers(0, 5 * LEAF_BYTES)
)
def test_leaves_partition_the_file(head, pixels, tail):
    region = range(head, head + pixels)
    leaves = leaf_ranges(head + pixels + tail, region)
    position = 0
    for leaf in leaves:
        assert leaf.start == position
        assert 0 < len(leaf) <= LEAF_BYTES
        assert (leaf.start in region) == (leaf[-1] in region)
        position = leaf.stop
    assert position == head + pixels + tail


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False,
                                                                    allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)  # fmt: skip


@given(JSON_VALUES)
def test_canonical_json_reads_back_and_is_stable(value):
    import json

    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text
