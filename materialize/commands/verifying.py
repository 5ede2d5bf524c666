"""verify, repair, explain and prove: what a dataset is worth after it was built."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from materialize.commands.options import (
    ALLOW_CODE,
    DATASET,
    JSON,
    SectionedCommand,
    job_of,
    job_options,
)
from materialize.exit_codes import ExitCode

if TYPE_CHECKING:
    from materialize.audit.damage import VerificationReport
    from materialize.audit.restoration import RepairReport

_LOST_SHOWN = 20


@click.command(
    cls=SectionedCommand,
    examples=(
        "materialize verify photos-augmented",
        "materialize verify photos-augmented --deep --rows 1000 --source photos",
    ),
)
@DATASET
@click.option("--depth", default=None, metavar="DEPTH",
              help="structure, hashes (every byte; the default) or pixels.")  # fmt: skip
@click.option("--deep", is_flag=True,
              help="Make every pixel again from its source, as --depth pixels does.")  # fmt: skip
@click.option("--rows", type=int, metavar="N", help="With pixels: make only so many rows again.")
@job_options("Images", "Work")
@ALLOW_CODE
@JSON
def verify(
    dataset: str, depth: str | None, deep: bool, rows: int | None, as_json: bool, **given: Any
) -> int:
    """Check a dataset at one of three depths; exit code 4 if anything is damaged."""
    from materialize.assembly import crew_of, source_or_none
    from materialize.audit.verification import verify_dataset
    from materialize.commands.output import print_json
    from materialize.console import progress_shown

    if deep and depth not in (None, "pixels"):
        raise click.UsageError(f"--deep means --depth pixels, and --depth {depth} was given too")
    job = job_of(given)
    with progress_shown() as progress:
        report = verify_dataset(
            dataset, depth="pixels" if deep else depth or "hashes", rows=rows,
            source=source_or_none(job), crew=crew_of(job), progress=progress,
        )  # fmt: skip
    if as_json:
        print_json(_verification_facts(report))
    else:
        print_verification(report)
    return ExitCode.DONE if report.is_intact else ExitCode.DAMAGE


def _verification_facts(report: "VerificationReport") -> dict[str, Any]:
    damages = [
        {"kind": d.kind, "file": d.file, "detail": d.detail, "remedy": d.remedy,
         "rows": d.rows, "sample_ids": [i.tobytes().hex() for i in d.sample_ids]}
        for d in report.damages
    ]  # fmt: skip
    apart = ("damages", "lost", "deviations")
    facts = {key: value for key, value in asdict(report).items() if key not in apart}
    return facts | {
        "is_intact": report.is_intact,
        "is_readable": report.is_readable,
        "damages": damages,
        "lost": [str(record) for record in report.lost],
        "deviations": [str(deviation) for deviation in report.deviations],
    }


def print_verification(report: "VerificationReport") -> None:
    """Prints what is damaged, what was looked at, and the verdict."""
    from materialize.console import duration, size

    for damage in report.damages:
        click.echo(str(damage))
    for deviation in report.deviations:
        click.echo(f"not damaged, but other libraries or another machine: {deviation}")
    _print_lost(report.lost)
    parts = [f"{report.num_shards:,} shard{'s' * (report.num_shards != 1)}"]
    if report.num_bytes_hashed:
        parts.append(f"{size(report.num_bytes_hashed)} hashed")
    if report.num_draws_compared:
        parts.append(f"{report.num_draws_compared:,} rows drawn again")
    if report.num_rows_compared:
        parts.append(f"{report.num_rows_compared:,} rows of pixels made again")
    if report.num_rows_skipped:
        parts.append(f"{report.num_rows_skipped:,} rows could not be made again")
    count = len(report.damages)
    verdict = "intact" if report.is_intact else f"{count} damage{'s' * (count != 1)}"
    click.secho(verdict, fg="green" if report.is_intact else "red", bold=True, nl=False)
    click.echo(f": {', '.join(parts)} in {duration(report.seconds)}")
    if report.manifest_digest:
        click.echo(f"manifest {report.manifest_digest}")


def _print_lost(lost: Any) -> None:
    for record in lost[:_LOST_SHOWN]:
        click.echo(str(record))
    if len(lost) > _LOST_SHOWN:
        click.echo(f"… and {len(lost) - _LOST_SHOWN:,} more sources")


@click.command(
    cls=SectionedCommand, examples=("materialize repair photos-augmented --source photos",)
)
@DATASET
@job_options("Images", "Work")
@ALLOW_CODE
@JSON
def repair(dataset: str, as_json: bool, **given: Any) -> int:
    """Rebuild what is damaged, and nothing else; exit code 4 if something stays damaged."""
    from materialize.assembly import crew_of, source_or_none
    from materialize.audit.restoration import repair_dataset
    from materialize.commands.interruption import orderly_end
    from materialize.commands.output import print_json
    from materialize.console import progress_shown

    job = job_of(given)
    with orderly_end(dataset), progress_shown() as progress:
        report = repair_dataset(
            dataset, source=source_or_none(job), crew=crew_of(job), progress=progress
        )
    if as_json:
        print_json({
            "repaired": [str(damage) for damage in report.repaired],
            "left": [str(damage) for damage in report.left],
            "contradictions": report.contradictions,
            "lost": [str(record) for record in report.lost],
            "is_whole": report.is_whole,
            "seconds": report.seconds,
        })  # fmt: skip
    else:
        _print_repair(report)
    return ExitCode.DONE if report.is_whole else ExitCode.DAMAGE


def _print_repair(report: "RepairReport") -> None:
    from materialize.console import duration

    for damage in report.repaired:
        click.echo(f"repaired {damage.kind}: {damage.file}")
    for damage in report.left:
        click.echo(f"left {damage}")
    for one in report.contradictions:
        differences = ", ".join(one.environment) or "nothing that was recorded"
        click.echo(
            f"not replaced: {one.file} comes out with SHA-256 {one.found}, expected "
            f"{one.expected}; what differs from where it was built: {differences}"
        )
    _print_lost(report.lost)
    if not report.before.damages:
        click.echo("nothing was damaged")
    whole = "whole" if report.is_whole else f"{len(report.left)} left as damaged"
    click.echo(f"{whole} ({duration(report.seconds)})")


@click.command(
    cls=SectionedCommand,
    examples=("materialize explain photos-augmented --sample daisy/a.jpg --copy 3 --png why.png",),
)
@DATASET
@click.option("--sample", required=True, metavar="ID",
              help="A sample id or its beginning, or the path of its source.")  # fmt: skip
@click.option("--copy", default=0, show_default=True, metavar="N",
              help="Which copy; -1 for a stored original.")  # fmt: skip
@click.option("--png", type=click.Path(), help="Also draw original, stored and made again.")
@job_options("Images")
@ALLOW_CODE
@JSON
def explain(
    dataset: str, sample: str, copy: int, png: str | None, as_json: bool, **given: Any
) -> int:
    """Say where one stored image comes from and what was drawn for it, and make it again.

    Exit code 4 if it is damaged, or is not what comes out again.
    """
    from materialize.assembly import source_or_none
    from materialize.atomic import write_file
    from materialize.audit.explanation import explain_sample
    from materialize.commands.output import print_json

    found = explain_sample(dataset, sample, copy, source=source_or_none(job_of(given)))
    if png is not None:
        write_file(Path(png), found.gallery())
    if as_json:
        pictures = ("original", "stored", "recomputed")
        facts = {key: value for key, value in asdict(found).items() if key not in pictures}
        print_json(facts | {"is_equal": found.is_equal, "is_damaged": found.is_damaged})
    else:
        for line in found.lines():
            click.echo(line)
        if png is not None:
            click.echo(f"picture  {png}")
    return ExitCode.DAMAGE if found.is_damaged else ExitCode.DONE


@click.command(
    cls=SectionedCommand,
    examples=("materialize prove --source photos --pipeline photos224 --copies 3",),
)
@job_options("Images", "Which images", "Augmentation")
@click.option("--codec", default=None, metavar="TEXT", help="As for `build`.")
@click.option("--parameters", default=None, metavar="TEXT", help="As for `build`.")
@click.option("--limit", default=256, show_default=True, metavar="N",
              help="How many images stand for all; 0 takes all.")  # fmt: skip
@click.option("--masked-cpu", is_flag=True,
              help="Also build without the processor's special instructions: half a minute.",
              )  # fmt: skip
@click.option("--place", type=click.Path(), metavar="DIR",
              help="Where the builds go before they are removed again.")  # fmt: skip
@JSON
def prove(limit: int, masked_cpu: bool, place: str | None, as_json: bool, **given: Any) -> int:
    """Build a job in many ways and compare every byte; exit code 4 if any differs.

    Bad images and split leaks are no question of a proof: it leaves out the former, however many,
    and accepts the latter.
    """
    from materialize.assembly import pipeline_of, recipe_of, scan_options_of, source_of
    from materialize.audit import proof
    from materialize.commands.output import print_json
    from materialize.console import progress_shown

    job = job_of(given)
    with progress_shown() as progress:
        report = proof.prove(
            source_of(job), pipeline_of(job), recipe_of(job), scan=scan_options_of(job),
            limit=limit or None, directory=place, masked_cpu=masked_cpu, progress=progress,
        )  # fmt: skip
    if as_json:
        print_json(asdict(report) | {"is_proven": report.is_proven})
    else:
        click.echo(report.table())
        verdict = "the bytes are the same" if report.is_proven else "the bytes DIFFER"
        click.echo(f"{verdict}: {report.num_images:,} images, {report.num_shards:,} shards")
    return ExitCode.DONE if report.is_proven else ExitCode.DAMAGE
