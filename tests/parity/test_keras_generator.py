"""The drop-in generator beside the class of Keras 3: draws, pixels, batches, errors, warnings.

Pixels of drawn dictionaries over all borders, sizes and value ranges are in `test_keras_pixels`,
standardisation in `test_keras_standardize`; here the classes are compared as they are used.
"""

import inspect
import itertools
import warnings

import numpy as np
import pandas as pd
import pytest

from pipelines.keras_generator import ImageDataGenerator
from tests.keras_generator_cases import EVERY_RANGE, RANGES, image_folder, images
from tests.parity.keras_cases import ImageDataGenerator as Original
from tests.parity.keras_cases import both, near_jump, outcome
from tests.standardization_cases import levels

# Keras calls SciPy and Pillow by names that these have deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
METHODS = ("__init__", "flow", "flow_from_directory", "flow_from_dataframe", "standardize",
           "get_random_transform", "apply_transform", "random_transform", "fit")  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_every_argument_of_keras_is_here(name):
    """Same names, same order, same defaults; our own come after, by keyword."""
    ours, theirs = (
        [p for p in inspect.signature(getattr(kind, name)).parameters.values()
         if p.kind is p.POSITIONAL_OR_KEYWORD]
        for kind in (ImageDataGenerator, Original)
    )  # fmt: skip
    assert [(p.name, p.default) for p in ours] == [(p.name, p.default) for p in theirs]


@pytest.mark.parametrize("options", RANGES.values(), ids=RANGES)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_seed_draws_keras_numbers(options, data_format):
    """The dictionary of `get_random_transform`, for 20 seeds."""
    ours, theirs = both(**options, data_format=data_format)
    for seed in range(20):
        found = ours.get_random_transform((30, 20, 40), seed)
        assert found == theirs.get_random_transform((30, 20, 40), seed)


@pytest.mark.parametrize("options", RANGES.values(), ids=RANGES)
@pytest.mark.parametrize("size", [(16, 16), (12, 21)])
def test_a_random_transform_is_keras_own(options, size):
    """The same seed gives the same image, within 1e-4 of the range but for jumps; brightness may
    truncate a level apart."""
    ours, theirs = both(**options)
    source = images(8, *size, dtype=np.float32)
    bound = 255e-4 if "brightness_range" not in options else 2.0
    for seed, image in enumerate(source):
        drawn = ours.get_random_transform(image.shape, seed)
        expected = theirs.random_transform(image.copy(), seed)
        far = np.abs(ours.random_transform(image, seed) - expected).max(axis=2) > bound
        jumps = near_jump(drawn, *size, options.get("fill_mode", "nearest"),
                          options.get("interpolation_order", 1))  # fmt: skip
        assert not (far & ~jumps).any()


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("scale", [1.0, 3.0, -0.5])
def test_brightness_is_keras_own(channels, dtype, scale):
    """To the last digits on floats, within [0, 255] and outside; alpha is left alone."""
    ours, theirs = both()
    for factor in (0.0, 0.3, 1.0, 2.7):
        image = images(1, channels=channels, dtype=dtype)[0] * np.dtype(dtype).type(scale)
        found, expected = (
            g.apply_transform(image.copy(), {"brightness": factor}) for g in (ours, theirs)
        )
        np.testing.assert_allclose(found, expected, atol=1e-3)


def test_channels_first_is_channels_last_transposed():
    """For every parameter but brightness, which Keras applies along the wrong axis there."""
    for seed in range(6):
        ours, theirs = both(**EVERY_RANGE, data_format="channels_first")
        image = images(1, dtype=np.float32)[0].transpose(2, 0, 1)
        found, expected = (g.random_transform(image.copy(), seed) for g in (ours, theirs))
        np.testing.assert_allclose(found, expected, atol=255e-4)


