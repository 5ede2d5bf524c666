"""contrast: offline against on-the-fly with everything else equal."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from materialize.commands.frameworks import start_keras
from materialize.commands.options import JSON, SectionedCommand
from materialize.exit_codes import ExitCode

if TYPE_CHECKING:
    from materialize.contrast.job_files import Changes
    from materialize.contrast.jobs import ContrastJob
    from materialize.contrast.measurement import Bench
    from materialize.contrast.results import ArmSummary, ContrastResult

REPORT_FILE = "contrast.html"

_MILLION = 1_000_000


@click.command(
    cls=SectionedCommand,
    examples=(
        "materialize contrast --experiment digits",
        "materialize contrast --experiment cifar10 --source cifar10.npz --quick",
        "materialize contrast photos.toml --seeds 10 --output photos-contrast",
        "materialize contrast --experiment fashion_mnist --arms none,on-the-fly --epochs 5",
    ),
)
@click.argument("job_file", metavar="[JOB.toml]", required=False, type=click.Path())
@click.option("--experiment", metavar="NAME", help="An experiment that comes with the package: "
              "books, cifar10, digits … instead of a job file.")  # fmt: skip
@click.option("--source", metavar="SOURCE", help="Where the images are, instead of where the file "
              "says.")  # fmt: skip
@click.option("--output", metavar="DIR", help="Where dataset, runs and report go; named after the "
              "experiment or the job file unless given.")  # fmt: skip
@click.option("--quick/--full", default=None, help="The quick form, or the full one; quick unless "
              "given, where there is one.")  # fmt: skip
@click.option("--arms", metavar="ARM,…", help="Of none, offline, on-the-fly, prefix.")
@click.option("--copies", metavar="K,…", help="The K's of the offline arm.")
@click.option("--seeds", type=int, metavar="N", help="Trainings of each arm.")
@click.option("--epochs", type=int, metavar="N", help="Of each training.")
@click.option("--base", metavar="BASE", help="A pretrained base: a weights file or a name.")
@JSON
def contrast(
    job_file: str | None, experiment: str | None, output: str | None, *, as_json: bool, **given: Any
) -> int:
    """Train without augmentation, from K stored copies, on the fly and from prefixes, all alike.

    Weights, order and number of steps are the same in all arms; the report says what the arms reach
    and cost, which K suffices, and proves that K ≥ epochs ends with the weights of on-the-fly. Each
    training is kept as it finishes: the same command goes on where it stopped.
    """
    from materialize.commands.interruption import orderly_end
    from materialize.console import progress_shown
    from materialize.contrast.running import RESULT_FILE, open_bench, run_all

    job = _job(job_file, experiment, _changes(given))
    start_keras()
    work = Path(output or f"{experiment or Path(str(job_file)).stem}-contrast")
    with orderly_end(work), progress_shown() as progress:
        bench = open_bench(job, work, progress)
        result = run_all(bench, command=_command(), progress=progress)
    report = write_report(result, bench)
    if as_json:
        from materialize.commands.output import print_json

        print_json(result.to_json())
    else:
        print_contrast(result)
        click.echo(f"\n{work / RESULT_FILE}\n{report}")
    # A proof that fails means that this machine trains otherwise twice, or that bytes differ.
    return ExitCode.DAMAGE if result.proof.holds is False else ExitCode.DONE


def _job(job_file: str | None, experiment: str | None, changes: "Changes") -> "ContrastJob":
    from materialize.contrast.job_files import experiment_names, read_contrast, read_experiment

    if (job_file is None) == (experiment is None):
        names = ", ".join(experiment_names())
        raise click.UsageError(f"expected either a job file or --experiment NAME, of {names}")
    if experiment is not None:
        return read_experiment(experiment, changes)
    return read_contrast(str(job_file), changes)


def _changes(given: dict[str, Any]) -> "Changes":
    from materialize.contrast.job_files import Changes

    copies, arms = given.pop("copies"), given.pop("arms")
    try:
        counts = None if copies is None else tuple(int(part) for part in copies.split(","))
    except ValueError as error:
        raise click.UsageError(
            f"--copies: expected numbers such as 1,2,4, got {copies!r}"
        ) from error
    names = None if arms is None else tuple(part.strip() for part in arms.split(","))
    return Changes(arms=names, copies=counts, **given)


def _command() -> str:
    """The command line as it was typed, without the program's place."""
    context = click.get_current_context()
    root = context.find_root().info_name or "materialize"
    return shlex.join([root, *_arguments(context)])


