"""Pipelines as files, and the fingerprint that names what they do.

A pipeline file is TOML: the pipeline's own keys, then one ``[[step]]`` table for each step, whose
``transform`` names it and whose other keys are its parameters. Keys that nobody knows are refused,
with the nearest one that exists.
"""

import difflib
import hashlib
import json
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pipelines import (
    albumentations_code,
    augmix,
    colour,
    composition,
    compression,
    distortion,
    exact_moves,
    geometric,
    histogram,
    keras_affine,
    mixing,
    neighbourhood,
    noise,
    occlusion,
    photometric,
    policies,
    resizing,
    user_code,
)
from pipelines.callables import as_step, is_code_allowed
from pipelines.engine import INTERPOLATIONS
from pipelines.errors import ParameterError, PipelineFileError, UserCodeError
from pipelines.kernels import BORDERS
from pipelines.pipeline import Pipeline
from pipelines.randomness import RNG_NAME
from pipelines.transform import REGISTRY, Container, Transform, file_options, is_required
from pipelines.user_code import UserCode

ARITHMETIC = "fused-bilinear14/1"
"""The name of the pixel arithmetic; it changes whenever any pixel would."""
TRANSFORM_MODULES = (
    albumentations_code,
    augmix,
    colour,
    composition,
    compression,
    distortion,
    exact_moves,
    geometric,
    histogram,
    keras_affine,
    mixing,
    neighbourhood,
    noise,
    occlusion,
    photometric,
    policies,
    resizing,
    user_code,
)
"""Where transforms live; importing them fills the registry."""
_TARGET_KEYS = {"mask_border": None, "mask_fill": 0, "min_visibility": 0.0}
"""Options of masks and objects, and the defaults at which they are left out."""
_OWN_KEYS = ("name", "border", "fill", "interpolation", *_TARGET_KEYS, "step")


def to_dict(pipeline: Pipeline) -> dict[str, Any]:
    """The pipeline as plain data, defaults of steps and targets left out; `from_dict` reads it."""
    given = {key: getattr(pipeline, key) for key in _TARGET_KEYS}
    return {
        "name": pipeline.name,
        "border": pipeline.border,
        "fill": [float(level) for level in pipeline.fill],
        "interpolation": pipeline.interpolation,
        **{key: value for key, value in given.items() if value != _TARGET_KEYS[key]},
        "step": [{"transform": step.name} | step.options() for step in pipeline.steps],
    }


def to_toml(pipeline: Pipeline) -> str:
    """The pipeline as a file that `load` reads, without its name."""
    facts = to_dict(pipeline)
    lines = [f"{key} = {_in_toml(facts[key])}" for key in _OWN_KEYS[1:-1] if key in facts]
    for step in facts["step"]:
        lines += _step_lines(step, "step")
    return "\n".join(lines) + "\n"


def _step_lines(step: Mapping[str, Any], table: str) -> list[str]:
    """A step's table, and behind it those of the steps it holds."""
    inner = step.get("steps", [])
    own = (f"{key} = {_in_toml(value)}" for key, value in step.items() if key != "steps")
    lines = ["", f"[[{table}]]", *own]
    for held in inner:
        lines += _step_lines(held, f"{table}.steps")
    return lines


def _in_toml(value: object) -> str:
    """JSON writes texts, numbers, truth and lists as TOML does; tables it writes otherwise."""
    if isinstance(value, Mapping):
        pairs = (f"{json.dumps(key)} = {_in_toml(inner)}" for key, inner in value.items())
        return f"{{ {', '.join(pairs)} }}"
    return json.dumps(value, ensure_ascii=False)


