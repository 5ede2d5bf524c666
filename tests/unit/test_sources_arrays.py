"""Images in arrays: canonical values, labels, identities, and the files they come in."""

import pickle

import numpy as np
import pytest

from materialize.errors import ConfigError, SourceError, UndecodableImageError
from materialize.sources import open_source, source_from_description

LEVELS = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
LABELS = np.array([0, 1, 1, 0])


def decoded(source, index=0):
    return source.decode(source.identity_bytes(index), index)


def labels_of(source):
    return [source.record(index).label for index in range(len(source))]


def npz(tmp_path, **arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    return tmp_path / "a.npz"


def test_grey_images_get_a_channel_axis():
    pixels = decoded(open_source(LEVELS)).pixels
    np.testing.assert_array_equal(pixels, LEVELS[0][:, :, np.newaxis])


def test_the_identity_does_not_depend_on_the_channel_axis():
    with_axis = open_source(LEVELS[..., np.newaxis])
    assert with_axis.identity_bytes(1) == open_source(LEVELS).identity_bytes(1)


def test_the_identity_tells_shapes_apart():
    """The same 64 bytes as 8x8 and as 4x16 are two images."""
    tall, wide = open_source(LEVELS), open_source(LEVELS.reshape(4, 4, 16))
    assert tall.identity_bytes(0) != wide.identity_bytes(0)


def test_the_identity_is_a_header_line_and_the_values():
    """Sample ids hang on these bytes: whoever changes them renames every array image for ever."""
    expected = b"array uint8 8 8 1\n" + LEVELS[0].tobytes()
    assert open_source(LEVELS).identity_bytes(0) == expected


def test_source_bytes_are_those_of_the_values():
    source = open_source(LEVELS)
    assert source.source_bytes(source.identity_bytes(0)) == 64


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
@pytest.mark.parametrize("how", ["divided", "multiplied"])
def test_levels_divided_by_255_are_recognised(dtype, how):
    floats = LEVELS.astype(dtype)
    kind = np.dtype(dtype).type
    floats = floats / kind(255) if how == "divided" else floats * kind(1 / 255)
    source = open_source(floats.astype(dtype))
    assert decoded(source, 3).conversions == ("from-unit",)
    assert source.identity_bytes(3) == open_source(LEVELS).identity_bytes(3)


def test_32_bit_units_widened_to_64_are_recognised():
    source = open_source((LEVELS.astype(np.float32) / 255).astype(np.float64))
    assert source.identity_bytes(2) == open_source(LEVELS).identity_bytes(2)


def test_zeros_and_ones_in_floats_are_black_and_white():
    pixels = decoded(open_source((LEVELS[:1] % 2).astype(np.float32))).pixels
    assert sorted(set(pixels.ravel().tolist())) == [0, 255]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "uint32"])
def test_whole_levels_in_wider_types_become_uint8(dtype):
    source = open_source(LEVELS.astype(dtype))
    assert source.identity_bytes(1) == open_source(LEVELS).identity_bytes(1)
    assert decoded(source).conversions[0].startswith("from-")


def test_other_floats_stay_floats_in_32_bits():
    images = np.linspace(-1, 1, 64).reshape(1, 8, 8)
    out = decoded(open_source(images))
    assert out.pixels.dtype == np.float32
    assert out.conversions == ("from-float64",)
    np.testing.assert_array_equal(out.pixels[:, :, 0], images[0].astype(np.float32))


UNITS = LEVELS.astype(np.float32) / np.float32(255)
BETWEEN = np.linspace(0, 1, 256, dtype=np.float32).reshape(4, 8, 8) ** 2
"""Floats in [0, 1], most of which are no level divided by 255."""


def parts_of(source):
    """Split → all its values, without the channel axis."""
    splits = [source.record(index).split for index in range(len(source))]
    return {
        split: np.stack(
            [decoded(source, i).pixels[..., 0] for i, other in enumerate(splits) if other == split]
        )
        for split in dict.fromkeys(splits)
    }


def opened_as(container, tmp_path, train, test):
    """The two splits as one source, from an .npz or from memory, where they may be mapped."""
    if container == "npz":
        return open_source(npz(tmp_path, x_train=train, x_test=test))
    if container == "mapped":
        for name, images in {"train": train, "test": test}.items():
            np.save(tmp_path / f"{name}.npy", images)
        train, test = (np.load(tmp_path / f"{n}.npy", mmap_mode="r") for n in ("train", "test"))
    return open_source({"train": train, "test": test})


containers = pytest.mark.parametrize("container", ["npz", "memory", "mapped"])


@containers
@pytest.mark.parametrize("turned", [False, True])
def test_splits_share_one_scale_where_only_one_was_made_of_levels(tmp_path, container, turned):
    given = (BETWEEN, UNITS) if turned else (UNITS, BETWEEN)
    source = opened_as(container, tmp_path, *given)
    for found, expected in zip(parts_of(source).values(), given, strict=True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)
    assert source.describe()["conversions"] == {"train": [], "test": []}


