"""A lossy shard has two digests: of what was encoded, and of what is read."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from materialize.audit.explanation import explain_sample
from materialize.audit.verification import verify_dataset
from materialize.builder import BuildOptions, build_dataset
from materialize.errors import ConfigError, DamageWarning, ShardDamagedError
from materialize.executor import Crew
from materialize.loader.opening import LoaderOptions
from materialize.manifest import Manifest, Totals, load_latest, shard_path
from materialize.recipe import Recipe
from materialize.shards.codecs import as_read, find_codec
from materialize.shards.reader import ShardReader
from materialize.shards.writer import ShardWriter
from materialize.sources import open_source
from tests.jobs import copied, shard_paths
from tests.loader_cases import build, equal, loader, pictures
from tests.shard_cases import shard_case

CODEC = "jpeg-80"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("lossy") / "dataset"
    build(directory, codec=CODEC)
    return directory


def test_the_content_digest_is_of_the_pixels_before_encoding():
    lossy, raw = (shard_case(codec=codec).write()[1] for codec in (CODEC, "raw"))
    assert lossy.content_sha256 == raw.content_sha256


def test_the_decoded_digest_is_of_the_pixels_as_they_are_read():
    """As if what is read had been stored as it is."""
    case = shard_case(40, (32, 32, 3), codec=CODEC)
    read = as_read(find_codec(CODEC), case.images)
    assert (read != case.images).any()
    raw = replace(case, spec=replace(case.spec, codec="raw"), images=read)
    assert case.write()[1].decoded_sha256 == raw.write()[1].content_sha256


def test_the_pixels_that_are_read_are_the_decoded_ones(tmp_path):
    case = shard_case(40, (32, 32, 3), codec=CODEC)
    with ShardReader(*case.store(tmp_path)) as reader:
        np.testing.assert_array_equal(reader.images, as_read(find_codec(CODEC), case.images))


def test_another_decoder_is_noticed(tmp_path):
    path, entry = shard_case(codec=CODEC).store(tmp_path)
    other = replace(entry, decoded_sha256="0" * 64)
    with ShardReader(path, other) as reader:
        reader.verify()
        with pytest.raises(ShardDamagedError, match="0000"):
            reader.verify_content()


@pytest.mark.parametrize("codec", ["raw", "zstd", "webp"])
def test_a_lossless_shard_has_one_digest_and_says_nothing_of_another(codec):
    """So that manifests of earlier releases keep their bytes."""
    entry = shard_case(codec=codec).write()[1]
    assert entry.reading_sha256 == entry.content_sha256
    assert "decoded_sha256" not in msgspec.to_builtins(entry)


def test_the_manifest_keeps_both_digests(dataset):
    manifest = load_latest(dataset)
    again = Manifest.from_bytes(manifest.to_bytes())
    assert again == manifest
    assert all(len(entry.decoded_sha256) == 64 for entry in again.shards)


def test_a_lossy_dataset_is_intact_down_to_its_pixels(dataset):
    """Regenerated images are encoded and decoded before they are compared."""
    report = verify_dataset(dataset, depth="pixels", source=open_source(pictures()))
    assert report.is_intact
    assert report.num_rows_compared == 240


def test_pixels_that_the_source_does_not_give_are_found(dataset, tmp_path):
    """In a shard that the manifest agrees with, but for its digests of other images."""
    directory = copied(dataset, tmp_path)
    manifest = load_latest(directory)
    entry, path = manifest.shards[0], shard_paths(directory)[0]
    with ShardReader(path, entry) as reader:
        columns, names, images = reader.columns, reader.class_names, reader.images
    with ShardWriter().shard(entry.spec, class_names=names, **columns) as shard:
        shard.images[...] = 255 - images
        image = shard.finish()
        path.write_bytes(image.data)
        shards = (image.entry(), *manifest.shards[1:])
    forged = replace(manifest, shards=shards, totals=Totals.of(shards))
    (directory / manifest.file_name).write_bytes(forged.to_bytes())
    report = verify_dataset(directory, depth="pixels", source=open_source(pictures()))
    (damage,) = (found for found in report.damages if found.kind == "pixels-differ")
    assert damage.rows.tolist() == list(range(entry.spec.num_rows))


def test_an_explanation_recomputes_what_is_read(dataset):
    explanation = explain_sample(dataset, "row:7", 1, source=open_source(pictures()))
    assert explanation.is_equal


def test_a_lossy_shard_is_made_again_in_memory_as_it_is_read(dataset, tmp_path):
    build(tmp_path / "hurt", codec=CODEC)
    entry = next(e for e in load_latest(tmp_path / "hurt").shards if e.spec.copy == 0)
    shard_path(tmp_path / "hurt", entry.file).unlink()
    options = LoaderOptions(threads=0, on_damage="regenerate", source=open_source(pictures()))
    with pytest.warns(DamageWarning, match="made again in memory"):
        found = list(loader(tmp_path / "hurt", options=options).epoch(0))
    assert equal(found, list(loader(dataset).epoch(0)))


@pytest.mark.parametrize("codec", ["png", "webp", "jpeg-90"])
def test_images_a_picture_cannot_hold_are_refused_before_anything_is_written(tmp_path, codec):
    images = np.random.default_rng(0).random((12, 8, 8, 3)).astype(np.float32)
    recipe = Recipe(copies=1, codec=codec, value_range=(0, 1))
    source = open_source((images, np.arange(12) % 2))
    with pytest.raises(
        ConfigError,
        match=rf"codec: {codec} cannot store images of 8×8×3 float32: .* use one of raw,",
    ):
        build_dataset(
            source, tmp_path / "out", "cifar10", recipe, options=BuildOptions(crew=Crew())
        )
    assert not list(tmp_path.glob("out/shards/*"))
