"""What an image shows goes where its pixels go, for every step that moves them.

`FOLLOWED` names the steps of the registry that move pixels; an architecture test asks for every new
one. All others are held to leave masks and objects alone, or to refuse them.
"""

import numpy as np
import pytest
from scipy import ndimage

from pipelines import PipelineFileError, apply_targets
from pipelines.contract import pack
from pipelines.distortion import Elastic
from pipelines.masks import pack_masks
from pipelines.mixing import Mixing
from pipelines.objects import Objects
from pipelines.pipeline import Pipeline
from pipelines.transform import Canvas
from tests.golden.pipelines_cases import EXAMPLES, sample_ids, synthetic
from tests.object_cases import COMPOSED, KINDS, objects_of, same_objects

FOLLOWED = (
    "crop", "elastic", "height_shift", "horizontal_flip", "keras_affine", "one_of", "pad",
    "perspective", "quarter_turn", "rand_augment", "resize", "resized_crop", "rotation", "sequence",
    "shear", "trivial_augment", "vertical_flip", "width_shift", "zoom",
)  # fmt: skip
CASES = {name: (EXAMPLES[name],) for name in FOLLOWED} | COMPOSED
COUNT, HEIGHT, WIDTH = 24, 48, 64


def apply(steps, images, copies=0, **options):
    """Images and targets under fixed addresses; black outside."""
    facts = {name: options.pop(name) for name in ("masks", "objects") if name in options}
    pipeline = Pipeline(steps=steps, **{"border": "constant", **options})
    return apply_targets(pipeline, images, seed=11, sample_ids=sample_ids(len(images)),
                         copies=copies, kinds=KINDS, **facts)  # fmt: skip


def dots(random, radius):
    """Black images with a round light each; and its middle, along the pixels' edges."""
    middles = random.integers(10, [WIDTH - 10, HEIGHT - 10], (COUNT, 2)) + 0.5
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    away = np.hypot(x - middles[:, :1, None], y - middles[:, 1:, None])
    light = np.clip(1 - away / (radius + 1), 0, 1) * 255
    return light.astype(np.uint8)[..., None], middles


@pytest.mark.parametrize("case", CASES)
def test_a_light_lands_where_its_keypoint_says(case):
    """Within half a pixel, wherever all of it is to be seen."""
    bends = any(isinstance(step, Elastic) for step in CASES[case])
    images, middles = dots(np.random.default_rng(3), radius=1 if bends else 2)
    reach = np.concatenate([middles - 3, middles + 3], axis=1)
    named = np.zeros((COUNT, 3, 3))
    named[:, 0] = np.concatenate([middles, np.full((COUNT, 1), 2)], axis=1)
    objects = objects_of([[tuple(box)] for box in reach], keypoints=named)
    seen = 0
    for copy in range(3):
        lit = apply(CASES[case], images, copy, objects=objects, min_visibility=0.9999)
        dark = apply(CASES[case], np.zeros_like(images), copy).images
        light = np.abs(lit.images.astype(np.float64) - dark)[..., 0]
        y, x = np.mgrid[: light.shape[1], : light.shape[2]] + 0.5
        found = lit.objects
        for row, (*place, visibility) in zip(found.images, found.keypoints[:, 0], strict=True):
            total = light[row].sum()
            # Solarize may put it out, equalize may light the background.
            if visibility and total > 300 and (light[row] > 0).mean() < 0.2:
                middle = np.array([(light[row] * x).sum(), (light[row] * y).sum()]) / total
                assert np.abs(middle - place).max() < 0.5
                seen += 1
    assert seen >= 6


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize("case", CASES)
def test_a_mask_is_where_the_light_is(case, interpolation):
    """Pixels whose neighbours are all of one label are as light or dark as the mask says."""
    random = np.random.default_rng(5)
    noise = ndimage.gaussian_filter(random.normal(size=(COUNT, HEIGHT, WIDTH)), (0, 5, 5))
    masks = (noise > 0).astype(np.uint8)[..., None]
    if case in ("rand_augment", "trivial_augment"):  # their tones would tell nothing
        return
    for border in ("nearest", "constant", "reflect", "wrap"):
        result = apply(CASES[case], masks * 255, masks=masks, border=border,
                       interpolation=interpolation)  # fmt: skip
        near = {"size": (1, 5, 5, 1), "mode": "constant"}
        low = ndimage.minimum_filter(result.masks, cval=0, **near)
        is_clear = low == ndimage.maximum_filter(result.masks, cval=1, **near)
        is_light = result.images > 127
        # Holes of 3 × 3 pixels hide what is there.
        most = 0.01 if case == "sparing" else 0.0
        assert (is_light != result.masks)[is_clear].mean() <= most
        assert is_clear.mean() > 0.05


