"""Datasets and ways to look at exports, for tests."""

import csv
import hashlib

import numpy as np

from materialize.builder import BuildOptions, build_dataset
from materialize.loader.opening import LoaderOptions
from materialize.loader.stream import StreamingLoader
from materialize.population import Division, ScanOptions
from materialize.recipe import Recipe
from materialize.sources import open_source

CLASSES = ("cat", "dog", "a/b", "A:B", 'ring, "gold"')
"""Names that a file system or a table may stumble over; two fall together there."""


def pictures(count=40, side=8, channels=3, dtype=np.uint8):
    """(images, labels): noise in five classes."""
    rng = np.random.default_rng(3)
    shape = (count, side, side, channels)
    if dtype == np.uint8:
        images = rng.integers(0, 256, shape, np.uint8)
    else:
        images = rng.random(shape, np.float32)
    return images, np.arange(count) % len(CLASSES)


def build(directory, source=None, *, split="0.6/0.2/0.2", class_names=CLASSES, **recipe):
    """Two copies of the training images and the originals of all, a few images to a shard."""
    opened = open_source(pictures(), class_names=class_names) if source is None else source
    options = {"copies": 2, "seed": 5, "originals": True, "shard_bytes": 4096} | recipe
    scan = ScanOptions(division=None if split is None else Division.parse(split))
    return build_dataset(
        opened, directory, "cifar10", Recipe(**options), options=BuildOptions(scan=scan)
    )


def stored(directory, split, copies):
    """(images, labels, ids in hex, copies) as the loader reads them: copy by copy, by sample id."""
    options = LoaderOptions(shuffle="none", threads=0)
    with StreamingLoader(
        directory, batch_size=7, split=split, copies=copies, per_epoch="all", options=options
    ) as loader:
        batches = list(loader.epoch(0))
        ids = [bytes(loader.samples.ids[row]).hex() for b in batches for row in b.rows]
    columns = [np.concatenate([getattr(b, n) for b in batches]) for n in ("images", "labels")]
    return (*columns, ids, np.concatenate([b.copies for b in batches]))


def rows_of(output):
    """The rows of an exported folder's table."""
    with (output / "index.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(output):
    """Every file of an export, by path, as its SHA-256."""
    files = sorted(path for path in output.rglob("*") if path.is_file())
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
