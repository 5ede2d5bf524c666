"""Images per second from array to array on one core, beside Keras and Albumentations.

Pipeline A is rotation 10, shifts 0.2, zoom 0.2, horizontal flip and channel shift 20 over nearest
borders; B is the same with Keras' clipping to the image's own range. C is rotation 30, shifts 0.3,
shear 20, zoom 0.3, both flips, brightness, contrast and channel shift over reflected borders, a
rectangle erased from every other image, and mixup of each image with another.
Every system draws new parameters for every image, and mixes the images of a batch with each other.
Batches exceed the second-level cache.
"""

import argparse
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines import Pipeline, from_dict
from pipelines.contract import pack
from pipelines.transform import Canvas
from tests.benchmarks.measure import in_turns, on_one_core, print_table, write_record

SIZES = {"28×28×1": (28, 1, 4096), "32×32×3": (32, 3, 4096), "224×224×3": (224, 3, 192),
         "640×640×3": (640, 3, 24)}  # fmt: skip
_PEER_IMAGES = 32
"""Peers work image by image, so a few images a round measure them as well as many."""


def _step(transform: str, **options: Any) -> dict[str, Any]:
    return {"transform": transform, **options}


PIPELINES: dict[str, dict[str, Any]] = {
    "A": {"step": [
        _step("rotation", max_deg=10), _step("width_shift", by=0.2), _step("height_shift", by=0.2),
        _step("zoom", by=0.2), _step("channel_shift", by=20), _step("horizontal_flip"),
    ]},
    "B": {"step": [
        _step("rotation", max_deg=10), _step("width_shift", by=0.2), _step("height_shift", by=0.2),
        _step("zoom", by=0.2), _step("keras_channel_shift", by=20), _step("horizontal_flip"),
    ]},
    "C": {"border": "reflect", "step": [
        _step("rotation", max_deg=30), _step("width_shift", by=0.3), _step("height_shift", by=0.3),
        _step("shear", max_deg=20), _step("zoom", by=0.3), _step("horizontal_flip"),
        _step("vertical_flip"), _step("brightness", factor=[0.7, 1.3]),
        _step("contrast", factor=[0.7, 1.3]), _step("channel_shift", by=20),
        _step("erasing", probability=0.5), _step("mixup", alpha=0.2),
    ]},
}  # fmt: skip


def ours(pipeline: Pipeline, images: NDArray[np.uint8]) -> Callable[[int], int]:
    """Draws, lowers and renders one copy of every image, as the job does."""
    arena, out = pack(images), np.empty_like(images)
    generator = np.random.default_rng(1)
    ids = generator.integers(0, 256, (len(images), 16), dtype=np.uint8)
    canvas = Canvas(arena.heights, arena.widths)

    def run(number: int) -> int:
        words = pipeline.draw(7, ids, number + 1)
        mixes = pipeline.mixes(pipeline.parameters(words, canvas))
        if mixes is None:
            pipeline.augment(arena, words, out)
        else:
            pipeline.augment(arena, words, out, companions=mixes.partner_rows(len(ids)))
        return len(images)

    return run


