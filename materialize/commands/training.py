"""train."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click

from materialize.commands.options import JSON
from materialize.config import key_of
from materialize.loader.opening import LoaderOptions
from materialize.training.job import OPTION_NAMES, read_training_options, training_job
from materialize.training.selection import Selection
from materialize.training.settings import TrainingSettings
from materialize.training.transfer import Transfer

if TYPE_CHECKING:
    from materialize.training.ensemble import EnsembleReport
    from materialize.training.trainer import TrainingReport

_DEFAULTS = {
    field.name: field.default
    for kind in (TrainingSettings, Selection, Transfer, LoaderOptions)
    for field in fields(kind)
}

_WHOLE: Mapping[str, Any] = {"type": int, "metavar": "N"}
_NUMBER: Mapping[str, Any] = {"type": float, "metavar": "X"}
_TEXT: Mapping[str, Any] = {"metavar": "TEXT"}
_FLAG: Mapping[str, Any] = {"is_flag": True}

_SECTIONS: Mapping[str, Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "Run": {
        "output": ("The run's directory; the same command goes on there.", {"metavar": "DIR"}),
        "checkpoint_steps": ("Also save every N steps, not only after each epoch.", _WHOLE),
        "checkpoint_s": ("Also save after so many seconds.", _NUMBER),
    },
    "Model": {
        "model": ("cifar10, fashion-mnist, vgg16, mnist, blood-cells or resnet.", _TEXT),
        "standardize": ("none, unit, symmetric, featurewise, samplewise or zca.", _TEXT),
        "mixed_precision": ("Compute in float16; for GPUs.", _FLAG),
        "seed": ("Initial weights, dropout and order.", _WHOLE),
        "deterministic": ("Only operations that give the same bits twice.", _FLAG),
    },
    "Transfer": {
        "base": ("A pretrained base: NAME, NAME=FILE, or a file of SqueezeNet's.", _TEXT),
        "train_from": ("The layer from which the base is trained.", _TEXT),
        "head_epochs": ("Of the head alone, before.", _WHOLE),
        "head_learning_rate": ("Of the head alone.", _NUMBER),
        "dropout": ("Before the head.", _NUMBER),
    },
    "Images": {
        "copies": ("The first N copies of each image; all unless given.", _WHOLE),
        "originals": ("Train on the untouched images.", _FLAG),
        "per_epoch": ("one: epoch e shows copy e mod K; all: every copy.", _TEXT),
        "fold": ("Hold out this fold of the training part, from 0.", _WHOLE),
        "folds": ("How many folds there are; without --fold, a model for each.", _WHOLE),
        "pinned": ("Digest of the manifest to read.", _TEXT),
    },
    "Steps": {
        "epochs": ("How many, at most.", _WHOLE),
        "batch_size": ("Images of a step.", _WHOLE),
        "steps_per_epoch": ("Steps of an epoch; all there are unless given.", _WHOLE),
        "optimizer": ("adam, adamw, sgd, rmsprop, nadam or lion.", _TEXT),
        "learning_rate": ("Of the first step, or the highest.", _NUMBER),
        "momentum": ("For sgd and rmsprop.", _NUMBER),
        "weight_decay": ("Decoupled; the optimiser's own unless given.", _NUMBER),
        "clip_norm": ("The largest norm of all gradients.", _NUMBER),
        "schedule": ("constant, cosine, exponential or plateau.", _TEXT),
        "warmup_steps": ("Steps over which cosine rises.", _WHOLE),
        "schedule_factor": ("What exponential and plateau multiply by.", _NUMBER),
        "schedule_patience": ("Epochs that plateau waits.", _WHOLE),
    },
    "Labels": {
        "label_smoothing": ("So much of a label goes to all classes.", _NUMBER),
        "class_weights": ("balanced; in a job file also a list of numbers.", _TEXT),
    },
    "Stopping": {
        "patience": ("Stop after N epochs without a better one.", _WHOLE),
        "monitor": ("What better means: val_loss, val_accuracy, loss, accuracy.", _TEXT),
        "keep": ("Which weights to end with: last or best.", _TEXT),
    },
    "Reading": {
        "shuffle": ("global, window or none.", _TEXT),
        "block_rows": ("For window: neighbours read together.", _WHOLE),
        "window_blocks": ("For window: blocks that are mixed.", _WHOLE),
        "threads": ("That read.", _WHOLE),
        "prefetch": ("Calls ahead of the model.", _WHOLE),
        "verify": ("Check shards: first time, always or never.", _TEXT),
        "on_damage": ("error, or regenerate from the source.", _TEXT),
    },
}  # fmt: skip


class _TrainCommand(click.Command):
    """Shows its options under the headlines of `_SECTIONS`."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes each section, then what belongs to none."""
        records = {p.name: p.get_help_record(ctx) for p in self.get_params(ctx)}
        grouped = {
            headline: [records.pop(name) for name in options]
            for headline, options in _SECTIONS.items()
        }
        for headline, lines in {**grouped, "Options": list(records.values())}.items():
            with formatter.section(headline):
                formatter.write_dl([line for line in lines if line is not None])

    def format_epilog(
        self,
        ctx: click.Context,  # noqa: ARG002  # click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Writes examples, as they would be typed."""
        with formatter.section("Examples"):
            for line in (
                "materialize train photos-augmented --epochs 20 --output run",
                "materialize train photos-augmented --epochs 50 --patience 5 --output run",
                "materialize train --job train.toml",
            ):
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")


def _training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for options in reversed(list(_SECTIONS.values())):
        for name, (text, kind) in reversed(options.items()):
            default = _DEFAULTS.get(name)
            if isinstance(default, str | int | float) and not isinstance(default, bool):
                text += f"  [default: {default:g}]" if isinstance(default, float) else (
                    f"  [default: {default}]"
                )  # fmt: skip
            key = key_of(name)
            # A flag that a job file sets must be possible to take back.
            flag = f"--{key}/--no-{key}" if kind is _FLAG else f"--{key}"
            command = click.option(flag, name, default=None, help=text, **kind)(command)
    return command


@click.command(cls=_TrainCommand)
@click.argument("dataset", metavar="[DATASET]", type=click.Path(), required=False)
@_training_options
@click.option("--job", "job_file", type=click.Path(), metavar="FILE",
              help="A TOML file with these options as keys; what is given here wins.")  # fmt: skip
@JSON
def train(as_json: bool, job_file: str | None, **given: Any) -> None:
    """Train a model on a dataset; killed anywhere, the same command goes on.

    Validation and test images are the untouched ones of those parts, and are never augmented.
    Equal shards, seed and environment give equal weights: their digest is printed and stored.
    """
    from materialize.commands.frameworks import start_keras
    from materialize.console import progress_shown
    from materialize.training.ensemble import train_folds
    from materialize.training.record import FLAGS
    from materialize.training.trainer import train_dataset

    options = read_training_options(job_file) if job_file else {}
    options |= {name: given[name] for name in OPTION_NAMES if given.get(name) is not None}
    job = training_job(options, origin=job_file or "the command line")
    start_keras()
    flags = {name: os.environ[name] for name in FLAGS if name in os.environ}
    with progress_shown() as progress:
        if job.all_folds is not None:
            folds = train_folds(
                job.dataset, job.output, job.settings, folds=job.all_folds,
                selection=job.selection, options=job.options, transfer=job.transfer, flags=flags,
                progress=progress,
            )  # fmt: skip
            _print_folds(folds, as_json)
            return
        report = train_dataset(
            job.dataset, job.output, job.settings, selection=job.selection, options=job.options,
            transfer=job.transfer, flags=flags, progress=progress,
        )  # fmt: skip
    _print(report, as_json)


def _print_folds(report: "EnsembleReport", as_json: bool) -> None:
    """A row for each fold, and one for all of them together."""
    from materialize.commands.output import print_json, table

    if as_json:
        print_json(report.to_json())
        return
    rows = []
    for fold in report.folds:
        test = "" if fold.test is None else f"test {fold.test.accuracy:.2%}, "
        weights = fold.result.weights_digest[:16]
        remark = f"{test}{len(fold.result.epochs)} epochs, weights {weights}"
        rows.append((f"fold {fold.fold}", f"{fold.held_out.accuracy:.2%}", remark))
    count = len(report.held_out.predictions)
    remark = f"{count:,} images, each by the model that was not trained on it"
    rows.append(("together", f"{report.held_out.accuracy:.2%}", remark))
    table("Accuracy on what was held out", rows)
    if report.test is not None:
        hits, count = int(report.test.confusion.trace()), len(report.test.predictions)
        remark = f"{hits:,} of {count:,} images, loss {report.test.loss:.4f}"
        table("Mean of all models", [("test", f"{report.test.accuracy:.2%}", remark)])
    click.echo(f"\nLook at {report.directory}")


def _print(report: "TrainingReport", as_json: bool) -> None:
    from materialize.commands.output import print_json, table

    if as_json:
        print_json(report.to_json())
        return
    for name, evaluation in report.evaluations.items():
        rows = [
            (c.name, f"{c.recall:.1%}", f"precision {c.precision:.1%}, {c.support:,} images")
            for c in evaluation.classes
        ]
        table(f"Found in {name}, by class", rows[:20])
    table("Training", _rows(report))


def _rows(report: "TrainingReport") -> Sequence[tuple[str, str, str]]:
    """The final figures."""
    from materialize.console import duration

    result = report.result
    last = result.epochs[-1]
    stopped = "stopped early, " if result.stopped_early else ""
    rows = [
        ("epochs", str(len(result.epochs)), f"{stopped}best epoch {result.best_epoch}, from 0"),
        ("time", duration(result.seconds), f"{result.cpu_s:.1f} s of processor time"),
        ("speed", f"{result.images_per_s:,.0f} images/s", "while reading and computing"),
        ("stall", f"{result.stall_fraction:.2%}",
         f"waited {result.wait_s:.2f} s, computed {result.compute_s:.2f} s"),
        ("train", f"{last.accuracy:.2%}", f"loss {last.loss:.4f}, last epoch"),
    ]  # fmt: skip
    for name, evaluation in report.evaluations.items():
        images = f"{len(evaluation.predictions):,} images"
        rows.append((name, f"{evaluation.accuracy:.2%}", f"loss {evaluation.loss:.4f}, {images}"))
    rows.append(("weights", "", result.weights_digest))
    rows.append(("files", "", str(report.directory)))
    return rows
