"""COCO: one JSON file, or several, that list images and their objects.

Boxes and polygons are measured from the image's corner, keypoints are numbers of pixels: half a
pixel is added to those, so that they lie in the middle of theirs. Categories keep the order of the
file. Segmentations that are run lengths are kept as boxes, and counted.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from materialize.errors import SourceError
from materialize.sources.annotations import (
    MASKED,
    AnnotatedImage,
    AnnotatedObject,
    AnnotatedSource,
)
from materialize.sources.base import first_few
from materialize.sources.naming import SPLIT_BY_ALIAS
from pipelines.objects import CROWD, ObjectKinds

PREFIX = "coco:"
_Id = int | str
_Kind = TypeVar("_Kind")


class _Image(msgspec.Struct):
    id: _Id
    file_name: str
    width: int | None = None
    height: int | None = None


class _Category(msgspec.Struct):
    id: _Id
    name: str
    keypoints: list[str] = []


class _Annotation(msgspec.Struct):
    image_id: _Id
    category_id: _Id
    id: _Id | None = None
    bbox: list[float] | None = None
    segmentation: list[list[float]] | dict[str, Any] | None = None
    keypoints: list[float] = []
    iscrowd: int = 0


class _File(msgspec.Struct):
    images: list[_Image]
    categories: list[_Category] = []
    annotations: list[_Annotation] = []


def coco_source(
    files: Sequence[Path], root: Path | None = None, *, follow_links: bool = False
) -> AnnotatedSource:
    """The source over COCO files.

    Args:
        files: at least one. Of several, the name of each says its split (``instances_val.json``);
            one alone is of training images.
        root: the images' folder; by default where the first image of the first file is found:
            beside it, or in ``images`` beside it or beside its folder.
        follow_links: also follow links that leave the root.

    Raises:
        SourceError: a file is malformed, or names images that are missing.
    """
    read = [(path, read_json(path, _File)) for path in files]
    folder = root if root is not None else _root_of(*read[0])
    names = dict.fromkeys(c.name for _, file in read for c in file.categories)
    images = [image for path, file in read for image in _images(path, file, len(read) > 1)]
    kinds = ObjectKinds(tuple(names), *_keypoints([file for _, file in read], files))
    description = {
        "kind": "coco", "path": str(folder.resolve()),
        "options": {
            "annotations": [str(path.resolve()) for path in files], "follow_links": follow_links,
        },
    }  # fmt: skip
    return AnnotatedSource(folder, images, kinds, description, follow_links=follow_links)


def read_json(path: Path, kind: type[_Kind]) -> _Kind:
    """The JSON in a file, if it has a form.

    Raises:
        SourceError: it cannot be read, or is something else.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}", {"path": str(path)}) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise _malformed(path, str(error) or "JSON that is nested too deep") from error


def _malformed(path: Path, what: str) -> SourceError:
    return SourceError(
        f"{path}: expected annotations as COCO has them, found: {what}; correct the file",
        {"path": str(path), "found": what},
    )


def _root_of(path: Path, file: _File) -> Path:
    folders = (path.parent, path.parent / "images", path.parent.parent / "images")
    for folder in folders if file.images else ():
        if (folder / file.images[0].file_name).is_file():
            return folder
    return path.parent


def _images(path: Path, file: _File, is_one_of_several: bool) -> list[AnnotatedImage]:
    """The images of one file with their objects."""
    split = _split_of(path) if is_one_of_several else "train"
    by_id: dict[_Id, AnnotatedImage] = {}
    for entry in file.images:
        if entry.id in by_id:
            raise _malformed(path, f"two images with the id {entry.id!r}")
        has_size = bool(entry.width and entry.height)
        size = (entry.height or 0, entry.width or 0) if has_size else None
        by_id[entry.id] = AnnotatedImage(_locator(path, entry), size, [], split, str(path))
    categories = {category.id: category for category in file.categories}
    if len(categories) < len(file.categories):
        raise _malformed(path, "two categories with one id")
    seen: set[_Id] = set()
    for place, annotation in enumerate(file.annotations):
        name = f"annotation {place if annotation.id is None else annotation.id!r}"
        if annotation.id is not None:
            if annotation.id in seen:
                raise _malformed(path, f"{name} twice")
            seen.add(annotation.id)
        image, category = by_id.get(annotation.image_id), categories.get(annotation.category_id)
        if image is None:
            raise _malformed(path, f"{name} of image {annotation.image_id!r}, which is not listed")
        if category is None:
            known = first_few(map(str, categories), 10)
            raise _malformed(
                path, f"{name} of category {annotation.category_id!r}, known are {known}"
            )
        image.objects.append(_object(path, name, annotation, category))
    return list(by_id.values())


