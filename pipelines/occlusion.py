"""Steps that hide rectangles of an image.

Rectangles are whole pixels of the finished image, so nothing is resampled; what hides them is a
level, the image's own mean, or noise that is drawn by address like everything else.
"""

# ruff: noqa: ARG002  (the signatures are those of the base class)

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.compiled import Array, compiled
from pipelines.contract import Batch
from pipelines.randomness import Words, choose, happens, noise_bytes, uniform
from pipelines.transform import (
    Canvas,
    Parameters,
    Values,
    WholeImage,
    as_interval,
    finite_number,
    register,
    require,
)

FILLS = ("constant", "mean", "noise")
_MAX_HOLES = 64


@dataclass(frozen=True, kw_only=True)
class _Occlusion(WholeImage):
    """What hides, common to all rectangles."""

    fill: str = "constant"
    """``constant`` (``level``), ``mean`` (the image's own, each channel's) or ``noise`` (every
    value drawn from 0 to 255)."""
    level: float | tuple[float, ...] = 0.0
    """In [0, 255]: of all channels, or of each, for the constant fill."""

    def check(self) -> None:
        """Checks the fill."""
        require(self.fill in FILLS, self, "fill", f"one of {list(FILLS)}", self.fill)
        levels = self.level if isinstance(self.level, tuple) else (self.level,)
        good = len(levels) > 0 and all(finite_number(v) and 0 <= v <= 255 for v in levels)
        require(good, self, "level", "a level in [0, 255], or one for each channel", self.level)

    def _keys(self, words: Words) -> Parameters:
        """What noise is drawn by; nothing for other fills."""
        if self.fill != "noise":
            return {}
        return {"key_0": words[:, 0].astype(np.float64), "key_1": words[:, 1].astype(np.float64)}

    def run(self, images: NDArray[Any], parameters: Parameters, *, plain: bool) -> None:
        """Hides the rectangles."""
        self.run_some(images, np.arange(len(images)), parameters, plain=plain)

    def run_some(
        self,
        images: NDArray[Any],
        rows: NDArray[np.int64],
        parameters: Parameters,
        *,
        plain: bool,
    ) -> None:
        """Hides the rectangles where they are, without copying images."""
        boxes = self._boxes(parameters, images.shape[1], images.shape[2])
        if self.fill == "noise":
            size, shape = images[0].size, images.shape[1:]
            keys = zip(parameters["key_0"].tolist(), parameters["key_1"].tolist(), strict=True)
            for row, own, (key_0, key_1) in zip(rows.tolist(), boxes, keys, strict=True):
                noise = noise_bytes(int(key_0), int(key_1), size, plain=plain).reshape(shape)
                for left, top, right, bottom in own.tolist():
                    images[row, top:bottom, left:right] = noise[top:bottom, left:right]
            return
        levels = self._levels(images, rows)
        (_fill_reference if plain else _fill)(images, rows, boxes, levels)

    def _boxes(self, parameters: Parameters, height: int, width: int) -> NDArray[np.int64]:
        """(m, k, 4) left, top, right, bottom of k rectangles in whole pixels, ends excluded.

        Args:
            parameters: of m images.
            height: of all of them, in pixels.
            width: likewise.
        """
        raise NotImplementedError

    def _levels(self, images: Batch, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(m, C) what hides in some of the images."""
        count, (_, height, width, channels) = len(rows), images.shape
        if self.fill == "mean":
            sums = images[rows].reshape(count, -1, channels).sum(axis=1, dtype=np.int64)
            means: NDArray[np.int64] = (2 * sums + height * width) // (2 * height * width)
            return means.astype(np.uint8)
        given = self.level if isinstance(self.level, tuple) else (self.level,)
        require(len(given) in (1, channels), self, "level", f"1 or {channels} levels", given)
        levels = np.floor(np.array(given) + 0.5).astype(np.uint8)
        return np.ascontiguousarray(np.broadcast_to(levels, (count, channels)))


@register
@dataclass(frozen=True, kw_only=True)
class Erasing(_Occlusion):
    """Hides one rectangle of drawn area, aspect and place.

    Zhong et al., "Random erasing data augmentation" (AAAI 2020), algorithm 1. Two things differ, so
    that the number of words is fixed: the aspect is drawn uniformly between 1 and its largest,
    standing or lying by a fair coin (the paper: uniformly between the smallest and the largest, so
    that with its defaults 75 % of the rectangles stand; torchvision: log-uniformly, half of them);
    and a rectangle that does not fit is cut at the image's sides and then placed, instead of drawn
    again with its place. With the defaults that cuts 5 % of the rectangles of a square image, whose
    mean area is 0.209 of the image; the paper's algorithm refuses 73 % of its draws, large ones
    first, and ends with 0.142, torchvision's with 0.205.
    """

    name = "erasing"
    summary = "hide a rectangle of drawn area, aspect and place"
    num_words = 9

    area: tuple[float, float] = (0.02, 0.4)
    """Interval of the rectangle's area as a fraction of the image's, within (0, 1]."""
    aspect_max: float = 10 / 3
    """Largest ratio of its sides, at least 1."""
    probability: float = 0.5

    def check(self) -> None:
        """Checks area, aspect and fill."""
        super().check()
        area = as_interval(self.area, None)
        good = area is not None and area[0] > 0 and area[1] <= 1
        require(good, self, "area", "[low, high] within (0, 1]", self.area)
        object.__setattr__(self, "area", tuple(self.area))
        good = finite_number(self.aspect_max) and 1 <= self.aspect_max <= 100
        require(good, self, "aspect_max", "a number in [1, 100]", self.aspect_max)

    def words_needed(self) -> int:
        """Noise takes two more."""
        return self.num_words if self.fill == "noise" else self.num_words - 2

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``left_px``, ``top_px``, ``width_px`` and ``height_px``: whole pixels."""
        wide, high = canvas.widths.astype(np.float64), canvas.heights.astype(np.float64)
        area = uniform(words[:, 0], *self.area) * wide * high
        stretch = uniform(words[:, 1], 1.0, self.aspect_max)
        aspect = np.where(happens(words[:, 2], 0.5), stretch, 1.0 / stretch)
        width = _whole_side(np.sqrt(area * aspect), wide)
        height = _whole_side(np.sqrt(area / aspect), high)
        left = choose(words[:, 3:5], (wide - width + 1).astype(np.int64))
        top = choose(words[:, 5:7], (high - height + 1).astype(np.int64))
        return {
            "left_px": left.astype(np.float64), "top_px": top.astype(np.float64),
            "width_px": width, "height_px": height, **self._keys(words[:, 7:]),
        }  # fmt: skip

    def _boxes(self, parameters: Parameters, height: int, width: int) -> NDArray[np.int64]:
        """One rectangle each."""
        left, top = parameters["left_px"], parameters["top_px"]
        sides = (left, top, left + parameters["width_px"], top + parameters["height_px"])
        return np.stack(sides, axis=1).astype(np.int64)[:, None]


@register
@dataclass(frozen=True, kw_only=True)
class Cutout(_Occlusion):
    """Hides squares of fixed size about drawn centres; parts outside the image hide nothing.

    DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout"
    (arXiv:1708.04552), section 3. The authors' code halves the side, so that an odd one hides a row
    and a column less than it says; here the side is the side.
    """

    name = "cutout"
    summary = "hide squares of fixed size about drawn centres"
    num_words = 6

    size: float = 0.5
    """Side of a square: below 1 a fraction of the shorter side of the image, from 1 on pixels."""
    holes: int = 1
    """How many squares, from 1 to 64."""

    def check(self) -> None:
        """Checks size, holes and fill."""
        super().check()
        good = finite_number(self.size) and 0 < self.size < 2**14
        require(good, self, "size", "a number in (0, 16384)", self.size)
        good = type(self.holes) is int and 1 <= self.holes <= _MAX_HOLES
        require(good, self, "holes", f"a whole number in [1, {_MAX_HOLES}]", self.holes)

    def words_needed(self) -> int:
        """Four for each centre; noise takes two more."""
        return 4 * self.holes + 2 * (self.fill == "noise")

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``side_px``, and ``centre_x_px_1``, ``centre_y_px_1`` … for each square."""
        shorter = np.minimum(canvas.widths, canvas.heights).astype(np.float64)
        side = np.floor(self.size * shorter + 0.5) if self.size < 1 else np.floor(self.size + 0.5)
        drawn: Parameters = {"side_px": np.maximum(np.broadcast_to(side, shorter.shape), 1.0)}
        for hole in range(self.holes):
            here = words[:, 4 * hole : 4 * hole + 4]
            for axis, (sizes, two) in {
                "x": (canvas.widths, here[:, :2]), "y": (canvas.heights, here[:, 2:])
            }.items():  # fmt: skip
                drawn[f"centre_{axis}_px_{hole + 1}"] = choose(two, sizes).astype(np.float64)
        return drawn | self._keys(words[:, 4 * self.holes :])

    def _boxes(self, parameters: Parameters, height: int, width: int) -> NDArray[np.int64]:
        """Squares, cut at the image's sides."""
        side = parameters["side_px"]
        boxes = np.empty((len(side), self.holes, 4), np.int64)
        for hole in range(self.holes):
            for axis, limit in enumerate((width, height)):
                centre = parameters[f"centre_{'xy'[axis]}_px_{hole + 1}"]
                begin = centre - np.floor(side / 2)
                boxes[:, hole, axis] = np.clip(begin, 0, limit)
                boxes[:, hole, axis + 2] = np.clip(begin + side, 0, limit)
        return boxes


def _whole_side(side: Values, limit: Values) -> Values:
    """A side in whole pixels, at least one and no longer than the image."""
    return np.clip(np.floor(side + 0.5), 1.0, limit)


@compiled
def _fill(images: Array, rows: Array, boxes: Array, levels: Array) -> None:
    """`_fill_reference`, compiled."""
    channels = images.shape[3]
    lines = images.reshape(images.shape[0], images.shape[1], -1)
    for k in range(rows.shape[0]):
        is_grey = True
        for channel in range(1, channels):
            is_grey &= levels[k, channel] == levels[k, 0]
        for box in range(boxes.shape[1]):
            begin, end = boxes[k, box, 0] * channels, boxes[k, box, 2] * channels
            for y in range(boxes[k, box, 1], boxes[k, box, 3]):
                if is_grey:  # one level for all channels fills as fast as memory is written
                    lines[rows[k], y, begin:end] = levels[k, 0]
                    continue
                for place in range(begin, end, channels):
                    for channel in range(channels):
                        lines[rows[k], y, place + channel] = levels[k, channel]


def _fill_reference(
    images: Batch, rows: NDArray[np.int64], boxes: NDArray[np.int64], levels: NDArray[np.uint8]
) -> None:
    """Sets boxes to levels.

    Args:
        images: (n, H, W, C) uint8, written.
        rows: (m,) which images.
        boxes: (m, k, 4) left, top, right, bottom, inside the image.
        levels: (m, C)
    """
    for row, own, level in zip(rows.tolist(), boxes, levels, strict=True):
        for left, top, right, bottom in own.tolist():
            images[row, top:bottom, left:right] = level
