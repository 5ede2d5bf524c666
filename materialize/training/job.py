"""A training as text: the options of `materialize train`, from a file, the command line, or both.

    # train.toml: what `materialize train --job train.toml` does
    dataset = "photos-augmented"    # relative to this file
    output = "runs/first"
    model = "resnet"
    epochs = 30
    patience = 5
    keep = "best"

A key is the option's name without the two dashes; an option given on the command line wins. Keys
that nobody knows are refused with the nearest one that exists.
"""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from materialize.config import key_of
from materialize.errors import ConfigError
from materialize.loader.opening import LoaderOptions
from materialize.recipe import whole_number
from materialize.training.job_keys import REQUIRED, meaning
from materialize.training.selection import Selection
from materialize.training.settings import TrainingSettings
from materialize.training.transfer import Transfer

_PLACES = ("dataset", "output")
_PACE = (
    "shuffle", "block_rows", "window_blocks", "threads", "prefetch", "verify", "on_damage",
)  # fmt: skip
"""Fields of `LoaderOptions` that a training may choose."""

OPTION_NAMES = (
    *_PLACES,
    *(field.name for field in fields(TrainingSettings)),
    *(field.name for field in fields(Selection)),
    *(field.name for field in fields(Transfer)),
    *_PACE,
)
"""Every option, by its field's name."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """What is trained, how, and where its files go."""

    dataset: str
    output: str
    settings: TrainingSettings
    selection: Selection
    options: LoaderOptions
    transfer: Transfer | None = None
    """A pretrained base instead of the settings' model."""
    all_folds: int | None = None
    """Train a model for each of so many folds."""


def read_training_options(path: str | Path) -> dict[str, Any]:
    """The options in a TOML file, by field name; relative paths in it start at its folder.

    Raises:
        ConfigError: it cannot be read, or has an unknown key.
    """
    path = Path(path)
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(
            f"{path}: expected a training job in TOML, got: {reason}", {"path": str(path)}
        ) from error
    known = {key_of(name): name for name in OPTION_NAMES}
    for key in data:
        if key not in known:
            close = difflib.get_close_matches(key_of(key), known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
            raise ConfigError(
                f"{path}: unknown key {key!r}; {hint}", {"expected": list(known), "found": key}
            )
    options = {known[key]: value for key, value in data.items()}
    for name in _PLACES:
        if isinstance(options.get(name), str):
            options[name] = str(path.parent / options[name])
    return options


def training_job(options: Mapping[str, Any], *, origin: str = "the options") -> TrainingJob:
    """The job that some options describe.

    Args:
        options: by field name; absent ones and None have their defaults.
        origin: where they were read, for messages.

    Raises:
        ConfigError: dataset, output or epochs is missing, or a value is of the wrong type or
            outside its interval.
    """
    given = {name: value for name, value in options.items() if value is not None}
    missing = [name for name in REQUIRED if name not in given]
    if missing:
        named = ", ".join(f"{key_of(name)} ({meaning(name)})" for name in missing)
        raise ConfigError(
            f"{origin}: expected values for {named}, found none; give them as "
            f"{_as_options(missing)}, or in a job file: `materialize train --example` prints one",
            {"expected": REQUIRED, "found": sorted(given)},
        )
    # folds without a fold means all of them, which is no selection.
    all_folds = given.pop("folds", None) if "fold" not in given else None
    transfer = _made(Transfer, given, origin) if "base" in given else None
    for field in fields(Transfer):
        if field.name in given and transfer is None:
            raise ConfigError(
                f"{key_of(field.name)}: expected base with it, found none in {origin}; add --base "
                "NAME or --base FILE",
                {"name": "base", "found": None},
            )
    return TrainingJob(
        str(given["dataset"]),
        str(given["output"]),
        _made(TrainingSettings, given, origin),
        _made(Selection, given, origin),
        _made(LoaderOptions, {k: v for k, v in given.items() if k in _PACE}, origin),
        transfer,
        None if all_folds is None else whole_number("folds", all_folds, 2, 127),
    )


def _as_options(names: Sequence[str]) -> str:
    """How they are typed; the dataset is an argument."""
    typed = ["DATASET" if name == "dataset" else f"--{key_of(name)}" for name in names]
    return ", ".join(typed)


def _made(kind: type[_T], given: Mapping[str, Any], origin: str) -> _T:
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]  # a dataclass
    try:
        return msgspec.convert({name: given[name] for name in names if name in given}, kind)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, ConfigError):
            raise error.__cause__ from None
        reason = str(error).replace("`", "").replace("$.", "")
        raise ConfigError(
            f"{origin}: {reason[:1].lower()}{reason[1:]}", {"origin": origin}
        ) from error
