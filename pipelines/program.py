"""Lowers drawn parameters to one fixed-size program per image.

A program is a matrix, a tone and, where something is not linear, a table: everything the kernel
needs for one image. Geometry composes to the matrix wherever its steps stand in the file;
pointwise steps fold, in their order, into ``gain · value + bias`` clamped, and from the first step
that is not linear on into a table of 256 levels. So an image is resampled once and quantised once.
A constant border's fill enters at the last geometric step: pointwise steps after it change the
fill, those before do not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines import affine
from pipelines.errors import ParameterError, PipelineFileError
from pipelines.transform import (
    Canvas,
    Geometric,
    Linear,
    Parameters,
    Photometric,
    Table,
    Tone,
    Transform,
    Values,
    active,
)

_MAX_STEP = 2.0**14
_MAX_OFFSET = 2.0**28
PREFILTER_FROM = 1.5
"""An axis that is reduced by more than this is halved first: two taps would miss pixels."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Where n images are read, as one matrix each."""

    matrix: NDArray[np.int64]
    """(n, 6) 32.32 fixed point, output pixel to source pixel: xx xy xt yx yy yt."""
    halvings: NDArray[np.int64]
    """(n, 2) how often the source is halved along x (its columns) and y before it is sampled."""
    margin: int
    """How far outside the image a coordinate still counts as inside, in 32.32."""
    canvas: Canvas
    """The sizes afterwards."""


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs of n images; values are in levels from 0 to 255 whatever the images' dtype."""

    matrix: NDArray[np.int64]
    """(n, 6) 32.32 fixed point, output pixel to source pixel: xx xy xt yx yy yt."""
    gain: Values
    """(n,)"""
    bias: Values
    """(n,)"""
    low: Values
    """(n,) lowest level after the linear part; a shift that clips to the image's own range does
    not lift it."""
    high: Values
    """(n,) highest level after the linear part; such a shift does not lower it."""
    range_bias: Values
    """(n,) the bias without the shift that clips to the image's own range."""
    fill: NDArray[np.float64]
    """(n, C) level outside under a constant border, after the linear steps that follow it."""
    table: NDArray[np.uint8]
    """(n, T, 256) applied last; T = 0 without a table, 1 for all channels, or C."""
    halvings: NDArray[np.int64]
    """(n, 2) how often the source is halved along x (its columns) and y before it is sampled."""
    truncates: bool
    """True where the linear part drops fractions instead of rounding."""
    clips: bool
    """True where levels are clipped to the moved image's own extremes."""
    table_covers_fill: bool
    """True where the steps in the table come after the border came in."""
    margin: int
    """How far outside the image a coordinate still counts as inside, in 32.32."""
    height: int
    """Of the output, in pixels."""
    width: int
    """Of the output, in pixels."""

    def __len__(self) -> int:
        """The number of programs."""
        return len(self.matrix)


class _Chain:
    """A clamped linear map of n images in levels: ``clip(gain · level + bias, low, high)``.

    Such maps are closed under composition as long as gains are not negative.
    """

    def __init__(self, count: int) -> None:
        self.gain, self.bias = np.ones(count), np.zeros(count)
        self.low, self.high = np.zeros(count), np.full(count, 255.0)

    def append(self, tone: Linear) -> None:
        """Adds a step and the clip to [0, 255] that follows every step."""
        self.gain, self.bias = self.gain * tone.gain, self.bias * tone.gain + tone.bias
        self.low = np.clip(self.low * tone.gain + tone.bias, 0, 255)
        self.high = np.clip(self.high * tone.gain + tone.bias, 0, 255)

    def __call__(self, levels: NDArray[np.float64]) -> NDArray[np.float64]:
        """The map of (n, k) levels."""
        mapped = levels * self.gain[:, None] + self.bias[:, None]
        return np.clip(mapped, self.low[:, None], self.high[:, None])


