"""Drawn parameters in words, for people: ``rotation −7.3°``, ``zoom x 1.08, y 0.93``."""

from collections.abc import Mapping, Sequence

from pipelines.transform import ACTIVE, Container, Parameters, Transform

_UNITS = {"_deg": ("°", 1), "_px": (" px", 1), "_levels": ("", 1), "": ("", 2)}
"""By the suffix of a parameter's name: its unit and the digits after the point."""
_SIGNED = ("angle", "shift")
"""Parameters that begin so go both ways from nothing."""

_OPTION_LETTERS = 60


def captions(
    keys: Sequence[str], drawn: Sequence[Parameters], row: int, *, with_key: bool = True
) -> list[str]:
    """One caption per step for one image.

    Args:
        keys: the steps' keys.
        drawn: their parameters, as `Pipeline.parameters` gives them.
        row: which image.
        with_key: whether each begins with its step's name.

    Returns:
        The captions in order; a step that did not happen has none, nor has one whose steps speak
        for it.
    """
    lines = []
    for key, step in zip(keys, drawn, strict=True):
        if ACTIVE in step and not step[ACTIVE][row]:
            continue
        parameters = {name: float(v[row]) for name, v in step.items() if _is_shown(name)}
        if any(other.startswith(f"{key}.") for other in keys):
            continue
        if not with_key and set(parameters) != {"flip"}:
            lines.append(values_text(key, parameters) or key.replace("_", " "))
        elif said := caption(key, parameters):
            lines.append(said if with_key else "mirrored")
    return lines


def _is_shown(name: str) -> bool:
    """False for what means nothing to people: words kept whole, and that a step happened."""
    return name != ACTIVE and not name.startswith(("key_", "partner_", "seed_"))


def caption(key: str, parameters: Mapping[str, float]) -> str:
    """One step's parameters; empty for a flip that did not happen."""
    title = key.rpartition(".")[2].replace("_", " ")  # without the containers it stands in
    if set(parameters) == {"flip"}:
        return title if parameters["flip"] else ""
    return f"{title} {values_text(key, parameters)}".rstrip()


def values_text(key: str, parameters: Mapping[str, float]) -> str:
    """One step's parameters without its name, such as ``+7.3°`` or ``x 1.08, y 0.93``."""
    parts = []
    for name, value in parameters.items():
        suffix = next(s for s in _UNITS if name.endswith(s))
        unit, digits = _UNITS[suffix]
        sign = "+" if name.startswith(_SIGNED) else ""
        number = f"{value:{sign}.{digits}f}{unit}".replace("-", "−")
        plain = name.removesuffix(suffix).removeprefix(f"{key}_").replace("_", " ")
        parts.append(f"{plain} {number}" if len(parameters) > 1 else number)
    return ", ".join(parts)


def options_text(step: Transform) -> str:
    """A step's options as they stand in its file: ``max_deg = 10``."""
    options = {name: value for name, value in step.options().items() if name != "id"}
    if isinstance(step, Container) and "steps" in options:
        options["steps"] = ", ".join(inner.name for inner in step.steps)
    shown = (f"{name} = {_shortened(str(value))}" for name, value in options.items())
    return ", ".join(shown) or "with its defaults"


def _shortened(text: str) -> str:
    """The beginning of a text that is longer than an option usually is, such as a whole Compose."""
    return text if len(text) <= _OPTION_LETTERS else f"{text[: _OPTION_LETTERS - 1]}…"
