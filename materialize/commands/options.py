"""The options that commands share, each declared once.

An option's name here, its key in a job file and its field in `materialize.config.Job` are the same
word, and its default is the field's. Commands take the options they need by section; what was not
given arrives as None, so that a job file can say it instead.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import click

from materialize.config import OPTION_NAMES, Job, key_of, merge, read_job

_Command = TypeVar("_Command", bound=Callable[..., Any])
_Decorator = Callable[[_Command], _Command]

_DEFAULTS = {f.name: f.default for f in fields(Job)}


def _option(name: str, help_text: str, **settings: Any) -> _Decorator[Any]:
    """A click option for a field of `Job`, whose default stands in the help and nowhere else."""
    default = _DEFAULTS[name]
    is_flag = isinstance(default, bool) or settings.pop("is_flag", False)
    # A flag that a job file sets must be possible to take back.
    flag = f"--{key_of(name)}/--no-{key_of(name)}" if is_flag else f"--{key_of(name)}"
    if default is not None and default is not False and default != ():
        shown = f"{default:g}" if isinstance(default, float) else default
        help_text = f"{help_text}  [default: {shown}]"
    return click.option(flag, name, default=None, is_flag=is_flag, help=help_text, **settings)


_TEXT = {"metavar": "TEXT"}
_COLUMN = {"metavar": "NAME"}


def _allow_code(context: click.Context) -> None:
    """Lets stored pipelines run code until the command ends."""
    from pipelines.callables import allowing_code

    context.with_resource(allowing_code())


SECTIONS: Mapping[str, Sequence[_Decorator[Any]]] = {
    "Images": (
        _option("source", "A folder, .csv, .tsv, .npz, .npy or COCO's .json file, voc:PATH, "
                "labelme:PATH, keras:NAME, or digits.", metavar="SOURCE"),
        _option("labels", "A .csv or .tsv table over the folder, or the .npy of an .npy's labels.",
                metavar="FILE"),
        _option("layout", "How the folder is read: auto, classes, splits or flat.", **_TEXT),
        _option("follow_links", "Follow links that leave the folder.", is_flag=True),
        _option("path_column", "The table's column of paths.", **_COLUMN),
        _option("label_column", "Its column of labels; an empty name for none.", **_COLUMN),
        _option("split_column", "Its column of splits: train, val, test.", **_COLUMN),
        _option("group_column", "Its column of groups, which stay together.", **_COLUMN),
        _option("id_column", "Its column of ids, instead of the content's hash.", **_COLUMN),
        _option("path_suffix", "Such as .bmp, where images share a stem.", **_TEXT),
        _option("images_key", "The images' name in an .npz.", **_COLUMN),
        _option("labels_key", "The labels' name in an .npz.", **_COLUMN),
        _option("class_names", "Names of classes 0, 1, 2 …; repeat the option.", multiple=True,
                metavar="NAME"),
        _option("annotations", "A COCO .json file of the folder's images; repeatable.",
                multiple=True, metavar="FILE"),
        _option("masks", "A folder of masks, or a pattern with * for an image's name, such as "
                "'*_mask.png'.", metavar="DIR|PATTERN"),
        _option("mask_labels", "What a number in masks means, such as 128=cytoplasm; repeatable.",
                multiple=True, metavar="N=NAME"),
        _option("multi_label_column", "The table's column of several labels at once.", **_COLUMN),
        _option("multi_label_columns", "Its columns of 0 and 1, one per label; repeatable.",
                multiple=True, metavar="NAME"),
        _option("separator", "Between the labels of --multi-label-column; | unless given.",
                **_TEXT),
        _option("label_columns", "Its further columns of one label each; repeatable.",
                multiple=True, metavar="NAME"),
        _option("value_columns", "Its columns of numbers to be predicted; repeatable.",
                multiple=True, metavar="NAME"),
        _option("weight_column", "Its column of sample weights.", **_COLUMN),
    ),
    "Which images": (
        _option("exclude", "An image to leave out, by its path in the source; repeatable.",
                multiple=True, metavar="PATH"),
        _option("color", "grey, rgb, or auto: grey only if every image is.", **_TEXT),
        _option("max_bad", "The fraction of bad images to accept; 0.001 unless given.",
                type=float, metavar="FRACTION"),
        _option("strict", "Accept no bad image: the same as --max-bad 0."),
        _option("trust_source", "Read headers only when scanning: faster; a bad image that shows "
                "later fails the build."),
        _option("allow_split_leaks", "Accept equal images in different splits."),
        _option("allow_label_conflicts", "Let `check` accept equal images under different labels."),
        _option("split", "Cut a source without splits of its own, by class and keeping groups and "
                "equal images together, such as 0.8/0.1/0.1 or 0.8/0.2.", metavar="TRAIN/VAL/TEST"),
        _option("split_seed", "Which cut of that kind.", type=int, metavar="N"),
    ),
    "Augmentation": (
        _option("pipeline", "A preset or a .toml file; see `materialize transforms`.",
                metavar="PIPELINE"),
        _option("resize", "First bring every image to a size, such as 96x128:cover (or :contain, "
                ":stretch).", metavar="HxW[:FIT]"),
        _option("copies", "Augmented copies of each training image.", type=int, metavar="N"),
        _option("seed", "Which draws.", type=int, metavar="N"),
        _option("value_range", "What black and white are in float images, such as 0,1.",
                metavar="BLACK,WHITE"),
        _option("balance", "How many training images of each class an epoch shows: max (as many as "
                "there are of the largest), a number, or a .toml or .csv file of class = number.",
                metavar="max|N|FILE"),
        _option("balance_cap", "Most draws of an image in an epoch, on average over its class.",
                type=int, metavar="N"),
        _option("folds", "How many folds will be trained on: images are then mixed (mixup, cutmix) "
                "with those of their own fold alone; other pipelines need none before a dataset is "
                "read. `check` deals and looks at them.",
                type=int, metavar="N"),
        _option("fold_seed", "Which folds of that number.", type=int, metavar="N"),
        _option("storage", "What is stored of an image: pixels (its copies), prefix (untouched and "
                "resized; copies are made at reading), or recipe (no image at all).", **_TEXT),
        _option("originals", "Also store the untouched images, of every split."),
    ),
    "Output": (
        _option("output", "The dataset's directory.", metavar="DIR"),
        _option("codec", "raw, bitshuffle-zstd, zstd, gzip, lz4, blosc2, png, webp or jpeg-Q, Q "
                "from 1 to 100, such as jpeg-90.", **_TEXT),
        _option("shard_mb", "Pixels of one shard at most, in MiB before encoding.", type=float,
                metavar="MIB"),
        _option("parameters", "What is kept of each draw: none, draws or full.", **_TEXT),
    ),
    "Work": (
        _option("workers", "Processes; as many as there are processors unless given.", type=int,
                metavar="N"),
        _option("backend", "joblib's: loky, threading, sequential, dask …", **_TEXT),
    ),
    "Pace": (
        _option("batch_size", "Images rendered per call; chosen by size unless given.", type=int,
                metavar="N"),
        _option("part", "Write the i-th of n parts only; `materialize finish` publishes them.",
                metavar="I/N"),
        _option("max_seconds", "Begin no shard after so many seconds, and exit with 75.",
                type=float, metavar="S"),
    ),
}  # fmt: skip
"""Every option of `Job`, by the headline under which help texts show it."""

DATASET = click.argument("dataset", metavar="DATASET", type=click.Path())
ALLOW_CODE = click.option(
    "--allow-code", is_flag=True, expose_value=False,
    callback=lambda context, _, is_given: _allow_code(context) if is_given else None,
    help="Run the functions that the dataset names: only if you trust whoever made it.",
)  # fmt: skip
JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


PRICES = click.option("--prices", "prices_file", metavar="FILE", type=click.Path(),
                      help="A price book in TOML, instead of the list prices that come with the "
                      "package.")  # fmt: skip


class Amount(click.ParamType[Decimal]):
    """A decimal number, exact as it is typed."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        """The number; NaN and what is none are refused."""
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite() or number < 0:
            self.fail(f"expected a number of at least 0, got {value!r}", param, ctx)
        return number


class SectionedCommand(click.Command):
    """A command whose help shows its options under the headlines of `SECTIONS`.

    Args:
        examples: command lines that show what it is for.
        settings: as `click.Command` takes them.
    """

    def __init__(self, *, examples: Sequence[str] = (), **settings: Any) -> None:
        """A command with examples at the end of its help."""
        super().__init__(**settings)
        self._examples = examples

    def format_epilog(
        self,
        ctx: click.Context,  # noqa: ARG002  # click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Writes the examples, as they would be typed."""
        if self._examples:
            with formatter.section("Examples"):
                for example in self._examples:
                    formatter.write(f"{'':{formatter.current_indent}}{example}\n")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the command's own options, then each section."""
        headline_by_name = {
            name: headline
            for headline, options in SECTIONS.items()
            for name in map(_name_of, options)
        }
        grouped: dict[str, list[tuple[str, str]]] = {"Options": []}
        grouped |= {headline: [] for headline in SECTIONS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                grouped[headline_by_name.get(parameter.name or "", "Options")].append(record)
        for headline, records in grouped.items():
            if records:
                with formatter.section(headline):
                    formatter.write_dl(records)


def _name_of(option: _Decorator[Any]) -> str:
    """The field an option is for, which only click's own declaration knows."""
    probe = click.command()(option(lambda: None))
    return str(probe.params[0].name)


def job_options(*headlines: str) -> _Decorator[Any]:
    """Adds the options of some sections, and ``--job``, to a command."""

    def decorate(command: Any) -> Any:
        for headline in reversed(headlines):
            for option in reversed(SECTIONS[headline]):
                command = option(command)
        return click.option(
            "--job",
            "job_file",
            type=click.Path(),
            metavar="FILE",
            help="A TOML file with these options as keys; what is given here wins.",
        )(command)

    return decorate


def job_of(given: Mapping[str, Any]) -> Job:
    """The job that a command's options and its job file describe.

    Args:
        given: what click passed; names that are no options of a job are left alone.
    """
    path = given.get("job_file")
    chosen = {name: value for name, value in given.items() if name in OPTION_NAMES}
    return merge(read_job(path) if path else Job(), chosen)
