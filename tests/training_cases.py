"""Small trainings for tests: images that can be told apart, loaders over them, models, kills."""

import numpy as np

from materialize.loader.feeds import Spent
from materialize.loader.loader import Loader
from materialize.loader.order import OrderOptions, Visits
from materialize.loader.pace import Pace
from materialize.loader.samples import Samples
from materialize.sources.targets import NO_TARGETS, Field, TargetSchema
from materialize.training.models import make_model
from materialize.training.settings import TrainingSettings

CLASSES = ("circle", "square", "star")
SHAPE = (8, 8, 1)


class ArrayFeed:
    """Images in memory; copy c of an image is darker by c levels."""

    def __init__(self, images):
        self.images = images
        self.image_shape, self.image_dtype = images.shape[1:], images.dtype
        self.spent = Spent()

    def begin_epoch(self, copies):
        pass

    def end_epoch(self):
        pass

    def fetch(self, rows, copies, out):
        dark = np.maximum(copies, 0).reshape(-1, 1, 1, 1).astype(self.image_dtype)
        out[:] = np.where(self.images[rows] > dark, self.images[rows] - dark, 0)

    def close(self):
        pass


def make_samples(count, *, split="train", classes=CLASSES, first=0, labels=None, weights=None):
    """Samples with ids ``first`` … in ascending order, classes in turn.

    ``weights`` are of classes, and become a field of their images.
    """
    ids = np.zeros((count, 16), np.uint8)
    ids[:, 14:] = np.arange(first, first + count, dtype=">u2").view(np.uint8).reshape(-1, 2)
    if labels is None:
        labels = np.arange(count) % max(len(classes), 1)
    labels = np.asarray(labels, np.int32)
    fields, schema = {}, NO_TARGETS
    if weights is not None:
        fields = {"weight": np.asarray(weights, np.float32)[labels]}
        schema = TargetSchema(fields=(Field("weight", "weight"),))
    return Samples(split, ids, labels, classes, np.arange(count), fields, schema)


def make_images(labels, *, shape=SHAPE, seed=0, dtype=np.uint8):
    """Noise with a bright third of rows that tells the class."""
    images = np.random.default_rng(seed).integers(0, 120, (len(labels), *shape), dtype=np.uint8)
    third = shape[0] // 3 + 1
    for image, label in zip(images, np.maximum(labels, 0), strict=True):
        image[label * third : (label + 1) * third] += 60
    return images if dtype == np.uint8 else images.astype(dtype) / 255


def loader(count=40, *, batch_size=8, copies=None, seed=0, drop_remainder=False, threads=0, **more):
    """A loader over images in memory; 40 images in batches of 8 give five steps an epoch."""
    samples = make_samples(count, **{k: v for k, v in more.items() if k not in ("shape", "dtype")})
    images = make_images(
        samples.labels, seed=more.get("first", 0), shape=more.get("shape", SHAPE),
        dtype=more.get("dtype", np.uint8),
    )  # fmt: skip
    return Loader(
        ArrayFeed(images), samples, Visits(copies),
        batch_size=batch_size, order=OrderOptions(seed=seed),
        pace=Pace(threads=threads, drop_remainder=drop_remainder), source={"kind": "test"},
    )  # fmt: skip


def held_out(count=20, **more):
    """A validation part of untouched images."""
    return loader(count, copies=(-1,), split="val", first=1000, **more)


def settings(epochs=3, **more):
    """Settings of a short training."""
    return TrainingSettings(epochs=epochs, **{"model": "fashion-mnist", "batch_size": 8} | more)


def model(name="fashion-mnist", *, seed=0, **more):
    """A model of a tutorial for the small images: with dropout, unless named otherwise."""
    return make_model(name, more.pop("shape", SHAPE), len(CLASSES), seed=seed, **more)


def own_model():
    """A model nobody has named, with normalisation, and dropout that was given no seed."""
    import keras

    keras.utils.set_random_seed(5)
    return keras.Sequential(
        [
            keras.Input(SHAPE, dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(len(CLASSES), activation="softmax"),
        ]
    )
