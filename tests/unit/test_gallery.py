"""Galleries: the pixels of the build, readable captions, and pictures of the promised shape."""

import numpy as np
import pytest

from materialize.errors import ConfigError
from materialize.pictures import sheet
from materialize.pictures.captions import caption, captions, options_text
from materialize.pictures.gallery import GalleryOptions, draw_gallery, some_of_every_class
from materialize.population import load_images, scan
from materialize.sources import open_source
from pipelines import REGISTRY, Albumentations, load
from pipelines.pipeline import Pipeline
from tests.golden.pipelines_cases import FLIP


@pytest.fixture(scope="module")
def digits():
    source = open_source("digits")
    return source, scan(source)


def picture_holds(picture, pixels):
    """Whether an enlarged image lies somewhere in a picture."""
    canvas = np.asarray(picture)[:, :, 0]
    block = np.asarray(sheet.shown(pixels, sheet.side_for(max(pixels.shape[:2]))))[:, :, 0]
    step = sheet.side_for(max(pixels.shape[:2])) // pixels.shape[0]
    thin = block[::step, ::step]
    height, width = block.shape
    for top, left in np.argwhere(canvas[: -height + 1, : -width + 1] == block[0, 0]):
        window = canvas[top : top + height : step, left : left + width : step]
        if np.array_equal(window, thin):
            return True
    return False


def test_the_copies_are_those_of_a_build(digits):
    source, population = digits
    pipeline = load("digits")
    row = some_of_every_class(population, 1)[0]
    picture = draw_gallery(
        source, population, pipeline, GalleryOptions(num_images=1, copies=2, seed=7)
    )
    image = load_images(source, population, [row])[0]
    copy = pipeline.apply(image[None], seed=7, sample_ids=population.ids[row : row + 1], copies=1)[
        0
    ]
    assert picture_holds(picture, image)
    assert picture_holds(picture, copy)


def test_a_step_alone_draws_what_it_draws_in_the_pipeline(digits):
    """Otherwise the gallery would show other parameters than the dataset has."""
    source, population = digits
    pipeline = load("digits")
    row = some_of_every_class(population, 1)[0]
    picture = draw_gallery(source, population, pipeline, GalleryOptions(kind="steps", seed=7))
    only_zoom = Pipeline(steps=pipeline.steps[3:], border=pipeline.border, fill=pipeline.fill)
    image = load_images(source, population, [row])[0]
    copy = only_zoom.apply(image[None], seed=7, sample_ids=population.ids[row : row + 1], copies=5)[
        0
    ]
    assert picture_holds(picture, copy)


def test_the_grid_needs_no_pipeline_and_shows_every_class(digits):
    source, population = digits
    picture = draw_gallery(source, population, None, GalleryOptions(kind="grid"))
    assert picture.mode == "RGB"
    assert min(picture.size) > 600
    labels = population.labels[some_of_every_class(population, 30)]
    assert np.bincount(labels).tolist() == [3] * 10


def test_a_class_with_few_images_does_not_stop_the_others():
    images = np.arange(6 * 4, dtype=np.uint8).reshape(6, 2, 2)
    population = scan(open_source((images, np.array([0, 1, 1, 1, 1, 1]))))
    rows = some_of_every_class(population, 4)
    assert sorted(population.labels[rows].tolist()) == [0, 1, 1, 1]


def test_unlabelled_images_have_a_grid():
    population = scan(source := open_source(np.zeros((3, 4, 5, 3), np.uint8)))
    assert draw_gallery(source, population, None, GalleryOptions(kind="grid")).width > 100


def test_images_can_be_named(digits):
    source, population = digits
    options = GalleryOptions(kind="grid", images=("row:7",))
    picture = draw_gallery(source, population, None, options)
    row = list(population.locators).index("row:7")
    assert picture_holds(picture, load_images(source, population, [row])[0])


def test_an_image_that_is_not_there_is_refused_with_the_nearest(digits):
    with pytest.raises(ConfigError, match="did you mean"):
        draw_gallery(*digits, None, GalleryOptions(kind="grid", images=("row:99999",)))


@pytest.mark.parametrize("kind", ["copies", "steps"])
def test_copies_need_a_pipeline(digits, kind):
    with pytest.raises(ConfigError, match="--kind grid"):
        draw_gallery(*digits, None, GalleryOptions(kind=kind))


def test_a_pipeline_that_draws_nothing_has_no_steps_to_show(digits):
    with pytest.raises(ConfigError, match="draws something"):
        draw_gallery(*digits, Pipeline(steps=()), GalleryOptions(kind="steps"))


def test_unknown_kinds_and_counts_are_refused():
    with pytest.raises(ConfigError, match="copies, steps, grid"):
        GalleryOptions(kind="film")
    with pytest.raises(ConfigError, match="copies: expected a number"):
        GalleryOptions(copies=0)


def test_photos_of_many_sizes_are_shown_in_one_size():
    rng = np.random.default_rng(0)
    sizes = [(300, 200), (40, 90), (64, 64)]
    images = [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in sizes]
    shown = [sheet.shown(image, 224).size for image in images]
    assert [max(size) for size in shown] == [224, 224, 224]


