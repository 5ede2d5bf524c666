"""2×3 matrices by explicit arithmetic: no libm, no BLAS, so the same bits on every CPU.

A matrix maps *output* to *input* coordinates, both measured from the centre of their own canvas,
x (columns) to the right and y (rows) down. Six numbers a row: ``xx xy xt yx yy yt`` with
``x_in = xx·x + xy·y + xt`` and ``y_in = yx·x + yy·y + yt``. NumPy's and the C library's sine,
cosine and matrix product change with the CPU's vector width and fused multiply-add; + − × ÷ do not.
"""

import numpy as np
from numpy.typing import NDArray

from pipelines.compiled import Array, compiled

Matrices = NDArray[np.float64]
"""(n, 6) float64: one output-to-input map per image."""

_DEG = np.pi / 180.0
# Taylor coefficients of sine and cosine; on [-pi/4, pi/4] the first omitted term is below 1e-17.
_S3, _S5, _S7, _S9, _S11, _S13, _S15 = (
    -1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800, 1 / 6227020800, -1 / 1307674368000,
)  # fmt: skip
_C2, _C4, _C6, _C8, _C10, _C12, _C14, _C16 = (
    -1 / 2, 1 / 24, -1 / 720, 1 / 40320, -1 / 3628800, 1 / 479001600, -1 / 87178291200,
    1 / 20922789888000,
)  # fmt: skip


@compiled
def cosine_sine(angles_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine and sine of angles in degrees, within 2 units in the last place.

    Multiples of 90 degrees give exactly 0, 1 and -1.

    Args:
        angles_deg: (n,) float64, finite, magnitude below 2**40.

    Returns:
        (n, 2) float64: cosine, sine.
    """
    out = np.empty((angles_deg.shape[0], 2), dtype=np.float64)
    for row in range(angles_deg.shape[0]):
        quarter = np.floor(angles_deg[row] / 90.0 + 0.5)
        r = (angles_deg[row] - quarter * 90.0) * _DEG
        s = r * r
        sine = r + r * (
            s * (_S3 + s * (_S5 + s * (_S7 + s * (_S9 + s * (_S11 + s * (_S13 + s * _S15))))))
        )
        tail = _C8 + s * (_C10 + s * (_C12 + s * (_C14 + s * _C16)))
        cosine = 1.0 + s * (_C2 + s * (_C4 + s * (_C6 + s * tail)))
        turn = np.int64(quarter) % 4
        if turn == 0:
            out[row, 0], out[row, 1] = cosine, sine
        elif turn == 1:
            out[row, 0], out[row, 1] = -sine, cosine
        elif turn == 2:
            out[row, 0], out[row, 1] = -cosine, -sine
        else:
            out[row, 0], out[row, 1] = sine, -cosine
    return out


@compiled
def compose(outer: Matrices, inner: Matrices) -> Matrices:
    """Row by row ``outer ∘ inner``: first inner, then outer.

    Since matrices map output to input, the step that comes *later* in a pipeline is the inner one.

    Args:
        outer: (n, 6) float64, not modified.
        inner: (n, 6) float64, not modified.

    Returns:
        (n, 6) float64, a new array.
    """
    out = np.empty_like(outer)
    for row in range(outer.shape[0]):
        xx, xy, xt, yx, yy, yt = outer[row]
        ux, uy, ut, vx, vy, vt = inner[row]
        out[row, 0] = xx * ux + xy * vx
        out[row, 1] = xx * uy + xy * vy
        out[row, 2] = (xx * ut + xy * vt) + xt
        out[row, 3] = yx * ux + yy * vx
        out[row, 4] = yx * uy + yy * vy
        out[row, 5] = (yx * ut + yy * vt) + yt
    return out


def identity(count: int) -> Matrices:
    """``count`` identity matrices."""
    return matrices(count, xx=1.0, yy=1.0)


def matrices(
    count: int,
    *,
    xx: NDArray[np.float64] | float = 0.0,
    xy: NDArray[np.float64] | float = 0.0,
    xt: NDArray[np.float64] | float = 0.0,
    yx: NDArray[np.float64] | float = 0.0,
    yy: NDArray[np.float64] | float = 0.0,
    yt: NDArray[np.float64] | float = 0.0,
) -> Matrices:
    """``count`` matrices from their six entries, each a number or (count,) float64."""
    out = np.empty((count, 6), dtype=np.float64)
    for column, entry in enumerate((xx, xy, xt, yx, yy, yt)):
        out[:, column] = entry
    return out


@compiled
def to_fixed_point(
    total: Matrices,
    half_x: Array,
    half_y: Array,
    out_x: Array,
    out_y: Array,
    halvings: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Centred matrices as 32.32 maps from output pixel to source pixel indices.

    Args:
        total: (n, 6) float64, centred.
        half_x: (n,) the sources' centres, (W - 1) / 2.
        half_y: (n,) (H - 1) / 2.
        out_x: (n,) the outputs' centres.
        out_y: likewise.
        halvings: (n, 2) how often each source's columns (x) and rows (y) have been halved: pixel
            centres stay where they are.

    Returns:
        (n, 6) int64, and the largest magnitudes of a step and of an offset in pixels. Where these
        are too large for fixed point the matrices mean nothing.
    """
    out = np.empty(total.shape, dtype=np.int64)
    largest = np.zeros(2)
    for row in range(total.shape[0]):
        xx, xy, xt, yx, yy, yt = total[row]
        by_x, by_y = 0.5 ** halvings[row, 0], 0.5 ** halvings[row, 1]
        x = ((xt + half_x[row] - (xx * out_x[row] + xy * out_y[row])) + 0.5) * by_x - 0.5
        y = ((yt + half_y[row] - (yx * out_x[row] + yy * out_y[row])) + 0.5) * by_y - 0.5
        entries = (xx * by_x, xy * by_x, x, yx * by_y, yy * by_y, y)
        for column in range(6):
            kind = 1 if column in (2, 5) else 0
            # Unlike max, this keeps a NaN, which is then refused like any entry too large.
            largest[kind] = np.maximum(largest[kind], abs(entries[column]))
            out[row, column] = np.int64(np.rint(entries[column] * 4294967296.0))
    return out, largest