@pytest.mark.parametrize("channels", [2, 5])
def test_any_number_of_channels_is_transformed(channels):
    """As SciPy does it for Keras."""
    ours, theirs = both(**EVERY_RANGE)
    image = images(1, channels=channels, dtype=np.float32)[0]
    found, expected = (g.random_transform(image.copy(), 3) for g in (ours, theirs))
    np.testing.assert_allclose(found, expected, atol=255e-4)


def test_float64_is_keras_to_the_last_digits():
    """The engine is of single precision, so these go through SciPy."""
    ours, theirs = both(**EVERY_RANGE, dtype="float64")
    image = images(1, dtype=np.float64)[0]
    found, expected = (g.random_transform(image.copy(), 3) for g in (ours, theirs))
    np.testing.assert_allclose(found, expected, atol=1e-9)


STANDARDISATIONS = [
    {"rescale": rescale} | each for rescale, each in itertools.product((None, 1 / 255), (
        {"samplewise_center": True}, {"samplewise_std_normalization": True},
        {"featurewise_center": True}, {"featurewise_std_normalization": True},
        {"zca_whitening": True}, {"zca_whitening": True, "samplewise_std_normalization": True},
        {"featurewise_std_normalization": True, "samplewise_center": True},
    ))
]  # fmt: skip


@pytest.mark.parametrize("options", STANDARDISATIONS, ids=str)
@pytest.mark.parametrize("count", [300, 40])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_fit_and_flow_are_keras(options, count, data_format):
    """Through fit and flow, with more and with fewer images than values."""
    source = levels((count, 6, 5, 3))
    if data_format == "channels_first":
        source = source.transpose(0, 3, 1, 2)
    found, expected = [], []
    for generator, out in zip(both(**options, data_format=data_format, dtype="float64"),
                              (found, expected), strict=True):  # fmt: skip
        generator.fit(source)
        out.append(generator.flow(source[:9], shuffle=False)[0])
    np.testing.assert_allclose(found[0], expected[0], atol=1e-4 * np.ptp(expected[0]))


@pytest.mark.parametrize("name", ["mean", "std"])
def test_statistics_have_keras_shape_and_dtype(name):
    """So that they can be saved and loaded as Keras' are."""
    for data_format in ("channels_last", "channels_first"):
        ours, theirs = both(featurewise_std_normalization=True, data_format=data_format)
        for generator in (ours, theirs):
            generator.fit(images(5, 3, 3, 3))
        found, expected = getattr(ours, name), getattr(theirs, name)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("rescale", [None, 0.5])
def test_an_augmented_fit_is_keras(rescale):
    """With its seed, its rounds and its order: rescale first, then transform."""
    ours, theirs = both(**EVERY_RANGE, featurewise_std_normalization=True, rescale=rescale)
    source = images(9, 12, 12, 3)
    for generator in (ours, theirs):
        generator.fit(source, augment=True, rounds=3, seed=11)
    np.testing.assert_allclose(ours.mean, theirs.mean, rtol=1e-4)
    np.testing.assert_allclose(ours.std, theirs.std, rtol=1e-4)


X, Y = images(10), np.arange(10) % 2


def same(found, expected):
    """Batches of equal structure and values."""
    assert type(found) is type(expected)
    if isinstance(found, list | tuple):
        for one, other in zip(found, expected, strict=True):
            same(one, other)
        return
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


ARRAYS = {
    "images": (X, None, None), "labels": (X, Y, None), "weights": (X, Y, np.arange(10)),
    "one-hot": (X, np.eye(2)[Y], None), "list": (X, list(Y), None),
    "inputs": ((X, Y), Y, None), "more inputs": ((X, [Y, X[:, 0]]), None, None),
    "floats": (X / 255, Y, None),
}  # fmt: skip


