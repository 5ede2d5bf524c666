"""Keras' own drawn parameters, run by our engine: the same pixels from the same numbers.

`ImageDataGenerator.get_random_transform` draws a dictionary for each image, and its
`apply_transform` turns dictionary and image into pixels. This module is the second half. It builds
the pipeline that means the same and hands the dictionaries to `Pipeline.lower` as parameters, so
that no arithmetic exists twice. What Keras does differently from our own steps, and is reproduced:

* ``tx`` moves columns, ``ty`` rows, and ``zx`` scales columns (Keras swaps the axes of its matrix);
* the column centre is H/2 - 0.5 and the row centre W/2 - 0.5: for images that are not square the
  matrix turns about the wrong point, which is a translation before and after it;
* the order is affine, channel shift (clipped to the moved image's own range), flips, brightness;
* brightness goes through Pillow: values are truncated to 8 bit, multiplied and truncated again, and
  images that leave [0, 255] are stretched to it before and back after.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import Batch, pack
from pipelines.coordinates import BORDERS
from pipelines.errors import ParameterError
from pipelines.geometric import (
    HeightShift,
    HorizontalFlip,
    Rotation,
    Shear,
    VerticalFlip,
    WidthShift,
    Zoom,
)
from pipelines.photometric import KerasBrightness, KerasChannelShift
from pipelines.pipeline import Pipeline
from pipelines.transform import Parameters, Transform

__all__ = ["apply_transform"]

_NEUTRAL: dict[str, float | None] = {
    "theta": 0, "tx": 0, "ty": 0, "shear": 0, "zx": 1, "zy": 1, "flip_horizontal": 0,
    "flip_vertical": 0, "channel_shift_intensity": None, "brightness": None,
}  # fmt: skip
"""What each parameter is where a dictionary lacks it."""
_SHIFTS = tuple(
    kind(by=0.0, id=f"{kind.name}_{place}")
    for place in ("to_centre", "drawn", "from_centre") for kind in (WidthShift, HeightShift)
)  # fmt: skip
_STEPS: tuple[Transform, ...] = (
    *_SHIFTS[:2], Rotation(max_deg=0), *_SHIFTS[2:4], Shear(max_deg=0), Zoom(by=0.0),
    *_SHIFTS[4:], KerasChannelShift(by=0), HorizontalFlip(), VerticalFlip(),
)  # fmt: skip
_BOUND = 2.0**40
"""Magnitudes stay below: there angles keep their fractions (`pipelines.affine.cosine_sine`), and no
product of parameters overflows on its way to the check of the matrices."""
_BRIGHTNESS = KerasBrightness(factor=(1.0, 1.0))
_INTERPOLATIONS = {0: "nearest", 1: "bilinear"}


def apply_transform(
    images: Batch,
    parameters: Sequence[Mapping[str, Any]],
    *,
    fill_mode: str = "nearest",
    cval: float = 0.0,
    interpolation_order: int = 1,
) -> Batch:
    """`ImageDataGenerator.apply_transform` for n images at once.

    Args:
        images: (n, H, W, C) uint8, or float32 in any range; not modified.
        parameters: n dictionaries as `get_random_transform` draws them: ``theta`` and ``shear`` in
            degrees, ``tx`` and ``ty`` in pixels, ``zx``, ``zy``, ``flip_horizontal``,
            ``flip_vertical``, ``channel_shift_intensity``, ``brightness``; what lacks is neutral.
        fill_mode: ``nearest``, ``constant``, ``reflect`` or ``wrap``.
        cval: value outside under ``constant``; in [0, 255] for uint8 images.
        interpolation_order: 0 or 1.

    Returns:
        (n, H, W, C) of the images' dtype, a new array.

    Raises:
        ParameterError: an unknown parameter or option, a value that is not finite or from 2**40 on,
            a matrix too extreme for fixed point, a number of dictionaries that is not the number of
            images.
        ImageContractError: images of another rank, dtype or number of channels.

    Exactness: uint8 within 1 level of Keras' float32 result rounded, or within ceil(b) + 1 where
    brightness b multiplies a truncated level; float32 within 1e-4 of the range. Pixels whose source
    coordinate lies within 2**-20 pixels of a jump (the edge of a constant or wrapped border, a tie
    of order 0) may fall on its other side.
    """
    _check_options(len(images), parameters, fill_mode, interpolation_order)
    columns = {name: _column(parameters, name) for name in _NEUTRAL}
    brightened = ~np.isnan(columns["brightness"])
    is_uint8 = images.dtype == np.uint8
    # Float images have their brightness changed afterwards.
    in_pipeline = brightened & is_uint8
    fill, value_range = ((cval,), None) if is_uint8 else ((0.0,), (cval, cval + 255.0))
    out = np.empty_like(images)
    for steps, chosen in ((_STEPS, ~in_pipeline), ((*_STEPS, _BRIGHTNESS), in_pipeline)):
        pipeline = Pipeline(
            steps=steps, border=fill_mode, fill=fill,
            interpolation=_INTERPOLATIONS[interpolation_order],
        )  # fmt: skip
        rows = np.flatnonzero(chosen)
        drawn = _drawn(columns, rows, *images.shape[1:3])[: len(steps)]
        out[rows] = _run(pipeline, images[rows], drawn, value_range)
    for row in np.flatnonzero(brightened & ~in_pipeline):
        out[row] = _brightened(out[row], columns["brightness"][row])
    return out


def _drawn(
    of_all: Mapping[str, NDArray[np.float64]], rows: NDArray[np.intp], height: int, width: int
) -> list[Parameters]:
    """Keras' numbers of some images as the parameters of `_STEPS` and `_BRIGHTNESS`."""
    columns = {name: column[rows] for name, column in of_all.items()}
    off_x, off_y = (np.full(len(rows), lag * 0.5) for lag in (height - width, width - height))
    shift = columns["channel_shift_intensity"]
    return [
        {"shift_px": off_x}, {"shift_px": off_y}, {"angle_deg": columns["theta"]},
        {"shift_px": columns["tx"]}, {"shift_px": columns["ty"]}, {"angle_deg": columns["shear"]},
        {"zoom_x": columns["zx"], "zoom_y": columns["zy"]}, {"shift_px": -off_x},
        {"shift_px": -off_y}, {"shift_levels": np.where(np.isnan(shift), 0.0, shift)},
        {"flip": columns["flip_horizontal"]}, {"flip": columns["flip_vertical"]},
        {"factor": columns["brightness"]},
    ]  # fmt: skip


