"""From a generator to a dataset: what is stored is what flow shows, rounded once."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from materialize.errors import ConfigError
from materialize.loader.opening import OpenDataset
from pipelines.errors import ParameterError, PipelineError, UserCodeError
from pipelines.keras_generator import ImageDataGenerator
from pipelines.standardization import standardization_from_dict
from pipelines.standardizer import Standardizer
from tests.keras_generator_cases import (
    EVERY_RANGE,
    brightest,
    emptied,
    image_folder,
    images,
    jittered,
    symmetric,
    topmost,
    whole_epoch,
)

LABELS = np.arange(7)
"""One class for each image, so that rows of a dataset are found again."""


def stored(directory, copy, standardization=None):
    """(n, H, W, C) images of one copy, and the samples."""
    dataset = OpenDataset.open(directory)
    samples = dataset.samples("train")
    feed = dataset.feed(samples, (copy,))
    out = np.empty((len(samples), *feed.image_shape), feed.image_dtype)
    feed.fetch(np.arange(len(samples)), np.full(len(samples), copy), out)
    feed.close()
    if standardization is not None:
        out = dataset.standardizer(standardization).apply(out)
    return out, samples


def shown(generator, source, samples, copy):
    """What flow would show of the same samples, addressed by their ids in the dataset."""
    rows = samples.labels
    batch = generator.augment_batch(source[rows].astype(np.float32), seed=5,
                                    sample_ids=samples.ids, copy=copy)  # fmt: skip
    return generator.standardize_batch(batch)


@pytest.mark.parametrize("copy", [0, 1])
def test_a_stored_copy_is_what_flow_shows(tmp_path, copy):
    """At the same addresses, within half a level."""
    generator = ImageDataGenerator(**EVERY_RANGE)
    generator.materialize(tmp_path / "out", copies=2, seed=5, source=(images(), LABELS))
    found, samples = stored(tmp_path / "out", copy)
    expected = shown(generator, images(), samples, copy)
    assert np.abs(found - expected).max() <= 0.5 + 255e-4


@pytest.mark.parametrize("options", [
    {"rescale": 1 / 255}, {"samplewise_center": True, "samplewise_std_normalization": True},
    {"featurewise_center": True, "featurewise_std_normalization": True, "rescale": 1 / 255},
    {"featurewise_center": True, "zca_whitening": True, "zca_epsilon": 0.1, "rescale": 1 / 255},
], ids=str)  # fmt: skip
def test_every_standardisation_reaches_the_reader(tmp_path, options):
    """With statistics fitted on the dataset's own originals."""
    generator = ImageDataGenerator(horizontal_flip=True, **options)
    generator.fit(images())
    made = generator.materialize(tmp_path / "out", copies=1, seed=5, source=(images(), LABELS))
    found, samples = stored(tmp_path / "out", 0, made.standardization)
    expected = shown(generator, images(), samples, 0)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.ptp(expected))


def test_unit_images_are_stored_as_levels(tmp_path):
    """And read as what flow shows; the sentence says so."""
    generator = ImageDataGenerator(channel_shift_range=0.3, rescale=2.0)
    unit = (images() / 255).astype(np.float32)
    made = generator.materialize(tmp_path / "out", copies=1, seed=5, source=(unit, LABELS))
    found, samples = stored(tmp_path / "out", 0, made.standardization)
    assert stored(tmp_path / "out", 0)[0].dtype == np.uint8
    assert np.abs(found - shown(generator, unit, samples, 0)).max() <= 2 * (0.5 / 255 + 1e-4)
    assert "divided by 255" in made.quantisation


def test_float_images_stay_floats(tmp_path):
    """Nothing is rounded, and the sentence says so."""
    generator = ImageDataGenerator(rotation_range=20, channel_shift_range=9)
    source = images().astype(np.float32) + np.float32(0.25)
    made = generator.materialize(tmp_path / "out", copies=1, seed=5, source=(source, LABELS))
    found, samples = stored(tmp_path / "out", 0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, shown(generator, source, samples, 0), atol=255e-4)
    assert "nothing is rounded" in made.quantisation


