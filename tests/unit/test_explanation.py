"""Any stored image can be found by what people call it, explained, and made again."""

import io

import numpy as np
import pytest
from PIL import Image

from materialize.audit.explanation import explain_sample
from materialize.builder import build_dataset
from materialize.errors import ConfigError, ManifestMissingError
from materialize.manifest import load_latest
from materialize.population import load_images, scan
from materialize.recipe import Recipe
from materialize.sources import open_source
from pipelines import from_dict, load
from tests.jobs import build_digits, copied, flip_byte, photos, shard_paths


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    directory = tmp_path_factory.mktemp("digits") / "out"
    build_digits(directory)
    return directory


@pytest.fixture(scope="module")
def of_photos(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    source = photos(root / "source", size=(20, 24))
    recipe = Recipe(copies=2, shard_bytes=4096, originals=True, parameters="full")
    build_dataset(source, root / "out", "photos224", recipe)
    return source, root / "out"


def test_an_explanation_recomputes_the_stored_image(digits):
    explanation = explain_sample(digits, "row:17", 1)
    assert explanation.is_equal
    assert explanation.are_draws_equal
    assert explanation.class_name == "7"
    assert (explanation.split, explanation.copy) == ("train", 1)
    assert explanation.content_sha256.startswith(explanation.sample_id)
    assert [step.key for step in explanation.steps] == [
        "rotation", "width_shift", "height_shift", "zoom",
    ]  # fmt: skip
    assert not explanation.problems


def test_its_pixels_are_those_of_the_pipeline_applied_directly(digits):
    source = open_source("digits")
    population = scan(source)
    explanation = explain_sample(digits, "row:3", 0)
    row = list(population.locators).index("row:3")
    (image,) = load_images(source, population, [row])
    (copy,) = load("digits").apply(
        image[None], seed=0, sample_ids=population.ids[row : row + 1], copies=0
    )
    np.testing.assert_array_equal(explanation.recomputed, copy)
    np.testing.assert_array_equal(explanation.original, image)


def test_a_sample_is_found_by_id_prefix_locator_or_path(of_photos):
    source, out = of_photos
    whole = explain_sample(out, "a/004.png", 0).sample_id
    names = [whole, whole.upper(), whole[:9], "a/004.png", str(source / "a" / "004.png")]
    found = {explain_sample(out, name, 0).sample_id for name in names}
    assert found == {whole}


def test_a_prefix_of_several_ids_lists_them(digits):
    with pytest.raises(ConfigError, match=r"expected the name of one sample, got \d+: .*row:"):
        explain_sample(digits, "a", 0)


@pytest.mark.parametrize("name", ["cats/7.png", "f" * 31, "f" * 33, ""])
def test_an_unknown_sample_is_refused_with_an_example(digits, name):
    with pytest.raises(ConfigError, match="Locators look like 'row:"):
        explain_sample(digits, name, 0)


@pytest.mark.parametrize("copy", [2, -1])
def test_a_copy_that_is_not_stored_is_refused_with_those_that_are(digits, copy):
    with pytest.raises(ConfigError, match="0 to 1"):
        explain_sample(digits, "row:3", copy)


def test_a_directory_without_a_dataset_is_refused(tmp_path):
    with pytest.raises(ManifestMissingError):
        explain_sample(tmp_path, "row:3", 0)


def test_an_original_is_explained_too(of_photos):
    _, out = of_photos
    explanation = explain_sample(out, "b/001.png", -1)
    assert explanation.is_equal
    assert explanation.steps == ()
    assert explanation.program == ("stored as it came: nothing is drawn for an original",)


def test_the_program_is_told_in_words(tmp_path):
    pipeline = from_dict(
        {
            "border": "constant",
            "fill": 9,
            "step": [
                {"transform": "resize", "height": 12, "width": 12},
                {"transform": "rotation", "max_deg": 30},
                {"transform": "brightness", "factor": [1.2, 1.3]},
                {"transform": "gamma", "power": [0.5, 0.6]},
                {"transform": "horizontal_flip", "probability": 0},
            ],
        }
    )
    build_dataset(photos(tmp_path / "source"), tmp_path / "out", pipeline, Recipe(copies=1))
    explanation = explain_sample(tmp_path / "out", "a/000.png", 0)
    said = "\n".join(explanation.lines())
    for part in (
        "resize: to 12×12", "one resampling: output pixel (x, y) is read at",
        "outside: constant", "tone: gain 1.2", "table of 256 levels: 0 → 0", "no horizontal flip",
        "equal, byte for byte", "SHA-256",
    ):  # fmt: skip
        assert part in said
    assert explanation.is_equal


def test_a_pipeline_that_moves_nothing_says_so(tmp_path):
    build_dataset(photos(tmp_path / "source"), tmp_path / "out", from_dict({}), Recipe(copies=1))
    explanation = explain_sample(tmp_path / "out", "a/000.png", 0)
    assert explanation.program == ("nothing: every pixel stays as it is",)
    assert explanation.are_draws_equal is None
    np.testing.assert_array_equal(explanation.stored, explanation.original)


def test_the_gallery_is_a_png_wide_enough_for_four_pictures(digits):
    picture = Image.open(io.BytesIO(explain_sample(digits, "row:17", 1).gallery()))
    assert picture.format == "PNG"
    assert picture.width >= 4 * 96


def test_a_damaged_row_is_a_problem_and_the_image_is_still_recomputed(digits, tmp_path):
    damaged = copied(digits, tmp_path)
    explanation = explain_sample(damaged, "row:17", 1)
    entries = load_latest(damaged).shards
    number = [entry.file for entry in entries].index(explanation.shard)
    flip_byte(shard_paths(damaged)[number], entries[number].images_offset)
    again = explain_sample(damaged, "row:17", 1)
    assert again.stored is None
    assert again.is_equal is None
    assert again.is_damaged
    assert not explanation.is_damaged
    assert "repair" in again.problems[0]
    np.testing.assert_array_equal(again.recomputed, explanation.recomputed)
    assert again.gallery()


def test_a_lost_source_is_a_problem_and_the_stored_image_is_still_shown(tmp_path):
    source = photos(tmp_path / "source")
    build_dataset(source, tmp_path / "out", "cifar10", Recipe(copies=1))
    (source / "a/002.png").unlink()
    explanation = explain_sample(tmp_path / "out", "a/002.png", 0)
    assert explanation.original is None
    assert explanation.recomputed is None
    assert explanation.stored is not None
    assert explanation.problems[0].startswith("source gone: a/002.png")
    assert explanation.steps
    assert explanation.gallery()
