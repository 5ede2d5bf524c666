"""A contrast as a file: the data, the pipeline, the arms, the training, the figures beside it.

    title = "Photos"
    source = "photos"              # the keys of a build job that say which images
    split = "0.8/0.1/0.1"
    pipeline = "photos224"         # or a [pipeline] table
    arms = ["none", "offline", "on-the-fly", "prefix"]
    copies = [1, 2, 4, 8]          # the K's of the offline arm
    seeds = 5
    ablation = ["without"]         # without, alone

    [training]                     # the keys of `materialize.training.settings.TrainingSettings`
    model = "resnet"
    epochs = 20

    [cost]                         # the keys of `materialize.contrast.terms.CostTerms`
    service = "s3-standard"
    months = 12

    [variant.erasing]              # what --variant erasing changes: another contrast of this kind
    pipeline = "photos224-erasing"

    [quick]                        # what --quick changes, training and excerpt included
    seeds = 2
    [quick.training]
    epochs = 5

Keys that nobody knows are refused with the nearest one that exists.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, NoReturn, get_type_hints

import msgspec

from materialize.config import OPTION_NAMES, Job, key_of
from materialize.contrast.excerpt import Excerpt
from materialize.contrast.job_keys import REQUIRED, meaning
from materialize.contrast.jobs import ContrastJob, Published
from materialize.contrast.terms import CostTerms
from materialize.errors import ConfigError
from materialize.training.settings import TrainingSettings

_DECIDED_HERE = {
    "copies", "seed", "originals", "output", "parameters", "part", "max_seconds", "batch_size",
    "strict", "folds", "fold_seed",
}  # fmt: skip
"""Options of a build that a contrast does not take: it decides them itself."""
_IMAGE_OPTIONS = tuple(name for name in OPTION_NAMES if name not in _DECIDED_HERE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What the command line puts over a file; None is as the file says."""

    quick: bool | None = None
    """None takes the quick form where the file has one."""
    variant: str | None = None
    """One of the file's variants; None is the file as it stands."""
    source: str | None = None
    arms: tuple[str, ...] | None = None
    copies: tuple[int, ...] | None = None
    seeds: int | None = None
    epochs: int | None = None
    base: str | None = None


_OWN_KEYS = tuple(
    key_of(f.name)
    for f in fields(ContrastJob)
    if f.name not in ("images", "experiment", "form", "variant")
)  # fmt: skip


def read_contrast(path: str | Path, changes: Changes = Changes()) -> ContrastJob:
    """The contrast in a TOML file; relative paths in it start at its folder.

    Raises:
        ConfigError: it cannot be read, has an unknown key, or a value of the wrong type.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        _refuse(f"{path}: expected a contrast in TOML, got: {reason}", path=str(path))
    return parse_contrast(text, str(path), folder=path.parent, changes=changes)


def experiment_names() -> list[str]:
    """The experiments that come with the package."""
    return sorted(f.name.removesuffix(".toml") for f in _experiments().iterdir()
                  if f.name.endswith(".toml"))  # fmt: skip


def read_experiment(name: str, changes: Changes = Changes()) -> ContrastJob:
    """An experiment that comes with the package.

    Raises:
        ConfigError: there is none of that name.
    """
    names = experiment_names()
    if name not in names:
        close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
        hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}"
        _refuse(f"experiment: there is no {name!r}; {hint}", expected=names, found=name)
    text = (_experiments() / f"{name}.toml").read_text("utf-8")
    job = parse_contrast(text, f"experiment {name}", changes=changes)
    return replace(job, experiment=name)


def parse_contrast(
    text: str, origin: str, *, folder: Path | None = None, changes: Changes = Changes()
) -> ContrastJob:
    """The contrast that a TOML text describes.

    Args:
        text: of the file.
        origin: what to call it in messages.
        folder: where relative paths in it start; the working directory by default.
        changes: from the command line.

    Raises:
        ConfigError: no TOML, an unknown key, a missing key, or a value of the wrong type.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        _refuse(f"{origin}: expected a contrast in TOML, got: {error}", path=origin)
    data = _varied(data, data.pop("variant", {}), changes.variant, origin)
    quick: Any = data.pop("quick", None)
    if quick is not None and not isinstance(quick, Mapping):
        _refuse(f"{origin}: quick: expected a table [quick], got {quick!r}", found=quick)
    is_quick = quick is not None and changes.quick is not False
    if quick is not None and is_quick:
        data = _overlaid(data, quick)
    known = [*_OWN_KEYS, *map(key_of, _IMAGE_OPTIONS)]
    _check_keys(data, known, origin)
    _check_required(data, changes, origin)
    own = {k: v for k, v in data.items() if k in _OWN_KEYS and k != "training"}
    images = _images({k: v for k, v in data.items() if k not in _OWN_KEYS}, origin, folder)
    if changes.source is not None:
        images = replace(images, source=changes.source)
    training = dict(data["training"])
    if changes.epochs is not None:
        training["epochs"] = changes.epochs
    given = {
        name: value
        for name in ("arms", "copies", "seeds", "base")
        if (value := getattr(changes, name)) is not None
    }
    excerpt = _record(own.pop("excerpt", {}), Excerpt, f"{origin}: [excerpt]")
    published = [_record(row, Published, f"{origin}: [[published]]")
                 for row in own.pop("published", ())]  # fmt: skip
    cost = _cost(own.pop("cost", None), f"{origin}: [cost]", folder)
    options = _values(own, ContrastJob, origin) | given
    return ContrastJob(
        images=images, form="quick" if is_quick else "full", variant=changes.variant,
        excerpt=excerpt,
        training=_record(training, TrainingSettings, f"{origin}: [training]"),
        published=tuple(published), cost=cost, **options,
    )  # fmt: skip


