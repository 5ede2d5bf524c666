"""The keys of a contrast's job file, with what they mean, and a file that has them all.

Said once: the command's help, the example file and messages about missing keys read it here.
"""

from collections.abc import Mapping

from materialize.training.job_keys import settings_lines

KEYS: Mapping[str, str] = {
    "title": "What the report is called.",
    "prepare": "A preparation of a tutorial's data: books or blood_cells.",
    "excerpt": "A table: which records to take; everything unless given.",
    "arms": "Some of none, offline, on-the-fly, prefix; all unless given.",
    "copies": "The K's of the offline arm; 1, 2 and 4 unless given.",
    "seeds": "Trainings of each arm, at least 3 for any verdict; 3 unless given.",
    "augmentation-seed": "Of the draws, the same in all trainings; 7 unless given.",
    "margin": "Of equivalence, as a fraction: 0.01 is one point.",
    "warm": "Also train on the fly from where the arm none ended.",
    "ablation": "without, alone or both: what each transform does.",
    "folds": "Cross-validate the training part; the folds' models are averaged.",
    "fold-kind": "stratified, or plain.",
    "base": "A pretrained base instead of the model: NAME, NAME=FILE or a file.",
    "train-from": "With a base: train this layer and all after it.",
    "training": "A table: the keys of `materialize train` from Model to Stopping.",
    "cost": "A table: service, months, prices and more for the money lines.",
    "published": "Tables: measure, setting and value of a tutorial's figures.",
    "notes": "Sentences for the report.",
    "variant": "Tables by name: what --variant NAME changes of all this.",
    "quick": "A table: what --quick changes of all this.",
}
"""A contrast's own keys."""

IMAGE_KEYS: Mapping[str, str] = {
    "source": "A folder, .csv, .tsv, .npz or .npy file, keras:NAME, or digits.",
    "split": "Such as 0.8/0.1/0.1, of a source without splits of its own.",
    "pipeline": "A preset, a .toml file, or a table [pipeline].",
    "resize": "First bring every image to a size, such as 96x128:cover.",
}
"""Those of a build that most contrasts need; the others are taken as well."""

REQUIRED = ("title", "source", "pipeline", "training", "training.epochs")
"""What a contrast cannot do without."""

_EPOCHS = "How often each training shows every image."


def meaning(key: str) -> str:
    """What a required key means, without the full stop."""
    return {"training.epochs": _EPOCHS, **KEYS, **IMAGE_KEYS}[key].removesuffix(".")


def example_job() -> str:
    """A job file with every key; it runs as it is, on the digits, in less than a minute."""
    training = "\n".join(settings_lines({"model": "mnist", "epochs": 4}))
    return _EXAMPLE.replace("@TRAINING@", training)


_EXAMPLE = """\
# A contrast. Keys with a # in front may be left out and have the value that is shown, or none.
# Relative paths start at this file's folder. To run it as it is, in less than a minute:
#
#   materialize contrast contrast.toml

title = "Digits, an example"      # what the report is called

# Which images: the keys of a build job (`materialize build --help`)
source = "digits"                 # a folder, .csv, .tsv, .npz or .npy, "keras:NAME", "digits"
split = "0.2/0.1/0.7"             # train/val/test, of a source without splits of its own
# resize = "96x128:cover"         # bring every image to one size first
# prepare = "books"               # a tutorial's data as published: books or blood_cells

# Which arms
arms = ["none", "offline", "on-the-fly", "prefix"]
copies = [1, 4]                   # the K's of the offline arm; K ≥ epochs is what is proven
seeds = 3                         # trainings of each arm; fewer than 3 decide nothing
# augmentation-seed = 7           # of the draws, the same in all trainings
# margin = 0.01                   # of equivalence: one point of accuracy
# warm = false                    # also on the fly from where the arm none ended
# ablation = ["without", "alone"] # what each transform does
# folds = 5                       # cross-validate the training part
# fold-kind = "stratified"        # or "plain"
# base = "squeezenet.h5"          # a pretrained base instead of the model
# train-from = "fire6"            # with a base: this layer and all after it
# notes = ["A sentence for the report."]

# The pipeline: a preset's name or a file (pipeline = "cifar10"), or as here
[pipeline]
border = "constant"

[[pipeline.step]]
transform = "width_shift"
by = 0.13

[[pipeline.step]]
transform = "height_shift"
by = 0.13

# The training: the keys of `materialize train`
[training]
@TRAINING@

# Which records to take; everything unless given
# [excerpt]
# classes = ["3", "8"]
# train-per-class = 100
# val-per-class = 20
# test-per-class = 100

# What the money lines are computed for
# [cost]
# service = "s3-standard"         # a name in the price book
# months = 12                     # how long shards are stored
# prices = "prices.toml"          # a price book of your own
# epochs = 100                    # of a training run; the contrast's unless given
# training-runs = 1               # that share the stored copies
# gpu-price-per-hour = 2.5

# Figures of a tutorial, shown beside ours
# [[published]]
# measure = "test accuracy"
# setting = "their words for what was trained"
# value = 0.93
# arm = "on-the-fly"

# What a variant changes: `materialize contrast contrast.toml --variant flipped`
# [variant.flipped]
# title = "Digits, flipped"
# [[variant.flipped.pipeline.step]]
# transform = "horizontal_flip"

# What the quick form changes: `materialize contrast contrast.toml` is quick where there is one
# [quick]
# seeds = 3
# [quick.training]
# epochs = 2
"""
