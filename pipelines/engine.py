"""Runs programs on images: turns programs into the kernels' arguments, and nothing else.

Whoever needs an augmented image, offline, on the fly, for repair or to explain one, comes through
`run`, so that they cannot differ.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines import kernels, reference
from pipelines.contract import Arena, Batch, blank
from pipelines.errors import ImageContractError
from pipelines.kernels import BORDERS, WEIGHT_BITS
from pipelines.program import Programs

INTERPOLATIONS = ("bilinear", "nearest")


class Sampling(Protocol):
    """How a pipeline reads its source."""

    @property
    def border(self) -> str:
        """One of `BORDERS`."""

    @property
    def interpolation(self) -> str:
        """One of `INTERPOLATIONS`."""

    def fill_levels(self, channels: int) -> tuple[float, ...]:
        """The level of each channel outside under a constant border."""


def run(
    programs: Programs,
    images: Arena,
    sampling: Sampling,
    out: Batch,
    *,
    value_range: tuple[float, float] | None = None,
    plain: bool = False,
) -> None:
    """Writes the n augmented images.

    Args:
        programs: n programs.
        images: n images, uint8 or float32.
        sampling: the pipeline's border, fill and interpolation.
        out: (n, H', W', C) of the images' dtype, C-contiguous; written.
        value_range: for float32 images, the values that mean black and white; None where no step
            changes values.
        plain: True to run the NumPy twin instead of the kernel.

    Raises:
        ImageContractError: ``out`` or the number of images does not fit, an image reaches out of
            its arena, or float32 images meet a step that needs levels.
    """
    check_output(images, out, len(programs), (programs.height, programs.width))
    if images.values.dtype == np.uint8:
        sources = _prefiltered(images, programs.halvings, plain)
        _run_uint8(programs, sources, sampling, out, plain)
    else:
        _run_float32(programs, images, sampling, out, value_range, plain)


def check_output(images: Arena, out: Batch, count: int, size: tuple[int, int]) -> None:
    """Refuses memory that images cannot be written to, or that is none of theirs.

    Args:
        images: to be read.
        out: to be written.
        count: how many there are to be.
        size: height and width of the output.

    Raises:
        ImageContractError: ``out`` or the number of images does not fit, or an image reaches out of
            its arena.
    """
    expected = (count, *size, images.channels)
    fits = out.shape == expected and out.dtype == images.values.dtype
    fits = fits and len(images) == count
    images.check()
    if not fits or not out.flags.c_contiguous:
        raise ImageContractError(
            f"output for {len(images)} images: expected {expected} {images.values.dtype}, "
            f"C-contiguous, got {out.shape} {out.dtype}; allocate it so",
            {"expected": expected, "found": out.shape},
        )


def _run_uint8(
    programs: Programs, images: Arena, sampling: Sampling, out: Batch, plain: bool
) -> None:
    rounding = 0.0 if programs.truncates else 0.5
    tones = np.empty((len(programs), 5), dtype=np.float32)
    tones[:, 0] = programs.gain * 2.0**-WEIGHT_BITS
    parts = (programs.bias, programs.low, programs.high, programs.range_bias)
    for column, part in enumerate(parts, start=1):
        tones[:, column] = part + rounding
    fill = np.floor(programs.fill + rounding).astype(np.uint8)
    if programs.table_covers_fill and not programs.clips:
        tables = np.broadcast_to(programs.table, (len(programs), fill.shape[1], 256))
        fill = np.take_along_axis(tables, fill[:, :, None].astype(np.int64), axis=2)[:, :, 0]
    raw_fill = np.array(sampling.fill_levels(images.channels)) * 2.0**WEIGHT_BITS
    to_whole = sampling.interpolation == "nearest"
    warp = reference.warp_uint8 if plain else kernels.warp_uint8
    warp(
        images.values, images.starts, images.heights, images.widths, programs.matrix, tones,
        np.ascontiguousarray(fill), np.rint(raw_fill).astype(np.int32),
        np.ascontiguousarray(programs.table),
        BORDERS.index(sampling.border), np.int64(programs.margin),
        np.int64(1 << 31 if to_whole else 1 << (31 - WEIGHT_BITS)),
        np.uint64(0 if to_whole else (1 << WEIGHT_BITS) - 1), programs.clips, out,
    )  # fmt: skip


def _run_float32(
    programs: Programs,
    images: Arena,
    sampling: Sampling,
    out: Batch,
    value_range: tuple[float, float] | None,
    plain: bool,
) -> None:
    if programs.table.shape[1] or programs.halvings.any():
        raise ImageContractError(
            "float32 images: expected steps that are linear, got one that works on 256 levels "
            "(gamma, invert, posterize …) or prefilters; store the images as uint8",
            {"expected": "linear steps", "found": "a table or a prefilter"},
        )
    black, white = value_range or (0.0, 255.0)
    per_level = (white - black) / 255.0
    tones = np.empty((len(programs), 5), dtype=np.float32)
    tones[:, 0] = programs.gain
    offset = black - programs.gain * black
    tones[:, 1] = programs.bias * per_level + offset
    tones[:, 2] = programs.low * per_level + black
    tones[:, 3] = programs.high * per_level + black
    tones[:, 4] = programs.range_bias * per_level + offset
    untouched = (programs.gain == 1) & (programs.range_bias == 0)
    if value_range is None or untouched.all():
        # Without a step that clips to black and white, values outside them are the user's own.
        tones[:, 2], tones[:, 3] = -np.inf, np.inf
    raw_fill = np.array(sampling.fill_levels(images.channels)) * per_level + black
    fills = programs.fill * per_level + black
    if programs.clips:
        # The shift comes after the border and before every other tone, so that fill is a value like
        # any other, and like any other it is not clipped to black and white.
        fills = np.clip(raw_fill * tones[:, :1] + tones[:, 1:2], tones[:, 2:3], tones[:, 3:4])
    to_whole = sampling.interpolation == "nearest"
    warp = reference.warp_float32 if plain else kernels.warp_float32
    warp(
        images.values, images.starts, images.heights, images.widths, programs.matrix, tones,
        fills.astype(np.float32), raw_fill.astype(np.float32),
        BORDERS.index(sampling.border), np.int64(programs.margin),
        np.int64(1 << 31 if to_whole else 0),
        np.uint64(0 if to_whole else (1 << 32) - 1), programs.clips, out,
    )  # fmt: skip


def _prefiltered(images: Arena, halvings: NDArray[np.int64], plain: bool) -> Arena:
    """The arena with every image halved as often as its program asks.

    Images that several programs want alike are reduced once. Beyond the result only the reduction
    being made and the one it is made of are in memory: three quarters of one image at most.
    """
    if not halvings.any():
        return images
    sources = np.stack([images.starts, images.heights, images.widths], axis=1)
    _, rows, places = np.unique(
        np.concatenate([sources, halvings], axis=1), axis=0, return_index=True, return_inverse=True
    )
    width_divisors, height_divisors = (1 << halvings[rows]).T
    reduced = blank(
        -(-images.heights[rows] // height_divisors),
        -(-images.widths[rows] // width_divisors),
        images.channels,
        images.values.dtype,
    )
    for place, row in enumerate(rows):
        across, down = halvings[row].tolist()
        reduced.image(place)[...] = _reduced(images.image(row), across, down, plain)
    return reduced.take(places)


def _reduced(image: Batch, across: int, down: int, plain: bool) -> Batch:
    """An image with its columns halved ``across`` and its rows ``down`` times.

    Both at once as long as both are left, whatever else a batch asks for, so that an image does not
    depend on its batch.
    """
    halve = reference.halve if plain else kernels.halve
    for level in range(max(across, down)):
        image = halve(image, level < across, level < down)
    return image
