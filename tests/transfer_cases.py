"""Small bases and datasets for tests of transfer learning."""

import dataclasses
import functools

import numpy as np
from PIL import Image

from materialize.training.settings import TrainingSettings
from materialize.training.transfer import Transfer, make_transfer_model
from tests import training_cases

SIDE = (32, 32, 3)
SQUEEZENET_FILE = "keras_squeezenet/squeezenet_weights_tf_dim_ordering_tf_kernels_notop.h5"


def transfer(**more):
    """SqueezeNet with fresh weights: nothing to read, nothing to download."""
    return Transfer(**{"base": "squeezenet=none", "head_epochs": 1} | more)


def settings(**more):
    """Two epochs of phase two."""
    return TrainingSettings(**{"epochs": 2, "batch_size": 8, "learning_rate": 1e-3} | more)


def model(transfer_=None, *, seed=0, shape=SIDE):
    """A model for the loaders of `training_cases`."""
    return make_transfer_model(transfer_ or transfer(), shape, len(training_cases.CLASSES),
                               seed=seed)  # fmt: skip


def training(**more):
    """24 images that can be told apart."""
    return training_cases.loader(24, shape=SIDE, **more)


def validation():
    """9 untouched ones."""
    return training_cases.held_out(9, shape=SIDE)


def arrays(keras_model):
    """The weights by layer."""
    return {layer.name: layer.get_weights() for layer in keras_model.layers if layer.weights}


@functools.cache
def book_images(folder, side):
    """(images (n, side, side, 3) uint8, labels (n,)) of a folder of class folders."""
    images, labels = [], []
    for label, of_class in enumerate(sorted(p for p in folder.iterdir() if p.is_dir())):
        for path in sorted(of_class.glob("*.jpg")):
            picture = Image.open(path).convert("RGB").resize((side, side), Image.Resampling.BOX)
            images.append(np.asarray(picture))
            labels.append(label)
    return np.stack(images), np.array(labels)


def told_apart(features, labels):
    """The part whose nearest class centre, of all others' features, is that of its own class."""
    hits = 0
    for row, label in enumerate(labels):
        others = np.arange(len(labels)) != row
        centres = [features[others & (labels == c)].mean(axis=0) for c in np.unique(labels)]
        hits += int(np.argmin([np.sum((c - features[row]) ** 2) for c in centres])) == label
    return hits / len(labels)


def seeded(settings_, seed):
    """The same settings for another seed."""
    return dataclasses.replace(settings_, seed=seed)