def _locator(path: Path, entry: _Image) -> str:
    name = entry.file_name.replace("\\", "/").removeprefix("./")
    if name.startswith("/") or ".." in name.split("/"):
        raise _malformed(path, f"the file name {entry.file_name!r}, which leaves the folder")
    return name


def _split_of(path: Path) -> str:
    """The split that a file's name holds.

    Raises:
        SourceError: it holds none, or several.
    """
    words = re.findall(r"[a-z]+", path.stem.lower())
    found = {SPLIT_BY_ALIAS[word] for word in words if word in SPLIT_BY_ALIAS}
    if len(found) != 1:
        raise SourceError(
            f"{path}: expected train, val or test in the name of each of several annotation "
            f"files, found {', '.join(sorted(found)) or 'none'}; rename it, or give one file",
            {"path": str(path), "found": sorted(found)},
        )
    return found.pop()


def _object(path: Path, name: str, annotation: _Annotation, category: _Category) -> AnnotatedObject:
    remark, rings = "", []
    if isinstance(annotation.segmentation, dict):
        remark = MASKED
    elif annotation.segmentation:
        rings = annotation.segmentation
    if any(len(ring) % 2 for ring in rings):
        raise _malformed(path, f"{name} with a polygon of an odd number of coordinates")
    if annotation.bbox:
        if len(annotation.bbox) != 4:
            raise _malformed(path, f"{name} with a bbox of {len(annotation.bbox)} numbers")
        left, top, width, height = annotation.bbox
        box = (left, top, left + width, top + height)
    elif rings and all(rings):
        across, down = ([v for ring in rings for v in ring[axis::2]] for axis in (0, 1))
        box = (min(across), min(down), max(across), max(down))
    else:
        raise _malformed(path, f"{name} with neither a bbox nor a polygon")
    keypoints = annotation.keypoints
    if keypoints and len(keypoints) != 3 * len(category.keypoints):
        raise _malformed(
            path,
            f"{name} with {len(keypoints)} keypoint numbers, expected {len(category.keypoints)} "
            "times three",
        )
    points: list[float] = []
    for x, y, seen in zip(keypoints[::3], keypoints[1::3], keypoints[2::3], strict=True):
        if seen not in (0, 1, 2):
            raise _malformed(path, f"{name} with a visibility of {seen:g}, expected 0, 1 or 2")
        points += (x + 0.5, y + 0.5, seen) if seen else (0.0, 0.0, 0.0)
    flags = CROWD if annotation.iscrowd else 0
    return AnnotatedObject(category.name, box, flags, points, rings, remark)


def _keypoints(
    read: Sequence[_File], files: Sequence[Path]
) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The names of keypoints that all categories with any share, and how a mirror swaps them."""
    found = {tuple(c.keypoints) for file in read for c in file.categories if c.keypoints}
    if len(found) > 1:
        raise _malformed(
            files[0], "categories with different keypoints; keep those of one category in a file"
        )
    names = found.pop() if found else ()
    return names, mirrored(names)


def mirrored(names: Sequence[str]) -> tuple[int, ...]:
    """Which keypoint each becomes in a mirror image, by left and right in the names.

    Args:
        names: such as ``left_eye`` and ``right_eye``, ``eyeLeft`` and ``eyeRight``, ``l_eye`` and
            ``r_eye``.

    Returns:
        As many numbers as names; none where no two names are a pair.
    """
    number = {name: place for place, name in enumerate(names)}
    swaps = [number.get(_other_side(name), place) for place, name in enumerate(names)]
    paired = all(swaps[other] == place for place, other in enumerate(swaps))
    return tuple(swaps) if paired and swaps != list(range(len(names))) else ()


def _other_side(name: str) -> str:
    """The name with left for right and right for left."""

    def swapped(match: re.Match[str]) -> str:
        word = match[0]
        is_left, is_short = word[0] in "lL", len(word) == 1
        other = ("r" if is_short else "right") if is_left else ("l" if is_short else "left")
        return other.upper() if word.isupper() else other.title() if word[0].isupper() else other

    # A single letter counts only as a word of its own.
    pattern = r"left|right|Left|Right|LEFT|RIGHT|(?<![A-Za-z])[lrLR](?![A-Za-z])"
    return re.sub(pattern, swapped, name)
