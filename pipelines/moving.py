"""What steps share that move pixels in a way that no matrix says: they say where each one is read.

Images, masks, and points follow the same parameters; only whoever says where pixels are read, and
where points go, differs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pipelines.coordinates import BORDERS
from pipelines.resampling import Coordinates, interpolate, pick
from pipelines.transform import (
    Canvas,
    Parameters,
    WholeImage,
    finite_number,
    require,
)

_PIXELS_AT_ONCE = 1 << 17
"""Images are taken in parts, so that their coordinates stay in the cache."""


@dataclass(frozen=True, kw_only=True)
class Moving(WholeImage):
    """A step on finished images that moves pixels; masks and points follow.

    It does not fuse, so it has a border of its own beside the pipeline's.
    """

    margin: ClassVar[int] = 0
    """How far outside the image a coordinate still counts as inside, in 2**-14 pixels."""

    border: str = "nearest"
    """What lies outside: ``nearest``, ``constant``, ``reflect`` or ``wrap``, as in a pipeline."""
    level: float | tuple[float, ...] = 0.0
    """In [0, 255]: of the constant border, for all channels or for each."""

    def check(self) -> None:
        """Checks border and level."""
        require(self.border in BORDERS, self, "border", f"one of {list(BORDERS)}", self.border)
        levels = self.level if isinstance(self.level, tuple) else (self.level,)
        good = len(levels) > 0 and all(finite_number(v) and 0 <= v <= 255 for v in levels)
        require(good, self, "level", "a level in [0, 255], or one for each channel", self.level)

    def locate(
        self, parameters: Parameters, height: int, width: int, *, plain: bool
    ) -> Coordinates:
        """Where each pixel of n images is read.

        Args:
            parameters: of the n images.
            height: of all of them, in pixels.
            width: likewise.
            plain: True for the NumPy twin; the coordinates are equal.
        """
        raise NotImplementedError

    def move_points(
        self,
        points: NDArray[np.float64],
        rows: NDArray[np.int64],
        parameters: Parameters,
        canvas: Canvas,
    ) -> NDArray[np.float64]:
        """Where points of the images go: the inverse of where pixels are read.

        Args:
            points: (m, 2) x and y in pixels, pixel centres at whole numbers; not modified.
            rows: (m,) which of the n images each lies in.
            parameters: of the n images.
            canvas: the sizes of the n images.

        Returns:
            (m, 2), perhaps outside the image.
        """
        raise NotImplementedError

    def run(self, images: NDArray[Any], parameters: Parameters, *, plain: bool) -> None:
        """Moves the pixels."""
        channels = images.shape[3]
        given = self.level if isinstance(self.level, tuple) else (self.level,)
        require(len(given) in (1, channels), self, "level", f"1 or {channels} levels", given)
        levels = np.broadcast_to(np.floor(np.array(given) + 0.5), (channels,))
        for part, where in self._parts(images, parameters, plain):
            before = images[part].copy()
            interpolate(before, where, self.border, self.margin, levels.astype(np.uint8),
                        images[part], plain=plain)  # fmt: skip

    def run_mask(
        self,
        masks: NDArray[Any],
        parameters: Parameters,
        *,
        fill_label: int = 0,
        border: str | None = None,
        plain: bool,
    ) -> None:
        """Moves n masks in place as `run` moves their images, each label from the nearest pixel.

        Args:
            masks: (n, H, W, C) integers, C-contiguous.
            parameters: of these n images.
            fill_label: what a constant border shows.
            border: another than the step's.
            plain: True to run the NumPy twin; the bytes are equal.
        """
        labels = np.full(masks.shape[3], fill_label, masks.dtype)
        for part, where in self._parts(masks, parameters, plain):
            before = masks[part].copy()
            pick(before, where, border or self.border, self.margin, labels, masks[part],
                 plain=plain)  # fmt: skip

    def _parts(
        self, images: NDArray[Any], parameters: Parameters, plain: bool
    ) -> Iterator[tuple[slice, Coordinates]]:
        """A few images at a time, and where their pixels are read."""
        count, height, width, _ = images.shape
        at_once = max(1, _PIXELS_AT_ONCE // (height * width))
        for first in range(0, count, at_once):
            part = slice(first, first + at_once)
            own = {name: values[part] for name, values in parameters.items()}
            yield part, self.locate(own, height, width, plain=plain)
