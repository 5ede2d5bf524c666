"""MNIST's IDX files, plain or gzipped.

    0  2  zeros          3  1  number of dimensions n
    2  1  type (8: u8)   4  4n sizes, big-endian        then the values, last index fastest

Source: the format note on the MNIST page, http://yann.lecun.com/exdb/mnist/.
"""

import gzip
import re
import struct
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ConfigError, SourceError
from materialize.sources.arrays import ArrayOptions, ArraySource, RawPart, options_given
from materialize.sources.naming import split_named

_UNSIGNED_BYTE = 0x08
_NAME = re.compile(r"(?P<split>\w+?)[-_.](?P<role>images|labels)[-_.]idx[13]-ubyte(\.gz)?")


def is_idx_folder(folder: Path) -> bool:
    """Whether a folder holds images in IDX files by their usual names."""
    return any(role == "images" for _, role in _idx_files(folder))


def idx_source(folder: Path, options: ArrayOptions) -> ArraySource:
    """The source over ``train-images-idx3-ubyte[.gz]`` and its like; ``t10k`` is the test split.

    Where a file is there both plain and gzipped, the plain one is read.

    Raises:
        SourceError: a file is damaged, or images have no labels beside them.
    """
    if options.labels is not None or options.images_key is not None:
        raise ConfigError("only the option class-names applies to IDX files", {})
    files = _idx_files(folder)
    parts = {}
    for (split, role), path in files.items():
        if role == "images":
            labels = files.get((split, "labels"))
            parts[split] = RawPart(read_idx(path), None if labels is None else read_idx(labels))
    if not parts:
        raise SourceError(f"no IDX images in {folder}", {"path": str(folder)})
    description = {
        "kind": "idx",
        "path": str(folder.resolve()),
        "options": options_given(options),
    }
    return ArraySource(parts, description, options.class_names)


def _idx_files(folder: Path) -> dict[tuple[str, str], Path]:
    """The files by split and role."""
    found: dict[tuple[str, str], Path] = {}
    for path in sorted(folder.iterdir(), reverse=True):  # plain names last: they win
        match = _NAME.fullmatch(path.name)
        split = split_named(match["split"]) if match else None
        if match and split is not None:
            found[split, match["role"]] = path
    return found


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array in one IDX file.

    Raises:
        SourceError: it cannot be read, is not IDX, holds no unsigned bytes, or is shorter or longer
            than its header says.
    """
    try:
        if path.suffix == ".gz":
            with gzip.open(path, "rb") as file:
                return _parsed(file, path)
        with path.open("rb") as file:
            return _parsed(file, path)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"cannot read {path}: {error}", {"path": str(path)}) from error


def _parsed(file: IO[bytes] | gzip.GzipFile, path: Path) -> NDArray[np.uint8]:
    start = file.read(4)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] != _UNSIGNED_BYTE:
        raise SourceError(
            f"{path} is not an IDX file of unsigned bytes: it begins with {start.hex(' ')}, "
            "expected 00 00 08",
            {"path": str(path), "found": start.hex()},
        )
    sizes_bytes = file.read(4 * start[3])
    if not start[3] or len(sizes_bytes) < 4 * start[3]:
        raise SourceError(f"{path} ends within its header", {"path": str(path)})
    sizes = struct.unpack(f">{start[3]}I", sizes_bytes)
    expected = 1
    for size in sizes:
        expected *= size
    # One byte more than announced tells a longer file, without reading a bomb to its end. In
    # blocks, so that a header which announces a terabyte allocates no more than there is.
    blocks, left = [], expected + 1
    while left and (block := file.read(min(left, 1 << 24))):
        blocks.append(block)
        left -= len(block)
    if left != 1:
        found = "more" if not left else str(expected + 1 - left)
        raise SourceError(
            f"{path} announces {expected} values and holds {found}",
            {"path": str(path), "expected": expected, "found": found},
        )
    return np.frombuffer(b"".join(blocks), np.uint8).reshape(sizes)
