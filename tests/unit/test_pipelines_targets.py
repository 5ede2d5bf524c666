"""Masks, boxes, keypoints and polygons: kept, clipped, dropped and exchanged as promised.

That they land where the pixels land is in tests/property/test_target_properties.py.
"""

import numpy as np
import pytest

from pipelines import ImageContractError, ObjectKinds, PipelineFileError, apply_targets
from pipelines.augmix import AugMix
from pipelines.composition import OneOf
from pipelines.distortion import Elastic, Perspective
from pipelines.exact_moves import Pad, QuarterTurn
from pipelines.geometric import Crop, HorizontalFlip, Rotation, VerticalFlip, WidthShift, Zoom
from pipelines.keras_affine import KerasAffine
from pipelines.masks import pack_masks
from pipelines.mixing import Cutmix, Mixup
from pipelines.neighbourhood import GaussianBlur
from pipelines.objects import DIFFICULT, Objects
from pipelines.occlusion import Erasing
from pipelines.photometric import Brightness
from pipelines.pipeline import Pipeline
from pipelines.resizing import Resize
from pipelines.serialization import canonical_text, from_dict, load, to_dict, to_toml
from pipelines.transform import Canvas
from tests.golden.pipelines_cases import sample_ids, synthetic
from tests.object_cases import KINDS, objects_of, same_objects

FLIP, TURN = HorizontalFlip(probability=1), VerticalFlip(probability=1)
SQUARE = [(4, 4), (8, 4), (8, 8), (4, 8)]


def moved(steps, objects, size=(20, 30), kinds=KINDS, **options):
    """The objects of one image of some size."""
    pipeline = Pipeline(steps=tuple(steps), **options)
    canvas = Canvas(*(np.full(len(objects), side) for side in size))
    words = pipeline.draw(3, sample_ids(len(objects)), 0)
    return pipeline.move_targets(words, canvas, objects=objects, kinds=kinds)


def move_masks(pipeline, masks, words, out):
    arena = pack_masks(masks)
    pipeline.move_targets(words, Canvas(arena.heights, arena.widths), masks=arena, out=out)


def one_object():
    return objects_of(
        [[(4, 4, 8, 8.5)]], keypoints=[[(5, 5, 2), (4, 6.25, 1), (0, 0, 0)]], rings=[[SQUARE]]
    )


@pytest.mark.parametrize("steps", [
    (), (Brightness(factor=(0.5, 0.5)), GaussianBlur(sigma_px=(1, 1))), (FLIP, FLIP),
    (Rotation(max_deg=0),), (Erasing(probability=1),), (Rotation(max_deg=9, probability=0),),
    (Elastic(alpha=(5, 5), sigma_px=2, probability=0),),
    (FLIP, GaussianBlur(sigma_px=(1, 1)), FLIP),
])  # fmt: skip
def test_what_does_not_move_pixels_changes_nothing(steps):
    """Bit for bit, masks too."""
    images, masks = synthetic(1, 20, 30, 3), synthetic(1, 20, 30, 2)
    result = apply_targets(
        Pipeline(steps=steps), images, seed=1, sample_ids=sample_ids(1), copies=0, masks=masks,
        objects=one_object(), kinds=ObjectKinds(("thing",), KINDS.keypoint_names),
    )  # fmt: skip
    assert same_objects(result.objects, one_object())
    np.testing.assert_array_equal(result.masks, masks)


def test_a_mirror_image_exchanges_left_and_right():
    flipped = moved([FLIP], one_object())
    np.testing.assert_array_equal(flipped.boxes, [[22, 4, 26, 8.5]])
    assert flipped.keypoints.tolist() == [[[25, 5, 2], [0, 0, 0], [26, 6.25, 1]]]
    assert flipped.points.tolist() == [[26, 4], [22, 4], [22, 8], [26, 8]]


@pytest.mark.parametrize("steps", [(FLIP, TURN), (FLIP, Brightness(factor=(1, 1)), FLIP),
                                   (TURN, GaussianBlur(sigma_px=(1, 1)), FLIP)])  # fmt: skip