def test_channels_first_arrays_are_stored_channels_last(tmp_path):
    """As every dataset is."""
    generator = ImageDataGenerator(data_format="channels_first")
    source = images().transpose(0, 3, 1, 2)
    generator.materialize(tmp_path / "out", copies=1, seed=5, source=(source, LABELS))
    found, samples = stored(tmp_path / "out", 0)
    np.testing.assert_array_equal(found, images()[samples.labels])


def test_the_validation_part_of_arrays_is_cut_off_as_by_flow(tmp_path):
    """The first of them, and never augmented."""
    generator = ImageDataGenerator(validation_split=0.3, horizontal_flip=True)
    made = generator.materialize(tmp_path / "out", copies=1, source=(images(), LABELS))
    assert made.manifest.populations[0].counts == {"train": 5, "val": 2, "test": 0}
    assert sorted(OpenDataset.open(tmp_path / "out").samples("val").labels) == [0, 1]


def test_the_same_call_writes_the_same_bytes(tmp_path):
    """Digest for digest."""
    generator = ImageDataGenerator(**EVERY_RANGE)
    given = {"copies": 2, "seed": 1, "source": (images(), LABELS)}
    made = [generator.materialize(tmp_path / name, **given).manifest for name in ("a", "b")]
    assert made[0].digest() == made[1].digest()


def test_without_a_source_the_latest_iterator_is_taken(tmp_path):
    """Its images, and only those of its subset."""
    generator = ImageDataGenerator(horizontal_flip=True, validation_split=0.3)
    flow = generator.flow(images(), LABELS % 2, subset="training", ignore_class_split=True)
    made = generator.materialize(tmp_path / "out", copies=1)
    assert made.manifest.populations[0].counts["train"] == flow.n == 5


def test_without_a_source_and_an_iterator_one_is_asked_for(tmp_path):
    """In a sentence that says how."""
    with pytest.raises(ParameterError, match="pass source="):
        ImageDataGenerator().materialize(tmp_path / "out", copies=1)


@pytest.mark.parametrize("kind", ["directory", "dataframe", "source"])
def test_folders_are_stored_with_their_classes(tmp_path, kind):
    """Listed by an iterator, or named."""
    root = image_folder(tmp_path / "photos")
    generator = ImageDataGenerator(rotation_range=10)
    if kind == "directory":
        flow = generator.flow_from_directory(root, target_size=(8, 9))
    elif kind == "dataframe":
        table = pd.DataFrame({"filename": [f"{n}/00.png" for n in ("cat", "dog")] + ["dog/01.png"],
                              "class": ["cat", "dog", "dog"]})  # fmt: skip
        flow = generator.flow_from_dataframe(table, root, target_size=(8, 9))
    source = {"source": root, "target_size": (8, 9)} if kind == "source" else {}
    made = generator.materialize(tmp_path / "out", copies=2, **source)
    assert made.manifest.class_names == ("cat", "dog")
    num_samples = 10 if kind == "source" else flow.n
    assert made.manifest.totals.num_rows == 2 * num_samples
    assert stored(tmp_path / "out", 1)[0].shape == (num_samples, 8, 9, 3)


def test_a_folder_with_a_validation_split_needs_a_split(tmp_path):
    """Keras cuts by file name, a dataset by content: the caller says which."""
    generator = ImageDataGenerator(validation_split=0.25)
    root = image_folder(tmp_path / "photos")
    with pytest.raises(ConfigError, match=r"0\.75/0\.25"):
        generator.materialize(tmp_path / "out", copies=1, source=root)


