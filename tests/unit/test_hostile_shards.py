"""Files made to harm: each has the digests of its manifest and is refused before it is read."""

import contextlib
import hashlib
import io
from dataclasses import replace

import h5py
import hdf5plugin
import numpy as np
import pytest

from materialize.errors import ShardError, ShardUntrustedError
from materialize.shards.codecs import encode_block, find_codec
from materialize.shards.container import columns_attributes, root_attributes
from materialize.shards.digests import leaf_ranges
from materialize.shards.reader import ShardReader
from tests.shard_cases import shard_case

CASE = shard_case()
ENCODED = shard_case(codec="gzip", shape=(32, 32, 3))


def texts(target, attributes):
    for name, value in attributes.items():
        target.attrs[name] = np.bytes_(value) if isinstance(value, bytes) else np.int32(value)


def honest_file(file, case):
    """What any HDF5 writer would make of the spec."""
    texts(file, root_attributes(case.spec, case.class_names))
    for name, values in case.columns.items():
        file[name] = values
    texts(file["draws"], columns_attributes(case.spec))
    codec = find_codec(case.spec.codec)
    if codec.is_picture:
        pictures = [encode_block(codec, image[None]) for image in case.images]
        file["image_offsets"] = np.cumsum([0, *map(len, pictures)])
        file["images"] = np.frombuffer(b"".join(pictures), np.uint8)
        return
    chunk = codec.block_column(case.spec.images, 0).shape
    chunks = {} if codec.is_raw else {"chunks": chunk, **codec.options}
    file.create_dataset("images", data=case.images, **chunks)


