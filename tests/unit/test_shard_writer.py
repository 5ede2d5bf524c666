"""Shards are assembled in memory, without copies, to bytes that the spec alone decides."""

import hashlib
import io
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest

from materialize.errors import ConfigError
from materialize.shards.buffer import ShardBuffer
from materialize.shards.codecs import CODECS, find_codec
from materialize.shards.container import PIXEL_ALIGNMENT, write_container
from materialize.shards.digests import LEAF_BYTES, leaf_ranges
from materialize.shards.writer import ShardWriter
from tests.shard_cases import shard_case

NOT_PICTURES = [name for name, codec in CODECS.items() if not codec.is_picture]


class RealFile(io.FileIO):
    """A file on disk in the place of a `ShardBuffer`: HDF5 itself decides every byte."""

    def reset(self):
        self.truncate(0)

    def reserve(self, hole):
        pass


def written_by_hdf5(case, path):
    """The same shard written to the disk by libhdf5, pixels included."""
    with RealFile(path, "w+") as file:
        write_container(file, case.spec, case.columns, case.class_names, None)
    with h5py.File(path, "r+") as file:
        file["images"][...] = case.images
    return path.read_bytes()


@pytest.mark.parametrize("shape", [(4, 3, 3), (64, 64, 1), (33, 47, 3)])
def test_the_bytes_are_those_hdf5_writes_itself(tmp_path, shape):
    case = shard_case(7, shape)
    assert case.write()[0] == written_by_hdf5(case, tmp_path / "real.h5")


def test_float_pixels_are_written_as_hdf5_does(tmp_path):
    case = shard_case(7, (9, 8, 3), image_dtype="float32")
    assert case.write()[0] == written_by_hdf5(case, tmp_path / "real.h5")


@pytest.mark.parametrize("codec", NOT_PICTURES)
@pytest.mark.parametrize("parameters", ["none", "draws", "full"])
def test_plain_h5py_reads_back_what_was_rendered(codec, parameters):
    words = () if parameters == "none" else ("a", "b", "c")
    case = shard_case(40, (32, 32, 3), codec=codec, parameters=parameters, draw_words=words)
    with h5py.File(io.BytesIO(case.write()[0])) as file:
        assert sorted(file) == sorted([*case.columns, "images"])
        np.testing.assert_array_equal(file["images"][...], case.images)
        for name, expected in case.columns.items():
            np.testing.assert_array_equal(file[name][...], expected)
            assert file[name].dtype == expected.dtype


@pytest.mark.parametrize("codec", CODECS)
def test_bytes_do_not_depend_on_how_many_rows_are_rendered_at_a_time(codec):
    case = shard_case(40, (32, 32, 3), codec=codec)
    assert len({case.write(step=step)[0] for step in (1, 7, 40)}) == 1


@pytest.mark.parametrize("codec", CODECS)
def test_a_reused_buffer_shows_nothing_of_the_shard_before(codec):
    writer = ShardWriter()
    larger = shard_case(200, (32, 32, 3), class_names=[f"class {i}" for i in range(500)])
    replace(larger, images=np.full_like(larger.images, 255)).write(writer)
    small = shard_case(5, codec=codec)
    assert small.write(writer) == small.write()


def test_a_discarded_shard_does_not_show_in_the_next():
    writer = ShardWriter()
    case = shard_case()
    with writer.shard(case.spec, class_names=case.class_names, **case.columns) as shard:
        shard.images[...] = 255
    assert case.write(writer) == case.write()


@pytest.mark.parametrize("codec", CODECS)
def test_bytes_are_the_same_seconds_later(codec):
    case = shard_case(codec=codec)
    before = case.write()
    time.sleep(1.1)  # HDF5 would store whole seconds
    assert case.write() == before


def test_settings_of_h5py_do_not_change_the_bytes():
    case = shard_case()
    before = case.write()
    config = h5py.get_config()
    config.track_order = True
    try:
        assert case.write() == before
    finally:
        config.track_order = False


def test_pixels_are_rendered_straight_into_the_file():
    case = shard_case()
    with ShardWriter().shard(case.spec, class_names=case.class_names, **case.columns) as shard:
        rows = shard.images
        rows[...] = case.images
        image = shard.finish()
        assert np.shares_memory(rows, np.frombuffer(image.data, np.uint8))


def test_raw_pixels_begin_on_a_page():
    _, entry = shard_case(50, (32, 32, 3)).write()
    assert entry.images_offset % PIXEL_ALIGNMENT == 0


def test_the_file_digest_is_what_sha256sum_prints():
    data, entry = shard_case().write()
    assert entry.file_sha256 == hashlib.sha256(data).hexdigest()


def test_leaves_cover_every_byte_once_and_begin_with_the_pixels():
    pixels = range(5000, 5000 + 3 * LEAF_BYTES + 17)
    leaves = leaf_ranges(pixels.stop + 50, pixels)
    assert [leaf.start for leaf in leaves[1:]] == [leaf.stop for leaf in leaves[:-1]]
    assert (leaves[0].start, leaves[-1].stop) == (0, pixels.stop + 50)
    assert leaves[1].start == pixels.start
    assert leaves[4].stop == pixels.stop


def test_each_leaf_digest_is_that_of_its_bytes():
    data, entry = shard_case(400, (32, 32, 3)).write()
    start = entry.images_offset
    ranges = leaf_ranges(len(data), range(start, start + entry.images_stored_bytes))
    found = [hashlib.sha256(data[leaf.start : leaf.stop]).hexdigest() for leaf in ranges]
    assert list(entry.leaves) == found
    assert len(ranges) > 3


@pytest.mark.parametrize("shape", [(4, 3, 3), (640, 640, 3)])
def test_the_content_digest_is_the_same_for_every_codec(shape):
    digests = {shard_case(3, shape, codec=codec).write()[1].content_sha256 for codec in CODECS}
    assert len(digests) == 1


