"""Named columns as the bytes of one small HDF5 file, the same bytes for the same columns.

    HDF5 file | SHA-256 of it, 32 bytes (HDF5 tools ignore what follows a file's own end)

The file is made in memory and read from memory: libhdf5 never touches the disk. Nor is it made for
damaged files: one flipped byte can abort the whole process. So it sees nothing before the digest
has been checked; and because a digest inside a file only guards against accidents, nothing is
followed before its place in an allow-list is established either: hard links of expected names at
the root, contiguous datasets of expected types whose bytes all lie inside this file.
"""

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5f, h5fd, h5p
from numpy.typing import NDArray

from materialize.errors import ShardUntrustedError
from materialize.shards.locking import LIBHDF5

_FACTS = "facts"
"""The root attribute that holds everything that is no column, as JSON."""


_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """What a column must be."""

    dtype: str
    """Little-endian, such as ``<i8``."""
    width: int = 0
    """Values per row; 0 for a column of one dimension."""


def columns_to_bytes(columns: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> bytes:
    """The file that holds these columns and facts.

    Args:
        columns: arrays of one or two dimensions by name, in any order.
        facts: JSON-ready; kept with sorted keys.

    Exactness: the same bytes in every run with one build of h5py; HDF5 stores no times here.
    """
    buffer = io.BytesIO()
    with LIBHDF5, h5py.File(_created(buffer)) as file:
        # One fixed-length ASCII value: a variable-length one would live in a heap and be refused.
        file.attrs[_FACTS] = np.bytes_(json.dumps(facts, sort_keys=True, separators=(",", ":")))
        for name in sorted(columns):
            column = np.ascontiguousarray(columns[name])
            file.create_dataset(name, data=column, track_times=False, track_order=False)
    image = buffer.getvalue()
    return image + hashlib.sha256(image).digest()


def _created(buffer: io.BytesIO) -> h5f.FileID:
    """A new file in the buffer, without the time stamp that h5py leaves on the root group."""
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fileobj_driver(h5fd.fileobj_driver, buffer)
    # The oldest format with checksums over its metadata; later ones also keep an "open" flag.
    access.set_libver_bounds(h5f.LIBVER_V18, h5f.LIBVER_V18)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    creation = h5p.create(h5p.FILE_CREATE)
    creation.set_obj_track_times(False)
    return h5f.create(b"columns", h5f.ACC_TRUNC, fcpl=creation, fapl=access)


def columns_from_bytes(
    data: bytes,
    specs: Mapping[str, ColumnSpec],
    *,
    further: Callable[[Mapping[str, Any]], Mapping[str, ColumnSpec]] | None = None,
) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The columns and facts in a file that `columns_to_bytes` made.

    Args:
        data: the file.
        specs: what is always there.
        further: what else is there by what the facts say; may raise ValueError.

    Raises:
        ShardUntrustedError: it is damaged, or has anything beside, or other than, these columns.
    """
    image, sealed = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.sha256(image).digest() != sealed:
        raise _untrusted("it is damaged or was cut short")
    try:
        file = h5py.File(io.BytesIO(image), "r")
    except (OSError, ValueError) as error:
        raise _untrusted("it is not an HDF5 file") from error
    with LIBHDF5, file:
        try:
            facts = _checked_facts(file)
            expected = {**specs, **(further(facts) if further else {})}
            return _checked_columns(file, len(image), expected), facts
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise _untrusted(f"libhdf5 cannot follow it: {error}") from error


def _untrusted(why: str) -> ShardUntrustedError:
    return ShardUntrustedError(
        f"this is not a column file: {why}; get it again from where it was built", {"found": why}
    )


def _checked_columns(
    file: h5py.File, total_bytes: int, specs: Mapping[str, ColumnSpec]
) -> dict[str, NDArray[Any]]:
    names = set(file.keys())
    if names != set(specs):
        raise _untrusted(f"unexpected or missing columns {sorted(names ^ set(specs))}")
    columns = {}
    for name, spec in specs.items():
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            raise _untrusted(f"{name} is a link to somewhere else")
        dataset = file[name]
        if not isinstance(dataset, h5py.Dataset):
            raise _untrusted(f"{name} is no dataset")
        _check_dataset(dataset, name, spec, total_bytes)
        columns[name] = dataset[()]
    return columns


def _check_dataset(dataset: h5py.Dataset, name: str, spec: ColumnSpec, total_bytes: int) -> None:
    properties = dataset.id.get_create_plist()
    if (
        properties.get_layout() != h5d.CONTIGUOUS
        or properties.get_external_count()
        or properties.get_nfilters()
    ):
        raise _untrusted(f"{name} is not stored as plain contiguous bytes")
    if dataset.dtype.str != spec.dtype or dataset.shape[1:] != ((spec.width,) * bool(spec.width)):
        raise _untrusted(f"{name} is {dataset.dtype.str} of shape {dataset.shape}")
    if not dataset.size:
        return
    offset = dataset.id.get_offset()
    if offset is None or offset + dataset.size * dataset.dtype.itemsize > total_bytes:
        raise _untrusted(f"{name} reaches beyond the file")


def _checked_facts(file: h5py.File) -> dict[str, Any]:
    if list(file.attrs) != [_FACTS]:
        raise _untrusted(f"its attributes are {sorted(file.attrs)}")
    text = file.attrs[_FACTS]
    if not isinstance(text, bytes):
        raise _untrusted("its facts are not text of fixed length")
    facts = json.loads(text)
    if not isinstance(facts, dict):
        raise _untrusted("its facts are no JSON object")
    return facts