@pytest.mark.parametrize(
    ("longest", "side"), [(8, 128), (28, 140), (32, 128), (130, 130), (640, 224)]
)
def test_small_images_are_enlarged_by_a_whole_number(longest, side):
    assert sheet.side_for(longest) == side


def test_enlarged_pixels_are_squares_of_one_level():
    pixels = np.arange(4, dtype=np.uint8).reshape(2, 2, 1) * 60
    enlarged = np.asarray(sheet.shown(pixels, 128))[:, :, 0]
    assert np.unique(enlarged).tolist() == [0, 60, 120, 180]


def test_floats_are_shown_as_levels():
    half = np.full((2, 2, 1), 0.5, np.float32)
    assert np.asarray(sheet.shown(half, 2))[0, 0, 0] == 128


def test_text_is_wrapped_to_its_width():
    narrow = sheet.text("one two three four five six", width=60)
    assert narrow.width == 60
    assert narrow.height > sheet.text("one").height


def test_a_word_that_is_too_long_is_cut():
    assert sheet.text("w" * 500, width=80).width == 80


def test_a_path_that_is_too_long_keeps_its_end():
    """Images of one folder are told apart by it."""
    first, second = (sheet.text(f"{'w' * 500}/{name}.png", width=120) for name in "ab")
    assert first.tobytes() != second.tobytes()


def test_letters_the_font_lacks_are_replaced():
    same = sheet.text("Ünïcörn 3×4 −1"), sheet.text("Unicorn 3x4 -1")
    assert same[0].tobytes() == same[1].tobytes()
    assert sheet.text("猫").tobytes() == sheet.text("?").tobytes()


def test_captions_name_units_and_signs():
    assert caption("rotation", {"angle_deg": -7.25}) == "rotation −7.2°"
    assert caption("zoom", {"zoom_x": 1.08, "zoom_y": 0.5}) == "zoom x 1.08, y 0.50"
    assert caption("width_shift", {"shift_px": 3.0}) == "width shift +3.0 px"


def test_a_flip_is_told_only_where_it_happened():
    assert caption("horizontal_flip", {"flip": 0.0}) == ""
    assert captions(["horizontal_flip"], [{"flip": np.array([1.0])}], 0) == ["horizontal flip"]


def test_options_are_written_as_in_the_file():
    zoom = REGISTRY["zoom"](by=(0.5, 1.5), keep_aspect=True)
    assert options_text(zoom) == "by = [0.5, 1.5], keep_aspect = True"
    assert options_text(REGISTRY["horizontal_flip"]()) == "with its defaults"


def test_steps_that_hold_steps_are_drawn_whole(digits):
    """One card each, and the copies that the pipeline's draws give."""
    source, population = digits
    zoom, turn = REGISTRY["zoom"](by=0.3), REGISTRY["rotation"](max_deg=40)
    holder = REGISTRY["one_of"](steps=(zoom, turn), id="either")
    pipeline = Pipeline(steps=(REGISTRY["invert"](), holder))
    row = some_of_every_class(population, 1)[0]
    picture = draw_gallery(source, population, pipeline, GalleryOptions(kind="steps", seed=7))
    image = load_images(source, population, [row])[0]
    alone = Pipeline(steps=(holder,))
    copy = alone.apply(image[None], seed=7, sample_ids=population.ids[row : row + 1], copies=4)[0]
    assert picture_holds(picture, copy)
    three_cards = draw_gallery(
        source, population, Pipeline(steps=(zoom, turn)), GalleryOptions(kind="steps", seed=7)
    )
    assert abs(picture.width - three_cards.width) < 40  # original and two steps: as wide


def test_captions_of_what_others_wrote_stay_short():
    drawn = {f"seed_{i}": np.array([2.0**31]) for i in range(4)}
    assert captions(["function"], [drawn], 0) == ["function"]
    assert len(options_text(Albumentations(FLIP))) <= 70


def test_captions_tell_what_happened_in_a_container():
    """Its steps speak for it; words kept whole and steps that did not happen are not told."""
    keys = ["one_of", "one_of.zoom", "one_of.invert", "erasing"]
    yes, no = np.array([1.0]), np.array([0.0])
    drawn = [{"chosen": no}, {"zoom_x": np.array([1.5]), "active": yes}, {"active": no},
             {"left_px": np.array([3.0]), "key_0": np.array([77.0]), "active": yes}]  # fmt: skip
    assert captions(keys, drawn, 0) == ["zoom 1.50", "erasing 3.0 px"]
    assert captions(["invert"], [{}], 0) == ["invert"]
    assert captions(["invert"], [{}], 0, with_key=False) == ["invert"]


def test_the_options_of_a_container_name_its_steps():
    """Not the tables of its file."""
    holder = REGISTRY["one_of"](steps=(REGISTRY["invert"](), REGISTRY["grey"]()), weights=(1, 3))
    assert options_text(holder) == "steps = invert, grey, weights = [1, 3]"
