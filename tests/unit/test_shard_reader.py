"""A reader believes nothing that the manifest's digests do not cover."""

import os
import pickle
from dataclasses import replace

import numpy as np
import pytest

from materialize.errors import ShardDamagedError, ShardError, ShardMissingError
from materialize.shards.codecs import CODECS
from materialize.shards.digests import LEAF_BYTES
from materialize.shards.reader import ShardReader
from tests.shard_cases import shard_case

LOSSLESS = [name for name, codec in CODECS.items() if not codec.is_lossy]


def read_everything(path, entry):
    with ShardReader(path, entry) as reader:
        _ = reader.columns, reader.class_names, reader.images


def overwrite(path, offset, value):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes([value]))


@pytest.mark.parametrize("codec", LOSSLESS)
def test_what_was_written_is_read(tmp_path, codec):
    case = shard_case(40, (32, 32, 3), codec=codec)
    with ShardReader(*case.store(tmp_path)) as reader:
        np.testing.assert_array_equal(reader.images, case.images)
        np.testing.assert_array_equal(reader.rows(3, 9), case.images[3:9])
        np.testing.assert_array_equal(reader.labels, case.columns["labels"])
        np.testing.assert_array_equal(reader.sample_ids, case.columns["sample_ids"])
        np.testing.assert_array_equal(reader.draws, case.columns["draws"])
        assert reader.parameters is None
        assert reader.class_names == case.class_names
        assert reader.spec == case.spec


@pytest.mark.parametrize("codec", CODECS)
def test_an_undamaged_shard_verifies(tmp_path, codec):
    with ShardReader(*shard_case(codec=codec).store(tmp_path)) as reader:
        reader.verify()
        reader.verify_content()
        assert reader.is_verified


@pytest.mark.parametrize("codec", CODECS)
def test_every_flipped_byte_is_detected_by_reading(tmp_path, codec):
    case = shard_case(2, (2, 2, 1), class_names=("a",), codec=codec)
    path, entry = case.store(tmp_path)
    data = path.read_bytes()
    undetected = []
    for offset, value in enumerate(data):
        overwrite(path, offset, value ^ 0x40)
        try:
            read_everything(path, entry)
            undetected.append(offset)
        except ShardDamagedError:
            pass
        overwrite(path, offset, value)
    assert undetected == []
    read_everything(path, entry)


def test_every_flipped_byte_is_detected_by_verifying(tmp_path):
    path, entry = shard_case(2, (2, 2, 1)).store(tmp_path)
    for offset, value in enumerate(path.read_bytes()):
        overwrite(path, offset, value ^ 1)
        with ShardReader(path, entry) as reader, pytest.raises(ShardDamagedError):
            reader.verify()
        overwrite(path, offset, value)


@pytest.mark.parametrize("change", [-1, 1, -4096])
def test_another_length_is_detected_when_opening(tmp_path, change):
    path, entry = shard_case().store(tmp_path)
    os.truncate(path, entry.num_bytes + change)
    with pytest.raises(ShardDamagedError, match=rf"its length should be {entry.num_bytes}"):
        ShardReader(path, entry)


def test_an_empty_file_is_a_damaged_one(tmp_path):
    path, entry = shard_case().store(tmp_path)
    path.write_bytes(b"")
    with pytest.raises(ShardDamagedError, match="is 0"):
        ShardReader(path, entry)


def test_a_missing_shard_is_also_a_file_not_found(tmp_path):
    _, entry = shard_case().write()
    with pytest.raises(ShardMissingError, match="materialize repair") as caught:
        ShardReader(tmp_path / entry.file, entry)
    assert isinstance(caught.value, FileNotFoundError)


def test_a_damaged_leaf_names_its_rows(tmp_path):
    path, entry = shard_case(1000, (32, 32, 3)).store(tmp_path)
    row_bytes = 32 * 32 * 3
    overwrite(path, entry.images_offset + LEAF_BYTES + 5, 0)
    first, last = LEAF_BYTES // row_bytes, 2 * LEAF_BYTES // row_bytes
    with ShardReader(path, entry) as reader:
        reader.rows(0, first)
        with pytest.raises(ShardDamagedError, match=f"rows {first} to {last} ") as caught:
            reader.rows(first, first + 1)
    assert caught.value.facts["rows"] == (first, last + 1)
    assert pickle.loads(pickle.dumps(caught.value)).facts == caught.value.facts


def test_verifying_finds_the_damaged_leaf(tmp_path):
    path, entry = shard_case(1000, (32, 32, 3)).store(tmp_path)
    overwrite(path, entry.images_offset + 2 * LEAF_BYTES, 0)
    with ShardReader(path, entry) as reader, pytest.raises(ShardDamagedError, match="its pixels"):
        reader.verify()


def test_damage_to_the_structure_affects_all_rows(tmp_path):
    path, entry = shard_case().store(tmp_path)
    overwrite(path, 100, 0)
    with ShardReader(path, entry) as reader, pytest.raises(ShardDamagedError, match="rows 0 to 4"):
        _ = reader.labels


def test_only_the_leaves_of_the_rows_are_hashed(tmp_path, monkeypatch):
    path, entry = shard_case(1000, (32, 32, 3)).store(tmp_path)
    hashed = []
    import materialize.shards.reader as module

    original = module.sha256_hex
    monkeypatch.setattr(module, "sha256_hex", lambda data: hashed.append(1) or original(data))
    with ShardReader(path, entry) as reader:
        reader.rows(0, 10)
        reader.rows(5, 20)
    assert len(hashed) == 1


def test_raw_pixels_are_a_read_only_view_of_the_mapping(tmp_path):
    with ShardReader(*shard_case().store(tmp_path)) as reader:
        images = reader.images
    assert not images.flags.writeable
    assert not images.flags.owndata


def test_encoded_pixels_cannot_be_mapped(tmp_path):
    with (
        ShardReader(*shard_case(codec="zstd").store(tmp_path)) as reader,
        pytest.raises(TypeError, match="zstd"),
    ):
        _ = reader.unchecked_images


def test_a_stamp_of_a_verified_file_saves_the_hashing(tmp_path):
    path, entry = shard_case().store(tmp_path)
    with ShardReader(path, entry) as reader:
        reader.verify()
        stamp = reader.stamp
    with ShardReader(path, entry, verified=stamp) as reader:
        assert reader.is_verified


def test_the_stamp_of_another_state_of_the_file_saves_nothing(tmp_path):
    path, entry = shard_case().store(tmp_path)
    with ShardReader(path, entry) as reader:
        stamp = reader.stamp
    os.utime(path, ns=(0, stamp.mtime_ns + 1))
    with ShardReader(path, entry, verified=stamp) as reader:
        assert not reader.is_verified


@pytest.mark.parametrize(("start", "stop"), [(-1, 2), (0, 6), (3, 2)])
def test_rows_outside_the_shard_are_refused(tmp_path, start, stop):
    with (
        ShardReader(*shard_case().store(tmp_path)) as reader,
        pytest.raises(IndexError, match=r"\[0, 5\)"),
    ):
        reader.rows(start, stop)


def test_a_content_digest_that_does_not_fit_is_detected(tmp_path):
    path, entry = shard_case(codec="zstd").store(tmp_path)
    wrong = replace(entry, content_sha256="0" * 64)
    with ShardReader(path, wrong) as reader, pytest.raises(ShardDamagedError):
        reader.verify_content()


def test_a_manifest_with_too_few_leaves_is_refused(tmp_path):
    path, entry = shard_case().store(tmp_path)
    with pytest.raises(ShardError):
        ShardReader(path, replace(entry, leaves=entry.leaves[:-1]))
