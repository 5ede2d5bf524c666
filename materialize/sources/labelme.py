"""LabelMe: beside each image a JSON file of its shapes.

Polygons are kept with the box around them, rectangles and circles as boxes; lines and points have
no area and are left out, and counted. Images without a file have no objects.
"""

from math import hypot
from pathlib import Path

import msgspec

from materialize.errors import SourceError
from materialize.sources.annotations import (
    NO_SHAPE,
    AnnotatedImage,
    AnnotatedObject,
    AnnotatedSource,
)
from materialize.sources.coco import read_json
from materialize.sources.files import has_image_suffix, list_files
from materialize.sources.naming import naturally_sorted
from pipelines.objects import ObjectKinds

PREFIX = "labelme:"


class _Shape(msgspec.Struct):
    label: str
    points: list[tuple[float, float]]
    shape_type: str | None = "polygon"


class _File(msgspec.Struct, rename="camel"):
    shapes: list[_Shape]
    image_height: int | None = None
    image_width: int | None = None


def labelme_source(root: Path, *, follow_links: bool = False) -> AnnotatedSource:
    """The source over a folder of images and LabelMe files.

    Raises:
        SourceError: there is no such folder, or a file is malformed.
    """
    if not root.is_dir():
        raise SourceError(f"there is no folder {root}", {"path": str(root)})
    files = list_files(root, follow_links=follow_links)
    known = set(files)
    images = []
    for locator in filter(has_image_suffix, files):
        beside = locator.rsplit(".", 1)[0] + ".json"
        images.append(
            _read(root / beside, locator) if beside in known else AnnotatedImage(locator, None)
        )
    names = naturally_sorted(item.name for image in images for item in image.objects)
    description = {
        "kind": "labelme", "path": f"{PREFIX}{root.resolve()}",
        "options": {"follow_links": follow_links},
    }  # fmt: skip
    return AnnotatedSource(root, images, ObjectKinds(names), description, follow_links=follow_links)


def _read(path: Path, locator: str) -> AnnotatedImage:
    file = read_json(path, _File)
    size = None
    if file.image_height and file.image_width:
        size = (file.image_height, file.image_width)
    image = AnnotatedImage(locator, size, origin=str(path))
    for shape in file.shapes:
        found = _object(shape)
        if found is None:
            image.remarks.append(NO_SHAPE)
        else:
            image.objects.append(found)
    return image


def _object(shape: _Shape) -> AnnotatedObject | None:
    """A shape as an object; None for what has no area."""
    kind, points = shape.shape_type or "polygon", shape.points
    if kind == "circle" and len(points) == 2:
        (x, y), (edge_x, edge_y) = points
        radius = hypot(edge_x - x, edge_y - y)
        return AnnotatedObject(shape.label, (x - radius, y - radius, x + radius, y + radius))
    if kind not in ("polygon", "rectangle") or not points:
        return None
    x_values, y_values = zip(*points, strict=True)
    box = (min(x_values), min(y_values), max(x_values), max(y_values))
    rings = [[v for point in points for v in point]] if kind == "polygon" else []
    return AnnotatedObject(shape.label, box, rings=rings)