def from_dict(
    data: Mapping[str, Any], where: str = "pipeline", *, allow_code: bool = True
) -> Pipeline:
    """The pipeline that plain data describe.

    Args:
        data: as `to_dict` gives it or a TOML file holds it.
        where: what to call it in errors, such as the file's path.
        allow_code: False where a stranger may have written the data: code that steps name is then
            not imported, and the steps refuse to run.

    Raises:
        PipelineFileError: an unknown key, a missing parameter, a wrong type.
        ParameterError: a parameter outside its interval.
        UserCodeError: a function is not there, or does not take what it would get.
    """
    _known_keys(data, _OWN_KEYS, where)
    steps = data.get("step", [])
    if not isinstance(steps, list) or not all(isinstance(step, Mapping) for step in steps):
        raise PipelineFileError(
            f"{where}: expected one [[step]] table for each step, got {type(steps).__name__}",
            {"where": where, "expected": "[[step]] tables", "found": type(steps).__name__},
        )
    fill = data.get("fill", (0.0,))
    levels = tuple(fill) if isinstance(fill, list | tuple) else (fill,)
    if not all(isinstance(level, int | float) for level in levels):
        raise PipelineFileError(
            f"{where}: fill: expected a level or a list of levels, got {fill!r}",
            {"where": where, "expected": "levels in [0, 255]", "found": fill},
        )
    for key, allowed in (
        ("border", BORDERS), ("interpolation", INTERPOLATIONS), ("mask_border", BORDERS)
    ):  # fmt: skip
        if data.get(key, allowed[0]) not in allowed:
            raise PipelineFileError(
                f"{where}: {key}: expected one of {list(allowed)}, got {data[key]!r}"
                f"{_nearest(str(data[key]), allowed)}",
                {"where": where, "name": key, "expected": list(allowed), "found": data[key]},
            )
    made = tuple(_steps(steps, where, allow_code))
    try:
        return Pipeline(
            steps=made,
            name=str(data.get("name", "pipeline")),
            border=data.get("border", "nearest"),
            fill=tuple(map(float, levels)),
            interpolation=data.get("interpolation", "bilinear"),
            **{key: data[key] for key in _TARGET_KEYS if key in data},
        )
    except PipelineFileError as error:
        raise PipelineFileError(f"{where}: {error}", {**error.facts, "where": where}) from error


def _steps(steps: Iterable[Mapping[str, Any]], where: str, allow_code: bool) -> Iterator[Transform]:
    for number, step in enumerate(steps, start=1):
        yield _step(step, f"{where}, step {number}", allow_code)


def _step(data: Mapping[str, Any], where: str, allow_code: bool) -> Transform:
    if "transform" not in data:
        raise PipelineFileError(
            f"{where}: expected the key 'transform', got {sorted(data) or 'no keys'}; name one of "
            f"{sorted(REGISTRY)}",
            {"where": where, "expected": "transform", "found": sorted(data)},
        )
    name = data["transform"]
    if not isinstance(name, str) or name not in REGISTRY:
        raise PipelineFileError(
            f"{where}: transform: expected one of {sorted(REGISTRY)}, got {name!r}"
            f"{_nearest(str(name), REGISTRY)}",
            {"where": where, "expected": sorted(REGISTRY), "found": name},
        )
    kind = REGISTRY[name]
    options = {key: value for key, value in data.items() if key != "transform"}
    known = [option.name for option in file_options(kind)]
    _known_keys(options, known, f"{where} ({name})", kind.example)
    required = [option.name for option in file_options(kind) if is_required(option)]
    missing = [option for option in required if option not in options]
    if missing:
        raise PipelineFileError(
            f"{where} ({name}): expected {missing[0]!r}, got {sorted(options) or 'no parameters'}; "
            f"add it{f', as {kind.example}' if kind.example else ''}",
            {"where": where, "expected": missing[0], "found": sorted(options)},
        )
    make: Callable[..., Transform] = kind
    if issubclass(kind, Container) and "steps" in known:  # policies make theirs
        options["steps"] = _inner_steps(options["steps"], f"{where} ({name})", allow_code)
    if issubclass(kind, UserCode):
        options["allowed"] = allow_code
    try:
        return make(**{k: tuple(v) if isinstance(v, list) else v for k, v in options.items()})
    except (ParameterError, UserCodeError) as error:
        facts = {**error.facts, "where": where}
        raise type(error)(f"{where}: {error}", facts) from error


