"""Geometric steps that put pixels onto pixels: quarter turns, and room around the image.

Like all geometry they fuse, and alone they interpolate nothing.
"""

# ruff: noqa: ARG002  (the signatures are those of `Transform`)

from dataclasses import dataclass

import numpy as np

from pipelines.affine import Matrices, cosine_sine, matrices
from pipelines.randomness import Words, choose
from pipelines.transform import Canvas, Geometric, Parameters, register, require

_MAX_PAD = 4096


@register
@dataclass(frozen=True, kw_only=True)
class QuarterTurn(Geometric):
    """Turns by 0, 90, 180 or 270 degrees counter-clockwise; images that are not square by 0 or 180.

    ``numpy.rot90`` with ``turns`` as its ``k``, byte for byte.
    """

    name = "quarter_turn"
    summary = "turn by a multiple of 90 degrees, without loss"
    num_words = 2
    brings_in_border = False

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``turns``: 0, 1, 2 or 3, equally often; 0 or 2 where height and width differ."""
        is_square = canvas.heights == canvas.widths
        turns = choose(words, np.where(is_square, 4, 2)) * np.where(is_square, 1, 2)
        return {"turns": turns.astype(np.float64)}

    def matrices(self, parameters: Parameters, canvas: Canvas) -> Matrices:
        """[[cos, -sin], [sin, cos]], all 0, 1 or -1."""
        cs = cosine_sine(parameters["turns"] * 90.0)
        return matrices(len(cs), xx=cs[:, 0], xy=-cs[:, 1], yx=cs[:, 1], yy=cs[:, 0])


@register
@dataclass(frozen=True, kw_only=True)
class Pad(Geometric):
    """Adds pixels around the image, which show the pipeline's border.

    ``numpy.pad`` byte for byte: border ``nearest`` is its mode ``edge``, ``constant`` is
    ``constant``, ``reflect`` is ``symmetric``. ``wrap`` is SciPy's, which shows one of the two ends
    of a row only; NumPy's shows both.
    """

    name = "pad"
    summary = "add pixels around the image, filled by the border"
    num_words = 0

    by: int | tuple[int, ...]
    """Whole pixels from 0 to 4096: on all sides, or [left, top, right, bottom]."""

    def check(self) -> None:
        """Checks ``by``."""
        sides = self.by if isinstance(self.by, list | tuple) else (self.by,) * 4
        good = len(sides) == 4 and all(
            isinstance(side, int) and not isinstance(side, bool) and 0 <= side <= _MAX_PAD
            for side in sides
        )
        expected = f"whole pixels in [0, {_MAX_PAD}], or [left, top, right, bottom]"
        require(good, self, "by", expected, self.by)
        if isinstance(self.by, list | tuple):
            object.__setattr__(self, "by", tuple(self.by))

    @property
    def sides(self) -> tuple[int, ...]:
        """Left, top, right, bottom, in pixels."""
        return self.by if isinstance(self.by, tuple) else (self.by,) * 4

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """Nothing."""
        return {}

    def matrices(self, parameters: Parameters, canvas: Canvas) -> Matrices:
        """A translation from the new centre to the old one."""
        left, top, right, bottom = self.sides
        across, down = (right - left) * 0.5, (bottom - top) * 0.5
        return matrices(len(canvas.widths), xx=1.0, yy=1.0, xt=across, yt=down)

    def canvas_after(self, canvas: Canvas) -> Canvas:
        """The sizes with what was added."""
        left, top, right, bottom = self.sides
        return Canvas(canvas.heights + top + bottom, canvas.widths + left + right)