@pytest.mark.parametrize("options", [
    {"y_col": ["number", "number"], "class_mode": "multi_output"},
    {"y_col": "number", "class_mode": "raw"},
    {"y_col": "several"},
    {"weight_col": "number"},
], ids=str)  # fmt: skip
def test_targets_that_are_no_class_are_refused(tmp_path, options):
    """By name, before anything is written."""
    root = image_folder(tmp_path / "photos")
    table = pd.DataFrame({"filename": ["cat/00.png", "dog/00.png"], "class": ["cat", "dog"],
                          "number": [1.0, 2.0], "several": [["cat"], ["cat", "dog"]]})  # fmt: skip
    generator = ImageDataGenerator()
    flow = generator.flow_from_dataframe(table, root, **options)
    with pytest.raises(ConfigError, match="one class"):
        generator.materialize(tmp_path / "out", copies=1)
    assert flow.n == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [
    {"preprocessing_function": symmetric},
    {"preprocessing_function": brightest, "rescale": 0.5},
    {"preprocessing_function": symmetric, "featurewise_center": True, "rescale": 1 / 255},
    {"preprocessing_function": topmost, "data_format": "channels_first", "dtype": "float64"},
    {"preprocessing_function": symmetric, "samplewise_std_normalization": True,
     "samplewise_center": True, "source": (images() / 255).astype(np.float32)},
], ids=["range", "number", "statistics", "channels_first", "unit"])  # fmt: skip
def test_a_function_is_called_when_copies_are_read(tmp_path, options):
    """Before the rest of the standardisation, as flow calls it; the sentence says so."""
    source = options.pop("source", images())
    if options.get("data_format"):
        source = source.transpose(0, 3, 1, 2)
    generator = ImageDataGenerator(horizontal_flip=True, **options)
    generator.fit(source)
    made = generator.materialize(tmp_path / "out", copies=1, seed=5, source=(source, LABELS))
    read_back = standardization_from_dict(json.loads(json.dumps(made.standardization.to_dict())))
    found, samples = stored(tmp_path / "out", 0, read_back)
    expected = shown(generator, source, samples, 0)
    if options.get("data_format"):
        expected = expected.transpose(0, 2, 3, 1)
    np.testing.assert_allclose(found, expected, atol=1e-4 * (np.ptp(expected) or 1))
    assert "is called with them when they are read" in made.quantisation


@pytest.mark.parametrize(("function", "expected"), [
    (jittered, "the same values again"),
    (emptied, "let it end with `return image`"),
], ids=["random", "nothing"])  # fmt: skip
def test_a_function_that_nobody_can_repeat_is_refused(tmp_path, function, expected):
    """Before anything is written, with what to do."""
    generator = ImageDataGenerator(preprocessing_function=function)
    with pytest.raises(PipelineError, match=expected):
        generator.materialize(tmp_path / "out", copies=1, source=(images(), LABELS))
    assert not (tmp_path / "out").exists()


def test_a_function_without_a_name_is_called_and_not_written_down(tmp_path):
    """A lambda, as in a notebook: this program has it, a file would not."""
    generator = ImageDataGenerator(preprocessing_function=lambda image: image / 127.5 - 1)
    made = generator.materialize(tmp_path / "out", copies=1, seed=5, source=(images(), LABELS))
    found, samples = stored(tmp_path / "out", 0, made.standardization)
    np.testing.assert_allclose(found, shown(generator, images(), samples, 0), atol=1e-5)
    with pytest.raises(ParameterError, match="write it with `def` at the top level of a module"):
        made.standardization.to_dict()


def test_a_function_plays_no_part_in_statistics():
    """Another one, or another version of it, fits none anew."""
    functions = (symmetric, lambda image: image, None)
    made = [ImageDataGenerator(preprocessing_function=f, featurewise_center=True)
            .to_standardization() for f in functions]  # fmt: skip
    assert len({each.fingerprint() for each in made}) == 1


def test_a_function_that_changed_is_named():
    """Its code is part of the standardisation."""
    made = ImageDataGenerator(preprocessing_function=symmetric).to_standardization()
    other = replace(made, preprocessing=replace(made.preprocessing, code="sha256 0"))
    with pytest.raises(UserCodeError, match=r"symmetric: expected the code .* found sha256 "):
        Standardizer(other, None, (8, 9, 3))


def test_a_flow_of_a_stored_copy_needs_no_augmentation(tmp_path):
    """What was stored feeds a plain generator."""
    generator = ImageDataGenerator(rotation_range=30)
    generator.materialize(tmp_path / "out", copies=1, source=(images(), LABELS))
    found, _ = stored(tmp_path / "out", 0)
    again = whole_epoch(ImageDataGenerator().flow(found, shuffle=False))
    np.testing.assert_array_equal(again, found)
