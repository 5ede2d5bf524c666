"""What fitting a Keras model shows it, on whatever backend."""

import hashlib
import threading

import numpy as np

from materialize.loader.adapters.keras_dataset import keras_dataset
from tests.loader_cases import loader


def digest(images):
    """Of the pixels of a batch, wherever they are."""
    return hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest()


def places(given, epochs=8):
    """From the digest of a batch to (epoch, index); no two batches are alike."""
    found = {
        digest(batch.images): [epoch, batch.index]
        for epoch in range(epochs)
        for batch in given.epoch(epoch)
    }
    assert len(found) == epochs * len(given)
    return found


def recording(num_classes=3, *, built=False, limit=None):
    """(model, list of digests of what reaches its train_step), which fails after ``limit``."""
    import keras

    seen = []

    class Recording(keras.Sequential):
        def train_step(self, *given):
            if len(seen) == limit:
                raise KeyboardInterrupt
            seen.append(digest(keras.ops.convert_to_numpy(given[-1][0])))
            return super().train_step(*given)

    layers = [keras.layers.Flatten(), keras.layers.Dense(num_classes)]
    model = Recording([keras.Input((12, 12, 3)), *layers] if built else layers)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, run_eagerly=True)
    return model, seen


def fitted(dataset, **how):
    """The digests of what one fit of a new model shows it."""
    model, seen = recording(built=how.pop("built", False))
    model.fit(dataset, verbose=0, **({"epochs": 3, "shuffle": False} | how))
    return seen


def refusal(dataset):
    """What is said when the order is left to Keras."""
    try:
        fitted(dataset, shuffle=True)
    except Exception as error:  # noqa: BLE001  # each backend has its own
        return str(error)
    return "no error"


def facts(directory):
    """JSON-ready: three epochs of 8 batches, of 1 batch, and what a shuffled fit says."""
    found = {}
    for size in (8, 30, 60):
        with loader(directory, batch_size=size) as given:
            where, dataset = places(given), keras_dataset(given)
            runs = [fitted(dataset, built=built) for built in (False, True)]
            found[str(size)] = [where[name] for run in runs for name in run]
    with loader(directory) as given:
        found["refusal"] = refusal(keras_dataset(given))
    return found


def in_order(num_batches, epochs):
    """The (epoch, index) of every batch of the first epochs."""
    return [[epoch, index] for epoch in range(epochs) for index in range(num_batches)]


def threads():
    """The names of the threads that loaders started."""
    return [t.name for t in threading.enumerate() if t.name.startswith("materialize-loader")]
