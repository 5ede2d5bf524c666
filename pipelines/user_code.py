"""Steps whose pixels come from code that others wrote, and the contract that it has to keep.

Such code gets one finished image and randomness by address, and gives an image of the same shape
and dtype. It may do what it likes with its libraries, so nothing but its author promises its bytes:
a step says whether they are `exact`.
"""

# ruff: noqa: ARG002  (the signatures are those of `Transform`)

import inspect
import json
import random  # noqa: TID251  # what Albumentations takes beside NumPy's generator
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from pipelines.callables import (
    code_of,
    found_by_name,
    is_albumentations,
    name_of,
    shown_name,
)
from pipelines.errors import UserCodeError
from pipelines.randomness import Words
from pipelines.transform import (
    Canvas,
    Container,
    Parameters,
    Transform,
    WholeImage,
    register,
    require,
)

SEED_WORDS = 4
"""Of one address: 128 bits."""
_NAMES = tuple(f"seed_{i}" for i in range(SEED_WORDS))
_GIVEN = ("rng", "seed")
"""Parameters of a function that are filled by address."""
Call = Callable[[NDArray[Any], int], Any]
"""An image and its 128-bit seed → the image that takes its place."""


@dataclass(frozen=True, kw_only=True)
class UserCode(WholeImage):
    """A step that calls what others wrote, image by image."""

    num_words = SEED_WORDS

    exact: bool = False
    """True promises the same bytes on every machine and in every version of the libraries used."""
    floats: bool = False
    """True where the code takes float32 images as well."""
    moves_pixels: bool = True
    """False promises that every pixel stays where it is, so that masks, boxes and points may come
    along."""
    _thread: ClassVar[threading.local]
    allowed: bool = field(default=True, compare=False, metadata={"is_in_files": False})
    """False where a dataset names the code and nobody allowed it: the step then refuses to run."""

    @property
    def works_on_floats(self) -> bool:
        """Whether float32 images may come."""
        return self.floats

    @property
    def hinders_targets(self) -> str:
        """Nobody knows where the code moves pixels."""
        return "its code may move pixels, unless moves_pixels = false" if self.moves_pixels else ""

    @property
    def title(self) -> str:
        """What to call the code in messages."""
        raise NotImplementedError

    def check(self) -> None:
        """Checks the flags."""
        object.__setattr__(self, "_thread", threading.local())
        for option in ("exact", "floats", "moves_pixels"):
            value = getattr(self, option)
            require(isinstance(value, bool), self, option, "true or false", value)

    def new_call(self) -> Call:
        """The code, ready to be called by one thread.

        Raises:
            UserCodeError: it is not there, or not what it was.
        """
        raise NotImplementedError

    def make_ready(self) -> None:
        """Finds the code, if it may run.

        Raises:
            UserCodeError: a dataset names it and nobody allowed it, it is not there, or it is not
                what it was when the pipeline was stored.
        """
        if not self.allowed:
            raise UserCodeError(
                f"{self.title}: expected leave to run it, got none: a dataset names this code, and "
                "whoever made the dataset chose it; if you trust them, give --allow-code, or in "
                "Python do this inside `with pipelines.allowing_code():`",
                {"function": self.title, "expected": "allowing_code", "found": None},
            )
        if not hasattr(self._thread, "call"):
            self._thread.call = self.new_call()

    @property
    def foreign_objection(self) -> str:
        """Why no other process could call the code; empty where it can."""
        return ""

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``seed_0`` to ``seed_3``: the words, kept exactly."""
        return {name: words[:, i].astype(np.float64) for i, name in enumerate(_NAMES)}

    def run(self, images: NDArray[Any], parameters: Parameters, *, plain: bool) -> None:
        """Calls the code with one image after the other.

        Raises:
            UserCodeError: it raised something, or gave something else than such an image.
        """
        self.make_ready()
        words = np.stack([parameters[name] for name in _NAMES], axis=1).astype(np.uint32)
        for image, seed in zip(images, words.tolist(), strict=True):
            self._replace(image, seed)

    def options(self) -> dict[str, Any]:
        """The options that differ from their defaults, JSON-ready."""
        return {key: value for key, value in super().options().items() if key != "allowed"}

    def _replace(self, image: NDArray[Any], words: Sequence[int]) -> None:
        """Writes over an image what the code makes of it."""
        given = image.view()
        given.flags.writeable = False
        number = sum(word << 32 * place for place, word in enumerate(words))
        try:
            made = self._thread.call(given, number)
        except Exception as error:  # noqa: BLE001  # whatever it raises
            advice = "correct it, or what it is given"
            if "read-only" in str(error) or "readonly" in str(error):
                advice = "the image must not be written to: begin with image = image.copy()"
            self._fail(words, f"an image, got {type(error).__name__}: {error}", advice, error)
        expected = f"an array of {image.shape} {image.dtype}"
        if not isinstance(made, np.ndarray):
            self._fail(words, f"{expected}, got {type(made).__name__}", "return the image")
        if image.shape[2] == 1 and made.shape == image.shape[:2]:
            made = made[:, :, None]
        if made.shape != image.shape:
            advice = "crop and resize by steps of the pipeline"
            self._fail(words, f"{expected}, got {made.shape}", advice)
        if made.dtype != image.dtype:
            advice = (
                f"round, clip and return image.astype(np.{image.dtype}); what normalises belongs "
                "to reading, not to the pipeline"
            )
            self._fail(words, f"{expected}, got {made.dtype}", advice)
        image[...] = made

    def _fail(
        self, words: Sequence[int], what: str, advice: str, cause: Exception | None = None
    ) -> NoReturn:
        key = f", id {self.id}" if self.id else ""
        raise UserCodeError(
            f"{self.title} (step {self.name}{key}): expected {what}; {advice}",
            {"step": self.id or self.name, "function": self.title, "words": tuple(words)},
        ) from cause

    def __getstate__(self) -> dict[str, Any]:
        """The fields; what each thread keeps, because code may have a state, stays there."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """The fields; every thread makes its own call again."""
        self.__dict__.update(state, _thread=threading.local())


@register
@dataclass(frozen=True, kw_only=True)
class Function(UserCode):
    """Calls a Python function with the image, and with randomness where it asks for some.

    ``f(image)`` gets (H, W, C) uint8, which it must not write to, and returns an array of the same
    shape and dtype; one channel may come back as (H, W). A parameter called ``rng`` gets a
    `numpy.random.Generator` that is made for this image, one called ``seed`` an integer in
    [0, 2**32); both come from the 128 bits that the step draws at the image's address, so that
    nothing else may be drawn from: no global generator, no clock. All other parameters come from
    ``arguments``. A transform or `Compose` of Albumentations may stand for the function.

    The pipeline's fingerprint holds the name, the version and the arguments, and the code: a digest
    of the source of that function alone, or the version of the installed package that it is from.
    Increase the version when anything else changes that it calls. The function is imported by name
    where it runs, so it must lie in a module; others work in `Pipeline.apply` and in loaders that
    augment in memory, not in datasets.
    """

    name = "function"
    summary = "call a function of your own: f(image), f(image, rng) or f(image, seed)"
    example = 'call = "package.module:attribute"'

    call: Any = field(kw_only=False)
    """The function, or its name ``package.module:attribute``."""
    version: str = ""
    """Of the function, as its author counts."""
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """What its other parameters get: texts, numbers, truth and lists of these."""
    code: str = ""
    """What the function is, see `pipelines.callables.code_of`; by default what is found now."""

    def check(self) -> None:
        """Checks the options, and finds the function unless its state is told."""
        super().check()
        good = isinstance(self.call, str) or callable(self.call)
        require(good, self, "call", "a function or package.module:attribute", self.call)
        require(isinstance(self.version, str), self, "version", "a text", self.version)
        good = isinstance(self.arguments, Mapping) and all(map(_is_plain, self.arguments.values()))
        good = good and not set(_GIVEN) & set(self.arguments)
        expected = f"texts, numbers, truth and lists by name, without {' and '.join(_GIVEN)}"
        require(good, self, "arguments", expected, self.arguments)
        object.__setattr__(self, "arguments", json.loads(json.dumps(dict(self.arguments))))
        if not isinstance(self.call, str):
            object.__setattr__(self, "call", name_of(self.call) or self.call)
        if self.allowed and not self.code:
            target = self._target()
            _bound(target, self.arguments, self.title)
            code = code_of(target, self.title, exact=self.exact)
            object.__setattr__(self, "code", code)

    @property
    def title(self) -> str:
        """``package.module:attribute``."""
        return shown_name(self.call)

    @property
    def foreign_objection(self) -> str:
        """Not for a name; but what has none, only its own process can find."""
        if isinstance(self.call, str) and not self.call.startswith("__main__:"):
            return ""
        if is_albumentations(self.call):
            return (
                "a transform has no name of its own; write Albumentations(…) around it, or the "
                "name of its variable, such as Function('package.module:compose')"
            )
        return "scripts, notebooks and functions keep theirs to themselves; move it to a module"

    def options(self) -> dict[str, Any]:
        """The options that differ from their defaults, JSON-ready; the function by its name."""
        given = super().options() | {"call": self.title}
        if not self.arguments:
            del given["arguments"]
        return given

    def new_call(self) -> Call:
        """The function with its arguments.

        Raises:
            UserCodeError: it is not there, or not what it was.
        """
        target = self._target()
        found = code_of(target, self.title, exact=self.exact)
        if found != self.code:
            raise UserCodeError(
                f"{self.title}: expected the code that the pipeline was stored with "
                f"({self.code or 'of no known version'}), found {found or 'none of it'}: it "
                "changed since. Restore it, or build another dataset",
                {"function": self.title, "expected": self.code, "found": found},
            )
        return _bound(target, self.arguments, self.title)

    def _target(self) -> Any:
        return found_by_name(self.call) if isinstance(self.call, str) else self.call


def seeded(transform: Any) -> Call:
    """A transform or `Compose` of Albumentations as a call, for one thread.

    Args:
        transform: of that thread alone.
    """
    pipeline = transform

    def call(image: NDArray[Any], number: int) -> Any:
        # Both generators anew for every image: nothing remains of the images before.
        pipeline.set_random_state(generator_of(number), random.Random(number))
        return pipeline(image=image.copy())["image"]

    return call


def generator_of(number: int) -> np.random.Generator:
    """The generator of one address.

    Args:
        number: in [0, 2**128).
    """
    return np.random.Generator(np.random.Philox(key=number))


def user_code_of(steps: Sequence[Transform]) -> Iterator[UserCode]:
    """The steps that call what others wrote, those inside containers too."""
    for step in steps:
        if isinstance(step, UserCode):
            yield step
        elif isinstance(step, Container):
            yield from user_code_of(step.steps)


@contextmanager
def naming_images(words: Words | None, name: Callable[[int], str]) -> Iterator[None]:
    """Inside the block, errors of users' code are raised with the image they came about by.

    Args:
        words: (n, words) that were drawn for the images by the pipeline; None where nothing was.
        name: what to call the image of a row.
    """
    try:
        yield
    except UserCodeError as error:
        row = None if words is None else _blamed_row(error, words)
        if row is None:
            raise
        image = name(row)
        raise UserCodeError(f"{image}: {error}", error.facts | {"image": image}) from error


def _blamed_row(error: UserCodeError, words: Words) -> int | None:
    """Which of n images the code failed on, by what was drawn for it."""
    drawn = np.array(error.facts.get("words", ()), dtype=np.uint32)
    for first in range(words.shape[1] - len(drawn) + 1 if len(drawn) else 0):
        rows = np.flatnonzero((words[:, first : first + len(drawn)] == drawn).all(axis=1))
        if len(rows):
            return int(rows[0])
    return None


def _bound(target: Any, arguments: Mapping[str, Any], title: str) -> Call:
    """A function as a call.

    Raises:
        UserCodeError: it does not take what it would get.
    """
    if is_albumentations(target):
        if arguments:
            _refuse(title, "a transform without arguments", str(sorted(arguments)))
        return seeded(deepcopy(target))
    if not callable(target):
        _refuse(title, "a function", type(target).__name__)
    wanted = _asked_for(target, arguments, title)

    def call(image: NDArray[Any], number: int) -> Any:
        given = dict(arguments)
        if "rng" in wanted:
            given["rng"] = generator_of(number)
        if "seed" in wanted:
            given["seed"] = number & 0xFFFFFFFF
        return target(image, **given)

    return call


def _asked_for(target: Any, arguments: Mapping[str, Any], title: str) -> set[str]:
    """Which of ``rng`` and ``seed`` a function takes."""
    try:
        signature = inspect.signature(target)
    except (TypeError, ValueError):  # compiled code that does not say
        return set()
    wanted = set(_GIVEN) & set(list(signature.parameters)[1:])
    try:
        signature.bind(None, **dict.fromkeys(wanted), **arguments)
    except TypeError as error:
        expected = "a function of an image, of rng and seed, and of what arguments names"
        if not signature.parameters:
            expected += " (for one that makes a Compose: the name of a variable that holds it)"
        _refuse(title, expected, f"{signature}: {error}")
    return wanted


def _refuse(title: str, expected: str, found: str) -> NoReturn:
    raise UserCodeError(
        f"{title}: expected {expected}, got {found}; correct it in the pipeline",
        {"function": title, "expected": expected, "found": found},
    )


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, str | bool | int) or (
        isinstance(value, float) and bool(np.isfinite(value))
    )