def _inner_steps(data: Any, where: str, allow_code: bool) -> list[Transform]:
    """The steps of a container."""
    if not isinstance(data, list) or not all(isinstance(step, Mapping) for step in data):
        raise PipelineFileError(
            f"{where}: expected one [[step.steps]] table for each step in it, got {data!r}",
            {"where": where, "expected": "[[step.steps]] tables", "found": data},
        )
    return list(_steps(data, where, allow_code))


def _known_keys(
    data: Mapping[str, Any], known: Iterable[str], where: str, example: str = ""
) -> None:
    for key in data:
        if key not in known:
            such = f"; write {example}" if example else ""
            raise PipelineFileError(
                f"{where}: unknown key {key!r}{_nearest(key, known)}; known are {sorted(known)}"
                f"{such}",
                {"where": where, "expected": sorted(known), "found": key},
            )


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f", did you mean {close[0]!r}?" if close else ""


def load(pipeline: str | Path) -> Pipeline:
    """A pipeline from a TOML file or, by bare name, from the presets.

    Raises:
        PipelineFileError: no such file or preset, or it is not a valid pipeline.
    """
    given: object = pipeline  # whatever callers that nobody checks pass
    if not isinstance(given, str | Path):
        step = as_step(given) or "…"
        raise PipelineFileError(
            f"pipeline: expected a Pipeline, a preset or a TOML file, got "
            f"{type(given).__name__}; write Pipeline(steps=({step},))",
            {"expected": "a Pipeline", "found": type(given).__name__},
        )
    text = str(pipeline)
    if not text.endswith(".toml") and text in preset_names():
        file = resources.files("pipelines") / "presets" / f"{text}.toml"
        return from_dict({"name": text} | tomllib.loads(file.read_text("utf-8")), f"preset {text}")
    path = Path(text)
    if not path.is_file():
        raise PipelineFileError(
            f"pipeline {text!r}: expected a TOML file or one of {preset_names()}, found neither"
            f"{_nearest(text, preset_names())}",
            {"path": text, "expected": preset_names(), "found": None},
        )
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PipelineFileError(
            f"{path}: expected TOML, got a syntax error: {error}; correct the file",
            {"path": str(path), "expected": "TOML", "found": str(error)},
        ) from error
    return from_dict({"name": path.stem} | data, str(path))


def preset_names() -> list[str]:
    """The names of the presets that come with the package."""
    folder = resources.files("pipelines") / "presets"
    return sorted(
        f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")
    )


def canonical_text(pipeline: Pipeline) -> str:
    """What the pipeline does, as canonical JSON: sorted keys, no name, the arithmetic included."""
    data = to_dict(pipeline)
    del data["name"]
    data |= {"randomness": RNG_NAME, "arithmetic": ARITHMETIC, "keys": list(pipeline.step_keys)}
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def fingerprint(pipeline: Pipeline) -> str:
    """SHA-256 of `canonical_text`, in hex: equal for pipelines that give the same pixels."""
    return hashlib.sha256(canonical_text(pipeline).encode()).hexdigest()


def from_canonical_text(text: str) -> Pipeline:
    """The pipeline that `canonical_text` was made from, without its name.

    Steps that call what others wrote are there, and refuse to run outside `allowing_code`: nothing
    is imported that a stored pipeline names.

    Raises:
        PipelineFileError: it is of another arithmetic, whose pixels this version cannot make.
    """
    data = json.loads(text)
    made_by = {
        "randomness": data.pop("randomness", None),
        "arithmetic": data.pop("arithmetic", None),
    }
    known = {"randomness": RNG_NAME, "arithmetic": ARITHMETIC}
    data.pop("keys", None)
    if made_by != known:
        raise PipelineFileError(
            f"stored pipeline: expected {known}, got {made_by}; use the release that built it",
            {"expected": known, "found": made_by},
        )
    return from_dict(data, "stored pipeline", allow_code=is_code_allowed())