@containers
@pytest.mark.parametrize(
    ("train", "test", "codes"),
    [
        (LEVELS, LEVELS[::-1], ([], [])),
        (UNITS, UNITS[::-1].astype(np.float64), (["from-unit"], ["from-unit"])),
        (UNITS, LEVELS.astype(np.float64) * (1 / 255), (["from-unit"], ["from-unit"])),
        (LEVELS.astype(np.float32), LEVELS, (["from-whole"], [])),
        (LEVELS, LEVELS.astype(np.int64), ([], ["from-integers"])),
        (LEVELS.astype(float), LEVELS.astype(np.int32), (["from-whole"], ["from-integers"])),
    ],
)
def test_a_form_that_fits_every_split_is_taken(tmp_path, container, train, test, codes):
    source = opened_as(container, tmp_path, train, test)
    assert {part.dtype for part in parts_of(source).values()} == {np.dtype(np.uint8)}
    conversions = source.describe()["conversions"]
    assert (conversions["train"], conversions["test"]) == codes


@containers
@pytest.mark.parametrize(
    ("train", "test", "codes"),
    [
        (LEVELS, UNITS, (["from-uint8"], [])),
        (LEVELS.astype(np.float64), UNITS, (["from-float64"], [])),
        (LEVELS, LEVELS.astype(np.float32) + 0.5, (["from-uint8"], [])),
        (LEVELS.astype(np.int64), BETWEEN, (["from-int64"], [])),
    ],
)
def test_splits_without_a_common_form_keep_their_numbers(tmp_path, container, train, test, codes):
    source = opened_as(container, tmp_path, train, test)
    for found, expected in zip(parts_of(source).values(), (train, test), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected.astype(np.float32))
    conversions = source.describe()["conversions"]
    assert (conversions["train"], conversions["test"]) == codes


def test_a_black_split_has_the_scale_of_the_others():
    """Zeros alone would be units; beside whole levels they are whole levels."""
    dots = (LEVELS % 2).astype(np.float32)
    found = parts_of(open_source({"train": LEVELS.astype(np.float32), "test": dots}))
    np.testing.assert_array_equal(found["test"], dots)
    found = parts_of(open_source({"train": UNITS, "test": dots}))
    np.testing.assert_array_equal(found["test"], dots * 255)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64])
@pytest.mark.parametrize(("images", "code"), [(UNITS, "from-unit"), (LEVELS * 1.0, "from-whole")])
def test_a_split_without_images_decides_nothing(dtype, images, code):
    source = open_source({"train": images, "test": np.zeros((0, 8, 8), dtype)})
    assert decoded(source, 3).conversions == (code,)
    assert source.identity_bytes(3) == open_source(LEVELS).identity_bytes(3)


def test_a_nan_in_one_split_does_not_change_what_the_others_are():
    broken = BETWEEN.copy()
    broken[:, 0, 0] = np.nan
    source = open_source({"train": UNITS, "test": broken})
    assert source.identity_bytes(0) == open_source(LEVELS).identity_bytes(0)


def test_a_split_whose_values_mean_nothing_is_named():
    with pytest.raises(SourceError, match=r"the test images are int64.*leave 0\.\.255"):
        open_source({"train": BETWEEN, "test": LEVELS.astype(np.int64) + 1})


def test_splits_of_mapped_levels_are_not_copied(tmp_path):
    np.save(tmp_path / "x.npy", LEVELS)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r+")
    source = open_source({"train": mapped[:3], "test": mapped[3:]})
    mapped[3, 0, 0] = 77
    assert decoded(source, 3).pixels[0, 0, 0] == 77


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_an_image_that_is_not_finite_in_32_bits_is_no_image(value):
    images = np.linspace(-1, 1, 128).reshape(2, 8, 8)
    images[1, 0, 0] = value
    source = open_source(images)
    decoded(source, 0)
    with pytest.raises(UndecodableImageError, match="1 values are NaN or infinite") as caught:
        decoded(source, 1)
    assert caught.value.reason == "not-finite"


def test_a_nan_in_one_image_does_not_change_what_the_others_are():
    images = LEVELS.astype(np.float32) / 255
    images[1, 0, 0] = np.nan
    source = open_source(images)
    assert source.identity_bytes(0) == open_source(LEVELS).identity_bytes(0)


@pytest.mark.parametrize("dtype", ["uint16", "int8", "int16", "bool", "complex64", "longdouble"])
def test_types_without_a_meaning_as_pixels_are_refused(dtype):
    with pytest.raises(SourceError, match=r"divide by 257|convert to uint8 first"):
        open_source((LEVELS > 3).astype(dtype))


def test_integers_outside_the_levels_are_refused():
    with pytest.raises(SourceError, match=r"leave 0\.\.255"):
        open_source(LEVELS.astype(np.int64) + 1)


