"""Arrays in .npz and .npy files. Pickles are never loaded."""

import re
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import ConfigError, SourceError
from materialize.sources.arrays import ArrayOptions, ArraySource, RawPart, options_given
from materialize.sources.base import first_few
from materialize.sources.naming import SPLIT_BY_ALIAS, split_named

_FIELD_PREFIX = "field_"
_IMAGES_WORDS = ("x", "images", "image", "data")
_LABELS_WORDS = ("y", "labels", "label", "target", "targets")


def npz_source(path: Path, options: ArrayOptions) -> ArraySource:
    """The source over an .npz file.

    Its arrays are recognised by name: ``x_train``/``y_train``, ``train_images``/``train_labels``,
    ``images``/``labels``, ``x``/``y`` … in any case, with the usual names of splits. Those called
    ``field_NAME`` or ``field_NAME_SPLIT`` are fields; see `array_fields`.

    Raises:
        SourceError: the file is damaged, holds pickles, or no array of images is recognised.
    """
    if options.labels is not None:
        raise ConfigError(
            f"{path.name} holds its own labels: name them with the option labels-key", {}
        )
    keys = _npz_keys(path)
    if options.images_key is not None:
        chosen = {("images", "train"): options.images_key}
        if options.labels_key is not None:
            chosen[("labels", "train")] = options.labels_key
        for key in chosen.values():
            if key not in keys:
                raise _unrecognised(path, keys, f"no array {key!r}")
    else:
        chosen = _roles(path, keys)
    fields = _field_keys(keys)
    arrays = _load_npz(path, [*chosen.values(), *fields.values()])
    parts = {
        split: RawPart(
            arrays[key],
            arrays.get(chosen.get(("labels", split), "")),
            {name: arrays[key] for (part, name), key in fields.items() if part == split},
        )
        for (role, split), key in chosen.items()
        if role == "images"
    }
    if not parts:
        raise _unrecognised(path, keys, "no array that is recognised as images")
    description = _description("npz", path, options)
    description["ignored_arrays"] = [
        key for key in keys if key not in chosen.values() and key not in fields.values()
    ]
    return ArraySource(parts, description, options.class_names)


def npy_source(path: Path, options: ArrayOptions) -> ArraySource:
    """The source over an .npy file of images and, beside it, one of labels.

    Raises:
        SourceError: a file is damaged or holds a pickle.
    """
    if options.images_key is not None or options.labels_key is not None:
        raise ConfigError(f"{path.name} holds one array: keys are for .npz files", {})
    labels = None if options.labels is None else _load_npy(Path(options.labels))
    parts = {"train": RawPart(_load_npy(path), labels)}
    description = _description("npy", path, options)
    if options.labels is not None:
        description["options"]["labels"] = str(Path(options.labels).resolve())
    return ArraySource(parts, description, options.class_names)


def _description(kind: str, path: Path, options: ArrayOptions) -> dict[str, Any]:
    return {"kind": kind, "path": str(path.resolve()), "options": options_given(options)}


def _unrecognised(path: Path, keys: list[str], what: str) -> SourceError:
    return SourceError(
        f"{path} has {what} among {', '.join(keys)}: name the images with the option images-key "
        "and their labels with labels-key",
        {"path": str(path), "keys": keys},
    )


def _roles(path: Path, keys: list[str]) -> dict[tuple[str, str], str]:
    """Which array is the images or labels of which split."""
    keys_by_role: dict[tuple[str, str], list[str]] = {}
    for key in keys:
        role = _role(key)
        if role is not None:
            keys_by_role.setdefault(role, []).append(key)
    for (what, split), candidates in keys_by_role.items():
        if len(candidates) > 1:
            raise _unrecognised(path, keys, f"several arrays for the {split} {what}")
    return {role: candidates[0] for role, candidates in keys_by_role.items()}


def _role(key: str) -> tuple[str, str] | None:
    """(images or labels, split) of an array's name, or None."""
    words = [word for word in re.split(r"[^a-z0-9]+", key.lower()) if word]
    splits = [word for word in words if word in SPLIT_BY_ALIAS]
    others = [word for word in words if word not in SPLIT_BY_ALIAS]
    if len(splits) > 1 or len(others) != 1:
        return None
    split = split_named(splits[0]) if splits else "train"
    if split is not None and others[0] in _IMAGES_WORDS:
        return "images", split
    if split is not None and others[0] in _LABELS_WORDS:
        return "labels", split
    return None


def _field_keys(keys: list[str]) -> dict[tuple[str, str], str]:
    """(split, name) → the array of a field."""
    found = {}
    for key in keys:
        name = key.removeprefix(_FIELD_PREFIX)
        if name in ("", key):
            continue
        before, _, last = name.rpartition("_")
        split = split_named(last) if before else None
        found[(split or "train", before if split else name)] = key
    return found


def _npz_keys(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile) as error:
        raise SourceError(f"cannot read {path} as .npz: {error}", {"path": str(path)}) from error


def _load_npz(path: Path, keys: list[str]) -> dict[str, NDArray[Any]]:
    """The arrays, once their headers are known to claim what is really there."""
    arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for key in keys:
                info = archive.getinfo(f"{key}.npy")
                with archive.open(info) as member:
                    _check_header(member, info.file_size, f"{key} in {path}")
                with archive.open(info) as member:
                    arrays[key] = np.lib.format.read_array(member, allow_pickle=False)
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise SourceError(f"cannot read {path}: {error}", {"path": str(path)}) from error
    return arrays


def _load_npy(path: Path) -> NDArray[Any]:
    """The array, mapped: only what is touched is read."""
    try:
        with path.open("rb") as file:
            _check_header(file, path.stat().st_size, str(path))
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise SourceError(f"cannot read {path}: {error}", {"path": str(path)}) from error
    return array


def _check_header(file: IO[bytes], total_bytes: int, name: str) -> None:
    """Refuse a header that claims more than the file holds, before anything is allocated for it."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"{name} has format version {version}")
    read_header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects, which would have to be unpickled")
    claimed = dtype.itemsize
    for length in shape:
        claimed *= length  # exact: Python integers do not overflow
    if claimed != total_bytes - file.tell():
        raise ValueError(
            f"{name} claims {claimed} bytes of {dtype} {first_few(shape, 4)} "
            f"and holds {total_bytes - file.tell()}"
        )
