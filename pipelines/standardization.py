"""How levels become the numbers a model is fed: the options, their text and their fingerprint.

The options and their order are those of Keras' ``ImageDataGenerator.standardize``: a function of
the user's, rescale, samplewise centre, samplewise std, featurewise centre, featurewise std, ZCA
whitening. What Keras overrides with a warning is refused here, because an option that silently
becomes another one is in no fingerprint. The featurewise part needs `pipelines.statistics`;
`pipelines.standardizer` applies the whole.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from typing import Any

from pipelines.errors import ParameterError
from pipelines.preprocessing import Preprocessing, preprocessing_from_dict

EPSILON = 1e-6
"""What Keras adds to every standard deviation before it divides by it."""
MAX_EXACT_VALUES = 4096
"""Values per image up to which ZCA keeps every direction: the matrix is 64 MiB there."""
LOW_RANK_COMPONENTS = 256
"""Directions that ZCA keeps above `MAX_EXACT_VALUES`."""
MEANING = "keras-standardize/1"
"""The name of the arithmetic, part of every fingerprint; it changes whenever a result would."""

_RANGES = {"none": None, "unit": (0.0, 1.0), "symmetric": (-1.0, 1.0)}
_STATISTICS = {
    "featurewise": {"featurewise_center": True, "featurewise_std": True},
    "samplewise": {"samplewise_center": True, "samplewise_std": True},
    "zca": {"featurewise_center": True, "zca": True},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standardization:
    """What is done to the levels of an image, in the order of the fields.

    Raises:
        ParameterError: a field is outside its interval, or two of them contradict each other.
    """

    preprocessing: Preprocessing | None = None
    """A function that is called with each image before anything else."""
    rescale: float | None = None
    """Levels are multiplied by it first; None leaves them."""
    offset: float = 0.0
    """Added after rescaling (Keras has it in its layer ``Rescaling`` alone)."""
    samplewise_center: bool = False
    """Subtracts the mean of all values of the image, over all channels."""
    samplewise_std: bool = False
    """Divides by the standard deviation of all values of the image, plus 1e-6."""
    featurewise_center: bool = False
    """Subtracts the channel's mean over the training part, rescaled but not samplewise."""
    featurewise_std: bool = False
    """Divides by the channel's standard deviation over the training part, plus 1e-6."""
    zca: bool = False
    """Multiplies the flattened image by the whitening matrix of the training part."""
    zca_epsilon: float = 1e-6
    """Added to every singular value before it is inverted."""
    zca_components: int | None = None
    """Directions kept; None: all of them up to 4,096 values per image, 256 above."""

    def __post_init__(self) -> None:
        """Checks intervals, then contradictions."""
        for field in fields(self):
            _check_kind(field.name, getattr(self, field.name))
        for name in ("rescale", "offset", "zca_epsilon"):  # 1 and 1.0 have one fingerprint
            number = getattr(self, name)
            object.__setattr__(self, name, None if number is None else float(number))
        if self.rescale == 0:
            _refuse("rescale", "a number other than 0", 0, "leave it out to keep the levels")
        if self.zca_epsilon <= 0:
            _refuse("zca_epsilon", "a number above 0", self.zca_epsilon, "Keras' is 1e-6")
        if self.zca_components is not None and self.zca_components < 1:
            _refuse("zca_components", "at least 1", self.zca_components, "or leave it out")
        for option, needed in (
            ("samplewise_std", "samplewise_center"),
            ("featurewise_std", "featurewise_center"),
            ("zca", "featurewise_center"),
        ):
            if getattr(self, option) and not getattr(self, needed):
                advice = f"{option} without {needed} is not defined: set both"
                _refuse(needed, f"True with {option}", False, advice)
        if self.zca and self.featurewise_std:
            advice = "whitening fixes every variance itself: choose one of the two"
            _refuse("featurewise_std", "False with zca", True, advice)
        if self.zca_components is not None and not self.zca:
            _refuse("zca_components", "None without zca", self.zca_components, "set zca as well")

    @property
    def scale(self) -> float:
        """The factor of the levels: ``rescale``, or 1."""
        return 1.0 if self.rescale is None else self.rescale

    @property
    def needs_statistics(self) -> bool:
        """Whether it cannot be applied before `fit_statistics` has seen the training part."""
        return self.featurewise_center

    def num_components(self, num_values: int) -> int | None:
        """How many directions whitening keeps; None: all, by the exact matrix.

        Args:
            num_values: H · W · C of one image.
        """
        if self.zca_components is not None:
            return self.zca_components
        return None if num_values <= MAX_EXACT_VALUES else LOW_RANK_COMPONENTS

    def to_dict(self) -> dict[str, Any]:
        """The options that differ from their defaults, JSON-ready; `from_dict` reads them back."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        chosen = {f.name: given[f.name] for f in fields(self) if given[f.name] != f.default}
        if self.preprocessing is not None:
            chosen["preprocessing"] = self.preprocessing.to_dict()
        return chosen

    def fingerprint(self) -> str:
        """SHA-256, in hex, of the canonical JSON of `to_dict` and the arithmetic's name.

        A preprocessing function plays no part: statistics are fitted without it.
        """
        data = replace(self, preprocessing=None).to_dict() | {"meaning": MEANING}
        text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()


def standardization_from_dict(data: Mapping[str, Any]) -> Standardization:
    """The options that plain data describe; absent keys have their defaults.

    Raises:
        ParameterError: an unknown key, a wrong type, or a contradiction.
    """
    known = [field.name for field in fields(Standardization) if field.default is not MISSING]
    for name in data:
        if name not in known:
            _refuse("standardization", f"keys among {known}", name, "correct or remove the key")
    options = dict(data)
    if isinstance(options.get("preprocessing"), Mapping):
        options["preprocessing"] = preprocessing_from_dict(options["preprocessing"])
    return Standardization(**options)


def standardization_from_text(
    text: str, *, value_range: tuple[float, float] = (0.0, 255.0)
) -> Standardization:
    """The options that a short text names.

    Args:
        text: one or two of these words, joined by "+": where the range goes ("none" keeps the
            levels, "unit" is [0, 1], "symmetric" is [-1, 1]), then what is done with statistics
            ("featurewise" and "samplewise" centre and divide by the std, "zca" centres and
            whitens); such as "unit", "zca" or "unit+featurewise".
        value_range: what the images' levels may be; [0, 255] for uint8.

    Raises:
        ParameterError: another text, or an empty or infinite range.
    """
    words = text.split("+")
    where = words[0] if words[0] in _RANGES else "none"
    rest = words[1:] if words[0] in _RANGES else words
    if len(rest) > 1 or any(word not in _STATISTICS for word in rest):
        expected = f"one of {list(_RANGES)}, one of {list(_STATISTICS)}, or both joined by '+'"
        _refuse("standardization", expected, text, "correct it, such as 'unit+featurewise'")
    options: dict[str, Any] = dict(_STATISTICS[rest[0]]) if rest else {}
    target = _RANGES[where]
    if target is not None:
        low, high = value_range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            _refuse("value_range", "two numbers, the lower first", value_range, "correct it")
        options["rescale"] = (target[1] - target[0]) / (high - low)
        options["offset"] = target[0] - low * options["rescale"]
    return Standardization(**options)


def _check_kind(name: str, value: Any) -> None:
    """A switch is a bool, a count an int, everything else a finite number."""
    optional = name in ("preprocessing", "rescale", "zca_components")
    if value is None and optional:
        return
    if name == "zca_components":
        kind, good = "an integer or None", isinstance(value, int) and not isinstance(value, bool)
    elif name == "preprocessing":
        kind, good = "a Preprocessing or None", isinstance(value, Preprocessing)
    elif name in ("rescale", "offset", "zca_epsilon"):
        kind = "a finite number" + " or None" * optional
        good = isinstance(value, int | float) and not isinstance(value, bool)
        good = good and math.isfinite(value)
    else:
        kind, good = "True or False", isinstance(value, bool)
    if not good:
        _refuse(name, kind, value, "correct it")


def _refuse(name: str, expected: str, found: Any, advice: str) -> None:
    where = name if name == "standardization" else f"standardization: {name}"
    raise ParameterError(
        f"{where}: expected {expected}, got {found!r}; {advice}",
        {"name": name, "expected": expected, "found": found},
    )
