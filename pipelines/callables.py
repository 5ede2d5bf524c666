"""Code that others wrote: how it is named, found again, recognised, and allowed to run.

A name is ``package.module:attribute``. Whoever writes one into a pipeline of their own has said
that the code may run; a pipeline that a dataset stores has not, so its code runs only inside
`allowing_code`.
"""

import hashlib
import importlib
import inspect
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pipelines.errors import UserCodeError

_ALLOWED: ContextVar[bool] = ContextVar("code_of_stored_pipelines_is_allowed", default=False)
_DIGITS = 16
"""Of a digest in hex."""


@contextmanager
def allowing_code() -> Iterator[None]:
    """Inside the block, pipelines that datasets store may run the code that they name.

    It counts where a dataset is opened; what was opened before stays as it is.
    """
    token = _ALLOWED.set(True)
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def is_code_allowed() -> bool:
    """Whether the caller is inside `allowing_code`."""
    return _ALLOWED.get()


def name_of(target: object) -> str | None:
    """The name under which another process finds an object; None where it finds none.

    Lambdas, local functions, what a script or notebook defines itself, and objects that are not
    called what they say have none.
    """
    module, attribute = getattr(target, "__module__", None), getattr(target, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(attribute, str) or module == "__main__":
        return None
    found: Any = sys.modules.get(module)
    for part in attribute.split("."):
        found = getattr(found, part, None)
    return f"{module}:{attribute}" if found is target else None


def shown_name(target: object) -> str:
    """What to call an object in messages, whether or not it can be found by it."""
    if isinstance(target, str):
        return target
    module = getattr(target, "__module__", type(target).__module__)
    return f"{module}:{getattr(target, '__qualname__', type(target).__qualname__)}"


def found_by_name(name: str) -> Any:
    """Imports the module and takes the attribute.

    Args:
        name: ``package.module:attribute``.

    Raises:
        UserCodeError: it is no such name, or nothing is there, or importing it fails.
    """
    module, colon, attribute = name.partition(":")
    facts = {"function": name, "expected": "package.module:attribute", "found": name}
    parts = attribute.split(".")
    if not _is_name(name) or module.endswith(".py"):
        meant = name.replace(".py:", ":") if colon else ":".join(name.rsplit(".", 1))
        meant = meant.removeprefix("./").replace("/", ".")
        advice = (
            "functions of a script, a notebook or another function, and lambdas have none: move it "
            "to a module"
        )
        if _is_name(meant):
            advice = f"write {meant}"
        raise UserCodeError(
            f"function {name!r}: expected a name such as package.module:attribute; {advice}", facts
        )
    try:
        found = importlib.import_module(module)
    except Exception as error:  # whatever the module does
        raise UserCodeError(
            f"function {name}: expected to import {module}, got {type(error).__name__}: {error}; "
            "install it, or put its folder on PYTHONPATH",
            facts | {"found": str(error)},
        ) from error
    for part in parts:
        if not hasattr(found, part):
            raise UserCodeError(
                f"function {name}: expected {attribute!r} in {module}, found none there; correct "
                "the name",
                facts,
            )
        found = getattr(found, part)
    return found


def _is_name(text: str) -> bool:
    """Whether a text is written as ``package.module:attribute``."""
    module, colon, attribute = text.partition(":")
    return bool(colon) and all(
        part.isidentifier() for part in [*module.split("."), *attribute.split(".")]
    )


def is_albumentations(target: object) -> bool:
    """Whether an object is a transform of Albumentations; does not import it."""
    is_one = callable(getattr(target, "set_random_state", None)) and hasattr(target, "to_dict")
    return is_one and not isinstance(target, type)


def as_step(target: object) -> str:
    """How to write a step that does what an object does, for messages; empty for what does none."""
    kind = type(target).__name__
    if is_albumentations(target):
        return f"Albumentations({kind}(…))"
    return f"Function({getattr(target, '__name__', kind)})" if callable(target) else ""


def serialised(target: Any) -> str:
    """A transform of Albumentations as canonical JSON, as its ``to_dict`` says.

    Raises:
        UserCodeError: it cannot be written as JSON.
    """
    try:
        return json.dumps(target.to_dict(), sort_keys=True, allow_nan=False, default=_plain)
    except Exception as error:  # whatever the library raises
        raise UserCodeError(
            f"{shown_name(target)}: expected a transform that Albumentations can serialise, got "
            f"{error}; put it into a module and name that: Function('package.module:attribute')",
            {"function": shown_name(target), "found": str(error)},
        ) from error


def _plain(value: object) -> object:
    """What JSON does not know and Albumentations' serialisation holds: its enumerations, arrays."""
    for attribute in ("value", "tolist"):
        plain = getattr(value, attribute, None)
        if plain is not None:
            return plain() if callable(plain) else plain
    raise TypeError(f"{type(value).__name__} is not plain data")


def code_of(target: object, name: str, *, exact: bool) -> str:
    """What tells one state of some code from another.

    A digest of its source where it is the user's own; the version of the installed package that it
    comes from, unless it is declared exact over versions; empty where neither is known.

    Args:
        target: a function, or any other object that is called.
        name: ``package.module:attribute``.
        exact: whether it is declared to give the same bytes in all versions of its libraries.
    """
    if is_albumentations(target):
        version = "" if exact else _version_of(type(target).__module__)
        return ", ".join(filter(None, (version, _digest(serialised(target)))))
    source = _own_source(target)
    if source is not None:
        return _digest(source)
    return "" if exact else _version_of(name)


def _digest(text: str) -> str:
    return f"sha256 {hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]}"


def _own_source(target: Any) -> str | None:
    """The source of code that the user keeps; None for that of installed packages."""
    subject = target if hasattr(target, "__qualname__") else type(target)
    try:
        file, source = inspect.getsourcefile(subject), inspect.getsource(subject)
    except (OSError, TypeError):
        return None
    return None if {"site-packages", "dist-packages"} & set(Path(file or "").parts) else source


def _version_of(module: str) -> str:
    """The installed package that a module belongs to, such as ``scipy 1.17.1``; or nothing."""
    names = _distributions().get(module.partition(":")[0].partition(".")[0], ())
    return ", ".join(f"{name} {metadata.version(name)}" for name in sorted(set(names)))


@cache
def _distributions() -> dict[str, list[str]]:
    """The installed packages by the modules they bring."""
    return dict(metadata.packages_distributions())
