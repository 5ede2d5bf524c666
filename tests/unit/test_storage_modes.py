"""Datasets of pixels, of prefixes and of a recipe: what each stores, and who reads it how."""

import json

import numpy as np
import pytest
from PIL import Image

import materialize
from materialize.audit.explanation import explain_sample
from materialize.audit.proof import prove
from materialize.audit.restoration import repair_dataset
from materialize.audit.verification import verify_dataset
from materialize.builder import build_dataset
from materialize.cli import main
from materialize.errors import ConfigError
from materialize.extension import extend_dataset
from materialize.loader.augmenting import AugmentingLoader, PrefixLoader
from materialize.loader.opening import LoaderOptions, OpenDataset
from materialize.loader.stream import StreamingLoader
from materialize.manifest import load_latest
from materialize.planning import joined
from materialize.plans import read_plan
from materialize.population.identity import byte_order
from materialize.production import BuildOptions
from materialize.recipe import Recipe
from materialize.transcoding import transcode_dataset
from tests.dataset_states import shards_of, stored_images
from tests.image_files import png_bytes, write_tree
from tests.jobs import photos
from tests.loader_cases import SEED, build, equal, pictures

PLAIN = LoaderOptions(threads=0)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The same pictures in every mode."""
    root = tmp_path_factory.mktemp("modes")
    for mode in ("pixels", "prefix", "recipe"):
        build(root / mode, storage=mode)
    return root


def test_a_prefix_stores_the_originals_and_no_copy(built):
    found = {(e.spec.kind, e.spec.split) for e in load_latest(built / "prefix").shards}
    assert found == {("original", "train")}


def test_a_recipe_stores_no_image(built):
    assert load_latest(built / "recipe").shards == ()
    assert not list((built / "recipe" / "shards").iterdir())


def test_a_prefix_stores_the_originals_of_every_split(tmp_path):
    images, labels = pictures(20)
    source = {"train": (images[:12], labels[:12]), "val": (images[12:], labels[12:])}
    build(tmp_path / "out", source, storage="prefix")
    assert {split for _, split, _ in stored_images(tmp_path / "out")} == {"train", "val"}


def test_plan_and_manifest_say_the_mode(built):
    for mode in ("prefix", "recipe"):
        assert load_latest(built / mode).storage == mode
        assert read_plan(built / mode, 1).recipe.storage == mode


def test_a_dataset_of_pixels_has_the_files_it_had_before_there_were_modes(built):
    """Otherwise nobody who has a dataset could compare its digest any more."""
    manifest = json.loads((built / "pixels" / "manifest-000001.json").read_bytes())
    plan = json.loads((built / "pixels" / "plan-000001.json").read_bytes())
    assert "storage" not in manifest
    assert {"storage", "removed"}.isdisjoint({*plan, *plan["recipe"]})
    assert "cuts" not in plan["populations"][0]


def test_a_prefix_gives_the_batches_of_stored_copies(built):
    stored = StreamingLoader(built / "pixels", batch_size=8, seed=3, options=PLAIN)
    made = PrefixLoader(built / "prefix", batch_size=8, seed=3, options=PLAIN)
    for epoch in (0, 2):
        assert equal(stored.epoch(epoch), made.epoch(epoch))


def test_a_recipe_gives_the_batches_of_stored_copies_from_its_source(built):
    stored = StreamingLoader(built / "pixels", batch_size=8, seed=3, options=PLAIN)
    made = AugmentingLoader(
        pictures(), OpenDataset.open(built / "recipe").standing.pipeline, batch_size=8, seed=3,
        augmentation_seed=SEED, options=PLAIN,
    )  # fmt: skip
    assert equal(stored.epoch(1), made.epoch(1))


def test_generations_are_joined_with_what_was_done_to_their_images(tmp_path):
    tree = {"a/0.png": png_bytes(0, (16, 16)), "b/1.png": png_bytes(1, (16, 16))}
    source = write_tree(tmp_path / "source", tree)
    build_dataset(source, tmp_path / "out", "cifar10", Recipe(copies=1, storage="recipe"))
    with Image.open(source / "a" / "0.png") as image:
        image.transpose(Image.Transpose.ROTATE_90).convert("P").save(source / "a" / "2.png")
    extend_dataset(tmp_path / "out")
    populations = OpenDataset.open(tmp_path / "out").standing.populations
    counts = [population.conversion_counts() for population in populations]
    assert counts[0] == {}
    assert joined(populations).conversion_counts() == counts[1] != {}
    ids = np.concatenate([population.ids for population in populations])
    assert np.array_equal(joined(populations).ids, ids[byte_order(ids)])


def test_a_recipe_that_grew_gives_its_own_images_from_the_source(tmp_path):
    """Not those that came to the source since."""
    source = photos(tmp_path / "source")
    recipe = Recipe(copies=2, storage="recipe", seed=SEED)
    build_dataset(source, tmp_path / "out", "cifar10", recipe)
    photos(source, 6, first=40)
    extend_dataset(tmp_path / "out")
    for storage in ("pixels", "recipe"):
        transcode_dataset(tmp_path / "out", storage=storage)
        photos(source, 1, first=90)
    opened = OpenDataset.open(tmp_path / "out")
    found, population = opened.with_source()
    made = AugmentingLoader(
        found, opened.standing.pipeline, batch_size=8, seed=3, augmentation_seed=SEED,
        population=population, options=PLAIN,
    )  # fmt: skip
    pinned = load_latest(tmp_path / "out").parent
    stored = StreamingLoader(tmp_path / "out", batch_size=8, seed=3, pinned=pinned, options=PLAIN)
    assert equal(stored.epoch(1), made.epoch(1))


@pytest.mark.parametrize(
    ("mode", "named"), [("recipe", "AugmentingLoader"), ("prefix", "PrefixLoader")]
)
def test_streaming_what_is_not_stored_names_who_makes_it(built, mode, named):
    with pytest.raises(ConfigError, match=f"{named}.*transcode"):
        StreamingLoader(built / mode, batch_size=8)


def test_a_prefix_of_a_recipe_is_refused_with_the_way_out(built):
    with pytest.raises(ConfigError, match="transcode"):
        PrefixLoader(built / "recipe", batch_size=8)


def test_a_prefix_streams_its_untouched_images(built):
    batches = StreamingLoader(built / "prefix", batch_size=8, copies=(-1,), options=PLAIN)
    same = StreamingLoader(built / "pixels", batch_size=8, copies=(-1,), options=PLAIN)
    assert equal(batches.epoch(0), same.epoch(0))


def test_levels_are_standardised_without_a_stored_copy(built):
    unit = OpenDataset.open(built / "prefix").standardizer("featurewise")
    made = PrefixLoader(built / "prefix", batch_size=8, standardizer=unit, options=PLAIN)
    assert next(iter(made.epoch(0))).images.dtype == np.float32


@pytest.mark.parametrize("mode", ["prefix", "recipe"])
@pytest.mark.parametrize("depth", ["structure", "hashes", "pixels"])
def test_every_mode_is_verified(tmp_path, mode, depth):
    source = photos(tmp_path / "source")
    build_dataset(source, tmp_path / "out", "cifar10", Recipe(copies=2, storage=mode))
    assert verify_dataset(tmp_path / "out", depth=depth).is_intact


def test_a_recipe_is_verified_against_its_sources(tmp_path):
    """They are all that it has."""
    source = photos(tmp_path / "source")
    build_dataset(source, tmp_path / "out", "cifar10", Recipe(copies=2, storage="recipe"))
    (source / "a" / "004.png").unlink()
    found = verify_dataset(tmp_path / "out", depth="pixels")
    assert [record.locator for record in found.lost] == ["a/004.png"]


def test_a_lost_population_of_a_recipe_is_recovered(tmp_path):
    source = photos(tmp_path / "source")
    build_dataset(source, tmp_path / "out", "cifar10", Recipe(copies=2, storage="recipe"))
    (file,) = (tmp_path / "out").glob("population-*")
    whole = file.read_bytes()
    file.unlink()
    assert repair_dataset(tmp_path / "out").is_whole
    assert file.read_bytes() == whole


@pytest.mark.parametrize("mode", ["prefix", "recipe"])
def test_a_copy_that_is_not_stored_is_explained_from_the_source(tmp_path, mode):
    source = photos(tmp_path / "source")
    for storage in (mode, "pixels"):
        build_dataset(source, tmp_path / storage, "cifar10", Recipe(copies=2, storage=storage))
    made = explain_sample(tmp_path / mode, "a/004.png", 1)
    stored = explain_sample(tmp_path / "pixels", "a/004.png", 1)
    assert np.array_equal(made.recomputed, stored.stored)
    assert made.steps == stored.steps
    assert not made.is_damaged
    assert made.shard is None
    assert "made at reading" in "\n".join(made.lines())


def test_a_stored_prefix_is_explained_as_stored(tmp_path):
    source = photos(tmp_path / "source")
    build_dataset(source, tmp_path / "out", "cifar10", Recipe(copies=2, storage="prefix"))
    assert explain_sample(tmp_path / "out", "a/004.png", -1).is_equal


def test_more_copies_of_a_recipe_are_a_number(tmp_path):
    source = photos(tmp_path / "source")
    build_dataset(source, tmp_path / "out", "cifar10", Recipe(copies=2, storage="recipe"))
    report = extend_dataset(tmp_path / "out", copies=5)
    assert (report.num_built, report.manifest.copies, report.manifest.shards) == (0, 5, ())


def test_images_are_added_to_a_prefix(tmp_path):
    source = photos(tmp_path / "source")
    build_dataset(source, tmp_path / "out", "cifar10", Recipe(copies=2, storage="prefix"))
    before = stored_images(tmp_path / "out")
    photos(source, 4, first=40)
    extend_dataset(tmp_path / "out")
    after = stored_images(tmp_path / "out")
    assert before.items() < after.items()
    assert len(after) == len(before) + 4


@pytest.mark.parametrize("mode", ["prefix", "recipe"])
def test_parts_of_every_mode_are_finished(tmp_path, mode):
    source = photos(tmp_path / "source")
    recipe = Recipe(copies=2, storage=mode, shard_bytes=4096)
    for part in ((1, 2), (2, 2)):
        build_dataset(
            source, tmp_path / "parts", "cifar10", recipe, options=BuildOptions(part=part)
        )
    materialize.finish(tmp_path / "parts")
    build_dataset(source, tmp_path / "whole", "cifar10", recipe)
    assert shards_of(tmp_path / "parts") == shards_of(tmp_path / "whole")
    digests = {load_latest(tmp_path / name).digest() for name in ("parts", "whole")}
    assert len(digests) == 1


def test_what_a_recipe_would_make_is_refused_when_it_cannot_be_made(tmp_path):
    tree = {"a/0.png": png_bytes(0, (16, 16)), "b/1.png": png_bytes(1, (20, 20))}
    source = write_tree(tmp_path / "source", tree)
    with pytest.raises(materialize.SizeMismatchError):
        build_dataset(source, tmp_path / "out", "cifar10", Recipe(copies=2, storage="recipe"))
    assert not (tmp_path / "out").exists()


def test_an_unknown_mode_is_refused():
    with pytest.raises(ConfigError, match="storage: expected one of"):
        Recipe(copies=1, storage="shards")


def test_a_proof_of_a_recipe_stores_what_it_stands_for(tmp_path):
    source = photos(tmp_path / "source", 8)
    recipe = Recipe(copies=1, storage="recipe")
    assert prove(source, "cifar10", recipe, limit=8, directory=tmp_path).is_proven


@pytest.mark.parametrize("mode", ["prefix", "recipe"])
def test_the_command_line_builds_every_mode(tmp_path, capsys, mode):
    source = photos(tmp_path / "source")
    arguments = ["--source", str(source), "--pipeline", "cifar10", "--copies", "2"]
    out = str(tmp_path / "out")
    assert main(["build", *arguments, "--storage", mode, "--output", out, "--workers", "1"]) == 0
    assert load_latest(tmp_path / "out").digest() in capsys.readouterr().out
    assert load_latest(tmp_path / "out").storage == mode


def test_python_builds_every_mode(tmp_path):
    report = materialize.build(
        pictures(), tmp_path / "out", pipeline="cifar10", copies=2, storage="recipe"
    )
    assert report.manifest.storage == "recipe"
