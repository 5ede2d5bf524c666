"""Near duplicates: what is found, what is not, and that no pair of hashes is overlooked."""

import io
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from materialize.errors import ConfigError
from materialize.population import ScanOptions, scan
from materialize.population import likeness as module
from materialize.population.likeness import (
    close_pairs,
    is_quickly_searched,
    near_duplicates,
    perceptual_hashes,
    thumbnail_of,
)
from materialize.sources import open_source
from tests.image_files import write_tree

LENIENT = ScanOptions(allow_split_leaks=True)


def picture(seed, size=(120, 160)):
    """A smooth random picture, so that it survives what is done to photographs."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)


def encoded(image, kind="PNG", **settings):
    buffer = io.BytesIO()
    image.save(buffer, kind, **settings)
    return buffer.getvalue()


def cropped(image, fraction):
    width, height = image.size
    left, top = round(fraction * width / 3), round(fraction * height / 2)
    return image.crop(
        (left, top, left + round(width * (1 - fraction)), top + round(height * (1 - fraction)))
    )


def pairs_of(source, **options):
    """The locators of near duplicates, each pair sorted."""
    opened = open_source(source)
    population = scan(opened, LENIENT)
    found = near_duplicates(opened, population, **options)
    return [
        tuple(sorted((population.locators[pair.first], population.locators[pair.second])))
        for pair in found
    ]


CHANGES = {
    "encoded again": lambda image: encoded(image, "JPEG", quality=30),
    "halved": lambda image: encoded(image.resize((80, 60))),
    "doubled": lambda image: encoded(image.resize((320, 240))),
    "cropped": lambda image: encoded(cropped(image, 0.03)),
    "grey": lambda image: encoded(image.convert("L")),
    "stored otherwise": lambda image: encoded(image, "BMP"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_copy_is_found_among_other_pictures(tmp_path, change):
    contents = {f"a/{seed}.png": encoded(picture(seed)) for seed in range(12)}
    contents["b/copy.png"] = CHANGES[change](picture(5))
    assert pairs_of(write_tree(tmp_path, contents)) == [("a/5.png", "b/copy.png")]


def test_different_pictures_are_not_alike(tmp_path):
    contents = {f"a/{seed}.png": encoded(picture(seed)) for seed in range(30)}
    assert pairs_of(write_tree(tmp_path, contents)) == []


def test_equal_images_are_no_near_duplicates():
    """They are duplicates, and said to be so elsewhere."""
    one = np.asarray(picture(0))
    assert pairs_of(np.stack([one, one])) == []


def test_images_of_one_colour_are_alike_to_nothing():
    plain = np.full((3, 64, 64, 3), 7, np.uint8) + np.arange(3, dtype=np.uint8)[:, None, None, None]
    assert pairs_of(plain) == []


def test_a_small_image_that_is_cropped_is_not_looked_for():
    """At 28 pixels a crop cannot be told from another digit."""
    one = picture(3, (28, 28))
    arrays = np.stack([np.asarray(one), np.asarray(cropped(one, 0.04).resize((28, 28)))])
    assert pairs_of(arrays) == []


def test_float_images_are_compared_by_their_own_range():
    one = np.asarray(picture(1), np.float32) / 127.5 - 1
    noise = np.random.default_rng(0).normal(0, 0.01, one.shape).astype(np.float32)
    assert pairs_of(np.stack([one, one + noise])) == [("row:0", "row:1")]


def test_nothing_is_near_nothing(tmp_path):
    source = open_source(write_tree(tmp_path, {"a/x.png": b"junk"}))
    assert near_duplicates(source, scan(source)) == ()


def test_workers_change_nothing(tmp_path):
    contents = {f"a/{seed}.png": encoded(picture(seed)) for seed in range(70)}
    contents["a/copy.jpg"] = encoded(picture(5), "JPEG", quality=40)
    tree = write_tree(tmp_path, contents)
    assert pairs_of(tree, workers=2, backend="threading") == pairs_of(tree)


def test_the_hash_is_that_of_imagehash():
    import imagehash

    image = picture(2)
    thumbnail = thumbnail_of(np.asarray(image))
    expected = str(imagehash.phash(Image.fromarray(thumbnail)))
    assert f"{perceptual_hashes(thumbnail[None])[0]:016x}" == expected


def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "imagehash", None)
    with pytest.raises(ConfigError, match="pip install ImageHash"):
        perceptual_hashes(np.zeros((1, 32, 32), np.uint8))


@pytest.mark.parametrize("limit", [0, 3, 6, 10, 11])
@pytest.mark.parametrize("portion", [2**20, 5])
def test_every_close_pair_is_found_once(limit, portion, monkeypatch):
    """Against all pairs, on hashes that crowd around a few centres."""
    monkeypatch.setattr(module, "_AT_ONCE", portion)
    rng = np.random.default_rng(limit)
    centres = rng.integers(0, 2**64, 4, dtype=np.uint64)
    count = 60 if portion > 5 else 20
    flips = [sum(1 << int(bit) for bit in rng.choice(64, rng.integers(0, 9), replace=False))
             for _ in range(count)]  # fmt: skip
    hashes = centres[rng.integers(0, 4, count)] ^ np.array(flips, np.uint64)
    expected = {
        (one, other)
        for one, other in combinations(range(count), 2)
        if np.bitwise_count(hashes[one] ^ hashes[other]) <= limit
    }
    found = [
        pair
        for first, second in close_pairs(hashes, limit)
        for pair in zip(first.tolist(), second.tolist(), strict=True)
    ]
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_some_thousand_small_images_are_searched_unasked():
    assert is_quickly_searched(scan(open_source("digits")))


def test_books_have_no_near_duplicates_and_their_changed_copies_are_all_found(real_data, tmp_path):
    """71 photographs, each encoded again at half the size and cropped by 2 % once more."""
    folder = real_data / "books73_512" / "train"
    assert pairs_of(folder) == []
    contents = {}
    for path in sorted(folder.rglob("*.jpg")):
        with Image.open(path) as image:
            contents[f"a/{path.name}"] = path.read_bytes()
            contents[f"b/small-{path.name}"] = encoded(
                cropped(image.resize((image.width // 2, image.height // 2)), 0.02),
                "JPEG", quality=60,
            )  # fmt: skip
    found = pairs_of(write_tree(tmp_path, contents))
    expected = {(f"a/{path.name}", f"b/small-{path.name}") for path in folder.rglob("*.jpg")}
    assert set(found) == expected


def test_flowers_hold_pictures_that_are_nearly_the_same(real_data):
    """By looking at them: sizes of one photograph, recoloured ones, and two of one moment."""
    found = pairs_of(real_data / "flowers128")
    assert 20 <= len(found) <= 30
    numbered = [pair for pair in found if pair[1] == pair[0].replace(".jpg", "_n.jpg")]
    assert len(numbered) == 6


@pytest.mark.parametrize(("name", "most"), [("digits", 0), ("cifar10/cifar10_10k_2k.npz", 1)])
def test_small_images_of_a_kind_give_no_false_alarm(real_data, name, most):
    source = name if name == "digits" else real_data / name
    assert len(pairs_of(source)) <= most


def test_books_that_came_again_are_found(real_data, tmp_path):
    """Of 18 extra photographs 6 are training images, 6 are encoded again, and 6 are these again."""
    books = real_data / "books73_512"
    paths = {path.name: path for path in (books / "train").rglob("*.jpg")}
    contents = {f"a/{name}": path.read_bytes() for name, path in paths.items()}
    for path in (books / "automl_train_extra").glob("*.jpg"):
        contents[f"b/{path.name}"] = path.read_bytes()
    source = open_source(write_tree(tmp_path, contents))
    population = scan(source)
    assert len(population) - len({row.tobytes() for row in population.digests}) == 12
    found = [
        {population.locators[row].rpartition("img")[2].strip("_.jpg") for row in pair}
        for pair in ((p.first, p.second) for p in near_duplicates(source, population))
    ]
    assert len(found) == 6
    assert all(len(numbers) == 1 for numbers in found)