@pytest.mark.parametrize("case", ["affine", "crop", "keras_affine", "rotation", "shear", "zoom"])
@pytest.mark.parametrize("border", ["nearest", "constant", "reflect", "wrap"])
def test_a_mask_is_read_like_an_image_of_nearest_pixels(case, border):
    """The same bytes, ties and borders included."""
    masks = synthetic(COUNT, HEIGHT, WIDTH, 3)
    result = apply(CASES[case], masks, masks=masks, border=border, interpolation="nearest")
    np.testing.assert_array_equal(result.images, result.masks)


@pytest.mark.parametrize("case", CASES)
def test_masks_hold_labels_that_they_held_before(case):
    """And the fill; nothing in between."""
    masks = np.array([3, 17, 200], np.uint8)[synthetic(COUNT, HEIGHT, WIDTH, 2) % 3]
    for border, fill in (("constant", {91}), ("reflect", set())):
        options = {"mask_border": border, "mask_fill": 91}
        if case == "contain":
            fill = {91}
        found = apply(CASES[case], synthetic(COUNT, HEIGHT, WIDTH, 1), masks=masks, **options)
        assert set(np.unique(found.masks)) <= {3, 17, 200} | fill


@pytest.mark.parametrize("case", CASES)
def test_boxes_hold_what_they_held(case):
    """All corners of the object's polygon, and all pixels of its mask."""
    random = np.random.default_rng(7)
    low = random.uniform(2, 30, (COUNT, 2))
    boxes = np.concatenate([low, low + random.uniform(4, 16, (COUNT, 2))], axis=1)
    boxes = boxes.astype(np.float32)
    shares = random.uniform(0, 1, (COUNT, 7, 2))
    sizes = boxes[:, 2:] - boxes[:, :2]
    rings = [[boxes[i, :2] + shares[i] * sizes[i]] for i in range(COUNT)]
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    masks = np.stack([(x > b[0]) & (x < b[2]) & (y > b[1]) & (y < b[3]) for b in boxes])
    result = apply(CASES[case], synthetic(COUNT, HEIGHT, WIDTH, 1), mask_border="constant",
                   masks=masks[..., None].astype(np.uint8),
                   objects=objects_of([[tuple(box)] for box in boxes], rings=rings))  # fmt: skip
    bends = any(isinstance(step, Elastic) for step in CASES[case])
    close = 0.5 if bends else 1e-4
    found = result.objects
    assert found.num_objects >= COUNT // 4
    for number, (row, box) in enumerate(zip(found.images, found.boxes, strict=True)):
        for ring in range(found.ring_offsets[number], found.ring_offsets[number + 1]):
            corners = found.points[found.point_offsets[ring] : found.point_offsets[ring + 1]]
            assert len(corners) >= 3
            assert (corners >= box[:2] - close).all()
            assert (corners <= box[2:] + close).all()
        rows, columns = np.nonzero(result.masks[row, ..., 0])
        if len(rows):
            assert box[0] - 1 - close <= columns.min() + 0.5
            assert columns.max() + 0.5 <= box[2] + 1 + close
            assert box[1] - 1 - close <= rows.min() + 0.5
            assert rows.max() + 0.5 <= box[3] + 1 + close


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("border", ["nearest", "constant", "reflect", "wrap"])
def test_kernels_and_their_twins_agree(case, border):
    """Byte for byte: masks of three channels, boxes, keypoints, polygons of two rings."""
    random = np.random.default_rng(9)
    pipeline = Pipeline(steps=CASES[case], border=border, mask_fill=9, min_visibility=0.2)
    masks = [pipeline.prepare_mask(mask) for mask in synthetic(6, HEIGHT, WIDTH, 3)]
    canvas = Canvas(*(np.full(6, side) for side in masks[0].shape[:2]))
    low = random.uniform(-5, 40, (12, 2))
    boxes = np.concatenate([low, low + random.uniform(1, 30, (12, 2))], axis=1).astype(np.float32)
    objects = objects_of(
        boxes.reshape(6, 2, 4).tolist(), keypoints=random.uniform(0, 60, (12, 3, 3)) * [1, 1, 0.03],
        rings=[[low[i] + random.uniform(0, 20, (5, 2)), low[i] + random.uniform(0, 9, (3, 2))]
               for i in range(12)],
    )  # fmt: skip
    words = pipeline.draw(5, sample_ids(6), np.arange(6))
    height, width = pipeline.output_size(HEIGHT, WIDTH)
    both = []
    for plain in (False, True):
        out = np.zeros((6, height, width, 3), np.uint8)
        moved = pipeline.move_targets(
            words, canvas, masks=pack_masks(masks), out=out, objects=objects, kinds=KINDS,
            plain=plain,
        )  # fmt: skip
        both.append((out, moved))
    np.testing.assert_array_equal(both[0][0], both[1][0])
    assert same_objects(both[0][1], both[1][1])
    both[0][1].check(KINDS)


