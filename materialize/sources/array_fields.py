"""Arrays beside images that are neither pixels nor classes, and what each of them is.

    whole numbers or text  (N,)     label    one of the values that are there
    0 and 1, or booleans   (N, K)   labels   any number of K
    floats                 (N,)     value    a number to be predicted
    floats                 (N, K)   value    K of them
    called ``weight``      (N,)     weight   of the sample: finite, not negative

Whole numbers that are to be predicted are given as floats.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialize.errors import SourceError
from materialize.sources.base import first_few
from materialize.sources.naming import naturally_sorted
from materialize.sources.targets import Field

NAMES_SUFFIX = "_names"
"""Of an array that names the columns, or the numbers, of a field: `export` writes such."""


def array_fields(
    parts: Mapping[str, Mapping[str, Any]], lengths: Mapping[str, int]
) -> tuple[tuple[Field, ...], tuple[NDArray[Any], ...]]:
    """The fields of arrays, and their numbers for all records.

    Args:
        parts: by split, in the order of records, the arrays by name; those called
            ``…_names`` name the columns or numbers of another one.
        lengths: by split, how many images there are.

    Raises:
        SourceError: an array is none of what fields can be, has another length than the images, or
            is missing in a split.
    """
    first = next(iter(parts.values()), {})
    names = [name for name in first if name.removesuffix(NAMES_SUFFIX) not in set(first) - {name}]
    for split, arrays in parts.items():
        if set(arrays) != set(first):
            raise SourceError(
                f"the fields of {split}: expected {', '.join(sorted(first)) or 'none'} as in "
                f"{next(iter(parts))}, found {', '.join(sorted(arrays)) or 'none'}; give every "
                "split the same",
                {"split": split, "expected": sorted(first), "found": sorted(arrays)},
            )
        for name in names:
            _check_length(name, split, np.asarray(arrays[name]), lengths[split])
    found = []
    for name in names:
        values = np.concatenate([np.asarray(arrays[name]) for arrays in parts.values()])
        given = first.get(f"{name}{NAMES_SUFFIX}")
        found.append(_field(name, values, None if given is None else list(map(str, given))))
    return tuple(field for field, _ in found), tuple(column for _, column in found)


def _check_length(name: str, split: str, values: NDArray[Any], length: int) -> None:
    if values.ndim not in (1, 2) or len(values) != length:
        raise SourceError(
            f"field {name} of {split}: expected ({length},) or ({length}, K) values, one row for "
            f"each image, found {values.shape}",
            {"name": name, "split": split, "expected": length, "found": values.shape},
        )


def _field(
    name: str, values: NDArray[Any], given: Sequence[str] | None
) -> tuple[Field, NDArray[Any]]:
    kind, is_flat = values.dtype.kind, values.ndim == 1
    if name == "weight" and is_flat and kind in "iuf":
        weights = values.astype(np.float32)
        _check_rows(name, values, ~np.isfinite(weights) | (weights < 0), "finite and from 0")
        return Field(name, "weight"), weights
    if kind == "f":
        numbers = values.astype(np.float32)
        _check_rows(name, values, ~np.isfinite(numbers), "finite")
        table = numbers.reshape(len(values), -1)
        plain = [name] if is_flat else [f"{name}_{column}" for column in range(table.shape[1])]
        return Field(name, "value", tuple(given or plain)), table
    if kind in "iub" and not is_flat:
        _check_rows(name, values, (values != 0) & (values != 1), "0 or 1")
        plain = [str(column) for column in range(values.shape[1])]
        return Field(name, "labels", tuple(given or plain)), values.astype(np.uint8)
    if kind in "iuUS" and is_flat:
        return _label(name, values, given)
    raise SourceError(
        f"field {name}: expected (N,) whole numbers, text or floats, or (N, K) of 0 and 1 or "
        f"floats, found {values.shape} of {values.dtype}",
        {"name": name, "found": (values.shape, str(values.dtype))},
    )


def _label(
    name: str, values: NDArray[Any], given: Sequence[str] | None
) -> tuple[Field, NDArray[Any]]:
    if given is not None and values.dtype.kind in "iu":
        _check_rows(name, values, (values < 0) | (values >= len(given)), f"below {len(given)}")
        return Field(name, "label", tuple(given)), values.astype(np.int32)
    distinct, inverse = np.unique(values, return_inverse=True)
    texts = [
        text.decode("utf-8", "backslashreplace") if isinstance(text, bytes) else str(text)
        for text in distinct.tolist()
    ]
    names = naturally_sorted(texts)
    numbers = np.array([names.index(text) for text in texts], np.int32)
    return Field(name, "label", names), numbers[inverse]


def _check_rows(name: str, values: NDArray[Any], bad: NDArray[np.bool_], what: str) -> None:
    rows = np.flatnonzero(bad.reshape(len(values), -1).any(axis=1)).tolist()
    if rows:
        named = first_few(f"{values[row].tolist()} in row {row}" for row in rows)
        raise SourceError(
            f"field {name}: expected values that are {what}, found {named}; correct them, or leave "
            "those images out",
            {"name": name, "rows": rows[:100]},
        )