class _Folded:
    """The pointwise steps of n images: those before the first table folded, the rest listed."""

    def __init__(self, count: int) -> None:
        self.chain, self.fill_chain, self.unshifted = _Chain(count), _Chain(count), _Chain(count)
        self.tabled: list[tuple[Photometric, Tone]] = []
        self.clips = self.table_covers_fill = False

    def append(self, step: Photometric, tone: Tone, *, changes_fill: bool) -> None:
        """Adds a step; ``changes_fill`` is True where it comes after the border came in."""
        if self.tabled or isinstance(tone, Table):
            if not self.tabled:
                self.table_covers_fill = changes_fill
            self.tabled.append((step, tone))
            return
        self.chain.append(tone)
        if changes_fill:
            self.fill_chain.append(tone)
        if step.clips_to_image_range:
            self.clips = True
        else:
            self.unshifted.append(tone)


def check_order(steps: Sequence[Transform]) -> None:
    """Refuses orders that have no fused meaning.

    Raises:
        PipelineFileError: `keras_channel_shift` twice, before a geometric step that is not a flip,
            or after another photometric step.
    """
    clipping = [
        i for i, s in enumerate(steps) if isinstance(s, Photometric) and s.clips_to_image_range
    ]
    if not clipping:
        return
    at = clipping[0]
    late = any(isinstance(s, Geometric) and s.brings_in_border for s in steps[at + 1 :])
    early = any(isinstance(s, Photometric) for s in steps[:at])
    if late or early or len(clipping) > 1:
        names = [s.name for s in steps]
        raise PipelineFileError(
            f"step {at + 1} ({steps[at].name}): expected once, after every geometric step but "
            f"flips and before every other photometric step, got {names}; "
            "move it, or use channel_shift, which has no such limit",
            {"step": steps[at].name, "found": names},
        )


def lower(
    steps: Sequence[Transform],
    parameters: Sequence[Parameters],
    canvas: Canvas,
    fill: Sequence[float],
    output: tuple[int, int],
) -> Programs:
    """The programs of n images.

    Args:
        steps: the pipeline's steps, in order.
        parameters: each step's drawn parameters.
        canvas: the sources' sizes.
        fill: level of each channel outside under a constant border, in [0, 255].
        output: the height and width every image ends with.

    Raises:
        ParameterError: a matrix is too extreme for 32.32 fixed point.
    """
    count = len(canvas.heights)
    geometry = fuse_geometry(steps, parameters, canvas)
    border_place = max(
        (i for i, s in enumerate(steps) if isinstance(s, Geometric) and s.brings_in_border),
        default=-1,
    )
    folded = _Folded(count)
    for place, (step, drawn) in enumerate(zip(steps, parameters, strict=True)):
        if isinstance(step, Photometric):
            tone = _where_active(step.tone(drawn), active(drawn))
            folded.append(step, tone, changes_fill=place > border_place)
    chain, unshifted, tabled = folded.chain, folded.unshifted, folded.tabled
    levels = np.broadcast_to(np.asarray(fill, dtype=np.float64), (count, len(fill)))
    return Programs(
        matrix=geometry.matrix, gain=chain.gain, bias=chain.bias,
        low=unshifted.low, high=unshifted.high,
        range_bias=unshifted.bias, fill=folded.fill_chain(levels),
        table=_table(tabled, count, len(fill)), halvings=geometry.halvings,
        truncates=bool(tabled) and tabled[0][0].truncates, clips=folded.clips,
        table_covers_fill=folded.table_covers_fill,
        margin=geometry.margin, height=output[0], width=output[1],
    )  # fmt: skip


