"""The scan: identities, order, duplicates, quarantine, limits, and reading back."""

import dataclasses
import hashlib
import io
import os
import signal
import sys
import warnings

import cloudpickle
import numpy as np
import pytest
from PIL import Image

from materialize.errors import (
    ConfigError,
    QuarantineLimitError,
    RecordReadError,
    SourceError,
    UndecodableImageError,
)
from materialize.population import (
    LabelConflict,
    Quarantined,
    ScanOptions,
    check_quarantine,
    load_images,
    scan,
)
from materialize.population.identity import content_sample_id, equal_rows
from materialize.sources import FolderSource, open_source
from materialize.sources.colour import with_channels
from tests.image_files import png_bytes, write_tree

PNGS = [png_bytes(seed) for seed in range(8)]


def source_of(tmp_path, contents):
    return open_source(write_tree(tmp_path, contents))


def ids_of(population):
    return {row.tobytes() for row in population.ids}


def id_by_locator(population):
    return {
        locator: population.ids[row].tobytes() for row, locator in enumerate(population.locators)
    }


@pytest.fixture
def four(tmp_path):
    paths = ("cat/a.png", "cat/b.png", "dog/p/c.png", "dog/d.png")
    return source_of(tmp_path, dict(zip(paths, PNGS, strict=False)))


def test_the_sample_id_is_the_start_of_the_files_sha256(four):
    expected = {hashlib.sha256(png).digest()[:16] for png in PNGS[:4]}
    assert ids_of(scan(four)) == expected


def test_rows_are_sorted_by_split_and_id(tmp_path):
    paths = ("test/cat/a.png", "train/cat/b.png", "val/cat/c.png", "train/cat/d.png")
    population = scan(source_of(tmp_path, dict(zip(paths, PNGS, strict=False))))
    keys = [(s, i.tobytes()) for s, i in zip(population.splits, population.ids, strict=True)]
    assert keys == sorted(keys)
    assert population.split_rows("train") == range(2)
    assert population.split_rows("val") == range(2, 3)
    assert population.split_rows("test") == range(3, 4)


def test_every_column_tells_the_same_record(four):
    population = scan(four)
    for row in range(4):
        record = four.record(int(population.source_index[row]))
        content = four.identity_bytes(int(population.source_index[row]))
        assert population.locators[row] == record.locator
        assert population.groups[row] == record.group
        assert population.label_name(row) == record.label
        assert population.digests[row].tobytes() == hashlib.sha256(content).digest()
        assert population.source_bytes[row] == len(content)
    assert population.uniform_size() == (4, 5)


def test_equal_images_get_ids_by_label_and_path(tmp_path):
    same = {"b/y.png": PNGS[0], "a/z.png": PNGS[0], "b/x.png": PNGS[0]}
    found = id_by_locator(scan(source_of(tmp_path, same)))
    digest = hashlib.sha256(PNGS[0]).digest()
    second = hashlib.sha256(digest + bytes([1, 0, 0, 0, 0, 0, 0, 0])).digest()[:16]
    assert found["a/z.png"] == digest[:16]
    assert found["b/x.png"] == second == content_sample_id(digest, 1)
    assert found["b/y.png"] == content_sample_id(digest, 2)


def test_the_order_among_equals_does_not_depend_on_class_numbers(tmp_path):
    source = source_of(tmp_path, {"b/y.png": PNGS[0], "a/z.png": PNGS[0]})
    plain, extended = scan(source), scan(source, known_classes=("b", "a"))
    assert id_by_locator(plain) == id_by_locator(extended)


def test_known_classes_keep_their_numbers(four):
    population = scan(four, known_classes=("eel", "dog"))
    assert population.class_names == ("eel", "dog", "cat")
    assert {population.label_name(row) for row in range(4)} == {"cat", "dog"}


def test_explicit_ids_replace_the_content_as_identity(tmp_path):
    write_tree(tmp_path, {"a.png": PNGS[0], "b.png": PNGS[0]})
    (tmp_path / "t.csv").write_text("file,label,id\na.png,cat,one\nb.png,cat,two\n")
    expected = {hashlib.sha256(b"id:" + name).digest()[:16] for name in (b"one", b"two")}
    assert ids_of(scan(open_source(tmp_path / "t.csv"))) == expected


def test_equal_images_under_different_labels_are_conflicts(tmp_path):
    contents = {"a/x.png": PNGS[0], "b/y.png": PNGS[0], "a/u.png": PNGS[1], "a/v.png": PNGS[1]}
    population = scan(source_of(tmp_path, contents))
    assert population.label_conflicts == (LabelConflict(("a/x.png", "b/y.png"), ("a", "b")),)


def test_equal_images_in_different_splits_are_refused_and_named(tmp_path):
    contents = {"train/a/x.png": PNGS[0], "test/a/y.png": PNGS[0], "train/a/z.png": PNGS[1]}
    source = source_of(tmp_path, contents)
    with pytest.raises(SourceError, match=r"test/a/y\.png \(test\) = train/a/x\.png \(train\)"):
        scan(source)
    assert len(scan(source, ScanOptions(allow_split_leaks=True))) == 3