def stored(tmp_path, harm, case=CASE):
    """A harmed file and an entry whose digests are those of the file."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        honest_file(file, case)
        harm(file)
    data = memory.getvalue()
    pixels = range(0)
    if find_codec(case.spec.codec).is_raw:
        with h5py.File(io.BytesIO(data)) as file:
            is_there = isinstance(file.get("images", getlink=True), h5py.HardLink)
            offset = file["images"].id.get_offset() if is_there else None
        pixels = range(offset or 0, (offset or 0) + case.images.nbytes)
    return stored_bytes(tmp_path, data, case.write()[1], pixels)


def stored_bytes(tmp_path, data, entry, pixels):
    """The bytes in a file, and an entry with their digests."""
    entry = replace(
        entry,
        num_bytes=len(data),
        file_sha256=hashlib.sha256(data).hexdigest(),
        images_offset=pixels.start if pixels else None,
        images_stored_bytes=len(pixels),
        leaves=tuple(
            hashlib.sha256(data[leaf.start : leaf.stop]).hexdigest()
            for leaf in leaf_ranges(len(data), pixels)
        ),
    )
    path = tmp_path / entry.file
    path.write_bytes(data)
    return path, entry


def replaced(name, **options):
    """Put another dataset in the place of one."""

    def harm(file):
        del file[name]
        file.create_dataset(name, **options)

    return harm


def linked(name, link):
    def harm(file):
        del file[name]
        file[name] = link

    return harm


def external_storage(file):
    del file["images"]
    outside = [("/etc/passwd", 0, CASE.images.nbytes)]
    file.create_dataset("images", CASE.images.shape, "u1", external=outside)


def virtual(file):
    layout = h5py.VirtualLayout(CASE.images.shape, "u1")
    layout[...] = h5py.VirtualSource("/etc/passwd", "x", CASE.images.shape)
    del file["images"]
    file.create_virtual_dataset("images", layout)


def group_for_dataset(file):
    del file["labels"]
    file.create_group("labels")


def type_for_dataset(file):
    del file["labels"]
    file["labels"] = np.dtype("<i4")


def compact_labels(file):
    del file["labels"]
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((5,))
    h5py.h5d.create(file.id, b"labels", h5py.h5t.STD_I32LE, space, plist)


def unallocated_labels(file):
    del file["labels"]
    file.create_dataset("labels", (5,), "<i4")


def extra_attribute(file):
    file.attrs["note"] = np.int32(1)


def long_text_attribute(file):
    file.attrs["class_names"] = "a text of variable length"


def array_attribute(file):
    file.attrs["copy"] = np.arange(10, dtype=np.int32)


def other_spec(file):
    file.attrs["spec"] = np.bytes_(b"{}")


def other_version(file):
    file.attrs["format_version"] = np.int32(2)


SHAPE = CASE.images.shape

HARMS = {
    "external storage": (external_storage, "external storage"),
    "virtual dataset": (virtual, "virtual dataset"),
    "soft link": (linked("labels", h5py.SoftLink("/sample_ids")), "soft or external link"),
    "external link": (
        linked("labels", h5py.ExternalLink("/etc/passwd", "/")),
        "soft or external link",
    ),
    "dangling link": (linked("images", h5py.SoftLink("/nowhere")), "soft or external link"),
    "group for a dataset": (group_for_dataset, "not a dataset"),
    "type for a dataset": (type_for_dataset, "not a dataset"),
    "extra name": (lambda file: file.create_dataset("extra", data=1), "5 objects|has 5"),
    "other name": (lambda file: file.move("labels", "labels2"), "is not one of"),
    "variable-length values": (
        replaced("labels", shape=(5,), dtype=h5py.vlen_dtype(np.int32)),
        "plain numbers",
    ),
    "variable-length texts": (
        replaced("labels", shape=(5,), dtype=h5py.string_dtype()),
        "plain numbers",
    ),
    "references": (replaced("labels", shape=(5,), dtype=h5py.ref_dtype), "plain numbers"),
    "compound": (
        replaced("labels", shape=(5,), dtype=np.dtype([("a", "i4")])),
        "plain numbers",
    ),
    "shape bomb": (
        replaced("images", shape=(2**40, *SHAPE[1:]), dtype="u1", chunks=(1, *SHAPE[1:])),
        "the shape",
    ),
    "wide labels": (replaced("labels", data=np.zeros(5, np.int64)), "the type <i8"),
    "big-endian labels": (replaced("labels", data=np.zeros(5, ">i4")), "the type >i4"),
    "growing labels": (
        replaced("labels", data=np.zeros(5, "<i4"), maxshape=(None,)),
        "maximal shape",
    ),
    "filtered labels": (
        replaced("labels", data=np.zeros(5, "<i4"), chunks=(5,), compression="gzip"),
        "storage layout",
    ),
    "compact labels": (compact_labels, "storage layout"),
    "unallocated labels": (unallocated_labels, "no place"),
    "extra attribute": (extra_attribute, "has the attributes"),
    "variable-length attribute": (long_text_attribute, "not one number or fixed text"),
    "array attribute": (array_attribute, "not one number or fixed text"),
    "another spec": (other_spec, "attribute spec"),
    "another version": (other_version, "format_version"),
}

CHUNKS = find_codec("gzip").block_column(ENCODED.spec.images, 0).shape

ENCODED_HARMS = {
    "another filter": (
        replaced("images", data=ENCODED.images, chunks=CHUNKS, **hdf5plugin.Zstd(1)),
        "the filters",
    ),
    "one filter more": (
        replaced("images", data=ENCODED.images, chunks=CHUNKS, compression="gzip", shuffle=True),
        "the filters",
    ),
    "no filter": (replaced("images", data=ENCODED.images, chunks=CHUNKS), "the filters"),
    "other chunks": (
        replaced("images", data=ENCODED.images, chunks=(1, 32, 32, 3), compression="gzip"),
        "chunk shape",
    ),
    "missing chunks": (
        replaced("images", shape=ENCODED.images.shape, dtype="u1", chunks=CHUNKS, compression=4),
        "the chunks",
    ),
    "contiguous pixels": (replaced("images", data=ENCODED.images), "storage layout"),
}


def skipped_filter(file):
    dataset = file["images"]
    dataset.id.write_direct_chunk((0, 0, 0, 0), ENCODED.images.tobytes(), filter_mask=1)


ENCODED_HARMS["skipped filter"] = (skipped_filter, "skipped filters")


SINGLE = shard_case(codec="jpeg-90")
"""A picture in each row."""


def offsets(*values, dtype="<i8"):
    """Put others in the place of the offsets: fractions are of the whole length."""

    def harm(file):
        total = file["images"].shape[0]
        del file["image_offsets"]
        given = [int(v * total) if isinstance(v, float) else v for v in values]
        file["image_offsets"] = np.array(given, dtype)

    return harm


PICTURE_HARMS = {
    "too few offsets": (offsets(0, 0.2, 0.4, 0.6, 1.0), "the shape"),
    "too many offsets": (offsets(0, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0), "the shape"),
    "short offsets": (offsets(0, 0.2, 0.4, 0.6, 0.8, 1.0, dtype="<i4"), "the type <i4"),
    "no offsets": (lambda file: file.__delitem__("image_offsets"), "objects"),
    "pictures of another length": (replaced("images", data=np.zeros(10, np.uint8)), "the shape"),
    "wide pictures": (replaced("images", data=np.zeros(10, "<i4")), "the type <i4"),
    "filtered pictures": (
        replaced("images", data=np.zeros(10, np.uint8), chunks=(10,), compression="gzip"),
        "the shape|storage layout",
    ),
}

OFFSETS = {
    "one that falls": (0, 0.4, 0.2, 0.6, 0.8, 1.0),
    "an empty picture": (0, 0.2, 0.2, 0.6, 0.8, 1.0),
    "a later beginning": (1, 0.2, 0.4, 0.6, 0.8, 1.0),
    "one below zero": (-1, 0.2, 0.4, 0.6, 0.8, 1.0),
    "one behind the end": (0, 0.2, 0.4, 0.6, 0.8, 2**40),
    "an early end": (0, 0.2, 0.4, 0.6, 0.8, 0.9),
    "one that wraps around": (0, 2**63 - 1, -(2**63), 0.6, 0.8, 1.0),
}


def stored_pictures(tmp_path, harm):
    """As `stored`, with the length of the pictures as it was before the harm."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        honest_file(file, SINGLE)
        total = file["images"].shape[0]
        harm(file)
    path, entry = stored_bytes(tmp_path, memory.getvalue(), SINGLE.write()[1], range(0))
    return path, replace(entry, images_stored_bytes=total)


