"""Batches as numbers: standardised at reading, with statistics that are fitted once."""

import numpy as np
import pytest

from materialize.errors import ConfigError
from materialize.loader.augmenting import AugmentingLoader
from materialize.loader.opening import LoaderOptions, OpenDataset
from materialize.sources import open_source
from pipelines.errors import ParameterError
from tests.loader_cases import SEED, build, loader, pictures, shown


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("standardized") / "dataset"
    build(directory)
    return directory


def test_levels_become_numbers_of_their_own_memory(dataset):
    """[0, 255] to [0, 1], in float32."""
    unit = OpenDataset.open(dataset).standardizer("unit")
    levels = shown(loader(dataset).epoch(0))[0]
    with loader(dataset, standardizer=unit) as batches:
        numbers = shown(batches.epoch(0))[0]
        assert batches.image_dtype == np.float32
    assert np.allclose(numbers, levels / 255, atol=1e-6)


@pytest.mark.parametrize("threads", [0, 2])
def test_the_training_part_has_mean_zero_and_deviation_one(dataset, threads):
    """Over its untouched images, channel by channel."""
    featurewise = OpenDataset.open(dataset).standardizer("featurewise")
    options = LoaderOptions(threads=threads)
    batches = loader(dataset, copies=(-1,), standardizer=featurewise, options=options)
    numbers = shown(batches.epoch(0))[0].astype(np.float64)
    assert np.allclose(numbers.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    assert np.allclose(numbers.std(axis=(0, 1, 2)), 1, atol=1e-4)


def test_statistics_are_fitted_once_and_read_afterwards(dataset):
    """Whoever asks again, for copies or for another arm, gets the stored ones."""
    first = OpenDataset.open(dataset).standardizer("featurewise").identity()
    files = {path: path.stat().st_mtime_ns for path in dataset.glob("statistics-*")}
    again = OpenDataset.open(dataset).standardizer("featurewise").identity()
    assert again == first
    assert files == {path: path.stat().st_mtime_ns for path in dataset.glob("statistics-*")}


def test_every_fold_has_its_own(dataset):
    """What is held out is not looked at."""
    opened = OpenDataset.open(dataset)
    digests = {
        opened.standardizer("featurewise", opened.fold(fold, folds=3)[0]).identity()["statistics"]
        for fold in range(3)
    }
    assert len(digests) == 3


def test_on_the_fly_reads_the_same_numbers(dataset):
    """The standardiser of the dataset serves every arm."""
    zca = OpenDataset.open(dataset).standardizer("zca")
    on_the_fly = AugmentingLoader(
        open_source(pictures()), "cifar10", batch_size=8, seed=3, augmentation_seed=SEED,
        standardizer=zca,
    )  # fmt: skip
    stored = shown(loader(dataset, standardizer=zca).epoch(1))[0]
    assert np.array_equal(shown(on_the_fly.epoch(1))[0], stored)


def test_it_is_part_of_what_decides_the_batches(dataset):
    """Levels and numbers are not the same run."""
    unit = OpenDataset.open(dataset).standardizer("unit")
    assert loader(dataset, standardizer=unit).identity() != loader(dataset).identity()


def test_statistics_need_the_untouched_images(tmp_path):
    """They are fitted on nothing else."""
    build(tmp_path / "bare", originals=False)
    with pytest.raises(ConfigError, match="--originals"):
        OpenDataset.open(tmp_path / "bare").standardizer("featurewise")


def test_another_word_is_refused(dataset):
    """With those there are."""
    with pytest.raises(ParameterError, match="featurewise"):
        OpenDataset.open(dataset).standardizer("whiten")
