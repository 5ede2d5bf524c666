"""contrast: offline against on-the-fly with everything else equal."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from materialize.commands.frameworks import start_keras
from materialize.commands.notices import notices_shown, notify
from materialize.commands.options import JSON, SectionedCommand
from materialize.exit_codes import ExitCode

if TYPE_CHECKING:
    from materialize.contrast.job_files import Changes
    from materialize.contrast.jobs import ContrastJob
    from materialize.contrast.measurement import Bench
    from materialize.contrast.results import ArmSummary, ContrastResult

REPORT_FILE = "contrast.html"

_MILLION = 1_000_000


class _ContrastCommand(SectionedCommand):
    """Shows the keys of a job file as well."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the options, then the keys."""
        from materialize.contrast.job_keys import IMAGE_KEYS, KEYS

        super().format_options(ctx, formatter)
        with formatter.section("Keys of a job file (--example prints one with all of them)"):
            formatter.write_dl([*IMAGE_KEYS.items(), *KEYS.items()])


@click.command(
    cls=_ContrastCommand,
    examples=(
        "materialize contrast --experiment digits",
        "materialize contrast --example > contrast.toml",
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
@click.option("--variant", metavar="NAME", help="One of the file's variants, such as another "
              "pipeline; the file as it stands unless given.")  # fmt: skip
@click.option("--arms", metavar="ARM,…", help="Of none, offline, on-the-fly, prefix.")
@click.option("--copies", metavar="K,…", help="The K's of the offline arm.")
@click.option("--seeds", type=int, metavar="N", help="Trainings of each arm.")
@click.option("--epochs", type=int, metavar="N", help="Of each training.")
@click.option("--base", metavar="BASE", help="A pretrained base: a weights file or a name.")
@click.option("--example", is_flag=True, help="Print a job file with every key, and end.")
@JSON
def contrast(
    job_file: str | None, experiment: str | None, output: str | None, *, as_json: bool,
    example: bool, **given: Any,
) -> int:  # fmt: skip
    """Train without augmentation, from K stored copies, on the fly and from prefixes, all alike.

    Weights, order and number of steps are the same in all arms; the report says what the arms reach
    and cost, which K suffices, and proves that K ≥ epochs ends with the weights of on-the-fly. Each
    training is kept as it finishes: the same command goes on where it stopped.
    """
    from materialize.commands.interruption import interruption_noted, orderly_end
    from materialize.console import progress_shown
    from materialize.contrast.running import RESULT_FILE, open_bench, run_all

    if example:
        from materialize.contrast.job_keys import example_job

        click.echo(example_job(), nl=False)
        return ExitCode.DONE
    job = _job(job_file, experiment, _changes(given))
    for caveat in job.caveats:
        notify(caveat)
    start_keras()
    name = experiment or Path(str(job_file)).stem
    work = Path(output or "-".join(filter(None, (name, job.variant, "contrast"))))
    with (
        interruption_noted(lambda: _kept(work)), orderly_end(work), notices_shown(),
        progress_shown() as progress,
    ):  # fmt: skip
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


def _kept(work: Path) -> str:
    """What a contrast that is stopped now goes on from."""
    from materialize.contrast.records import finished_runs

    count = finished_runs(work)
    if not count:
        return "no training was finished yet; the same command goes on with the first"
    trainings = "1 finished training is" if count == 1 else f"{count} finished trainings are"
    return f"{trainings} kept, and the same command goes on with the next"


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
    from materialize.contrast.cost import cost_of
    from materialize.pictures.gallery import GalleryOptions, draw_gallery
    from materialize.pictures.sheet import png_bytes
    from materialize.report.contrast_page import render_contrast
    from materialize.summary import byte_account

    foundation = bench.foundation
    standing = foundation.opened.standing
    options = GalleryOptions(seed=bench.job.augmentation_seed)
    gallery = draw_gallery(foundation.source, foundation.population, foundation.pipeline, options)
    account = byte_account(foundation.directory, standing.populations, standing.manifest)
    path = bench.work / REPORT_FILE
    page = render_contrast(
        result, gallery=png_bytes(gallery), account=account, cost=cost_of(result)
    )
    write_file(path, page)
    return path


def print_contrast(result: "ContrastResult") -> None:
    """The arms, the verdicts and the proof, for a terminal."""
    from materialize.commands.output import table

    # Only experiments that come with the package have two forms that people know of.
    form = f"{result.form} form" if result.experiment is not None else ""
    variant = f"variant {result.variant}" if result.variant is not None else ""
    said = ", ".join(filter(None, (variant, form)))
    click.echo(f"{result.title} ({said})\n" if said else f"{result.title}\n")
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
        f"stall {100 * arm.stall_fraction:.1f} %, {arm.stored_bytes / _MILLION:,.1f} MB stored; "
        f"before that {arm.warmup_s + arm.compile_s:.1f} of loading code and compiling"
    )
    return arm.name, f"{arm.wall_s:.1f}", remark


def _needs(seeds: int | None, remark: str) -> str:
    needed = "" if seeds is None else f"needs n ≥ {seeds}"
    return "; ".join(filter(None, (needed, remark)))
