"""One .npz for each split: what `numpy.load` reads without pickle, written in constant memory.

    images       (n, H, W, C)   uint8 or float32
    labels       (n,)           int32, numbers into ``class_names``; absent where there are none
    sample_ids   (n, 16)        uint8, of the image each was made from
    copies       (n,)           int32, -1 for the untouched image
    class_names  (classes,)     text
    field_…      (n, …)         one for each field; ``field_…_names`` says what its columns or
                                numbers are, and is absent for weights

    masks        (n, H, W, M)   uint8, where images have them; ``mask_names`` says what channels
                                are, ``mask_labels``, where known, what numbers mean, such as
                                ``128=cytoplasm``
    object_…     and boxes, keypoints, ring_offsets, point_offsets, points: the objects of the n
                 images as in shards (`shards.columns`); ``object_names`` names their classes

and, where images are mixed,

    partner_labels  (n,)  int32    of what each is mixed with, its own where it is not
    label_weights   (n,)  float32  the share of its own label; the partner's has the rest

`numpy.savez` needs all images in memory. Here the header of each array is followed by its rows as
they are read. Arrays are stored, not compressed, so the size is known before.
"""

import io
import zipfile
from collections.abc import Sequence
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from materialize.export.assignment import Assignment
from materialize.export.files import streamed_file
from materialize.export.items import Part
from materialize.export.ledger import ExportedFile
from materialize.shards.columns import columns_of
from pipelines.objects import Objects

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The first moment that a zip file can name, and the only one that is always the same."""
_UNIX = 3
_OBJECTS_AT_ONCE = 256
_MEMBER_BYTES = 512
"""A header and two entries of the zip file, at most."""


def write_npz(export: Assignment) -> tuple[list[ExportedFile], dict[str, Any]]:
    """Writes the files.

    Returns:
        The files, and no other facts.

    Raises:
        ShardError: pixels cannot be read.
        StorageError: the file system refused.
    """
    output = export.ledger.output
    files = []
    for part in export.parts:
        if not (output / _name(part)).exists():
            with streamed_file(output / _name(part)) as file, zipfile.ZipFile(file, "w") as archive:
                _write_part(archive, part, export)
        else:
            export.advance(len(part), 0)
        files.append(ExportedFile.of(output, _name(part), len(part)))
    return files, {}


def _name(part: Part) -> str:
    return f"{part.split}.npz"


def _arrays(part: Part) -> dict[str, NDArray[Any]]:
    """Everything but the images."""
    samples = part.samples
    rows, copies = part.order.at(0, len(part))
    arrays: dict[str, NDArray[Any]] = {
        "sample_ids": samples.ids[rows],
        "copies": copies.astype("<i4"),
        "class_names": np.array(samples.class_names, dtype=np.str_),
    }
    if not len(samples) or samples.labels[0] >= 0:
        arrays["labels"] = samples.labels[rows].astype("<i4")
    for field in samples.schema.fields:
        arrays[f"field_{field.name}"] = samples.fields[field.name][rows]
        if field.names:
            arrays[f"field_{field.name}_names"] = np.array(field.names, dtype=np.str_)
    if part.mixing is not None:
        mixed = part.mixing.of(rows, arrays["copies"])
        arrays["partner_labels"] = mixed.labels.astype("<i4")
        arrays["label_weights"] = mixed.weights.astype("<f4")
    if part.mask_names:
        arrays["mask_names"] = np.array(part.mask_names, dtype=np.str_)
    if part.mask_names and part.samples.schema.mask_labels:
        meant = [f"{number}={name}" for number, name in part.samples.schema.mask_labels]
        arrays["mask_labels"] = np.array(meant, dtype=np.str_)
    return arrays


def _objects(part: Part) -> dict[str, NDArray[Any]]:
    """Those of all images; masks are read on the way, some at a time."""
    if part.kinds is None:
        return {}
    starts = range(0, len(part), _OBJECTS_AT_ONCE)
    parts = [part.shown(s, min(s + _OBJECTS_AT_ONCE, len(part))).objects for s in starts]
    objects = Objects.joined([found for found in parts if found is not None])
    names = np.array(part.kinds.names, dtype=np.str_)
    return {"object_names": names, **columns_of(objects)}


def num_bytes(part: Part) -> int:
    """Of a part's file, at most, but for objects."""
    arrays = _arrays(part)
    beside = sum(array.nbytes for array in arrays.values())
    masks = len(part) * part.image_shape[0] * part.image_shape[1] * len(part.mask_names)
    members = (len(arrays) + 2) * _MEMBER_BYTES
    return len(part) * part.row_bytes + beside + masks + members


def _write_part(archive: zipfile.ZipFile, part: Part, export: Assignment) -> None:
    shape = (len(part), *part.image_shape)
    with (
        _member(archive, "images", shape, part.image_dtype) as member,
        part.in_order(part.pixels, 0, len(part), workers=export.workers) as read,
    ):
        for _, images in read:
            member.write(images.data)
            export.advance(len(images), len(images))
    if part.mask_names:
        masks_shape = (*shape[:3], len(part.mask_names))
        with (
            _member(archive, "masks", masks_shape, np.dtype(np.uint8)) as member,
            part.in_order(part.shown, 0, len(part), workers=export.workers) as found,
        ):
            for _, shown in found:
                if shown.masks is not None:
                    member.write(shown.masks.data)
    for name, array in (_arrays(part) | _objects(part)).items():
        with _member(archive, name, array.shape, array.dtype) as member:
            member.write(array.tobytes())


def _member(
    archive: zipfile.ZipFile, name: str, shape: Sequence[int], dtype: np.dtype[Any]
) -> IO[bytes]:
    """A member of the archive with the header of an .npy already in it."""
    info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
    info.create_system = _UNIX
    info.external_attr = 0o644 << 16
    header = io.BytesIO()
    facts = {"descr": dtype.str, "fortran_order": False, "shape": tuple(shape)}
    np.lib.format.write_array_header_1_0(header, facts)
    member = archive.open(info, "w", force_zip64=True)
    member.write(header.getvalue())
    return member
