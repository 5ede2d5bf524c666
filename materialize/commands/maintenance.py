"""transcode, remove and gc: what changes a dataset that stands."""

import tomllib
from pathlib import Path
from typing import Any

import click

from materialize.commands.options import (
    ALLOW_CODE,
    DATASET,
    JSON,
    SectionedCommand,
    job_of,
    job_options,
)

_NOUNS = {
    "temporary": ("temporary", "temporaries"),
    "statistics": ("file of statistics", "files of statistics"),
    "metadata": ("catalogue file", "catalogue files"),
}
"""Singular and plural of kinds of files, where an s alone does not do."""


@click.command(
    cls=SectionedCommand,
    examples=(
        "materialize transcode photos-augmented --codec bitshuffle-zstd",
        "materialize transcode photos-augmented --storage recipe",
        "materialize transcode photos-augmented --storage pixels --source photos",
    ),
)
@DATASET
@click.option("--codec", metavar="TEXT", help="Of all shards; as for `build`.")
@click.option("--storage", metavar="TEXT", help="pixels, prefix or recipe; as for `build`.")
@job_options("Images", "Work")
@ALLOW_CODE
@JSON
def transcode(
    dataset: str, codec: str | None, storage: str | None, as_json: bool, **given: Any
) -> None:
    """Give a complete dataset another codec or storage mode; killed anywhere, it goes on.

    Pixels that are stored without loss are not made again. What needs the source says so, and
    nothing is changed where that is not there. The shards that were there stay until `gc`.
    """
    from materialize.accounting.money import counted
    from materialize.assembly import crew_of, source_or_none
    from materialize.commands.interruption import orderly_end
    from materialize.commands.output import print_json
    from materialize.console import duration, progress_shown
    from materialize.production import BuildOptions
    from materialize.transcoding import transcode_dataset

    job = job_of(given)
    in_file = _keys_of(given["job_file"])
    with orderly_end(dataset), progress_shown() as progress:
        report = transcode_dataset(
            dataset, codec=codec or in_file.get("codec"), storage=storage or in_file.get("storage"),
            source=source_or_none(job), options=BuildOptions(crew=crew_of(job)), progress=progress,
        )  # fmt: skip
    manifest = report.manifest
    if as_json:
        print_json(_facts(report) | {
            "storage": manifest.storage, "codec": manifest.codec,
            "is_from_source": report.is_from_source,
        })  # fmt: skip
        return
    origin = "rendered from the source" if report.is_from_source else "taken from what stood"
    if not report.num_written:
        origin = "which is all that was to do"
    click.echo(
        f"{manifest.storage} in {manifest.codec}: {counted(manifest.totals.num_shards, 'shard')}, "
        f"{report.num_written:,} of them written in {duration(report.seconds)}, {origin}"
    )
    _print_end(report, dataset)


@click.command(
    cls=SectionedCommand,
    examples=(
        "materialize remove photos-augmented --sample daisy/a.jpg --sample 5f0c29",
        "materialize remove photos-augmented --samples-file withdrawn.txt",
    ),
)
@DATASET
@click.option("--sample", "samples", multiple=True, metavar="ID",
              help="A sample id or its beginning, or the path of its source; repeatable.",
              )  # fmt: skip
@click.option("--samples-file", type=click.Path(), metavar="FILE",
              help="A text file with one of these on each line.")  # fmt: skip
