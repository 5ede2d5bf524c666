"""Writes the golden files of `pipelines`: run it only when a change of draws or pixels is wanted.

    python -m tests.golden.pipelines_regenerate

Whoever does so changes RNG_NAME or ARITHMETIC with it, and says in the changelog which stored data
sets can no longer be extended or repaired.
"""

import hashlib
import json
import platform
from pathlib import Path

import llvmlite
import numba
import numpy as np

from pipelines import apply_targets, fingerprint, load, preset_names
from pipelines.errors import ImageContractError
from pipelines.geometric import ResizedCrop
from pipelines.objects import Objects
from pipelines.pipeline import Pipeline
from pipelines.randomness import RNG_NAME
from pipelines.rendering import Pool
from pipelines.serialization import ARITHMETIC
from pipelines.transform import Canvas
from tests.golden.pipelines_cases import EXAMPLES, sample_ids, synthetic
from tests.object_cases import COMPOSED, KINDS, objects_of

FOLDER = Path(__file__).parent
SEEDS = (0, 2**64 - 1)
COPIES = (0, 1, 2**32 - 1)
SIZES = ((28, 28), (61, 40))


def draws():
    """Words and parameters of each transform at fixed addresses, exactly."""
    result = {}
    for name, step in EXAMPLES.items():
        pipeline = Pipeline(steps=(step,))
        result[name] = {"options": step.options(), "draws": []}
        for seed in SEEDS:
            for copy in COPIES:
                words = pipeline.draw(seed, sample_ids(2), copy)
                heights, widths = (np.array(side) for side in zip(*SIZES, strict=True))
                drawn = pipeline.parameters(words, Canvas(heights, widths))
                values = {
                    key: [float(v).hex() for v in column]
                    for parameters in drawn for key, column in parameters.items()
                }  # fmt: skip
                entry = {"seed": seed, "copy": copy, "words": words.tolist(), "parameters": values}
                result[name]["draws"].append(entry)
    return result


def _digests(pipeline, shape):
    images = synthetic(3, *shape)
    result = {}
    for dtype in (np.uint8, np.float32):
        try:
            out = pipeline.apply(
                images.astype(dtype), seed=7, sample_ids=sample_ids(3), copies=np.arange(3),
                value_range=(0.0, 255.0), pool=Pool(images.astype(dtype), sample_ids(3)),
            )  # fmt: skip
        except ImageContractError:
            continue  # a step of 256 levels has no float form
        result[np.dtype(dtype).name] = hashlib.sha256(
            out.astype(out.dtype.newbyteorder("<"))
        ).hexdigest()
    return result


def pixels():
    """SHA-256 of every transform's and preset's pixels on images by formula."""
    transforms = {
        name: {
            border: _digests(Pipeline(steps=(step,), border=border, fill=(50.0,)), (33, 46, 3))
            for border in ("nearest", "constant", "reflect", "wrap")
        }
        for name, step in EXAMPLES.items()
    }
    presets = {
        name: {
            "fingerprint": fingerprint(load(name)),
            **{f"{h}x{w}x{c}": _digests(load(name), (h, w, c))
               for h, w, c in ((28, 28, 1), (90, 60, 3))},
        }
        for name in preset_names()
    }  # fmt: skip
    large = ResizedCrop(height=12, width=17, area=(0.5, 1.0), aspect_max=2.0)
    prefiltered = {
        border: _digests(Pipeline(steps=(large,), border=border, fill=(50.0,)), (133, 71, 3))
        for border in ("nearest", "constant", "reflect", "wrap")
    }
    return {"transforms": transforms, "presets": presets, "prefiltered": prefiltered}


def targets():
    """SHA-256 of masks, and of every column of objects, moved by pipelines of every kind."""
    height, width, count = 33, 46, 5
    images = synthetic(count, height, width, 3)
    places = synthetic(count, 1, 40, 1).reshape(2 * count, 20) / 8.0
    low = places[:, :2] - 2
    objects = objects_of(
        np.concatenate([low, low + places[:, 2:4] + 0.5], axis=1).reshape(count, 2, 4).tolist(),
        keypoints=np.insert(places[:, 4:10].reshape(-1, 3, 2), 2, 2, axis=2),
        rings=[[own[10:16].reshape(3, 2), own[10:].reshape(5, 2)] for own in places],
    )
    result = {}
    for name, steps in COMPOSED.items():
        for border in ("nearest", "constant"):
            pipeline = Pipeline(steps=steps, border=border, mask_fill=255, min_visibility=0.1)
            found = apply_targets(pipeline, images, seed=7, sample_ids=sample_ids(count), copies=3,
                                  masks=images, objects=objects, kinds=KINDS)  # fmt: skip
            columns = {key: getattr(found.objects, key) for key in Objects.__slots__}
            columns["masks"] = found.masks
            result[f"{name} {border}"] = {
                key: hashlib.sha256(values.astype(values.dtype.newbyteorder("<"))).hexdigest()
                for key, values in columns.items()
            } | {"objects": found.objects.num_objects}
    return result


def provenance():
    """What wrote the files."""
    return {
        "format": 1, "written_by": "tests/golden/pipelines_regenerate.py",
        "randomness": RNG_NAME, "arithmetic": ARITHMETIC,
        "python": platform.python_version(), "numpy": np.__version__,
        "numba": numba.__version__, "llvmlite": llvmlite.__version__,
    }  # fmt: skip


def main():
    """Writes the files."""
    for name, content in (("draws", draws()), ("pixels", pixels()), ("targets", targets())):
        text = json.dumps({"provenance": provenance(), name: content}, indent=1, sort_keys=True)
        (FOLDER / f"pipelines_{name}.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