def keras(name: str, images: NDArray[np.uint8]) -> Callable[[int], int]:
    """`ImageDataGenerator.random_transform`, image by image, on floats as `flow` has them."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    options: dict[str, dict[str, Any]] = {
        "A": {"rotation_range": 10, "width_shift_range": 0.2, "height_shift_range": 0.2,
              "zoom_range": 0.2, "channel_shift_range": 20.0, "horizontal_flip": True},
        "C": {"rotation_range": 30, "width_shift_range": 0.3, "height_shift_range": 0.3,
              "shear_range": 20, "zoom_range": 0.3, "channel_shift_range": 20.0,
              "horizontal_flip": True, "vertical_flip": True, "fill_mode": "reflect",
              "brightness_range": (0.7, 1.3)},
    }  # fmt: skip
    options["B"] = options["A"]
    generator = ImageDataGenerator(**options[name])
    floats = images[:_PEER_IMAGES].astype(np.float32)
    chance = np.random.default_rng(0)

    def run(number: int) -> int:
        batch = np.empty_like(floats)
        for place, image in enumerate(floats):
            moved = generator.random_transform(image)
            if name == "C":  # what a user adds, since the class has neither contrast nor erasing
                moved = np.clip((moved - 127.5) * chance.uniform(0.7, 1.3) + 127.5, 0, 255)
                _erase(moved, chance)
            batch[place] = moved
        if name == "C":
            weights = chance.beta(0.2, 0.2, (len(batch), 1, 1, 1)).astype(np.float32)
            batch = weights * batch + (1 - weights) * batch[chance.permutation(len(batch))]
        return len(batch)

    return run


def _erase(image: NDArray[np.float32], chance: np.random.Generator) -> None:
    """Zhong et al., algorithm 1, in every other image: the lines that a user writes."""
    if chance.random() < 0.5:
        return
    height, width = image.shape[:2]
    while True:
        area, aspect = chance.uniform(0.02, 0.4) * height * width, chance.uniform(0.3, 1 / 0.3)
        high, wide = round((area * aspect) ** 0.5), round((area / aspect) ** 0.5)
        if high < height and wide < width:
            top, left = chance.integers(0, height - high), chance.integers(0, width - wide)
            image[top : top + high, left : left + wide] = 0
            return


def albumentations(name: str, images: NDArray[np.uint8]) -> Callable[[int], int]:
    """A `Compose` of the same steps, image by image."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations as peer
    import cv2

    cv2.setNumThreads(1)
    wide = name == "C"
    turn, shift, zoom = (30, 0.3, 0.3) if wide else (10, 0.2, 0.2)
    steps = [
        peer.Affine(
            rotate=(-turn, turn), translate_percent=(-shift, shift), p=1,
            scale={"x": (1 - zoom, 1 + zoom), "y": (1 - zoom, 1 + zoom)},
            shear=(-20, 20) if wide else (0, 0),
            border_mode=cv2.BORDER_REFLECT if wide else cv2.BORDER_REPLICATE,
        ),
        peer.HorizontalFlip(p=0.5),
    ]  # fmt: skip
    if wide:
        steps.append(peer.VerticalFlip(p=0.5))
        steps.append(peer.RandomBrightnessContrast(0.3, 0.3, p=1))
    if images.shape[3] == 3:
        steps.append(peer.RGBShift(20, 20, 20, p=1))
    else:  # the nearest thing it has for one channel
        steps.append(peer.RandomBrightnessContrast(0.08, 0, p=1))
    if wide:
        steps.append(peer.Erasing(scale=(0.02, 0.4), ratio=(0.3, 1 / 0.3), p=0.5))
    compose = peer.Compose(steps)
    few = images[:_PEER_IMAGES]
    chance = np.random.default_rng(0)

    def run(number: int) -> int:
        batch = [compose(image=image)["image"] for image in few]
        if wide:  # the library mixes nothing: what a user adds
            weights, others = chance.beta(0.2, 0.2, len(batch)), chance.permutation(len(batch))
            for image, weight, other in zip(batch, weights, others, strict=True):
                cv2.addWeighted(image, weight, batch[other], 1 - weight, 0)
        return len(batch)

    return run


def memcpy(images: NDArray[np.uint8]) -> Callable[[int], int]:
    """The floor: writing the output at all."""
    out = np.empty_like(images)

    def run(number: int) -> int:
        np.copyto(out, images)
        return len(images)

    return run


def main(arguments: argparse.Namespace) -> None:
    """Measures every pipeline at every size and writes the record."""
    on_one_core()
    figures: dict[str, Any] = {}
    for name, definition in PIPELINES.items():
        rows = []
        for size, (side, channels, count) in SIZES.items():
            shape = (count, side, side, channels)
            images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
            systems = {"memcpy": memcpy(images), "ours": ours(from_dict(definition), images)}
            if arguments.peers:
                systems["keras"] = keras(name, images)
                systems["albumentations"] = albumentations(name, images)
            found = in_turns(systems, rounds=arguments.rounds)
            figures.setdefault(name, {})[size] = found
            rows.append([size, *(_cell(found, system) for system in systems)])
        print_table(f"Pipeline {name}, images/s on one core", ["", *systems], rows)
    record = "augmenting-peers" if arguments.peers else "augmenting"
    print(write_record(record, figures, rounds=arguments.rounds, pipelines=PIPELINES))


def _cell(found: dict[str, dict[str, float]], system: str) -> str:
    rate = found[system]["images_per_s"]
    if system in ("memcpy", "ours"):
        return f"{rate:,.0f}"
    return f"{rate:,.0f} (ours {found['ours']['images_per_s'] / rate:.1f} ×)"