@pytest.mark.parametrize("case", ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize("subset", [None, "training", "validation"])
def test_batches_of_arrays_are_keras(case, subset):
    """Structure, dtypes and values, over one epoch and a little more."""
    x, y, weights = case
    if subset == "training" and weights is not None:
        pytest.skip("Keras gives training images the weights of others")
    ours, theirs = (
        g.flow(x, y, sample_weight=weights, batch_size=4, shuffle=False, subset=subset)
        for g in both(validation_split=0.4, rescale=1 / 255)
    )
    assert (len(ours), ours.n) == (len(theirs), theirs.n)
    for _ in range(len(ours) + 1):
        same(next(ours), next(theirs))
    same(ours[0], theirs[0])


FOLDERS = {
    "categorical": {}, "binary": {"class_mode": "binary"}, "sparse": {"class_mode": "sparse"},
    "input": {"class_mode": "input"}, "none": {"class_mode": None},
    "grey": {"color_mode": "grayscale"}, "rgba": {"color_mode": "rgba"},
    "classes": {"classes": ["dog", "cat"]}, "one class": {"classes": ["dog"]},
    "training": {"subset": "training"}, "validation": {"subset": "validation"},
    "aspect": {"keep_aspect_ratio": True, "interpolation": "bilinear"},
    **{name: {"interpolation": name}
       for name in ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")},
    "bad mode": {"class_mode": "raw"}, "bad colour": {"color_mode": "hsv"},
    "bad subset": {"subset": "test"},
}  # fmt: skip
ATTRIBUTES = ("n", "samples", "batch_size", "class_mode", "filenames", "filepaths", "image_shape",
              "target_size", "color_mode", "data_format", "total_batches_seen", "batch_index",
              "subset", "split", "shuffle", "dtype")  # fmt: skip


@pytest.mark.parametrize("options", FOLDERS.values(), ids=FOLDERS)
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_folders_are_read_as_by_keras(tmp_path, options, data_format, capsys):
    """Files, classes, sentences, attributes and batches."""
    root = image_folder(tmp_path / "photos")
    (root / "cat" / "deeper").mkdir()
    (root / "cat" / "00.png").rename(root / "cat" / "deeper" / "z.png")
    (root / "cat" / "notes.txt").write_text("no image")
    ours, theirs = both(validation_split=0.4, data_format=data_format)
    given = {"target_size": (9, 20), "batch_size": 4, "shuffle": False} | options
    expected = outcome(theirs.flow_from_directory, root, **given)
    assert outcome(ours.flow_from_directory, root, **given) == expected
    if expected[0] is not None:
        return
    capsys.readouterr()
    one = ours.flow_from_directory(root, **given)
    said = capsys.readouterr().out
    other = theirs.flow_from_directory(root, **given)
    assert said == capsys.readouterr().out
    for name in (*ATTRIBUTES, "class_indices", "num_classes"):
        assert getattr(one, name) == getattr(other, name), name
    np.testing.assert_array_equal(one.classes, other.classes)
    np.testing.assert_array_equal(one.labels, other.labels)
    for _ in range(len(one) + 1):
        same(next(one), next(other))


def table(root):
    names = [f"{label}/{index:02}.png" for label in ("cat", "dog") for index in range(5)]
    return pd.DataFrame({
        "filename": names, "class": [name[:3] for name in names],
        "several": [["red", "cat"], ["red"], ("blue",), ["cat"], ["red", "blue"]] * 2,
        "number": np.arange(10.0), "other": np.arange(10) * 2, "weight": np.linspace(0, 1, 10),
        "absolute": [str(root / name) for name in names],
        "missing": [*names[:8], "cat/none.png", "dog/none.txt"],
        "wrong": [*names[:9], 7], "threefold": list("abcabcabca"),
    })  # fmt: skip


FRAMES = {
    "categorical": {}, "binary": {"class_mode": "binary"}, "sparse": {"class_mode": "sparse"},
    "input": {"class_mode": "input"}, "none": {"class_mode": None},
    "raw": {"class_mode": "raw", "y_col": "number"},
    "raw columns": {"class_mode": "raw", "y_col": ["number", "other"]},
    "multi_output": {"class_mode": "multi_output", "y_col": ["number", "other"]},
    "other": {"class_mode": "other", "y_col": "number"},
    "lists": {"y_col": "several"}, "lists kept": {"y_col": "several", "classes": ["red", "blue"]},
    "classes": {"classes": ["dog", "cat"]}, "one class": {"classes": ["dog"]},
    "weights": {"weight_col": "weight"}, "weights raw": {"weight_col": "other",
                                                         "class_mode": "raw", "y_col": "number"},
    "absolute": {"x_col": "absolute", "directory": None},
    "missing": {"x_col": "missing"},
    "training": {"subset": "training"}, "validation": {"subset": "validation"},
    "unchecked": {"validate_filenames": False},
    "ignored classes": {"class_mode": "raw", "y_col": "number", "classes": ["cat"]},
    "deprecated": {"has_ext": True, "sort": True, "drop_duplicates": True},
    "not text": {"x_col": "wrong"}, "three for binary": {"class_mode": "binary",
                                                          "y_col": "threefold"},
    "one for binary": {"class_mode": "binary", "classes": ["cat"]},
    "numbers for sparse": {"class_mode": "sparse", "y_col": "number"},
    "numbers for categorical": {"y_col": "number"},
    "text for multi_output": {"class_mode": "multi_output", "y_col": "number"},
    "text for weights": {"weight_col": "class"},
    "columns for one": {"y_col": ["class", "threefold"]},
    "columns for sparse": {"class_mode": "sparse", "y_col": ["class"]},
    "bad mode": {"class_mode": "soft"}, "bad colour": {"color_mode": "hsv"},
}  # fmt: skip


@pytest.mark.parametrize("options", FRAMES.values(), ids=FRAMES)
def test_tables_are_read_as_by_keras(tmp_path, options, capsys):
    """Rows, classes, weights, sentences, attributes and batches."""
    root = image_folder(tmp_path / "photos")
    frame = table(root)
    ours, theirs = both(validation_split=0.4)
    given = {"directory": root, "target_size": (9, 20), "batch_size": 4, "shuffle": False} | options
    expected = outcome(theirs.flow_from_dataframe, frame, **given)
    assert outcome(ours.flow_from_dataframe, frame, **given) == expected
    if expected[0] is not None:
        return
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = ours.flow_from_dataframe(frame, **given)
        said = capsys.readouterr().out
        other = theirs.flow_from_dataframe(frame, **given)
    assert said == capsys.readouterr().out
    for name in ATTRIBUTES:
        assert getattr(one, name) == getattr(other, name), name
    assert getattr(one, "class_indices", None) == getattr(other, "class_indices", None)
    for _ in range(len(one) + 1):
        same(next(one), next(other))


def test_an_iterator_is_a_dataset_of_keras():
    """`fit`, `evaluate` and `predict` take it, with class weights, validation and workers."""
    import keras

    generator = ImageDataGenerator(**EVERY_RANGE, validation_split=0.4, rescale=1 / 255)
    training = generator.flow(X, Y, batch_size=3, subset="training", seed=1)
    validation = generator.flow(X, Y, batch_size=3, subset="validation", shuffle=False)
    assert isinstance(training, keras.utils.PyDataset)
    training.workers = 2
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        history = model.fit(training, validation_data=validation, epochs=3, verbose=0,
                            class_weight={0: 1.0, 1: 2.0})  # fmt: skip
        assert model.predict(validation, verbose=0).shape == (4, 2)
    assert len(history.history["val_loss"]) == 3
    assert training.epoch == 3


def test_the_first_epoch_of_fit_is_epoch_0():
    """Although Keras tries batches out before it begins."""
    import keras

    shown = []

    class Watched(ImageDataGenerator):
        def augment_batch(self, x, **address):
            shown.append(address["copy"])
            return super().augment_batch(x, **address)

    flow = Watched().flow(X, Y, batch_size=5)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(flow, epochs=3, verbose=0)
    assert shown[-6:] == [0, 0, 1, 1, 2, 2]
