"""activations and sweep: what a trained model looks at, and how much of a base to train."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from materialize.commands.options import JSON, SectionedCommand

if TYPE_CHECKING:
    from materialize.loader.loader import Loader
    from materialize.training.sweep import SweepResult

_REQUIRED = "  [required]"


@click.command(
    cls=SectionedCommand,
    examples=(
        "materialize activations run --output cam.png",
        "materialize activations run --split val --num-images 24",
    ),
)
@click.argument("run", type=click.Path())
@click.option("--output", "png", default="activations.png", show_default=True, type=click.Path(),
              metavar="FILE", help="Where to write the picture.")  # fmt: skip
@click.option("--dataset", type=click.Path(), metavar="DIR",
              help="Where the run's dataset is now; where it was unless given.")  # fmt: skip
@click.option("--split", default="test", show_default=True, metavar="NAME",
              help="train, val or test.")  # fmt: skip
@click.option("--num-images", type=int, default=12, show_default=True, metavar="N",
              help="How many, some of every class in turn.")  # fmt: skip
@click.option("--layer", metavar="NAME",
              help="Whose feature map is looked at; the last unless given.")  # fmt: skip
def activations(
    run: str, png: str, dataset: str | None, split: str, num_images: int, layer: str | None
) -> None:
    """Draw images beside where a trained model saw the evidence for what it says (Grad-CAM)."""
    from materialize.atomic import write_file
    from materialize.commands.frameworks import start_keras
    from materialize.pictures.sheet import png_bytes
    from materialize.training.activation_pages import draw_run

    if Path(png).suffix.lower() != ".png":
        raise click.UsageError(f"--output: expected a .png, got {png}")
    start_keras()
    picture = draw_run(run, dataset=dataset, split=split, num_images=num_images, layer=layer)
    write_file(Path(png), png_bytes(picture))
    click.echo(f"{png}: {picture.width} × {picture.height} pixels")


@click.command(
    cls=SectionedCommand,
    examples=(
        "materialize sweep books --base squeezenet.h5 --epochs 10 --output sweep",
        "materialize sweep books --base VGG16 --layers block3,block5 --epochs 9 --output sweep",
    ),
)
@click.argument("dataset", type=click.Path())
@click.option("--base", required=True, metavar="BASE",
              help="NAME of keras.applications, NAME=FILE, or a file of SqueezeNet's."
              f"{_REQUIRED}")  # fmt: skip
@click.option("--output", required=True, type=click.Path(), metavar="DIR",
              help="Gets rows, figures and sweep.png; the same command goes on."
              f"{_REQUIRED}")  # fmt: skip
@click.option(
    "--epochs", type=int, required=True, metavar="N", help="From the layer on.  [required]"
)
@click.option("--learning-rate", type=float, default=1e-4, show_default=True, metavar="X",
              help="From the layer on.")  # fmt: skip
@click.option("--head-epochs", type=int, default=5, show_default=True, metavar="N",
              help="Of the head alone, before.")  # fmt: skip
@click.option("--layers", metavar="A,B,C", help="To train from; every stage unless given.")
@click.option("--seeds", type=click.IntRange(1, 1000), default=3, show_default=True, metavar="N",
              help="Repeats of each.")  # fmt: skip
@click.option("--batch-size", type=int, default=16, show_default=True, metavar="N")
@click.option("--copies", type=int, metavar="N",
              help="The first N copies of each image; all unless given.")  # fmt: skip
@click.option("--originals", is_flag=True, help="Train on the untouched images.")
@JSON
def sweep(  # noqa: PLR0913  # click gives one argument for each option
    dataset: str, base: str, output: str, epochs: int, learning_rate: float, head_epochs: int,
    layers: str | None, seeds: int, batch_size: int, copies: int | None, originals: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Fine-tune a pretrained base from each layer on, with repeats, and draw what it gives."""
    from materialize.atomic import write_file
    from materialize.commands.frameworks import start_keras
    from materialize.commands.interruption import interruption_noted
    from materialize.commands.output import print_json
    from materialize.console import progress_shown
    from materialize.training.settings import TrainingSettings
    from materialize.training.sweep import sweep as sweep_layers
    from materialize.training.sweep_chart import draw_sweep
    from materialize.training.transfer import Transfer

    settings = TrainingSettings(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate)
    chosen = (-1,) if originals else copies
    start_keras()
    with interruption_noted(lambda: _kept(Path(output))), progress_shown() as progress:
        result = sweep_layers(
            lambda seed: _parts(dataset, batch_size, seed, chosen), settings,
            Transfer(base=base, head_epochs=head_epochs), seeds=range(seeds),
            layers=layers.split(",") if layers else None, directory=Path(output),
            progress=progress,
        )  # fmt: skip
    picture = Path(output) / "sweep.png"
    write_file(picture, draw_sweep(result))
    if as_json:
        print_json(result.to_json())
    else:
        _print_sweep(result, picture)


def _kept(output: Path) -> str:
    """What a sweep that is stopped now goes on from."""
    from materialize.training.sweep import ROWS_DIRECTORY

    count = sum(1 for _ in (output / ROWS_DIRECTORY).glob("*.json"))
    if not count:
        return "no row was finished yet, so the same command starts over"
    return f"{count} finished row{'s are' if count > 1 else ' is'} kept; the same command goes on"


def _parts(
    dataset: str, batch_size: int, seed: int, copies: int | tuple[int, ...] | None
) -> "Mapping[str, Loader]":
    """The training part in a seed's order, and the untouched images of the others."""
    from materialize.loader.opening import LoaderOptions, OpenDataset
    from materialize.loader.stream import StreamingLoader

    populations = OpenDataset.open(dataset).standing.populations
    there = [s for s in ("val", "test") if any(p.split_rows(s) for p in populations)]
    in_order = LoaderOptions(shuffle="none")
    training = StreamingLoader(dataset, batch_size=batch_size, seed=seed, copies=copies)
    untouched = {
        split: StreamingLoader(dataset, batch_size=batch_size, split=split, options=in_order)
        for split in there
    }
    return {"train": training, **untouched}


def _print_sweep(result: "SweepResult", picture: Path) -> None:
    """A row for each layer."""
    from materialize.commands.output import table
    from materialize.intervals import estimate

    trained = {row.train_from: row.num_trainable for row in result.rows}
    for part in result.parts:
        rows = []
        for layer in result.layers:
            found = estimate(result.accuracies(layer, part), within=(0.0, 1.0))
            interval = ""
            if found.low is not None and found.high is not None:
                interval = f"{found.low:.1%} to {found.high:.1%}, "
            rows.append((layer, f"{found.mean:.1%}", f"{interval}{trained[layer]:,} parameters"))
        table(f"Accuracy on {part}, trained from", rows)
    click.echo(f"\nLook at {picture}")
