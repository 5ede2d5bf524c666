"""The keys of a training's job file, which are the options of `materialize train`, with meanings.

Said once: the command's help, the example file and messages about missing keys read it here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from materialize.config import key_of
from materialize.loader.opening import LoaderOptions
from materialize.training.selection import Selection
from materialize.training.settings import TrainingSettings
from materialize.training.transfer import Transfer

REQUIRED = ("dataset", "output", "epochs")
"""What a training cannot do without."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key."""

    text: str
    kind: type = str
    """str, int, float or bool."""


SECTIONS: Mapping[str, Mapping[str, Key]] = {
    "Run": {
        "output": Key("The run's directory; the same command goes on there."),
        "checkpoint_steps": Key("Also save every N steps, not only after each epoch.", int),
        "checkpoint_s": Key("Also save after so many seconds.", float),
    },
    "Model": {
        "model": Key("cifar10, fashion-mnist, vgg16, mnist, blood-cells or resnet."),
        "standardize": Key("none, unit, symmetric, featurewise, samplewise or zca."),
        "mixed_precision": Key("Compute in float16; for GPUs.", bool),
        "seed": Key("Initial weights, dropout and order.", int),
        "deterministic": Key("Only operations that give the same bits twice.", bool),
    },
    "Transfer": {
        "base": Key("A pretrained base: NAME, NAME=FILE, or a file of SqueezeNet's."),
        "train_from": Key("The layer from which the base is trained."),
        "head_epochs": Key("Of the head alone, before.", int),
        "head_learning_rate": Key("Of the head alone.", float),
        "dropout": Key("Before the head.", float),
    },
    "Images": {
        "copies": Key("The first N copies of each image; all unless given.", int),
        "originals": Key("Train on the untouched images.", bool),
        "per_epoch": Key("one: epoch e shows copy e mod K; all: every copy."),
        "fold": Key("Hold out this fold of the training part, from 0.", int),
        "folds": Key("How many folds there are; without --fold, a model for each.", int),
        "pinned": Key("Digest of the manifest to read."),
    },
    "Steps": {
        "epochs": Key("How many, at most.", int),
        "batch_size": Key("Images of a step.", int),
        "steps_per_epoch": Key("Steps of an epoch; all there are unless given.", int),
        "optimizer": Key("adam, adamw, sgd, rmsprop, nadam or lion."),
        "learning_rate": Key("Of the first step, or the highest.", float),
        "momentum": Key("For sgd and rmsprop.", float),
        "weight_decay": Key("Decoupled; the optimiser's own unless given.", float),
        "clip_norm": Key("The largest norm of all gradients.", float),
        "schedule": Key("constant, cosine, exponential or plateau."),
        "warmup_steps": Key("Steps over which cosine rises.", int),
        "schedule_factor": Key("What exponential and plateau multiply by.", float),
        "schedule_patience": Key("Epochs that plateau waits.", int),
    },
    "Labels": {
        "label_smoothing": Key("So much of a label goes to all classes.", float),
        "class_weights": Key("balanced; in a job file also a list of numbers."),
    },
    "Stopping": {
        "patience": Key("Stop after N epochs without a better one.", int),
        "monitor": Key("What better means: val_loss, val_accuracy, loss, accuracy."),
        "keep": Key("Which weights to end with: last or best."),
    },
    "Reading": {
        "shuffle": Key("global, window or none."),
        "block_rows": Key("For window: neighbours read together.", int),
        "window_blocks": Key("For window: blocks that are mixed.", int),
        "threads": Key("That read.", int),
        "prefetch": Key("Calls ahead of the model.", int),
        "verify": Key("Check shards: first time, always or never."),
        "on_damage": Key("error, or regenerate from the source."),
    },
}
"""Headline → field's name → key."""

_DATASET = "The directory that `materialize build` wrote."
_MEANINGS = {"dataset": _DATASET} | {
    name: key.text for keys in SECTIONS.values() for name, key in keys.items()
}
_DEFAULTS = {
    field.name: field.default
    for kind in (TrainingSettings, Selection, Transfer, LoaderOptions)
    for field in fields(kind)
    if field.default is not MISSING
}
_EXAMPLES = {"output": "run", "epochs": 5, "model": "mnist"}
_TRAINING = {field.name for field in fields(TrainingSettings)}


def meaning(name: str) -> str:
    """What a key means, without the full stop."""
    return _MEANINGS[name].removesuffix(".")


def default(name: str) -> Any:
    """A key's value where it is not given; None if there is none."""
    return _DEFAULTS.get(name)


def example_job() -> str:
    """A job file with every key; it trains on the digits as soon as they are built."""
    lines = [
        "# A training. A key is an option without its dashes; with a # in front it has the value",
        "# that is shown, or none. Relative paths start at this file's folder. To run it as it is:",
        "#",
        "#   materialize build --source digits --pipeline digits --copies 5 --split 0.8/0.1/0.1 \\",
        "#       --originals --output digits-augmented",
        "#   materialize train --job train.toml",
        "",
        _line("dataset", "digits-augmented", _DATASET),
    ]
    for headline, keys in SECTIONS.items():
        lines += ["", f"# {headline}", *(_key_line(name, key) for name, key in keys.items())]
    return "\n".join(lines) + "\n"


def settings_lines(given: Mapping[str, Any]) -> Iterator[str]:
    """The keys of `TrainingSettings`, a line for each.

    Args:
        given: those that have a value, by field name; the others are comments.
    """
    for keys in SECTIONS.values():
        for name, key in keys.items():
            if name in _TRAINING:
                yield _key_line(name, key, given)


def _key_line(name: str, key: Key, given: Mapping[str, Any] = _EXAMPLES) -> str:
    if name in given:
        return _line(name, given[name], key.text)
    return _line(f"# {name}", default(name), key.text)


def _line(name: str, value: Any, text: str) -> str:
    """``epochs = 5`` and what it means, in columns."""
    return f"{f'{key_of(name)} = {_in_toml(value)}'.strip():<36}# {text}"


def _in_toml(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"
