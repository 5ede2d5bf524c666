"""Small contrasts on the embedded digits, and runs made of figures, for tests."""

from materialize.contrast.job_files import parse_contrast
from materialize.contrast.results import RunResult
from materialize.training.result import EpochFigures

SMALL = """
title = "small"
source = "digits"
split = "0.1/0.1/0.8"
pipeline = "digits"
arms = {arms}
copies = {copies}
seeds = {seeds}
{more}

[training]
model = "mnist"
epochs = {epochs}
batch-size = 64
"""


def small_job(*, arms=("none", "on-the-fly"), copies=(1,), seeds=1, epochs=1, more=""):
    """A contrast that takes seconds."""
    text = SMALL.format(arms=list(arms), copies=list(copies), seeds=seeds, epochs=epochs, more=more)
    return parse_contrast(text, "small.toml")


def figures(epoch, loss):
    """An epoch of which only the loss matters."""
    return EpochFigures(
        epoch=epoch, loss=loss, accuracy=0.5, learning_rate=1e-3, num_images=10, num_steps=1,
        seconds=1.0, wait_s=0.1, compute_s=0.9,
    )  # fmt: skip


def run(name, seed=0, *, weights="a", losses=(1.0, 0.5, 0.25), accuracy=0.9, **changes):
    """A run of an arm by its name."""
    arm, _, copies = name.partition(" K=")
    facts = {
        "name": name, "arm": arm, "copies": int(copies) if copies else None, "seed": seed,
        "epochs": tuple(figures(epoch, loss) for epoch, loss in enumerate(losses)),
        "test_accuracy": accuracy, "test_loss": 0.3, "train_accuracy": 0.95,
        "initial_weights": "0" * 64, "weights": weights * 64, "num_steps": 3, "wall_s": 1.0,
        "cpu_s": 1.0, "augment_s": 0.0, "read_s": 0.0, "wait_s": 0.1, "compute_s": 0.9,
        "images_per_s": 30.0, "stall_fraction": 0.1,
    }  # fmt: skip
    return RunResult(**(facts | changes))
