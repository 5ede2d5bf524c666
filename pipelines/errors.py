"""Why a pipeline, a parameter or an image was refused.

    FactualError                 carries the facts of a failure beside its sentence
    └── PipelineError            root of everything `pipelines` raises on purpose
        ├── ParameterError       a transform's parameter is outside its interval (also a ValueError)
        ├── PipelineFileError    a pipeline file cannot be read as one (also a ValueError)
        ├── ImageContractError   an array is not the image the pipeline was told to expect
        │                        (also a ValueError)
        └── UserCodeError        a user's function cannot be found, may not run, or does not do what
                                 a step must

Every class survives pickling, because workers send their errors across processes: the constructor
takes positional arguments only and keeps them in ``args``.
"""

from collections.abc import Mapping
from typing import Any


class FactualError(Exception):
    """An error whose facts are also attributes: ``err.path``, ``err.expected``, ``err.found``.

    Args:
        message: one sentence that says what failed, where, what was expected and what was found,
            and what to do about it.
        facts: the same facts by name, for programs.
    """

    def __init__(self, message: str, facts: Mapping[str, Any] | None = None) -> None:
        """Keeps both in ``args``."""
        super().__init__(message, dict(facts or {}))

    @property
    def facts(self) -> dict[str, Any]:
        """The named facts of this failure."""
        facts: dict[str, Any] = self.args[1]
        return facts

    def __str__(self) -> str:
        """The sentence alone."""
        return str(self.args[0])

    def __getattr__(self, name: str) -> Any:
        """A fact by name; dunder names are never facts (copy and pickle probe for them)."""
        if not name.startswith("__") and name in self.args[1]:
            return self.args[1][name]
        raise AttributeError(name)


class PipelineError(FactualError):
    """Root of the errors of `pipelines`."""


class ParameterError(PipelineError, ValueError):
    """A transform's parameter is of the wrong kind or outside its interval."""


class PipelineFileError(PipelineError, ValueError):
    """A pipeline file has an unknown key, a wrong type or no transforms."""


class ImageContractError(PipelineError, ValueError):
    """An array does not have the shape, dtype or range that was promised."""


class UserCodeError(PipelineError):
    """A function that a step calls is not there, is not allowed, or broke its contract."""
