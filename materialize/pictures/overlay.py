"""Masks, boxes, keypoints and polygons drawn over the image they belong to."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from materialize.pictures import sheet
from pipelines.objects import ObjectKinds, Objects

PALETTE: tuple[sheet.Color, ...] = (
    (230, 60, 60), (40, 120, 230), (20, 160, 90), (240, 150, 20), (150, 80, 200), (0, 170, 190),
    (220, 70, 160),
)  # fmt: skip
"""Of classes and labels, by their number; told apart on photographs and on white."""
_MIDDLE, _FIRST_SIDE, _OTHER_SIDE = (60, 60, 70), (255, 190, 0), (0, 200, 230)
"""Of keypoints."""
_FINER = 3
"""Lines are drawn so many times as large and then reduced: they have soft edges."""
_FILL, _EDGE = 90, 230
"""Opacity in [0, 255] of what is inside and of its edge."""
_NAMED_AT_MOST = 6
"""More names than this would hide the image; colours and a legend say them."""


@dataclass(frozen=True, slots=True, eq=False)
class Marked:
    """An image and what it shows."""

    pixels: NDArray[Any]
    """(H, W, 1 or 3)"""
    objects: Objects | None = None
    """Of this one image."""
    mask: NDArray[np.uint8] | None = None
    """(H, W, channels) labels."""


def color_of(number: int) -> sheet.Color:
    """The colour of a class or a label."""
    return PALETTE[number % len(PALETTE)]


def drawn(marked: Marked, kinds: ObjectKinds | None, side: int) -> Image.Image:
    """An image with its mask and its objects, scaled as `sheet.shown` scales.

    Args:
        marked: what to draw.
        kinds: what the objects are; None where there are none.
        side: of the longer side, in pixels.
    """
    picture = sheet.shown(marked.pixels, side).convert("RGBA")
    if marked.mask is not None:
        for channel in range(marked.mask.shape[2]):
            layer = _mask_layer(marked.mask[:, :, channel], picture.size, channel)
            picture.alpha_composite(layer)
    objects = marked.objects
    if objects is not None and kinds is not None:
        scale = picture.width / marked.pixels.shape[1]
        picture.alpha_composite(_object_layer(objects, kinds, picture.size, scale))
        if len(kinds.names) > 1 and objects.num_objects <= _NAMED_AT_MOST:
            for label, box in zip(objects.labels.tolist(), objects.boxes, strict=True):
                _write_name(picture, kinds.names[label], box * scale, color_of(label))
    return picture.convert("RGB")


def legend(kinds: ObjectKinds | None, mask_names: tuple[str, ...]) -> Image.Image | None:
    """What the colours of objects mean, and that masks are drawn; None where nothing is."""
    parts = []
    for number, name in enumerate(() if kinds is None else kinds.names):
        square = sheet.padded(sheet.bar(10, 10, color_of(number)), top=4)
        parts.append(sheet.beside([square, sheet.text(name, 12)], 6))
    if mask_names:
        said = f"translucent: {', '.join(mask_names)}"
        parts.append(sheet.text(said, 12, ink=sheet.FAINT))
    if kinds is not None and kinds.keypoint_swaps:
        for color, said in ((_FIRST_SIDE, "keypoints of one side"), (_OTHER_SIDE, "of the other")):
            square = sheet.padded(sheet.bar(10, 10, color), top=4)
            parts.append(sheet.beside([square, sheet.text(said, 12, ink=sheet.FAINT)], 6))
    return sheet.beside(parts, 18) if parts else None


def _mask_layer(labels: NDArray[np.uint8], size: tuple[int, int], channel: int) -> Image.Image:
    """Every label but 0 in its colour, with a stronger edge."""
    scaled = np.array(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
    layer = np.zeros((*scaled.shape, 4), np.uint8)
    around = np.pad(scaled, 1, mode="edge")
    beside = (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:])
    is_edge = np.any([scaled != other for other in beside], axis=0)
    for label in np.unique(scaled).tolist():
        if label:
            here, color = scaled == label, color_of(label + channel)
            layer[here] = (*color, _FILL)
            layer[here & is_edge] = (*color, _EDGE)
    return Image.fromarray(layer)


def _object_layer(
    objects: Objects, kinds: ObjectKinds, size: tuple[int, int], scale: float
) -> Image.Image:
    """Polygons, boxes and keypoints."""
    finer = scale * _FINER
    layer = Image.new("RGBA", (size[0] * _FINER, size[1] * _FINER))
    fills = Image.new("RGBA", layer.size)
    lines, inside = ImageDraw.Draw(layer), ImageDraw.Draw(fills)
    width = round(1.6 * _FINER)
    for number, label in enumerate(objects.labels.tolist()):
        color = color_of(label)
        for ring in _rings(objects, number):
            corners = [(float(x), float(y)) for x, y in ring * finer]
            inside.polygon(corners, (*color, _FILL))
            lines.line([*corners, corners[0]], (*color, _EDGE), width, joint="curve")
        left, top, right, bottom = (objects.boxes[number] * finer).tolist()
        lines.rectangle((left, top, right, bottom), outline=(*color, _EDGE), width=width)
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
    return _FIRST_SIDE if swaps[keypoint] > keypoint else _OTHER_SIDE


def _dot(
    draw: ImageDraw.ImageDraw, x: float, y: float, color: sheet.Color, *, is_hidden: bool
) -> None:
    """A keypoint: full where it is visible, a ring where something hides it."""
    radius = 2.6 * _FINER
    inside = (255, 255, 255, _EDGE) if is_hidden else (*color, 255)
    around = (*color, 255) if is_hidden else (255, 255, 255, 255)
    place = (x - radius, y - radius, x + radius, y + radius)
    draw.ellipse(place, inside, around, width=round(0.9 * _FINER))


def _write_name(
    picture: Image.Image, name: str, box: NDArray[np.float32], color: sheet.Color
) -> None:
    """A class name on its colour, above a box or inside it at the top."""
    tag = sheet.text(name, 11, ink=sheet.PAPER, paper=color)
    left = min(max(round(float(box[0])), 0), max(picture.width - tag.width, 0))
    above = round(float(box[1])) - tag.height
    picture.paste(tag, (left, above if above >= 0 else max(round(float(box[1])), 0)))