def _varied(
    data: Mapping[str, Any], variants: Any, name: str | None, origin: str
) -> dict[str, Any]:
    """The file with what one of its variants changes."""
    is_good = isinstance(variants, Mapping)
    if not is_good or not all(isinstance(table, Mapping) for table in variants.values()):
        _refuse(f"{origin}: variant: expected tables [variant.NAME], got {variants!r}",
                found=variants)  # fmt: skip
    if name is None:
        return dict(data)
    if name not in variants:
        close = difflib.get_close_matches(name, variants, n=1)
        known = f"known are {', '.join(variants)}" if variants else "the file has no variants"
        hint = f"did you mean {close[0]!r}?" if close else known
        _refuse(f"{origin}: there is no variant {name!r}; {hint}", expected=list(variants),
                found=name)  # fmt: skip
    return _overlaid(data, variants[name])


def _check_required(data: Mapping[str, Any], changes: Changes, origin: str) -> None:
    """Refuses a file without what every contrast needs, all of it at once."""
    there = set(data) | ({"source"} if changes.source is not None else set())
    training = data.get("training", {})
    if isinstance(training, Mapping):  # a slip in a key is no missing key
        settings = [key_of(field.name) for field in fields(TrainingSettings)]
        _check_keys(training, settings, f"{origin}: [training]")
    if changes.epochs is not None or "epochs" in training:
        there.add("training.epochs")
    missing = [key for key in REQUIRED if key not in there]
    if missing:
        named = ", ".join(f"{key} ({meaning(key)})" for key in missing)
        _refuse(
            f"{origin}: expected {named}; found none. `materialize contrast --example` prints a "
            "file with every key",
            expected=REQUIRED, found=sorted(data),
        )  # fmt: skip


def _experiments() -> Traversable:
    return resources.files("materialize.contrast") / "experiments"


def _overlaid(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A table with the values of another put over it, tables within tables included."""
    merged = dict(data)
    for key, value in changes.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping) and key != "pipeline":
            merged[key] = _overlaid(below, value)
        else:
            merged[key] = value
    return merged


def _images(data: Mapping[str, Any], origin: str, folder: Path | None) -> Job:
    """The options of a build among the keys; paths start at the file's folder."""
    inline = data.get("pipeline") if isinstance(data.get("pipeline"), Mapping) else None
    rest = {key: value for key, value in data.items() if key != "pipeline" or inline is None}
    options = _values(rest, Job, origin)
    if folder is not None:
        options = {name: _from(folder, name, value) for name, value in options.items()}
    return Job(**options, inline_pipeline=inline, origin=origin)


def _cost(data: Any, where: str, folder: Path | None) -> CostTerms | None:
    """The terms of the money lines; the path of a price book starts at the file's folder."""
    if data is None:
        return None
    terms: CostTerms = _record(data, CostTerms, where)
    if folder is None or terms.prices is None:
        return terms
    return replace(terms, prices=str(folder / terms.prices))


def _from(folder: Path, name: str, value: Any) -> Any:
    if name == "source" and (value.startswith("keras:") or value == "digits"):
        return value
    is_file = name in ("source", "labels") or (name == "pipeline" and value.endswith(".toml"))
    return str(folder / value) if is_file else value


def _record(data: Any, kind: type[Any], where: str) -> Any:
    """A dataclass from a table of its fields, with unknown and missing keys refused."""
    if not isinstance(data, Mapping):
        _refuse(f"{where}: expected a table, got {data!r}", found=data)
    _check_keys(data, [key_of(f.name) for f in fields(kind)], where)
    values = _values(data, kind, where)
    try:
        return kind(**values)
    except TypeError:  # fields without a default
        absent = [
            key_of(f.name) for f in fields(kind)
            if f.default is MISSING and f.default_factory is MISSING and f.name not in values
        ]  # fmt: skip
        _refuse(f"{where}: expected {', '.join(absent)}, found none of it", found=sorted(data))
    except ConfigError as error:
        _refuse(f"{where}: {error}", **error.facts)


def _values(data: Mapping[str, Any], kind: type[Any], where: str) -> dict[str, Any]:
    """Values by field name, converted to the fields' types."""
    hints = get_type_hints(kind)
    values = {}
    for key, value in data.items():
        name = key.replace("-", "_")
        try:
            values[name] = msgspec.convert(value, hints[name])
        except msgspec.ValidationError as error:
            message = str(error).replace("`", "")
            _refuse(f"{where}: {key}: {message[:1].lower()}{message[1:]}, found {value!r}",
                    found=value)  # fmt: skip
    return values


def _check_keys(data: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    names = list(known)
    for key in data:
        if key not in names:
            close = difflib.get_close_matches(key_of(key), names, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}"
            _refuse(f"{where}: unknown key {key!r}; {hint}", expected=names, found=key)


def _refuse(message: str, **facts: Any) -> NoReturn:
    raise ConfigError(message, facts) from None