def _arguments(context: click.Context) -> list[str]:
    """The options of this call that were given, in the order of the help."""
    words = [str(context.info_name)]
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        value = context.params.get(str(parameter.name))
        if source is not click.core.ParameterSource.COMMANDLINE or value is None:
            continue
        if isinstance(parameter, click.Argument):
            words.append(str(value))
        elif isinstance(value, bool):
            words.append(parameter.opts[0] if value else parameter.secondary_opts[0])
        else:
            words += [parameter.opts[0], str(value)]
    return words


def write_report(result: "ContrastResult", bench: "Bench") -> Path:
    """The page, with the very copies that were trained on and where the dataset's bytes are."""
    from materialize.atomic import write_file
    from materialize.pictures.gallery import GalleryOptions, draw_gallery
    from materialize.pictures.sheet import png_bytes
    from materialize.report.contrast_page import render_contrast
    from materialize.summary import account_of

    foundation = bench.foundation
    standing = foundation.opened.standing
    options = GalleryOptions(seed=bench.job.augmentation_seed)
    gallery = draw_gallery(foundation.source, foundation.population, foundation.pipeline, options)
    account = account_of(foundation.directory, standing.populations, standing.manifest.shards)
    path = bench.work / REPORT_FILE
    write_file(path, render_contrast(result, gallery=png_bytes(gallery), account=account))
    return path


def print_contrast(result: "ContrastResult") -> None:
    """The arms, the verdicts and the proof, for a terminal."""
    from materialize.commands.output import table

    click.echo(f"{result.title} ({result.form} form)\n")
    table("Test accuracy", [_accuracy_row(arm) for arm in result.arms])
    table("Seconds of a training", [_time_row(arm) for arm in result.arms])
    table(
        f"Against on-the-fly, margin {100 * result.margin:g} points",
        [
            (f"K={v.copies}", v.verdict, _needs(v.needed_seeds, v.remark))
            for v in result.verdicts
        ],
        are_numbers=False,
    )  # fmt: skip
    table(
        "Ablation",
        [(row.label, f"{100 * row.accuracy:.1f} %", row.verdict) for row in result.ablation],
    )
    smallest = result.smallest_sufficient
    if result.verdicts:
        click.echo(f"Smallest sufficient K: {'none found' if smallest is None else smallest}")
    word = {True: "holds", False: "FAILS", None: "not tested"}[result.proof.holds]
    click.echo(f"Equivalence {word}: {result.proof.reason}")


def _accuracy_row(arm: "ArmSummary") -> tuple[str, str, str]:
    remarks = []
    if arm.accuracy_low is not None and arm.accuracy_high is not None:
        remarks.append(f"{100 * arm.accuracy_low:.1f} to {100 * arm.accuracy_high:.1f}")
    if arm.difference is not None:
        remarks.append(f"{100 * arm.difference:+.1f} points to on-the-fly")
    scores = [f"{name} {100 * value:.0f} %" for name, value in arm.extra_scores.items()]
    if scores:
        remarks.append(", ".join(scores))
    return arm.name, f"{100 * arm.accuracy:.1f} %", "; ".join(remarks)


def _time_row(arm: "ArmSummary") -> tuple[str, str, str]:
    remark = (
        f"wait {arm.wait_s:.1f}, compute {arm.compute_s:.1f}; CPU {arm.cpu_s:.1f} of which "
        f"augment {arm.augment_s:.2f}, read {arm.read_s:.2f}; {arm.images_per_s:,.0f} images/s, "
        f"stall {100 * arm.stall_fraction:.1f} %, {arm.stored_bytes / _MILLION:,.1f} MB stored"
    )
    return arm.name, f"{arm.wall_s:.1f}", remark


def _needs(seeds: int | None, remark: str) -> str:
    return remark if seeds is None else f"needs n ≥ {seeds}"
