"""A dataset from which images are removed, for tests."""

from materialize.builder import build_dataset
from materialize.loader.opening import OpenDataset
from materialize.recipe import Recipe

VICTIMS = ["a/004.png", "b/011.png"]


def make(place, source, **recipe):
    options = Recipe(**{"copies": 3, "shard_bytes": 4096, "originals": True} | recipe)
    build_dataset(source, place, "cifar10", options)
    return place


def ids_of(directory, locators):
    """The sample ids, in hex, of images by locator."""
    populations = OpenDataset.open(directory).standing.populations
    return {
        population.ids[row].tobytes().hex()
        for population in populations
        for row, locator in enumerate(population.locators)
        if locator in locators
    }


def without(images, ids):
    return {key: value for key, value in images.items() if key[0] not in ids}
