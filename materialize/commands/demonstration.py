"""demo: the whole way, on 1,797 digits that come with scikit-learn."""

from pathlib import Path

import click

from materialize.exit_codes import ExitCode

_SEED = 7


@click.command()
@click.option("--output", default="materialize-demo", show_default=True, type=click.Path(),
              metavar="DIR", help="Where the dataset and the pictures go.")  # fmt: skip
@click.option("--workers", default=1, show_default=True, metavar="N", help="Processes.")
def demo(output: str, workers: int) -> int:
    """Augment the embedded digits: build, make every pixel again, and draw what was done."""
    from materialize.api import build
    from materialize.audit.verification import verify_dataset
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
        pictures = _drawn(Path(output))
    summary = None if report.manifest is None else summarize(report, report.manifest)
    if summary is not None:
        print_account(summary)
    print_verification(verified)
    click.echo("\nLook at the pictures:")
    for picture in pictures:
        click.echo(f"  {picture}")
    if summary is not None:
        click.echo("Go on with:")
        print_next_commands(summary)
    return ExitCode.DONE if verified.is_intact else ExitCode.DAMAGE


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
