"""PyTorch's `DataLoader` shows a loader's batches in its order, with workers and without."""

import pickle
from functools import partial

import numpy as np
import pytest

from materialize.errors import ConfigError
from materialize.loader.adapters.torch_dataset import torch_batches, torch_samples
from materialize.loader.opening import LoaderOptions
from materialize.loader.stream import StreamingLoader
from tests.loader_cases import build, loader, pictures, shown

torch = pytest.importorskip("torch")
DataLoader = pytest.importorskip("torch.utils.data").DataLoader

# Libraries that other tests loaded warn of forks; the workers here touch none of them.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = tmp_path_factory.mktemp("torch") / "dataset"
    build(directory)
    return directory


def recipe(directory, **given):
    """Makes what `loader` makes."""
    options = {"batch_size": 8, "seed": 3, "options": LoaderOptions(threads=0)} | given
    return partial(StreamingLoader, directory, **options)


def pixels(batches):
    """(images, labels) of all batches, in one array each."""
    columns = zip(*[(images.numpy(), labels.numpy()) for images, labels in batches], strict=True)
    return tuple(np.concatenate(column) for column in columns)


def expected(directory, epochs):
    """(images, labels) as the loader itself gives them."""
    with loader(directory) as given:
        return tuple(
            map(np.concatenate, zip(*[shown(given.epoch(e))[:2] for e in epochs], strict=True))
        )


def assert_same(found, wanted):
    """Pixels and labels."""
    assert np.array_equal(found[0], wanted[0])
    assert np.array_equal(found[1], wanted[1])


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_batches_come_in_the_order_of_the_loader(dataset, num_workers):
    """Over the end of an epoch, which two workers do not share evenly."""
    batches = torch_batches(recipe(dataset, batch_size=7), epochs=2)
    found = pixels(DataLoader(batches, batch_size=None, num_workers=num_workers))
    assert_same(found, expected(dataset, [0, 1]))
    assert len(batches) == 18


def test_workers_that_are_spawned_make_the_loader_themselves(dataset):
    """Nothing of it can be pickled, nor need be."""
    batches = torch_batches(recipe(dataset))
    assert len(batches) == 8
    found = DataLoader(batches, batch_size=None, num_workers=1, multiprocessing_context="spawn")
    assert_same(pixels(found), expected(dataset, [0]))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_the_next_epoch_is_named(dataset, num_workers):
    """Workers that persist hear of it, too."""
    batches = torch_batches(recipe(dataset))
    given = DataLoader(
        batches, batch_size=None, num_workers=num_workers, persistent_workers=num_workers > 0
    )
    for epoch in (0, 2, 1):
        batches.set_epoch(epoch)
        assert_same(pixels(given), expected(dataset, [epoch]))


def test_a_copy_shows_the_same(dataset):
    """Pickled, it holds the recipe and the epoch."""
    batches = torch_batches(recipe(dataset), first_epoch=2)
    assert_same(pixels(pickle.loads(pickle.dumps(batches))), pixels(batches))


def test_tensors_lie_over_the_memory_of_the_batch(dataset):
    """Nothing is copied, also where channels come first."""
    made = recipe(dataset)()
    batches = torch_batches(lambda: made, channels_first=True)
    images, labels = next(iter(batches))
    assert images.shape == (8, 3, 12, 12)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64


def test_losses_accept_the_targets(dataset):
    """Class numbers and one-hot rows."""
    scores = torch.zeros(8, 3)
    for one_hot in (False, True):
        _, targets = next(iter(torch_batches(recipe(dataset), one_hot=one_hot)))
        assert float(torch.nn.functional.cross_entropy(scores, targets)) == pytest.approx(np.log(3))


def test_unlabelled_images_go_alone(tmp_path):
    """For prediction."""
    build(tmp_path / "dataset", source=pictures()[0])
    made = recipe(tmp_path / "dataset")
    assert next(iter(torch_batches(made))).shape == (8, 12, 12, 3)
    assert torch_samples(made)[3].shape == (12, 12, 3)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_samples_are_those_of_an_epoch(dataset, num_workers):
    """Row i of the samples in the copy of the epoch, collated by PyTorch."""
    samples = torch_samples(recipe(dataset))
    given = DataLoader(samples, batch_size=16, num_workers=num_workers)
    with loader(dataset) as plain:
        for epoch in (1, 2):
            samples.set_epoch(epoch)
            images, labels, rows, _ = shown(plain.epoch(epoch))
            by_row = np.argsort(rows)
            assert_same(pixels(given), (images[by_row], labels[by_row]))


def test_samples_of_an_epoch_with_all_copies(dataset):
    """They lie copy by copy."""
    samples = torch_samples(recipe(dataset, per_epoch="all"))
    alone = torch_samples(recipe(dataset), epoch=2)
    assert len(samples) == 180
    assert torch.equal(samples[2 * 60 + 7][0], alone[7][0])


def test_a_sample_that_does_not_exist_is_refused(dataset):
    """At both ends."""
    samples = torch_samples(recipe(dataset))
    for number in (-1, 60):
        with pytest.raises(IndexError):
            samples[number]


def test_a_shuffling_sampler_draws_every_sample_once(dataset):
    """The order is then PyTorch's."""
    samples = torch_samples(recipe(dataset))
    found = pixels(DataLoader(samples, batch_size=16, shuffle=True))
    assert sorted(map(bytes, found[0])) == sorted(map(bytes, expected(dataset, [0])[0]))


def test_the_loader_is_closed(dataset):
    """And made again when it is needed again."""
    batches = torch_batches(recipe(dataset))
    first = batches.loader
    batches.close()
    with pytest.raises(ValueError, match="closed"):
        next(iter(first.epoch(0)))
    assert_same(pixels(batches), expected(dataset, [0]))


def test_no_epochs_are_refused(dataset):
    """Before anything is read."""
    with pytest.raises(ConfigError, match="epochs"):
        torch_batches(recipe(dataset), epochs=0)