def test_a_mirror_image_of_a_mirror_image_exchanges_nothing(steps):
    keypoints = moved(steps, one_object()).keypoints
    assert keypoints[0, :, 2].tolist() == [2, 1, 0]


@pytest.mark.parametrize("step", [FLIP, TURN])
def test_a_flip_undoes_itself(step):
    assert same_objects(moved([step], moved([step], one_object())), one_object())


def test_boxes_are_cut_and_objects_out_of_sight_go_with_all_they_have():
    objects = objects_of(
        [[(1, 1, 5, 5), (0, 0, 2, 2), (10, 2, 14, 6)], [], [(2, 2, 6, 6)]],
        keypoints=[[(2, 2, 2)], [(1, 1, 2)], [(11, 3, 1)], [(3, 4, 2)]],
        rings=[[SQUARE], [[(0, 0), (2, 0), (2, 2)]], [], [[(2, 2), (6, 2), (6, 6), (2, 6)]]],
        flags=[0, 0, DIFFICULT, 0],
    )
    kinds = ObjectKinds(("thing", "other"), ("tip",))
    crop = Crop(height=4, width=12, place="centre")  # of 8 × 16: shows from (2, 2) on
    kept = moved([crop], objects, (8, 16), kinds)
    kept.check(kinds)
    assert kept.offsets.tolist() == [0, 2, 2, 3]
    assert (kept.numbers.tolist(), kept.labels.tolist()) == ([0, 2, 0], [0, 0, 1])
    assert kept.flags.tolist() == [0, DIFFICULT, 0]
    assert kept.boxes.tolist() == [[0, 0, 3, 3], [8, 0, 12, 4], [0, 0, 4, 4]]
    assert kept.keypoints[:, 0].tolist() == [[0, 0, 2], [9, 1, 1], [1, 2, 2]]
    assert np.diff(kept.ring_offsets).tolist() == [1, 0, 1]
    assert kept.points[:4].tolist() == [[2, 4], [2, 2], [6, 2], [6, 4]]


@pytest.mark.parametrize(("least", "count"), [(0.0, 1), (0.25, 1), (0.2501, 0), (1.0, 0)])
def test_an_object_goes_below_the_least_share(least, count):
    """A quarter of it is left."""
    shift = WidthShift(by=[-0.5])  # by half the width of 8, either way
    objects = objects_of([[(1, 0, 5, 4), (3, 0, 7, 4)]])
    left = moved([shift], objects, (4, 8), ObjectKinds(("thing", "other")), min_visibility=least)
    assert left.num_objects == count + (least <= 0.75)


def test_keypoints_out_of_the_image_are_not_visible():
    objects = objects_of([[(0, 0, 8, 8)]], keypoints=[[(1, 1, 2), (4, 4, 1), (6, 6, 2)]])
    kept = moved([Crop(height=4, width=4, place="centre")], objects, (8, 8))
    assert kept.keypoints.tolist() == [[[0, 0, 0], [2, 2, 1], [4, 4, 2]]]


def test_what_left_the_image_between_two_stages_stays_out():
    """The blurred image shows nothing of it that a later step could bring back."""
    away = Crop(height=8, width=8, place="centre")
    steps = [away, GaussianBlur(sigma_px=(1, 1)), Pad(by=6)]
    objects = objects_of(
        [[(0, 0, 20, 20), (0, 0, 3, 3)]], keypoints=[[(2, 2, 2)], [(1, 1, 2)]],
        rings=[[[(0, 0), (20, 0), (20, 20), (0, 20)]], []],
    )  # fmt: skip
    kept = moved(steps, objects, (20, 20), ObjectKinds(("thing", "other"), ("tip",)))
    assert (kept.numbers.tolist(), kept.keypoints[0, 0].tolist()) == ([0], [0, 0, 0])
    assert sorted(kept.points.tolist()) == [[6, 6], [6, 14], [14, 6], [14, 14]]


def test_a_flattened_image_shows_no_objects():
    """Keras draws a zoom of 0 if asked to."""
    flat = KerasAffine(zoom=(0.0, 0.0))
    assert moved([flat], one_object()).num_objects == 0


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (5, 5, 5, 5), (9, 9, 4, 4), (-9, -9, -1, -1)])
def test_strange_boxes_do_no_harm(box):
    moved([Rotation(max_deg=20)], objects_of([[box]]), kinds=ObjectKinds(("thing",)))


