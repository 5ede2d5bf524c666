"""A dataset in another codec or storage mode is the one that a build would have made."""

import shutil

import pytest

from materialize import transcoding
from materialize.audit.restoration import repair_dataset
from materialize.audit.verification import verify_dataset
from materialize.builder import build_dataset
from materialize.errors import (
    BuildFailedError,
    BuildIncompleteError,
    ConfigError,
    PlanConflictError,
    SourceError,
    StorageError,
)
from materialize.executor import Crew
from materialize.extension import extend_dataset
from materialize.manifest import load_latest, shard_path
from materialize.plans import plan_name
from materialize.production import BuildOptions
from materialize.recipe import Recipe
from materialize.transcoding import transcode_dataset
from pipelines import from_dict
from tests.dataset_states import content_digests, shards_of, state
from tests.jobs import flip_byte, photos, shard_paths

LOSSLESS = ("raw", "bitshuffle-zstd", "zstd", "gzip")
CROP = from_dict({"step": [{"transform": "crop", "height": 8, "width": 8}]})
"""Originals are larger than copies, so runs are cut for what is stored."""


def make(place, source, *, pipeline="cifar10", **recipe):
    build_dataset(source, place, pipeline, Recipe(copies=3, shard_bytes=4096, **recipe))
    return place


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Twenty-two pictures; four to a shard."""
    return photos(tmp_path_factory.mktemp("source") / "photos", 22)


@pytest.fixture
def gone(tmp_path, source):
    """The same pictures, in a place from which they vanish when it is called."""
    moved = shutil.copytree(source, tmp_path / "moved")

    def vanish():
        shutil.rmtree(moved)

    vanish.source = moved
    return vanish


@pytest.mark.parametrize("codec", LOSSLESS[1:])
def test_another_codec_gives_the_shards_of_a_build_in_it_without_the_source(
    tmp_path, source, gone, codec
):
    out = make(tmp_path / "out", gone.source, originals=True)
    gone()
    report = transcode_dataset(out, codec=codec)
    assert not report.is_from_source
    assert shards_of(out) == shards_of(make(tmp_path / "direct", source, codec=codec,
                                            originals=True))  # fmt: skip
    assert load_latest(out).codec == codec


def test_contents_are_the_same_in_every_lossless_codec(tmp_path, source):
    out = make(tmp_path / "out", source)
    before = content_digests(out)
    for codec in (*LOSSLESS[1:], "raw"):
        transcode_dataset(out, codec=codec)
        assert content_digests(out) == before
    assert load_latest(out).number == 5


@pytest.mark.parametrize("pipeline", ["cifar10", CROP], ids=["same size", "crop"])
@pytest.mark.parametrize("originals", [False, True])
def test_recipe_to_pixels_and_back_and_again_is_a_direct_build(
    tmp_path, source, pipeline, originals
):
    out = make(tmp_path / "out", source, pipeline=pipeline, storage="recipe", originals=originals)
    direct = make(tmp_path / "direct", source, pipeline=pipeline, originals=originals)
    for storage in ("pixels", "recipe", "pixels"):
        transcode_dataset(out, storage=storage)
    assert shards_of(out) == shards_of(direct)
    assert verify_dataset(out, depth="pixels").is_intact


@pytest.mark.parametrize("pipeline", ["cifar10", CROP], ids=["same size", "crop"])
def test_a_prefix_becomes_pixels_without_the_source(tmp_path, source, gone, pipeline):
    """The prefix boundary is exact."""
    out = make(tmp_path / "out", gone.source, pipeline=pipeline, storage="prefix", codec="zstd")
    gone()
    report = transcode_dataset(out, storage="pixels", codec="raw")
    assert not report.is_from_source
    assert shards_of(out) == shards_of(make(tmp_path / "direct", source, pipeline=pipeline))


@pytest.mark.parametrize("pipeline", ["cifar10", CROP], ids=["same size", "crop"])
def test_pixels_with_originals_become_a_prefix_without_the_source(tmp_path, source, gone, pipeline):
    out = make(tmp_path / "out", gone.source, pipeline=pipeline, originals=True)
    gone()
    transcode_dataset(out, storage="prefix")
    direct = make(tmp_path / "direct", source, pipeline=pipeline, storage="prefix")
    assert shards_of(out) == shards_of(direct)


def test_originals_that_stand_are_not_written_again(tmp_path, source):
    out = make(tmp_path / "out", source, originals=True)
    assert transcode_dataset(out, storage="prefix").num_written == 0


def test_pixels_without_originals_become_a_prefix_from_the_source(tmp_path, source):
    out = make(tmp_path / "out", source)
    assert transcode_dataset(out, storage="prefix").is_from_source
    assert shards_of(out) == shards_of(make(tmp_path / "direct", source, storage="prefix"))


@pytest.mark.parametrize(
    ("recipe", "wanted"),
    [
        ({"storage": "recipe"}, {"storage": "pixels"}),
        ({}, {"storage": "prefix"}),
        ({}, {"storage": "recipe"}),
        ({"codec": "jpeg-90"}, {"codec": "raw"}),
        ({"codec": "jpeg-90", "storage": "prefix"}, {"storage": "pixels"}),
    ],
)
def test_what_takes_the_source_is_refused_without_it(tmp_path, gone, recipe, wanted):
    out = make(tmp_path / "out", gone.source, **recipe)
    gone()
    before = state(out)
    with pytest.raises(SourceError, match="Nothing was changed"):
        transcode_dataset(out, **wanted)
    assert state(out) == before


def test_an_image_that_is_gone_is_named_before_anything_is_written(tmp_path, gone):
    out = make(tmp_path / "out", gone.source, storage="recipe")
    before = state(out)
    (gone.source / "a" / "004.png").unlink()
    with pytest.raises(SourceError, match=r"a/004\.png"):
        transcode_dataset(out, storage="pixels")
    assert state(out) == before


def test_a_lossy_dataset_becomes_what_its_recipe_says(tmp_path, source):
    """Not what its pictures decode to."""
    out = make(tmp_path / "out", source, codec="jpeg-90")
    assert transcode_dataset(out, codec="raw").is_from_source
    assert shards_of(out) == shards_of(make(tmp_path / "direct", source))


def test_a_lossless_dataset_becomes_lossy_without_the_source(tmp_path, source, gone):
    out = make(tmp_path / "out", gone.source)
    before = content_digests(out)
    gone()
    transcode_dataset(out, codec="jpeg-90")
    assert content_digests(out) == before
    assert shards_of(out) == shards_of(make(tmp_path / "direct", source, codec="jpeg-90"))


def test_what_it_has_already_is_refused_and_nothing_changes(tmp_path, source):
    out = make(tmp_path / "out", source)
    before = state(out)
    for wanted in ({}, {"codec": "raw"}, {"storage": "pixels", "codec": "raw"}):
        with pytest.raises(ConfigError, match="pixels in raw"):
            transcode_dataset(out, **wanted)
    assert state(out) == before


def test_unknown_codecs_modes_and_parts_are_refused(tmp_path, source):
    out = make(tmp_path / "out", source)
    before = state(out)
    for wanted in ({"codec": "zip"}, {"storage": "shards"}):
        with pytest.raises(ConfigError):
            transcode_dataset(out, **wanted)
    with pytest.raises(ConfigError, match="one piece"):
        transcode_dataset(out, codec="zstd", options=BuildOptions(part=(1, 2)))
    assert state(out) == before


def test_a_damaged_shard_is_noticed_and_nothing_is_published(tmp_path, source):
    out = make(tmp_path / "out", source)
    victim = shard_paths(out)[3]
    flip_byte(victim, victim.stat().st_size // 2)
    with pytest.raises(BuildFailedError, match="damaged"):
        transcode_dataset(out, codec="zstd")
    assert load_latest(out).number == 1
    repair_dataset(out)
    transcode_dataset(out, codec="zstd")
    assert verify_dataset(out, depth="pixels").is_intact


def test_other_content_is_noticed_and_nothing_is_published(tmp_path, source, monkeypatch):
    """Were a codec to lose something, or the pixels to be mixed up on the way."""
    out = make(tmp_path / "out", source)
    monkeypatch.setattr("materialize.stock.Stock.fill", lambda *given, **_: given[3].fill(7))
    with pytest.raises(BuildFailedError, match="expected the content of"):
        transcode_dataset(out, codec="zstd")
    assert load_latest(out).number == 1


def test_old_shards_stay_for_readers_of_the_manifest_before(tmp_path, source):
    out = make(tmp_path / "out", source)
    first, before = load_latest(out), shards_of(out)
    report = transcode_dataset(out, codec="zstd")
    assert {name: shard_path(out, name).read_bytes() for name in before} == before
    assert report.superseded_bytes == first.totals.num_bytes
    assert load_latest(out, pinned=first.digest()) == first


def test_every_generation_is_transcoded(tmp_path, source):
    photographs = shutil.copytree(source, tmp_path / "growing")
    out = make(tmp_path / "out", photographs)
    photos(photographs, 9, first=50)
    extend_dataset(out)
    before = content_digests(out)
    transcode_dataset(out, codec="zstd", options=BuildOptions(crew=Crew(2, "threading")))
    assert content_digests(out) == before
    extend_dataset(out, copies=4)
    assert {entry.spec.codec for entry in load_latest(out).shards} == {"zstd"}
    assert verify_dataset(out, depth="pixels").is_intact


def test_a_transcode_that_ran_out_of_time_goes_on(tmp_path, source, monkeypatch):
    out = make(tmp_path / "out", source)
    late = iter([False, False, True])
    with monkeypatch.context() as patch:
        patch.setattr("materialize.job._is_late", lambda _: next(late, True))
        with pytest.raises(BuildIncompleteError):
            transcode_dataset(out, codec="zstd", options=BuildOptions(max_seconds=1000))
    report = transcode_dataset(out, codec="zstd")
    assert 0 < report.num_written < load_latest(out).totals.num_shards


def half_done(out, monkeypatch):
    """A transcode that was begun and did not end."""
    late = iter([False, False, True])
    with monkeypatch.context() as patch:
        patch.setattr("materialize.job._is_late", lambda _: next(late, True))
        with pytest.raises(BuildIncompleteError):
            transcode_dataset(out, codec="zstd", options=BuildOptions(max_seconds=1000))


def test_another_command_does_not_go_on_with_an_unfinished_transcode(tmp_path, source, monkeypatch):
    out = make(tmp_path / "out", source)
    half_done(out, monkeypatch)
    before = state(out)
    with pytest.raises(PlanConflictError, match="transcode"):
        extend_dataset(out)
    with pytest.raises(PlanConflictError, match="codec"):
        transcode_dataset(out, codec="gzip")
    assert state(out) == before
    (out / plan_name(2)).unlink()
    transcode_dataset(out, codec="gzip")
    assert verify_dataset(out).is_intact


def test_an_unfinished_extension_is_not_taken_over(tmp_path, source):
    out = make(tmp_path / "out", source)
    extend_dataset(out, copies=4, options=BuildOptions(part=(1, 2)))
    with pytest.raises(PlanConflictError, match="copies"):
        transcode_dataset(out, codec="zstd")


def test_the_first_build_command_does_not_bring_back_what_was_superseded(tmp_path, source):
    out = make(tmp_path / "out", source)
    transcode_dataset(out, codec="zstd")
    before = state(out)
    with pytest.raises(PlanConflictError, match="transcode"):
        make(out, source)
    assert state(out) == before


def test_what_does_not_fit_the_disk_is_refused_first(tmp_path, source, monkeypatch):
    out = make(tmp_path / "out", source)
    before = state(out)

    def refuse(_directory, work):
        assert sum(len(task.specs) for task in work) == load_latest(out).totals.num_shards
        raise StorageError("no room", {})

    monkeypatch.setattr(transcoding, "check_room", refuse)
    with pytest.raises(StorageError):
        transcode_dataset(out, codec="zstd")
    assert state(out) == before


def test_workers_of_any_kind_give_the_same_bytes(tmp_path, source):
    found = []
    for crew in (Crew(), Crew(2, "loky")):
        out = make(tmp_path / f"{crew.workers}", source)
        transcode_dataset(out, codec="zstd", options=BuildOptions(crew=crew))
        found.append(load_latest(out).digest())
    assert len(set(found)) == 1
