"""Masks beside images: how they are found, what their numbers mean, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from materialize.audit.explanation import explain_sample
from materialize.builder import build_dataset
from materialize.errors import ConfigError, RecordReadError, SourceError
from materialize.loader.opening import OpenDataset
from materialize.population import load_targets, scan
from materialize.population.target_counts import count_targets
from materialize.recipe import Recipe
from materialize.sources import FolderOptions, open_source, source_from_description


def write_image(path, width=40, height=30, seed=0, **saved):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path, **saved)


def write_mask(path, labels, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(labels, np.uint8))
    if mode == "P":
        image = image.convert("P")
        image.putdata(np.asarray(labels).ravel().tolist())
        image.putpalette([7, 9, 200] * 256)
    elif mode != "L":
        image = image.convert(mode)
    image.save(path)


LABELS = np.arange(1200).reshape(30, 40) % 4


@pytest.mark.parametrize("mode", ["L", "P"])
@pytest.mark.parametrize(
    ("image", "mask", "option"),
    [
        ("a/x.jpg", "a/x_mask.png", "*_mask.png"),
        ("a/x.jpg", "a/x.png", "*.png"),
        ("a/x.jpg", "masks/a/x.png", "{}/masks/*.png"),
        ("a/x.jpg", "../masks/a/x.gif", "{}/../masks"),
    ],
)
def test_masks_are_found_and_keep_their_numbers(tmp_path, image, mask, option, mode):
    root = tmp_path / "images"
    write_image(root / image)
    write_mask(root / mask, LABELS, mode)
    source = open_source(root, masks=option.format(root))
    assert len(source) == 1
    assert np.array_equal(source.mask(0)[:, :, 0], LABELS)
    again = source_from_description(source.describe())
    assert np.array_equal(again.mask(0), source.mask(0))


@pytest.mark.parametrize("given", [("2=nucleus", "1= cell wall "), {1: "cell wall", 2: "nucleus"}])
def test_labels_of_masks_have_the_names_that_are_given(tmp_path, given):
    write_image(tmp_path / "images/a.jpg")
    write_mask(tmp_path / "images/a_mask.png", LABELS)
    source = open_source(tmp_path / "images", masks="*_mask.png", mask_labels=given)
    named = source.schema().mask_labels
    assert named == ((1, "cell wall"), (2, "nucleus"))
    assert source_from_description(source.describe()).schema() == source.schema()
    population = scan(source)
    assert "1 cell wall in 1, 2 nucleus in 1" in count_targets(source, population).lines()[0]
    build_dataset(source, tmp_path / "d", "cifar10", Recipe(copies=1))
    read = OpenDataset.open(tmp_path / "d").standing
    assert read.populations[0].schema.mask_labels == named
    (spec,) = [entry.spec for entry in read.manifest.shards if entry.spec.is_mask]
    assert spec.targets.mask_labels == named
    sample = population.ids[0].tobytes().hex()
    assert "1 cell wall" in "\n".join(explain_sample(tmp_path / "d", sample, 0).lines())


@pytest.mark.parametrize("given", [["300=a"], ["1"], ["1=a", "1=b"], ["1=a", "2=a"], {"x": "a"}])
def test_names_of_mask_labels_are_checked(tmp_path, given):
    with pytest.raises(ConfigError, match=r"mask-labels: expected numbers from 0 to 255"):
        FolderOptions(masks="*.png", mask_labels=given)
    with pytest.raises(ConfigError, match=r"add the option masks"):
        FolderOptions(mask_labels=given)


def test_masks_in_colour_are_refused(tmp_path):
    write_image(tmp_path / "a.jpg")
    write_mask(tmp_path / "a_mask.png", LABELS, "RGB")
    (bad,) = scan(open_source(tmp_path, masks="*_mask.png")).quarantined
    assert bad.reason == "mask-in-colour"


def test_images_without_a_mask_are_named(tmp_path):
    write_image(tmp_path / "a.jpg")
    write_image(tmp_path / "b.jpg")
    write_mask(tmp_path / "a_mask.png", LABELS)
    with pytest.raises(SourceError, match=r"1 have none: b\.jpg"):
        open_source(tmp_path, masks="*_mask.png")


def test_a_mask_that_changed_since_the_scan_is_named(tmp_path):
    write_image(tmp_path / "a.jpg")
    write_mask(tmp_path / "a_mask.png", LABELS)
    source = open_source(tmp_path, masks="*_mask.png")
    population = scan(source)
    write_mask(tmp_path / "a_mask.png", 3 - LABELS)
    with pytest.raises(RecordReadError, match=r"a\.jpg: its mask"):
        load_targets(source, population, [0])


def test_white_blood_cells_have_masks_and_classes(real_data):
    root = real_data / "wbc_masks"
    table = root / "Class Labels of Dataset 1.csv"
    source = open_source(root / "dataset1", masks="*.png", labels=table)
    assert len(source) == 300
    assert source.class_names() == ("1", "2", "3", "4", "5")
    population = scan(source)
    masks = load_targets(source, population, range(0, 300, 30)).masks
    assert set(np.unique(np.concatenate([m.ravel() for m in masks]))) == {0, 128, 255}
