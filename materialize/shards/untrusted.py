"""What a shard's structure must be before any of its values is read.

HDF5 was not designed for malicious files: a link can name another file, a dataset can keep its
values in ``/etc/passwd`` (external storage, CVE-2026-1669) or claim 2⁶⁰ elements (CVE-2026-0897), a
filter number can load a plugin. The digest in the manifest is checked first, so a stranger's bytes
do not get here unless the manifest is a stranger's too. Then everything is compared with what the
spec says the file must contain; there is nothing optional, so nothing has to be judged.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import h5py
import numpy as np
from h5py import h5d, h5f, h5fd, h5o, h5p, h5t
from numpy.typing import NDArray

from materialize.canonical import canonical_json
from materialize.errors import ShardUntrustedError
from materialize.shards import layout
from materialize.shards.codecs import Codec, find_codec
from materialize.shards.columns import Column, offsets_column
from materialize.shards.layout import ShardEntry, ShardSpec
from materialize.shards.locking import LIBHDF5
from materialize.shards.mapping import MappedFile
from pipelines.errors import ImageContractError
from pipelines.objects import ObjectKinds, Objects

_MAX_TEXT_BYTES = 64 << 20
"""A class map of a million long names fits; a shape bomb in an attribute does not."""


@contextlib.contextmanager
def hdf5_errors(name: str) -> Iterator[None]:
    """Hold libhdf5, and turn what it raises about a file with the right digest into our error.

    Args:
        name: of the file, for messages.

    Raises:
        ShardUntrustedError: h5py raised.
    """
    try:
        with LIBHDF5:
            yield
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError) as error:
        raise ShardUntrustedError(
            f"{name} has the digest of its manifest and HDF5 cannot read it ({error}): neither was "
            f"written by `materialize`; find out where they came from",
            {"file": name},
        ) from error


def open_untrusted(data: NDArray[np.uint8], entry: ShardEntry, name: str) -> h5py.File:
    """An HDF5 file whose digest was checked, opened for reading and found to be what it should be.

    Args:
        data: the file's bytes; the path is never given to libhdf5.
        entry: the shard's line in the manifest.
        name: of the file, for messages.

    Raises:
        ShardUntrustedError: it cannot be read, or its structure is not that of its spec.
    """
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_fileobj_driver(h5fd.fileobj_driver, MappedFile(data))
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    with hdf5_errors(name):
        file = h5py.File(h5f.open(b"shard", h5f.ACC_RDONLY, fapl=access))
        try:
            check_structure(file, entry, name)
        except BaseException:
            file.close()
            raise
    return file


def check_structure(file: h5py.File, entry: ShardEntry, name: str) -> None:
    """Refuse a file whose structure is not exactly that of its spec; reads no dataset.

    Args:
        file: just opened, from memory or a mapping.
        entry: the shard's line in the manifest.
        name: of the file, for messages.

    Raises:
        ShardUntrustedError: names the object and what is wrong with it.
    """
    spec, num_bytes = entry.spec, entry.num_bytes
    codec = find_codec(spec.codec)
    columns = entry.columns()
    if codec.is_picture:
        columns[layout.IMAGE_OFFSETS] = offsets_column(codec.num_blocks(spec.images))
    _check_links(file, {*columns, layout.IMAGES}, name)
    _check_attributes(file, layout.ROOT_ATTRIBUTES, name, "/")
    _check_identity(file, spec, name)
    for dataset_name, column in columns.items():
        dataset = file[dataset_name]
        annotated = dataset_name in ("draws", "parameters")
        _check_attributes(
            dataset, (layout.COLUMNS_ATTRIBUTE,) if annotated else (), name, dataset_name
        )
        _DatasetCheck(dataset, column, name).contiguous(num_bytes)
    images = file[layout.IMAGES]
    _check_attributes(images, (), name, layout.IMAGES)
    if codec.is_picture:
        pictures = Column(np.dtype("|u1"), (entry.images_stored_bytes,))
        _DatasetCheck(images, pictures, name).contiguous(num_bytes)
    elif codec.is_raw:
        _DatasetCheck(images, spec.images, name).contiguous(num_bytes, entry.images_offset)
    else:
        _DatasetCheck(images, spec.images, name).chunked(codec, num_bytes)


def check_objects(objects: Objects, kinds: ObjectKinds, name: str) -> None:
    """Refuse objects whose offsets, labels or coordinates nobody could use.

    Args:
        objects: of all rows of a shard.
        kinds: of the spec.
        name: of the file, for messages.

    Raises:
        ShardUntrustedError: says what contradicts what.
    """
    try:
        objects.check(kinds)
    except ImageContractError as error:
        _refuse(name, "objects", f"contradict themselves: {error}")


def check_soft_labels(columns: Mapping[str, NDArray[Any]], num_classes: int, name: str) -> None:
    """Refuse partners' labels that are no class, and weights that are no share.

    Args:
        columns: of a shard of mixed images.
        num_classes: in its class map.
        name: of the file, for messages.

    Raises:
        ShardUntrustedError: names the column and the first row.
    """
    labels, weights = columns["partner_labels"], columns["label_weights"]
    problems = {
        "partner_labels": ~((labels >= -1) & (labels < num_classes)),
        "label_weights": ~((weights >= 0) & (weights <= 1)),  # also NaN
    }
    for column, is_bad in problems.items():
        if is_bad.any():
            row = int(is_bad.argmax())
            allowed = "[0, 1]" if column == "label_weights" else f"[-1, {num_classes})"
            _refuse(name, column, f"is {columns[column][row]} in row {row}, outside {allowed}")


class _DatasetCheck:
    """Type, shape and storage of one dataset."""

    def __init__(self, dataset: h5py.Dataset, column: Column, file: str) -> None:
        self._dataset = dataset
        self._column = column
        self._file = file
        self._plist = dataset.id.get_create_plist()
        self._check_type_and_shape()

    def contiguous(self, num_bytes: int, expected_offset: int | None = None) -> None:
        """One unfiltered run of bytes inside the file, where the manifest says if it does."""
        self._check_storage(h5d.CONTIGUOUS, ())
        if not self._column.num_bytes:
            return  # nothing has no place
        offset = self._dataset.id.get_offset()
        if offset is None:
            self._refuse("has no place in the file")
        if expected_offset is not None:
            self._require("offset", expected_offset, offset)
        self._check_region(offset, self._column.num_bytes, num_bytes)
        self._require("stored bytes", self._column.num_bytes, self._dataset.id.get_storage_size())

    def chunked(self, codec: Codec, num_bytes: int) -> None:
        """Every chunk there, through exactly the codec's filter, inside the file.

        What is in a chunk is not looked at: libhdf5 is never asked to decode one.
        """
        self._check_storage(h5d.CHUNKED, (codec.filter_number,))
        chunk_shape = codec.block_column(self._column, 0).shape
        self._require("chunk shape", chunk_shape, self._plist.get_chunk())
        expected = [(start, 0, 0, 0) for start in range(0, self._column.shape[0], chunk_shape[0])]
        chunks: list[Any] = []
        self._dataset.id.chunk_iter(chunks.append)
        self._require("chunks", expected, sorted(chunk.chunk_offset for chunk in chunks))
        for chunk in chunks:
            self._require("skipped filters", 0, chunk.filter_mask)
            self._check_region(chunk.byte_offset, chunk.size, num_bytes)

    def _check_type_and_shape(self) -> None:
        kind = self._dataset.id.get_type()
        # The class is looked at before h5py makes a dtype of it: only plain numbers are accepted.
        if kind.get_class() not in (h5t.INTEGER, h5t.FLOAT):
            self._refuse("is not made of plain numbers")
        self._require("type", self._column.dtype.str, kind.dtype.str)
        self._require("shape", self._column.shape, self._dataset.id.shape)
        self._require("maximal shape", self._column.shape, self._dataset.maxshape)

    def _check_storage(self, kind: int, filters: tuple[int | None, ...]) -> None:
        if self._plist.get_layout() == h5d.VIRTUAL:
            self._refuse("is a virtual dataset, which takes its values from other files")
        if self._plist.get_layout() == h5d.CONTIGUOUS and self._plist.get_external_count():
            self._refuse("keeps its values in another file (external storage)")
        self._require("storage layout", kind, self._plist.get_layout())
        found = tuple(self._plist.get_filter(i)[0] for i in range(self._plist.get_nfilters()))
        self._require("filters", filters, found)

    def _check_region(self, offset: int, length: int, num_bytes: int) -> None:
        if offset < 0 or length < 0 or offset + length > num_bytes:
            self._refuse(f"has bytes at {offset} to {offset + length} in a file of {num_bytes}")

    def _require(self, what: str, expected: object, found: object) -> None:
        if expected != found:
            self._refuse(f"has the {what} {found}, expected {expected}")

    def _refuse(self, problem: str) -> NoReturn:
        _refuse(self._file, self._dataset.name, problem)


def _check_links(file: h5py.File, expected: set[str], name: str) -> None:
    """The root holds exactly the expected datasets, by hard links; no object is opened."""
    count = file.id.get_num_objs()
    if count != len(expected):
        _refuse(name, "/", f"has {count} objects, expected {sorted(expected)}")
    for link in file:
        if link not in expected:
            _refuse(name, link, f"is not one of {sorted(expected)}")
        if not isinstance(file.get(link, getlink=True), h5py.HardLink):
            _refuse(name, link, "is a soft or external link")
        if h5o.get_info(file.id, link.encode()).type != h5o.TYPE_DATASET:
            _refuse(name, link, "is not a dataset")


def _check_attributes(
    target: h5py.File | h5py.Dataset, expected: tuple[str, ...], name: str, where: str
) -> None:
    """Exactly these attributes, each one short fixed-length text or one integer."""
    if set(target.attrs) != set(expected):
        _refuse(name, where, f"has the attributes {sorted(target.attrs)}, not {sorted(expected)}")
    for attribute in expected:
        identifier = target.attrs.get_id(attribute)
        kind = identifier.get_type()
        is_text = kind.get_class() == h5t.STRING and not kind.is_variable_str()
        if identifier.shape != () or not (is_text or kind.get_class() == h5t.INTEGER):
            _refuse(name, f"{where} attribute {attribute}", "is not one number or fixed text")
        if kind.get_size() > _MAX_TEXT_BYTES:
            _refuse(name, f"{where} attribute {attribute}", f"has {kind.get_size()} bytes")


def _check_identity(file: h5py.File, spec: ShardSpec, name: str) -> None:
    """The file says it is this shard, in this version of the format."""
    expected = {
        "format": layout.FORMAT_NAME.encode("ascii"),
        "format_version": layout.FORMAT_VERSION,
        "spec": canonical_json(spec.to_json()),
    }
    for attribute, value in expected.items():
        found = file.attrs[attribute]
        if found != value:
            _refuse(name, f"/ attribute {attribute}", f"is {found!r}, expected {value!r}")


def _refuse(file: str, where: str, problem: str) -> NoReturn:
    raise ShardUntrustedError(
        f"{file} was not read: {where} {problem}. This file was not written by `materialize` for "
        f"this manifest; run `materialize repair OUT`, and find out where it came from",
        {"file": file, "where": where, "problem": problem},
    )
