"""Objects beside pixels and masks in their stead: what is written is read, or is refused."""

from dataclasses import replace

import numpy as np
import pytest

from materialize.errors import ManifestError, ShardUntrustedError
from materialize.manifest import canonical_bytes, decode_canonical
from materialize.shards.layout import ShardEntry, ShardTargets
from materialize.shards.reader import ShardReader
from materialize.shards.writer import ShardWriter
from pipelines.objects import ObjectKinds, Objects
from tests.shard_cases import objects_case, shard_case

KINDS = ObjectKinds(("cell", "platelet"), ("left", "right"), (1, 0))
TARGETS = ShardTargets("ab" * 32, objects=KINDS)
CODECS = ("raw", "bitshuffle-zstd", "gzip", "png", "jpeg-90")


def case(**fields):
    return shard_case(objects=objects_case(5, KINDS), targets=TARGETS, **fields)


def same(one, other):
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        and getattr(one, name).dtype == getattr(other, name).dtype
        for name in Objects.__dataclass_fields__
    )


@pytest.mark.parametrize("codec", CODECS)
def test_objects_are_read_as_they_were_written(codec, tmp_path):
    made = case(codec=codec, shape=(32, 32, 3))
    path, entry = made.store(tmp_path)
    with ShardReader(path, entry) as reader:
        reader.verify()
        reader.verify_content()
        assert same(reader.objects, made.objects)
        assert reader.objects.labels.base is not None  # it looks into the mapping
    again = decode_canonical(canonical_bytes(entry), ShardEntry, "entry")
    assert again == entry


def test_images_without_any_object_are_no_special_case(tmp_path):
    made = shard_case(objects=Objects.none(5, 2), targets=TARGETS)
    path, entry = made.store(tmp_path)
    with ShardReader(path, entry) as reader:
        assert reader.objects.num_objects == 0
        assert len(reader.objects) == 5
        reader.verify_content()


def test_bytes_depend_on_the_spec_and_the_objects_alone():
    made = case()
    writer = ShardWriter()
    case(shape=(7, 9, 3)).write(writer)
    assert made.write(writer, step=1)[0] == made.write()[0]


def test_a_changed_annotation_gives_another_name_and_other_content():
    other = replace(TARGETS, digest="cd" * 32)
    specs = [shard_case(objects=objects_case(5, KINDS), targets=t).spec for t in (TARGETS, other)]
    assert specs[0].file_name() != specs[1].file_name()
    moved = objects_case(5, KINDS)
    moved.boxes[0, 0] += 1
    contents = [
        shard_case(objects=o, targets=TARGETS).write()[1].content_sha256
        for o in (objects_case(5, KINDS), moved)
    ]
    assert contents[0] != contents[1]


def test_a_mask_is_an_image_with_a_name_of_its_own(tmp_path):
    mask = ShardTargets("ab" * 32, mask_names=("nucleus", "cytoplasm"))
    made = shard_case(shape=(4, 3, 2), targets=mask, parameters="none", draw_words=())
    assert made.spec.file_name().startswith("copy-mask-g0001-train-r00003-c00002-")
    path, entry = made.store(tmp_path)
    with ShardReader(path, entry) as reader:
        assert reader.objects is None
        assert np.array_equal(reader.images, made.images)


@pytest.mark.parametrize(
    "fields",
    [
        {"targets": ShardTargets("ab" * 32)},
        {"targets": ShardTargets("ab" * 32, KINDS, ("mask",))},
        {"targets": ShardTargets("xy" * 32, KINDS)},
        {"targets": ShardTargets("ab" * 32, None, ("mask",))},  # of three channels
    ],
)
def test_an_impossible_spec_is_refused(fields):
    with pytest.raises(ValueError, match="targets must have"):
        shard_case(**fields)


@pytest.mark.parametrize(
    "harm",
    [
        lambda o: o.offsets.__setitem__(1, 40),
        lambda o: o.ring_offsets.__setitem__(1, -1),
        lambda o: o.point_offsets.__setitem__(-1, 10**15),
        lambda o: o.labels.__setitem__(0, 2),
        lambda o: o.labels.__setitem__(0, -1),
        lambda o: o.boxes.__setitem__((0, 0), np.nan),
    ],
)
def test_objects_that_contradict_themselves_are_not_handed_out(harm, tmp_path, monkeypatch):
    """The file has the digests of its manifest, as a stranger's would."""
    made = case()
    harm(made.objects)
    monkeypatch.setattr(Objects, "check", lambda *_: None)
    path, entry = made.store(tmp_path)
    monkeypatch.undo()
    with ShardReader(path, entry) as reader, pytest.raises(ShardUntrustedError, match="contradict"):
        reader.objects  # noqa: B018


@pytest.mark.parametrize(
    ("name", "found"),
    [("num_objects", 10**12), ("num_rings", -1), ("num_points", 2**62)],
)
def test_counts_that_do_not_fit_into_the_file_are_refused(name, found):
    _, entry = case().write()
    data = canonical_bytes(entry)
    counts = getattr(entry.objects, name)
    forged = data.replace(f'"{name}":{counts}'.encode(), f'"{name}":{found}'.encode())
    with pytest.raises(ManifestError, match="do not fit"):
        decode_canonical(forged, ShardEntry, "entry")


def test_other_counts_than_the_file_has_are_refused(tmp_path):
    path, entry = case().store(tmp_path)
    forged = replace(entry, objects=replace(entry.objects, num_points=1))
    with ShardReader(path, forged) as reader, pytest.raises(ShardUntrustedError, match="points"):
        reader.objects  # noqa: B018


def test_a_spec_without_targets_says_nothing_of_them():
    _, entry = shard_case().write()
    assert b"targets" not in canonical_bytes(entry)
    assert b"objects" not in canonical_bytes(entry)