@pytest.mark.filterwarnings("error")
def test_a_view_from_aside_puts_nothing_behind_the_eye():
    """Boxes that reach far out of the image still hold all of it that they held before."""
    objects = objects_of([[(-400, -300, 15, 10), (5, 5, 900, 700), (-500, -500, 500, 500)]] * 8)
    view = Perspective(distortion=0.6)
    kinds = ObjectKinds(("thing", "other"))
    seen = moved([view], objects, kinds=kinds)
    inner = moved([view], objects_of([[(0, 0, 15, 10), (5, 5, 30, 20), (0, 0, 30, 20)]] * 8),
                  kinds=kinds)  # fmt: skip
    assert seen.num_objects == inner.num_objects == 24
    assert (seen.boxes[:, :2] <= inner.boxes[:, :2] + 1e-3).all()
    assert (seen.boxes[:, 2:] >= inner.boxes[:, 2:] - 1e-3).all()


def test_images_without_objects_are_images():
    kept = moved([Rotation(max_deg=20), Elastic(alpha=(9, 9), sigma_px=4)], Objects.none(3, 2))
    assert (len(kept), kept.num_objects) == (3, 0)


@pytest.mark.parametrize("steps", [
    (Mixup(),), (OneOf(steps=(Cutmix(), Rotation(max_deg=9))),), (AugMix(),),
])  # fmt: skip
def test_steps_that_targets_cannot_follow_are_refused(steps):
    pipeline = Pipeline(steps=steps)
    with pytest.raises(PipelineFileError, match="masks and objects can follow"):
        moved(steps, one_object())
    words = pipeline.draw(1, sample_ids(1), 0)
    with pytest.raises(PipelineFileError, match="masks and objects can follow"):
        move_masks(pipeline, synthetic(1, 8, 8, 1), words, np.empty((1, 8, 8, 1)))


@pytest.mark.parametrize("fit", ["stretch", "cover", "contain"])
@pytest.mark.parametrize("size", [(24, 31), (60, 20), (20, 70), (12, 16)])
def test_prepared_objects_lie_on_prepared_images(fit, size):
    """A rectangle of light, its mask, its box and its middle agree within a pixel of the result."""
    top, left = size[0] // 2 - 4, size[1] // 2 - 3
    image = np.zeros((*size, 1), np.uint8)
    image[top : top + 8, left : left + 6] = 255
    pipeline = Pipeline(steps=(Resize(height=24, width=32, fit=fit),), mask_fill=7)
    prepared, mask = pipeline.prepare(image)[..., 0], pipeline.prepare_mask(image)[..., 0]
    objects = objects_of(
        [[(left, top, left + 6, top + 8)]], keypoints=[[(left + 3, top + 4, 2)]]
    )  # fmt: skip
    canvas = Canvas(np.array([size[0]]), np.array([size[1]]))
    there = pipeline.prepare_objects(objects, canvas)
    inside = np.argwhere(mask == 255)
    found = [*inside.min(axis=0)[::-1], *(inside.max(axis=0)[::-1] + 1)]
    np.testing.assert_allclose(there.boxes[0], found, atol=0.75)
    np.testing.assert_allclose(there.keypoints[0, 0], [*inside.mean(axis=0)[::-1] + 0.5, 2],
                               atol=0.75)  # fmt: skip
    assert ((mask == 255) != (prepared > 127)).mean() < 0.05
    assert set(np.unique(mask)) <= {0, 7, 255}


def test_a_contained_mask_shows_its_own_fill():
    pipeline = Pipeline(steps=(Resize(height=8, width=8, fit="contain", fill=3),), mask_fill=255)
    mask = pipeline.prepare_mask(np.ones((4, 8, 2), np.uint8))
    assert (mask[:2] == 255).all()
    assert (mask[2:6] == 1).all()
    assert (mask[6:] == 255).all()