def test_bad_images_are_set_aside_with_reason_and_size(tmp_path):
    population = scan(source_of(tmp_path, {"a/x.png": PNGS[0], "a/y.png": b"junk", "b/z.png": b""}))
    assert len(population) == 1
    assert [(q.locator, q.reason, q.source_bytes) for q in population.quarantined] == [
        ("a/y.png", "unknown-format", 4),
        ("b/z.png", "empty-file", 0),
    ]


def test_a_class_whose_images_are_all_bad_stays_a_class(tmp_path):
    population = scan(source_of(tmp_path, {"a/x.png": PNGS[0], "b/z.png": b"junk"}))
    assert population.class_names == ("a", "b")


def with_bad(total, bad):
    refused = tuple(Quarantined(f"{i}.png", "train", "damaged", "", 1) for i in range(bad))
    base = scan(open_source(np.arange((total - bad) * 4, dtype="u2").view("u1").reshape(-1, 2, 4)))
    return dataclasses.replace(base, quarantined=refused)


@pytest.mark.parametrize(("total", "bad"), [(1000, 1), (2000, 2), (10, 0)])
def test_up_to_one_in_a_thousand_may_be_bad(total, bad):
    check_quarantine(with_bad(total, bad))


@pytest.mark.parametrize(("total", "bad"), [(999, 1), (2000, 3)])
def test_more_than_one_in_a_thousand_is_too_many(total, bad):
    with pytest.raises(QuarantineLimitError, match=f"{bad} of {total} images are bad") as caught:
        check_quarantine(with_bad(total, bad))
    assert len(caught.value.quarantined) == bad


def test_strict_accepts_none():
    with pytest.raises(QuarantineLimitError):
        check_quarantine(with_bad(2000, 1), max_bad=0)


def test_a_population_without_any_image_is_refused_whatever_the_limit(tmp_path):
    population = scan(source_of(tmp_path, {"a/x.png": b"junk"}))
    with pytest.raises(QuarantineLimitError, match="none is left"):
        check_quarantine(population, max_bad=1.0)


def test_excluded_records_are_not_even_read(four):
    (four.root / "cat/b.png").chmod(0)
    os.truncate(four.root / "cat/b.png", 3)
    population = scan(four, ScanOptions(exclude=["cat/b.png"]))
    assert "cat/b.png" not in set(population.locators)
    assert (len(population), population.quarantined) == (3, ())


def test_excluding_what_is_not_there_is_an_error(four):
    with pytest.raises(SourceError, match=r"cat/x\.png, which the source does not have"):
        scan(four, ScanOptions(exclude=("cat/x.png", "cat/a.png")))


def test_excluding_everything_is_an_error(four):
    everything = tuple(four.record(index).locator for index in range(len(four)))
    with pytest.raises(SourceError, match="exclude names all 4 images"):
        scan(four, ScanOptions(exclude=everything))


def test_a_file_that_cannot_be_read_fails_the_scan_and_is_named(four):
    (four.root / "cat/b.png").unlink()
    with pytest.raises(RecordReadError, match=r"cat/b\.png: No such file"):
        scan(four)


def test_a_shortage_of_memory_fails_the_scan_and_names_the_record(four, monkeypatch):
    def starving(*_):
        raise MemoryError

    monkeypatch.setattr(FolderSource, "decode", starving)
    with pytest.raises(RecordReadError, match=r"too little memory to decode cat/a\.png"):
        scan(four)


def test_auto_is_grey_only_if_every_image_is(tmp_path):
    grey = {"a/x.png": png_bytes(1, channels=1), "a/y.png": png_bytes(2, channels=1)}
    assert scan(source_of(tmp_path, grey)).channels == 1
    population = scan(source_of(tmp_path, {**grey, "a/z.png": PNGS[0]}))
    assert population.channels == 3
    assert sorted(population.native_channels.tolist()) == [1, 1, 3]


@pytest.mark.parametrize(("color", "channels"), [("grey", 1), ("rgb", 3)])
def test_the_colour_can_be_ordered(four, color, channels):
    population = scan(four, ScanOptions(color=color))
    assert population.channels == channels
    assert {i.shape for i in load_images(four, population, range(4))} == {(4, 5, channels)}


def test_an_unknown_colour_is_refused():
    with pytest.raises(ConfigError, match="color must be one of auto, grey, rgb"):
        ScanOptions(color="gray")


def test_rgb_becomes_grey_by_pillows_integer_rule():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    expected = np.asarray(Image.fromarray(image).convert("L"))
    np.testing.assert_array_equal(with_channels(image, 1)[:, :, 0], expected)


def test_grey_becomes_rgb_by_repetition():
    image = np.arange(6, dtype=np.uint8).reshape(2, 3, 1)
    np.testing.assert_array_equal(with_channels(image, 3), np.repeat(image, 3, axis=2))


