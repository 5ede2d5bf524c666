"""plan: what a build will take, before its first byte."""

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from materialize.commands.options import JSON, SectionedCommand, job_of, job_options
from materialize.config import OPTION_NAMES, Job, key_of, required
from materialize.exit_codes import ExitCode

if TYPE_CHECKING:
    from materialize.estimation.choices import Wishes
    from materialize.estimation.money import StorageTerms
    from materialize.estimation.planner import PlanReport

_AUTO = "auto"
_GB = 10**9
_LOSSLESS = "lossless"
_PSNR = re.compile(r"psnr:(?P<db>\d+(\.\d+)?)")


@click.command(
    cls=SectionedCommand,
    examples=(
        "materialize plan --source photos --pipeline photos224 --copies 5",
        "materialize plan --job job.toml --codec auto --epochs 30 --trainer-images-per-s 5000",
        "materialize plan --job job.toml --budget-gb 50            # as many copies as fit",
        "materialize plan --job job.toml --codec auto --budget-money 20 --fidelity psnr:40",
        "materialize plan --source excerpt --pipeline photos224 --copies 5 --count 100000000",
    ),
)
@job_options("Images", "Which images", "Augmentation", "Output", "Work")
@click.option("--budget-gb", type=float, metavar="GB",
              help="Shards of at most so many GB of 10^9 bytes.")  # fmt: skip
@click.option("--budget-money", metavar="AMOUNT",
              help="Storage for at most so much a month, in the book's currency.")  # fmt: skip
@click.option("--fidelity", default=_LOSSLESS, metavar="TEXT",
              help="What a chosen codec may lose: lossless, or psnr:40 and another number of dB.  "
              "[default: lossless]")  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), default=10, metavar="N",
              help="Of a training; no more copies are chosen.  [default: 10]")  # fmt: skip
@click.option("--trainings", type=click.IntRange(1), default=1, metavar="N",
              help="That share the dataset.  [default: 1]")  # fmt: skip
@click.option("--months", default="1", metavar="N",
              help="That the dataset is stored.  [default: 1]")  # fmt: skip
@click.option("--trainer-images-per-s", type=click.FloatRange(0, min_open=True), metavar="N",
              help="What the trainer takes; a codec that gives less is not chosen.")  # fmt: skip
@click.option("--service", default="s3-standard", metavar="NAME",
              help="Where it lies; see `materialize prices`.  [default: s3-standard]")  # fmt: skip
@click.option("--prices", type=click.Path(), metavar="FILE",
              help="A price book of your own; see `materialize prices`.")  # fmt: skip
@click.option("--count", type=int, metavar="N",
              help="Plan for so many images of the kinds that the source has.")  # fmt: skip
@click.option("--index", type=click.Path(), metavar="PATH",
              help="Plan for the images in a dataset, or in a population-*.h5 of one.")  # fmt: skip
@click.option("--sample-images", type=click.IntRange(32), default=2000, metavar="N",
              help="Look at no more images than this.  [default: 2000]")  # fmt: skip
@click.option("--sample-seconds", type=click.FloatRange(0, min_open=True), default=6.0, metavar="S",
              help="Nor for longer than this.  [default: 6]")  # fmt: skip
@click.option("--compare/--no-compare", default=True,
              help="Measure every codec and storage mode, not only the job's.")  # fmt: skip
@JSON
def plan(as_json: bool, **given: Any) -> int:
    """Say what a build will take: bytes, time, memory and money, before anything is written.

    Real copies of some images are rendered and encoded until the interval is narrow enough. With
    --codec auto the codec is chosen; with a budget and without --copies, so is their number.
    """
    from materialize.commands.plan_tables import print_plan
    from materialize.console import progress_shown
    from materialize.shards.codecs import CODECS

    asked = job_of(given)
    wishes, job = _wishes(given, asked), _concrete(given, asked)
    codecs = tuple(CODECS) if given["compare"] else ()
    with progress_shown() as progress:
        report = _planned(job, given, wishes, codecs, progress)
    is_possible = report.choice is None or report.choice.codec is not None
    command = _command(given, job, report) if is_possible else None
    if as_json:
        from materialize.commands.output import print_json

        print_json(report.to_json() | {"command": command})
    else:
        print_plan(report, command)
    return ExitCode.DONE if is_possible else ExitCode.FAILED


