"""What masks and boxes add to the pixels' cost, on one core, side by side in one run.

Pipelines A and C of `augmenting`, C without the step that mixes, which targets cannot follow. Every
image has a mask of one channel and ten boxes; parameters are drawn once for all three.
"""

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines import Pipeline, from_dict
from pipelines.contract import pack
from pipelines.masks import move_masks, pack_masks
from pipelines.mixing import Mixing
from pipelines.object_moves import move_objects
from pipelines.objects import ObjectKinds, Objects
from pipelines.transform import REGISTRY, Canvas
from tests.benchmarks.augmenting import PIPELINES
from tests.benchmarks.measure import in_turns, on_one_core, print_table, write_record

SIZES = {"32×32×3": (32, 4096), "224×224×3": (224, 192)}
NUM_BOXES = 10
TARGETS = {"pixels": "", "and masks": "m", "and boxes": "b", "and both": "mb"}


def boxes(count: int, side: int) -> Objects:
    """Ten objects of each image, of up to a third of its side."""
    generator = np.random.default_rng(2)
    total = count * NUM_BOXES
    low = generator.uniform(0, side * 0.7, (total, 2))
    high = low + generator.uniform(2, side * 0.3, (total, 2))
    return Objects(
        np.arange(count + 1) * NUM_BOXES, np.zeros(total, np.int32),
        np.tile(np.arange(NUM_BOXES, dtype=np.int32), count), np.zeros(total, np.uint8),
        np.concatenate([low, high], axis=1).astype(np.float32), np.zeros((total, 0, 3), np.float32),
        np.zeros(total + 1, np.int64), np.zeros(1, np.int64), np.zeros((0, 2), np.float32),
    )  # fmt: skip


def ours(pipeline: Pipeline, images: NDArray[np.uint8], asked: str) -> Callable[[int], int]:
    """Draws and renders one copy of every image, and what is asked for beside it."""
    arena, out = pack(images), np.empty_like(images)
    masks, mask_out = pack_masks(images[..., :1]), np.empty_like(images[..., :1])
    objects, kinds = boxes(len(images), images.shape[1]), ObjectKinds(("thing",))
    generator = np.random.default_rng(1)
    ids = generator.integers(0, 256, (len(images), 16), dtype=np.uint8)
    canvas = Canvas(arena.heights, arena.widths)

    def run(number: int) -> int:
        drawn = pipeline.parameters(pipeline.draw(7, ids, number + 1), canvas)
        pipeline.render(drawn, arena, out)
        if asked:
            motions = pipeline.motions(drawn, canvas)
            if "m" in asked:
                move_masks(motions, masks, pipeline, mask_out)
            if "b" in asked:
                move_objects(motions, objects, kinds, pipeline.min_visibility)
        return len(images)

    return run


def main(arguments: argparse.Namespace) -> None:
    """Measures both pipelines at both sizes and writes the record."""
    on_one_core()
    figures: dict[str, Any] = {}
    rows = []
    for name in ("A", "C"):
        steps = PIPELINES[name]["step"]
        kept = [step for step in steps if not issubclass(REGISTRY[step["transform"]], Mixing)]
        for size, (side, count) in SIZES.items():
            shape = (count, side, side, 3)
            images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
            pipeline = from_dict(PIPELINES[name] | {"step": kept})
            systems = {label: ours(pipeline, images, asked) for label, asked in TARGETS.items()}
            found = in_turns(systems, rounds=arguments.rounds)
            alone = found["pixels"]["images_per_s"]
            for label in systems:
                found[label]["added"] = round(alone / found[label]["images_per_s"] - 1, 3)
            figures.setdefault(name, {})[size] = found
            added = [f"{found[label]['added']:+.0%}" for label in list(systems)[1:]]
            rows.append([name, size, f"{alone:,.0f}", *added])
    print_table("What masks and ten boxes add, on one core",
                ["pipeline", "images", "pixels, images/s", *list(TARGETS)[1:]], rows)  # fmt: skip
    print(write_record("following", figures, rounds=arguments.rounds, boxes=NUM_BOXES))