@job_options("Images", "Work")
@ALLOW_CODE
@JSON
def remove(
    dataset: str, samples: tuple[str, ...], samples_file: str | None, as_json: bool, **given: Any
) -> None:
    """Take images with all their copies out of a dataset, for good.

    Only the shards they are in are written again; the bytes of all other images stay. Their ids are
    remembered, so that `extend` does not bring them back. Earlier shards hold them until `gc`.
    """
    from materialize.accounting.money import counted
    from materialize.assembly import crew_of, source_or_none
    from materialize.commands.interruption import orderly_end
    from materialize.commands.output import print_json
    from materialize.console import duration, progress_shown
    from materialize.production import BuildOptions
    from materialize.removal import remove_samples
    from materialize.sources.base import first_few

    job = job_of(given)
    named = [*samples, *(_lines(samples_file) if samples_file is not None else ())]
    with orderly_end(dataset), progress_shown() as progress:
        report = remove_samples(
            dataset, named, source=source_or_none(job),
            options=BuildOptions(crew=crew_of(job)), progress=progress,
        )  # fmt: skip
    if as_json:
        print_json(_facts(report) | {
            "removed": report.removed, "equals": report.equals, "catalogue": report.catalogue,
        })  # fmt: skip
        return
    click.echo(
        f"removed {counted(len(report.removed), 'image')}; {report.num_written:,} of "
        f"{counted(report.manifest.totals.num_shards, 'shard')} written again in "
        f"{duration(report.seconds)}, without {'it' if len(report.removed) == 1 else 'them'}"
    )
    if report.equals:
        click.echo(
            "warning: of the same content as what was removed, and still here: "
            f"{first_few(report.equals)}; remove these too if the image itself is to go",
            err=True,
        )
    if report.catalogue:
        click.echo(
            f"{', '.join(report.catalogue)} still name what was removed until: materialize gc "
            f"{dataset}; write them anew with `materialize metadata`"
        )
    _print_end(report, dataset)


@click.command(
    cls=SectionedCommand,
    examples=(
        "materialize gc photos-augmented --dry-run",
        "materialize gc photos-augmented",
    ),
)
@DATASET
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@JSON
def gc(dataset: str, dry_run: bool, as_json: bool) -> None:
    """Remove what the newest manifest does not need; nothing else, and nothing that is not ours.

    These are superseded shards, receipts and populations, statistics of removed images, metadata of
    an earlier manifest, and temporaries of killed writers. What an unfinished command needs stays.
    """
    from materialize.collection import collect_garbage
    from materialize.commands.output import print_json
    from materialize.console import size

    report = collect_garbage(dataset, dry_run=dry_run)
    if as_json:
        print_json({
            "is_dry_run": report.is_dry_run, "items": report.items, "num_items": len(report.items),
            "num_bytes": report.num_bytes, "allocated_bytes": report.allocated_bytes,
            "pending_plan": report.pending_plan, "pending": [i.path for i in report.pending],
        })  # fmt: skip
        return
    for item in report.items:
        click.echo(f"{item.num_bytes:>14,}  {item.path}")
    verb = "would remove" if dry_run else "removed"
    kinds = ", ".join(_counted(kind, count) for kind, (count, _) in report.by_kind().items())
    click.echo(
        f"{verb} {kinds or 'nothing'}: {size(report.num_bytes)} ({report.num_bytes:,} bytes)"
    )
    if report.pending_plan is not None:
        click.echo(
            f"{report.pending_plan} was begun and not finished: what it may need stays. Run its "
            "command again to finish it, or delete that file to give it up, and then gc again"
        )


def _counted(kind: str, count: int) -> str:
    """Some files of one kind: ``1 population``, ``4 receipts``."""
    singular, plural = _NOUNS.get(kind, (kind, f"{kind}s"))
    return f"{count:,} {singular if count == 1 else plural}"


def _keys_of(job_file: str | None) -> dict[str, Any]:
    """What a job file that was read before says itself: a job's defaults are nobody's wish."""
    return tomllib.loads(Path(job_file).read_text("utf-8")) if job_file is not None else {}


def _facts(report: Any) -> dict[str, Any]:
    return {
        "directory": report.directory,
        "manifest_number": report.manifest.number,
        "manifest_digest": report.manifest.digest(),
        "num_shards": report.manifest.totals.num_shards,
        "num_written": report.num_written,
        "superseded_bytes": report.superseded_bytes,
        "seconds": report.seconds,
    }


def _print_end(report: Any, dataset: str) -> None:
    from materialize.console import size

    click.echo(f"manifest {report.manifest.number} {report.manifest.digest()}")
    if report.superseded_bytes:
        click.echo(
            f"earlier shards still hold what they held ({size(report.superseded_bytes)}) until: "
            f"materialize gc {dataset}"
        )


def _lines(path: str) -> list[str]:
    """The lines of a text file that are not empty."""
    from materialize.errors import ConfigError

    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"samples-file: expected a text file with one sample on each line, {path} is not: "
            f"{reason}",
            {"name": "samples-file", "found": path},
        ) from error
    return [line.strip() for line in text.splitlines() if line.strip()]
