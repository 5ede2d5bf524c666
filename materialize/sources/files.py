"""Files under one root: listing them, and the source whose records are whole files."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import RecordReadError, SourceError
from materialize.sources.base import DecodedImage, Measurement, Record
from materialize.sources.decoding import decode_image, measure_image
from materialize.sources.file_targets import NO_FILE_TARGETS, FileTargets
from materialize.sources.records import RecordTable
from materialize.sources.targets import TargetNote, TargetSchema
from pipelines.objects import Objects

_ACCEPTED_SUFFIXES = (
    *(".apng", ".avif", ".avifs", ".bmp", ".gif", ".j2c", ".j2k", ".jfif", ".jp2", ".jpc", ".jpe"),
    *(".jpeg", ".jpf", ".jpg", ".jpx", ".mpo", ".pbm", ".pfm", ".pgm", ".png", ".pnm", ".ppm"),
    *(".tif", ".tiff", ".webp"),
)
# Pictures that cannot be decoded here are quarantined by name instead of overlooked.
_REFUSED_SUFFIXES = (
    *(".blp", ".cur", ".dcx", ".dds", ".dib", ".eps", ".fits", ".flc", ".fli", ".heic", ".heif"),
    *(".icns", ".ico", ".jxl", ".msp", ".pcd", ".pcx", ".psd", ".qoi", ".ras", ".sgi", ".tga"),
    *(".wmf", ".xbm", ".xpm"),
)
IMAGE_SUFFIXES = frozenset(_ACCEPTED_SUFFIXES + _REFUSED_SUFFIXES)
"""A file is a record if its suffix, in lower case, is one of these.

A list of our own, not Pillow's registry: which files belong to a dataset must not depend on the
codecs one machine's Pillow was built with, and the registry also holds .pdf, .h5 and .mpeg.
"""


def has_image_suffix(path: str) -> bool:
    """Whether a path ends in one of `IMAGE_SUFFIXES`, in any case."""
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 - a million times


def list_files(root: Path, *, follow_links: bool = False) -> list[str]:
    """Every regular file under ``root`` that is not hidden, sorted by locator.

    Names that begin with a dot are hidden, and so is what lies under such a folder. Links are
    followed where they stay inside the root; a link out of it could pull in any file of the machine
    and is refused unless the user asked for it.

    Args:
        root: an existing folder.
        follow_links: also follow links that leave the root.

    Returns:
        Locators: paths relative to the root, with ``/``.

    Raises:
        SourceError: a folder cannot be read, a link leaves the root or folders contain each other.
    """
    top = root.resolve()

    def check(path: Path, locator: str) -> bool:
        if not follow_links:
            check_link(path, locator, top)
        return True

    # By bytes, so that the order is the same in every locale and for undecodable names.
    return sorted(_walk(top, "", top, (top,), check), key=os.fsencode)


def _walk(
    folder: Path,
    prefix: str,
    top: Path,
    ancestors: tuple[Path, ...],
    is_followed: Callable[[Path, str], bool],
) -> Iterator[str]:
    try:
        entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except OSError as error:
        raise SourceError(
            f"cannot list {folder}: {error.strerror}", {"path": str(folder)}
        ) from error
    for entry in entries:
        locator = f"{prefix}{entry.name}"
        if entry.is_symlink() and not is_followed(Path(entry.path), locator):
            continue
        if entry.is_dir():
            real = Path(entry.path).resolve()
            if real in ancestors:
                raise SourceError(
                    f"{locator} under {top} is a link to a folder that contains it: remove it",
                    {"path": locator},
                )
            yield from _walk(real, f"{locator}/", top, (*ancestors, real), is_followed)
        elif entry.is_file():  # pipes, sockets and dangling links are none
            yield locator


def list_files_and_links(root: Path) -> tuple[list[str], list[str]]:
    """As `list_files`, but links that leave the root are listed beside and not followed.

    Returns:
        Locators of files, and of links out of the root, both sorted.

    Raises:
        SourceError: a folder cannot be read, or folders contain each other.
    """
    top = root.resolve()
    leaving: list[str] = []

    def note(path: Path, locator: str) -> bool:
        is_inside = path.resolve().is_relative_to(top)
        if not is_inside:
            leaving.append(locator)
        return is_inside

    files = sorted(_walk(top, "", top, (top,), note), key=os.fsencode)
    return files, sorted(leaving, key=os.fsencode)


def check_link(path: Path, locator: str, top: Path) -> None:
    """Refuses a link that leaves the root.

    Raises:
        SourceError: it does.
    """
    target = path.resolve()
    if not target.is_relative_to(top):
        raise SourceError(
            f"{locator} under {top} is a link to {target}, outside the source: "
            "copy the file in, or trust such links with the option follow-links",
            {"path": locator, "target": str(target)},
        )


class FileSource:
    """Records that are whole files under one root; subclasses find and describe them."""

    def __init__(
        self, root: Path, table: RecordTable, targets: FileTargets = NO_FILE_TARGETS
    ) -> None:
        """Take records whose locators are paths under ``root``."""
        self.root = root
        self.table = table
        self.targets = targets

    def __len__(self) -> int:
        return len(self.table)

    def record(self, index: int) -> Record:
        """The description of record ``index``."""
        return self.table.record(index)

    def identity_bytes(self, index: int) -> bytes:
        """The file's bytes.

        Raises:
            RecordReadError: the operating system did not give them.
        """
        path = self.root / self.table.locators[index]
        try:
            return path.read_bytes()
        except OSError as error:
            raise RecordReadError(
                f"cannot read {path}: {error.strerror}; this says nothing about the image, so "
                "nothing was left out: repair the storage, or exclude the file by name",
                {"path": str(path), "locator": self.table.locators[index]},
            ) from error

    def source_bytes(self, content: bytes) -> int:
        """The file's length."""
        return len(content)

    def decode(self, content: bytes, index: int) -> DecodedImage:
        """The image in the file; see `decode_image`.

        Raises:
            UndecodableImageError: it is none, or not the one that was annotated.
        """
        decoded = decode_image(content)
        height, width = decoded.pixels.shape[:2]
        self.targets.check_frame(index, (height, width), decoded.conversions, content)
        return decoded

    def measure(self, content: bytes, index: int) -> Measurement:
        """Its size and channels, from the header; see `measure_image`."""
        found = measure_image(content)
        self.targets.check_frame(index, (found.height, found.width), found.conversions, content)
        return found

    def schema(self) -> TargetSchema:
        """What the records have besides their class."""
        return self.targets.schema

    def field_columns(self) -> tuple[NDArray[Any], ...]:
        """(n, *field.shape) for each field."""
        return self.targets.columns

    def objects(self, index: int) -> Objects:
        """The objects of one record."""
        found = self.targets.objects
        return Objects.none(1) if found is None else found.take(np.array([index]))

    def mask(self, index: int) -> NDArray[np.uint8]:
        """(H, W, 1) labels of one record."""
        return self.targets.mask(index)

    def notes(self) -> tuple[TargetNote, ...]:
        """What was read in another way than it was written."""
        return self.targets.notes

    def class_names(self) -> tuple[str, ...]:
        """The class names in label order."""
        return self.table.class_names
