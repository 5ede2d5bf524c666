"""train."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from materialize.commands.options import ALLOW_CODE, JSON
from materialize.config import key_of
from materialize.training.job import OPTION_NAMES, read_training_options, training_job
from materialize.training.job_keys import REQUIRED, SECTIONS, default, example_job

if TYPE_CHECKING:
    from materialize.training.ensemble import EnsembleReport
    from materialize.training.trainer import TrainingReport

_CLICK: Mapping[type, Mapping[str, Any]] = {
    str: {"metavar": "TEXT"},
    int: {"type": int, "metavar": "N"},
    float: {"type": float, "metavar": "X"},
    bool: {"is_flag": True},
}
"""How click is told of each kind of key."""


class _TrainCommand(click.Command):
    """Shows its options under the headlines of `job_keys.SECTIONS`."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes each section, then what belongs to none."""
        records = {p.name: p.get_help_record(ctx) for p in self.get_params(ctx)}
        grouped = {
            headline: [records.pop(name) for name in options]
            for headline, options in SECTIONS.items()
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
    for keys in reversed(list(SECTIONS.values())):
        for name, key in reversed(list(keys.items())):
            option = key_of(name)
            # A flag that a job file sets must be possible to take back.
            flag = f"--{option}/--no-{option}" if key.kind is bool else f"--{option}"
            add = click.option(
                flag, name, default=None, help=key.text + _aside(name), **_CLICK[key.kind]
            )
            command = add(command)
    return command


def _aside(name: str) -> str:
    """An option's default, or that it must be given."""
    if name in REQUIRED:
        return "  [required, here or in the job file]"
    value = default(name)
    if isinstance(value, bool) or value is None:
        return ""
    return f"  [default: {value:g}]" if isinstance(value, float) else f"  [default: {value}]"


@click.command(cls=_TrainCommand)
@click.argument("dataset", metavar="[DATASET]", type=click.Path(), required=False)
@_training_options
@click.option("--job", "job_file", type=click.Path(), metavar="FILE",
              help="A TOML file with these options as keys; what is given here wins.")  # fmt: skip
@click.option("--example", is_flag=True, help="Print a job file with every key, and end.")
@ALLOW_CODE
@JSON
def train(as_json: bool, job_file: str | None, example: bool, **given: Any) -> None:
    """Train a model on a dataset; killed anywhere, the same command goes on.

    Validation and test images are the untouched ones of those parts, and are never augmented.
    Equal shards, seed and environment give equal weights: their digest is printed and stored.
    """
    from materialize.commands.frameworks import start_keras
    from materialize.commands.interruption import interruption_noted
    from materialize.commands.notices import notices_shown
    from materialize.console import progress_shown
    from materialize.training.ensemble import train_folds
    from materialize.training.record import FLAGS
    from materialize.training.trainer import train_dataset

    if example:
        click.echo(example_job(), nl=False)
        return
    options = read_training_options(job_file) if job_file else {}
    options |= {name: given[name] for name in OPTION_NAMES if given.get(name) is not None}
    job = training_job(options, origin=job_file or "the command line")
    start_keras()
    flags = {name: os.environ[name] for name in FLAGS if name in os.environ}
    kept = partial(_kept, Path(job.output))
    with interruption_noted(kept), notices_shown(), progress_shown() as progress:
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


def _kept(output: Path) -> str:
    """What a training that is stopped now goes on from."""
    from materialize.training.checkpoint import CHECKPOINT_FILE

    if any(output.rglob(CHECKPOINT_FILE)):
        return "the last checkpoint is kept, and the same command goes on from it"
    return (
        "no checkpoint was written yet, so the same command starts over; the first comes after an "
        "epoch, or earlier with --checkpoint-s or --checkpoint-steps"
    )


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
        ("epochs", str(len(result.epochs)), f"{stopped}the best is number {result.best_epoch + 1}"),
        ("time", duration(result.seconds), f"{result.cpu_s:.1f} s of processor time"),
        ("speed", f"{result.images_per_s:,.0f} images/s", "while reading and computing"),
        ("stall", f"{result.stall_fraction:.2%}",
         f"waited {result.wait_s:.2f} s, computed {result.compute_s:.2f} s"),
        ("start", duration(result.warmup_s + result.compile_s),
         "loading code and compiling, once; no part of speed and stall"),
        ("train", f"{last.accuracy:.2%}", f"loss {last.loss:.4f}, last epoch"),
    ]  # fmt: skip
    for name, evaluation in report.evaluations.items():
        images = f"{len(evaluation.predictions):,} images"
        rows.append((name, f"{evaluation.accuracy:.2%}", f"loss {evaluation.loss:.4f}, {images}"))
    rows.append(("weights", "", result.weights_digest))
    rows.append(("files", "", str(report.directory)))
    return rows