def test_float_sources_make_a_float_population():
    images = np.linspace(-1, 1, 64).reshape(2, 4, 8)
    images[1] = np.nan
    source = open_source(images)
    population = scan(source)
    assert population.dtype == "float32"
    assert [q.reason for q in population.quarantined] == ["not-finite"]
    assert load_images(source, population, [0])[0].dtype == np.float32


def test_conversions_are_counted(tmp_path):
    buffer = io.BytesIO()
    Image.new("LA", (2, 2)).save(buffer, "PNG")
    contents = {"a/x.png": PNGS[0], "a/y.png": buffer.getvalue()}
    assert scan(source_of(tmp_path, contents)).conversion_counts() == {"alpha-over-white": 1}


def test_loaded_images_are_those_of_the_rows(four):
    population = scan(four)
    for row, image in enumerate(load_images(four, population, range(4))):
        content = four.identity_bytes(int(population.source_index[row]))
        np.testing.assert_array_equal(image, four.decode(content, 0).pixels)


def test_a_file_that_changed_since_the_scan_is_named_with_both_digests(four):
    population = scan(four)
    row = list(population.locators).index("cat/b.png")
    (four.root / "cat/b.png").write_bytes(PNGS[7])
    with pytest.raises(RecordReadError, match=r"cat/b\.png is not what was scanned") as caught:
        load_images(four, population, [row])
    assert caught.value.found == hashlib.sha256(PNGS[7]).hexdigest()


def damaged_png():
    content = bytearray(png_bytes(0, (40, 40)))
    content[len(content) // 2] ^= 1
    return bytes(content)


def test_trusting_the_source_reads_headers_only(tmp_path):
    source = source_of(tmp_path, {"a/x.png": PNGS[0], "a/y.png": damaged_png()})
    assert len(scan(source).quarantined) == 1
    trusting = scan(source, ScanOptions(trust_source=True))
    assert (len(trusting), trusting.quarantined) == (2, ())
    row = list(trusting.locators).index("a/y.png")
    with pytest.raises(UndecodableImageError, match=r"a/y\.png: .*without the option trust-source"):
        load_images(source, trusting, [row])


def test_progress_ends_at_the_total(four):
    seen = []
    scan(four, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (4, 4)


def test_the_digest_is_of_the_training_ids_in_order(tmp_path):
    source = source_of(tmp_path, {"train/a/x.png": PNGS[0], "test/a/y.png": PNGS[1]})
    training = hashlib.sha256(PNGS[0]).digest()[:16]
    expected = hashlib.sha256(b"materialize population 1\0" + training).hexdigest()
    assert scan(source).digest() == expected


def test_sets_of_equal_rows_are_found_wherever_they_lie():
    rows = np.zeros((6, 8), np.uint8)
    rows[:, 7] = [3, 1, 3, 2, 1, 3]
    assert [found.tolist() for found in equal_rows(rows)] == [[1, 4], [0, 2, 5]]


class Killer(FolderSource):
    """A source with one image that takes its process with it."""

    def decode(self, content, index):
        if self.record(index).locator == "a/3.png":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().decode(content, index)


def test_an_image_that_kills_its_worker_is_named_not_dropped(tmp_path):
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    source = Killer(write_tree(tmp_path, {f"a/{i}.png": png for i, png in enumerate(PNGS)}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # joblib's own, about the worker that died
        with pytest.raises(RecordReadError, match=r"a/3\.png kills the process") as caught:
            scan(source, n_jobs=2)
    assert caught.value.locator == "a/3.png"


def test_flowers_hold_six_duplicates_and_four_label_conflicts(real_data):
    source = open_source(real_data / "flowers128")
    population = scan(source)
    equals = equal_rows(population.digests)
    assert sum(len(rows) - 1 for rows in equals) == 6
    assert [c.labels for c in population.label_conflicts] == [("rose", "tulip")] * 4
    assert len(ids_of(population)) == len(population) == 4317
    assert population.uniform_size() == (128, 128)


@pytest.mark.parametrize(
    ("path", "images", "channels"),
    [
        ("books73_512/train", 71, 3),
        ("books73_512/test", 6, 3),
        ("books73_512/test_difficult", 20, 3),
        ("books73_512/automl_train_extra", 18, 3),
        ("imagenet_1000_samples", 100, 3),
        ("bccd_boxes", 364, 3),
        ("labelme_polygons", 18, 3),
        ("mmpose_keypoints", 4, 3),
        ("wbc_masks", 600, 3),
        ("mnist", 70_000, 1),
        ("fashion_mnist", 70_000, 1),
        ("cifar10/cifar10_10k_2k.npz", 12_000, 3),
    ],
)
def test_real_sources_are_scanned_without_a_bad_image(real_data, path, images, channels):
    population = scan(open_source(real_data / path), n_jobs=2)
    check_quarantine(population, max_bad=0)
    assert (len(population), population.channels) == (images, channels)
