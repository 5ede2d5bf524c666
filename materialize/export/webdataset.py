"""Tar files as the `webdataset` package reads them: the members of an image share a name.

    train-000000.tar
        <sample id>-c00000.png      the picture
        <sample id>-c00000.cls      the label's number, as text; absent where there is none
        <sample id>-c00000.json     class, split, sample_id, copy, source, drawn parameters, fields;
                                    of mixed images `PARTNER_COLUMNS` besides; objects, in COCO's
                                    words
        <sample id>-c00000.mask.png the mask where there is one; mask0.png, mask1.png … of several
                                    channels

Members have no owner and the date 1970, so equal datasets give equal files.
"""

import io
import json
import tarfile
from functools import partial
from typing import Any

from materialize.export.annotations import encode_masks, object_facts
from materialize.export.assignment import Assignment
from materialize.export.files import streamed_file
from materialize.export.items import PARTNER_COLUMNS, Item, Part, Shown, parameter_columns
from materialize.export.ledger import ExportedFile
from materialize.export.pictures import encode_picture, suffix_of


def write_webdataset(export: Assignment) -> tuple[list[ExportedFile], dict[str, Any]]:
    """Writes the files.

    Returns:
        The files, and JSON-ready facts: what each drawn parameter is.

    Raises:
        ShardError: pixels cannot be read.
        StorageError: the file system refused.
    """
    columns = parameter_columns(export.parts[0].pipeline)
    write = partial(_write, export, tuple(columns))
    return export.sharded(_name, write), {"parameters": columns}


def _name(split: str, number: int, _total: int) -> str:
    return f"{split}-{number:06d}.tar"


def _write(
    export: Assignment, columns: tuple[str, ...], part: Part, start: int, stop: int, path: str
) -> None:
    """One file."""

    def members(first: int, last: int) -> list[tuple[str, bytes]]:
        pairs = zip(part.items(first, last), part.pixels(first, last), strict=True)
        shown = part.shown(first, last)
        return [
            member
            for place, (item, image) in enumerate(pairs)
            for member in (
                *_members(item, encode_picture(image, form), form, columns, part, shown.of(place)),
                *_masks(item, shown.of(place)),
            )
        ]

    form = export.options.form
    with (
        streamed_file(export.ledger.output / path) as file,
        tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive,
        part.in_order(members, start, stop, workers=export.workers) as encoded,
    ):
        done = start
        for last, named in encoded:
            for name, data in named:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
            export.advance(last - done, last - done)
            done = last


def _members(
    item: Item, picture: bytes, form: str, columns: tuple[str, ...], part: Part, shown: Shown
) -> list[tuple[str, bytes]]:
    """The members of one image, by name."""
    facts: dict[str, Any] = {
        "sample_id": item.sample_id,
        "split": item.split,
        "copy": item.copy,
        "class": item.class_name or None,
        "label": item.label if item.label >= 0 else None,
        "source": item.locator,
        "parameters": dict(zip(columns, item.parameters, strict=bool(item.parameters))),
    }
    if item.fields:
        facts["fields"] = item.fields
    if item.partner is not None:
        facts |= zip(PARTNER_COLUMNS, item.partner.values(), strict=True)
    if shown.objects is not None and part.kinds is not None:
        facts["objects"] = object_facts(shown.objects, part.kinds)
    members = [(suffix_of(form), picture), ("json", json.dumps(facts).encode())]
    if item.label >= 0:
        members.append(("cls", str(item.label).encode()))
    return [(f"{item.name}.{suffix}", data) for suffix, data in members]


def _masks(item: Item, shown: Shown) -> list[tuple[str, bytes]]:
    """The members of one image's mask, by name."""
    if shown.masks is None:
        return []
    pictures = encode_masks(shown.masks)
    names = ["mask"] if len(pictures) == 1 else [f"mask{n}" for n in range(len(pictures))]
    return [(f"{item.name}.{n}.png", data) for n, data in zip(names, pictures, strict=True)]
