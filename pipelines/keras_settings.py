"""The parameters of Keras' ``ImageDataGenerator``, their checks, and what they are in our terms.

Errors and warnings are Keras' own, type and sentence, because programs look for them. What a
pipeline or a standardisation cannot say is refused by `to_pipeline` and `to_standardization`, never
by the class itself: it takes what Keras takes.
"""

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pipelines.errors import ParameterError
from pipelines.keras_draws import steps_of
from pipelines.pipeline import Pipeline
from pipelines.preprocessing import Preprocessing
from pipelines.standardization import Standardization

_OVERRIDES = ", which overrides setting of "
_OVERRIDES_TOO = " which overrides setting of"
"""As Keras has it: programs may look for the sentence."""
_INTERPOLATIONS = {0: "nearest", 1: "bilinear"}


class GeneratorSettings:
    """The parameters; `pipelines.keras_generator.ImageDataGenerator` says what each one means."""

    def __init__(  # noqa: PLR0913  # the parameters of Keras
        self,
        featurewise_center: bool = False,
        samplewise_center: bool = False,
        featurewise_std_normalization: bool = False,
        samplewise_std_normalization: bool = False,
        zca_whitening: bool = False,
        zca_epsilon: float = 1e-6,
        rotation_range: float = 0,
        width_shift_range: Any = 0.0,
        height_shift_range: Any = 0.0,
        brightness_range: Sequence[float] | None = None,
        shear_range: float = 0.0,
        zoom_range: float | Sequence[float] = 0.0,
        channel_shift_range: float = 0.0,
        fill_mode: str = "nearest",
        cval: float = 0.0,
        horizontal_flip: bool = False,
        vertical_flip: bool = False,
        rescale: float | None = None,
        preprocessing_function: Callable[[Any], Any] | None = None,
        data_format: str | None = None,
        validation_split: float = 0.0,
        interpolation_order: int = 1,
        dtype: Any = None,
        *,
        augment_validation: bool = False,
    ) -> None:
        """Checks the parameters, with Keras' errors and warnings."""
        self.featurewise_center = featurewise_center
        self.samplewise_center = samplewise_center
        self.featurewise_std_normalization = featurewise_std_normalization
        self.samplewise_std_normalization = samplewise_std_normalization
        self.zca_whitening = zca_whitening
        self.zca_epsilon = zca_epsilon
        self.rotation_range = rotation_range
        self.width_shift_range = width_shift_range
        self.height_shift_range = height_shift_range
        self.shear_range = shear_range
        self.channel_shift_range = channel_shift_range
        self.fill_mode = fill_mode
        self.cval = cval
        self.horizontal_flip = horizontal_flip
        self.vertical_flip = vertical_flip
        self.rescale = rescale
        self.preprocessing_function = preprocessing_function
        self.dtype = keras_setting("floatx", "float32") if dtype is None else dtype
        self.interpolation_order = interpolation_order
        if data_format is None:
            data_format = keras_setting("image_data_format", "channels_last")
        self.data_format = data_format
        if self.data_format not in {"channels_last", "channels_first"}:
            raise ValueError(
                '`data_format` should be `"channels_last"` (channel after row and column) or '
                '`"channels_first"` (channel before row and column). '
                f"Received: {data_format}"
            )
        is_first = self.data_format == "channels_first"
        self.channel_axis, self.row_axis, self.col_axis = (1, 2, 3) if is_first else (3, 1, 2)
        if validation_split and not 0 < validation_split < 1:
            raise ValueError(
                "`validation_split` must be strictly between 0 and 1. "
                f" Received: {validation_split}"
            )
        self._validation_split = validation_split
        self.augment_validation = augment_validation
        self.mean: Any = None
        self.std: Any = None
        self.zca_whitening_matrix: Any = None
        self.zoom_range: Sequence[float] = _zoom_interval(zoom_range)
        self._override(
            {
                "zca_whitening": zca_whitening,
                "featurewise_center": featurewise_center,
                "featurewise_std_normalization": featurewise_std_normalization,
                "samplewise_center": samplewise_center,
                "samplewise_std_normalization": samplewise_std_normalization,
            }
        )
        if brightness_range is not None and (
            not isinstance(brightness_range, tuple | list) or len(brightness_range) != 2
        ):
            raise ValueError(
                "`brightness_range should be tuple or list of two floats. "
                f"Received: {brightness_range}"
            )
        self.brightness_range: Sequence[float] | None = brightness_range

    def _override(self, given: Mapping[str, bool]) -> None:
        """Sets what other parameters imply, and says so, as Keras does."""
        for name, changed, wanted, overrides in (
            ("zca_whitening", "featurewise_center", True, _OVERRIDES),
            ("zca_whitening", "featurewise_std_normalization", False, _OVERRIDES_TOO),
            ("featurewise_std_normalization", "featurewise_center", True, _OVERRIDES),
            ("samplewise_std_normalization", "samplewise_center", True, _OVERRIDES),
        ):
            if given[name] and bool(given[changed]) is not wanted:
                setattr(self, changed, wanted)
                message = f"This ImageDataGenerator specifies `{name}`{overrides}`{changed}`."
                warnings.warn(message, stacklevel=3)

    @property
    def validation_split(self) -> float:
        """Fraction of the samples, from the first on, that is the validation part."""
        return self._validation_split

    def to_pipeline(self, *, white: float = 255.0) -> Pipeline:
        """The augmentation as a pipeline, with the parameters as they are now.

        At an equal address (seed, sample id, copy) it draws what ``flow`` draws. The
        ``preprocessing_function``, rescaling and standardisation are no part of it; see
        `to_standardization`.

        Args:
            white: the value of white in the images that the parameters are meant for: 255, or 1
                where they were divided by 255; ``channel_shift_range`` and ``cval`` are such
                values.

        Raises:
            ParameterError: the parameters have no such pipeline: values outside [0, 255], an
                interpolation order above 1, or a border of SciPy's alone.
        """
        order, fill = self.interpolation_order, float(self.cval) * 255.0 / white
        for good, name, expected, found, advice in (
            (order in _INTERPOLATIONS, "interpolation_order", "0 or 1", order,
             "splines of higher order are SciPy's; flow has them"),
            (0 <= fill <= 255, "cval", f"a value in [0, {white:g}]", self.cval,
             "stored images hold 256 levels; flow takes any value"),
        ):  # fmt: skip
            if not good:
                raise ParameterError(
                    f"{name}: expected {expected} to be stored, got {found!r}; {advice}",
                    {"name": name, "expected": expected, "found": found},
                )
        return Pipeline(
            steps=steps_of(self, white=white), name="keras_generator", border=self.fill_mode,
            fill=(fill,), interpolation=_INTERPOLATIONS[order],
        )  # fmt: skip

    def to_standardization(self, *, white: float = 255.0) -> Standardization:
        """What `standardize` does to stored levels, for `OpenDataset.standardizer`.

        Args:
            white: see `to_pipeline`.
        """
        scale = (float(self.rescale) if self.rescale else 1.0) * white / 255.0
        function = self.preprocessing_function
        preprocessing = None
        if function:
            preprocessing = Preprocessing(
                call=function, scale=white / 255.0, dtype=np.dtype(self.dtype).name,
                channels_first=self.channel_axis == 1,
            )  # fmt: skip
        return Standardization(
            preprocessing=preprocessing,
            rescale=None if scale == 1.0 else scale,
            samplewise_center=bool(self.samplewise_center),
            samplewise_std=bool(self.samplewise_std_normalization),
            featurewise_center=bool(self.featurewise_center),
            featurewise_std=bool(self.featurewise_std_normalization),
            zca=bool(self.zca_whitening),
            zca_epsilon=float(self.zca_epsilon),
        )


def _zoom_interval(zoom_range: Any) -> list[float]:
    """[1 - z, 1 + z], or the two factors."""
    if isinstance(zoom_range, float | int):
        return [1 - zoom_range, 1 + zoom_range]
    if len(zoom_range) == 2 and all(isinstance(value, float | int) for value in zoom_range):
        return [zoom_range[0], zoom_range[1]]
    raise ValueError(
        f"`zoom_range` should be a float or a tuple or list of two floats. Received: {zoom_range}"
    )


def keras_setting(name: str, default: str) -> str:
    """What Keras is set to where a program has imported it; it is never imported for this."""
    keras = sys.modules.get("keras")
    setting = getattr(getattr(keras, "config", None), name, None)
    return default if setting is None else str(setting())
