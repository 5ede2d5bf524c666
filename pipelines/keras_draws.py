"""How Keras' dictionaries of parameters are drawn: by address, or with Keras' own numbers.

``ImageDataGenerator.flow`` draws by address (seed, sample id, copy): nothing else enters, and the
words are those of the pipeline's steps, so that the copies a generator shows are the copies its
pipeline writes. Where a caller gives a seed to ``get_random_transform``, ``random_transform`` or
``fit``, the numbers are Keras' own for that seed, from a NumPy generator that lives as long as the
call; NumPy's global state is neither read nor set.
"""

import operator
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.geometric import HorizontalFlip, VerticalFlip
from pipelines.keras_affine import KerasAffine, ShiftRange
from pipelines.photometric import KerasBrightness, KerasChannelShift
from pipelines.randomness import Words, counters, draw_words, happens, step_keys, uniform
from pipelines.transform import Canvas, Transform

Drawn = dict[str, Any]
"""One image's parameters under the names of ``get_random_transform``."""


class Ranges(Protocol):
    """What is drawn from, under Keras' names; see `pipelines.keras_generator`."""

    rotation_range: float
    width_shift_range: Any
    height_shift_range: Any
    shear_range: float
    zoom_range: Sequence[float]
    channel_shift_range: float
    brightness_range: Sequence[float] | None
    horizontal_flip: bool
    vertical_flip: bool


def draw_like_keras(ranges: Ranges, size: tuple[int, int], random: np.random.RandomState) -> Drawn:
    """One image's parameters: the calls of Keras' ``get_random_transform`` in their order.

    Args:
        ranges: what to draw from.
        size: (H, W) of the image in pixels.
        random: where numbers come from; a state seeded with s gives what Keras draws after
            ``numpy.random.seed(s)``.
    """
    limit = ranges.rotation_range
    theta = random.uniform(-limit, limit) if limit else 0
    tx = _shift_like_keras(ranges.height_shift_range, size[0], random)
    ty = _shift_like_keras(ranges.width_shift_range, size[1], random)
    lean = ranges.shear_range
    shear = random.uniform(-lean, lean) if lean else 0
    low, high = ranges.zoom_range
    zx, zy = (1, 1) if low == high == 1 else random.uniform(low, high, 2)
    flip_horizontal = (random.random_sample() < 0.5) * ranges.horizontal_flip
    flip_vertical = (random.random_sample() < 0.5) * ranges.vertical_flip
    by = ranges.channel_shift_range
    shift = random.uniform(-by, by) if by != 0 else None
    factors = ranges.brightness_range
    brightness = None if factors is None else random.uniform(factors[0], factors[1])
    return {
        "theta": theta, "tx": tx, "ty": ty, "shear": shear, "zx": zx, "zy": zy,
        "flip_horizontal": flip_horizontal, "flip_vertical": flip_vertical,
        "channel_shift_intensity": shift, "brightness": brightness,
    }  # fmt: skip


def draw_by_address(
    ranges: Ranges,
    size: tuple[int, int],
    *,
    seed: int,
    sample_ids: NDArray[np.uint8],
    copy: int,
) -> list[Drawn]:
    """The parameters of n images, each a function of seed, its id and the copy alone.

    Args:
        ranges: what to draw from.
        size: (H, W) of every image in pixels.
        seed: in [0, 2**64).
        sample_ids: (n, 16) uint8.
        copy: in [0, 2**32): the epoch.
    """
    counter = counters(sample_ids, copy)

    def words(step: type[Transform]) -> Words:
        return draw_words(step_keys(seed, step.name, step.num_words), counter)

    affine = affine_of(ranges)
    canvas = Canvas(*(np.full(len(counter), side) for side in size))
    columns: dict[str, list[Any]] = {
        name: values.tolist() for name, values in affine.draw(words(KerasAffine), canvas).items()
    }
    for name, flips, step in (
        ("flip_horizontal", ranges.horizontal_flip, HorizontalFlip),
        ("flip_vertical", ranges.vertical_flip, VerticalFlip),
    ):
        chance = happens(words(step)[:, 0], 0.5) if flips else np.zeros(len(counter), bool)
        columns[name] = chance.astype(int).tolist()
    columns["channel_shift_intensity"] = columns["brightness"] = [None] * len(counter)
    by, factors = ranges.channel_shift_range, ranges.brightness_range
    if by != 0:
        drawn = uniform(words(KerasChannelShift)[:, 0], -abs(by), abs(by))
        columns["channel_shift_intensity"] = drawn.tolist()
    if factors is not None:
        drawn = uniform(words(KerasBrightness)[:, 0], factors[0], factors[1])
        columns["brightness"] = drawn.tolist()
    names = list(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def affine_of(ranges: Ranges) -> KerasAffine:
    """The step that draws the geometry.

    Raises:
        ParameterError: a range is not finite, or from 2**20 on.
    """
    low, high = ranges.zoom_range
    return KerasAffine(
        rotation_deg=abs(float(ranges.rotation_range or 0)),  # None is 0 to Keras
        height_shift=_shift_range(ranges.height_shift_range),
        width_shift=_shift_range(ranges.width_shift_range),
        shear_deg=abs(float(ranges.shear_range or 0)),
        zoom=(float(low), float(high)),
    )


def steps_of(ranges: Ranges, *, white: float = 255.0) -> tuple[Transform, ...]:
    """The steps that draw what `draw_by_address` draws, those that change nothing left out.

    Args:
        ranges: what to draw from.
        white: what 255 levels are in the images that the ranges are meant for.

    Raises:
        ParameterError: a range that a step of levels from 0 to 255 cannot have.
    """
    steps: list[Transform] = []
    affine = affine_of(ranges)
    if affine.options():
        steps.append(affine)
    if ranges.channel_shift_range != 0:
        steps.append(KerasChannelShift(by=abs(float(ranges.channel_shift_range)) * 255.0 / white))
    if ranges.horizontal_flip:
        steps.append(HorizontalFlip())
    if ranges.vertical_flip:
        steps.append(VerticalFlip())
    if ranges.brightness_range is not None:
        low, high = map(float, ranges.brightness_range)
        steps.append(KerasBrightness(factor=(low, high)))
    return tuple(steps)


def _shift_like_keras(given: Any, side: int, random: np.random.RandomState) -> float:
    """One shift in pixels."""
    if not (len(given) if np.ndim(given) else given):
        return 0
    try:  # a list of values, or an integer
        shift = random.choice(given) * random.choice([-1, 1])
    except ValueError:  # a number with a fraction
        shift = random.uniform(-given, given)
    return float(shift * side) if np.max(given) < 1 else shift


def _shift_range(given: Any) -> ShiftRange:
    """A Keras range as the steps have it: a list, a positive integer, or a number otherwise."""
    if given is None or np.size(given) == 0:
        return 0
    if np.ndim(given):
        return tuple(float(value) for value in given)
    try:
        whole = operator.index(given)
    except TypeError:
        return abs(float(given))
    return whole if whole >= 0 else abs(float(given))