@pytest.mark.parametrize("shape", [(4, 8), (4, 8, 8, 2), (4, 8, 8, 4), (2, 3, 8, 8), (4, 0, 8)])
def test_shapes_that_are_no_images_are_refused(shape):
    with pytest.raises(SourceError, match="expected \\(N, H, W\\)"):
        open_source(np.zeros(shape, np.uint8))


def test_no_images_at_all_are_refused():
    with pytest.raises(SourceError, match="no image"):
        open_source(LEVELS[:0])


@pytest.mark.parametrize(
    "labels",
    [
        LABELS,
        LABELS[:, np.newaxis],
        LABELS.astype(float),
        np.eye(2)[LABELS],
        LABELS.astype("uint8"),
    ],
)
def test_labels_may_be_flat_in_a_column_whole_floats_or_one_hot(labels):
    assert labels_of(open_source((LEVELS, labels))) == ["0", "1", "1", "0"]


def test_labels_may_be_names():
    source = open_source((LEVELS, np.array(["b", "a", "a", "b"])))
    assert source.class_names() == ("a", "b")
    assert labels_of(source) == ["b", "a", "a", "b"]


def test_one_hot_columns_without_an_image_are_classes_all_the_same():
    assert open_source((LEVELS, np.eye(12)[LABELS])).class_names()[-2:] == ("10", "11")


def test_class_names_can_be_given():
    source = open_source((LEVELS, LABELS), class_names=["cat", "dog", "eel"])
    assert source.class_names() == ("cat", "dog", "eel")
    assert labels_of(source) == ["cat", "dog", "dog", "cat"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:3], "are 4, their labels 3"),
        (LABELS + 0.5, "not a whole number"),
        (-LABELS, "not a whole number"),
        (np.full(4, np.nan), "not a whole number"),
        (np.full((4, 2), 0.5), "not one-hot"),
        (np.zeros((4, 2, 2)), "expected \\(N,\\)"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels, message):
    with pytest.raises(SourceError, match=message):
        open_source((LEVELS, labels))


def test_too_few_class_names_are_refused():
    with pytest.raises(SourceError, match="go to 1, but there are 1"):
        open_source((LEVELS, LABELS), class_names=["cat"])


def test_repeated_class_names_are_refused():
    with pytest.raises(ConfigError, match="repeats a name"):
        open_source((LEVELS, LABELS), class_names=["cat", "cat"])


def test_keras_pairs_are_train_and_test():
    source = open_source(((LEVELS[:3], LABELS[:3]), (LEVELS[3:], LABELS[3:])))
    rows = [(source.record(i).locator, source.record(i).split) for i in range(4)]
    assert rows[2:] == [("train/row:2", "train"), ("test/row:0", "test")]


def test_a_mapping_names_its_splits():
    source = open_source({"test": LEVELS[:1], "val": LEVELS[1:2], "train": LEVELS[2:]})
    assert [source.record(i).split for i in range(4)] == ["train", "train", "val", "test"]


def test_a_mapping_with_another_split_is_refused():
    with pytest.raises(SourceError, match="'dev' is no split"):
        open_source({"dev": LEVELS})


def test_labels_on_one_split_alone_are_refused():
    with pytest.raises(SourceError, match="test has none"):
        open_source({"train": (LEVELS, LABELS), "test": LEVELS})


def test_something_else_is_refused_by_its_type():
    with pytest.raises(SourceError, match="found list"):
        open_source([1, 2])


def test_the_same_images_have_the_same_identities_in_every_container(tmp_path):
    np.save(tmp_path / "x.npy", LEVELS)
    sources = [LEVELS, npz(tmp_path, x=LEVELS), tmp_path / "x.npy", np.asfortranarray(LEVELS)]
    assert len({open_source(source).identity_bytes(2) for source in sources}) == 1


def test_an_array_source_survives_pickling():
    source = open_source((LEVELS, LABELS))
    again = pickle.loads(pickle.dumps(source))
    assert again.identity_bytes(3) == source.identity_bytes(3)


def test_an_index_outside_is_an_error():
    with pytest.raises(IndexError, match=r"not in \[0, 4\)"):
        open_source(LEVELS).record(4)


def test_decoded_pixels_belong_to_the_caller():
    source = open_source(LEVELS)
    decoded(source).pixels[:] = 9
    np.testing.assert_array_equal(decoded(source).pixels[:, :, 0], LEVELS[0])


def test_memory_cannot_be_opened_again_from_a_description():
    with pytest.raises(SourceError, match="pass the same arrays again"):
        source_from_description(open_source(LEVELS).describe())


def test_the_cifar_subset_is_balanced(real_data):
    source = open_source(real_data / "cifar10" / "cifar10_10k_2k.npz")
    counts = np.unique(labels_of(source)[:10_000], return_counts=True)[1]
    assert len(source) == 12_000
    assert counts.tolist() == [1000] * 10
