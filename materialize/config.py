"""A job: every option of every command, read from a TOML file, from the command line, or both.

    # job.toml: what `materialize build --job job.toml` does
    source = "photos"            # relative to this file
    output = "photos-augmented"
    copies = 5
    seed = 7

    [pipeline]                   # or pipeline = "cifar10", or pipeline = "mine.toml"
    border = "reflect"

    [[pipeline.step]]
    transform = "rotation"
    max_deg = 10

A key is the option's name without the two dashes, and an option given on the command line wins.
The keys of a pipeline file may also stand in the job file as they are, without ``[pipeline]``:
``border``, ``[[step]]`` and so on. Keys that nobody knows are refused with the nearest one that
exists; ``job.example.toml`` beside this module has them all.

This module is imported to print help texts, so it imports nothing heavy; what the values mean is
checked where they are used.
"""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

import msgspec

TABLE_SUFFIXES = (".toml", ".csv")
"""Of a file that gives a number for each class."""
PIPELINE_KEYS = ("name", "border", "fill", "interpolation", "step")
"""What makes a job file hold its own pipeline."""
_PATH_PREFIXES = ("voc:", "coco:", "labelme:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The options, with their defaults; None means that there is no default."""

    source: str | None = None
    labels: str | None = None
    layout: str | None = None
    follow_links: bool | None = None
    path_column: str | None = None
    label_column: str | None = None
    split_column: str | None = None
    group_column: str | None = None
    id_column: str | None = None
    path_suffix: str | None = None
    images_key: str | None = None
    labels_key: str | None = None
    class_names: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()
    masks: str | None = None
    mask_labels: tuple[str, ...] | dict[str, str] = ()
    multi_label_column: str | None = None
    multi_label_columns: tuple[str, ...] = ()
    separator: str | None = None
    label_columns: tuple[str, ...] = ()
    value_columns: tuple[str, ...] = ()
    weight_column: str | None = None

    exclude: tuple[str, ...] = ()
    color: str = "auto"
    trust_source: bool = False
    max_bad: float | None = None
    """The scan's own default unless given."""
    strict: bool = False
    allow_split_leaks: bool = False
    allow_label_conflicts: bool = False
    split: str | None = None
    split_seed: int = 0

    pipeline: str | None = None
    resize: str | None = None
    copies: int | None = None
    seed: int = 0
    value_range: str | None = None
    balance: str | int | dict[str, int] | None = None
    """``max``, a number of draws, a table's file, or the table itself: class → number."""
    balance_cap: int | None = None
    folds: int | None = None
    fold_seed: int = 0
    storage: str = "pixels"
    originals: bool = False

    output: str | None = None
    codec: str = "raw"
    shard_mb: float = 64
    parameters: str = "draws"

    workers: int | None = None
    """As many as this process may use unless given."""
    backend: str = "loky"
    batch_size: int | None = None
    part: str | None = None
    max_seconds: float | None = None

    inline_pipeline: Mapping[str, Any] | None = field(default=None)
    """The pipeline that a job file holds itself; no option of the command line."""
    origin: str = "the command line"
    """Where the job was read, for messages."""


OPTION_NAMES = tuple(
    name for f in fields(Job) if (name := f.name) not in ("inline_pipeline", "origin")
)
"""The fields that are options, in order."""


def read_job(path: str | Path) -> Job:
    """The job in a TOML file; relative paths in it start at its folder.

    Raises:
        ConfigError: it cannot be read, has an unknown key, or a value of the wrong type.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        _refuse(f"{path}: expected a job file in TOML, got: {reason}", path=str(path))
    _check_keys(data, path)
    inline = _inline_pipeline(data, path)
    hints = get_type_hints(Job)
    named = data if inline is None else {k: v for k, v in data.items() if k != "pipeline"}
    options = {
        name: _converted(named[key], hints[name], f"{path}: {key}")
        for name in OPTION_NAMES
        if (key := key_of(name)) in named
    }
    located = _located(options, path.parent)
    return Job(**located, inline_pipeline=inline, origin=str(path))


def merge(job: Job, given: Mapping[str, Any]) -> Job:
    """The job with the options of the command line put over it.

    Args:
        job: from a file, or the defaults.
        given: options by field name; None and () mean "not given".
    """
    chosen = {name: value for name, value in given.items() if value is not None and value != ()}
    # A pipeline that is named on the command line replaces the one in the file.
    inline = None if "pipeline" in chosen else job.inline_pipeline
    return replace(job, **chosen, inline_pipeline=inline)


def required(job: Job, name: str) -> Any:
    """The value of an option that this command cannot do without.

    Raises:
        ConfigError: it was not given.
    """
    value = getattr(job, name)
    if value is None:
        key = key_of(name)
        _refuse(
            f"{key}: expected a value, found none in {job.origin}; add --{key}, or {key} = … to "
            "a job file given with --job",
            name=key, found=None,
        )  # fmt: skip
    return value


def key_of(name: str) -> str:
    """The key in a job file, and the option without its dashes, for a field's name."""
    return name.replace("_", "-")


def _check_keys(data: Mapping[str, Any], path: Path) -> None:
    known = [*map(key_of, OPTION_NAMES), *PIPELINE_KEYS]
    for key in data:
        if key not in known:
            close = difflib.get_close_matches(key_of(key), known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
            _refuse(f"{path}: unknown key {key!r}; {hint}", expected=known, found=key)


def _inline_pipeline(data: Mapping[str, Any], path: Path) -> dict[str, Any] | None:
    """The pipeline that the file holds itself, if it does."""
    loose = {key: data[key] for key in PIPELINE_KEYS if key in data}
    named = data.get("pipeline")
    if loose and named is not None:
        _refuse(
            f"{path}: expected one pipeline, found 'pipeline' and beside it {', '.join(loose)}; "
            "remove one of the two, or move the keys into [pipeline]",
            found=sorted(loose),
        )
    if loose and "step" not in loose:
        _refuse(
            f"{path}: expected [[step]] tables beside {', '.join(loose)}, found none; add them, or "
            "move these keys into the pipeline's own file",
            found=sorted(loose),
        )
    return dict(named) if isinstance(named, Mapping) else loose or None


def _converted(value: Any, kind: Any, where: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        message = str(error).replace("`", "")
        _refuse(f"{where}: {message[:1].lower()}{message[1:]}, found {value!r}", found=value)


def _located(options: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The options with relative paths made to start at the job file's folder."""

    def from_here(name: str, value: str) -> str:
        if name == "source" and (value.startswith("keras:") or value == "digits"):
            # A data set by name, unless there is such a folder.
            return str(folder / value) if (folder / value).exists() else value
        if name == "source" and value.startswith(_PATH_PREFIXES):
            prefix, _, path = value.partition(":")
            return f"{prefix}:{folder / path}"
        if name == "masks" and "*" in value and "/" not in value:
            return value  # in the source's own folder
        if name == "pipeline" and not value.endswith(".toml") and "/" not in value:
            return value  # a preset
        return str(folder / value)

    def is_path(name: str, value: Any) -> bool:
        is_table = isinstance(value, str) and value.endswith(TABLE_SUFFIXES)
        return name in paths or (name == "balance" and is_table)

    paths = ("source", "labels", "pipeline", "output", "masks")
    located = {
        name: from_here(name, value) if is_path(name, value) else value
        for name, value in options.items()
    }
    if "annotations" in located:
        files = located["annotations"]
        located["annotations"] = tuple(from_here("annotations", file) for file in files)
    return located


def _refuse(message: str, **facts: Any) -> NoReturn:
    from materialize.errors import ConfigError  # brings numba, which only a failure may wait for

    raise ConfigError(message, facts) from None
