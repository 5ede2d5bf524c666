"""demo: the whole way, on 1,797 digits that come with scikit-learn."""

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import click

from materialize.exit_codes import ExitCode

if TYPE_CHECKING:
    from materialize.contrast.results import ContrastResult
    from materialize.progress import Progress

_SEED = 7
_EXPERIMENT = "digits"


@click.command()
@click.option("--output", default="materialize-demo", show_default=True, type=click.Path(),
              metavar="DIR", help="Where datasets, pictures and the report go.")  # fmt: skip
@click.option("--workers", default=1, show_default=True, metavar="N", help="Processes.")
@click.option("--seeds", default=3, show_default=True, metavar="N", help="Trainings of each arm.")
def demo(output: str, workers: int, seeds: int) -> int:
    """Build, account, make every pixel again, then train four ways and report.

    The last part needs `pip install materialize[train]`.
    """
    from materialize.api import build
    from materialize.audit.verification import verify_dataset
    from materialize.commands.contrasting import print_contrast
    from materialize.commands.interruption import orderly_end
    from materialize.commands.tables import print_account, print_next_commands
    from materialize.commands.verifying import print_verification
    from materialize.console import progress_shown
    from materialize.summary import summarize

    dataset = Path(output) / "digits"
    with orderly_end(dataset), progress_shown() as progress:
        report = build(
            "digits", dataset, pipeline="digits", copies=5, seed=_SEED, originals=True,
            workers=workers, progress=progress,
        )  # fmt: skip
        verified = verify_dataset(dataset, depth="pixels", progress=progress)
        pages = _drawn(Path(output))
    summary = None if report.manifest is None else summarize(report, report.manifest)
    if summary is not None:
        print_account(summary)
    print_verification(verified)
    is_proven = True
    if importlib.util.find_spec("keras") is None:
        click.echo("\nTo train on them as well: pip install 'materialize[train]'")
    else:
        with orderly_end(output), progress_shown() as progress:
            result, page = _contrasted(Path(output) / "contrast", seeds, progress)
        click.echo()
        print_contrast(result)
        is_proven = result.proof.holds is not False
        pages.append(page)
    click.echo("\nLook at:")
    for page in pages:
        click.echo(f"  {page}")
    if summary is not None:
        click.echo("Go on with:")
        print_next_commands(summary)
    return ExitCode.DONE if verified.is_intact and is_proven else ExitCode.DAMAGE


def _drawn(folder: Path) -> list[Path]:
    """Draws each kind of gallery into a folder."""
    from materialize.api import preview
    from materialize.atomic import write_file
    from materialize.pictures.gallery import KINDS, GalleryOptions
    from materialize.pictures.sheet import png_bytes

    paths = []
    for kind in KINDS:
        options = GalleryOptions(kind=kind, seed=_SEED)
        path = folder / f"{kind}.png"
        write_file(path, png_bytes(preview("digits", "digits", options=options)))
        paths.append(path)
    return paths


def _contrasted(
    work: Path, seeds: int, progress: "Progress | None"
) -> "tuple[ContrastResult, Path]":
    """Trains without augmentation, from stored copies, on the fly and from prefixes."""
    from materialize.commands.contrasting import write_report
    from materialize.commands.frameworks import start_keras
    from materialize.commands.notices import notify
    from materialize.contrast.job_files import Changes, read_experiment
    from materialize.contrast.running import open_bench, run_all

    job = read_experiment(_EXPERIMENT, Changes(seeds=seeds))
    for caveat in job.caveats:
        notify(caveat)
    start_keras()
    bench = open_bench(job, work, progress)
    command = f"materialize contrast --experiment {_EXPERIMENT} --seeds {seeds} --output {work}"
    result = run_all(bench, command=command, progress=progress)
    return result, write_report(result, bench)
