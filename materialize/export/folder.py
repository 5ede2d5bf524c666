"""A folder of pictures by split and class, and a table that says what each of them is.

    OUTPUT/train/daisy/<sample id>-c00002.png
    OUTPUT/train/daisy/<sample id>-original.png
    OUTPUT/index.csv        RFC 4180; one row for each picture, in the order of the export

    OUTPUT/masks/train/<sample id>-c00002.png    where images have masks; one for each channel
    OUTPUT/annotations-train.json                where they show objects: COCO's form

The table's columns are `COLUMNS`, the paths of masks, of mixed images `PARTNER_COLUMNS`, one for
each number of each field, then one for each drawn parameter. Pictures are many, so they come to the
disk together now and then: after a kill, those behind the last such point are written
again and the others are kept.
"""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.atomic import make_directory
from materialize.canonical import sha256_hex
from materialize.export.annotations import CocoFile, encode_masks
from materialize.export.assignment import Assignment
from materialize.export.files import streamed_file, write_quickly
from materialize.export.items import (
    PARTNER_COLUMNS,
    Item,
    Part,
    Shown,
    field_cells,
    field_columns,
    parameter_columns,
)
from materialize.export.ledger import ExportedFile, check_sizes
from materialize.export.naming import folder_names
from materialize.export.pictures import encode_picture, suffix_of

INDEX_FILE = "index.csv"
MASKS_FOLDER = "masks"
COLUMNS = {
    "path": "of the picture, relative to this table",
    "split": "train, val or test",
    "class": "the class' name in the dataset; empty for none",
    "label": "its number in the dataset; empty for none",
    "sample_id": "of the image that the picture was made from; equal for all of its copies",
    "copy": "number of the copy; -1 is the untouched image",
    "source": "where that image was in the source",
    "num_bytes": "of the picture",
    "sha256": "of the picture",
}
"""The columns before those of drawn parameters, and what they hold."""

_ON_DISK_EVERY = 4096
"""Pictures, about, between two points at which all are brought to the disk."""


@dataclass(frozen=True, slots=True)
class _Picture:
    """One picture that is written."""

    item: Item
    path: str
    num_bytes: int
    sha256: str
    is_new: bool
    shown: Shown
    masks: tuple[str, ...]
    """Paths of its mask's channels."""


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes pictures of one part, some at a time; may be called by several threads."""

    part: Part
    output: Path
    form: str
    folders: Mapping[str, str]
    """Class → folder."""
    num_kept: int
    """Items whose pictures are surely on the disk, if they are there."""

    def __call__(self, start: int, stop: int) -> list[_Picture]:
        """The pictures of the items [start, stop), read where they are there."""
        items, shown = self.part.items(start, stop), self.part.shown(start, stop)
        triples = [(item, shown.of(place)) for place, item in enumerate(items)]
        if stop <= self.num_kept:
            paths = [self.output / self.path_of(item) for item in items]
            masks = [self.output / path for item in items for path in self.masks_of(item)]
            if all(path.is_file() for path in (*paths, *masks)):
                kept = zip(triples, paths, strict=True)
                return [self._picture(*pair, path.read_bytes(), False) for pair, path in kept]
        pairs = zip(triples, self.part.pixels(start, stop), strict=True)
        return [self._written(*pair, image) for pair, image in pairs]

    def path_of(self, item: Item) -> str:
        """Of an item's picture, relative to the output."""
        folder = f"{item.split}/{self.folders[item.class_name]}" if item.label >= 0 else item.split
        return f"{folder}/{item.name}.{suffix_of(self.form)}"

    def masks_of(self, item: Item) -> tuple[str, ...]:
        """Of the channels of an item's mask, relative to the output."""
        names = self.part.mask_names
        ends = [""] if len(names) == 1 else [f"-{number}" for number in range(len(names))]
        place = f"{MASKS_FOLDER}/{item.split}/{item.name}"
        return tuple(f"{place}{end}.png" for end in ends) if names else ()

    def _written(self, item: Item, shown: Shown, image: NDArray[Any]) -> _Picture:
        data = encode_picture(image, self.form)
        write_quickly(self.output / self.path_of(item), data)
        if shown.masks is not None:
            pairs = zip(self.masks_of(item), encode_masks(shown.masks), strict=True)
            for path, mask in pairs:
                write_quickly(self.output / path, mask)
        return self._picture(item, shown, data, True)

    def _picture(self, item: Item, shown: Shown, data: bytes, is_new: bool) -> _Picture:
        return _Picture(
            item, self.path_of(item), len(data), sha256_hex(data), is_new, shown,
            self.masks_of(item),
        )  # fmt: skip