def test_honest_pictures_of_another_writer_are_accepted(tmp_path):
    with ShardReader(*stored_pictures(tmp_path, lambda file: None)) as reader:
        assert reader.images.shape == SINGLE.images.shape


@pytest.mark.parametrize(("harm", "words"), PICTURE_HARMS.values(), ids=PICTURE_HARMS)
@pytest.mark.usefixtures("nothing_may_be_read")
def test_hostile_pictures_are_refused_before_a_value_is_read(tmp_path, harm, words):
    with (
        ShardReader(*stored_pictures(tmp_path, harm)) as reader,
        pytest.raises(ShardUntrustedError, match=words),
    ):
        _ = reader.images


@pytest.mark.parametrize("values", OFFSETS.values(), ids=OFFSETS)
def test_offsets_that_do_not_cut_the_pictures_are_refused(tmp_path, values):
    with (
        ShardReader(*stored_pictures(tmp_path, offsets(*values))) as reader,
        pytest.raises(ShardUntrustedError, match="image_offsets"),
    ):
        _ = reader.images


@pytest.fixture
def nothing_may_be_read(monkeypatch):
    def read(*_):
        raise AssertionError("a value was read")

    monkeypatch.setattr(h5py.Dataset, "__getitem__", read)


def test_an_honest_file_of_another_writer_is_accepted(tmp_path):
    with ShardReader(*stored(tmp_path, lambda file: None)) as reader:
        np.testing.assert_array_equal(reader.labels, CASE.columns["labels"])


def test_an_honest_encoded_file_of_another_writer_is_accepted(tmp_path):
    with ShardReader(*stored(tmp_path, lambda file: None, ENCODED)) as reader:
        np.testing.assert_array_equal(reader.images, ENCODED.images)


@pytest.mark.parametrize(("harm", "words"), HARMS.values(), ids=HARMS)
@pytest.mark.usefixtures("nothing_may_be_read")
def test_a_hostile_file_is_refused_before_a_value_is_read(tmp_path, harm, words):
    with (
        ShardReader(*stored(tmp_path, harm)) as reader,
        pytest.raises(ShardUntrustedError, match=words),
    ):
        _ = reader.labels


@pytest.mark.parametrize(("harm", "words"), ENCODED_HARMS.values(), ids=ENCODED_HARMS)
@pytest.mark.usefixtures("nothing_may_be_read")
def test_a_hostile_encoding_is_refused_before_a_value_is_read(tmp_path, harm, words):
    with (
        ShardReader(*stored(tmp_path, harm, ENCODED)) as reader,
        pytest.raises(ShardUntrustedError, match=words),
    ):
        _ = reader.images


def test_a_file_that_is_not_hdf5_is_refused(tmp_path):
    path, entry = stored_bytes(tmp_path, bytes(5000), ENCODED.write()[1], range(0))
    with (
        ShardReader(path, entry) as reader,
        pytest.raises(ShardUntrustedError, match="HDF5 cannot read"),
    ):
        _ = reader.labels


@pytest.mark.parametrize("codec", ["raw", "gzip", "blosc2", "png"])
def test_a_broken_structure_with_valid_digests_raises_nothing_but_shard_errors(tmp_path, codec):
    case = shard_case(2, (2, 2, 1), class_names=("a",), codec=codec)
    data, entry = case.write()
    start = entry.images_offset
    pixels = range(0) if start is None else range(start, start + case.images.nbytes)
    # The long runs of zeros are gaps that HDF5 never reads.
    told = [i for i in range(len(data)) if any(data[max(0, i - 8) : i + 1]) and i not in pixels]
    for offset in told:
        value = data[offset] ^ (0x01, 0x80, 0xFF)[offset % 3]
        broken = data[:offset] + bytes([value]) + data[offset + 1 :]
        with (
            ShardReader(*stored_bytes(tmp_path, broken, entry, pixels)) as reader,
            contextlib.suppress(ShardError),
        ):
            _ = reader.columns, reader.images
