"""The geometry of Keras' ``ImageDataGenerator`` as one step, with its exchanged axes and centres.

`pipelines.geometric` has the steps as one would expect them. Keras 3 exchanges rows and columns
while it builds its matrix, so that ``height_shift_range`` moves columns and images that are not
square turn about a point beside their centre. Who wants the same pixels, as the drop-in generator
does, needs all of it in one step, because the parts do not stand for themselves.
"""

from dataclasses import dataclass

import numpy as np

from pipelines.affine import Matrices, compose
from pipelines.geometric import HeightShift, Rotation, Shear, WidthShift, Zoom
from pipelines.randomness import Words, uniform
from pipelines.transform import (
    Canvas,
    Geometric,
    Parameters,
    Values,
    finite_number,
    register,
    require,
)

ShiftRange = float | int | tuple[float, ...]
"""See `pipelines.geometric.WidthShift.by`."""

_ROTATION, _SHEAR, _ZOOM = Rotation(max_deg=0), Shear(max_deg=0), Zoom(by=0.0)
_ALONG_X, _ALONG_Y = WidthShift(by=0.0), HeightShift(by=0.0)
_BOUND = 2.0**20


@register
@dataclass(frozen=True, kw_only=True)
class KerasAffine(Geometric):
    """Rotation, shifts, shear and zoom in the order, axes and centres of Keras 3.

    ``tx`` is drawn from ``height_shift`` and moves columns, ``ty`` from ``width_shift`` and moves
    rows; the column centre is H/2 - 0.5 and the row centre W/2 - 0.5. On square images with equal
    shifts that is rotation, shift, shear and zoom about the centre, as one expects.
    Source: ``get_random_transform`` and ``apply_affine_transform`` of
    ``keras.src.legacy.preprocessing.image``, Keras 3.15.
    """

    name = "keras_affine"
    summary = "rotation, shifts, shear and zoom as ImageDataGenerator has them (Keras)"
    num_words = 10

    rotation_deg: float = 0.0
    """The angle is drawn from [-rotation_deg, rotation_deg)."""
    height_shift: ShiftRange = 0.0
    """See `pipelines.geometric.HeightShift.by`; fractions are of the height, and columns move."""
    width_shift: ShiftRange = 0.0
    """Likewise; fractions are of the width, and rows move."""
    shear_deg: float = 0.0
    """The shear's angle is drawn from [-shear_deg, shear_deg)."""
    zoom: tuple[float, float] = (1.0, 1.0)
    """Both factors are drawn from [low, high)."""

    def check(self) -> None:
        """Checks that every range is finite."""
        for option in ("rotation_deg", "shear_deg"):
            value = getattr(self, option)
            good = finite_number(value) and 0 <= value < _BOUND
            require(good, self, option, "degrees in [0, 2**20)", value)
        for option in ("height_shift", "width_shift"):
            checked = HeightShift(by=getattr(self, option))
            object.__setattr__(self, option, checked.by)
        interval = tuple(self.zoom)
        good = len(interval) == 2 and all(finite_number(v) and abs(v) < _BOUND for v in interval)
        require(good, self, "zoom", "two finite numbers", self.zoom)
        object.__setattr__(self, "zoom", interval)

    def draw(self, words: Words, canvas: Canvas) -> Parameters:
        """``theta`` and ``shear`` in degrees, ``tx`` and ``ty`` in pixels, ``zx`` and ``zy``."""
        along_x = HeightShift(by=self.height_shift).draw(words[:, 1:4], canvas)
        along_y = WidthShift(by=self.width_shift).draw(words[:, 4:7], canvas)
        low, high = self.zoom
        return {
            "theta": uniform(words[:, 0], -self.rotation_deg, self.rotation_deg),
            "tx": along_x["shift_px"],
            "ty": along_y["shift_px"],
            "shear": uniform(words[:, 7], -self.shear_deg, self.shear_deg),
            "zx": uniform(words[:, 8], low, high),
            "zy": uniform(words[:, 9], low, high),
        }

    def matrices(self, parameters: Parameters, canvas: Canvas) -> Matrices:
        """To Keras' centre, rotation, shift, shear, zoom, and back."""
        off_x: Values = (canvas.heights - canvas.widths).astype(np.float64) * 0.5
        steps: tuple[tuple[Geometric, Parameters], ...] = (
            (_ALONG_Y, {"shift_px": -off_x}),
            (_ROTATION, {"angle_deg": parameters["theta"]}),
            (_ALONG_X, {"shift_px": parameters["tx"]}),
            (_ALONG_Y, {"shift_px": parameters["ty"]}),
            (_SHEAR, {"angle_deg": parameters["shear"]}),
            (_ZOOM, {"zoom_x": parameters["zx"], "zoom_y": parameters["zy"]}),
            (_ALONG_X, {"shift_px": -off_x}),
            (_ALONG_Y, {"shift_px": off_x}),
        )
        total = _ALONG_X.matrices({"shift_px": off_x}, canvas)
        for step, values in steps:
            total = compose(total, step.matrices(values, canvas))
        return total