@pytest.mark.parametrize("name", ["sample_ids", "labels", "draws", "images"])
def test_the_content_digest_depends_on_every_array(name):
    case = shard_case()
    columns = {key: value.copy() for key, value in case.columns.items()}
    images = case.images.copy()
    target = images if name == "images" else columns[name]
    target.flat[-1] += 1
    changed = replace(case, columns=columns, images=images)
    if name in ("sample_ids", "labels"):
        from materialize.shards.layout import rows_digest

        digest = rows_digest(columns["sample_ids"], columns["labels"], case.class_names)
        changed = replace(changed, spec=replace(case.spec, rows_digest=digest))
    assert changed.write()[1].content_sha256 != case.write()[1].content_sha256


def test_everything_beside_the_pixels_is_at_most_five_percent_of_small_grey_images():
    case = shard_case(10_000, (28, 28, 1), draw_words=("a", "b"))
    _, entry = case.write(step=10_000)
    beside = entry.num_bytes - entry.images_stored_bytes
    assert beside <= 0.05 * entry.images_stored_bytes


def test_a_row_that_was_not_rendered_is_named():
    case = shard_case()
    with ShardWriter().shard(case.spec, class_names=case.class_names, **case.columns) as shard:
        shard.rows(0, 2)
        shard.rows(3, 5)
        with pytest.raises(RuntimeError, match=r"1 of 5 rows .* the first is row 2"):
            shard.finish()


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (0, 6), (3, 2)])
def test_rows_outside_the_shard_are_refused(start, stop):
    case = shard_case()
    opened = ShardWriter().shard(case.spec, class_names=case.class_names, **case.columns)
    with opened as shard, pytest.raises(IndexError, match=r"\[0, 5\)"):
        shard.rows(start, stop)


def test_a_shard_is_finished_once():
    case = shard_case()
    with ShardWriter().shard(case.spec, class_names=case.class_names, **case.columns) as shard:
        shard.images[...] = case.images
        shard.finish()
        with pytest.raises(RuntimeError, match="finished already"):
            shard.finish()


def test_one_writer_has_one_shard_open():
    case = shard_case()
    writer = ShardWriter()
    again = writer.shard(case.spec, class_names=case.class_names, **case.columns)
    with (
        writer.shard(case.spec, class_names=case.class_names, **case.columns),
        pytest.raises(RuntimeError, match="is open"),
        again,
    ):
        pass
    assert case.write(writer) == case.write()


def refused(case, match, **changes):
    given = {"class_names": case.class_names, **case.columns, **changes}
    with pytest.raises(ValueError, match=match), ShardWriter().shard(case.spec, **given):
        pass


def test_rows_that_are_not_those_of_the_spec_are_refused():
    case = shard_case()
    refused(case, "rows|ids, labels", labels=case.columns["labels"][::-1])


def test_other_class_names_than_those_of_the_spec_are_refused():
    refused(shard_case(), "class names", class_names=("a", "b", "c"))


def test_a_missing_column_is_refused():
    refused(shard_case(), "has the columns", draws=None)


def test_a_column_of_another_type_is_refused():
    case = shard_case()
    refused(case, "labels must be .* int32", labels=case.columns["labels"].astype(np.int64))


def test_a_column_of_another_length_is_refused():
    case = shard_case()
    refused(case, "draws must be", draws=case.columns["draws"][:-1])


def test_an_unknown_codec_names_the_nearest():
    with pytest.raises(ConfigError, match="'zstd'"):
        find_codec("zst")


def test_class_names_of_any_length_fit():
    names = [f"a rather long class name, number {i}" for i in range(20_000)]
    data, _ = shard_case(class_names=names).write()
    with h5py.File(io.BytesIO(data)) as file:
        assert len(file.attrs["class_names"]) > 1 << 16


def test_the_buffer_reads_as_zeros_where_nothing_was_written():
    buffer = ShardBuffer(4)
    buffer.seek(10)
    buffer.write(memoryview(b"abc"))
    buffer.truncate(16)
    assert bytes(buffer.view()) == bytes(10) + b"abc" + bytes(3)


def test_a_truncated_buffer_forgets_what_was_cut_off():
    buffer = ShardBuffer()
    buffer.write(memoryview(b"abcdef"))
    buffer.truncate(2)
    buffer.truncate(6)
    assert bytes(buffer.view()) == b"ab\0\0\0\0"


@pytest.mark.parametrize(
    ("fields", "match"),
    [
        ({"generation": 0}, "generation"),
        ({"num_rows": 0}, "num_rows"),
        ({"run": -1}, "run"),
        ({"image_shape": (4, 0, 3)}, "image_shape"),
        ({"split": "../up"}, "split"),
        ({"copy": -1}, "a copy has"),
        ({"recipe": ""}, "a copy has"),
        ({"kind": "original"}, "an original has"),
        ({"draw_words": ()}, "draw_words"),
        ({"parameters": "none"}, "draw_words"),
        ({"rows_digest": "x"}, "rows_digest"),
    ],
)
def test_an_impossible_spec_is_refused(fields, match):
    with pytest.raises(ValueError, match=match):
        replace(shard_case().spec, **fields)


def test_the_file_name_says_what_is_inside():
    spec = shard_case().spec
    expected = f"copy-g0001-train-r00003-c00002-{spec.digest()[:16]}.h5"
    assert spec.file_name() == expected


def test_an_original_has_no_copy_in_its_name():
    spec = replace(
        shard_case().spec, kind="original", copy=-1, recipe="", parameters="none", draw_words=()
    )
    assert spec.file_name() == f"original-g0001-train-r00003-{spec.digest()[:16]}.h5"
