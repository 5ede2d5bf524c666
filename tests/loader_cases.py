"""Datasets and loaders for tests: small, in many shards, of every codec."""

from dataclasses import replace

import numpy as np

from materialize.builder import BuildOptions, build_dataset
from materialize.loader.opening import LoaderOptions
from materialize.loader.stream import StreamingLoader
from materialize.recipe import Recipe

SEED = 5
"""Of the augmentation."""
PLAIN = LoaderOptions(shuffle="none", threads=0)


def pictures(count=60, side=12, seed=0):
    """(images, labels): noise in three classes, with class 0 first and class 2 last."""
    images = np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)
    return images, np.arange(count) * 3 // count


def build(directory, source=None, **recipe):
    """Three copies and the originals, ten images to a shard."""
    options = Recipe(copies=3, seed=SEED, originals=True, shard_bytes=4320)
    options = replace(options, **recipe)
    images = pictures() if source is None else source
    return build_dataset(images, directory, "cifar10", options, options=BuildOptions())


def loader(directory, *, options=None, **given):
    """A loader of a dataset, eight images to a batch, fetching in this thread."""
    given = {"batch_size": 8, "seed": 3} | given
    return StreamingLoader(directory, options=options or LoaderOptions(threads=0), **given)


def shown(batches):
    """(images, labels, rows, copies) of some batches, each in one array."""
    columns = [(b.images, b.labels, b.rows, b.copies) for b in batches]
    return tuple(np.concatenate(column) for column in zip(*columns, strict=True))


def equal(one, other):
    """Whether two runs of batches are the same, batch by batch and bit for bit."""
    pairs = list(zip(one, other, strict=True))
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for a, b in pairs
        for name in ("images", "labels", "rows", "copies")
    )
