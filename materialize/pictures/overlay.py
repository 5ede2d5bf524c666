"""Masks, boxes, keypoints and polygons drawn over the image they belong to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from materialize.pictures import sheet
from materialize.pictures.color_key import (
    EDGE,
    FILL,
    FIRST_SIDE,
    OTHER_SIDE,
    ColorKey,
    Meaning,
)
from pipelines.objects import ObjectKinds, Objects

_MIDDLE = (60, 60, 70)
"""Of keypoints that have no other side."""
_FINER = 3
"""Lines are drawn so many times as large and then reduced: they have soft edges."""
_NAMED_AT_MOST = 6
"""More names than this would hide the image; colours and a legend say them."""
_LIGHT = 380
"""Red, green and blue together, above which dark letters are read better than white ones."""


@dataclass(frozen=True, slots=True, eq=False)
class Marked:
    """An image and what it shows."""

    pixels: NDArray[Any]
    """(H, W, 1 or 3)"""
    objects: Objects | None = None
    """Of this one image."""
    mask: NDArray[np.uint8] | None = None
    """(H, W, channels) labels."""


def drawn(marked: Marked, side: int, key: ColorKey) -> Image.Image:
    """An image with its mask and its objects, scaled as `sheet.shown` scales.

    Args:
        marked: what to draw.
        side: of the longer side, in pixels.
        key: the colours of the picture that this becomes a part of.
    """
    picture = sheet.shown(marked.pixels, side).convert("RGBA")
    if marked.mask is not None:
        for channel in range(marked.mask.shape[2]):
            layer = _mask_layer(marked.mask[:, :, channel], picture.size, channel, key)
            picture.alpha_composite(layer)
    objects, kinds = marked.objects, key.schema.objects
    if objects is not None and kinds is not None:
        scale = picture.width / marked.pixels.shape[1]
        picture.alpha_composite(_object_layer(objects, kinds, picture.size, scale, key))
        if len(kinds.names) > 1 and objects.num_objects <= _NAMED_AT_MOST:
            for label, box in zip(objects.labels.tolist(), objects.boxes, strict=True):
                color = key.color_of(Meaning(-1, label))
                _write_name(picture, kinds.names[label], box * scale, color)
    return picture.convert("RGB")


def _mask_layer(
    labels: NDArray[np.uint8], size: tuple[int, int], channel: int, key: ColorKey
) -> Image.Image:
    """Every label but 0 in its colour, with a stronger edge."""
    scaled = np.array(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
    layer = np.zeros((*scaled.shape, 4), np.uint8)
    around = np.pad(scaled, 1, mode="edge")
    beside = (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:])
    is_edge = np.any([scaled != other for other in beside], axis=0)
    for label in np.unique(scaled).tolist():
        if label:
            here, color = scaled == label, key.color_of(Meaning(channel, label))
            layer[here] = (*color, FILL)
            layer[here & is_edge] = (*color, EDGE)
    return Image.fromarray(layer)


def _object_layer(
    objects: Objects, kinds: ObjectKinds, size: tuple[int, int], scale: float, key: ColorKey
) -> Image.Image:
    """Polygons, boxes and keypoints."""
    finer = scale * _FINER
    layer = Image.new("RGBA", (size[0] * _FINER, size[1] * _FINER))
    fills = Image.new("RGBA", layer.size)
    lines, inside = ImageDraw.Draw(layer), ImageDraw.Draw(fills)
    width = round(1.6 * _FINER)
    for number, label in enumerate(objects.labels.tolist()):
        color = key.color_of(Meaning(-1, label))
        for ring in _rings(objects, number):
            corners = [(float(x), float(y)) for x, y in ring * finer]
            inside.polygon(corners, (*color, FILL))
            lines.line([*corners, corners[0]], (*color, EDGE), width, joint="curve")
        left, top, right, bottom = (objects.boxes[number] * finer).tolist()
        lines.rectangle((left, top, right, bottom), outline=(*color, EDGE), width=width)
        for place, (x, y, visibility) in enumerate(objects.keypoints[number].tolist()):
            if visibility > 0:
                side = _side_color(kinds, place)
                _dot(lines, x * finer, y * finer, side, is_hidden=visibility == 1)
    fills.alpha_composite(layer)
    return fills.resize(size, Image.Resampling.LANCZOS)


def _rings(objects: Objects, number: int) -> Iterator[NDArray[np.float32]]:
    """The polygons of an object, (corners, 2) each."""
    for ring in range(int(objects.ring_offsets[number]), int(objects.ring_offsets[number + 1])):
        first, stop = objects.point_offsets[ring], objects.point_offsets[ring + 1]
        if stop - first >= 2:
            yield objects.points[first:stop]


def _side_color(kinds: ObjectKinds, keypoint: int) -> sheet.Color:
    """Of a keypoint: one colour for each side, so that a mirrored pair is seen to change."""
    swaps = kinds.keypoint_swaps
    if not swaps or swaps[keypoint] == keypoint:
        return _MIDDLE
    return FIRST_SIDE if swaps[keypoint] > keypoint else OTHER_SIDE


def _dot(
    draw: ImageDraw.ImageDraw, x: float, y: float, color: sheet.Color, *, is_hidden: bool
) -> None:
    """A keypoint: full where it is visible, a ring where something hides it."""
    radius = 2.6 * _FINER
    inside = (255, 255, 255, EDGE) if is_hidden else (*color, 255)
    around = (*color, 255) if is_hidden else (255, 255, 255, 255)
    place = (x - radius, y - radius, x + radius, y + radius)
    draw.ellipse(place, inside, around, width=round(0.9 * _FINER))


def _write_name(
    picture: Image.Image, name: str, box: NDArray[np.float32], color: sheet.Color
) -> None:
    """A class name on its colour, above a box or inside it at the top."""
    ink = sheet.INK if sum(color) > _LIGHT else sheet.PAPER
    tag = sheet.text(name, 11, ink=ink, paper=color)
    left = min(max(round(float(box[0])), 0), max(picture.width - tag.width, 0))
    above = round(float(box[1])) - tag.height
    picture.paste(tag, (left, above if above >= 0 else max(round(float(box[1])), 0)))
