"""Pascal VOC: one XML file per image, and lists of names as splits.

    root/JPEGImages/a.jpg    root/Annotations/a.xml    root/ImageSets/Main/{train,val,test}.txt

Boxes are taken as corners, ``xmin`` … ``xmax`` from the image's edge, as labelling programs write
them; files that count pixels from 1, as those of the original challenge, lie a pixel to the right
and below. ``trainval.txt`` is used only where there is no ``train.txt``. Where lists leave images
out they are no records; without lists every image is a training image.
"""

from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, TreeBuilder
from xml.parsers import expat

from materialize.errors import SourceError
from materialize.sources.annotations import AnnotatedImage, AnnotatedObject, AnnotatedSource
from materialize.sources.base import first_few
from materialize.sources.files import has_image_suffix, list_files
from materialize.sources.naming import naturally_sorted
from pipelines.objects import DIFFICULT, OCCLUDED, TRUNCATED, ObjectKinds

PREFIX = "voc:"
IMAGES, ANNOTATIONS, LISTS = "JPEGImages", "Annotations", "ImageSets/Main"

_MAX_BYTES = 16 * 2**20
_MAX_DEPTH = 32
_FLAGS = {"difficult": DIFFICULT, "truncated": TRUNCATED, "occluded": OCCLUDED}


def is_voc_folder(path: Path) -> bool:
    """Whether a folder has the two that every VOC data set has."""
    return (path / IMAGES).is_dir() and (path / ANNOTATIONS).is_dir()


def voc_source(root: Path, *, follow_links: bool = False) -> AnnotatedSource:
    """The source over a VOC folder.

    Raises:
        SourceError: a folder is missing, a file is malformed, or images are missing.
    """
    for folder in (IMAGES, ANNOTATIONS):
        if not (root / folder).is_dir():
            raise SourceError(
                f"{root}: expected the folders {IMAGES} and {ANNOTATIONS} of Pascal VOC, found no "
                f"{folder}",
                {"path": str(root)},
            )
    files = list_files(root / IMAGES, follow_links=follow_links)
    locators = {f.rsplit(".", 1)[0]: f for f in files if has_image_suffix(f)}
    annotated = {f[:-4] for f in list_files(root / ANNOTATIONS) if f.lower().endswith(".xml")}
    orphans = sorted(annotated - set(locators))
    if orphans:
        raise SourceError(
            f"{len(orphans)} files in {root / ANNOTATIONS} have no image in {IMAGES}: "
            f"{first_few(orphans)}; bring the images back, or remove the files",
            {"path": str(root), "missing": orphans[:20]},
        )
    images = []
    for name, split in _splits(root, sorted(locators)).items():
        locator = f"{IMAGES}/{locators[name]}"
        path = root / ANNOTATIONS / f"{name}.xml"
        image = _read(path, locator) if name in annotated else AnnotatedImage(locator, None)
        image.split, image.origin = split, str(path)
        images.append(image)
    names = naturally_sorted(item.name for image in images for item in image.objects)
    description = {
        "kind": "voc", "path": f"{PREFIX}{root.resolve()}",
        "options": {"follow_links": follow_links},
    }  # fmt: skip
    return AnnotatedSource(root, images, ObjectKinds(names), description, follow_links=follow_links)


def _splits(root: Path, names: Sequence[str]) -> dict[str, str]:
    """The split of every image that is listed; training for all where there are no lists."""
    lists = {
        split: path for split in ("train", "val", "test") if (path := _list(root, split)).is_file()
    }
    if "train" not in lists and _list(root, "trainval").is_file():
        lists["train"] = _list(root, "trainval")
    if not lists:
        return dict.fromkeys(names, "train")
    splits: dict[str, str] = {}
    known = set(names)
    for split, path in lists.items():
        # A line is a name, in lists of one class with a 1 or −1 behind it.
        listed = [line.split()[0] for line in path.read_text("utf-8").splitlines() if line.strip()]
        missing = [name for name in listed if name not in known]
        if missing:
            raise SourceError(
                f"{path} names {len(missing)} images that are not in {root / IMAGES}: "
                f"{first_few(missing)}; bring them back, or correct the list",
                {"path": str(path), "missing": missing[:20]},
            )
        twice = [name for name in listed if splits.get(name, split) != split]
        if twice:
            raise SourceError(
                f"{path} names {len(twice)} images of another split: {first_few(twice)}; every "
                "image belongs to one",
                {"path": str(path), "names": twice[:20]},
            )
        splits |= dict.fromkeys(listed, split)
    return splits


def _list(root: Path, split: str) -> Path:
    return root / LISTS / f"{split}.txt"


def _read(path: Path, locator: str) -> AnnotatedImage:
    """One annotation file.

    Raises:
        SourceError: it is no such file.
    """
    tree = parsed_xml(path)
    size = tree.find("size")
    image = AnnotatedImage(locator, None)
    if size is not None:
        height, width = (int(_number(path, size, side)) for side in ("height", "width"))
        image.size = (height, width) if height > 0 and width > 0 else None
    for item in tree.iter("object"):
        box, name = item.find("bndbox"), (item.findtext("name") or "").strip()
        if box is None or not name:
            raise _malformed(path, "an object without a name or a bndbox")
        left, top, right, bottom = (
            _number(path, box, side) for side in ("xmin", "ymin", "xmax", "ymax")
        )
        flags = sum(
            bit for word, bit in _FLAGS.items() if (item.findtext(word) or "").strip() == "1"
        )
        image.objects.append(AnnotatedObject(name, (left, top, right, bottom), flags))
    return image


def _number(path: Path, parent: Element, name: str) -> float:
    text = (parent.findtext(name) or "").strip()
    try:
        return float(text)
    except ValueError:
        raise _malformed(path, f"{name} of {text[:20]!r}, which is no number") from None


def _malformed(path: Path, what: str) -> SourceError:
    return SourceError(
        f"{path}: expected a Pascal VOC annotation, found {what}; correct the file",
        {"path": str(path), "found": what},
    )


def parsed_xml(path: Path) -> Element:
    """The tree in an XML file that nobody vouches for: no entities, no depth, no size.

    Raises:
        SourceError: it is none, or would expand to more than it holds.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read {path}: {error.strerror}", {"path": str(path)}) from error
    if len(content) > _MAX_BYTES:
        raise _malformed(path, f"{len(content)} bytes, more than {_MAX_BYTES}")
    builder, depth = TreeBuilder(), [0]

    def start(tag: str, attributes: dict[str, str]) -> None:
        depth[0] += 1
        if depth[0] > _MAX_DEPTH:
            raise _malformed(path, f"elements nested more than {_MAX_DEPTH} deep")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        depth[0] -= 1
        builder.end(tag)

    def doctype(*_: object) -> None:
        raise _malformed(path, "a document type, which could define entities")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(content, True)
        return builder.close()
    except (expat.ExpatError, ParseError, ValueError, LookupError) as error:
        raise _malformed(path, f"XML that cannot be parsed: {error}") from error