def test_masks_have_a_border_of_their_own():
    masks = np.full((1, 6, 6, 1), 9, np.uint8)
    shift = WidthShift(by=[0.5])
    for options, labels in (
        ({}, {9}), ({"border": "constant", "mask_fill": 255}, {9, 255}),
        ({"mask_border": "constant", "mask_fill": 4}, {9, 4}),
        ({"border": "constant", "mask_border": "reflect"}, {9}),
    ):  # fmt: skip
        pipeline = Pipeline(steps=(shift,), **options)
        out = np.empty_like(masks)
        move_masks(pipeline, masks, pipeline.draw(1, sample_ids(1), 0), out)
        assert set(np.unique(out)) == labels


def test_masks_of_several_sizes_pass_several_stages():
    """Each as if it came alone."""
    masks = [synthetic(1, side, 20, 3)[0] for side in (18, 25, 18)]
    steps = (Elastic(alpha=(9, 9), sigma_px=4), Crop(height=12, width=12), QuarterTurn())
    pipeline = Pipeline(steps=steps, border="reflect")
    words = pipeline.draw(5, sample_ids(3), 2)
    together = np.empty((3, 12, 12, 3), np.uint8)
    move_masks(pipeline, masks, words, together)
    for row, mask in enumerate(masks):
        alone = np.empty((1, 12, 12, 3), np.uint8)
        move_masks(pipeline, [mask], words[row : row + 1], alone)
        np.testing.assert_array_equal(together[row], alone[0])


@pytest.mark.parametrize("masks", [
    np.zeros((1, 4, 4), np.uint8), np.zeros((1, 4, 4, 1), np.int32),
    np.zeros((1, 4, 4, 0), np.uint8),
    [np.zeros((4, 4, 1), np.uint8), np.zeros((4, 4, 2), np.uint8)],
])  # fmt: skip
def test_what_is_no_mask_is_refused(masks):
    with pytest.raises(ImageContractError, match="mask"):
        pack_masks(masks)


def test_masks_and_objects_are_those_of_the_images():
    images = synthetic(2, 8, 8, 3)
    facts = {"seed": 1, "sample_ids": sample_ids(2), "copies": 0}
    with pytest.raises(ImageContractError, match="masks: expected one for each of 2"):
        apply_targets(Pipeline(steps=()), images, masks=synthetic(2, 8, 9, 1), **facts)
    with pytest.raises(ImageContractError, match="objects: expected those of 2"):
        apply_targets(Pipeline(steps=()), images, objects=one_object(), kinds=KINDS, **facts)


def test_output_that_does_not_fit_is_refused():
    pipeline = Pipeline(steps=(Zoom(by=0.2),))
    words = pipeline.draw(1, sample_ids(1), 0)
    with pytest.raises(ImageContractError, match="output for 1 masks"):
        move_masks(pipeline, synthetic(1, 8, 8, 1), words, np.empty((1, 8, 9, 1), np.uint8))


def test_options_are_written_where_they_are_not_the_defaults():
    """Fingerprints of pipelines without targets stay as they were."""
    plain = Pipeline(steps=(FLIP,))
    assert not {"mask_border", "mask_fill", "min_visibility"} & to_dict(plain).keys()
    chosen = Pipeline(steps=(FLIP,), mask_border="wrap", mask_fill=255, min_visibility=0.3)
    assert '"mask_border":"wrap","mask_fill":255,"min_visibility":0.3' in canonical_text(chosen)
    assert from_dict(to_dict(chosen)) == chosen


def test_options_survive_a_file(tmp_path):
    chosen = Pipeline(steps=(FLIP,), mask_border="wrap", mask_fill=255, min_visibility=0.3)
    (tmp_path / "own.toml").write_text(to_toml(chosen), "utf-8")
    assert canonical_text(load(tmp_path / "own.toml")) == canonical_text(chosen)


@pytest.mark.parametrize(("option", "value"), [
    ("mask_border", "mirror"), ("mask_fill", 256), ("mask_fill", -1), ("mask_fill", 1.0),
    ("mask_fill", True), ("min_visibility", 1.1), ("min_visibility", "all"),
])  # fmt: skip
def test_options_out_of_bounds_are_refused(option, value):
    with pytest.raises(PipelineFileError, match=option):
        from_dict({option: value, "step": []})
