"""A function that is called with every image before it is standardised: Keras' own place for one.

Keras calls a ``preprocessing_function`` when images are shown, those of every split and after their
augmentation. So it belongs to how a dataset is read and not to what is stored: what it returns may
have any range and dtype, and the statistics of a training part are, as in Keras, fitted without it.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from pipelines.callables import code_of, found_by_name, name_of, shown_name
from pipelines.errors import ParameterError, UserCodeError

_DTYPES = ("float16", "float32", "float64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """A function, by its name where it has one, and what it is called with.

    Raises:
        ParameterError: no function and no name, or an option is of another kind.
        UserCodeError: nothing is there under the name.
    """

    call: Any
    """The function, or its name ``package.module:attribute``. Kept as its name if others find it by
    that; a lambda, or a function of a script, a notebook or another function, as it is."""
    code: str = ""
    """What a named function is, see `pipelines.callables.code_of`; by default what is found now."""
    scale: float = 1.0
    """What levels are multiplied by for the call; what it returns is divided by it."""
    channels_first: bool = False
    """Whether it is called with (C, H, W)."""
    dtype: str = "float32"
    """Of what it is called with."""

    def __post_init__(self) -> None:
        """Checks the options, and finds the function unless its state is told."""
        if not isinstance(self.call, str) and not callable(self.call):
            _refuse("preprocessing_function", "a function, or the name of one", repr(self.call),
                    "correct it")  # fmt: skip
        name = self.call if isinstance(self.call, str) else name_of(self.call)
        if name is not None:
            object.__setattr__(self, "call", name)
        good = isinstance(self.scale, int | float) and 0 < self.scale < float("inf")
        for holds, option, expected, found in (
            (good, "scale", "a number above 0", self.scale),
            (self.dtype in _DTYPES, "dtype", f"one of {list(_DTYPES)}", self.dtype),
            (isinstance(self.code, str), "code", "a text", self.code),
            (isinstance(self.channels_first, bool), "channels_first", "True or False",
             self.channels_first),
        ):  # fmt: skip
            if not holds:
                _refuse(f"preprocessing: {option}", expected, repr(found), "correct it")
        object.__setattr__(self, "scale", float(self.scale))
        if name is not None and not self.code:
            object.__setattr__(self, "code", code_of(found_by_name(name), name, exact=False))

    @property
    def name(self) -> str:
        """What to call the function in messages."""
        return shown_name(self.call)

    def to_dict(self) -> dict[str, Any]:
        """Name, code and the options that differ from their defaults, JSON-ready.

        Raises:
            ParameterError: nobody else could find the function.
        """
        if not isinstance(self.call, str):
            _refuse(
                "preprocessing_function", "a function that other programs can import", self.name,
                "write it with `def` at the top level of a module (no lambda, no function inside a "
                "function, none of a script or notebook) and import it from there",
            )  # fmt: skip
        usual = {"scale": 1.0, "channels_first": False, "dtype": "float32"}
        given: dict[str, Any] = asdict(self)
        return {key: value for key, value in given.items() if usual.get(key) != value}

    def ready(self) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
        """The function over batches of levels, (n, H, W, C) → (n, H, W, C) float32.

        Raises:
            UserCodeError: it is not there, or not what it was.
        """
        if not isinstance(self.call, str):
            return partial(_preprocessed, self, self.call)
        function = found_by_name(self.call)
        found = code_of(function, self.call, exact=False)
        if found != self.code:
            raise UserCodeError(
                f"{self.call}: expected the code that the standardisation was made with "
                f"({self.code or 'of no known version'}), found {found or 'none of it'}; restore "
                "it, or make the standardisation anew",
                {"function": self.call, "expected": self.code, "found": found},
            )
        return partial(_preprocessed, self, function)

    def rehearse(self, image: NDArray[Any]) -> None:
        """Calls the function with an image, twice.

        Args:
            image: (H, W, C) levels; not modified.

        Raises:
            UserCodeError: it fails, returns no image, or something else for the same image.
        """
        call = self.ready()
        first, second = call(image[None]), call(image[None])
        if not np.array_equal(first, second, equal_nan=True):
            raise UserCodeError(
                f"{self.name}: expected the same values again for the same image, got others; what "
                "is drawn at random belongs into the pipeline, as pipelines.Function of "
                "f(image, rng)",
                {"function": self.name, "expected": "the same values", "found": "others"},
            )


def preprocessing_from_dict(data: Mapping[str, Any]) -> Preprocessing:
    """What `Preprocessing.to_dict` gave.

    Raises:
        ParameterError: an unknown key, or a value of another kind.
    """
    known = list(Preprocessing.__dataclass_fields__)
    unknown = [name for name in data if name not in known]
    if unknown or "call" not in data:
        _refuse("preprocessing", f"call, and keys among {known}", str(list(data)), "correct it")
    return Preprocessing(**data)


def _preprocessed(
    options: Preprocessing, function: Callable[[Any], Any], images: NDArray[Any]
) -> NDArray[np.float32]:
    """What a function makes of levels, in levels again."""
    out = np.empty(images.shape, np.float32)
    for image, row in zip(images, out, strict=True):
        given = image.astype(options.dtype)  # the function may write to it
        if options.scale != 1.0:
            given *= np.dtype(options.dtype).type(options.scale)
        if options.channels_first:
            given = np.ascontiguousarray(np.moveaxis(given, 2, 0))
        values = _called(options.name, function, given)
        row[...] = np.moveaxis(values, 0, 2) if options.channels_first else values
    if options.scale != 1.0:
        out /= np.float32(options.scale)
    return out


def _called(name: str, function: Callable[[Any], Any], image: NDArray[Any]) -> NDArray[Any]:
    """What a function makes of an image, in the image's shape."""
    shape = image.shape
    expected = f"an image of {shape} or a number"
    try:
        values = np.asarray(function(image))
    except Exception as error:
        raise UserCodeError(
            f"{name}: expected {expected}, got {type(error).__name__}: {error}; correct it",
            {"function": name, "expected": expected, "found": str(error)},
        ) from error
    fits = values.ndim <= 3 and all(
        one in (1, side) for one, side in zip(values.shape[::-1], shape[::-1], strict=False)
    )
    if values.dtype.kind not in "fiub" or not fits:
        found = f"{values.shape} {values.dtype}" if values.dtype != object else "no numbers"
        raise UserCodeError(
            f"{name}: expected {expected}, got {found}; let it end with `return image`",
            {"function": name, "expected": expected, "found": found},
        )
    return np.broadcast_to(values, shape)


def _refuse(name: str, expected: str, found: str, advice: str) -> NoReturn:
    raise ParameterError(
        f"{name}: expected {expected}, got {found}; {advice}",
        {"name": name, "expected": expected, "found": found},
    )