def fuse_geometry(
    steps: Sequence[Transform],
    parameters: Sequence[Parameters],
    canvas: Canvas,
    *,
    prefilters: bool = True,
) -> Geometry:
    """The one move of n images that all geometric steps amount to.

    Args:
        steps: of a pipeline, in order; those that are not geometric do not count.
        parameters: each step's drawn parameters.
        canvas: the sources' sizes.
        prefilters: False for what is not averaged, such as labels: nothing is halved.

    Raises:
        ParameterError: a matrix is too extreme for 32.32 fixed point.
    """
    count = len(canvas.heights)
    total = affine.identity(count)
    shrink = np.ones((count, 2))
    margin = 0
    here = canvas
    for step, drawn in zip(steps, parameters, strict=True):
        if isinstance(step, Geometric):
            reduction = step.shrink(drawn, here)
            if reduction is not None:
                shrink *= _along_source_axes(total, reduction)
            moved = step.matrices(drawn, here)
            if (happens := active(drawn)) is not None:
                moved[~happens] = affine.identity(1)[0]
            total = affine.compose(total, moved)
            margin = 1 << 31 if step.resamples_area else margin
            here = step.canvas_after(here)
    halvings = np.zeros((count, 2), dtype=np.int64)
    while prefilters and (too_fine := shrink / 2.0**halvings > PREFILTER_FROM).any():
        halvings += too_fine
    out_x, out_y = (here.widths - 1) * 0.5, (here.heights - 1) * 0.5
    half_x, half_y = (canvas.widths - 1) * 0.5, (canvas.heights - 1) * 0.5
    matrix, largest = affine.to_fixed_point(total, half_x, half_y, out_x, out_y, halvings)
    if not (largest[0] < _MAX_STEP and largest[1] < _MAX_OFFSET):
        raise ParameterError(
            "a drawn matrix: expected steps below 2**14 and offsets below 2**28 pixels, got "
            f"{largest[0]:g} and {largest[1]:g}; narrow the zooms and shifts of the pipeline",
            {"expected": (_MAX_STEP, _MAX_OFFSET), "found": tuple(largest)},
        )
    return Geometry(matrix, halvings, margin, here)


def _where_active(tone: Tone, happens: NDArray[np.bool_] | None) -> Tone:
    """The change where the step happens, none where it does not."""
    if happens is None:
        return tone
    if isinstance(tone, Linear):
        return Linear(np.where(happens, tone.gain, 1.0), np.where(happens, tone.bias, 0.0))
    return Table(np.where(happens[:, None], tone.levels, np.arange(256.0)))


def _along_source_axes(
    total: affine.Matrices, reduction: NDArray[np.float64]
) -> NDArray[np.float64]:
    """A step's reductions, (n, 2) along its own x and y, along those of the source.

    The steps before it may have turned the source: after a quarter turn its columns are what the
    step calls rows. A source axis is reduced by as much as its row of the matrix grows.
    """
    rows = total.reshape(-1, 2, 3)[:, :, :2]
    x, y = rows[:, :, 0], rows[:, :, 1]
    reduced_x, reduced_y = x * reduction[:, :1], y * reduction[:, 1:]
    return np.sqrt(reduced_x * reduced_x + reduced_y * reduced_y) / np.sqrt(x * x + y * y)


def _table(
    tones: Sequence[tuple[Photometric, Tone]], count: int, channels: int
) -> NDArray[np.uint8]:
    """All steps from the first table on, as one table of rounded levels.

    A further table starts from whole levels, as the first one does.
    """
    if not tones:
        return np.empty((count, 0, 256), dtype=np.uint8)
    levels = np.broadcast_to(np.arange(256.0), (count, 256))
    for step, tone in tones:
        if isinstance(tone, Table):
            whole = np.floor(levels if step.truncates else levels + 0.5).astype(np.int64)
            levels = np.take_along_axis(tone.levels, whole, axis=1)
        else:
            levels = np.clip(levels * tone.gain[:, None] + tone.bias[:, None], 0, 255)
    table = np.floor(levels + 0.5).astype(np.uint8)
    if channels == 4 and any(step.truncates for step, _ in tones):
        # Pillow's brightness leaves alpha alone.
        alpha = np.broadcast_to(np.arange(256, dtype=np.uint8), (count, 256))
        return np.stack([table, table, table, alpha], axis=1)
    return table[:, None, :].copy()
