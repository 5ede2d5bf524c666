"""A pipeline of Albumentations as a step, stored by what Albumentations itself says of it."""

import importlib
import json
import os
import warnings
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from pipelines.callables import is_albumentations, serialised
from pipelines.errors import UserCodeError
from pipelines.transform import register, require
from pipelines.user_code import Call, UserCode, seeded

_SILENCE = "NO_ALBUMENTATIONS_UPDATE"
"""Unless it is set, importing Albumentations asks the network for its newest version."""


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

    compose: Any = field(kw_only=False)
    """The transform, or the text that ``json.dumps(A.to_dict(transform))`` gives."""

    def check(self) -> None:
        """Checks the options and writes the transform as text."""
        super().check()
        if is_albumentations(self.compose):
            object.__setattr__(self, "compose", serialised(self.compose))
        expected = "a transform of Albumentations, or json.dumps(A.to_dict(transform))"
        require(isinstance(self.compose, str), self, "compose", expected, self.compose)
        try:
            facts = json.loads(self.compose)
            good = isinstance(facts["transform"], dict) and isinstance(facts["__version__"], str)
        except (ValueError, TypeError, KeyError, RecursionError):
            good = False
        require(good, self, "compose", expected, self.compose)
        text = json.dumps(facts, sort_keys=True)
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
                f"{type(error).__name__}: {error}; correct it",
                {"function": self.title, "expected": "a transform", "found": str(error)},
            ) from error


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
