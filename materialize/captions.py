"""Drawn parameters in words, for people: ``rotation −7.3°``, ``zoom x 1.08, y 0.93``."""

from collections.abc import Mapping, Sequence

from pipelines.transform import Parameters, Transform

_UNITS = {"_deg": ("+.1f", "°"), "_px": ("+.1f", " px"), "_levels": ("+.1f", "")}
"""By the suffix of a parameter's name: how its number is written, and its unit."""


def captions(keys: Sequence[str], drawn: Sequence[Parameters], row: int) -> list[str]:
    """One caption per step for one image.

    Args:
        keys: the steps' keys.
        drawn: their parameters, as `Pipeline.parameters` gives them.
        row: which image.

    Returns:
        The captions in order; a flip that did not happen has none.
    """
    values = ({name: float(v[row]) for name, v in step.items()} for step in drawn)
    pairs = zip(keys, values, strict=True)
    return [line for key, parameters in pairs if (line := caption(key, parameters))]


def caption(key: str, parameters: Mapping[str, float]) -> str:
    """One step's parameters; empty if the step does nothing to this image."""
    title = key.replace("_", " ")
    if set(parameters) == {"flip"}:
        return title if parameters["flip"] else ""
    parts = []
    for name, value in parameters.items():
        suffix = next((s for s in _UNITS if name.endswith(s)), "")
        style, unit = _UNITS.get(suffix, (".2f", ""))
        number = format(value, style).replace("-", "−")
        plain = name.removesuffix(suffix).removeprefix(f"{key}_").replace("_", " ")
        parts.append(f"{plain} {number}{unit}" if len(parameters) > 1 else f"{number}{unit}")
    return f"{title} {', '.join(parts)}".strip()


def options_text(step: Transform) -> str:
    """A step's options as they stand in its file: ``max_deg = 10``."""
    options = ((k, v) for k, v in step.options().items() if k != "id")
    return ", ".join(f"{name} = {value}" for name, value in options) or "with its defaults"