@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - set(FOLLOWED)))
def test_what_leaves_pixels_in_place_leaves_targets_alone(name):
    """Or refuses them, and says why."""
    images = synthetic(4, 20, 30, 3)
    masks = synthetic(4, 20, 30, 2)
    objects = objects_of([[(4, 4, 9, 9.5)]] * 4, keypoints=[[(5, 5, 2)] * 3] * 4,
                         rings=[[[(4, 4), (9, 4), (9, 9)]]] * 4)  # fmt: skip
    step = EXAMPLES[name]
    if step.hinders_targets:
        with pytest.raises(PipelineFileError, match=f"{name}: expected steps that masks"):
            apply((step,), images, masks=masks)
        return
    assert not isinstance(step, Mixing)
    result = apply((step,), images, masks=masks, objects=objects)
    np.testing.assert_array_equal(result.masks, masks)
    assert same_objects(result.objects, objects)


def test_an_object_does_not_depend_on_its_batch():
    """Alone, or among others."""
    pipeline = Pipeline(steps=COMPOSED["sparing"])
    objects = Objects.joined([objects_of([[(4, 4, 20, 20 + i)]] * 4) for i in range(2)])
    canvas = Canvas(np.full(8, 40), np.full(8, 50))
    words = pipeline.draw(5, sample_ids(8), 1)
    together = pipeline.move_targets(words, canvas, objects=objects, kinds=KINDS)
    for row in range(8):
        one = Canvas(canvas.heights[:1], canvas.widths[:1])
        here = np.array([row])
        alone = pipeline.move_targets(
            words[row : row + 1], one, objects=objects.take(here), kinds=KINDS
        )
        assert same_objects(alone, together.take(here))


def test_pixels_are_those_of_the_pipeline_alone():
    """Targets change nothing about them."""
    images = synthetic(4, 20, 30, 3)
    steps = COMPOSED["affine"]
    out = np.empty((4, 26, 36, 3), np.uint8)
    pipeline = Pipeline(steps=steps, border="constant")
    pipeline.augment(pack(images), pipeline.draw(11, sample_ids(4), 0), out)
    result = apply(steps, images, masks=images, objects=Objects.none(4))
    np.testing.assert_array_equal(result.images, out)
