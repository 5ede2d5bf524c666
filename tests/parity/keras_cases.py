"""What the Keras parity tests share: images, drawn dictionaries, Keras itself, and the jumps.

A jump is a place where the picture is not continuous in the source coordinate, so that a difference
in the last bits decides between two far values: the edge of a constant border, a wrapped border's
seam, a tie of order 0. Pixels within 2**-20 of one are left out, and counted.
"""

import os
import re
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
from keras.src.legacy.preprocessing.image import ImageDataGenerator

from pipelines.keras_generator import ImageDataGenerator as Ours
from tests.golden.pipelines_cases import synthetic

__all__ = [
    "BORDERS",
    "SIZES",
    "ImageDataGenerator",
    "both",
    "drawn",
    "keras_result",
    "near_jump",
    "outcome",
    "synthetic",
]

JUMP_PX = 2.0**-20
BORDERS = ("nearest", "constant", "reflect", "wrap")
SIZES = ((1, 1), (1, 2), (2, 1), (1, 9), (7, 1), (2, 2), (3, 3), (2, 5), (9, 4), (16, 16), (28, 28),
         (31, 33), (33, 20), (24, 47))  # fmt: skip


def both(**options):
    """Our generator and Keras', quietly."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Ours(**options), ImageDataGenerator(**options)


def in_order(sentence):
    """A sentence with the members of its sets sorted: Python prints them in an order of the run."""
    return re.sub(r"\{([^{}:]*)\}", lambda found: f"{{{sorted(found[1].split(', '))}}}", sentence)


def outcome(call, *given, **options):
    """Type and sentence of the error of a call and of its warnings, in order."""
    raised = None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            call(*given, **options)
        except (ValueError, TypeError) as error:
            kinds = (ValueError, TypeError)
            raised = next(kind for kind in kinds if isinstance(error, kind)), in_order(str(error))
    # Keras calls SciPy by a deprecated name, and leaves a pool of threads to the collector.
    told = [(w.category.__name__, str(w.message)) for w in said
            if "scipy" not in str(w.message) and w.category is not ResourceWarning]  # fmt: skip
    return raised, told


def drawn(rng, height, width, *, brightness=None, shift=True):
    """One dictionary: each parameter absent, ordinary or extreme."""
    size = max(height, width)
    choices = {
        "theta": (rng.uniform(-20, 20), rng.uniform(-360, 360)),
        "tx": (rng.uniform(-0.2, 0.2) * width, rng.uniform(-4, 4) * size),
        "ty": (rng.uniform(-0.2, 0.2) * height, rng.uniform(-4, 4) * size),
        "shear": (rng.uniform(-20, 20), rng.uniform(-85, 85)),
        "zx": (rng.uniform(0.8, 1.2), 10 ** rng.uniform(-2, 2)),
        "zy": (rng.uniform(0.8, 1.2), 10 ** rng.uniform(-2, 2)),
    }
    kind = rng.choice(3, size=len(choices), p=(0.25, 0.5, 0.25))
    result = {n: values[k - 1] for (n, values), k in zip(choices.items(), kind, strict=True) if k}
    if shift and rng.random() < 0.5:
        result["channel_shift_intensity"] = rng.uniform(-120, 120)
    result["flip_horizontal"], result["flip_vertical"] = (bool(rng.random() < 0.5) for _ in "hv")
    if brightness is not None:
        result["brightness"] = rng.uniform(*brightness)
    return result


def keras_result(images, parameters: Sequence[Mapping], fill_mode, cval, order):
    """Keras on the same dictionaries, float32 as its iterators hand images over."""
    generator = ImageDataGenerator(
        fill_mode=fill_mode, cval=cval, interpolation_order=order, data_format="channels_last"
    )
    with warnings.catch_warnings():
        # Pillow deprecated fromarray's mode, which Keras still passes.
        warnings.simplefilter("ignore", DeprecationWarning)
        moved = [
            generator.apply_transform(image.astype(np.float32), dict(p))
            for image, p in zip(images, parameters, strict=True)
        ]
    return np.stack(moved)


def source_coordinates(parameters: Mapping, height, width):
    """Keras' source columns and rows for each output pixel before flips, in float64."""
    angle, lean = np.deg2rad(parameters.get("theta", 0)), np.deg2rad(parameters.get("shear", 0))
    matrix = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0],
                       [0, 0, 1]])  # fmt: skip
    matrix = matrix @ [[1, 0, parameters.get("tx", 0)], [0, 1, parameters.get("ty", 0)], [0, 0, 1]]
    matrix = matrix @ [[1, -np.sin(lean), 0], [0, np.cos(lean), 0], [0, 0, 1]]
    matrix = matrix @ np.diag([parameters.get("zx", 1), parameters.get("zy", 1), 1])
    centre = np.array([height / 2 - 0.5, width / 2 - 0.5])  # exchanged, as Keras has them
    rows, columns = np.mgrid[:height, :width].astype(np.float64)
    x, y = columns - centre[0], rows - centre[1]
    return tuple(m[0] * x + m[1] * y + m[2] + c for m, c in zip(matrix[:2], centre, strict=True))


def near_jump(parameters: Mapping, height, width, fill_mode, order):
    """(H, W) bool: pixels that lie within `JUMP_PX` of a jump."""
    neutral = {"theta": 0, "tx": 0, "ty": 0, "shear": 0, "zx": 1, "zy": 1}
    near = np.zeros((height, width), dtype=bool)
    if all(parameters.get(name, value) == value for name, value in neutral.items()):
        return near
    for place, size in zip(source_coordinates(parameters, height, width), (width, height),
                           strict=True):  # fmt: skip
        if fill_mode == "constant":
            near |= np.minimum(np.abs(place), np.abs(place - (size - 1))) < JUMP_PX
        if fill_mode == "wrap" and size > 1:
            turns = place / (size - 1)
            near |= np.abs(turns - np.rint(turns)) * (size - 1) < JUMP_PX
        if order == 0:
            near |= np.abs(place - np.floor(place) - 0.5) < JUMP_PX
    if parameters.get("flip_horizontal"):
        near = near[:, ::-1]
    return near[::-1] if parameters.get("flip_vertical") else near