def write_folder(export: Assignment) -> tuple[list[ExportedFile], dict[str, Any]]:
    """Writes the pictures and their table.

    Returns:
        The table as a file, and JSON-ready facts: its columns, the folders of the classes, and
        how many bytes the pictures have.

    Raises:
        ShardError: pixels cannot be read.
        StorageError: the file system refused.
    """
    output, parts = export.ledger.output, export.parts
    names = parts[-1].samples.class_names
    folders = dict(zip(names, folder_names(names), strict=True))
    drawn = parameter_columns(parts[0].pipeline)
    numbers = field_columns(parts[-1].samples.schema.fields)
    partners = PARTNER_COLUMNS if any(part.mixing for part in parts) else {}
    num_bytes = 0
    annotations: list[ExportedFile] = []
    with streamed_file(output / INDEX_FILE) as file:
        text = io.TextIOWrapper(file, "utf-8", "surrogateescape", newline="")
        table = csv.writer(text)
        masks = {f"mask.{name}": "path of this channel's mask" for name in parts[0].mask_names}
        table.writerow([*COLUMNS, *masks, *partners, *numbers, *drawn])
        for part in parts:
            kept = export.ledger.done.get(part.split, 0)
            writer = _Writer(part, output, export.options.form, folders, kept)
            for folder in _folders(part, folders):
                make_directory(output / folder)
            if part.mask_names:
                make_directory(output / MASKS_FOLDER / part.split)
            coco = None if part.kinds is None else CocoFile(part, part.kinds)
            for pictures in _pictures(export, writer):
                num_bytes += sum(picture.num_bytes for picture in pictures)
                table.writerows(_row(p, len(partners), len(drawn)) for p in pictures)
                if coco is not None:
                    for picture in pictures:
                        coco.add(picture.item, picture.path, picture.shown)
            if coco is not None:
                annotations.append(coco.write(output))
        text.detach()  # flushes; closing it would close the file before it is on the disk
    total = sum(map(len, parts))
    facts = {
        "columns": {**COLUMNS, **masks, **partners, **numbers, **drawn},
        "folders": folders,
        "pictures": {"num_images": total, "num_bytes": num_bytes},
    }
    return [ExportedFile.of(output, INDEX_FILE, total), *annotations], facts


def check_pictures(output: Path) -> None:
    """Whether all pictures of a complete export are there and of their size.

    Raises:
        PlanConflictError: one is not.
    """
    with (output / INDEX_FILE).open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = csv.DictReader(file)
        check_sizes(output, ((row["path"], int(row["num_bytes"])) for row in rows))


def _pictures(export: Assignment, writer: _Writer) -> Iterable[list[_Picture]]:
    """The pictures of a part as they are written, with points at which all are on the disk."""
    part, ledger = writer.part, export.ledger
    with part.in_order(writer, 0, len(part), workers=export.workers) as written:
        for stop, pictures in written:
            yield pictures
            export.advance(len(pictures), sum(picture.is_new for picture in pictures))
            if stop - ledger.done.get(part.split, 0) >= _ON_DISK_EVERY or stop == len(part):
                ledger.done[part.split] = stop
                ledger.note()


def _folders(part: Part, folders: Mapping[str, str]) -> list[str]:
    """Those that get pictures: other tools refuse a folder of a class that is empty."""
    there = np.unique(part.samples.labels).tolist()
    names = part.samples.class_names
    return [
        f"{part.split}/{folders[names[label]]}" if label >= 0 else part.split for label in there
    ]


def _row(picture: _Picture, num_partner_columns: int, num_parameters: int) -> list[object]:
    """A picture's row in the table; floats are written so that reading gives the same ones."""
    item = picture.item
    drawn = item.parameters or ("",) * num_parameters
    partner = ("",) * num_partner_columns if item.partner is None else item.partner.values()
    return [
        picture.path, item.split, item.class_name, item.label if item.label >= 0 else "",
        item.sample_id, item.copy, item.locator, picture.num_bytes, picture.sha256,
        *picture.masks, *partner,
        *field_cells(item.fields), *drawn,
    ]  # fmt: skip
