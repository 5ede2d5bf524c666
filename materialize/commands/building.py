"""build, extend and finish."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from materialize.commands.options import (
    ALLOW_CODE,
    DATASET,
    JSON,
    PRICES,
    Amount,
    SectionedCommand,
    job_of,
    job_options,
)
from materialize.config import Job, required

if TYPE_CHECKING:
    from materialize.estimation.limits import Limits


@click.command(
    cls=SectionedCommand,
    examples=(
        "materialize build --source photos --pipeline photos224 --copies 5 --output photos-x5",
        "materialize build --job job.toml --workers 16",
    ),
)
@job_options("Images", "Which images", "Augmentation", "Output", "Work", "Pace")
@click.option("--budget-gb", type=Amount(), metavar="GB", help="Refuse to begin what may take more "
              "than so many GB of 10^9 bytes.")  # fmt: skip
@click.option("--budget-money", type=Amount(), metavar="AMOUNT", help="Refuse to begin what may "
              "cost more than this a month, in the book's currency.")  # fmt: skip
@click.option("--service", default="s3-standard", show_default=True, metavar="NAME",
              help="Where it is stored, for --budget-money.")  # fmt: skip
@PRICES
@click.option("--estimate/--no-estimate", default=True, help="Say beforehand what it will take, "
              "and afterwards how far that was off.")  # fmt: skip
@JSON
def build(as_json: bool, **given: Any) -> None:
    """Write a dataset of augmented copies.

    Killed anywhere, the same command goes on where it stopped, and the shards are the same bytes on
    any number of workers. What cannot fit the disk or a budget is refused before it begins.
    """
    from materialize.assembly import options_of, pipeline_of, recipe_of, source_of
    from materialize.builder import build_dataset
    from materialize.commands.interruption import orderly_end
    from materialize.console import progress_shown

    job = job_of(given)
    output, recipe = required(job, "output"), recipe_of(job)
    options = replace(options_of(job), limits=_limits(given))
    pipeline, source = pipeline_of(job), source_of(job)
    with orderly_end(output), progress_shown() as progress:
        report = build_dataset(source, output, pipeline, recipe, options=options, progress=progress)
    _print(report, as_json, job)


def _limits(given: Mapping[str, Any]) -> "Limits | None":
    """What was asked for; None where nothing is to be estimated."""
    from materialize.accounting.prices import read_prices
    from materialize.estimation.limits import Limits
    from materialize.estimation.money import StorageTerms

    gigabytes, money = given["budget_gb"], given["budget_money"]
    if not given["estimate"]:
        if gigabytes is not None or money is not None:
            raise click.UsageError("a budget needs an estimate; leave out --no-estimate")
        return None
    terms = None
    if money is not None:
        terms = StorageTerms(book=read_prices(given["prices_file"]), service=given["service"])
    budget_bytes = None if gigabytes is None else int(gigabytes * 10**9)
    return Limits(budget_bytes=budget_bytes, budget_money=money, terms=terms)


@click.command(cls=SectionedCommand, examples=("materialize extend photos-augmented --copies 10",))
@DATASET
@job_options("Images", "Which images", "Work", "Pace")
@click.option("--copies", type=int, metavar="N", help="How many copies there shall be.")
@ALLOW_CODE
@JSON
def extend(dataset: str, as_json: bool, **given: Any) -> None:
    """Add copies or new images to a complete dataset.

    Nothing that exists changes: more copies give the bytes of a build that made them all at once,
    and new images become a generation of their own.
    """
    from materialize.assembly import options_of, source_or_none
    from materialize.commands.interruption import orderly_end
    from materialize.console import progress_shown
    from materialize.extension import extend_dataset

    job = job_of(given)
    options, source = options_of(job), source_or_none(job)
    with orderly_end(dataset), progress_shown() as progress:
        report = extend_dataset(
            dataset, copies=job.copies, source=source, options=options, progress=progress
        )
    _print(report, as_json, job)


@click.command(
    cls=SectionedCommand,
    examples=(
        "materialize build --job job.toml --part 1/2     # here",
        "materialize build --job job.toml --part 2/2     # there",
        "materialize finish photos-augmented",
    ),
)
@DATASET
@JSON
def finish(dataset: str, as_json: bool) -> None:
    """Publish a dataset whose parts are all built."""
    from materialize.builder import finish_dataset

    _print(finish_dataset(dataset), as_json, Job())


def _print(report: Any, as_json: bool, job: Job) -> None:
    """The summary of a complete dataset, or where a part stands."""
    from materialize.commands.notices import notify
    from materialize.commands.output import print_json
    from materialize.commands.tables import print_summary
    from materialize.summary import summarize

    if report.manifest is not None:
        summary = summarize(report, report.manifest)
        if as_json:
            print_json(summary.to_json())
        else:
            print_summary(summary)
        return
    if as_json:
        facts = {"directory": report.directory, "part": job.part, "num_built": report.num_built}
        print_json(facts | {"seconds": report.seconds, "warnings": report.warnings})
    else:
        for warning in report.warnings:
            notify(warning)
        click.echo(
            f"part {job.part} is built ({report.num_built} shards in {report.seconds:.1f} s); "
            f"when all parts are: materialize finish {report.directory}"
        )