def _planned(
    job: Job, given: Mapping[str, Any], wishes: "Wishes", codecs: tuple[str, ...], progress: Any
) -> "PlanReport":
    from materialize.assembly import (
        crew_of,
        pipeline_of,
        recipe_of,
        scan_options_of,
        source_or_none,
    )
    from materialize.estimation.assembly import Inquiry
    from materialize.estimation.planner import PlanExtent, plan_dataset
    from materialize.estimation.sampling import Effort

    inquiry = Inquiry(
        codecs=codecs, with_modes=bool(given["compare"]), terms=_terms(given),
        epochs=given["epochs"], output=None if job.output is None else Path(job.output),
        crew=crew_of(job),
        effort=Effort(images=given["sample_images"], seconds=given["sample_seconds"]),
    )  # fmt: skip
    index = given["index"]
    if index is None:
        required(job, "source")
    return plan_dataset(
        source_or_none(job), pipeline_of(job), recipe_of(job), inquiry, wishes=wishes,
        scanning=scan_options_of(job),
        extent=PlanExtent(count=given["count"], index=None if index is None else Path(index)),
        progress=progress,
    )  # fmt: skip


def _wishes(given: Mapping[str, Any], job: Job) -> "Wishes":
    from materialize.estimation.choices import Wishes

    budget = given["budget_gb"]
    has_budget = budget is not None or given["budget_money"] is not None
    if budget is not None and not 0 < budget < inf:
        _refuse(f"budget-gb: expected more than 0, got {budget:g}", "budget-gb", budget)
    money = given["budget_money"]
    return Wishes(
        budget_bytes=None if budget is None else round(budget * _GB),
        budget_money=None if money is None else _amount("budget-money", money),
        fidelity_db=_fidelity(given["fidelity"]),
        trainer_images_per_s=given["trainer_images_per_s"],
        is_codec_open=job.codec == _AUTO,
        are_copies_open=job.copies is None and has_budget,
    )


def _concrete(given: Mapping[str, Any], job: Job) -> Job:
    """The job with something in place of what is still to be chosen."""
    codec = "raw" if job.codec == _AUTO else job.codec
    copies = job.copies
    if copies is None and (given["budget_gb"] is not None or given["budget_money"] is not None):
        copies = given["epochs"]  # more are never shown
    if copies is None and job.storage != "pixels":
        copies = given["epochs"]
    return replace(job, codec=codec, copies=copies)


def _terms(given: Mapping[str, Any]) -> "StorageTerms":
    from materialize.accounting.prices import read_prices
    from materialize.estimation.money import StorageTerms

    book = read_prices(given["prices"])
    book.service(given["service"])
    return StorageTerms(
        book=book, service=given["service"], months=_amount("months", given["months"]),
        epochs=given["epochs"], training_runs=given["trainings"],
    )  # fmt: skip


def _amount(name: str, text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite() or value < 0:
        _refuse(f"{name}: expected a number of at least 0, got {text!r}", name, text)
    return value


def _fidelity(text: str) -> float:
    """The least PSNR that is asked for; infinity for nothing lost."""
    match = _PSNR.fullmatch(text)
    if match is None and text != _LOSSLESS:
        _refuse(
            f"fidelity: expected lossless, or psnr: and a number of dB such as psnr:40, got "
            f"{text!r}",
            "fidelity", text,
        )  # fmt: skip
    return inf if match is None else float(match["db"])


def _refuse(message: str, name: str, found: object) -> NoReturn:
    from materialize.errors import ConfigError

    raise ConfigError(message, {"name": name, "found": found})


def _command(given: Mapping[str, Any], job: Job, report: "PlanReport") -> str:
    """The build that was planned, as it would be typed."""
    words = ["materialize", "build"]
    if given.get("job_file"):
        words += ["--job", given["job_file"]]
    options = {name: given[name] for name in OPTION_NAMES if given.get(name) not in (None, ())}
    if report.choice is not None:
        options |= {"codec": report.choice.codec, "copies": report.choice.copies}
    elif job.copies is not None and not given.get("job_file"):
        options["copies"] = job.copies
    if job.output is None:
        options["output"] = "DIRECTORY"
    for name, value in options.items():
        flag = f"--{key_of(name)}"
        if isinstance(value, bool):
            words.append(flag if value else f"--no-{key_of(name)}")
        else:
            for each in value if isinstance(value, tuple) else (value,):
                words += [flag, str(each)]
    return shlex.join(words)
