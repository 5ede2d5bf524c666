"""Activation maps as a picture: each image, and beside it where the evidence lies."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from materialize.pictures import sheet
from materialize.training.activation_map import ActivationMaps

_RAMP = ((40, 20, 110), (150, 30, 130), (230, 70, 70), (250, 160, 40), (255, 240, 120))
"""From little evidence to the strongest; told apart in grey, and by those who see no red."""
_STRONGEST = 0.75
"""How much of the colour is seen where the evidence is strongest."""
_COLUMNS = 3
_LEGEND_PX = (160, 10)


def draw_activations(
    images: NDArray[Any],
    labels: NDArray[np.integer],
    class_names: Sequence[str],
    found: ActivationMaps,
    *,
    title: str,
    of_truth: ActivationMaps | None = None,
) -> Image.Image:
    """A page of images with their maps.

    Args:
        images: (n, H, W, 1 or 3) uint8, or float32 in [0, 1]; at least one.
        labels: (n,) true classes; -1 where unknown.
        class_names: by number.
        found: the maps of what the model says.
        title: of the page.
        of_truth: the maps of the true classes, shown beside where the model is wrong.

    Returns:
        An RGB picture.
    """
    side = sheet.side_for(max(images.shape[1:3]))
    cards = [
        _card(images, labels, class_names, found, of_truth, row, side) for row in range(len(images))
    ]
    count = int((found.classes == labels).sum())
    subtitle = (
        f"{len(images)} images, {count} of them right; evidence for what the model says, at "
        f"{found.layer} (Grad-CAM)"
    )
    content = sheet.stacked([_legend(), sheet.grid(cards, _COLUMNS, 28)], 18)
    return sheet.page(title, subtitle, content)


def overlaid(image: NDArray[Any], activation: NDArray[np.float32]) -> NDArray[np.uint8]:
    """An image in grey under its map in colour.

    Args:
        image: (H, W, 1 or 3) uint8, or float32 in [0, 1]; not modified.
        activation: (H, W) in [0, 1]; not modified.

    Returns:
        (H, W, 3) uint8.
    """
    levels = image.astype(np.float32) * (1.0 if image.dtype == np.uint8 else 255.0)
    grey = levels.mean(axis=2, keepdims=True)
    share = (_STRONGEST * np.sqrt(activation))[:, :, np.newaxis]
    mixed = grey * (1 - share) + _colour(activation) * share
    rounded: NDArray[np.uint8] = np.clip(np.rint(mixed), 0, 255).astype(np.uint8)
    return rounded


def _colour(activation: NDArray[np.float32]) -> NDArray[np.float32]:
    """(…, 3) levels of the ramp at values in [0, 1]."""
    places = np.linspace(0.0, 1.0, len(_RAMP))
    channels = np.array(_RAMP, dtype=np.float32).T
    return np.stack([np.interp(activation, places, c) for c in channels], axis=-1).astype(
        np.float32
    )


def _card(
    images: NDArray[Any],
    labels: NDArray[np.integer],
    class_names: Sequence[str],
    found: ActivationMaps,
    of_truth: ActivationMaps | None,
    row: int,
    side: int,
) -> Image.Image:
    """An image, the map of what the model says, and that of the truth if it is wrong."""
    label, said = int(labels[row]), int(found.classes[row])
    truth = class_names[label] if label >= 0 else "unlabelled"
    tiles = [_tile(images[row], side, truth, "")]
    verdict = "" if label < 0 else "right" if label == said else "wrong"
    tiles.append(_map_tile(images[row], found, row, side, class_names, verdict))
    if of_truth is not None and verdict == "wrong":
        tiles.append(_map_tile(images[row], of_truth, row, side, class_names, "the truth"))
    return sheet.beside(tiles, 6)


def _map_tile(
    image: NDArray[Any],
    found: ActivationMaps,
    row: int,
    side: int,
    class_names: Sequence[str],
    remark: str,
) -> Image.Image:
    number = int(found.classes[row])
    said = f"{class_names[number]} {found.probabilities[row, number]:.0%}"
    if not found.maps[row].any():
        remark = f"{remark}; nothing speaks for it".lstrip("; ")
    return _tile(overlaid(image, found.maps[row]), side, said, remark)


def _tile(image: NDArray[Any], side: int, title: str, caption: str) -> Image.Image:
    parts = [sheet.framed(sheet.shown(image, side)), sheet.text(title, 13, width=side)]
    if caption:
        ink = (190, 40, 40) if caption.startswith("wrong") else sheet.FAINT
        parts.append(sheet.text(caption, 11, ink=ink, width=side))
    return sheet.stacked(parts, 4)


def _legend() -> Image.Image:
    """The ramp between its two ends in words."""
    width, height = _LEGEND_PX
    line = np.linspace(0, 1, width, dtype=np.float32)[np.newaxis].repeat(height, axis=0)
    colours = overlaid(np.full((height, width, 1), 200, np.uint8), line)
    ramp = sheet.padded(Image.fromarray(colours), top=3)
    words = [sheet.text(word, 12, ink=sheet.FAINT) for word in ("no evidence", "the strongest")]
    return sheet.beside([words[0], ramp, words[1]], 8)