def _run(
    pipeline: Pipeline,
    images: Batch,
    drawn: Sequence[Parameters],
    value_range: tuple[float, float] | None,
) -> Batch:
    if not len(images):
        return images
    arena = pack(images)
    out = np.empty_like(images)
    pipeline.render(drawn, arena, out, value_range=value_range)
    return out


def _brightened(image: NDArray[Any], factor: float) -> NDArray[Any]:
    """One float32 image through 8 bit, as Keras' `apply_brightness_shift` does."""
    low, high = image.min(), image.max()
    leaves_range = low < 0 or high > 255
    if leaves_range:
        image = image - low
        largest = image.max()
        image = (image / largest if largest != 0 else image) * np.float32(255)
    pipeline = Pipeline(steps=(_BRIGHTNESS,))
    drawn = [{"factor": np.array([factor])}]
    levels = _run(pipeline, image[None].astype(np.uint8), drawn, None)[0].astype(np.float32)
    stretched: NDArray[Any] = levels / np.float32(255) * (high - low) + low
    return stretched if leaves_range else levels


def _column(parameters: Sequence[Mapping[str, Any]], name: str) -> NDArray[np.float64]:
    """One parameter of all images; NaN where it is not given and has no neutral number."""
    given = [drawn.get(name, _NEUTRAL[name]) for drawn in parameters]
    for row, value in enumerate(given):
        if value is None and _NEUTRAL[name] is None:
            continue
        if not _is_bounded(value):
            expected = "a finite number of magnitude below 2**40"
            raise ParameterError(
                f"image {row}: {name}: expected {expected}, got {value!r}; draw it again",
                {"row": row, "name": name, "expected": expected, "found": value},
            )
    return np.array([np.nan if value is None else value for value in given], dtype=np.float64)


def _is_bounded(value: Any) -> bool:
    """True for a real number, not NaN, of a magnitude below `_BOUND`."""
    is_real = isinstance(value, int | float | np.integer | np.floating | np.bool_)
    return is_real and bool(-_BOUND < value < _BOUND)


def _check_options(
    count: int, parameters: Sequence[Mapping[str, Any]], fill_mode: str, order: int
) -> None:
    unknown = sorted({name for drawn in parameters for name in drawn} - set(_NEUTRAL))
    for good, name, expected, found in (
        (fill_mode in BORDERS, "fill_mode", f"one of {list(BORDERS)}", fill_mode),
        (order in _INTERPOLATIONS, "interpolation_order", "0 or 1", order),
        (len(parameters) == count, "parameters", f"{count} dictionaries", len(parameters)),
        (not unknown, "parameters", f"names among {sorted(_NEUTRAL)}", unknown),
    ):
        if not good:
            raise ParameterError(
                f"{name}: expected {expected}, got {found!r}; correct the call",
                {"name": name, "expected": expected, "found": found},
            )
