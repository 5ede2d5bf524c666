"""A pipeline of Albumentations as a step, stored by what Albumentations itself says of it."""

import importlib
import json
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from pipelines.callables import is_albumentations, serialised
from pipelines.errors import UserCodeError
from pipelines.transform import register, require
from pipelines.user_code import Call, UserCode, seeded

_SILENCE = "NO_ALBUMENTATIONS_UPDATE"
"""Unless it is set, importing Albumentations asks the network for its newest version."""
_BY_NAME = 'transform = "function" and call = "{}"'
"""What a file says of a transform that stands in a module."""


@register
@dataclass(frozen=True, kw_only=True)
class Albumentations(UserCode):
    """Applies a ``Compose``, or a single transform, of Albumentations.

    Both of its generators are set anew for every image from the 128 bits that the step draws, so
    that results do not depend on the images before. Each thread makes its own instance, from what
    ``A.to_dict`` says; that, which names the library's version, is in the pipeline's fingerprint,
    and another version is refused. What Albumentations cannot serialise goes into a module and into
    ``function``. Its bytes are OpenCV's and its own: on other machines they may be others.
    """

    name = "albumentations"
    summary = "apply a Compose or a transform of Albumentations"
    example = (
        "compose = '…', the text of json.dumps(A.to_dict(transform)); one that stands in a module "
        f"is named instead: {_BY_NAME.format('package.module:attribute')}"
    )

    compose: Any = field(kw_only=False)
    """The transform, what ``A.to_dict(transform)`` gives, or that as a text of JSON."""

    def check(self) -> None:
        """Checks the options and writes the transform as text."""
        super().check()
        given = serialised(self.compose) if is_albumentations(self.compose) else self.compose
        try:
            facts = dict(given) if isinstance(given, Mapping) else json.loads(given)
            good = isinstance(facts["transform"], dict) and isinstance(facts["__version__"], str)
            text = json.dumps(facts, sort_keys=True)
        except (ValueError, TypeError, KeyError, RecursionError):
            good, text = False, ""
        expected = "a transform of Albumentations, or json.dumps(A.to_dict(transform))"
        require(good, self, "compose", expected, given, _advice(given))
        object.__setattr__(self, "compose", text)

    @property
    def title(self) -> str:
        """Its class, such as ``albumentations:Compose``."""
        kind = str(json.loads(self.compose)["transform"].get("__class_fullname__", "transform"))
        return f"albumentations:{kind.rpartition('.')[2]}"

    def new_call(self) -> Call:
        """An instance for one thread.

        Raises:
            UserCodeError: Albumentations is not there, is another version, or refuses the text.
        """
        library = _library()
        facts = json.loads(self.compose)
        expected, found = facts["__version__"], metadata.version("albumentations")
        if not self.exact and expected != found:
            raise UserCodeError(
                f"{self.title}: expected Albumentations {expected}, which the pipeline was stored "
                f"with, found {found}; install that version, or build another dataset",
                {"function": self.title, "expected": expected, "found": found},
            )
        try:
            return seeded(library.from_dict(facts))
        except Exception as error:  # whatever the library raises
            raise UserCodeError(
                f"{self.title}: expected a transform that Albumentations {found} can make, got "
                f"{type(error).__name__}: {error}; correct the name or option, or write it anew by "
                "json.dumps(A.to_dict(transform))",
                {"function": self.title, "expected": "a transform", "found": str(error)},
            ) from error


def _advice(given: object) -> str:
    """What to write instead of something that is no transform."""
    if isinstance(given, type):
        return f"write {given.__name__}(…), with its options"
    if isinstance(given, list | tuple):
        return "put transforms into one: A.Compose([…])"
    if isinstance(given, str) and re.fullmatch(r"[\w.]+:[\w.]+", given):
        return f"one that stands in a module is named by another step: {_BY_NAME.format(given)}"
    named = _BY_NAME.format("package.module:attribute")
    return f"write that text, or name one that stands in a module: {named}"


def _library() -> Any:
    """Albumentations.

    Raises:
        UserCodeError: it is not installed.
    """
    os.environ.setdefault(_SILENCE, "1")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its dependencies
            return importlib.import_module("albumentations")
    except ModuleNotFoundError as error:
        raise UserCodeError(
            "albumentations: expected Albumentations, found it is not installed; pip install "
            "albumentations opencv-python-headless",
            {"function": "albumentations", "expected": "Albumentations", "found": None},
        ) from error
