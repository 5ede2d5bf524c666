"""Masks and objects in pictures and explanations stand where they are."""

from dataclasses import replace

import numpy as np
import pytest

from materialize.audit.explanation import explain_sample
from materialize.builder import build_dataset
from materialize.pictures.color_key import PALETTE, ColorKey, Meaning
from materialize.pictures.gallery import GalleryOptions, draw_gallery
from materialize.pictures.overlay import Marked, drawn
from materialize.population import scan
from materialize.recipe import Recipe
from materialize.sources.targets import TargetSchema
from pipelines import Pipeline, load
from pipelines.objects import ObjectKinds, Objects
from tests.target_cases import KINDS, SIZE, TargetedArrays

GREY = np.full((32, 32, 3), 128, np.uint8)
BOTH = TargetSchema(KINDS, ("mask",))
MASKED = TargetSchema(mask_names=("mask",))


def colored(picture, color, tolerance=60):
    """(rows, columns) of the pixels near a colour."""
    gap = np.abs(np.asarray(picture, np.int64) - np.array(color)).max(axis=2)
    return np.nonzero(gap < tolerance)


def test_a_box_is_drawn_where_it_is():
    one = Objects.none(1)
    box = replace(
        one, offsets=np.array([0, 1]), labels=np.zeros(1, np.int32), numbers=np.zeros(1, np.int32),
        flags=np.zeros(1, np.uint8), boxes=np.array([[8, 4, 24, 16]], np.float32),
        keypoints=np.zeros((1, 0, 3), np.float32), ring_offsets=np.zeros(2, np.int64),
    )  # fmt: skip
    key = ColorKey(TargetSchema(ObjectKinds(("cell",))))
    picture = drawn(Marked(GREY, box), 128, key)
    rows, columns = colored(picture, PALETTE[0])
    found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / 4
    assert np.abs(found - [8, 4, 24, 16]).max() <= 0.75
    assert picture.getpixel((64, 40)) == (128, 128, 128)  # nothing inside


def test_every_label_of_a_mask_but_0_is_tinted():
    mask = np.zeros((32, 32, 1), np.uint8)
    mask[8:24, 8:24] = 128
    picture = np.asarray(drawn(Marked(GREY, None, mask), 128, ColorKey(MASKED)))
    changed = (picture != 128).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (32, 95, 32, 95)
    assert changed[32:96, 32:96].all()


@pytest.mark.parametrize("kind", ["copies", "steps", "grid"])
def test_galleries_show_what_moves(kind):
    source = TargetedArrays(8, schema=BOTH)
    plain = TargetedArrays(8, schema=TargetSchema())
    options = GalleryOptions(kind=kind, num_images=3, copies=2)
    pipeline = load("cifar10")
    with_targets = draw_gallery(source, scan(source), pipeline, options)
    without = draw_gallery(plain, scan(plain), pipeline, options)
    assert with_targets.height > without.height  # by the legend
    assert len(colored(with_targets, PALETTE[0], 20)[0]) > 100


@pytest.mark.parametrize("storage", ["pixels", "recipe"])
def test_an_explanation_redoes_mask_and_objects(tmp_path, storage, monkeypatch):
    source = TargetedArrays(8, schema=BOTH)
    recipe = Recipe(copies=2, storage=storage, shard_bytes=4 * SIZE * SIZE * 3)
    build_dataset(source, tmp_path / "d", "cifar10", recipe)
    row = int(np.flatnonzero(np.diff(scan_ids(source)[1]) == 2)[0])
    sample = scan_ids(source)[0][row]
    found = explain_sample(tmp_path / "d", sample, 1, source)
    assert found.is_equal is (True if storage == "pixels" else None)
    said = "\n".join(found.lines())
    assert "of 2 in the source" in said
    assert "mask     labels" in said
    assert found.gallery().startswith(b"\x89PNG")
    moved = Pipeline.move_targets

    def elsewhere(*arguments, **given):
        objects = moved(*arguments, **given)
        return objects and replace(objects, boxes=objects.boxes + 1)

    monkeypatch.setattr(Pipeline, "move_targets", elsewhere)
    if storage == "pixels":
        assert explain_sample(tmp_path / "d", sample, 1, source).is_damaged


def scan_ids(source):
    """Ids in hex by row, and the offsets of the rows' objects."""
    population = scan(source)
    objects = source.all_objects.take(population.source_index)
    return [identity.tobytes().hex() for identity in population.ids], objects.offsets


def test_labels_that_repeat_by_number_have_colours_of_their_own():
    mask = np.zeros((32, 32, 1), np.uint8)
    mask[:, :8], mask[:, 8:16], mask[:, 16:24] = 1, 8, 255
    key = ColorKey(replace(MASKED, mask_labels=((8, "nucleus"),)))
    drawn(Marked(GREY, None, mask), 128, key)
    shown = {key.name_of(meaning): color for meaning, color in key.shown()}
    assert shown["nucleus"] == PALETTE[0]  # what has a name comes first
    assert list(shown) == ["label 1", "nucleus", "label 255"]
    assert len(set(shown.values())) == 3


def test_a_legend_names_what_was_drawn_and_keeps_its_width():
    key = ColorKey(TargetSchema(ObjectKinds(tuple(f"class {n}" for n in range(30)))))
    assert key.legend(400) is None
    for number in range(20):
        key.color_of(Meaning(-1, number))
    few = ColorKey(key.schema)
    few.color_of(Meaning(-1, 29))
    assert few.color_of(Meaning(-1, 29)) == PALETTE[0]  # too many to keep one for each
    assert key.legend(400).width <= 400
    assert key.legend(400).height > 2 * few.legend(400).height
